#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC3045
# A canary behind each kind of reference, every verb of billet, and the ways to fail: nowhere is the value
# found afterwards, in no form (t/lib/canary_seek.c). A verb that has no line here fails the test.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/verbs.sh"
need_billet
. "$top_srcdir/t/lib/canary.sh"
[ -x "$seek" ] || skip_all "needs t/lib/canary-seek, which make check builds"
need_fake
plant secret cred file env vault
mkdir "$sources/cred" "$scratch/work" "$scratch/tmp" "$scratch/said" "$scratch/images" && cd "$scratch/work" || exit 1
chmod 0700 "$sources/cred"
ulimit -c unlimited 2>/dev/null || diag "core files stay limited"


# ---- the canaries, and that each form of them is found -------------------------------------------------
cp "$sources/value.cred" "$sources/cred/beta"
chmod 0400 "$sources/cred/beta"
printf '#!/bin/sh\ncat "%s"\n' "$sources/value.vault" >"$sources/vault.sh"
printf '#!/bin/sh\ncat "%s" >&2\ncat "%s"\nexit 3\n' "$sources/value.vault" "$sources/value.vault" >"$sources/failing.sh"
chmod 0700 "$sources"/*.sh

mkdir "$scratch/planted"
plain=$(cat "$sources/value.file")
seen() {
    like "$(hits "$scratch/planted")" "^file $1 " "the seeker finds the form $1"
    rm -f "$scratch/planted"/*
}
printf 'x%sx' "$plain" >"$scratch/planted/a" && seen plain
printf 'x%sx' "${plain##*/}" >"$scratch/planted/a" && seen part
for lead in '' a ab; do
    printf '%s%s-and-more' "$lead" "$plain" | base64 | tr -d '\n' >"$scratch/planted/a"
    seen "base64$(printf '%s' "$lead" | wc -c | tr -d ' ' | sed -e 's/^0$//' -e 's/^\([12]\)$/[+]\1/')"
done
printf %s "$plain" | od -An -v -tx1 | tr -d ' \n' >"$scratch/planted/a" && seen hex
printf %s "$plain" | sed -e 's/"/%22/' -e 's/&/%26/' -e 's/\\/%5C/' -e 's,/,%2F,' >"$scratch/planted/a" && seen url
printf %s "$plain" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' >"$scratch/planted/a" && seen json
is "$(hits "$scratch/planted")" "" "and nothing where nothing is"

watching() {
    rm -f "$scratch/stop"
    "$seek" --watch "$sources/values" "$scratch/stop" >"$scratch/watched" 2>&1 &
    watcher=$!
}
watched() {
    : >"$scratch/stop"
    wait "$watcher"
}
watching
FOUND=$plain sleep 1141 &
first=$!
sleep 1141 "$plain" 2>/dev/null || sh -c 'exec sleep "$0"' 1141 "$plain" 2>/dev/null &
second=$!
wait_until grep -q '^file plain .*/environ' "$scratch/watched"
sh -c 'while :; do sleep 1; done' "$plain" &
third=$!
ok "the seeker finds it in arguments" wait_until grep -q '^file plain .*/cmdline' "$scratch/watched"
ok "and in an environment" grep -q '^file plain .*/environ' "$scratch/watched"
kill "$first" "$second" "$third" 2>/dev/null
wait "$first" "$second" "$third" 2>/dev/null
watched

# ---- a billet that uses all of them -------------------------------------------------------------------
CANARY_SOURCE=1 CANARY_E=$(cat "$sources/value.env") CREDENTIALS_DIRECTORY=$sources/cred TMPDIR=$scratch/tmp
export CANARY_SOURCE CANARY_E CREDENTIALS_DIRECTORY TMPDIR
reference() {
    case $1 in
    secret) echo @secret:alpha ;;
    cred) echo @cred:beta ;;
    file) echo "@file:$sources/value.file" ;;
    env) echo @env:CANARY_E ;;
    vault) echo @vault:prog/x ;;
    esac
}
environment() {
    printf '[environment %s]\ndriver = %s\n' "$1" "$2"
    shift 2
    printf '%s\n' "$@"
}
{
    printf '[driver fake]\nenabled = yes\n[vault prog]\ntype = command\ncommand = %s {path}\n' "$sources/vault.sh"
    printf '[vault failing]\ntype = command\ncommand = %s {path}\n' "$sources/failing.sh"
    environment all local 'env.CANARY_WORKLOAD = yes'
    for kind in secret cred file env vault; do
        printf 'env.%s = "%s"\n' "V_$kind" "$(reference "$kind")"
    done
    for kind in secret cred file env vault; do
        environment "on-$kind" fake "token = \"$(reference "$kind")\""
    done
    for fault in acquire:segv acquire:fail:config acquire:garbage acquire:oversized exec:abort exec:delay:1m probe:fail:auth \
        release:exit:3; do
        environment "fault-$(echo "$fault" | tr : -)" fake "token = @secret:alpha" "script = $fault"
    done
    environment no-vault fake 'token = @vault:failing/x'
    environment dead ssh 'host = 127.0.0.1' 'port = 1' 'user = nobody' 'identity = @secret:alpha' 'connect_timeout = 2s'
    environment unbound fake 'token = @secret:gamma'
} >"$scratch/billet.conf"
chmod 0600 "$scratch/billet.conf"

