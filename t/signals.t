#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Signals at every moment of a run: it ends promptly with 128 and the signal's number, and nothing is
# left; also when billet itself is killed, after one 'lease reap'.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" "$scratch/resources" && cd "$scratch/work" || exit 1

fake_configuration <<END
[environment slow-check]
driver = fake
directory = $scratch/resources
script = check_config:delay:30s
[environment slow-acquire]
driver = fake
directory = $scratch/resources
script = acquire:delay:30s
[environment stuck-acquire]
driver = fake
directory = $scratch/resources
script = acquire:hang
[environment slow-realize]
driver = fake
directory = $scratch/resources
script = realize:delay:30s
[environment slow-exec]
driver = fake
directory = $scratch/resources
script = exec:delay:30s
[environment slow-release]
driver = fake
directory = $scratch/resources
script = release:delay:1s
[environment slow-resume]
driver = fake
directory = $scratch/resources
script = resume:delay:30s
[environment slow-provision]
driver = local
provision = echo provisioning >&2; sleep 30
END

host_runs() {
    [ -n "$(children_of "$billet_pid")" ]
}

# state_is STATE: the only live lease.
state_is() {
    billet lease list --json --environment "$phase" && test "$(json /leases/0/state)" = "$1"
}

# in_phase ENVIRONMENT: a run of it, brought to where it is slow.
in_phase() {
    phase=$1
    cp /dev/null "$scratch/status"
    start_billet run -e "$phase" --status-fd 9 -- sleep 30 9>"$scratch/status"
    mv "$scratch/stdout" "$scratch/run.stdout"
    mv "$scratch/stderr" "$scratch/run.stderr"
    case $phase in
    slow-check) wait_until host_runs && sleep 0.3 ;;
    *-acquire) wait_until state_is acquiring && sleep 0.2 ;;
    slow-realize) wait_until state_is acquiring && sleep 0.2 ;;
    *-exec | slow-local) wait_until grep -q '"started"' "$scratch/status" ;;
    slow-provision) wait_until grep -q provisioning "$scratch/run.stderr" ;;
    esac
}

# end_phase: the run's end.
end_phase() {
    mv "$scratch/run.stdout" "$scratch/stdout"
    mv "$scratch/run.stderr" "$scratch/stderr"
    finish_billet
}

resources_left() {
    find "$scratch/resources" -name 'fake-*'
}

# ---- a signal in each phase ---------------------------------------------------------------------
for phase in slow-check slow-acquire slow-realize slow-provision; do
    for pair in INT:2 TERM:15 HUP:1; do
        in_phase "$phase"
        start=$(now)
        kill "-${pair%:*}" "$billet_pid"
        end_phase
        is "$status" "$((128 + ${pair#*:}))" "$phase: SIG${pair%:*} ends the run with 128 and its number"
        within 2 "$start" "$phase: at once"
        like "$stderr" '^billet: .*cancelled .*\[cancelled\]$' "$phase: and one line says so"
        is "$(status_line "$scratch/status" /exit/cancelled)" true "$phase: status-fd has it"
        is "$(status_line "$scratch/status" /error/code)" cancelled "$phase: with the code"
        is "$(left_leases)$(resources_left)" "" "$phase: no lease and no resource is left"
    done
done
nothing_left "after signals before the command"

in_phase stuck-acquire
start=$(now)
kill -INT "$billet_pid"
end_phase
is "$status" 130 "a driver that does not listen is given up"
within 4 "$start" "after two seconds"
like "$stderr" '^billet: .*cancelled during acquire of driver fake, which was killed \[cancelled\]$' \
    "and the line names it"
billet lease list --all --json --environment stuck-acquire
is "$(json /leases/0/state)" failed "its lease has ended"
nothing_left "after a stuck driver"

# ---- during the command -------------------------------------------------------------------------
for pair in INT:2 TERM:15 HUP:1 QUIT:3; do
    start_billet run --status-fd 9 -- sleep 30 9>"$scratch/status"
    wait_until grep -q '"started"' "$scratch/status"
    start=$(now)
    kill "-${pair%:*}" "$billet_pid"
    finish_billet
    is "$status" "$((128 + ${pair#*:}))" "SIG${pair%:*} goes to the command, which dies of it"
    within 2 "$start" "at once"
    is "$(status_line "$scratch/status" /exit/signal)" "${pair#*:}" "and status-fd says so"
done
start_billet run --status-fd 9 -- sh -c 'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.1; done' \
    9>"$scratch/status"
