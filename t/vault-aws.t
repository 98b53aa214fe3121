#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# AWS Secrets Manager against a strict stand-in (t/vault/fake_aws.c, with which t/vault-aws-client.t shows
# that the service's own client works): every place that credentials come from, every refusal, versions;
# and that nothing the provider says gets out. The same against moto, where it is on PATH.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long core
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/vault.sh"
need_billet
[ -f "$BILLET_STORE_DIR/vault_aws.so" ] || skip_all "needs the module for AWS, which is built with libcurl"
mkdir "$scratch/work" && cd "$scratch/work" || exit 1
HOME=$scratch/home
export HOME
unset http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy
for name in $(env | sed -n 's/^\(AWS_[A-Za-z0-9_]*\)=.*/\1/p'); do
    unset "$name"
done
kept="Secret+Key -token/ jwt-1 ctoken" # what must not be said, either
canary=CLOUDED-71e0d2aa-value
here=$scratch/work
billet key init

# gives REFERENCE VALUE NAME
gives() {
    resolves "$1"
    is "$status/$(cat out 2>/dev/null)" "0/$2" "$3"
}

long=$(head -c 2100 /dev/zero | tr '\0' x)
set -- "team/key=first-$canary" "team/key=$canary" "team/json={\"user\":\"u\",\"password\":\"$canary\"}" \
    "team/stuck/key=$canary" "other/key=$canary" "teamwork=$canary" "team/throttle=$canary" "team/throttled=x" \
    "team/500=x" "team/unknown=x" "team/deleted=x" "team/302=x" "team/garbage=x" "team/slow=x" \
    "team/other=$canary" "team/stage=$canary" "team/huge=$canary" "team/cut=$canary" "team/long=$long$canary"
number=0
while [ "$number" -lt 230 ]; do
    set -- "$@" "many/$number=x"
    number=$((number + 1))
done
start_fake fake-aws "$@"
printf 'root/Secret+Key\n' >root && printf 'poor/Secret+Key' >poor && printf wrong >wrong && printf 'jwt-1\n' >jwt &&
    printf ctoken >ctoken
chmod 0400 root poor wrong jwt ctoken

section() {
    printf '[vault %s]\ntype = aws\naddress = %s\nsts_address = %s\ntimeout = 5s\n' "$1" "$address" "$address"
    shift
    printf '%s\n' "$@"
}
rooted="access_key_id = AKIDROOT
secret_access_key = @file:$here/root"
{
    section corp "region = eu-test-1" "$rooted"
    section short "region = eu-test-1" "$rooted" "timeout = 1s" | sed '/^timeout = 5s/d'
    section guarded "region = eu-test-1" "$rooted" "prefix = team/"
    section elsewhere "region = us-test-1" "$rooted"
    section poor "region = eu-test-1" "access_key_id = AKIDPOOR" "secret_access_key = @file:$here/poor"
    section wrong "region = eu-test-1" "access_key_id = AKIDROOT" "secret_access_key = @file:$here/wrong"
    section nobody "region = eu-test-1" "access_key_id = AKIDNOBODY" "secret_access_key = @file:$here/wrong"
    section half "region = eu-test-1" "access_key_id = AKIDROOT"
    section regionless
    for source in environment web_identity profile container instance; do
        section "by-$source" "credentials = $source" "region = eu-test-1"
    done
    section auto "region = eu-test-1"
    section profiled "profile = work"
    section assumed "profile = assumed"
    section federated "profile = federated"
    section chained "profile = loop-1"
    section lost "profile = lost" "region = eu-test-1"
    for profile in process quoted sourced single-sign-on relative unclosed failing old untrusted; do
        section "$profile" "profile = $profile" "region = eu-test-1"
    done
    printf '[vault far]\ntype = aws\nregion = eu-test-1\naddress = http://aws.example\n%s\n' "$rooted"
    printf '[vault closed]\ntype = aws\nregion = eu-test-1\naddress = http://127.0.0.1:1\n%s\n' "$rooted"
} >vaults.conf

