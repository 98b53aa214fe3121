#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the caller has, and what a careless configuration names, does not get into a sandbox.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long

# launch as another program's child: with COMMAND... in front of it.
launch_with() {
    before=$1
    shift
    $before $as "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" "$@"
}

for user in $users; do
    become $user

    # Streams: the open files stay the caller's
    flags=$( (
        exec 3>&1
        launch -- dd if=/dev/null oflag=nonblock status=none
        sed -n 's/^flags:[[:space:]]*//p' /proc/self/fdinfo/3 >&2
    ) 2>&1 >/dev/null | cat)
    case $flags in
    '') ok 1 "$user: O_NONBLOCK set inside stays inside (no flags read)" ;;
    *) is 0 $((0$flags & 04000)) "$user: O_NONBLOCK set inside stays inside" ;;
    esac
    pipe_flags=$( (
        exec 3>&1 1>&2
        launch -- dd if=/dev/null oflag=nonblock status=none >&3
        sed -n 's/^flags:[[:space:]]*//p' /proc/self/fdinfo/3
    ) 2>&1 3>&1 | tail -n 1)
    is 0 $((0${pipe_flags:-4000} & 04000)) "$user: neither for a pipe that others write to"
    mkfifo -m 0600 "$place/fifo-$user"
    [ -z "$as" ] || chown 65534:65534 "$place/fifo-$user"
    cat "$place/fifo-$user" >"$place/fifo-out" &
    launch -- sh -c 'echo through; chmod 0666 /proc/self/fd/1' >"$place/fifo-$user" 2>/dev/null
    wait $!
    is "600 through" "$(stat -c %a "$place/fifo-$user") $(cat "$place/fifo-out")" \
        "$user: a FIFO carries output, its mode is not the command's to change"

    # Priorities and the like
    if nice -n -5 true 2>/dev/null; then
        is 0 "$(launch_with 'nice -n -5' -- nice)" "$user: a raised priority is not inherited"
    else
        skip "$user: a raised priority is not inherited" "cannot raise one here"
    fi
    is 7 "$(launch_with 'nice -n 7' -- nice)" "$user: a lowered one is"
    if chrt -f 5 true 2>/dev/null; then
        launch_with 'chrt -f 5' -- chrt -p 0 | grep -q SCHED_OTHER
        ok $? "$user: real-time scheduling is not inherited"
    else
        skip "$user: real-time scheduling is not inherited" "cannot have it here"
    fi
    if setarch -R true 2>/dev/null; then
        is 00000000 "$(launch_with 'setarch -R' -- cat /proc/self/personality)" \
            "$user: fixed addresses are not inherited"
    else
        skip "$user: fixed addresses are not inherited" "no setarch -R here"
    fi
    printf '#!/bin/sh\necho -300 >/proc/$$/oom_score_adj || exit 9\nexec "$@"\n' >"$place/spared"
    chmod 755 "$place/spared"
    if "$place/spared" true 2>/dev/null; then
        is 0 "$(launch_with "$place/spared" -- cat /proc/self/oom_score_adj)" \
            "$user: a place before the out-of-memory killer is not inherited"
    else
        skip "$user: a place before the out-of-memory killer is not inherited" "cannot have it here"
    fi

    # Paths that lead elsewhere
    mkdir -p "$place/treasure/etc" "$place/outside"
    echo gold >"$place/treasure/etc/gold"
    ln -sfn / "$place/outside/root"
    for path in /. // /usr/.. "$place/outside/root" "$place/outside/root/." /proc/self/root /home; do
        launch -o "rootfs=$path" -- true 2>"$place/err"
        is "125 1" "$? $(grep -c sandbox_path_refused "$place/err")" "$user: rootfs = $path is refused"
    done
    rm -f "$work/data"
    ln -s "$place/treasure" "$work/data"
    launch -w "$work" -o "read_only=$work/data" -- cat "$work/data/etc/gold" >"$place/out" 2>&1
    is "125 1" "$? $(grep -c 'through the workspace' "$place/out")" \
        "$user: read_only through a link that the command can turn is refused"
    launch -w "$work" -o "rootfs=$work/data" -- cat /etc/gold >"$place/out" 2>&1
    is "125 1" "$? $(grep -c 'through the workspace' "$place/out")" "$user: rootfs through one too"
    ln -sfn "$work" "$place/outside/to-work"
    launch -w "$work" -o "read_only=$place/outside/to-work/data" -- true >"$place/out" 2>&1
    is "125 1" "$? $(grep -c 'through the workspace' "$place/out")" "$user: by a detour as well"
    rm -f "$work/data"
    ln -sfn "$place/treasure" "$place/outside/link"
    is gold "$(launch -w "$work" -o "read_only=$place/outside/link" -- cat "$place/outside/link/etc/gold")" \
        "$user: a link that only the owner can turn is followed"

    # Ended leases
    launch -n 2 -i ended-$$ -- sleep 0.7 2>"$place/err" &
    shell=$!
    sleep 0.4
    chmod 1700 "$runtime/sandbox/ended-$$" # as destroy does before it looks for processes
    wait $shell
    is "125 1" "$? $(grep -c 'lease_lost' "$place/err")" "$user: nothing starts in a lease that is being destroyed"
    launch -K -i left-$$ -- true
    chmod 1700 "$runtime/sandbox/left-$$"
    launch -R -i left-$$ -- true 2>"$place/err"
    is "125 1" "$? $(grep -c 'class 5' "$place/err")" "$user: nor is one taken up again"
    launch -i left-$$ destroy
    is "0 " "$? $(launch list)" "$user: but it can be destroyed"
    is "" "$(ls "$runtime/sandbox/uids" 2>/dev/null)" "$user: no lock of a user id is left"
done
plan
