#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet key and billet secret: values in, references out, bindings, states, records; and what each
# refusal is called.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" && cd "$scratch/work" || exit 1
fake_configuration <<END
[environment filed]
driver = local
env.TOKEN = @secret:token
END

# turned_down STATUS MESSAGE CODE HINT NAME: parts of what the last command said.
turned_down() {
    case $status:$stderr in
    "$1:billet: "*"$2"*"[$3]"*"$4"*) pass "$5" ;;
    *) is "$status: $stderr" "$1: ... $2 ... [$3] ... $4" "$5" ;;
    esac
}
canary=CANARY-4f7d0e1c-quick-brown

# ---- keys: nothing is made by itself ------------------------------------------------------------
printf '%s' "$canary" >value
billet secret set token --from-file value
turned_down 125 "there is no keyring $scratch/keyring" key_missing "billet key init" "no key is made by itself"
not_ok "and none is there" test -e "$scratch/keyring"
billet key init
is "$status" 0 "key init makes one"
like "$stderr" 'keep a copy' "and says to keep a copy"
is "$(stat -c %a "$scratch/keyring")" 400 "with mode 0400"
billet key init
turned_down 125 "there is a keyring $scratch/keyring already" key_exists "billet key rotate" "once"
chmod 0440 "$scratch/keyring"
billet key list
turned_down 125 "keyring: $scratch/keyring is readable by group or others" path_untrusted "chmod 0400" \
    "SEC-89: a keyring that others can read is refused"
chmod 0400 "$scratch/keyring"
mv "$scratch/keyring" "$scratch/elsewhere" && ln -s "$scratch/elsewhere" "$scratch/keyring"
billet key list
like "$stderr" 'is a symbolic link' "SEC-89: and one behind a link"
rm "$scratch/keyring" && mv "$scratch/elsewhere" "$scratch/keyring"

# ---- values in ------------------------------------------------------------------------------------
billet secret set token "$canary"
is "$status" 2 "SEC-81: a value on the command line is refused"
unlike "$stderr$stdout" "$canary" "and not repeated"
billet secret set token --value="$canary"
is "$status" 2 "SEC-81: as an option too"
unlike "$stderr$stdout" "$canary" "and not repeated"
billet secret set token --from-file value --description 'for the test'
is "$status/$stdout" "0/@secret:token" "set takes a file"
billet secret set token --from-file value
turned_down 125 "there is a secret 'token' already" secret_exists "billet secret rotate token" "a name is used once"
billet secret set piped <value
is "$status" 0 "set takes stdin"
billet secret set described --from-fd 3 3<value
is "$status" 0 "and a descriptor"
billet secret set ../x --from-file value
is "$status" 125 "names are checked"
: >empty
billet secret set empty --from-file empty
like "$stderr" 'the value is empty' "an empty value is refused"
billet secret list
like "$stdout" '^token +1 +active .*for the test' "list shows them"
unlike "$stdout" "$canary" "without values"
billet secret list --json
is "$(json '/secrets/#' /secrets/2/name /secrets/2/version)" "3
token
1" "list has JSON"
billet secret show token --json
is "$(json /name '/versions/#' /versions/0/state)" "token
1
active" "show has JSON"
billet secret show token --reveal
is "$status" 2 "show --reveal wants a terminal"
billet secret show token --to-fd 3 3>out
is "$(cat out)" "$canary" "--to-fd gives the value"
billet secret show nothing
turned_down 125 "there is no secret 'nothing'" secret_not_found "billet secret list" "one that is not there"
billet secret show token --tenant acme
turned_down 125 "there is no secret 'token'" secret_not_found "billet secret list" "SEC-101: another tenant's is not there"

# ---- references -----------------------------------------------------------------------------------
billet run -e filed -- true
turned_down 125 "environment 'filed': env.TOKEN: secret 'token' may not be used for 'env.TOKEN' of environment 'filed'" \
    secret_unbound "billet secret bind token --environment filed --option env.TOKEN" "a reference resolves nowhere by itself"
