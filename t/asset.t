#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Assets: what a command may read besides the workspace, on this machine; as root and as an ordinary
# user, in place and in a sandbox.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
unset BILLET_ASSETS

# In $at, which belongs to who runs the tests: a directory of tools, one file, odd names.
make_assets() {
    mkdir -p "$at/work" "$at/tools/deep" "$at/x;y z"
    printf '#!/bin/sh\necho "tool says $*"\n' >"$at/tools/tool"
    chmod 0755 "$at/tools/tool"
    echo inner >"$at/tools/deep/inner"
    echo single >"$at/one-file"
    echo odd >"$at/x;y z/odd"
    ln -s tools "$at/by-link"
}

# As whom this part runs: "billet", or "as_user billet".
run() {
    if [ "$who" = user ]; then as_user billet "$@"; else billet "$@"; fi
}

# asset_refused PATTERN DESCRIPTION: of the last run.
asset_refused() {
    is "$status" 125 "$2"
    like "$stderr" "$1" "$2: which is said"
    like "$stderr" '\[asset_invalid\]' "$2: with its id"
}

try_all() { # ENVIRONMENT
    run run -e "$1" -w "$at/work" --asset "$at/tools" --asset "$at/one-file" --asset "$at/x;y z/" -- \
        sh -c 'cd "$BILLET_ASSETS" && ls && tools/tool a b && cat tools/deep/inner one-file "x;y z/odd"'
    is "$status/$stdout" "0/one-file
tools
x;y z
tool says a b
inner
single
odd" "$who, $1: directories and files are under their names in BILLET_ASSETS"
    run run -e "$1" -w "$at/work" --asset "$at/tools:kit" --asset "$at/by-link:other" -- \
        sh -c 'ls "$BILLET_ASSETS"; $BILLET_ASSETS/kit/tool; cat "$BILLET_ASSETS/other/deep/inner"'
    is "$status/$stdout" "0/kit
other
tool says 
inner" "$who, $1: a name can be given, and a path may be a link"
    run run -e "$1" --json --asset "$at/tools" -- true
    is "$status/$(json /assets/entries/0/name)/$(json /assets/entries/0/path)" \
        "0/tools/$at/tools" "$who, $1: --json tells them"
    run run -e "$1" -w "$at/work" -- sh -c 'echo "${BILLET_ASSETS-none}"'
    is "$stdout" none "$who, $1: without assets there is no such variable"

    run lease acquire -e "$1" -w "$at/work" --asset "$at/tools" --json
    lease=$(json /lease)
    is "$status/$(json /assets/entries/0/name)" "0/tools" "$who, $1: a lease is held with an asset"
    run exec "$lease" -- sh -c '"$BILLET_ASSETS/tools/tool" held'
    is "$status/$stdout" "0/tool says held" "$who, $1: commands on it find it"
    echo later >"$at/tools/later"
    run exec "$lease" -- sh -c 'cat "$BILLET_ASSETS/tools/later"'
    is "$status/$stdout" "0/later" "$who, $1: as it is"
    run lease release "$lease"
    is "$status" 0 "$who, $1: its end"
    rm "$at/tools/later"

    # ---- wrong input ----
    run run -e "$1" --asset "$at/missing" -- true
    asset_refused "asset $at/missing: No such file or directory" "$who, $1: a missing path"
    run run -e "$1" --asset "$at/tools:a:.." -- true
    asset_refused "No such file|'\.\.'" "$who, $1: the name .."
    run run -e "$1" --asset "$at/tools:" -- true
    asset_refused "its name is empty" "$who, $1: an empty name"
    run run -e "$1" --asset "$at/tools:bad
name" -- true
    asset_refused 'control bytes' "$who, $1: a name with a newline"
    run run -e "$1" --asset "$at/tools" --asset "$at/one-file:tools" -- true
    asset_refused 'another asset has the same name' "$who, $1: a name twice"
    run run -e "$1" --asset /dev/null -- true
    asset_refused 'neither a file nor a directory' "$who, $1: a device"
    run run -e "$1" --asset "" -- true
    asset_refused '1 to 4095 bytes' "$who, $1: no path"
    set --
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do
        set -- "$@" --asset "$at/one-file:$number"
    done
    run run -e "$environment" "$@" -- sh -c 'ls "$BILLET_ASSETS" | wc -l'
    is "$status/$stdout" 0/32 "$who, $environment: 32 of them"
    run run -e "$environment" "$@" --asset "$at/tools" -- true
    asset_refused 'more than 32' "$who, $environment: and not one more"
}

mkdir "$scratch/at"
at=$scratch/at
who=self
make_assets
environment=local
try_all local
billet run -w "$at/work" --asset "$at/tools" -- sh -c 'readlink "$BILLET_ASSETS/tools"; echo "$BILLET_ASSETS"'
is "$(echo "$stdout" | head -n 1)" "$at/tools" "in place an asset is itself"
not_ok "and its link is gone with the lease" test -e "$(echo "$stdout" | tail -n 1)"

