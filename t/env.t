#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet env: create, list, show, edit, probe, archive, delete; tenants; which environment a run gets;
# variables and the provision command of an environment.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" "$scratch/resources" && cd "$scratch/work" || exit 1
fake_configuration <<END
[environment from-file]
driver = local
description = made in a file
env.FROM = the file
[environment hidden]
driver = local
tenant = acme
END

# ---- create, list, show -------------------------------------------------------------------------
billet env create tests --driver local --option env.CI=yes --option timeout=5m --description 'for tests'
is "$status/$stdout/$stderr" 0/tests/ "create prints the name"
billet env list
is "$stdout" "NAME       DRIVER   STATUS  SOURCE   DESCRIPTION
from-file  local    active  file     made in a file
local      local    active  builtin  this machine, no isolation
sandbox    sandbox  active  builtin  namespaces on this machine
tests      local    active  store    for tests" "list shows those of files, of the store and built in"
billet env list --json
is "$(json /format_version '/environments/#' /environments/3/name /environments/3/settings/timeout)" "1.0
4
tests
5m" "list has JSON"
billet env list --no-headings
is "$(printf '%s\n' "$stdout" | head -n 1 | cut -d ' ' -f 1)" from-file "and no headings when asked"
billet env show tests
is "$status" 0 "show shows it"
like "$stdout" '^Source: +store$' "with where it comes from"
like "$stdout" '^timeout = 5m$' "and its settings as they would stand in a file"
billet env show tests --json
is "$(json /name /driver /status /settings/env.CI /revision)" "tests
local
active
yes
1" "show has JSON"
billet run -e tests -- sh -c 'echo "$CI $BILLET_ENVIRONMENT"'
is "$status/$stdout" "0/yes tests" "a run in it gets its variables"
billet run -e tests --env CI=no -- sh -c 'echo "$CI"'
is "$stdout" no "which the command line overrides"
billet run -e from-file -- sh -c 'echo "$FROM"'
is "$stdout" "the file" "so does one in an environment of a file"

billet env create tests --driver local
refused 125 "there is an environment 'tests' already" environment_exists "" "a name is used once"
billet env create local --driver local
refused 125 "environment 'local' is built in" environment_exists "choose another name" \
    "the names of the built-in ones are taken"
billet env create from-file --driver local
refused 125 "environment 'from-file' is already defined in a config file" environment_exists \
    "choose another name" "as are those of files"
for name in 'a b' '../up' '' 'new
line' "$(printf 'x%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13)$(printf '%060d' 0)"; do
    billet env create "$name" --driver local
    is "$status" 125 "'$(printf '%.12s' "$name")' is no name"
    like "$stderr" '^billet: .* is not a name for an environment \[value_invalid\]$' "and one line says so"
done
billet env create x
refused 2 "no driver was given" usage "give --driver; 'billet driver list' shows what there is" \
    "a driver is needed"
billet env create x --driver no-such-driver
refused 125 "there is no driver named 'no-such-driver'" driver_not_found \
    "billet driver list shows those that are installed" "one that there is"
billet env create x --driver loca
refused 125 "there is no driver named 'loca'" driver_not_found "is 'local' meant?" "the nearest is named"
billet env create x --driver local --option timeoot=5m
is "$status" 125 "an unknown option is refused"
like "$stderr" "unknown key 'timeoot' .did you mean 'timeout'\?. \[config_unknown_key\]$" "and the nearest is named"
billet env create x --driver local --option timeout=soon
is "$status" 125 "an option of the wrong type is refused"
like "$stderr" "timeout.*soon" "with its name and value"
billet env create x --driver fake --option exit_code=256
is "$status" 125 "an option out of range is refused"
like "$stderr" "exit_code.*255" "with the range"
billet env create x --driver fake --option print=loud
is "$status" 125 "a choice that there is not is refused"
like "$stderr" "print.*line" "with the choices"
billet env create x --driver fake --option script=acquire:dance
is "$status" 125 "what only the driver can judge is refused, too"
like "$stderr" "acquire:dance.*no such action" "with the driver's words"
billet env create x --driver local --option novalue
is "$status" 2 "an option without value is bad usage"
billet env show x
is "$status" 125 "and none of these was saved"

# ---- from a file --------------------------------------------------------------------------------
printf '[environment drafted]\ndriver = fake\ndirectory = %s\nexit_code = 3\n' "$scratch/resources" >draft.conf
billet env create drafted --file draft.conf
is "$status/$stdout" 0/drafted "create reads a file"
billet run -e drafted -- true
is "$status" 3 "and the environment is as it says"
billet env create other --file draft.conf
refused 125 "draft.conf defines environment 'drafted', not 'other'" config_invalid "" "the names must agree"
printf '[environment bad]\ndriver = fake\nexit_cod = 3\n' >bad.conf
billet env create bad --file bad.conf
is "$status" 125 "a file with a mistake is refused"
like "$stderr" "(bad.conf:3:1: .*exit_cod|exit_cod.*exit_code)" "with its place or the nearest name"
billet env create bad --file no-such-file
is "$status" 125 "so is one that there is not"

