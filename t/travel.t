#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Workspaces that travel, in the modes overlay and copy of the sandbox: what comes back, conflicts,
# hostile changes, a lease that is held with push and pull, two runs at once.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
[ -f "$BILLET_DRIVER_DIR/driver_sandbox.so" ] || skip_all "driver sandbox is not built"
need bwrap
billet driver probe sandbox
like "$stdout" 'overlay +' "the probe says whether an overlay can be mounted"
modes=copy
printf '%s\n' "$stdout" | grep -q '^PASS  overlay' && modes="overlay copy"
work=$scratch/work
mkfifo "$scratch/fifo"
exec 7<>"$scratch/fifo"

# ---- without a choice of mode ----
mkdir -p "$work/node_modules"
echo 'out/' >"$work/.gitignore"
billet run -e sandbox -w "$work" --json -- sh -c 'mkdir out; echo o >out/program; echo m >node_modules/m'
if [ "$modes" = copy ]; then
    is "$(json /workspace/mode)" bind "where no overlay can be mounted the directory itself is"
    like "$(json /workspace/mode_reason)" overlay "and the reason is told"
else
    is "$(json /workspace/mode)" overlay "without a choice of mode it is an overlay"
    is "$(json /workspace/mode_reason)" "" "for which there is no reason to give"
fi
is "$status/$(cat "$work/out/program" "$work/node_modules/m")" "0/o
m" "what a build makes comes back, also where .gitignore names it"
billet run -e sandbox -w "$scratch" --json -- true
is "$status/$(json /workspace/mode)/$(json /workspace/mode_reason)" \
    "0/bind/the workspace holds billet's own state directory" \
    "a directory that holds billet's own state is no overlay"
if is_root && [ "$modes" != copy ] && user_ready && as_user unshare --user --map-root-user true 2>/dev/null; then
    as_user mkdir -p "$user_scratch/shared/deep/er"
    as_user billet run -e sandbox -w "$user_scratch/shared" --json -- sh -c 'echo x >made'
    is "$status/$(json /workspace/mode)" 0/overlay "an ordinary user's own tree is an overlay"
    echo theirs >"$user_scratch/shared/deep/er/file"
    chown "$tap_uid:0" "$user_scratch/shared/deep/er/file"
    as_user billet run -v -e sandbox -w "$user_scratch/shared" --json -- sh -c 'echo y >>deep/er/file'
    is "$status/$(json /workspace/mode)/$(json /workspace/mode_reason)" \
        "0/bind/deep/er/file belongs to another user or group" \
        "with a file of another group in it, it is the directory itself"
    like "$stderr" 'workspace mode bind instead of overlay: deep/er/file' "and -v tells"
    is "$(cat "$user_scratch/shared/deep/er/file")" "theirs
y" "so that the command can change that file"
else
    skip 4 "needs root, an overlay and user namespaces"
fi
if is_root && user_ready && as_user unshare --user --map-root-user true 2>/dev/null; then
    mkdir "$user_scratch/theirs"
    echo read >"$user_scratch/theirs/file"
    as_user billet run -e sandbox -w "$user_scratch/theirs" --workspace-mode copy -- cat file
    is "$status/$stdout/$stderr" 0/read/ "a tree that its user can only read may be copied, and come back unchanged"
    as_user billet run -e sandbox -w "$user_scratch/theirs" --workspace-mode copy -- sh -c 'echo x >new'
    like "$status/$stderr" '^125/billet: cannot bring the changes back .*Permission denied' "what was changed there cannot"
    is "$(ls -A "$user_scratch/theirs")" file "and nothing is left in it"
else
    skip 3 "needs root and user namespaces"
fi

for mode in $modes; do
    rm -rf "$work"
    mkdir -p "$work/d" "$work/old"
    echo before >"$work/file"
    echo x >"$work/d/gone"
    echo o >"$work/old/o"
    echo keep >"$work/keep"

    # ---- a run ----
    billet run -e sandbox -w "$work" --workspace-mode "$mode" --json -- \
        sh -c 'echo after >file; rm -r old d/gone; mkdir -p n/m; echo z >n/m/z; ln -s file link; cat keep >&2'
    is "$status/$stderr" 0/keep "$mode: the command sees the workspace"
    is "$(cat "$work/file") $(cat "$work/n/m/z") $(readlink "$work/link")" "after z file" "$mode: changes come back"
    not_ok "$mode: deletions too" test -e "$work/d/gone"
    not_ok "$mode: of whole directories" test -e "$work/old"
    is "$(json /workspace/mode) $(json /workspace/returned/conflict)" "$mode 0" "$mode: and are counted"
    is "$(stat -c %u "$work/n/m/z")" "$(stat -c %u "$work")" "$mode: they belong to the owner of the workspace"
    billet run -e sandbox -w "$work" --workspace-mode "$mode" -- sh -c 'echo lost >file; exit 3'
    is "$status/$(cat "$work/file")" 3/lost "$mode: a command that fails has its changes brought back too"

    # ---- conflicts ----
    : >"$scratch/first" # not the word of the mode before
    : >"$scratch/second"
    # A background job has its input only where it is redirected itself.
    isolated "$billet_program" run -e sandbox -w "$work" --workspace-mode "$mode" -- \
        sh -c 'echo ready; read -r go; echo theirs >file; echo t >both' \
        <"$scratch/fifo" >"$scratch/first" 2>"$scratch/first-errors" &
    first=$!
    wait_until grep -q ready "$scratch/first"
    echo mine >"$work/file"
    isolated "$billet_program" run -e sandbox -w "$work" --workspace-mode "$mode" -- \
        sh -c 'echo second >>both' >"$scratch/second" 2>&1 &
    second=$!
    wait_until grep -q 'waiting for another run' "$scratch/second"
    echo go >&7
    status=0
    wait "$first" || status=$?
    stderr=$(cat "$scratch/first-errors")
    is "$status" 125 "$mode: a conflict is an error of a command that did well"
    wait "$second"
    is "$?" 0 "$mode: a second run on the workspace waits for the first"
    like "$stderr" 'conflict: file changed on both sides; theirs is file\.billet-conflict-' "$mode: it is named"
    like "$stderr" '\[workspace_conflicts\]' "$mode: with its id"
    is "$(cat "$work/file") $(cat "$work"/file.billet-conflict-*) $(cat "$work/both")" "mine theirs t