# v ARGUMENT...: billet, what it says kept
count=0
v() {
    count=$((count + 1))
    tap_run isolated timeout 60 "$billet_program" "$@" </dev/null
    cp "$scratch/stdout" "$scratch/said/$count.out"
    cp "$scratch/stderr" "$scratch/said/$count.err"
}
# both ARGUMENT...: as people and as programs have it
both() {
    v "$@"
    v "$@" --json --verbose
}
watching
v key init
isolated "$billet_program" secret set alpha <"$sources/value.secret" >"$scratch/said/alpha" 2>&1
isolated "$billet_program" secret set gamma <"$sources/value.secret" >"$scratch/said/gamma" 2>&1
for name in on-secret:token all:env.V_secret dead:identity $(sed -n 's/^\[environment \(fault.*\)\]/\1:token/p' "$scratch/billet.conf"); do
    v secret bind alpha --environment "${name%:*}" --option "${name#*:}"
    [ "$status" = 0 ] || fail "alpha is bound to $name: $stderr"
done
v run -e all -- sh -c 'test "$V_secret$V_cred$V_file$V_env$V_vault" = "$(cat "$@")"' sh "$sources/value.secret" \
    "$sources/value.cred" "$sources/value.file" "$sources/value.env" "$sources/value.vault"
is "$status" 0 "the command of an environment gets all five values"
v run -e all -- sh -c 'env; for v in "$V_secret" "$V_cred" "$V_file" "$V_env" "$V_vault"; do
    printf "%s\n" "$v"; printf %s "$v" | base64; printf %s "$v" | od -An -v -tx1 | tr -d " \n"; done; env >&2'
is "$status" 0 "and may print them"

# ---- every verb -----------------------------------------------------------------------------------------
isolated "$billet_program" --help | sed -n 's/^  \([a-z]\{2,\}\( [a-z]\{1,\}\)\{0,1\}\)  .*/\1/p' >"$scratch/verbs"
printf 'not a secret\n' >plain-value
mkdir project && echo x >project/file
unknown=
tried=0
while read -r verb; do
    tried=$((tried + 1))
    case $verb in
    run)
        for kind in secret cred file env vault; do
            both run -e "on-$kind" -- true
            [ "$status" = 0 ] || fail "a run with @$kind: $stderr"
        done
        ;;
    exec)
        v lease acquire -e all
        lease=$stdout
        v exec "$lease" -- true
        ;;
    shell) v shell "$lease" ;;
    push | pull) v "$verb" "$lease" ;;
    "driver list" | "env list" | status | "lease list" | "secret list" | "vault list" | "key list" | "audit list" | \
        "audit verify" | "config check" | "config show" | "db status" | "db check") both $verb ;;
    "driver show" | "driver schema" | "driver probe") both $verb fake ;;
    "env create") both env create made -d fake --option token=@secret:alpha ;;
    "env show" | "env probe") for name in all on-secret made dead no-vault; do both $verb "$name"; done ;;
    "env edit") both env edit made --option token=@env:CANARY_E ;;
    "env trust") for name in all on-secret made dead no-vault; do v $verb "$name" --yes && v $verb "$name" --json; done ;;
    "env archive" | "env drain" | "env undrain" | "env delete") v $verb made --yes && v $verb made ;;
    "lease acquire") both lease acquire -e on-secret ;;
    "lease show" | "lease release") both $verb "$lease" ;;
    "lease destroy")
        v lease acquire -e on-vault
        both lease destroy "$stdout"
        ;;
    "lease reap") both lease reap ;;
    janitor) v janitor --once ;;
    "secret set") isolated "$billet_program" secret set delta --verbose <"$sources/value.secret" >"$scratch/said/set" 2>&1 ;;
    "secret rotate") isolated "$billet_program" secret rotate alpha --verbose <"$sources/value.secret" >"$scratch/said/rotate" 2>&1 ;;
    "secret show")
        both secret show alpha
        isolated "$billet_program" secret show alpha --to-fd 3 3>/dev/null >"$scratch/said/show" 2>&1
        ;;
    "secret usage" | "secret enable" | "secret verify") both $verb alpha ;;
    "secret disable")
        both secret disable alpha
        v run -e on-secret -- true
        v secret enable alpha
        ;;
    "secret bind" | "secret unbind") v $verb gamma --environment unbound --option token ;;
    "secret rm") both secret rm delta --yes ;;
    "secret import") both secret import --from-config ;;
    "vault probe" | "vault discover" | "vault import") both $verb prog ;;
    "vault versions" | "vault promote" | "vault rollback") both $verb prog x ;;
    "vault put") isolated "$billet_program" vault put prog x --verbose <"$sources/value.secret" >"$scratch/said/put" 2>&1 ;;
    "key init" | "key rotate") both $verb ;;
    "key export" | "key import") v $verb "$scratch/work/exported" ;;
    doctor) both doctor all ;;
    "db migrate") both db migrate ;;
    "db copy")
        v db copy "$(store_url)" "sqlite:$scratch/work/copy.db"
        [ "$status" = 0 ] || fail "db copy: $stderr"
        ;;
    *) unknown="$unknown $verb" ;;
    esac
