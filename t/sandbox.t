#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a command in a sandbox gets and how it ends, by the driver alone.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long

own=$(($$ % 100000)) # so that no other run of this test is meant
now_ms() { echo $(($(date +%s%N) / 1000000)); }
running() { processes_with "$1" | wc -l; }

for user in $users; do
    become $user

    # Streams and status
    is "to stdout" "$(launch -- echo to stdout 2>/dev/null)" "$user: stdout"
    is "to stderr" "$(launch -- sh -c 'echo to stderr >&2' 2>&1 >/dev/null)" "$user: stderr"
    is "through" "$(echo through | launch -- cat)" "$user: stdin from a pipe"
    echo from a file >"$place/in"
    is "from a file" "$(launch -- cat <"$place/in")" "$user: stdin from a file"
    : >"$place/host/out"
    launch -- sh -c 'readlink /proc/self/fd/1; head -c 300000 /dev/zero' >"$place/out.file"
    is pipe: "$(head -n 1 "$place/out.file" | cut -c 1-5)" "$user: a file of the host is not the stream"
    is 300000 "$(tail -n +2 "$place/out.file" | wc -c)" "$user: all output arrives in it"
    is 0 "$(head -c 3000000 /dev/urandom >"$place/random"
        launch -- cat <"$place/random" | cmp - "$place/random" >&2
        echo $?)" "$user: bytes pass unchanged"
    launch -- sh -c 'exit 42' 2>/dev/null
    is 42 $? "$user: exit status"
    launch -- sh -c 'kill -SEGV $$' 2>/dev/null
    is 139 $? "$user: death by signal"
    launch -- no-such-command 2>/dev/null
    is 127 $? "$user: a command that is not there"
    launch -- /etc/passwd 2>/dev/null
    is 126 $? "$user: a command that cannot be invoked"
    launch -C /nowhere -- true 2>"$place/err"
    is 125 $? "$user: a directory that is not there"
    grep -q directory_unusable "$place/err"
    ok $? "$user: is said so"

    # What it finds
    is billet "$(launch -- id -un)" "$user: the user has a name"
    is 1000 "$(launch -- id -u)" "$user: and an id"
    is yes "$(launch -e A=yes -- sh -c 'echo $A')" "$user: given environment"
    is "" "$(SECRET=x launch -- sh -c 'echo $SECRET')" "$user: none of the caller's"
    # An order travels in its message up to 3584 bytes, and in a file of its own above.
    launch -K -i sizes-$$ -- true
    sizes="3000 3394 3395 3396 3397 3398 3399 3400 100000"
    is "$sizes" "$(for size in $sizes; do
        launch -K -R -i sizes-$$ -e "A=$(printf "%0${size}d" 0)" -- sh -c 'echo ${#A}'
    done | paste -sd ' ')" "$user: of any length"
    launch -i sizes-$$ destroy
    is /work "$(launch -w "$work" -- pwd)" "$user: begins in the workspace"
    launch -w "$work" -- sh -c 'echo made >made; mkdir -p sub; mv made sub/'
    is made "$(cat "$work/sub/made" 2>/dev/null)" "$user: files come out of the workspace"
    is "$(stat -c %u:%g "$work")" "$(stat -c %u:%g "$work/sub/made")" "$user: and are its owner's"
    is "wanted" "$(mkdir -p "$place/shown"
        echo wanted >"$place/shown/file"
        launch -o "read_only=$place/shown" -- cat "$place/shown/file")" "$user: read_only shows"
    launch -o "read_only=$place/shown" -- sh -c "echo x >$place/shown/file" 2>/dev/null
    is wanted "$(cat "$place/shown/file")" "$user: and is not written"
    for path in / /proc /proc/1 /sys /run /run/docker.sock /var/run/docker.sock /root/.ssh /etc /dev; do
        launch -o "read_only=$path" -- true 2>"$place/err"
        is 125 $? "$user: read_only = $path is refused"
    done
    ln -sf /run "$place/shown/link"
    launch -o "read_only=$place/shown/link" -- true 2>/dev/null
    is 125 $? "$user: also by a symlink"
    if command -v cc >/dev/null 2>&1 && command -v make >/dev/null 2>&1; then
        printf 'int main(void) { return 7; }\n' >"$work/p.c"
        launch -w "$work" -- sh -c 'make -s p CC=cc && ./p' >/dev/null 2>&1
        is 7 $? "$user: make and cc work"
    else
        skip "$user: make and cc work" "no compiler here"
    fi

    # Terminal and signals
    is "50 132" "$(launch -T -s 28:300 -- sh -c 'sleep 0.8; stty size' | tr -d '\r')" "$user: resize"
    is "/dev/pts/0" "$(launch -T -- tty | tr -d '\r')" "$user: a terminal of its own"
    launch -s 10:300 -- sh -c 'trap "exit 9" USR1; while :; do sleep 0.05; done'
    is 9 $? "$user: a signal is delivered"

    # Time limit, cancel, what stays behind
    start=$(now_ms)
    launch -t 400 -- sh -c 'sleep 3131'$own' & setsid sleep 3131'$own' & sleep 3131'$own''
    is 124 $? "$user: time limit"
    [ $(($(now_ms) - start)) -lt 2000 ]
    ok $? "$user: does not wait for grandchildren"
    is 0 "$(running 3131$own)" "$user: none of them lives"
    launch -t 300 -g 300 -- sh -c 'trap "" TERM; while :; do sleep 0.1; done'
    is 124 $? "$user: one who ignores the gentle signal"
    launch -c 300 -- sleep 3132$own
    is 123 $? "$user: cancel"
    is 0 "$(running 3132$own)" "$user: ends it"
    launch -- sh -c 'i=0; while [ $i -lt 60 ]; do (setsid sh -c "trap \"\" TERM; sleep 3133'$own'" &) ; i=$((i+1)); done; exit 5' \
        >/dev/null 2>&1
    is 5 $? "$user: a command that leaves daemons behind"
    is 0 "$(running 3133$own)" "$user: takes them with it"

    # Floods and bombs
    start=$(now_ms)
    launch -t 1000 -- yes | head -c 1000 >/dev/null
    [ $(($(now_ms) - start)) -lt 4000 ]
    ok $? "$user: an endless writer whose reader left ends"
    launch -t 1500 -- yes >/dev/null
    is 124 $? "$user: an endless writer ends by its time limit"
    launch -o memory_max=64MiB -- sh -c 'head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null; exit 3' \
        2>/dev/null
    is 3 $? "$user: a memory bomb dies alone"
    launch -o pids_max=40 -t 20000 -- sh -c 'i=0; while [ $i -lt 100 ]; do sleep 3134'$own' & i=$((i+1)); done; wait' \
        >/dev/null 2>&1
    [ $? -ne 0 ]
    ok $? "$user: a fork bomb is bounded"
    is 0 "$(running 3134$own)" "$user: and gone"

    # The life of a lease
    launch -K -i keep-$$ -- true
    is "sandbox:keep-$$ deployment=test lease=keep-$$ fence=7 generation=2 age_ok=1" \
        "$(launch list)" "$user: list shows a kept lease with its label"
    launch -K -R -i keep-$$ -- true
    is 0 $? "$user: it is resumed"
    launch -i keep-$$ destroy
    is 0 $? "$user: destroyed"
    is "" "$(launch list)" "$user: and gone"
    launch -i keep-$$ destroy
    is 0 $? "$user: destroying what is not there is a success"
    launch -R -i keep-$$ -- true 2>"$place/err"
    grep -q 'class 5' "$place/err"
    ok $? "$user: resuming it is LOST"
    is "" "$(find /sys/fs/cgroup -maxdepth 6 -type d -name keep-$$ 2>/dev/null)" "$user: no control group is left"

    # One sandbox, many commands, from processes that know nothing of each other
    launch -K -i many-$$ -- sh -c "echo first >/tmp/mark; sleep 3139$own & :"
    # What was forked there may still be about to execute; grep is not to find itself.
    is "first 1" "$(launch -K -R -i many-$$ -- sh -c "cat /tmp/mark; tries=0
        until count=\$(cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -cx '[3]139$own'); do
            tries=\$((tries + 1)); [ \$tries -lt 100 ] || break; sleep 0.1
        done; echo \$count" | paste -sd ' ')" \
        "$user: a second command finds files and processes of the first"
    launch -K -R -i many-$$ -- sh -c 'until [ -e /tmp/go ]; do sleep 0.05; done; exit 5' &
    beside=$!
    launch -K -R -t 300 -i many-$$ -- sh -c "setsid sleep 3140$own & sleep 3140$own"
    is "124 0" "$? $(running 3140$own)" "$user: a time limit ends the tree of its command"
    launch -K -R -i many-$$ -- touch /tmp/go
    wait $beside
    is "5 1" "$? $(running 3139$own)" "$user: and neither the command beside it nor what was there before"
    launch -K -R -i many-$$ -- sleep 3141$own &
    host=$!
    for _ in $(seq 100); do
        [ "$(running 3141$own)" = 1 ] && break
        sleep 0.1
    done
    # shellcheck disable=SC2046 # one number or several
    kill -9 $(pgrep -P $host -f many-$$ 2>/dev/null || echo $host) 2>/dev/null
    wait $host 2>/dev/null
    for _ in $(seq 100); do
        [ "$(running 3141$own)" = 0 ] && break
        sleep 0.1
    done
    is "0 first" "$(running 3141$own) $(launch -K -R -i many-$$ -- cat /tmp/mark)" \
        "$user: SIGKILL of a host ends its command, the next one finds the sandbox"
    mkfifo "$place/silent-$user"
    door=$(find "$runtime" -path "*many-$$*" -name door)
    $as "$place/knock" "$door" <"$place/silent-$user" >"$place/knocked-$user" &
    silent=$!
    exec 8>"$place/silent-$user"
    for _ in $(seq 100); do
        [ -s "$place/knocked-$user" ] && break
        sleep 0.1
    done
    is "connected first first" "$(cat "$place/knocked-$user") $(for _ in 1 2; do
        timeout 30 $as "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" \
            -K -R -i many-$$ -- cat /tmp/mark
    done | paste -sd ' ')" "$user: a driver that knocks and says nothing holds up none beside it"
    exec 8>&-
    wait $silent
    launch -i many-$$ destroy
    is "0 0" "$? $(running 3139$own)" "$user: destroy ends all of it"

    # Whoever dies, the sandbox ends
    launch -i doomed-$$ -- sleep 3135$own &
    shell=$!
    sleep 1
    # With $as the shell's child became the program itself.
    # shellcheck disable=SC2046 # one number or several
    kill -9 $(pgrep -P $shell -f doomed-$$ 2>/dev/null || echo $shell) 2>/dev/null
    wait $shell 2>/dev/null
    sleep 0.5
    is 0 "$(running 3135$own)" "$user: SIGKILL of the driver's host ends the sandbox"
    launch -i doomed-$$ destroy
    is "" "$(launch list)" "$user: what it left is destroyed by id"
    launch -i held-$$ -- sleep 3136$own >/dev/null 2>&1 &
    shell=$!
    sleep 1
    launch -i held-$$ destroy
    is 0 $? "$user: destroy while it runs, from another process"
    is 0 "$(running 3136$own)" "$user: ends it"
    wait $shell
    is "" "$(launch list)" "$user: nothing is left"

    # Two leases
    launch -i first-$$ -- sh -c 'echo $$ >/tmp/mine; exec -a marker-first sleep 2' 2>/dev/null &
    is 0 "$(launch -i second-$$ -- sh -c 'ls /tmp; cat /proc/[0-9]*/cmdline | tr "\0" "\n" | grep -c "^3137\$\|marker-firs[t]"' | tail -n 1)" \
        "$user: a lease sees nothing of another"
    wait
    launch -n 60 -- true
    is 0 $? "$user: 60 execs leave no descriptor"

    # Missing parts are said
    launch -o bubblewrap=/no/such/bwrap -- true 2>"$place/err"
    grep -q 'sandbox_bubblewrap_missing.*install bubblewrap' "$place/err"
    ok $? "$user: bubblewrap missing: named, with the remedy"
    printf '#!/bin/sh\necho "bwrap: Unknown option --disable-userns" >&2; exit 1\n' >"$place/old-bwrap"
    chmod 755 "$place/old-bwrap"
    launch -o bubblewrap="$place/old-bwrap" -- true 2>"$place/err"
    grep -q 'sandbox_bubblewrap_old' "$place/err"
    ok $? "$user: bubblewrap too old: named"
    is 0 "$(launch probe | grep -c '^FAIL')" "$user: the probe passes"
    launch probe | grep -q '^PASS trial'
    ok $? "$user: with a real sandbox"
    launch -o bubblewrap=/no/such/bwrap probe | grep -q '^FAIL bubblewrap.*install'
    ok $? "$user: the probe fails without bubblewrap"
done

if [ "$(id -u)" = 0 ]; then
    become root
    mkdir "$place/of-root"
    launch -w "$place/of-root" -- sh -c 'touch file; chmod 4755 file' 2>/dev/null
    is "0 644" "$(stat -c '%u %a' "$place/of-root/file")" "root's workspace: root's file, never set-id"
    launch -t 2000 -- sleep 3138$own &
    sleep 1
    pid=$(grep -lzx "[3]138$own" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
        grep -q '^NSpid:.*[0-9].*[0-9]' "${file%cmdline}status" && awk '/^Uid:/ && $2 != 0 {print $2}' "${file%cmdline}status"
    done | head -n 1)
    [ "${pid:-0}" -ge 1900000000 ]
    ok $? "root's sandbox runs as a user id of the pool"
    wait
fi
plan