wait_until grep -q ready "$scratch/stdout"
kill -TERM "$billet_pid"
finish_billet
is "$status/$(printf '%s\n' "$stdout" | tail -n 1)" 7/caught "a command that catches it ends as it likes"
is "$(status_line "$scratch/status" /exit/cancelled)" false "which is no cancelling"

start_billet run --status-fd 9 -- sh -c 'trap "" INT TERM HUP; echo ready; while :; do sleep 0.2; done' \
    9>"$scratch/status"
wait_until grep -q ready "$scratch/stdout"
for number in 1 2; do
    kill -INT "$billet_pid"
    sleep 0.3
done
ok "a command that ignores signals goes on" kill -0 "$billet_pid"
kill -INT "$billet_pid"
start=$(now)
finish_billet
is "$status" 130 "the third signal ends its whole tree"
within 12 "$start" "within the grace of kill_after"
is "$(status_line "$scratch/status" /exit/cancelled)" true "which is a cancelling"
nothing_left "after signals during the command"

# A release takes its time and is not left half done.
start_billet run -e slow-release --status-fd 9 -- true 9>"$scratch/status"
wait_until grep -q '"exit"' "$scratch/status"
kill -INT "$billet_pid"
finish_billet
is "$status/$stderr" 0/ "a signal after the command's end changes nothing of it"
is "$(left_leases)$(resources_left)" "" "and the release is finished"

# ---- ignored as under nohup ---------------------------------------------------------------------
start_ignoring=1
start_billet run -- sh -c 'echo ready; sleep 1; echo done'
start_ignoring=
wait_until grep -q ready "$scratch/stdout"
kill -HUP "$billet_pid"
finish_billet
is "$status/$stdout" "0/ready
done" "SIGHUP stays ignored under nohup"

# ---- other verbs --------------------------------------------------------------------------------
for words in 'lease acquire -e slow-acquire' 'lease acquire -e slow-realize -w .'; do
    # shellcheck disable=SC2086
    start_billet $words
    mv "$scratch/stdout" "$scratch/run.stdout"
    mv "$scratch/stderr" "$scratch/run.stderr"
    phase=${words#*-e }
    phase=${phase%% *}
    wait_until state_is acquiring
    sleep 0.2
    start=$(now)
    kill -TERM "$billet_pid"
    end_phase
    is "$status/$stdout" 143/ "$words: SIGTERM ends it"
    within 2 "$start" "$words: at once"
    is "$(left_leases)$(resources_left)" "" "$words: nothing is held"
done
held_lease -e slow-resume
start_billet exec "$lease" -- true
wait_until host_runs
sleep 0.3
start=$(now)
kill -INT "$billet_pid"
finish_billet
is "$status" 130 "exec: SIGINT ends the taking up of a lease"
within 2 "$start" "exec: at once"
billet lease show "$lease" --json
is "$(json /state)" retained "exec: and leaves the lease as it was"
billet lease destroy "$lease"
is "$status/$(resources_left)" 0/ "which can then be ended"

# ---- billet itself is killed --------------------------------------------------------------------
for phase in slow-check slow-acquire slow-realize slow-exec slow-provision; do
    in_phase "$phase"
    kill -KILL "$billet_pid"
    end_phase
    is "$status" 137 "$phase: billet is killed"
    wait_until no_process_left
    billet lease reap
    is "$status" 0 "$phase: 'lease reap' ends what it left"
    is "$(left_leases)$(resources_left)" "" "$phase: no lease and no resource is left"
done
start_billet run -- sh -c 'trap "" HUP TERM INT; (setsid sleep 300 &); echo ready; while :; do sleep 0.2; done'
wait_until grep -q ready "$scratch/stdout"
kill -KILL "$billet_pid"
finish_billet
billet lease reap
is "$status" 0 "during a command: 'lease reap' ends the lease"
nothing_left "after billet was killed"

# ---- the driver host is killed ------------------------------------------------------------------
start_billet run --status-fd 9 -- sh -c '(setsid sleep 300 &); echo ready; sleep 300' 9>"$scratch/status"
wait_until grep -q ready "$scratch/stdout"
for pid in $(children_of "$billet_pid"); do
    kill -KILL "$pid"
done
finish_billet
refused 125 "driver local was killed by signal 9 (killed) during exec" driver_crashed \
    "a bug of the driver; a core dump can be had with BILLET_DRIVER_CORE=1 in the environment" \
    "a driver host that is killed ends the run"
is "$(status_line "$scratch/status" /exit/origin)" driver "status-fd says whose fault it was"
nothing_left "after the driver host was killed"
done_testing