billet secret bind token --environment filed --option env.TOKEN
is "$status" 0 "bind allows it there"
billet run -e filed -- sh -c 'printf %s "$TOKEN" | wc -c'
is "$status/$(echo $stdout)" "0/${#canary}" "and the command gets it"
billet run -e filed -- sh -c 'echo "a $TOKEN b"; echo "$TOKEN" >&2'
is "$stdout" "a [secret] b" "SEC-90: its output is masked"
is "$stderr" "[secret]" "on stderr too"
billet run -e filed -- sh -c 'printf "%s" "$TOKEN" | base64; printf "%s" "x$TOKEN" | od -An -tx1 | tr -d " \n"; echo'
unlike "$stdout" "$(printf %s "$canary" | base64 | cut -c 1-20)" "SEC-90: in base64"
unlike "$stdout" "$(printf %s "$canary" | od -An -tx1 | tr -d ' \n')" "SEC-90: in hexadecimal"
billet run -e filed -- sh -c 'printf "%s" "${TOKEN%-quick*}"; sleep 0.3; printf "%s\n" "-quick${TOKEN#*-quick}"'
is "$stdout" "[secret]" "SEC-90: in two pieces"
billet run -e filed --env TOKEN=mine -- sh -c 'echo "$TOKEN"'
is "$stdout" mine "the command line's own goes before it"
billet env create saved --driver fake --option token=@secret:token --option env.T=@secret:token@1
is "$status" 0 "env create binds what it names"
billet run -e saved -- true
is "$status" 0 "and a run in it resolves"
billet secret usage token --json
is "$(json '/usage/#' /usage/0/environment /usage/0/option /usage/0/bound /usage/0/named)" "3
filed
env.TOKEN
true
true" "usage says where"
billet env edit saved --option env.U=@secret:piped --unset env.T
billet secret usage token --json
is "$(json '/usage/#')" 2 "env edit unbinds what is gone"
cat >draft.conf <<END
[environment saved]
driver = local
env.STOLEN = @secret:token
END
chmod 0600 draft.conf
billet env probe --draft draft.conf
is "$status" 1 "a draft of the same name resolves nothing"
like "$stdout" "FAIL.*which is a draft" "and says so"
billet env create literal --driver fake --option "token=$canary"
like "$stderr" 'secret_literal' "a literal is refused"
unlike "$stderr$stdout" "$canary" "and not repeated"
billet env create vaulted --driver fake --option token=@vault:v/x
billet run -e vaulted -- true
like "$stderr" 'vault_not_found' "@vault: there is no such vault"
printf '%s\n' "$canary" >token-file && chmod 0644 token-file
billet env create filer --driver local --option "env.X=@file:$scratch/work/token-file"
billet run -e filer -- true
like "$stderr" 'readable by group or others.*secret_file_unusable' "SEC-89: @file wants 0400"
chmod 0400 token-file
billet run -e filer -- sh -c 'printf %s "$X" | wc -c'
is "$status/$(echo $stdout)" "0/${#canary}" "@file gives the value without its newline"
billet env create enver --driver local --option env.X=@env:BILLET_TEST_SECRET
billet run -e enver -- true
like "$stderr" 'secret_variable_missing' "@env: not set"
BILLET_TEST_SECRET=$canary isolated "$billet_program" run -e enver -- sh -c 'printf %s "$X" | wc -c' >out 2>&1
is "$(tr -d ' ' <out)" "${#canary}" "@env: set"
mkdir creds && chmod 0700 creds && cp value creds/api && chmod 0400 creds/api
billet env create creder --driver local --option env.X=@cred:api
billet run -e creder -- true
like "$stderr" 'secret_credential_missing' "@cred: not given"
CREDENTIALS_DIRECTORY=$scratch/work/creds isolated "$billet_program" run -e creder -- sh -c 'printf %s "$X" | wc -c' >out 2>&1
is "$(tr -d ' ' <out)" "${#canary}" "@cred: given"

# ---- versions, states -----------------------------------------------------------------------------
printf 'the second value' | isolated "$billet_program" secret rotate token >out 2>&1
billet secret show token --to-fd 3 3>out
is "$(cat out)" "the second value" "rotate makes a new current version"
billet secret show token --version 1 --to-fd 3 3>out
is "$(cat out)" "$canary" "the first can still be named"
billet secret disable token
billet run -e filed -- true
like "$stderr" 'secret_disabled' "disabled"
billet env probe filed
like "$stdout" "FAIL.*is disabled" "env probe finds it before a run"
billet config check
like "$stdout" 'billet.conf:.*: error: .*disabled' "config check gives the line"
is "$status" 1 "and fails"
billet doctor filed
is "$status" 1 "doctor finds it"
billet secret enable token
billet secret disable token --version 2
billet run -e filed -- true
like "$stderr" 'secret_version_inactive' "a disabled version"
billet secret enable token --version 2
billet env create pinned --driver local --option env.X=@secret:token@9
billet run -e pinned -- true
like "$stderr" 'secret_version_missing' "a version that is not there"
billet env create absent --driver local --option env.X=@secret:nowhere
billet run -e absent -- true
like "$stderr" 'secret_not_found' "a secret that is not there"
billet secret rm token
turned_down 125 "secret 'token' is used by environment" secret_in_use "billet secret usage token" "one in use is not deleted"
billet secret rm token --force
is "$status" 0 "but with --force"
billet run -e filed -- true
like "$stderr" 'secret_deleted' "a deleted one is called deleted"
billet secret set token --from-file value
is "$status" 0 "its name is free again"

