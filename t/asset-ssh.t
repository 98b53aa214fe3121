#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Assets that are carried to a host: once for each content, whole or not at all, read-only, bounded.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
. "$top_srcdir/t/lib/sshd.sh"

cat >"$scratch/billet.conf" <<END
$(ssh_driver)
[environment far]
driver = ssh
END
at=$scratch/at
cache=$far/home/.cache/billet/assets
mkdir -p "$at/tools/deep/empty" "$at/work"
printf '#!/bin/sh\necho "tool says $*"\n' >"$at/tools/tool"
chmod 0755 "$at/tools/tool"
echo inner >"$at/tools/deep/inner"
ln -s deep/inner "$at/tools/link"
printf '#!/bin/sh\necho single\n' >"$at/one-file"
chmod 0711 "$at/one-file"
entries() {
    find "$cache" -mindepth 1 -maxdepth 1 ! -name lock | wc -l
}

# ---- there ----
billet run -e far -w "$at/work" --asset "$at/tools" --asset "$at/one-file:a b" --json -- \
    sh -c 'cd "$BILLET_ASSETS" && ls && tools/tool x && cat tools/link && "./a b" && test -d tools/deep/empty && echo "$BILLET_ASSETS"' >"$scratch/out"
is "$status" 0 "a command has assets on a host"
is "$(head -n 5 "$scratch/stderr")" "a b
tools
tool says x
inner
single" "directories, modes, links inside, and single files"
like "$(cat "$scratch/stderr")" "$far/leases/[^/]*/assets" "in a directory of the lease"
is "$(json /assets/entries/0/sent)/$(json /assets/entries/0/sent_files)/$(json /assets/entries/1/sent_files)" \
    "true/2/1" "what was sent is counted"
is "$(ls "$far/leases")" "" "the lease is gone"
is "$(entries)" 2 "its assets stay for the next one"
billet run -e far --asset "$at/tools" --asset "$at/one-file:other" --json -- \
    sh -c '"$BILLET_ASSETS/other"; "$BILLET_ASSETS/tools/tool" again'
is "$status/$(json /assets/entries/0/sent)/$(json /assets/entries/1/sent_bytes)" "0/false/0" \
    "what is there already is not sent again, without a workspace and under another name too"
like "$stderr" "single" "and is what it was"
touch "$at/tools/tool"
cp -a "$at/tools" "$at/copy"
billet run -e far --asset "$at/copy" --json -- true
is "$(json /assets/entries/0/sent)" false "the same content elsewhere is the same"

# ---- read-only, and not believed ----
billet run -e far --asset "$at/tools" -- sh -c 'cd "$BILLET_ASSETS/tools" && find . -type f -perm /222 -o -type d -perm /222'
is "$status/$stdout" "0/" "nothing of it is writable by its mode"
if ! is_root; then
    billet run -e far --asset "$at/tools" -- sh -c 'cd "$BILLET_ASSETS/tools" && for to in new tool deep/inner; do (: >"$to") 2>/dev/null && echo "$to"; done; ! rm -r deep 2>/dev/null'
    is "$status/$stdout" 0/ "so an ordinary user cannot write to it"
fi
billet run -e far --asset "$at/tools" -- sh -c 'cd "$BILLET_ASSETS/tools" && chmod u+w . tool && echo echo evil >tool && chmod 0555 . tool'
billet run -e far --asset "$at/tools" --json -- sh -c '"$BILLET_ASSETS/tools/tool" true'
is "$status/$(json /assets/entries/0/sent)" "0/true" "a copy that a command changed is brought anew"
like "$stderr" "tool says true" "and is right again"
billet run -e far --asset "$at/tools" -- sh -c 'cd "$BILLET_ASSETS/tools" && chmod u+w deep && : >deep/more'
billet run -e far --asset "$at/tools" --json -- sh -c 'ls "$BILLET_ASSETS/tools/deep"'
is "$(json /assets/entries/0/sent)/$stderr" "true/empty
inner" "also one in which something was added"
is "$(cat "$at/tools/tool" | tail -n 1)" 'echo "tool says $*"' "nothing comes back"

# ---- what travels ----
mkdir -p "$at/full/node_modules/x" "$at/full/.git" "$at/full/sub"
echo x >"$at/full/node_modules/x/x"
echo x >"$at/full/.git/config"
echo '*.o' >"$at/full/.gitignore"
echo x >"$at/full/sub/a.o"
ln -s /etc/passwd "$at/full/out"
ln -s ../../at/one-file "$at/full/sub/up"
mkfifo "$at/full/fifo"
billet run -e far --asset "$at/full" --json -- sh -c 'cd "$BILLET_ASSETS/full" && find . | sort'
is "$status" 0 "an asset with more than can travel"
is "$(echo "$stderr" | grep '^\.')" ".
./.gitignore
./sub" "goes without repository, ignored and heavy things, special files, and links that lead out"
like "$stderr" 'asset full: 2 entries cannot be carried .*such as out' "the last are told"
ok "and all are counted" test "$(json /assets/entries/0/left_out)" -ge 5
cat >>"$scratch/billet.conf" <<END
[environment whole]
driver = ssh
workspace_ignored = yes
assets = $at/full
END
billet run -e whole -- sh -c 'cd "$BILLET_ASSETS/full" && ls node_modules/x sub'
is "$stdout" "node_modules/x:
x

