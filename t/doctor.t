#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet doctor: what it finds, and that each finding names a remedy.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1

billet doctor local
is "$status" 0 "the local driver is well"
like "$stdout" '^PASS  local +[0-9.]+ loads from /' "it loads"
unlike "$stdout" '^FAIL' "nothing fails"
billet doctor local --json
is "$(json /format_version /ok /checks/0/name /checks/0/outcome)" "1.0
true
local
PASS" "as JSON, too"
is "$(json '/checks/0/hint')" "" "a check that passes has no remedy"
billet doctor
like "$stdout" '^PASS  configuration +no errors$' "the whole looks at the configuration"
like "$stdout" "^PASS  driver host +/" "the driver host"
like "$stdout" "^PASS  store +sqlite [0-9.]+, $scratch/state/billet.db\$" "the store"
like "$stdout" "^PASS  local " "and the drivers"
billet doctor -q local
unlike "$stdout" '^PASS' "quiet leaves out what passes"
billet doctor nosuch
is "$status" 1 "something unknown is a finding"
like "$stdout" "^FAIL  nosuch +" "in its line"
billet doctor a b
is "$status" 2 "one thing at a time"

# Every FAIL has a remedy below it.
remedies() {
    printf '%s\n' "$stdout" | awk '/^FAIL/ { if (waiting) bad++; waiting = 1; next }
        /^ / { waiting = 0; next } { if (waiting) bad++; waiting = 0 } END { print bad + waiting + 0 }'
}

printf '[billet]\nlease_tll = 5s\n' >"$scratch/billet.conf"
billet doctor
is "$status" 1 "a mistake in the configuration is a finding"
like "$stdout" "^FAIL  configuration +$scratch/billet.conf:2:1: .*unknown key 'lease_tll'" "with its place"
is "$(remedies)" 0 "and a remedy"
rm "$scratch/billet.conf"
tap_run isolated env BILLET_LIBEXEC_DIR=/nowhere "$billet_program" doctor
is "$status" 1 "a missing driver host is a finding"
like "$stdout" '^FAIL  driver host +cannot be run$' "in its line"
like "$stdout" 'reinstall billet, or set BILLET_LIBEXEC_DIR' "with a remedy"
tap_run isolated env BILLET_STORE=sqlite:/proc/nowhere/x.db "$billet_program" doctor
is "$status" 1 "a store that cannot be made is a finding"
like "$stdout" '^FAIL  store ' "in its line"
cp "$BILLET_DRIVER_DIR/driver_local.so" "$scratch/driver_local.so"
chmod 0777 "$scratch/driver_local.so"
printf '[driver local]\nenabled = yes\npath = %s/driver_local.so\n' "$scratch" >"$scratch/billet.conf"
billet doctor
is "$status" 1 "a driver that cannot be trusted is a finding"
like "$stdout" '^FAIL  local +.*is writable by group or others' "with the reason"
like "$stdout" 'chmod go-w' "and the remedy"
is "$(remedies)" 0 "every finding has a remedy"

# ---- the sandbox --------------------------------------------------------------------------------
rm "$scratch/billet.conf"
if [ -f "$BILLET_DRIVER_DIR/driver_sandbox.so" ]; then
    printf '[environment launcherless]\ndriver = sandbox\nbubblewrap = /nowhere/bwrap\n' >"$scratch/billet.conf"
    billet doctor launcherless
    is "$status" 1 "a missing bubblewrap is a finding"
    like "$stdout" '^FAIL .*bwrap' "that names it"
    is "$(remedies)" 0 "with a remedy"
    rm "$scratch/billet.conf"
    # As on a machine whose administrator allows no user namespaces: the limit of this one holds for
    # those below it. Files of root are nobody's in there, which the driver host takes for its own
    # only when the user is nobody.
    without_userns() {
        isolated_as_user unshare --user --map-current-user --keep-caps sh -c \
            'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"' \
            sh "$@"
    }
    if user_ready && [ -z "$tap_user_build" ] && is_root && [ "$tap_uid" = 65534 ] &&
        tap_base=$user_scratch without_userns "$billet_program" run -n -w "$user_scratch" -- true >/dev/null 2>&1; then
        tap_base=$user_scratch
        tap_run without_userns "$billet_program" doctor sandbox
        is "$status" 1 "a machine without user namespaces is a finding"
        like "$stdout" '^FAIL .*namespace' "that names them"
        is "$(remedies)" 0 "with a remedy"
        tap_run without_userns "$billet_program" run -e sandbox -w "$user_scratch" -- true
        is "$status" 125 "a run there is refused"
        like "$stderr" '^billet: .*namespace.*\[[a-z_]+\]$' "with one line that names them, too"
        tap_base=$scratch
    else
        skip 5 "user namespaces cannot be limited here"
    fi
else
    skip 8 "driver sandbox is not built"
fi
nothing_left "at the end"
done_testing