done <"$scratch/verbs"
is "$unknown" "" "each verb was tried"
ok "and there are some" test "$tried" -gt 40

# ---- ways to fail ---------------------------------------------------------------------------------------
v run -e on-secret -- true
is "$status" 0 "all is well before"
for name in $(sed -n 's/^\[environment \(fault.*\|dead\|no-vault\|unbound\)\]/\1/p' "$scratch/billet.conf"); do
    case $name in
    *delay*) v run -e "$name" --timeout 1s -- true ;;
    *) both run -e "$name" -- true ;;
    esac
    case $name in
    fault-probe*) both env probe "$name" ;;
    fault-release*) ;;
    *) [ "$status" != 0 ] || fail "a run in $name fails" ;;
    esac
done
v run -e on-secret --option nothing=1 -- true
v secret set alpha "$(cat plain-value)"
(
    ulimit -f 8
    isolated "$billet_program" secret set full --verbose <"$sources/value.secret"
) >"$scratch/said/full" 2>&1
v run -e all -- sh -c 'exit 7'
is "$status" 7 "a command may fail"
v run -e all -- sh -c 'kill -SEGV $$'

# ---- while they are in use ----------------------------------------------------------------------------------
places="$scratch/state $scratch/runtime $scratch/config $scratch/cache $scratch/home $scratch/tmp $scratch/work $scratch/keyring
    $scratch/billet.conf $scratch/said $scratch/stdout $scratch/stderr"
for signal in SEGV QUIT; do
    rm -f "$scratch/ready"
    start_billet run -e all -- sh -c ": >'$scratch/ready'; exec sleep 1143"
    ok "a run goes on" wait_until test -e "$scratch/ready"
    # shellcheck disable=SC2086 # a list of paths
    is "$(hits $places)" "" "no file has a value while it is in use"
    host=$(children_of "$billet_pid" | head -n 1)
    if [ "$signal" = SEGV ] && [ -n "${BILLET_SANITIZERS:-}" ]; then
        skip 3 "sanitizers keep what was freed"
    elif [ "$signal" = SEGV ] && dd if="/proc/$billet_pid/mem" of=/dev/null count=0 2>/dev/null; then
        # The driver host: t/secret-host.t
        "$seek" --memory "$sources/values" "$billet_pid" >"$scratch/images/billet" 2>&1
        ok "billet's memory is looked at" test "$(sed -n 's/^sought //p' "$scratch/images/billet")" -gt 10
        # What is in its own environment was put there by its caller.
        is "$(grep -v -e '^sought' -e '^env .*\[stack\]$' "$scratch/images/billet" | sort -u | head -n 10)" "" \
            "what an image of it would hold has none"
        CANARY_WORKLOAD=1 FOUND=$(cat "$sources/value.file") sleep 1144 &
        planted=$!
        wait_until grep -aqs '^sleep.1144.$' "/proc/$planted/cmdline"
        "$seek" --memory "$sources/values" "$planted" >"$scratch/images/planted"
        like "$(cat "$scratch/images/planted")" '^file plain memory ' "while one that has it does"
        kill "$planted"
        wait "$planted" 2>/dev/null
    elif [ "$signal" = SEGV ]; then
        skip 3 "nobody may look into the memory of a process here"
    fi
    [ "$signal" = SEGV ] || kill -"$signal" "$host"
    kill -"$signal" "$billet_pid"
    finish_billet
    is "$(find "$scratch/work" "$scratch/tmp" / -maxdepth 1 -name '*core*' -newer "$scratch/ready" -type f 2>/dev/null)" "" \
        "SIG$signal leaves no core file"
    for left in $(grep -als '^sleep.1143.$' /proc/[0-9]*/cmdline | cut -d / -f 3); do
        kill "$left" 2>/dev/null
    done
done
v lease reap
v db check
if command -v sqlite3 >/dev/null 2>&1; then
    sqlite3 "$scratch/state/billet.db" .dump >"$scratch/work/dump" 2>&1
    ok "there is a dump" grep -q secret_audit "$scratch/work/dump"
else
    skip 1 "needs sqlite3"
fi
watched

# ---- and nowhere is anything ------------------------------------------------------------------------------------
# shellcheck disable=SC2086
is "$(hits $places)" "" "no file, no output, no record has a value in any form"
is "$(grep -v '^sought' "$scratch/watched" | sort -u | head -n 10)" "" "nor has an environment or an argument of a process"
ok "which were looked at" test "$(sed -n 's/^sought //p' "$scratch/watched")" -gt 1000
ok "what billet said was kept" test "$(find "$scratch/said" -type f -size +0 | wc -l)" -gt 100
cp "$sources/value.vault" "$scratch/state/planted"
# shellcheck disable=SC2086
like "$(hits $places)" '^vault (plain|part) .*/state/planted$' "one that is put there is found"
done_testing
