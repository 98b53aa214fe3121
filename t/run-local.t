#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet run in the local environment: streams, exit status, what the command gets, what is recorded.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

# ---- the ordinary case --------------------------------------------------------------------------
billet run -- sh -c 'echo out; echo err >&2'
is "$status/$stdout/$stderr" "0/out/err" "output, errors and success are the command's"
billet run -- sh -c 'pwd; echo word >made-here'
is "$stdout" "$scratch/work" "the command stands where the caller does"
is "$(cat made-here)" word "what it writes stays in the workspace"
echo "one two" >"$scratch/input"
billet run -- cat <"$scratch/input"
is "$stdout" "one two" "standard input is passed on"
billet run -n -- cat <"$scratch/input"
is "$stdout" "" "with -n the command has no input"
billet run -- printf '%s|' 'a b' '' '$HOME' '*' 'new
line'
is "$stdout" 'a b||$HOME|*|new
line|' "arguments arrive as they are"
mkdir other
billet run -w other -- pwd
is "$stdout" "$scratch/work/other" "-w chooses the workspace"
billet run --directory / -- pwd
is "$stdout" / "--directory chooses where the command stands"
billet run -e local -- echo named
is "$status/$stdout" 0/named "the environment can be named"
billet run echo without dashes
is "$status/$stdout" "0/without dashes" "options end at the command also without --"
billet run printf '%s %s' -n -e
is "$stdout" "-n -e" "options after the command are the command's"

# ---- exit status --------------------------------------------------------------------------------
for number in 1 2 42 124 125 126 127 255; do
    billet run --status-fd 9 -- sh -c "exit $number" 9>"$scratch/status"
    is "$status:$stderr" "$number:" "exit status $number is passed on without a word"
    is "$(status_line "$scratch/status" /exit/origin)" command "status-fd tells it from billet's own $number"
done
for pair in HUP:1 INT:2 QUIT:3 KILL:9 SEGV:11 TERM:15 USR1:10; do
    billet run -- sh -c "ulimit -c 0; kill -${pair%:*} \$\$"
    is "$status" "$((128 + ${pair#*:}))" "a command that SIG${pair%:*} killed gives 128 and its number"
done
billet run -- no-such-command-here
refused 127 "no-such-command-here: command not found" command_not_found "" "an unknown command is 127"
billet run -- ./no-such-file
refused 127 "./no-such-file: command not found" command_not_found "" "a missing file is 127"
printf '#!/bin/sh\n' >plain && chmod 0644 plain
billet run -- ./plain
refused 126 "./plain cannot be run: Permission denied" command_not_invocable "" \
    "a file without permission is 126"
billet run -- "$scratch/work"
refused 126 "$scratch/work cannot be run: Permission denied" command_not_invocable "" "a directory is 126"
printf 'no program\n' >garbage && chmod 0755 garbage
billet run -- ./garbage
refused 126 "./garbage cannot be run: Exec format error" command_not_invocable "" \
    "a file of no known format is 126"
printf '#!/no/such/interpreter\n' >script && chmod 0755 script
billet run -- ./script
is "$status" 127 "a script whose interpreter is missing is 127"
nothing_left "after commands that failed"

# ---- time limit ---------------------------------------------------------------------------------
start=$(now)
billet run --timeout 300ms -- sleep 30
refused 124 "sleep was ended after 300ms" timed_out "" "the time limit ends the command"
within 2 "$start" "in time"
# Sanitizers make each of its processes slow.
[ -z "${BILLET_SANITIZERS:-}" ] || grace=8
# kill_after is ten seconds as shipped.
printf '[environment impatient]\ndriver = local\nkill_after = 1s\n' >"$scratch/billet.conf"
start=$(now)
billet run -e impatient --timeout 500ms --status-fd 9 -- sh -c '
    trap "" TERM INT HUP
    (setsid sh -c "trap \"\" TERM HUP; echo \$\$ >deep; while :; do sleep 30; done" &)
    while :; do sleep 30; done' 9>"$scratch/status" </dev/null
is "$status" 124 "the time limit ends what ignores signals"
is "$(status_line "$scratch/status" /exit/timed_out)" true "status-fd says that it was the limit"
is "$(status_line "$scratch/status" /exit/origin)" billet "and that billet did it"
ok "the escaped process had started" test -s deep
not_ok "and is ended with the rest" kill -0 "$(cat deep)"
within "${grace:-3}" "$start" "a tree that ignores signals ends after the grace of kill_after"
rm "$scratch/billet.conf"
nothing_left "after a time limit"
billet run --timeout 0 -- echo unlimited
is "$status/$stdout" 0/unlimited "a limit of 0 is none"

