#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet driver list, show, schema, probe; drivers that are not enabled, broken, or cannot be trusted,
# and those that break their contract in a call.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" "$scratch/resources" && cd "$scratch/work" || exit 1

# ---- list ---------------------------------------------------------------------------------------
billet driver list
is "$status" 0 "list works"
like "$stdout" '^NAME +VERSION +STATE +REASON$' "with headings"
like "$stdout" '^local +[0-9.]+ +ready' "local is ready without configuration"
unlike "$stdout" '^fake ' "what is not enabled is left out"
billet driver list --all
like "$stdout" '^fake +[0-9.]+ +disabled +not enabled; write in billet.conf: \[driver fake\] enabled = yes$' \
    "--all has it, with the line to write"
billet driver list --all --json
is "$(json /format_version /drivers/0/name /drivers/0/state /drivers/0/code)" "1.0
fake
disabled
driver_disabled" "as JSON, too"
billet driver list --features
like "$stdout" '^FEATURE +local' "--features is a table by driver"
like "$stdout" '^pty +yes' "of what each can do"
billet driver list extra
is "$status" 2 "list takes no argument"

billet run -e fake -- true
is "$status" 125 "a driver is no environment"
printf '[environment f]\ndriver = fake\n' >"$scratch/billet.conf"
billet run -e f -- true
refused 125 "driver fake is not enabled" driver_disabled \
    "write in billet.conf: [driver fake] enabled = yes" "a driver that is not enabled"
billet driver schema fake
is "$status" 125 "nothing of it runs, for its schema neither"
billet driver show fake
is "$status" 0 "show reads it from the file all the same"
like "$stdout" '^State: +disabled$' "and says so"
printf '[driver local]\nenabled = no\n' >"$scratch/billet.conf"
billet run -- true
is "$status" 125 "local can be switched off"
like "$stderr" '^billet: driver local is not enabled \[driver_disabled\]$' "and nothing takes its place"

# ---- show, schema, probe ------------------------------------------------------------------------
rm "$scratch/billet.conf"
billet driver show local
is "$status" 0 "show shows a driver"
like "$stdout" "^Path: +$BILLET_DRIVER_DIR/driver_local.so\$" "where it is"
like "$stdout" '^ABI: +1\.' "its interface"
like "$stdout" '^Workspaces: +none in_place$' "how workspaces come in"
billet driver show local --json
is "$(json /name /state /abi_major /features/pty /features/confine)" "local
ready
1
true
false" "show has JSON"
billet driver show nosuch
refused 125 "there is no driver named 'nosuch'" driver_not_found \
    "billet driver list shows those that are installed" "one that there is not"
billet driver show 'a/../b'
refused 125 "'a/../b' is not the name of a driver" driver_not_found "" "one that no driver can have"
billet driver show
is "$status" 2 "show wants a name"
billet driver schema local
is "$status" 0 "schema prints the options"
is "$(json '/$schema' /type)" "https://json-schema.org/draft/2020-12/schema
object" "as a JSON schema"
billet driver schema local --format conf
like "$stdout" '^\[environment ' "or as lines of configuration"
billet driver schema local --format man
like "$stdout" '^\.' "or for the man page"
billet driver schema local --format xml
is "$status" 2 "or nothing else"
billet driver probe local
is "$status" 0 "probe passes"
like "$stdout" '^PASS  local +[0-9.]+ loads from ' "check by check"
billet driver probe local --json
is "$(json /ok /checks/0/outcome)" "true
PASS" "probe has JSON"
billet driver probe nosuch
is "$status" 1 "a probe of nothing fails"
like "$stdout" "^FAIL  nosuch +there is no driver named 'nosuch'" "and says so"

