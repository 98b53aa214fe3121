#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet run in the sandbox environment as the caller and as an ordinary user: streams, exit status,
# time limit, signals, terminal, variables, workspace, held leases. What the sandbox keeps in is
# proven elsewhere (sandbox-escape.t).
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
[ -f "$BILLET_DRIVER_DIR/driver_sandbox.so" ] || skip_all "driver sandbox is not built"
need bwrap

# Each test is run for `who`: me, or the ordinary user.
who=me
sandbox() {
    if [ "$who" = me ]; then
        billet "$@"
    else
        as_user billet "$@"
    fi
}

# suite DIRECTORY: all of it, in a directory of that user's own.
suite() {
    base=$1
    work=$base/work
    if [ "$who" = me ]; then
        mkdir "$work"
    else
        as_user mkdir "$work"
    fi
    cd "$work" || exit 1

    # ---- streams, status ----
    sandbox run -e sandbox -w "$work" -- sh -c 'echo out; echo err >&2; exit 3'
    is "$status/$stdout/$stderr" 3/out/err "$who: output, errors and status are the command's"
    printf 'one\ntwo\n' >"$scratch/input"
    sandbox run -e sandbox -- sh -c 'cat; wc -l >&2 </dev/null' <"$scratch/input"
    is "$stdout" "one
two" "$who: input is passed on"
    head -c 5000000 /dev/zero >"$scratch/large"
    sandbox run -e sandbox -- cat <"$scratch/large"
    ok "$who: 5 MB pass through unchanged" cmp "$scratch/large" "$scratch/stdout"
    rm "$scratch/large"
    sandbox run -e sandbox -- printf '%s|' 'a b' '' '$HOME'
    is "$stdout" 'a b||$HOME|' "$who: arguments arrive as they are"
    sandbox run -e sandbox -- no-such-command
    refused 127 "no-such-command: command not found" command_not_found "" "$who: an unknown command is 127"
    sandbox run -e sandbox -- /etc
    is "$status" 126 "$who: a directory is 126"
    like "$stderr" '^billet: /etc cannot be run: .* \[command_not_invocable\]$' "$who: with one line"
    sandbox run -e sandbox -- sh -c 'kill -9 $$'
    is "$status" 137 "$who: a signal is 128 and its number"
    large=$(head -c 131000 /dev/zero | tr '\0' x)
    sandbox run -e sandbox -- sh -c 'for a; do printf %s "$a"; done | wc -c | tr -d " "' sh \
        "$large" "$large" "$large" "$large" "$large" "$large" "$large" "$large" "$large"
    is "$status/$stdout" 0/1179000 "$who: 1 MiB of arguments arrives"
    sandbox run -e sandbox --status-fd 9 -- sh -c 'exit 4' 9>"$scratch/status"
    is "$(status_line "$scratch/status" /lease/driver)/$(status_line "$scratch/status" /exit/code)" sandbox/4 \
        "$who: status lines"

    # ---- workspace ----
    echo before >"$work/file" 2>/dev/null || as_user sh -c 'echo before >"$1"' sh "$work/file"
    [ "$who" = me ] || chown "$tap_uid" "$work/file" 2>/dev/null
    sandbox run -e sandbox -w "$work" -- sh -c 'pwd; cat file; echo after >file; mkdir new; echo x >new/made'
    is "$status/$stdout" "0//work
before" "$who: the workspace is at /work"
    is "$(cat "$work/file") $(cat "$work/new/made")" "after x" "$who: what is written there stays"
    is "$(stat -c %u "$work/new/made")" "$(stat -c %u "$work")" "$who: and belongs to the owner of the workspace"
    sandbox run -e sandbox -- sh -c 'cd /work 2>/dev/null && ls'
    unlike "$stdout" '^file$' "$who: without -w there is no workspace in it"
    sandbox run -e sandbox -w / -- true
    refused 125 "/ cannot be the workspace of a confined environment" workspace_realization_failed \
        "give a directory of the project with -w" "$who: the root is no workspace"
    sandbox run -e sandbox -w "$base/none" -- true
    is "$status" 125 "$who: a workspace that is missing is refused"

    # ---- variables ----
    FOREIGN=secret
    export FOREIGN
    sandbox run -e sandbox --env A=1 --agent a1 --issue i1 --run-id r1 -- env
    unlike "$stdout" 'FOREIGN|secret|SSH_|^XDG_' "$who: nothing of the caller's environment is inherited"
    like "$stdout" '^A=1$' "$who: --env is"
    is "$(printf '%s\n' "$stdout" | grep -E '^BILLET_(AGENT|ISSUE|RUN)_ID=' | sort | tr '\n' ' ')" \
        "BILLET_AGENT_ID=a1 BILLET_ISSUE_ID=i1 BILLET_RUN_ID=r1 " "$who: so are the ids"
    like "$stdout" '^PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin$' "$who: PATH is the sandbox's own"

    # ---- time limit ----
    start=$(now)
    sandbox run -e sandbox --timeout 500ms -- sh -c '(setsid sleep 60 &); sleep 60'
    is "$status" 124 "$who: the time limit ends the whole tree"
    within 3 "$start" "$who: in time"

    # ---- held ----
    sandbox run -e sandbox -w "$work" --keep --json -- sh -c 'echo kept >kept'
    lease=$(json /lease)
    sandbox exec "$lease" -- sh -c 'pwd; cat kept; exit 6'
    is "$status/$stdout" "6//work
kept" "$who: exec runs in a held sandbox"
    sandbox exec "$lease" -- sh -c 'echo $$ >/dev/null; exit 7'
    is "$status" 7 "$who: again"
    sandbox lease release "$lease"
    is "$status" 0 "$who: which is released"
    sandbox run -e sandbox -w "$work" --retain-on-failure --json -- sh -c 'exit 9'
    lease=$(json /lease)
    sandbox exec "$lease" -- echo still there
    is "$status/$stdout" "0/still there" "$who: a sandbox kept on failure can be looked into"
    sandbox lease destroy "$lease"
    is "$status" 0 "$who: and destroyed"
    sandbox env probe sandbox
    is "$status" 0 "$who: a probe passes"
    like "$stdout" "^PASS  run +'true' ran" "$who: having run true in it"
    cd / || exit 1
}

