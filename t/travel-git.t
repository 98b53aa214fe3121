#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016,SC2310
# The history of a workspace travels with its files: in the sandbox as a copy and as an overlay, and
# to a host. What comes back as a fast-forward, a merge, or stays beside; what a hostile repository
# gets; a billet that is killed between; a lease that is held.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need git
ways=
if [ -f "$BILLET_DRIVER_DIR/driver_sandbox.so" ] && command -v bwrap >/dev/null; then
    billet driver probe sandbox
    ways=copy
    printf '%s\n' "$stdout" | grep -q '^PASS  overlay' && ways="copy overlay"
fi
# A host is one of the ways where there can be one.
if [ -f "$top_builddir/.libs/driver_ssh.so" ] && PATH=$PATH:/usr/sbin command -v sshd >/dev/null; then
    . "$top_srcdir/t/lib/sshd.sh"
    ways="$ways ssh"
    cat >"$scratch/billet.conf" <<END
$(ssh_driver)
[environment far]
driver = ssh
END
fi
[ -n "$ways" ] || skip_all "neither a sandbox nor an sshd can be used here"
cat >>"$scratch/billet.conf" <<'END'
[driver sandbox]
enabled = yes
[environment plain]
driver = sandbox
workspace_git = no
END
# Who commits, here and (by the settings that travel) there.
cat >"$scratch/home/.gitconfig" <<'END'
[user]
    name = Ada
    email = ada@example.org
[init]
    defaultBranch = main
[advice]
    detachedHead = false
END
export HOME="$scratch/home" GIT_CONFIG_NOSYSTEM=1
unset XDG_CONFIG_HOME
work=$scratch/work
g() { git -C "$work" "$@"; }
log() { g log --format=%s "$@" | tr '\n' ' '; }
fresh() {
    rm -rf "$work"
    git init -q "$work"
    echo one >"$work/a"
    echo two >"$work/b"
    g add .
    g commit -qm first
}
# git_run COMMAND...: a run of the present way.
git_run() {
    case $way in
    ssh) set -- -e far -w "$work" --json -- "$@" ;;
    *) set -- -e sandbox -w "$work" --workspace-mode "$way" --json -- "$@" ;;
    esac
    billet run "$@"
}
commit() { printf 'echo %s >%s && git add %s && git commit -qm %s %s' "$1" "$2" "$2" "$1" "$2"; }
mkfifo "$scratch/fifo"
exec 7<>"$scratch/fifo"
# meanwhile HERE THERE: a run that commits THERE, and then HERE is committed here, both "TEXT FILE".
meanwhile() {
    case $way in
    ssh) tap_way="-e far" ;;
    *) tap_way="-e sandbox --workspace-mode $way" ;;
    esac
    : >"$scratch/stderr" # not the word of the run before
    # shellcheck disable=SC2086
    isolated "$billet_program" run $tap_way -w "$work" --json -- \
        sh -c "$(commit $2) && echo ready >&2 && read -r go" \
        <"$scratch/fifo" >"$scratch/stdout" 2>"$scratch/stderr" &
    tap_job=$!
    wait_until grep -q ready "$scratch/stderr"
    # shellcheck disable=SC2086
    (cd "$work" && eval "$(commit $1)") >/dev/null 2>&1
    echo go >&7
    status=0
    wait "$tap_job" || status=$?
    stderr=$(cat "$scratch/stderr")
}