# ---- reading ----------------------------------------------------------------------------------------
gives @vault:corp/team/key "$canary" "the current version of a secret"
like "$(grep GetSecretValue log)" '^GetSecretValue AKIDROOT team/key 200 $' "by one signed request"
gives @vault:corp/team/key@AWSPREVIOUS "first-$canary" "the one before, by its stage"
gives @vault:corp/team/key@00000000-0000-4000-8000-000000000001 "first-$canary" "or by its id"
gives '@vault:corp/team/json#password' "$canary" "a field of JSON"
gives @vault:corp/team/json "{\"user\":\"u\",\"password\":\"$canary\"}" "without a field all of it"
gives @vault:corp/arn:aws:secretsmanager:eu-test-1:123456789012:secret:team/key-AbCdEf "$canary" "by its ARN"
gives @vault:corp/team/long "$long$canary" "a long one"
gives @vault:guarded/team/key "$canary" "prefix lets its own through"
before=$(wc -l <log)
resolves @vault:guarded/other/key
says 125 vault_path_refused "and nothing else"
resolves @vault:guarded/arn:aws:secretsmanager:eu-test-1:123456789012:secret:team/key-AbCdEf
says 125 vault_path_refused "nor an ARN"
billet vault list guarded other
says 125 vault_path_refused "nor a list"
billet vault put guarded other/key --from-file root
says 125 vault_path_refused "nor a write"
is "$(wc -l <log)" "$before" "before anybody was asked"
resolves '@vault:corp/team/json#nothing'
says 125 vault_field_missing "a field that is not there"
resolves '@vault:corp/team/key#field'
says 125 vault_field_missing "a field of what is not JSON"
resolves @vault:corp/team/nothing
says 125 vault_entry_missing "a secret that is not there"
like "$stderr" 'AWS says ResourceNotFoundException' "with AWS's name for it"
resolves @vault:corp/team/key@AWSPENDING
says 125 vault_version_missing "a stage that no version has"
resolves @vault:poor/team/key
says 125 vault_denied "a key that may not read it"
like "$stderr" 'AccessDeniedException, status 400' "with AWS's name"
resolves @vault:wrong/team/key
says 125 vault_denied "a wrong key"
like "$stderr" InvalidSignatureException "is a wrong signature"
resolves @vault:nobody/team/key
says 125 vault_denied "a key that nobody has"
resolves @vault:elsewhere/team/key
says 125 vault_denied "a signature for another region"
gives @vault:corp/team/throttle "$canary" "what is throttled is asked again"
is "$(grep -c 'team/throttle 400 ThrottlingException' log)" 2 "after each refusal"
resolves @vault:corp/team/throttled
says 125 vault_throttled "but not for ever"
resolves @vault:corp/team/500
says 125 vault_unreachable "a service that is broken"
like "$stderr" 'InternalServiceError' "with AWS's name"
resolves @vault:corp/team/unknown
says 125 vault_request_refused "an error of an unknown name"
like "$stderr" 'status 400' "has its status alone"
resolves @vault:corp/team/deleted
says 125 vault_request_refused "a secret that waits for its deletion"
resolves @vault:corp/team/302
says 125 vault_answer_invalid "a redirect is not followed"
for name in garbage huge other stage; do
    resolves "@vault:corp/team/$name"
    says 125 vault_answer_invalid "an answer that is wrong: $name"
done
resolves @vault:corp/team/cut
says 125 vault_unreachable "an answer that is cut off"
start=$(now)
resolves @vault:short/team/slow
says 125 vault_timeout "an answer that does not come"
within 30 "$start" "is waited for no longer than allowed"
resolves @vault:closed/team/key
says 125 vault_unreachable "nobody there"
for name in far half regionless; do
    resolves "@vault:$name/team/key"
    says 125 vault_config_invalid "a section that is wrong: $name"
done

# ---- credentials ------------------------------------------------------------------------------------
AWS_EC2_METADATA_DISABLED=true
export AWS_EC2_METADATA_DISABLED
resolves @vault:auto/team/key
says 125 vault_credentials_missing "no credentials anywhere"
for source in environment web_identity profile container instance; do
    resolves "@vault:by-$source/team/key"
    says 125 vault_credentials_missing "nor in the only place: $source"
done
mkdir "$HOME/.aws"
cat >"$HOME/.aws/credentials" <<END
# of the user
[default]
aws_access_key_id = AKIDROOT
aws_secret_access_key=root/Secret+Key
[ work ]
  nested = no
aws_access_key_id=AKIDROOT
aws_secret_access_key = root/Secret+Key
END
cat >"$HOME/.aws/config" <<END
[default]
region = eu-test-1
[profile work]
region = eu-test-1
s3 =
  region = us-test-1
