#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016,SC2086
# Vaults: a program's, and HashiCorp Vault's against a strict stand-in (t/vault/fake_vault.c, with
# which t/vault-client.t shows that the service's own client works). What each refusal is called, and
# that nothing a provider or a program says gets out.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/canary.sh"
. "$top_srcdir/t/lib/vault.sh"
need_billet
mkdir "$scratch/work" && cd "$scratch/work" || exit 1
canary=VAULTED-2c81d07b-value
billet key init

# ---- a program's ------------------------------------------------------------------------------------
cat >store.sh <<END
#!/bin/sh
case \$2 in
good) printf '%s\n' '$canary' ;;
environment) env >&3 2>/dev/null; env | sort ;;
big) head -c 100000 /dev/zero | tr '\\0' x ;;
silent) ;;
lasting) echo $canary; exec sleep 1137 ;;
child) sleep 1137 & echo $canary ;;
failing) echo 'LEAKED $canary' >&2; echo $canary; exit 3 ;;
killed) kill -KILL \$\$ ;;
*) printf '%s' "\$#:\$2" ;;
esac
END
chmod 0755 store.sh
cat >vaults.conf <<END
[vault prog]
type = command
command = $scratch/work/store.sh get {path}
command_environment = CHOSEN
timeout = 2s
[vault narrow]
type = command
command = $scratch/work/store.sh get {path}
prefix = team/
[vault acme-only]
type = command
tenant = acme
command = $scratch/work/store.sh get {path}
[vault placeless]
type = command
command = $scratch/work/store.sh get
[vault relative]
type = command
command = store.sh {path}
[vault gone]
type = command
command = $scratch/work/nothing.sh {path}
END
resolves @vault:prog/good
is "$status/$(cat out)" "0/$canary" "a command vault gives a value, without its newline"
billet run -e one -- sh -c 'echo "$X"'
is "$stdout" "[secret]" "which is masked in output"
resolves '@vault:prog/a b;$(id)'
is "$status" 125 "a path with a blank is refused"
resolves '@vault:prog/a;$(id)&x#y@2'
is "$status/$(cat out)" '0/2:a;$(id)&x#y@2' "it is an argument, never a shell's text"
resolves @vault:prog/-rf
says 125 vault_path_invalid "it cannot be an option"
resolves @vault:prog/a/../b
says 125 vault_path_invalid "nor climb"
CHOSEN=yes
NOT_CHOSEN=no
export CHOSEN NOT_CHOSEN
resolves @vault:prog/environment
like "$(cat out)" 'CHOSEN=yes' "the program gets the variables that were chosen"
unlike "$(cat out)" 'NOT_CHOSEN|BILLET' "and no others"
resolves @vault:prog/failing
says 125 vault_command_failed "one that fails is told by its status alone"
like "$stderr" 'ended with status 3' "which is named"
resolves @vault:prog/killed
says 125 vault_command_failed "one that is killed"
resolves @vault:prog/silent
says 125 secret_empty "one that says nothing"
resolves @vault:prog/big
says 125 vault_value_too_large "one that says too much"
for kind in lasting child; do
    start=$(now)
    resolves "@vault:prog/$kind"
    says 125 vault_timeout "one that does not end ($kind)"
    within 30 "$start" "is ended"
done
ok "with all that it started" wait_until sh -c '! grep -aqs "^sleep.1137.$" /proc/[0-9]*/cmdline'
resolves @vault:narrow/team/x
is "$status" 0 "prefix lets its own through"
resolves @vault:narrow/other/x
says 125 vault_path_refused "and nothing else"
resolves @vault:acme-only/good
says 125 vault_not_found "another tenant's vault is not there"
resolves @vault:nowhere/good
says 125 vault_not_found "nor one that nobody configured"
for name in placeless relative; do
    resolves "@vault:$name/good"
    says 125 vault_config_invalid "a section that is wrong: $name"
done
resolves @vault:gone/good
is "$status" 125 "a program that is not there"
chmod 0777 store.sh
resolves @vault:prog/good
says 125 path_untrusted "a program that others can change is not run"
chmod 0755 store.sh
billet env probe one
is "$status" 0 "env probe resolves it, too"
billet vault list
like "$stdout" '^prog +command' "vault list lists them"
unlike "$stdout" acme-only "without another tenant's"
billet vault probe prog
like "$status/$stdout" '^0/.*store.sh is there' "vault probe"
billet vault list prog
says 125 vault_unsupported "a program's names cannot be listed"