second" \
        "$mode: the local file is kept, theirs is beside it, the rest is taken"
    rm "$work"/file.billet-conflict-*

    # ---- hostile ----
    for evil in 'mkfifo pipe' 'ln -s /etc/shadow out' 'mkdir s; ln -s ../../x s/out'; do
        billet run -e sandbox -w "$work" --workspace-mode "$mode" --json -- sh -c "echo evil >file; $evil"
        is "$status/$(cat "$work/file")" 125/mine "$mode: $evil is refused, the workspace is as it was"
        is "$(json /held)" true "$mode: and the lease is held"
        lease=$(json /lease)
        billet lease release "$lease"
        is "$status" 125 "$mode: which is not released while that cannot come back"
        billet lease release --discard "$lease"
        is "$status" 0 "$mode: but can be given up"
    done
    billet run -e sandbox -w "$work" --workspace-mode "$mode" -- sh -c 'echo s >suid; chmod 0777 suid'
    is "$(stat -c %a "$work/suid")" 755 "$mode: what is writable by all comes back without that"

    # ---- what stays behind ----
    echo 'out/' >"$work/.gitignore"
    billet run -e sandbox -w "$work" --workspace-mode "$mode" --json -- \
        sh -c 'mkdir -p out; echo "$1" >out/program' sh "$mode"
    if [ "$mode" = overlay ]; then
        is "$status/$(cat "$work/out/program")" 0/overlay "$mode: what .gitignore names comes back"
    else
        not_ok "$mode: what .gitignore names stays behind" grep -q copy "$work/out/program"
        like "$stderr" 'workspace_ignored' "$mode: and that is told"
    fi

    # ---- held ----
    billet lease acquire -e sandbox -w "$work" --workspace-mode "$mode"
    lease=$stdout
    billet exec "$lease" -- sh -c 'echo held >file; head -n 1 both'
    is "$status/$stdout/$(cat "$work/file")" 0/t/mine "$mode: an exec on a held lease changes nothing here"
    billet pull "$lease"
    is "$status/$(cat "$work/file")" 0/held "$mode: until it is pulled"
    billet pull --json "$lease"
    is "$status/$(json /changes/written)" 0/0 "$mode: then nothing is left to pull"
    echo pushed >"$work/file"
    billet push "$lease"
    billet exec "$lease" -- cat file
    is "$status/$stdout" 0/pushed "$mode: what is pushed is there"
    # Whatever meets what: a command whose change is lost says that it failed.
    n=0
    while [ "$n" -lt 6 ]; do
        n=$((n + 1))
        (isolated "$billet_program" exec "$lease" -- sh -c 'echo met >"met-$1"' sh "$n" 2>/dev/null || echo "$n" >"$scratch/not-met-$n") &
        met=$!
        billet pull "$lease"
        [ "$status" -eq 0 ] || echo pull >"$scratch/not-met-pull-$n"
        wait "$met"
    done
    billet pull "$lease"
    # It may also be ended after its change was made.
    is "$(find "$work" "$scratch" -maxdepth 1 -name '*met-*' | sed 's/.*met-//' | sort -u | tr -d '\n')" 123456 \
        "$mode: what a command changes while others pull comes back, or the command fails"
    billet exec "$lease" -- sh -c 'echo last >last'
    is "$status/$stderr" 0/ "$mode: what runs after a pull can write"
    billet lease release "$lease"
    is "$status/$(cat "$work/last")" 0/last "$mode: a release brings back what is left"

    rm -f "$scratch"/not-met-*
    not_ok "$mode: nothing is left in the state directory" \
        sh -c 'ls "$1"/travel/* "$1"/sandbox/* 2>/dev/null | grep -q .' sh "$scratch/state"
done
done_testing
