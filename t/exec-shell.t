#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet exec and shell on a held lease; --keep and --retain-on-failure; terminals.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

lease_state() {
    billet lease show "$1" --json
    json /state
}

# ---- --keep, exec, release ----------------------------------------------------------------------
billet run --keep --status-fd 9 -- sh -c 'echo first >kept' 9>"$scratch/status"
lease=$(status_line "$scratch/status" /lease/id)
is "$status" 0 "a run with --keep ends as its command does"
is "$stderr" "billet: lease $lease is held; 'billet lease release' ends it" "and says what is held"
is "$(lease_state "$lease")" retained "its lease is held"
billet run --keep --json -- sh -c 'exit 3'
second=$(json /lease)
is "$status/$(json /held)" 3/true "--keep holds it after a failure, too"

billet exec "$lease" -- cat kept
is "$status/$stdout" 0/first "exec runs in the workspace of the lease"
cd / || exit 1
billet exec "$lease" -- pwd
is "$stdout" "$scratch/work" "wherever it is called from"
cd "$scratch/work" || exit 1
billet exec "$(printf '%.13s' "$lease")" -- echo prefix
is "$status/$stdout" 0/prefix "the first bytes of a lease's id are enough"
billet exec "$lease" -- sh -c 'echo out; echo err >&2; exit 42'
is "$status/$stdout/$stderr" "42/out/err" "exec passes output, errors and status on"
echo typed >"$scratch/input"
billet exec "$lease" -- cat <"$scratch/input"
is "$stdout" typed "and input"
billet exec -n "$lease" -- cat <"$scratch/input"
is "$stdout" "" "except with -n"
billet exec --env A=1 "$lease" -- sh -c 'echo "$A $BILLET_LEASE_ID"'
is "$stdout" "1 $lease" "exec gives variables and the lease's id"
billet exec --directory / "$lease" -- pwd
is "$stdout" / "exec takes a directory"
billet exec "$lease" -- no-such-command
refused 127 "no-such-command: command not found" command_not_found "" "exec of an unknown command is 127"
start=$(now)
billet exec --timeout 300ms "$lease" -- sleep 20
refused 124 "sleep was ended after 300ms" timed_out "" "exec has a time limit"
within 2 "$start" "that ends it in time"
billet exec --status-fd 9 "$lease" -- sh -c 'exit 6' 9>"$scratch/status"
is "$(status_line "$scratch/status" /lease/id)" "$lease" "exec writes status lines"
is "$(status_line "$scratch/status" /exit/code)" 6 "with the end"
is "$(lease_state "$lease")" retained "after all that the lease is still held"
billet exec "$lease"
is "$status" 125 "exec without a command is refused"
like "$stderr" '^billet: no command was given: .*\[usage\]$' "with one line"
billet exec
is "$status" 125 "exec without a lease is refused"
billet exec 00000000-0000-7000-8000-000000000000 -- true
refused 125 "there is no lease '00000000-0000-7000-8000-000000000000'" lease_not_found \
    "see billet lease list --all" "a lease that is not there"
billet exec --tenant other "$lease" -- true
refused 125 "there is no lease '$lease'" lease_not_found "see billet lease list --all" "another tenant's lease is not there either, in the same words"

billet lease release "$lease" "$second"
is "$status/$stdout$stderr" 0/ "release ends what is held"
is "$(lease_state "$lease")" released "it is released"
billet exec "$lease" -- true
refused 125 "lease $lease is released" lease_not_live "'billet lease list' shows the live ones" \
    "nothing runs on a lease that has ended"
nothing_left "after the release"

# ---- --retain-on-failure ------------------------------------------------------------------------
billet run --retain-on-failure --json -- true
is "$status/$(json /held)" 0/false "--retain-on-failure ends the lease of a success"
billet run --retain-on-failure --json -- sh -c 'echo evidence >evidence; exit 9'
is "$status/$(json /held)" 9/true "and holds that of a failure"
lease=$(json /lease)
billet exec "$lease" -- cat evidence
is "$stdout" evidence "for inspection"
billet lease release "$lease"
nothing_left "after the inspection"