# ---- --status-fd --------------------------------------------------------------------------------
billet run --status-fd 9 -- true 9>"$scratch/status"
is "$(wc -l <"$scratch/status" | tr -d ' ')" 3 "three lines: lease, started, exit"
is "$(status_line "$scratch/status" /lease/format_version)" 1.0 "the first gives the format's version"
is "$(status_line "$scratch/status" /lease/environment)" local "and the environment"
lease=$(status_line "$scratch/status" /lease/id)
like "$(status_line "$scratch/status" /started/pid)" '^[1-9][0-9]*$' "the second the process"
is "$(status_line "$scratch/status" /exit/code)" 0 "the third the exit code"
billet run --status-fd 9 -- sh -c 'kill -9 $$' 9>"$scratch/status"
is "$(status_line "$scratch/status" /exit/signal)" 9 "or the signal"
billet run --status-fd 9 -- no-such-command-here 9>"$scratch/status"
is "$(status_line "$scratch/status" /exit/errno)" 2 "or the error number"
is "$(status_line "$scratch/status" /started/pid)" "" "a command that did not start has no line of it"
billet run --status-fd 9 -e nowhere -- true 9>"$scratch/status"
is "$(status_line "$scratch/status" /error/code)" environment_not_found "a refusal is a line"
is "$(status_line "$scratch/status" /exit/status)" 125 "followed by the end"
is "$(status_line "$scratch/status" /exit/origin)" billet "whose origin is billet"
billet run --status-fd 9 -- sh -c 'echo inherited >&9' 9>"$scratch/status"
unlike "$(cat "$scratch/status")" inherited "the command cannot write to the descriptor"

# ---- --json -------------------------------------------------------------------------------------
billet run --json -- sh -c 'echo to the command; exit 7'
is "$status" 7 "--json keeps the exit status"
is "$(json /format_version /exit/code /exit/origin /held)" "$(printf '1.0\n7\ncommand\nfalse')" \
    "--json prints one object"
is "$stderr" "to the command" "and the command's output goes to the errors"
like "$(json /steps_ms/acquire)" '^[0-9.e-]+$' "with the time of each step"
billet run --json -e nowhere -- true
is "$status/$(json /error/code)" 125/environment_not_found "--json has the error of a refusal"

# ---- what the command gets ----------------------------------------------------------------------
own='x y'
FOREIGN=secret LC_TIME=C own=$own
export FOREIGN LC_TIME own
billet run --tenant acme --agent agent-7 --issue 'issue 9' --run-id run-5 -- env
is "$(printf '%s\n' "$stdout" | grep -E '^BILLET_(TENANT|AGENT_ID|ISSUE_ID|RUN_ID|ENVIRONMENT)=' | sort)" \
    "BILLET_AGENT_ID=agent-7
BILLET_ENVIRONMENT=local
BILLET_ISSUE_ID=issue 9
BILLET_RUN_ID=run-5
BILLET_TENANT=acme" "the ids are in the command's environment"
like "$stdout" '^BILLET_LEASE_ID=[0-9a-f]{8}-[0-9a-f]{4}-7' "and the lease's"
unlike "$stdout" '^FOREIGN=' "a variable of the caller is not inherited"
unlike "$stdout" '^BILLET_(STORE|DRIVER_DIR|STORE_DIR|CONFIG|STATE_DIR)' "nor are billet's own settings"
like "$stdout" '^LC_TIME=C$' "locale variables are"
like "$stdout" "^PATH=$PATH\$" "and PATH"
like "$stdout" "^HOME=$scratch/home\$" "and HOME"
billet run --env own --env FOREIGN=other --env EMPTY= --env NOT_SET_ANYWHERE -- env
like "$stdout" '^own=x y$' "--env NAME passes the caller's on"
like "$stdout" '^FOREIGN=other$' "--env NAME=VALUE sets one"
like "$stdout" '^EMPTY=$' "also to nothing"
unlike "$stdout" '^NOT_SET_ANYWHERE' "--env NAME of one that is not set sets none"
billet run --env A=1 --env A=2 -- sh -c 'echo "$A"'
is "$stdout" 2 "the last of a name wins"
billet run --env BILLET_LEASE_ID=forged --env BILLET_TENANT=forged -- env
unlike "$stdout" forged "billet's own ids cannot be forged"
billet run --env PATH=/nowhere -- sh -c 'exit 0'
is "$status" 127 "the command is looked for in the PATH it gets"
billet run --env "A=line
two" -- sh -c 'echo "$A"'
is "$stdout" "line
two" "a value may have any bytes"

# ---- what is recorded ---------------------------------------------------------------------------
billet --version >/dev/null
billet run --tenant acme --agent agent-7 --issue issue-9 --run-id run-6 --status-fd 9 -- sh -c 'exit 3' \
    9>"$scratch/status"
lease=$(status_line "$scratch/status" /lease/id)
billet lease show "$lease" --tenant acme --json
is "$(json /state /tenant /agent /issue /run /environment /driver /outcome/code /command)" \
    "released
acme
agent-7
issue-9
run-6
local
local
3
sh -c exit 3" "the lease's row has the ids and the outcome"
rows=$(json '/history/#')
is "$(n=0
    while [ "$n" -lt "$rows" ]; do
        json "/history/$n/action"
        n=$((n + 1))
    done)" "lease.requested
lease.acquired
workspace.realized
exec.started
exec.ended
lease.releasing
lease.released" "every step is an activity"
is "$(n=0
    while [ "$n" -lt "$rows" ]; do
        json "/history/$n/tenant" "/history/$n/agent" "/history/$n/issue" "/history/$n/run" "/history/$n/lease" |
            tr '\n' ' '
        n=$((n + 1))
    done | tr -s ' ' '\n' | sort -u | tr '\n' ' ')" \
    "$(printf '%s\n' acme agent-7 issue-9 run-6 "$lease" | sort | tr '\n' ' ')" "every activity has the ids"
billet lease show "$lease"
is "$status" 125 "another tenant does not see the lease"

nothing_left "at the end"
done_testing