[profile assumed]
region = eu-test-1
role_arn = arn:aws:iam::123456789012:role/other
source_profile = work
[profile federated]
region = eu-test-1
role_arn = arn:aws:iam::123456789012:role/web
web_identity_token_file = $here/jwt
[profile loop-1]
region = eu-test-1
role_arn = arn:aws:iam::123456789012:role/other
source_profile = loop-2
[profile loop-2]
role_arn = arn:aws:iam::123456789012:role/other
source_profile = loop-1
[profile process]
credential_process = $here/key-maker AKIDROOT 1
[profile quoted]
credential_process = "$here/key maker" 'AKIDROOT' 1
[profile sourced]
role_arn = arn:aws:iam::123456789012:role/other
credential_source = Environment
[profile single-sign-on]
sso_session = work
[profile relative]
credential_process = key-maker AKIDROOT 1
[profile unclosed]
credential_process = "$here/key-maker
[profile failing]
credential_process = /bin/false
[profile old]
credential_process = $here/key-maker AKIDROOT 2
[profile untrusted]
credential_process = $here/anybodys AKIDROOT 1
END
# What it writes is as botocore reads it (t/vault-aws-client.t).
cp "$top_srcdir/t/vault/key-maker" "$here/key-maker" && chmod 0755 "$here/key-maker"
cp "$here/key-maker" "$here/key maker"
cp "$here/key-maker" "$here/anybodys" && chmod 0757 "$here/anybodys"
chmod 0644 "$HOME/.aws/credentials"
resolves @vault:by-profile/team/key
is "$status" 125 "a file of credentials that others can read"
like "$stderr" 'path_untrusted' "is not used"
chmod 0600 "$HOME/.aws/credentials"
gives @vault:by-profile/team/key "$canary" "the default profile"
gives @vault:profiled/team/key "$canary" "a named profile, with its region"
gives @vault:regionless/team/key "$canary" "the default profile's region"
gives @vault:assumed/team/key "$canary" "a profile that assumes a role by another"
like "$(tail -n 1 log)" '^GetSecretValue ASIAROLE ' "with the role's own key"
gives @vault:federated/team/key "$canary" "a profile that assumes a role by a web identity"
resolves @vault:chained/team/key
says 125 vault_config_invalid "profiles that go in a circle"
resolves @vault:lost/team/key
says 125 vault_config_invalid "a profile that is not there"
gives @vault:process/team/key "$canary" "credential_process"
gives @vault:quoted/team/key "$canary" "with words in quotes"
resolves @vault:relative/team/key
says 125 vault_config_invalid "a program without its path"
resolves @vault:unclosed/team/key
says 125 vault_config_invalid "a quote that is not closed"
resolves @vault:failing/team/key
says 125 vault_command_failed "a program that fails"
resolves @vault:old/team/key
says 125 vault_answer_invalid "an answer of another version"
resolves @vault:untrusted/team/key
says 125 path_untrusted "a program that others can replace"
resolves @vault:sourced/team/key
says 125 vault_config_invalid "credential_source without keys there"
AWS_ACCESS_KEY_ID=AKIDROOT AWS_SECRET_ACCESS_KEY=root/Secret+Key
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
gives @vault:sourced/team/key "$canary" "credential_source"
like "$(tail -n 1 log)" '^GetSecretValue ASIAROLE ' "assumes the role by them"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
resolves @vault:single-sign-on/team/key
says 125 vault_config_invalid "single sign-on is not followed"
AWS_PROFILE=work
export AWS_PROFILE
gives @vault:auto/team/key "$canary" "AWS_PROFILE"
unset AWS_PROFILE
rm -r "$scratch/home/.aws"