# What an environment gives, and what the caller gives besides.
cat >"$scratch/billet.conf" <<END
[environment kit]
driver = local
assets = $at/tools $at/one-file:it
[environment lost]
driver = local
assets = $at/missing
[environment near]
driver = local
assets = tools
[driver fake]
enabled = yes
[environment unreal]
driver = fake
END
billet run -e kit --asset "$at/x;y z:more" -- sh -c 'ls "$BILLET_ASSETS"'
is "$status/$stdout" "0/it
more
tools" "the key assets of an environment adds some"
billet run -e kit --asset "$at/tools" -- true
asset_refused 'another asset has the same name' "the same twice, there and here"
billet run -e lost -- true
asset_refused 'No such file' "one that is missing ends the run before it begins"
billet run -e near -- true
asset_refused 'in an environment its path is absolute' "a relative path in an environment"
if [ -f "$top_builddir/.libs/driver_fake.so" ]; then
    billet run -e unreal --asset "$at/tools" -- true
    refused 125 "driver fake of environment 'unreal' cannot give commands assets (tools)" \
        unsupported_environment "billet driver list --features shows which drivers can" \
        "a driver that cannot is told by name"
fi
rm "$scratch/billet.conf"

try_sandbox() {
    environment=sandbox
    try_all sandbox
    run run -e sandbox -w "$at/work" --asset "$at/tools" --asset "$at/one-file" -- sh -c '
        cd "$BILLET_ASSETS"
        for to in tools/new tools/tool tools/deep/inner one-file new; do
            ( : >"$to" ) 2>/dev/null && echo "wrote $to"
        done
        rm -rf tools 2>/dev/null; mv one-file two 2>/dev/null; chmod 777 tools 2>/dev/null
        ls; echo done'
    is "$status/$stdout" "0/one-file
tools
done" "$who: in a sandbox nothing of an asset can be written"
    is "$(cat "$at/tools/deep/inner")" inner "$who: nor was it"
    # For a command as another user id, too: what is private to its owner here.
    mkdir -m 0700 "$at/private"
    (umask 077 && echo mine >"$at/private/key")
    [ "$who" = self ] || ! is_root || chown -R "$tap_uid:$tap_uid" "$at/private"
    run run -e sandbox --asset "$at/private" -- sh -c 'cat "$BILLET_ASSETS/private/key"'
    is "$status/$stdout" 0/mine "$who: its owner's private files can be read"
    rm -r "$at/private"
    for path in /etc / /proc/self; do
        run run -e sandbox --asset "$path:it" -- true
        asset_refused "asset" "$who: a sandbox is not shown $path"
    done
    run run -e sandbox --asset "$base:all" -- true
    asset_refused "billet's own state directory" "$who: nor what holds billet's state"
    mkdir -p "$at/work/inside"
    run run -e sandbox -w "$at/work" --asset "$at/work/inside" -- true
    asset_refused 'leads through the workspace' "$who: nor what is in its workspace already"

    # A lease that goes from run to run has the assets it was made with.
    run run -e sandbox --reuse --asset "$at/tools" -- sh -c 'ls "$BILLET_ASSETS"; touch /tmp/mark'
    is "$status/$stdout" 0/tools "$who: a resource that is reused has assets"
    run run -e sandbox --reuse --asset "$at/tools" -- sh -c 'ls "$BILLET_ASSETS" /tmp/mark'
    like "$status/$stdout" '^0/.*mark' "$who: and so has the next run with it"
    run run -e sandbox --reuse --asset "$at/one-file" -- sh -c 'ls "$BILLET_ASSETS"; ls /tmp'
    is "$status/$stdout" 0/one-file "$who: other assets, another resource"
    run lease list --json
    for lease in $(echo "$stdout" | grep -Eo '"id": *"[^"]*"' | cut -d'"' -f4); do
        run lease destroy "$lease"
    done
}
if [ -f "$top_builddir/.libs/driver_sandbox.so" ] && command -v bwrap >/dev/null 2>&1; then
    base=$scratch
    billet run -e sandbox -- true
    if [ "$status" -eq 0 ]; then
        try_sandbox
    else
        skip "in a sandbox" "there can be none: $stderr"
    fi
fi

if is_root && user_ready; then
    who=user
    at=$user_scratch/at
    as_user mkdir "$at"
    make_assets
    chown -hR "$tap_uid:$tap_uid" "$at"
    environment=local
    try_all local
    as_user mkdir "$at/shut"
    chown 0:0 "$at/shut"
    chmod 0700 "$at/shut"
    run run -e local --asset "$at/shut" -- true
    asset_refused 'cannot be read by this user' "user: another user's closed directory"
    if [ -f "$top_builddir/.libs/driver_sandbox.so" ] && as_user billet run -e sandbox -- true &&
        [ "$status" -eq 0 ]; then
        base=$user_scratch
        try_sandbox
    else
        skip "in an ordinary user's sandbox" "there can be none here"
    fi
fi
nothing_left "after all of it"
done_testing
