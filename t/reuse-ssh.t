#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# A copy of a workspace on a host that goes from run to run: it is made like the workspace before each
# command, keeps what does not travel, and waits for its user where both were changed.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
. "$top_srcdir/t/lib/sshd.sh"
cat >"$scratch/billet.conf" <<END
$(ssh_driver)
[environment far]
driver = ssh
reuse = yes
END
work=$scratch/work
mkdir -p "$work/d"
echo one >"$work/file"
echo two >"$work/d/file"
echo 'built' >"$work/.gitignore"
# lease_of COMMAND...: a run that succeeds, and the lease that it had.
lease_of() {
    billet run -e far -w "$work" --status-fd 9 -- "$@" 9>"$scratch/status"
    [ "$status" = 0 ] || diag "$status $stderr"
    status_line "$scratch/status" /lease/id
}
state_of() {
    billet lease show "$1" --json
    json /state
}

first=$(lease_of sh -c 'echo here >made; echo objects >built')
is "$(cat "$work/made")" here "what the first run made comes back"
is "$(state_of "$first")" retained "its lease is held"
echo three >"$work/d/file"
rm "$work/file"
second=$(lease_of sh -c 'cat d/file made built; test ! -e file; echo again >>made')
is "$second" "$first" "the next run has the same one"
billet run -e far -w "$work" --json -- sh -c 'cat d/file made built >&2; test ! -e file; echo more >>made'
is "$status" 0 "and the one after it"
is "$stderr" "three
here
again
objects" "with what changed here, and what was built there"
is "$(cat "$work/made")" "here
again
more" "each run's changes come back"
is "$(json /workspace/mode)/$(json /lease)" "copy/$first" "by a copy of the same lease"
not_ok "what does not travel stays there" test -e "$work/built"
is "$(json /workspace/sent_files)" 0 "nothing is sent again that did not change"

# ---- another workspace ----
mkdir "$scratch/other"
echo else >"$scratch/other/file"
billet run -e far -w "$scratch/other" --json -- cat file
is "$status" 0 "another workspace is run in"
isnt "$(json /lease)" "$first" "with another lease"

# ---- history ----
if command -v git >/dev/null 2>&1; then
    (
        mkdir "$scratch/repository" && cd "$scratch/repository" && git init -q . && echo 0 >count &&
            git add count && git -c user.name=a -c user.email=a@b commit -qm zero
    ) >"$scratch/said" 2>&1
    commit='echo $1 >count; git -c user.name=a -c user.email=a@b commit -qam "run $1"; git log --format=%s'
    billet run -e far -w "$scratch/repository" --json -- sh -c "$commit" sh 1
    third=$(json /lease)
    (cd "$scratch/repository" && echo 2 >count && git -c user.name=a -c user.email=a@b commit -qam "here 2")
    billet run -e far -w "$scratch/repository" --json -- sh -c "$commit >&2" sh 3
    is "$(json /lease)/$(head -n 4 "$scratch/stderr")" "$third/run 3
here 2
run 1
zero" "commits of both sides are there"
    is "$(git -C "$scratch/repository" log --format=%s | head -n 1)/$(cat "$scratch/repository/count")" "run 3/3" \
        "and come back"
else
    skip 2 "needs git"
fi

# ---- changed apart ----
billet exec "$first" -- sh -c 'echo theirs >d/file'
echo ours >"$work/d/file"
apart=$(lease_of cat d/file)
isnt "$apart" "$first" "a copy that was changed apart is not used"
like "$(cat "$scratch/stderr")" "lease $first is kept and not used: .* were changed apart; 'billet pull $first'" \
    "which is told"
billet run -e far -w "$work" -- cat d/file
is "$status/$stdout" 0/ours "the run has the workspace as it is"
is "$(state_of "$first")" retained "the copy stays"
billet exec "$first" -- cat d/file
is "$status/$stdout" 0/theirs "with what was changed in it"
is "$(cat "$work/d/file")" ours "and the workspace is as it was"
billet pull "$first"
is "$status" 1 "its user has the two versions side by side"
is "$(cat "$work/d/file")/$(cat "$work"/d/file.billet-conflict-*)" ours/theirs "each as it was"
rm "$work"/d/file.billet-conflict-*
billet lease release "$first"
is "$status/$(state_of "$first")" 0/released "and ends the copy"

# ---- a run that is killed ----
start_billet run -e far -w "$work" -- sh -c 'echo lost >d/file; echo ready; sleep 6009'
wait_until grep -q ready "$scratch/stdout"
kill -KILL "$billet_pid"
finish_billet
billet lease reap --now
like "$(state_of "$apart")" '^(failed|released)$' "a run that was killed ends what it had taken"
last=$(lease_of cat d/file)
isnt "$last" "$apart" "and the next one has a fresh copy"
billet run -e far -w "$work" -- cat d/file
is "$stdout" ours "of what is here"

# ---- two at once ----
jobs=
for i in 1 2 3; do
    isolated "$billet_program" run -e far -w "$work" -- sh -c "echo $i >>turns" >/dev/null 2>"$scratch/err$i" &
    jobs="$jobs $!"
done
# shellcheck disable=SC2086
wait $jobs
is "$(sort "$work/turns" | tr -d '\n')" 123 "runs at once take turns"
is "$(lease_of true)" "$last" "on the same lease"

# ---- a host that is gone for a while ----
kill "$sshd_pid"
wait_until test ! -e "$far/pid"
billet run -e far -w "$work" -- true
is "$status" 125 "without its host nothing runs"
is "$(state_of "$last")" retained "and what is there is kept"
ok "the host is there again" start_sshd
is "$(lease_of true)" "$last" "and so is what was kept"
billet lease list --json
for id in $(printf '%s\n' "$stdout" | grep -o '"id": *"[0-9a-f-]*"' | cut -d'"' -f4); do
    billet lease destroy "$id"
done
is "$(ls "$far/leases")" "" "nothing is left on the host"
ok "no process is left" wait_until no_process_left
done_testing