# used KEY REFERENCE NAME: resolved with that access key
used() {
    gives "$2" "$canary" "$3"
    like "$(tail -n 1 log)" "^GetSecretValue $1 " "with its key"
}
AWS_ACCESS_KEY_ID=ASIAENV AWS_SECRET_ACCESS_KEY=env/Secret+Key AWS_SESSION_TOKEN=env-token/+==
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
used ASIAENV @vault:auto/team/key "the environment"
AWS_REGION=eu-test-1
export AWS_REGION
used ASIAENV @vault:regionless/team/key "and its region"
AWS_REGION='eu/../x'
resolves @vault:regionless/team/key
says 125 vault_config_invalid "a region that is none"
unset AWS_REGION
AWS_SESSION_TOKEN=$(printf 'a\nx-amz-evil: b')
resolves @vault:auto/team/key
says 125 vault_denied "a token with a line break goes nowhere"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
AWS_ROLE_ARN=arn:aws:iam::123456789012:role/web AWS_WEB_IDENTITY_TOKEN_FILE=$here/jwt
export AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
used ASIAWEB @vault:auto/team/key "a web identity"
AWS_WEB_IDENTITY_TOKEN_FILE=$here/wrong
resolves @vault:auto/team/key
says 125 vault_denied "one whose token is wrong"
like "$stderr" InvalidIdentityToken "with the name that STS gives it"
unset AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
AWS_CONTAINER_CREDENTIALS_FULL_URI=$address/container AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$here/ctoken
export AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
used ASIACONT @vault:auto/team/key "a container's endpoint"
unset AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
resolves @vault:by-container/team/key
says 125 vault_denied "which wants its token"
AWS_CONTAINER_CREDENTIALS_FULL_URI=http://metadata.example/container
resolves @vault:by-container/team/key
says 125 vault_config_invalid "an endpoint that is far away is not asked"
AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1@metadata.example/container
resolves @vault:by-container/team/key
says 125 vault_config_invalid "nor one that looks near"
AWS_CONTAINER_CREDENTIALS_FULL_URI=$address/stale
used ASIACONT @vault:by-container/team/key "a key that has expired is asked for anew"
ok "once it is refused" grep -q ' 400 ExpiredTokenException$' log
AWS_CONTAINER_CREDENTIALS_FULL_URI=$address/always-stale
resolves @vault:by-container/team/key
says 125 vault_denied "and once only"
like "$stderr" ExpiredTokenException "with AWS's name"
unset AWS_CONTAINER_CREDENTIALS_FULL_URI
AWS_EC2_METADATA_SERVICE_ENDPOINT=$address
export AWS_EC2_METADATA_SERVICE_ENDPOINT
unset AWS_EC2_METADATA_DISABLED
used ASIAINST @vault:auto/team/key "an instance's metadata"
AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1
resolves @vault:auto/team/key
says 125 vault_credentials_missing "which is not there on other machines"
AWS_EC2_METADATA_DISABLED=true
export AWS_EC2_METADATA_DISABLED

# ---- looking around: no value is read ----------------------------------------------------------------
cp vaults.conf "$scratch/billet.conf"
reads=$(grep -c '^GetSecretValue' log)
billet vault probe corp
is "$status/$stdout" "0/region eu-test-1, key AKIDROOT from the section; secrets can be listed" "vault probe"
billet vault probe wrong
says 125 vault_denied "vault probe tries the key"
: >log
billet vault list corp many --json
is "$(printf '%s' "$stdout" | grep -o '"many/[0-9]*"' | sort -u | wc -l | tr -d ' ')" 230 "vault list goes through all pages"
is "$(grep -c '^ListSecrets AKIDROOT' log)" 3 "a hundred at a time"
billet vault list corp team
like "$stdout" '^team/key +secret' "vault list with a folder"
unlike "$stdout" teamwork "and not what begins like it"
billet vault list guarded
unlike "$stdout" 'other/key|teamwork' "vault list keeps to the prefix"
billet vault list guarded team/
is "$status" 0 "which may be named"
billet vault discover corp
is "$(printf '%s\n' "$stdout" | tail -n +2 | sed 's/  */ /' | tr '\n' ,)" "many/ prefix,other/ prefix,team/ prefix,teamwork secret," \
    "vault discover names the prefixes"
billet vault import corp other
like "$stdout" '^other/key +other-key +ready' "vault import shows what it would do"
not_ok "and no value was read for any of it" grep -q '^GetSecretValue' log
isnt "$reads" 0 "while others were"
billet vault import --apply corp other
like "$stdout" '^other/key +other-key +imported' "--apply does it"
billet secret show other-key --to-fd 3 3>out
is "$(cat out)" "$canary" "and the value is a secret here"

# ---- versions -----------------------------------------------------------------------------------------
printf 'one\n' >one && printf 'two "\\\n\001\n' >two && head -c 60000 /dev/urandom >binary
billet vault put --create corp team/new --from-file one
like "$status/$stdout" '^0/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' "vault put --create says the version"
first=$stdout
gives @vault:corp/team/new one "which can be read"
cp vaults.conf "$scratch/billet.conf"
billet vault put --create corp team/new --from-file two
says 125 vault_entry_exists "once only"
billet vault put corp team/none --from-file two
says 125 vault_entry_missing "and nothing is made without it"
billet vault put --pending corp team/new --from-file two
second=$stdout
is "$status" 0 "vault put --pending"
billet vault versions corp team/new
is "$(printf '%s\n' "$stdout" | tail -n +2 | sed 's/  */ /' | tr '\n' ,)" "$first AWSCURRENT,$second AWSPENDING," "vault versions"
gives @vault:corp/team/new one "what is pending is not read"
gives @vault:corp/team/new@AWSPENDING "$(cat two)" "unless it is named"
cp vaults.conf "$scratch/billet.conf"
billet vault promote corp team/new --json
is "$status $(json /version)" "0 $second" "vault promote"
billet vault versions corp team/new
is "$(printf '%s\n' "$stdout" | tail -n +2 | sed 's/  */ /' | sort | tr '\n' ,)" \
    "$(printf '%s AWSPREVIOUS\n%s AWSCURRENT\n' "$first" "$second" | sort | tr '\n' ,)" "moves the stages"