# ---- keys -----------------------------------------------------------------------------------------
old=$(isolated "$billet_program" key list --json | sed -n 's/.*"id": "\(.*\)".*/\1/p')
billet key rotate
is "$status" 0 "key rotate"
isnt "$stdout" "$old" "gives a new key"
billet secret verify --all
is "$status/$stdout" "0/3 open, 0 do not" "every secret opens under it"
billet secret show token --json
isnt "$(json /versions/0/key)" "$old" "and none needs the old one"
billet key export "$scratch/export" --export-passphrase-fd 3 3<<END
correct horse battery
END
is "$status/$stderr" "0/" "key export"
not_ok "keeps no passphrase" grep -aFq "correct horse" "$scratch/export"
mv "$scratch/keyring" "$scratch/lost"
billet secret verify
turned_down 125 "there is no keyring" key_missing "billet key init" "without the keyring nothing opens"
billet key import "$scratch/export" --export-passphrase-fd 3 3<<END
a wrong passphrase
END
like "$stderr" 'key_passphrase_wrong' "a wrong passphrase does not bring it back"
billet key import "$scratch/export" --export-passphrase-fd 3 3<<END
correct horse battery
END
is "$status/$stdout" 0/2 "the right one does"
billet secret verify --all
is "$status/$stdout" "0/3 open, 0 do not" "restore drill: and every secret verifies"
mkdir -p creds2 && chmod 0700 creds2 && cp "$scratch/keyring" creds2/billet-keyring && mv "$scratch/keyring" "$scratch/lost2"
CREDENTIALS_DIRECTORY=$scratch/work/creds2 isolated "$billet_program" secret verify >out 2>&1
is "$(cat out)" "3 open, 0 do not" "the keyring may be a systemd credential"
CREDENTIALS_DIRECTORY=$scratch/work/creds2 isolated "$billet_program" key rotate >out 2>&1
like "$(cat out)" key_read_only "which is not changed here"
rm -f "$scratch/keyring.lock"
billet key init --passphrase-fd 3 3<<END
another passphrase
END
is "$status" 0 "a keyring can be closed with a passphrase"
billet secret set closed --from-file value </dev/null
like "$stderr" 'key_passphrase_missing' "which then has to be given"
echo 'another passphrase' >pass
BILLET_PASSPHRASE_FD=4 isolated "$billet_program" secret set closed --from-file value 4<pass >out 2>&1
is "$(cat out)" "@secret:closed" "by a descriptor for example"
rm -f "$scratch/keyring" && mv "$scratch/lost2" "$scratch/keyring"
billet secret verify
like "$stdout" 'closed@1 .*key_unknown' "verify names what has another key"

# ---- literals move out of the configuration ---------------------------------------------------------
cp "$scratch/billet.conf" before.conf
literal=LITERAL-9b1d-in-a-file
cat >>"$scratch/billet.conf" <<END
# who may call the service
[environment moved]
  driver = fake
