#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A sandbox under load: thousands of forks, daemons and commands, in bounded time, nothing left.
# SANDBOX_LOAD=N makes it N times as much (for a nightly run).
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long sanitizers
times=${SANDBOX_LOAD:-1}
mark=burden$$

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# Live processes of the machine that have taken the mark for their name.
marked() { cat /proc/[0-9]*/comm 2>/dev/null | grep -cx "$mark"; }

for user in $users; do
    become $user

    # SEC-04: forks without end against a limit, while other leases work on.
    mkfifo "$place/begun-$user"
    [ -z "$as" ] || chown 65534:65534 "$place/begun-$user"
    launch -i bomb-$$ -w "$work" -o pids_max=256 -t 60000 -- /work/burden forks $((3000 * times)) $mark \
        >"$place/begun-$user" 2>/dev/null &
    bomb=$!
    read -r line <"$place/begun-$user"
    is begun "$line" "$user: the fork bomb has begun"
    worst=0
    for _ in 1 2 3 4 5 6; do
        start=$(now_ms)
        launch -i other-$$ -- true || worst=99999
        took=$(($(now_ms) - start))
        [ $took -le $worst ] || worst=$took
        sleep 0.1
    done
    echo "# slowest command of another lease meanwhile: $worst ms"
    [ $worst -lt 1000 ]
    ok $? "$user: another lease's command takes less than a second"
    most=$(marked)
    [ "$most" -gt 20 ] && [ "$most" -le 260 ]
    ok $? "$user: no more processes than pids_max ($most)"
    start=$(now_ms)
    launch -i bomb-$$ destroy
    is 0 $? "$user: the bomb's lease can be destroyed"
    took=$(($(now_ms) - start))
    wait $bomb
    is 0 "$(marked)" "$user: all is gone"
    [ $took -lt 2000 ]
    ok $? "$user: in less than two seconds ($took ms)"

    # SEC-08: daemons that ignore signals, in sessions of their own, some stopped.
    launch -i daemons-$$ -w "$work" -o pids_max=$((2500 * times)) -t 60000 -- \
        /work/burden daemons $((2000 * times)) $mark >"$place/begun-$user" 2>/dev/null &
    daemons=$!
    read -r line <"$place/begun-$user"
    most=$(marked)
    [ "$most" -ge $((2000 * times)) ]
    ok $? "$user: $most daemons live"
    start=$(now_ms)
    launch -i daemons-$$ destroy
    took=$(($(now_ms) - start))
    wait $daemons
    is 0 "$(marked)" "$user: none lives after the release"
    [ $took -lt 5000 ]
    ok $? "$user: which took less than five seconds ($took ms)"

    # SEC-12: many short commands on one lease; launch itself counts its descriptors.
    count=$((100 * times))
    start=$(now_ms)
    launch -n $count -- true
    is 0 $? "$user: $count commands one after the other leave no descriptor"
    echo "# $(($(now_ms) - start)) ms for $count commands"
    # And many processes that end within one: process 1 reaps them all.
    launch -o pids_max=4000 -t 60000 -- sh -c "
        i=0
        while [ \$i -lt $((2000 * times)) ]; do (: &); i=\$((i + 1)); done
        sleep 0.3
        grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l" >"$place/out"
    is "0 0" "$? $(cat "$place/out")" "$user: thousands of orphans leave no zombie"
    is "" "$(launch list)$(find /sys/fs/cgroup -maxdepth 6 -type d -name "*-$$" 2>/dev/null)" \
        "$user: no lease and no control group is left"
done
plan