# ---- beside a run -------------------------------------------------------------------------------
start_billet run --status-fd 9 -- sh -c 'echo ready; while [ ! -e stop ]; do sleep 0.1; done; exit 5' 9>"$scratch/status"
mv "$scratch/stdout" "$scratch/run.stdout"
mv "$scratch/stderr" "$scratch/run.stderr"
wait_until grep -q ready "$scratch/run.stdout"
lease=$(status_line "$scratch/status" /lease/id)
billet exec "$lease" -- sh -c 'echo beside; exit 4'
is "$status/$stdout" 4/beside "exec works on the lease of a running command"
is "$(lease_state "$lease")" active "which stays active"
billet lease release "$lease"
refused 125 "lease $lease is in use by a running command" lease_busy \
    "'billet lease destroy $lease' ends it with its command" "release refuses a lease in use"
billet exec "$lease" -- touch stop
mv "$scratch/run.stdout" "$scratch/stdout"
mv "$scratch/run.stderr" "$scratch/stderr"
finish_billet
is "$status" 5 "and the run ends as its own command does"
nothing_left "after a run with a command beside it"

# ---- terminals ----------------------------------------------------------------------------------
on_terminal run -it -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size && echo "$TERM"; exit 8' <<'END'
END
is "$status/$stdout" "8/24 80
$TERM" "run -t gives the command a terminal of the same size"
on_terminal run -it -- sh -c 'trap "stty size; echo resized; exit 0" WINCH; echo ready; while :; do sleep 0.1; done' <<'END'
expect ready
resize 41 132
expect 41 132
expect resized
END
is "$status" 0 "a change of its size reaches the command"
on_terminal run -it -- sh -c 'stty -echo; echo ready; read -r line; echo "got <$line>"' <<'END'
expect ready
send typed words
expect got <typed words>
END
is "$status" 0 "what is typed reaches the command"
on_terminal run -it -- sleep 20 <<'END'
sleep 500
type ^C
END
is "$status" 130 "Ctrl-C in the command's terminal ends the command"
on_terminal run -- sleep 20 <<'END'
sleep 500
type ^C
END
is "$status" 130 "and without one of its own, too"
on_terminal run -it -- sh -c 'stty raw -echo; exit 0' <<'END'
END
is "$status" 0 "a command may change its terminal"
printf '%s\n' 'expect $ ' 'send echo $((20+3))' 'expect 23' 'send exit 3' >"$scratch/shell-script"
billet run --keep --json -- true
lease=$(json /lease)
PS1='$ '
export PS1
ENV='' on_terminal exec -it "$lease" -- env PS1='$ ' sh <"$scratch/shell-script"
is "$status" 3 "exec -t gives an interactive shell"
on_terminal shell "$lease" <<'END'
sleep 300
send echo $((20+4))
expect 24
send exit 4
END
is "$status" 4 "so does shell"
echo 'echo from a script; exit 2' >"$scratch/input"
billet shell "$lease" <"$scratch/input"
is "$status/$stdout" "2/from a script" "shell without a terminal reads its commands from the input"
billet shell
is "$status" 125 "shell wants a lease"
billet shell no-such-lease
is "$status" 125 "and one that there is"
billet lease release "$lease"

# The terminal is closed while the command runs, as by a lost connection.
on_terminal run -it -- sh -c 'trap "" HUP; echo ready; sleep 300' <<'END'
expect ready
hangup
END
is "$status" 129 "a run whose terminal is closed ends, also when the command ignores the hangup"
nothing_left "after a closed terminal"
on_terminal run -- sh -c 'echo ready; exec sleep 300' <<'END'
expect ready
hangup
END
is "$status" 129 "also when the command had no terminal of its own"
nothing_left "after a hangup"
done_testing