sub:
a.o" "workspace_ignored lets the ignored and heavy ones travel"
rm -r "$at/full"
if ! is_root; then
    mkdir "$at/part"
    echo x >"$at/part/closed"
    chmod 0 "$at/part/closed"
    billet run -e far --asset "$at/part" -- true
    is "$status" 125 "an asset with a file that cannot be read is refused"
    like "$stderr" 'asset part: closed in it cannot be read.*\[asset_realization_failed\]' "by name"
fi
billet run -e far --asset "$scratch:all" -- true
like "$stderr" '\[asset_invalid\]' "what holds billet's own state is not carried"

# ---- held ----
billet lease acquire -e far --asset "$at/tools"
lease=$stdout
billet exec "$lease" -- sh -c '"$BILLET_ASSETS/tools/tool" held'
is "$status/$stdout" "0/tool says held" "a held lease has its assets"
echo new >"$at/tools/new"
billet exec "$lease" --json -- sh -c 'ls "$BILLET_ASSETS/tools"'
unlike "$stderr" new "as they were when it was acquired"
billet lease acquire -e far --asset "$at/tools"
second=$stdout
is "$(find "$cache" -path '*/used/*' -exec test -e {} \; -print | wc -l)" 2 "each lease holds its own"
rm "$at/tools/new"

# ---- bounded ----
for number in 10 11 12 13 14 15 16 17 18 19 20; do
    made=$cache/000000000000000000000000000000$number
    mkdir -p "$made/tree" "$made/used"
    echo 5000 >"$made/size"
    ln -s "$far/leases/that-ended" "$made/used/that-ended"
done
billet run -e far --asset "$at/one-file" -- true
is "$(find "$cache" -name '0000*' -prune | wc -l)/$(entries)" 8/11 "contents that no lease uses are bounded in number"
echo 9000000000 >"$(find "$cache" -name '0000*' | sort | tail -n 1)/size"
billet run -e far --asset "$at/one-file" -- true
ok "and in size" test "$(entries)" -lt 11
rm -rf "$cache"/0000*
billet exec "$lease" -- sh -c '"$BILLET_ASSETS/tools/tool" still'
is "$status/$stdout" "0/tool says still" "those that one uses stay"
billet lease release "$lease"
billet lease release "$second"
is "$status" 0 "until it ends"

# ---- the end in the middle ----
head -c 30000000 /dev/urandom >"$at/large"
mkfifo "$scratch/never"
isolated "$billet_program" run -e far --asset "$at/large" -- true 2>/dev/null &
pid=$!
half() {
    find "$cache" -path '*/.new-*/tree/*' -size +100k | grep -q .
}
wait_until half
kill -KILL "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
billet lease reap
billet run -e far --asset "$at/large" -- sh -c 'cksum <"$BILLET_ASSETS/large"'
is "$status/$stdout" "0/$(cksum <"$at/large")" "after a SIGKILL in the middle of it the next run has it whole"
gone() {
    billet run -e far --asset "$at/one-file" -- true
    ! find "$cache" -name '.new-*' | grep -q .
}
ok "and the half is removed" wait_until gone
mkdir -p "$cache/.new-00000000000000000000000000000000-1/tree" "$cache/.gone-1-1"
billet run -e far --asset "$at/one-file" -- true
is "$status/$(find "$cache" -name '.*-*')" "0/" "as is what an earlier crash left"
chmod -R u+w "$cache"
rm -rf "$cache"
ln -s /tmp "$cache"
billet run -e far --asset "$at/one-file" -- true
is "$status" 125 "a link in place of the cache is refused"
like "$stderr" 'is not a directory of this user' "which is said"
rm "$cache"

# ---- no guest ----
for guest in "$far"/home/.cache/billet/guest-*; do
    : >"$guest"
    chmod 0600 "$guest"
done
billet run -e far --asset "$at/one-file" -- true
is "$status" 125 "without a guest there are no assets"
like "$stderr" "assets cannot be carried to environment 'far': there is no billet-guest: it cannot be run there.*\[unsupported_environment\]" \
    "which is said"
nothing_left "after all of it"
done_testing
