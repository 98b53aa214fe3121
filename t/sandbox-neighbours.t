#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two leases at once, even of one owner: neither reaches the processes, files or memory of the other.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long
own=$(($$ % 100000)) # so that no other run of this test is meant

# The process of the host whose last argument is this one.
host_pid() { processes_with "$1" | head -n 1; }
host_uid() { awk '/^Uid:/ {print $2}' "/proc/$1/status" 2>/dev/null; }

for user in $users; do
    become $user
    mkdir -p "$work/one" "$work/two"
    chmod 0700 "$work/one" "$work/two"
    [ -z "$as" ] || chown 65534:65534 "$work/one" "$work/two"
    [ "$(id -u)" != 0 ] || [ -n "$as" ] || chown 0:0 "$work/one" "$work/two"
    echo mine >"$work/one/file"
    [ -z "$as" ] || chown 65534:65534 "$work/one/file"

    launch -i one-$$ -w "$work/one" -e ONE_SECRET=abc -- sh -c "echo mine >/tmp/file; echo mine >/dev/shm/file; sleep 4${own}1" &
    first=$!
    launch -i two-$$ -w "$work/two" -- sleep 4${own}2 &
    second=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        one=$(host_pid 4${own}1)
        two=$(host_pid 4${own}2)
        [ -n "$one" ] && [ -n "$two" ] && break
        sleep 0.2
    done
    ok "$([ -n "$one" ] && [ -n "$two" ]; echo $?)" "$user: two sandboxes run"

    # From a third lease with the owner's rights, the pid of the first known to it.
    launch -w "$work/two" -e "PID=$one" -- sh -c '
        kill -0 $PID 2>/dev/null && tr "\0" " " </proc/$PID/cmdline 2>/dev/null | grep -q "^sleep 4[0-9]*[12] " && echo signalled
        cat /proc/$PID/environ 2>/dev/null | tr "\0" "\n" | grep ONE_SECRET
        cat /proc/[0-9]*/environ 2>/dev/null | tr "\0" "\n" | grep ONE_SECRET
        cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep "sleep 4[0-9]*[12] "
        ls /proc/$PID/root/work 2>/dev/null | grep file
        cat /tmp/file /dev/shm/file /work/file /work/../one/file 2>/dev/null
        ipcs -m 2>/dev/null | grep 0x
        cat /proc/self/cgroup | grep -v ":/\$"
        true' >"$place/out" 2>"$place/err"
    is "0 " "$? $(cat "$place/out")" "$user: a neighbour finds nothing"
    launch -w "$work/one" -- cat /work/file >"$place/out"
    is mine "$(cat "$place/out")" "$user: while who has the same workspace does"

    # On the host the kernel keeps root's leases apart by user id, even if a namespace failed.
    if [ $user = root ]; then
        uid_one=$(host_uid "$one")
        uid_two=$(host_uid "$two")
        [ "${uid_one:-0}" -ge 1900000000 ] && [ "${uid_two:-0}" -ge 1900000000 ] &&
            [ "$uid_one" != "$uid_two" ]
        ok $? "root: each has a user id of its own"
        became="setpriv --reuid=$uid_two --regid=$uid_two --clear-groups --"
        $became kill -0 "$one" 2>/dev/null
        ok "$([ $? -ne 0 ]; echo $?)" "root: a process with the other's id cannot signal it"
        for entry in environ mem root/ cwd/ fd/ maps; do
            $became ls "/proc/$one/$entry" >/dev/null 2>"$place/err"
            $became cat "/proc/$one/$entry" >"$place/out" 2>/dev/null
            is "" "$(cat "$place/out")" "root: nor open its /proc/PID/$entry"
        done
        $became cat "$work/one/file" 2>/dev/null >"$place/out"
        is "" "$(cat "$place/out")" "root: nor its workspace"
    fi

    # The end of one is not the end of the other.
    launch -i one-$$ destroy
    is 0 $? "$user: destroying the first"
    wait $first
    is "$two" "$(host_pid 4${own}2)" "$user: leaves the second alone"
    is "" "$(host_pid 4${own}1)" "$user: and nothing of the first"
    launch -i two-$$ destroy
    wait $second
    is "" "$(launch list)$(host_pid 4${own}2)" "$user: both are gone"
done
plan