# As a copy in the sandbox it is the same as on a host but for the way of the files: below.
for way in ${ways#copy }; do
    # ---- there and back: credentials here, a hostile repository there ----
    fresh
    (cd "$work" && eval "$(commit local x)")
    g config remote.origin.url https://ada:token@host/x.git
    printf '#!/bin/sh\ntouch %s/executed\n' "$scratch" >"$work/.git/hooks/post-commit"
    chmod 755 "$work/.git/hooks/post-commit"
    g tag v1
    echo dirty >>"$work/a"
    echo staged >"$work/s"
    g add s
    want=$(g status --porcelain=v2 --branch)
    git_run sh -c "exec >&2; git status --porcelain=v2 --branch; echo =; git tag; cat .git/config; git log --format=%s
        rm -rf .git/hooks; mkdir .git/hooks; $(commit remote r)"'
        git branch other HEAD~1
        for hook in post-checkout post-merge reference-transaction post-index-change pre-commit; do
            printf "#!/bin/sh\ntouch %s/executed\n" "$1" >.git/hooks/$hook
            chmod 755 .git/hooks/$hook
        done
        git config core.fsmonitor "touch $1/executed"
        git config core.sshCommand "touch $1/executed"
        git config filter.x.clean "touch $1/executed"
        mkdir -p .git/info && echo "* filter=x" >.git/info/attributes
        echo /etc >.git/objects/info/alternates' sh "$scratch"
    is "$(printf '%s\n' "$stderr" | sed '/^=$/,$d')" "$want" "$way: branch, index and changes are there as here"
    like "$stderr" 'v1' "$way: and tags"
    like "$stderr" 'https://host/x.git' "$way: and remotes, without what is secret"
    unlike "$stderr" 'token' "$way: credentials stay here"
    like "$stderr" 'local' "$way: a commit made here is seen there"
    like "$(cat "$work/.git/config")" token "$way: the settings here are as they were"
    is "$status $(json /workspace/git/travels /workspace/git/outcome | tr '\n' ' ')" "0 true fast_forward " \
        "$way: a commit made there is a fast-forward"
    like "$stderr" "billet: git: main is fast-forwarded to $(g rev-parse HEAD | cut -c 1-12)" "$way: told in a line"
    is "$(log)/$(json /workspace/git/new)" "remote local first /$(g rev-parse main)" "$way: of the branch that was checked out"
    is "$(g status --porcelain | tr '\n' ';')" " M a;A  s;" "$way: what is staged or changed here stays so"
    is "$(json /workspace/git/others/0)" "refs/billet/$(json /lease)/other" "$way: other branches are kept beside"
    rm -f "$work/.git/hooks/post-commit"
    g -c core.hooksPath="$work/.git/hooks" commit -qm 'does it run'
    not_ok "$way: nothing that the repository there names runs here" test -e "$scratch/executed"
    is "$(find "$work/.git/hooks" -type f ! -name '*.sample')$(grep -E 'fsmonitor|ssh|filter' "$work/.git/config")" "" \
        "$way: hooks and settings stay there"
    not_ok "$way: no store of objects is borrowed" test -e "$work/.git/objects/info/alternates"
    ok "$way: the repository is sound" g fsck --strict --no-dangling
    [ "$way" != ssh ] || {
        git_run true
        ok "$way: again, only what is missing is sent" test "$(json /workspace/git/sent_objects)" -lt 12
    }

    # ---- both, on a held lease ----
    fresh
    case $way in
    ssh) billet lease acquire -e far -w "$work" ;;
    *) billet lease acquire -e sandbox -w "$work" --workspace-mode "$way" ;;
    esac
    lease=$stdout
    billet exec "$lease" -- sh -c "$(commit there t)"
    is "$status" 0 "$way: a commit on a held lease"
    (cd "$work" && eval "$(commit here h)")
    [ "$way" = overlay ] || {
        billet push --json "$lease"
        like "$(json /git/reason)" "billet pull" "$way: is not overwritten by a push"
    }
    echo staged >"$work/s"
    g add s
    billet pull --json "$lease"
    is "$status $(json /git/outcome)" "0 merged" "$way: a pull merges it"
    is "$(g status --porcelain)/$(cat "$work/t" "$work/h")" "A  s/there