# ---- files that cannot be used ------------------------------------------------------------------
mkdir "$scratch/drivers"
# broken NAME CODE PATTERN DESCRIPTION: with the file driver_NAME.so in that directory.
broken() {
    printf '[billet]\ndriver_directory = %s\n[driver %s]\nenabled = yes\n[environment e]\ndriver = %s\n' \
        "$scratch/drivers" "$1" "$1" >"$scratch/billet.conf"
    billet run -e e -- echo ran
    is "$status/$stdout" 125/ "$4: refused"
    like "$stderr" "^billet: .*$3.* \\[$2\\]\$" "$4: one line says why"
    if [ "$2" = driver_broken ]; then
        billet driver list
        like "$stdout" "^$1 .* broken .*$3" "$4: list, too"
    else
        billet driver probe "$1"
        like "$status/$stdout" "^1/FAIL  $1 .*$3" "$4: probe, too"
    fi
    billet lease list --all --json
    is "$(json '/leases/#')" 0 "$4: before there was a lease"
}
good=$BILLET_DRIVER_DIR/driver_fake.so
copy() {
    rm -f "$scratch/drivers"/*
    cp "$good" "$scratch/drivers/driver_$1.so"
    chmod 0755 "$scratch/drivers/driver_$1.so"
}
copy x
broken x driver_broken 'driver_name_mismatch|name' "a file of another driver's name"
rm -f "$scratch/drivers"/* && ln -s "$good" "$scratch/drivers/driver_fake.so"
broken fake driver_broken 'is a symbolic link' "a symbolic link"
copy fake && chmod 0777 "$scratch/drivers/driver_fake.so"
broken fake driver_broken 'is writable by group or others' "a file that others can write"
copy fake && chmod 0777 "$scratch/drivers"
broken fake driver_broken 'is writable by group or others' "a directory that others can write"
chmod 0755 "$scratch/drivers"
if is_root; then
    copy fake && chown "$tap_uid" "$scratch/drivers/driver_fake.so"
    broken fake driver_broken 'belongs to another user' "a file of another user"
else
    skip 4 "needs root to make a file of another user"
fi
for size in 0 40 1000 5000; do
    copy fake && head -c "$size" "$good" >"$scratch/drivers/driver_fake.so"
    broken fake driver_broken '(too short for a shared object|ends before what its headers announce)' "a file cut off after $size bytes"
done
rm -f "$scratch/drivers"/* && mkdir "$scratch/drivers/driver_fake.so"
broken fake driver_broken 'is not a regular file' "a directory"
rmdir "$scratch/drivers/driver_fake.so" && mkfifo "$scratch/drivers/driver_fake.so"
broken fake driver_broken 'is not a regular file' "a pipe"
rm -f "$scratch/drivers"/* && cp /bin/sh "$scratch/drivers/driver_fake.so" && chmod 0755 "$scratch/drivers/driver_fake.so"
broken fake driver_broken 'note' "a program that is no driver"
rm -f "$scratch/drivers"/* && echo text >"$scratch/drivers/driver_fake.so"
broken fake driver_broken 'not a shared object' "a text"
rm -f "$scratch/drivers"/*
printf '[driver gone]\nenabled = yes\npath = %s/driver_gone.so\n[environment e]\ndriver = gone\n' "$scratch" >"$scratch/billet.conf"
billet run -e e -- true
is "$status" 125 "an enabled driver whose file is missing is refused"
billet driver list
like "$stdout" '^gone +- +missing ' "and listed as missing"

# Those that each break one rule are made for the unit tests of the loader.
variants=$top_builddir/t/drivers/.libs
try_variant() {
    if [ -f "$variants/driver_$1.so" ]; then
        rm -f "$scratch/drivers"/*
        cp "$variants/driver_$1.so" "$scratch/drivers/" && chmod 0755 "$scratch/drivers/driver_$1.so"
        broken "$1" "$2" "$3" "$4"
    else
        skip 4 "the broken drivers of the unit tests are not built"
    fi
}
try_variant bad_abi driver_broken '(interface|ABI)' "a driver of another ABI"
try_variant bad_host_minor driver_broken '(newer|host|interface)' "a driver for a newer billet"
try_variant bad_no_note driver_broken 'note' "a driver without its note"
try_variant bad_undefined driver_load_failed 'undefined symbol' "a driver with a missing symbol"
try_variant bad_no_entry driver_no_entry 'does not export billet_driver_init' "a driver without its entry"
try_variant bad_required driver_bad_table 'lacks the required function' "a driver that lacks a function"
try_variant bad_capability driver_bad_table 'promises' "a driver that promises too much"
try_variant bad_schema driver_schema_invalid 'option' "a driver with a bad option table"
try_variant bad_init_crash driver_crashed 'signal' "a driver that crashes at its start"
try_variant bad_init_silent driver_no_reason 'without a reason' "a driver that fails without a word"

# ---- drivers that break their contract in a call ------------------------------------------------
# One environment per misbehaviour; none may leave a lease, a resource or a process.
{
    for operation in acquire realize exec release; do
        for action in segv abort exit:7 short oversized garbage other no_message positive ok_error; do
            printf '[environment %s-%s]\ndriver = fake\ndirectory = %s\nscript = %s:%s\n' "$operation" \
                "$(printf %s "$action" | tr ':' '-')" "$scratch/resources" "$operation" "$action"
        done
    done
    printf '[environment acquire-lose]\ndriver = fake\ndirectory = %s\nscript = acquire:lose\n' "$scratch/resources"
    printf '[environment bad-ref]\ndriver = fake\ndirectory = %s\nscript = acquire:bad_ref\n' "$scratch/resources"
    printf '[environment bad-outcome]\ndriver = fake\ndirectory = %s\nscript = exec:bad_outcome\n' "$scratch/resources"
} | fake_configuration
misbehaves() {
    billet run -e "$1" --status-fd 9 -- true 9>"$scratch/status"
    is "$(find "$scratch/resources" -name 'fake-*')$(left_leases)" "" "$1: no resource and no live lease is left"
    like "$stderr" "^billet: .*(driver )?fake.*\\[[a-z_]+\\]\$" "$1: the line names the driver"
}
for operation in acquire realize exec; do
    for action in segv abort exit-7 short oversized garbage other no_message positive ok_error; do
        misbehaves "$operation-$action"
        is "$status" 125 "$operation-$action: billet failed"
    done
done
for name in acquire-lose bad-ref bad-outcome; do
    misbehaves "$name"
    is "$status" 125 "$name: billet failed"
done
# In release the command's own status stands; what the driver left is destroyed by a fresh host.
for action in segv abort exit-7 short garbage other; do
    billet run -e "release-$action" --status-fd 9 -- true 9>"$scratch/status"
    is "$status" 0 "release-$action: the run keeps the command's status"
    is "$(find "$scratch/resources" -name 'fake-*')$(left_leases)" "" "release-$action: and nothing is left"
done
billet run -e acquire-segv -- true
refused 125 "cannot acquire environment 'acquire-segv': driver fake was killed by signal 11 (segmentation fault) during acquire" \
    lease_acquire_failed "a bug of the driver; a core dump can be had with BILLET_DRIVER_CORE=1 in the environment" \
    "a crash is told by signal and operation"
nothing_left "after all that"
done_testing