suite "$scratch"
nothing_left "as the caller"

# ---- signals, terminal, beside a run: as the caller -------------------------------------------------
cd "$scratch/work" || exit 1
for pair in INT:2 TERM:15 HUP:1; do
    start_billet run -e sandbox --status-fd 9 -- sh -c 'echo ready; exec sleep 60' 9>"$scratch/status"
    wait_until grep -q ready "$scratch/stdout"
    start=$(now)
    kill "-${pair%:*}" "$billet_pid"
    finish_billet
    is "$status" "$((128 + ${pair#*:}))" "SIG${pair%:*} reaches the command"
    within 3 "$start" "and ends the run at once"
done
start_billet run -e sandbox -- sh -c 'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
wait_until grep -q ready "$scratch/stdout"
kill -TERM "$billet_pid"
finish_billet
is "$status/$(printf '%s\n' "$stdout" | tail -n 1)" 7/caught "a command may catch it"
nothing_left "after signals"
start_billet run -e sandbox -- sh -c '(setsid sleep 300 &); echo ready; sleep 300'
wait_until grep -q ready "$scratch/stdout"
kill -KILL "$billet_pid"
finish_billet
billet lease reap
is "$status" 0 "after SIGKILL 'lease reap' ends the lease"
nothing_left "after SIGKILL"