here" "$way: and leaves what is staged"
    billet push --json "$lease"
    billet exec "$lease" -- git log -1 --format=%s
    is "$stdout" "$(g log -1 --format=%s)" "$way: a push sends the merge"
    billet exec "$lease" -- sh -c "$(commit last l)"
    billet lease release "$lease"
    is "$status $(log -1)" "0 last " "$way: a release brings the last commit"
done

# ---- histories that do not fit; one way stands for all ----
way=${ways%% *} # a copy where there is a sandbox
fresh
meanwhile "here h" "there t"
is "$status $(json /workspace/git/outcome)" "0 merged" "commits on both sides are merged"
is "$(g log -1 --format=%p | wc -w | tr -d ' ')/$(g status --porcelain)" 2/ "in a merge commit, with a clean tree"
fresh
meanwhile "here a" "there a"
kept=$(json /workspace/git/kept)
is "$status $(json /workspace/git/outcome)" "125 diverged" "the same path on both sides is no merge"
is "$(log) $(log "$kept")" "here first  there first " "the branch stays, theirs is kept"
like "$stderr" "main stays: the commits made there diverge; they are at $kept" "and told"
fresh
git_run sh -c 'rm -rf .git && git init -q -b main && git add . && git -c user.name=x -c user.email=x@x commit -qm stranger'
is "$status $(json /workspace/git/outcome) $(log)" "125 unrelated first " "an unrelated history is not merged"
is "$(log "$(json /workspace/git/kept)")" "stranger " "but kept"
fresh
git_run rm -rf .git
is "$(log)$(json /workspace/git/outcome)" "first failed" "a repository that was removed there is still here"
git_run sh -c 'echo new >file; printf "100644 .git\0%020d" 0 | git hash-object -w -t tree --literally --stdin >t &&
    git update-ref refs/heads/main "$(git commit-tree -m evil "$(cat t)")"; rm t'
is "$status $(json /return_error/code) $(log)" "125 git_refused first " "damaged objects are refused"
is "$(cat "$work/file") $(json /held)" "new true" "the files come back, and the lease is held with the commits"
billet lease release --discard "$(json /lease)"
is "$status" 0 "until it is given up"

# ---- killed: between receive and the files, and between the files and branch and index ----
real=$(command -v git)
mkdir "$scratch/bin"
for at in arrived merge-base; do
    fresh
    cat >"$scratch/bin/git" <<END
#!/bin/sh
case "\$*" in
*$at*) kill -KILL \$PPID ;;
esac
exec $real "\$@"
END
    chmod 755 "$scratch/bin/git"
    saved=$PATH
    PATH=$scratch/bin:$PATH
    git_run sh -c "$(commit there t); echo file >file"
    PATH=$saved
    is "$status" 137 "billet is killed at $at"
    git_run true
    if [ "$at" = merge-base ]; then
        like "$stderr" "the repository of an interrupted run: fast_forward" "the next run completes it"
        is "$(log)/$(cat "$work/file")/$(g status --porcelain)" "there first /file/?? file" "with files, branch and index"
    else
        is "$(log)/$(g status --porcelain)" "first /" "the next run finds all as it was"
    fi
    ok "the repository is sound" g fsck --strict --no-dangling
    not_ok "with no lock left" test -e "$work/.git/index.lock"
done

# ---- without ----
# A PATH without git is an environment without it.
mkdir "$scratch/tools"
for tool in sh cat sed test; do ln -s "$(command -v $tool)" "$scratch/tools/$tool"; done
case $ways in
*copy*)
    billet run -e plain -w "$work" --workspace-mode copy --json -- test ! -e .git
    is "$status/$(json /workspace/mode)" "0/copy" "workspace_git = no: the files travel alone"
    billet run -e local -w "$work" --workspace-mode copy --env PATH="$scratch/tools" --json -- sh -c 'echo x >made'
    is "$status/$(cat "$work/made")/$(json /workspace/git/reason)" "0/x/the environment has no git" \
        "without git there the files travel, and the reason is said"
    ;;