; a comment that stays
token   =   "$literal\\x41"
env.API_TOKEN = $literal-\\
joined
env.COLOUR = not a secret
env.OTHER_TOKEN = @secret:piped
END
chmod 0640 "$scratch/billet.conf"
cp "$scratch/billet.conf" with-literals.conf
billet secret import
is "$status" 2 "import wants to know from where"
billet secret import --from-config
is "$status" 0 "import --from-config looks first"
like "$stdout" "billet.conf:10 +moved +token +moved-token +store" "and says what it would do"
like "$stdout" "moved +env.API_TOKEN +moved-API_TOKEN +store" "variables whose names say so too"
unlike "$stdout$stderr" "$literal|OTHER_TOKEN|COLOUR" "without values, and nothing else"
ok "nothing was changed" cmp -s with-literals.conf "$scratch/billet.conf"
billet secret show moved-token
is "$status" 125 "nor stored"
printf other >other && isolated "$billet_program" secret set moved-token --from-file other >/dev/null 2>&1
billet secret import --from-config --apply
like "$stderr" 'billet.conf:10: there is a secret .moved-token. already, with another value.*secret_exists' "a name that is taken stops all"
ok "and nothing was changed" cmp -s with-literals.conf "$scratch/billet.conf"
billet secret rm moved-token
billet secret import --from-config --apply
is "$status" 0 "--apply moves them"
sed -e 's/^token   =   .*/token   =   @secret:moved-token/' -e '/^joined$/d' \
    -e 's/^env.API_TOKEN = .*/env.API_TOKEN = @secret:moved-API_TOKEN/' with-literals.conf >wanted.conf
is "$(cat "$scratch/billet.conf")" "$(cat wanted.conf)" "the values alone were replaced"
is "$(stat -c %a "$scratch/billet.conf")" 640 "the mode is as it was"
billet secret show moved-token --to-fd 3 3>out
is "$(cat out)" "${literal}A" "the value is what stood there, quotes understood"
billet secret bind piped --environment moved --option env.OTHER_TOKEN
billet run -e moved -- true
is "$status/$stderr" "0/" "and resolves there at once"
billet secret show moved-API_TOKEN --to-fd 3 3>out
is "$(cat out)" "$literal-joined" "and joined lines are one value"
cp with-literals.conf "$scratch/billet.conf"
billet secret import --from-config
like "$stdout" "moved +token +moved-token +reuse" "one that was killed between is completed with the same secrets"
billet secret import --from-config --apply
is "$(cat "$scratch/billet.conf")" "$(cat wanted.conf)" "as if nothing had been"
billet secret import --from-config --json
is "$status $(json '/literals/#')" "0 0" "then there is nothing left to move"
cp before.conf "$scratch/billet.conf"

# A writer of the keyring that was killed leaves a file with keys beside it: the next one removes it.
: >"$scratch/keyring.01234567-89ab-7000-8000-000000000000.new"
: >"$scratch/keyring.old.new"
billet key rotate
not_ok "what a killed writer left of a keyring is removed" test -e "$scratch/keyring.01234567-89ab-7000-8000-000000000000.new"
ok "and nothing else" test -e "$scratch/keyring.old.new"

# ---- where no value may be ------------------------------------------------------------------------
# While a command that has it runs, and after all of the above: database, its log, process tables.
billet secret bind token --environment filed --option env.TOKEN
start_billet run -e filed -- sh -c 'echo ready; exec sleep 60'
wait_until grep -q ready "$scratch/stdout"
ok "a command that has the value runs" sh -c \
    'cat /proc/[0-9]*/environ 2>/dev/null | tr "\000" "\n" | grep -Fxq -e "$1"' sh "TOKEN=$canary"
for process in "$billet_pid" $(children_of "$billet_pid"); do
    not_ok "SEC-81: not in the command line of process $process" grep -aFq "$canary" "/proc/$process/cmdline"
    not_ok "SEC-80: nor in its environment" grep -aFq "$canary" "/proc/$process/environ"
done
kill -TERM "$billet_pid"
finish_billet
hex=$(printf %s "$canary" | od -An -tx1 | tr -d ' \n')
base64=$(printf %s "$canary" | base64 | cut -c 1-24)
for form in "$canary" "$hex" "$base64"; do
    not_ok "SEC-86, SEC-87: the state directory does not hold $(echo "$form" | cut -c 1-4)..." \
        sh -c 'find "$1" -type f -exec cat {} + | grep -aFq -e "$2"' sh "$scratch/state" "$form"
done

# ---- the chain of uses ----------------------------------------------------------------------------
billet audit verify
is "$status" 0 "the chain of uses is whole"
like "$stdout" '^[1-9][0-9]* uses, head [0-9a-f]{64}$' "and has a head"
if command -v sqlite3 >/dev/null 2>&1; then
    sqlite3 "$scratch/state/billet.db" \
        "DROP TRIGGER secret_audit_update; UPDATE secret_audit SET actor='nobody' WHERE sequence=3" 2>/dev/null
    billet audit verify
    is "$status" 1 "a changed row is found"
    like "$stderr" 'breaks at row 3: .*audit_broken' "and named"
else
    skip 2 "needs sqlite3 to change the database"
fi
done_testing