# ---- HashiCorp Vault ----------------------------------------------------------------------------------
if ! [ -f "$BILLET_STORE_DIR/vault_hashicorp.so" ]; then
    diag "libcurl was not there when billet was built: HashiCorp Vault is not tested"
    done_testing
    exit
fi
start_fake fake-vault "secret:app=[]" "secret:db/main={\"user\":\"u\",\"password\":\"$canary\"}" \
    "secret:db/main={\"user\":\"u\",\"password\":\"second-$canary\"}" "secret:one={\"anything\":\"$canary\"}" \
    "secret:named={\"a\":\"x\",\"value\":\"$canary\"}" "secret:number={\"value\":[1,2]}" "secret:dead=destroyed" \
    "secret:db/slow={}" "secret:huge={\"value\":\"x\"}" "secret:garbage={\"value\":\"x\"}" \
    "team/kv:é k=${canary:+{\"v\":\"$canary\"\}}" "old:app/key={\"value\":\"old-$canary\"}"
printf 't-root\n' >token && printf 't-poor' >poor && printf 'sid-1' >sid && printf 'jwt-1\n' >jwt && printf "wrong-$canary" >wrong
chmod 0400 token poor sid jwt wrong
vault_section() {
    printf '[vault %s]\ntype = hashicorp\naddress = %s\ntimeout = 5s\n' "$1" "$address"
    shift
    printf '%s\n' "$@"
}
here=$scratch/work
{
    vault_section corp "token = @file:$here/token"
    vault_section spaced "token = @file:$here/token" "namespace = corp"
    vault_section lost "token = @file:$here/token" "namespace = nowhere"
    vault_section kv1 "token = @file:$here/token" "mount = old"
    vault_section nested "token = @file:$here/token" "mount = team/kv"
    vault_section poor "token = @file:$here/poor"
    vault_section wrong "token = @file:$here/wrong"
    vault_section role "auth = approle" "role_id = role-1" "secret_id = @file:$here/sid"
    vault_section badrole "auth = approle" "role_id = role-1" "secret_id = @file:$here/wrong"
    vault_section pod "auth = kubernetes" "role = pod" "jwt_file = $here/jwt"
    vault_section circle "token = @vault:corp/one"
    vault_section guarded "token = @file:$here/token" "prefix = db/"
    printf '[vault far]\ntype = hashicorp\naddress = http://vault.example:8200\ntoken = @file:%s\n' "$here/token"
    printf '[vault closed]\ntype = hashicorp\naddress = http://127.0.0.1:1\ntoken = @file:%s\n' "$here/token"
} >vaults.conf
resolves '@vault:corp/db/main#password'
is "$status/$(cat out)" "0/second-$canary" "a field of the newest version (version 2 of the engine)"
resolves '@vault:corp/db/main@1#password'
is "$status/$(cat out)" "0/$canary" "a field of a version"
resolves @vault:corp/one
is "$status/$(cat out)" "0/$canary" "the only field needs no name"
resolves @vault:corp/named
is "$status/$(cat out)" "0/$canary" "nor does the one called value"
resolves @vault:corp/number
is "$status/$(cat out)" "0/[1,2]" "what is no string comes as JSON"
resolves @vault:kv1/app/key
is "$status/$(cat out)" "0/old-$canary" "version 1 of the engine is noticed"
resolves @vault:spaced/one
is "$status/$(cat out)" "0/$canary" "a namespace"
resolves @vault:role/one
is "$status/$(cat out)" "0/$canary" "login by AppRole"
ok "whose token is revoked after use" grep -q '^POST auth/token/revoke-self 204' log
resolves @vault:pod/one
is "$status/$(cat out)" "0/$canary" "login by Kubernetes"
resolves '@vault:corp/db/main'
says 125 vault_field_missing "several fields and no name"
resolves '@vault:corp/one#nothing'
says 125 vault_field_missing "a field that is not there"
resolves @vault:corp/nothing
says 125 vault_entry_missing "a path that is not there"
resolves @vault:corp/db/main@9#password
says 125 vault_entry_missing "a version that never was"
resolves @vault:corp/dead
says 125 vault_version_missing "a version that was destroyed"
resolves @vault:kv1/app/key@2
says 125 vault_version_missing "version 1 of the engine has no versions"
resolves @vault:poor/one
says 125 vault_denied "a token that may not read it"
resolves @vault:wrong/one
says 125 vault_denied "a token that is none"
resolves @vault:badrole/one
says 125 vault_denied "a wrong secret id, which the server repeats"
resolves @vault:lost/one
is "$status" 125 "a namespace that is not there"
resolves @vault:corp/503
says 125 vault_sealed "a sealed server"
resolves @vault:corp/429
says 125 vault_throttled "one that is asked too often"
resolves @vault:corp/500
says 125 vault_unreachable "one that is broken"
resolves @vault:corp/302
says 125 vault_answer_invalid "a redirect is not followed"
resolves @vault:corp/garbage
says 125 vault_answer_invalid "an answer that is not JSON"
resolves @vault:corp/huge
says 125 vault_answer_invalid "an answer without an end"
start=$(now)
resolves @vault:corp/db/slow
says 125 vault_timeout "an answer that does not come"
within 30 "$start" "is waited for no longer than allowed"
resolves @vault:closed/one
says 125 vault_unreachable "nobody there"
resolves @vault:far/one
says 125 vault_config_invalid "no credential goes over the network in the clear"
resolves @vault:circle/one
says 125 vault_config_invalid "a vault's credential comes from no vault"
resolves @vault:guarded/one
says 125 vault_path_refused "prefix is a guard here too"
billet vault probe corp
is "$status/$stdout" "0/version 1.15.2, unsealed; secret is a key-value engine of version 2" "vault probe"
billet vault probe kv1
like "$stdout" "old is a key-value engine of version 1" "and of the other version"
billet vault probe badrole
says 125 vault_denied "by logging in"
billet vault probe wrong
says 125 vault_denied "vault probe tries the credentials"
billet vault list corp db --json
is "$status $(json /paths/0/path)" "0 db/main" "vault list with a path"
billet vault list corp
like "$stdout" '^db/ +kv 2' "vault list shows folders"
billet vault list nested --json
is "$(json /paths/0/path)" "é k" "names may be any text"
billet vault discover corp
is "$(echo "$stdout" | tail -n +2 | sort | sed 's/  */ /' | tr '\n' ,)" "old/ kv 1,secret/ kv 2,team/kv/ kv 2," "vault discover names the engines"
reads=$(grep -c '^GET old/app/key' log)
billet vault import kv1 app
like "$stdout" '^app/key +app-key +ready' "vault import shows what it would do"
is "$(grep -c '^GET old/app/key' log)" "$reads" "and reads no value for it"
billet secret show app-key
is "$status" 125 "nor stores one"
billet vault import --apply kv1 app
like "$stdout" '^app/key +app-key +imported' "--apply does it"
billet secret show app-key --to-fd 3 3>out
is "$(cat out)" "old-$canary" "and the value is a secret here"
billet vault import --apply kv1 app
like "$stdout" '^app/key +app-key +exists' "what is here is left alone"
billet secret usage app-key
is "$status" 0 "it is an ordinary secret"
billet audit verify
is "$status" 0 "every use of a vault is on record"
if command -v sqlite3 >/dev/null 2>&1; then
    like "$(sqlite3 "$scratch/state/billet.db" "SELECT count(*) FROM secret_audit WHERE name='@vault:role/one' AND outcome='allowed'")" \
        '^[1-9]' "with its reference"
    like "$(sqlite3 "$scratch/state/billet.db" "SELECT count(*) FROM secret_audit WHERE name='@vault:poor/one' AND outcome='vault_denied'")" \
        '^[1-9]' "and refusals with their codes"