billet vault promote corp team/new
says 125 vault_version_missing "nothing is pending now"
billet vault rollback corp team/new
is "$status/$stdout" "0/$first" "vault rollback"
gives @vault:corp/team/new one "the version before is read again"
cp vaults.conf "$scratch/billet.conf"
billet vault promote corp "team/new@$second"
is "$status/$stdout" "0/$second" "vault promote by id"
billet vault put --create corp files/any --from-file binary
is "$status" 0 "any bytes can be stored"
billet vault import --apply corp files
billet secret show files-any --to-fd 3 3>out
ok "and come back" cmp out binary
billet vault put --pending corp team/stuck/key --from-file one
billet vault promote corp team/stuck/key
says 125 vault_request_refused "a promotion that fails half-way"
like "$stderr" 'taken back' "is taken back"
gives @vault:corp/team/stuck/key "$canary" "and what was current still is"
cp vaults.conf "$scratch/billet.conf"
billet vault put --create --pending corp team/x --from-file one
is "$status" 2 "what is new cannot be pending"
billet vault put corp team/new value
is "$status" 2 "a value on the command line is refused"
billet vault put corp team/new@AWSPENDING --from-file one
says 125 vault_path_invalid "and a version, where one is made"
: >empty
billet vault put corp team/new --from-file empty
says 125 value_invalid "nothing is no value"
if command -v sqlite3 >/dev/null 2>&1; then
    is "$(sqlite3 "$scratch/state/billet.db" "SELECT group_concat(DISTINCT purpose) FROM secret_audit WHERE name='@vault:corp/team/new' AND outcome='allowed' AND purpose<>'run'")" \
        'put,promote,rollback' "writes are on record"
else
    skip 1 "needs sqlite3"
fi
billet audit verify
is "$status" 0 "and the chain is whole"
not_ok "no file of the state holds a value" sh -c 'find "$1" -type f -exec cat {} + | grep -aFq -e "$2"' sh "$scratch/state" "$canary"
kill "$fake" 2>/dev/null
wait "$fake" 2>/dev/null

# ---- moto ---------------------------------------------------------------------------------------------
if ! command -v moto_server >/dev/null 2>&1 || ! moto_server --help >/dev/null 2>&1; then
    skip 1 "needs moto_server"
    done_testing
    exit
fi
moto_server -H 127.0.0.1 -p 0 >moto.log 2>&1 &
moto=$!
if ! wait_until sh -c 'grep -q "Running on http://127.0.0.1:[1-9]" moto.log'; then
    kill "$moto"
    wait "$moto" 2>/dev/null
    skip 1 "moto_server did not start"
    done_testing
    exit
fi
address=$(sed -n 's/.*Running on \(http:\/\/127.0.0.1:[0-9]*\).*/\1/p' moto.log | head -n 1)
section moto "region = us-east-1" "$rooted" | sed 's/timeout = 5s/timeout = 30s/' >vaults.conf
cp vaults.conf "$scratch/billet.conf"
billet vault put --create moto team/key --from-file one
is "$status" 0 "moto: a secret is made"
first=$stdout
gives @vault:moto/team/key one "moto: and read"
cp vaults.conf "$scratch/billet.conf"
billet vault put --pending moto team/key --from-file two
is "$status" 0 "moto: a version is pending"
second=$stdout
gives @vault:moto/team/key one "moto: and not read"
cp vaults.conf "$scratch/billet.conf"
billet vault promote moto team/key
is "$status/$stdout" "0/$second" "moto: it is promoted"
gives @vault:moto/team/key "$(cat two)" "moto: and read"
cp vaults.conf "$scratch/billet.conf"
billet vault rollback moto team/key
is "$status/$stdout" "0/$first" "moto: and rolled back"
gives @vault:moto/team/key one "moto: to what was"
cp vaults.conf "$scratch/billet.conf"
billet vault put --create moto files/moto --from-file binary
billet vault import --apply moto files
like "$stdout" '^files/moto +files-moto +imported' "moto: any bytes"
billet secret show files-moto --to-fd 3 3>out
ok "moto: come back" cmp out binary
billet vault list moto team
like "$stdout" '^team/key +secret' "moto: a list"
resolves @vault:moto/team/none
says 125 vault_entry_missing "moto: what is not there"
kill "$moto"
wait "$moto" 2>/dev/null
done_testing