# ---- edit ---------------------------------------------------------------------------------------
billet env edit tests --option env.CI=2 --option env.MORE=x --unset timeout --description changed
is "$status/$stdout$stderr" 0/ "edit changes it"
billet env show tests --json
is "$(json /settings/env.CI /settings/env.MORE /settings/timeout /description /revision)" "2
x
changed
2" "set, added, taken back, described, counted"
billet env edit tests --unset timeout
refused 125 "--unset timeout: environment 'tests' has no such setting" value_invalid "" "what is not there cannot be unset"
billet env edit tests --option timeout=-5
is "$status" 125 "a bad value is refused"
billet env show tests --json
is "$(json /revision)" 2 "and nothing is changed"
billet env edit local --option timeout=5m
is "$status" 125 "a built-in one cannot be edited"
like "$stderr" "^billet: environment 'local' is built in \[environment_read_only\]$" "and one line says so"
billet env edit from-file --option timeout=5m
like "$stderr" "^billet: environment 'from-file' is defined in $scratch/billet.conf.* \[environment_read_only\]$" \
    "nor one of a file, which is named"
billet env edit tests --status asleep
refused 125 "--status is active, drained or archived, not 'asleep'" value_invalid "" "there are three states"

# ---- inactive -----------------------------------------------------------------------------------
billet env edit tests --status drained --reason 'disk is changed'
billet run -e tests -- true
refused 125 "environment 'tests' is drained: disk is changed" environment_inactive \
    "'billet env edit tests --status active' makes it usable" "nothing runs in a drained one"
billet env edit tests --status active
billet run -e tests -- true
is "$status" 0 "until it is active again"
billet env archive tests --reason 'no longer'
is "$status" 0 "one is archived"
billet run -e tests -- true
refused 125 "environment 'tests' is archived: no longer" environment_inactive \
    "'billet env edit tests --status active' makes it usable" "nothing runs in it"
billet env list
unlike "$stdout" '^tests ' "list leaves it out"
billet env list --all
like "$stdout" '^tests .* archived ' "unless asked for all"
billet env edit tests --status active

# ---- tenants ------------------------------------------------------------------------------------
billet env create qqqqqqqq --driver local --tenant acme
billet run -e qqqqqqqq --tenant acme -- true
is "$status" 0 "a tenant uses its environment"
for name in qqqqqqqq hidden no-such-one; do
    billet run -e "$name" -- true
    refused 125 "environment '$name' not found" environment_not_found \
        "'billet env list' shows all; 'billet env create' makes one" \
        "another tenant's and an unknown one are told alike: $name"
done
billet run -e qqqqqqq -- true
unlike "$stderr" qqqqqqqq "another tenant's name is not suggested"
billet env show qqqqqqqq
is "$status" 125 "nor shown"
billet env delete qqqqqqqq --yes
is "$status" 125 "nor deleted"
billet env create qqqqqqqq --driver local
is "$status" 0 "the name is free for others"
billet env create shared --driver local --every-tenant
billet run -e shared --tenant acme -- true
is "$status" 0 "one for every tenant is for every tenant"
held_lease -e shared --tenant acme
billet env delete shared --yes
is "$status" 125 "and in use when any of them uses it"
billet lease release "$lease" --tenant acme
billet env delete shared --yes
is "$status" 0 "and deleted when none does"
billet env show shared
is "$status" 125 "then it is gone"

# ---- which one ----------------------------------------------------------------------------------
billet run -e lcoal -- true
refused 125 "environment 'lcoal' not found" environment_not_found \
    "did you mean 'local'? 'billet env list' shows all" "an unknown name suggests the nearest"
mkdir chosen
echo 'environment = from-file' >chosen/.billet
billet run -w chosen -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" from-file "the workspace's .billet chooses"
billet run -w chosen -e local -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" local "after -e"
printf '\n[billet]\nenvironment = tests\n' >>"$scratch/billet.conf"
billet run -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" tests "the configured default is next"
billet run -w chosen -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" from-file "after .billet"
BILLET_ENVIRONMENT=local
export BILLET_ENVIRONMENT
billet run -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" local "the variable comes before the file"
unset BILLET_ENVIRONMENT
billet run --set billet.environment=local -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" local "and --set before that"
sed -i '/^\[billet\]$/,$d' "$scratch/billet.conf"
billet run -- sh -c 'echo "$BILLET_ENVIRONMENT"'
is "$stdout" local "the built-in local is last"
echo 'environment = gone' >chosen/.billet
billet run -w chosen -- true
is "$status" 125 "what is chosen and not there is refused"
like "$stderr" "^billet: environment 'gone' not found \[environment_not_found\]$" "not replaced by another"
for text in 'driver = local' 'environment = a b' 'environment = local
provision = rm -rf /' 'environment'; do
    printf '%s\n' "$text" >chosen/.billet
    billet run -w chosen -- true
    is "$status" 125 ".billet may not say '$(printf '%s' "$text" | tr '\n' ' ')'"
    like "$stderr" "chosen/.billet:[12]:1: only one line 'environment = NAME' may stand here \[config_invalid\]$" \
        "and one line says where"