else
    skip 2 "needs sqlite3"
fi
not_ok "no file of the state holds a value" sh -c 'find "$1" -type f -exec cat {} + | grep -aFq -e "$2"' sh "$scratch/state" "$canary"

# While a command has the value, billet itself has it nowhere that an image of it would show: what libcurl
# and jansson had in their hands is wiped.
if is_root && [ -x "$seek" ] && [ -z "${BILLET_SANITIZERS:-}" ]; then
    mkdir "$scratch/sources"
    sources=$scratch/sources
    printf 'vault second-%s second-%s\n' "$canary" "$canary" >"$sources/values"
    resolves @vault:corp/db/main#password
    host_keeps_nothing one
    start_billet run -e one -- sh -c 'echo ready; exec sleep 1147'
    ok "a run goes on" wait_until test -n "$(wait_until grep -qs ready "$scratch/stdout" && marked_sleeps)"
    is "$(in_memory --memory "$billet_pid")" "" "an image of billet has no value of the vault"
    for left in $(marked_sleeps); do
        kill "$left"
    done
    finish_billet
else
    skip 7 "needs root to look into its memory, and no sanitizers, which keep what was freed"
fi
resolves @vault:nowhere/one
billet config check
like "$status/$stdout" '^1/.*billet.conf:[0-9]+:.*there is no vault' "config check finds a vault that is not there"
kill "$fake" 2>/dev/null
wait "$fake" 2>/dev/null
done_testing