on_terminal run -e sandbox -it -- sh -c 'test -t 0 && stty size; trap "stty size; exit 5" WINCH; echo ready; while :; do sleep 0.1; done' <<'END'
expect 24 80
expect ready
resize 33 99
expect 33 99
END
is "$status" 5 "a terminal has the size of the caller's, and follows it"
on_terminal run -e sandbox -it -- sh -c 'echo ready; exec sleep 60' <<'END'
expect ready
type ^C
END
is "$status" 130 "Ctrl-C in it reaches the command"
on_terminal run -e sandbox -it -- sh -c 'trap "" HUP; echo ready; sleep 60' <<'END'
expect ready
hangup
END
is "$status" 129 "a closed terminal ends the run"
start=$(now)
isolated "$billet_program" run -e sandbox -- yes 2>"$scratch/stderr" | head -n 1 >"$scratch/head"
is "$(cat "$scratch/head")" y "a reader that stops reading gets what it read"
within 5 "$start" "and ends the run"
nothing_left "after terminals and pipes"

# ---- several at once ------------------------------------------------------------------------------
mkdir "$scratch/out"
n=0
jobs=
while [ "$n" -lt 8 ]; do
    n=$((n + 1))
    (
        isolated "$billet_program" run -e sandbox -w "$scratch/work" --workspace-mode bind -- sh -c "echo $n >at-once-$n; exit 3" >"$scratch/out/$n" 2>&1
        echo "$?" >>"$scratch/out/$n"
    ) &
    jobs="$jobs $!"
done
# shellcheck disable=SC2086
wait $jobs
is "$(cat "$scratch"/out/* | sort | uniq -c | tr -s ' ')" " 8 3" "eight sandboxes at once end as their commands do"
is "$(cat "$scratch"/work/at-once-* | grep -c .)" 8 "and share the workspace"
jobs=
for n in 1 2 3; do
    (
        isolated "$billet_program" run -e sandbox -w "$scratch/work" -- sh -c 'cat turns; echo "$1" >>turns' sh "$n" 2>"$scratch/out/$n" >/dev/null
        echo "$?" >>"$scratch/out/$n"
    ) &
    jobs="$jobs $!"
done
# shellcheck disable=SC2086
wait $jobs
is "$(sort "$scratch/work/turns" | tr -d '\n')" 123 "without a choice of mode one run at a time changes the workspace"
is "$(grep -Lx 0 "$scratch"/out/[123])" "" "and each ends as its command does"
nothing_left "after eight at once"

# ---- refusals -------------------------------------------------------------------------------------
printf '[environment launcherless]\ndriver = sandbox\nbubblewrap = /nowhere/bwrap\n[environment tight]\ndriver = sandbox\npids_max = 16\nmemory_max = 64MiB\n' \
    >"$scratch/billet.conf"
billet run -e launcherless -- true
is "$status" 125 "without bubblewrap nothing runs"
like "$stderr" '^billet: .*/nowhere/bwrap.* \[[a-z_]+\]$' "and one line says so"
like "$stderr" '^billet: .*(install|bubblewrap)' "with the remedy"
billet run -e tight -- sh -c 'i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i + 1)); done; wait; echo all'
unlike "$stdout" all "a limit of processes holds"
billet run -e tight -- sh -c 'head -c 200000000 /dev/zero | tail | wc -c; exit 0'
unlike "$stdout" 200000000 "a limit of memory holds"
rm "$scratch/billet.conf"
nothing_left "after refusals"

# ---- programs that only their owner reaches -------------------------------------------------------
mkdir -m 0700 "$scratch/private"
cp "$BILLET_LIBEXEC_DIR"/billet-driver-host "$BILLET_LIBEXEC_DIR"/billet-sandbox-init "$scratch/private"
for mode in 0700 0711; do
    chmod $mode "$scratch/private"
    tap_run isolated env BILLET_LIBEXEC_DIR="$scratch/private" "$billet_program" run -e sandbox -- \
        sh -c 'echo seen; ls /sys 2>&1 | wc -l'
    is "$status/$stdout" "0/seen
1" "with programs in a directory of mode $mode"
done
nothing_left "after private programs"

# ---- as an ordinary user --------------------------------------------------------------------------
if is_root; then
    if user_ready && as_user unshare --user --map-root-user true 2>/dev/null; then
        who=user
        suite "$user_scratch"
        nothing_left "as an ordinary user"
    else
        skip 35 "${tap_reason:-no user namespaces for an ordinary user}"
    fi
fi
done_testing
