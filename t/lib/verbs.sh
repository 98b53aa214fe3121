# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154,SC2034
# (SC2154: tap.sh sets status, stdout, stderr, scratch; SC2034: the test reads what is set here)
# verbs.sh - what tests of the verbs share, on top of tap.sh: the words of an error, JSON, status
# lines, waiting. Sourced after tap.sh.

json_get=$top_builddir/t/lib/json-get

# json POINTER...: of what the last billet wrote to its output.
json() {
    "$json_get" "$@" <"$scratch/stdout" 2>&1
}

# status_line FILE POINTER: of the lines that --status-fd wrote there.
status_line() {
    "$json_get" -l "$2" <"$1" 2>&1
}

# refused STATUS MESSAGE CODE HINT DESCRIPTION: how the last billet failed: its exit status, and the
# one line "billet: MESSAGE [CODE]", followed by "billet: HINT" when a hint is given, and nothing
# else. MESSAGE and HINT are whole, not patterns.
refused() {
    if [ -n "$4" ]; then
        tap_wanted=$(printf '%s: billet: %s [%s]\nbillet: %s' "$1" "$2" "$3" "$4")
    else
        tap_wanted="$1: billet: $2 [$3]"
    fi
    is "$status: $stderr" "$tap_wanted" "$5"
}

# wait_until COMMAND...: up to ten seconds for it to succeed.
wait_until() {
    tap_tries=100
    while [ "$tap_tries" -gt 0 ]; do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
        tap_tries=$((tap_tries - 1))
    done
    return 1
}

# now: seconds with a fraction, of a clock that only goes on.
now() {
    cut -d ' ' -f 1 </proc/uptime
}

# within SECONDS START DESCRIPTION: no more than that has passed since START, which is of now.
within() {
    tap_took=$(echo "$(now) $2" | awk '{ printf "%.2f", $1 - $2 }')
    if echo "$tap_took $1" | awk '{ exit !($1 <= $2) }'; then
        pass "$3"
    else
        fail "$3"
        diag "took $tap_took s, more than $1 s"
    fi
}

# start_billet ARGUMENT...: as `billet`, but in the background: its process is $billet_pid, its
# output and errors go to $scratch/stdout and $scratch/stderr. finish_billet waits for its end and
# sets status, stdout and stderr. Signals are as they are in a terminal, except the number in
# $start_ignoring, which is ignored as under nohup. A command that says it is ready and is then to be
# interrupted is 'echo ready; exec sleep 60': dash loses a SIGINT that comes while it starts another.
start_ignoring=
start_billet() {
    rm -f "$scratch/.pid"
    isolated "$top_builddir/t/lib/launch" ${start_ignoring:+-$start_ignoring} "$scratch/.pid" \
        "$billet_program" "$@" >"$scratch/stdout" 2>"$scratch/stderr" &
    start_job=$!
    wait_until test -s "$scratch/.pid"
    billet_pid=$(cat "$scratch/.pid")
}

finish_billet() {
    status=0
    wait "$start_job" 2>/dev/null || status=$?
    stdout=$(tr -d '\000' <"$scratch/stdout")
    stderr=$(tr -d '\000' <"$scratch/stderr")
}

# live_in ENVIRONMENT: the newest lease there is active, and that of the billet that was started last.
live_in() {
    billet lease list --environment "$1" --json
    case "$(json /leases/0/state) $(json /leases/0/owner)" in
    "active "*" $billet_pid "*) true ;;
    *) false ;;
    esac
}

# children_of PID: process ids, one a line.
children_of() {
    grep -s "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | sed 's,^/proc/\([0-9]*\)/.*,\1,'
}

no_process_left() {
    [ -z "$(left_processes)" ]
}

# on_terminal ARGUMENT...: billet as the leader of a session on a terminal; the script of its user is
# standard input, see t/lib/on_terminal.c. Sets status and, in stdout, what the terminal showed.
on_terminal() {
    cat >"$scratch/.script"
    status=0
    isolated "$top_builddir/t/lib/on-terminal" "$scratch/.script" "$billet_program" "$@" \
        >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    stdout=$(tr -d '\000\r' <"$scratch/stdout")
    stderr=$(tr -d '\000' <"$scratch/stderr")
}

# held_lease [OPTION...]: acquire one and set $lease.
held_lease() {
    billet lease acquire "$@"
    lease=$stdout
}

# need_fake: skips the test unless driver fake is built.
need_fake() {
    [ -f "$BILLET_DRIVER_DIR/driver_fake.so" ] || skip_all "needs driver fake, which is not built"
}

# A configuration that enables driver fake beside those as shipped; more comes from standard input.
fake_configuration() {
    {
        echo '[driver fake]'
        echo 'enabled = yes'
        cat
    } >"$scratch/billet.conf"
}