done
rm chosen/.billet
ln -s /etc/passwd chosen/.billet
billet run -w chosen -- true
is "$status" 125 ".billet may not be a link"
rm chosen/.billet

# ---- provision ----------------------------------------------------------------------------------
printf '\n[environment provisioned]\ndriver = local\nprovision = test ! -e fail && echo provisioning >&2 && echo x >>count\n' \
    >>"$scratch/billet.conf"
mkdir one two
: >one/fail
billet run -e provisioned -w one -- true
refused 125 "the provision command of environment 'provisioned' ended with status 1" \
    workspace_realization_failed "its output is above; it runs again next time" "a provision that fails ends the run"
billet lease list --all --json
is "$(json /leases/0/state)" failed "and the lease"
rm one/fail
billet run -e provisioned -w one -- echo ran
is "$status/$stdout/$stderr" 0/ran/provisioning "it is tried again, its output goes to the errors"
billet run -e provisioned -w one -- echo ran
is "$status/$stdout/$stderr" 0/ran/ "and not a third time"
billet run -e provisioned -w two -- true
is "$stderr" provisioning "another workspace is provisioned on its own"
is "$(cat one/count two/count)" "x
x" "once each"
sed -i 's/echo provisioning/echo differently/' "$scratch/billet.conf"
billet run -e provisioned -w one -- true
is "$stderr" differently "another command is run again"
rm -r two && mkdir two
billet run -e provisioned -w two -- true
is "$stderr" differently "as is one in a directory that was made anew"

# ---- probe --------------------------------------------------------------------------------------
billet env probe tests
is "$status" 0 "a probe of a saved one passes"
like "$stdout" "^PASS  run +'true' ran and the lease ended, in [0-9]+ ms$" "by running true in it"
billet env probe tests --json
is "$(json /ok /format_version)" "true
1.0" "probe has JSON"
billet lease list --all --json
is "$(json /leases/0/policy /leases/0/state)" "probe
released" "the probe had a lease like any run"
printf '[environment idea]\ndriver = fake\ndirectory = %s\n' "$scratch/resources" >idea.conf
billet env probe --draft idea.conf
is "$status" 0 "a draft is probed"
billet env show idea
is "$status" 125 "and not saved"
echo 'script = acquire:fail:capacity' >>idea.conf
billet env probe --draft idea.conf
is "$status" 1 "a draft that does not work fails"
like "$stdout" "^FAIL  run +cannot acquire environment 'idea': acquire fails with class capacity" "with the reason"
sed -i 's/^script.*/exit_code = 1/' idea.conf
billet env probe --draft idea.conf
is "$status" 1 "so does one whose true is false"
like "$stdout" "^FAIL  run +'true' ended with status 1 in environment 'idea'" "which is said"
billet env probe --draft no-such-file
is "$status" 125 "a draft that there is not is refused"
billet env probe
is "$status" 2 "probe wants a name or a draft"
billet env probe nowhere
is "$status" 125 "a name that there is"

# ---- delete -------------------------------------------------------------------------------------
billet run -e tests -- true
held_lease -e tests
billet env delete tests --yes
is "$status" 125 "one with a live lease is not deleted"
like "$stderr" "^environment tests: 1 live leases, [0-9]+ ended$" "what hangs on it is shown"
like "$stderr" "^billet: environment 'tests' has 1 live leases \[environment_in_use\]$" "and the reason"
like "$stdout" "^$lease +retained" "with the leases"
billet lease release "$lease"
billet env delete tests --dry-run
is "$status" 0 "--dry-run only shows"
billet env delete tests <"$scratch/billet.conf"
is "$status" 125 "without a terminal it is not asked"
like "$stderr" '^billet: nothing was deleted \[not_confirmed\]$' "and nothing is deleted"
billet env show tests
is "$status" 0 "it is still there"
billet env delete tests --yes
is "$status" 0 "--yes deletes it"
billet env show tests
is "$status" 125 "then it is gone"
billet env delete local --yes
is "$status" 125 "a built-in one is not deleted"
nothing_left "at the end"
done_testing