*) skip 2 "needs the sandbox" ;;
esac
case $ways in
*ssh*)
    rm -f "$work/made"
    billet run -e far -w "$work" --env PATH="$scratch/tools" --json -- sh -c 'echo y >made'
    is "$status/$(cat "$work/made")/$(json /workspace/git/reason)" "0/y/the environment has no git" \
        "nor is git wanted of a host"
    ;;
*) skip 1 "needs an sshd" ;;
esac

# ---- an ordinary user, and a workspace of another one ----
own_git() { git -c safe.directory='*' -C "$work" "$@"; }
as_user_git_run() { as_user billet run -e sandbox -w "$work" --workspace-mode "$way" -- sh -c "$1"; }
if ! is_root; then
    skip 1 "all of the above was as an ordinary user"
elif ! user_ready || ! as_user billet run -e sandbox -- true || [ "$status" -ne 0 ]; then
    skip 1 "an ordinary user can have no sandbox here"
else
    install -o "$tap_uid" -g "$tap_uid" -m 0644 "$scratch/home/.gitconfig" "$user_scratch/home/.gitconfig"
    HOME=$user_scratch/home
    work=$user_scratch/work
    for way in ${ways%ssh}; do
        rm -rf "$work"
        as_user git init -q "$work"
        as_user sh -c "cd $work && $(commit first a)"
        as_user_git_run "$(commit there b)"
        is "$status/$(own_git log --format='%s %an' | tr '\n' ,)/$(as_user git -C "$work" status --porcelain)" \
            "0/there Ada,first Ada,/" "user, $way: commits come back to one's own repository"
        is "$(find "$work" ! -uid "$tap_uid")" "" "user, $way: all of it is the user's"
        as_user_git_run "git log --format=%s; git branch side; echo x >>a; git commit -qam again; exit 3"
        is "$status/$stdout" "3/there
first" "user, $way: also of a command that fails"
        is "$(own_git log -1 --format=%s)" again "user, $way: with its commit"
    done
    # Git itself would not touch it: dubious ownership. Files are read, nothing of it is run.
    way=copy
    chown -R 0:0 "$work"
    chmod -R u=rwX,go=rX "$work"
    printf '#!/bin/sh\ntouch %s/executed\n' "$user_scratch" >"$work/.git/hooks/post-commit"
    chmod 755 "$work/.git/hooks/post-commit"
    own_git config core.fsmonitor "touch $user_scratch/executed"
    before=$(own_git rev-parse HEAD)
    as_user_git_run 'git log -1 --format=%s; git status --porcelain'
    is "$(echo "$stdout" | head -n 1)" again "another's repository can be read by whom its files let"
    as_user_git_run "git -c user.name=T -c user.email=t@x commit -q --allow-empty -m theirs"
    is "$status/$(own_git rev-parse HEAD)" "125/$before" "it takes no commit of who may not write there"
    not_ok "nothing that its settings name was run" test -e "$user_scratch/executed"
    own_git config --unset core.fsmonitor
    ok "and it is sound" own_git fsck --strict --no-dangling
    chmod -R a+rwX "$work"
    as_user_git_run "git -c user.name=T -c user.email=t@x commit -q --allow-empty -m theirs"
    is "$status/$(own_git log -1 --format='%s %an')" "0/theirs T" "where everybody may write, it does"
    as_user billet lease list --json
    for lease in $(echo "$stdout" | grep -Eo '"id": *"[^"]*"' | cut -d'"' -f4); do
        as_user billet lease destroy "$lease"
    done
    case $ways in
    *overlay*)
        way=overlay
        as_user_git_run 'true'
        is "$status/$(echo "$stderr" | grep -c 'belongs to another user (uid 0)')" 125/1 \
            "another's repository cannot be covered in an overlay of one's own, which is said"
        like "$stderr" "--workspace-mode copy" "with what to do"
        ;;
    esac
fi
done_testing
