#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016,SC2086
# What a user does, with the store on PostgreSQL: run, lease, env and db verbs, roles, copies.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/pgsql.sh"
. "$top_srcdir/t/lib/canary.sh"
. "$top_srcdir/t/lib/restore.sh"
need_billet
need_pgsql
mkdir "$scratch/work" && cd "$scratch/work" || exit 1
pgsql postgres "CREATE ROLE use LOGIN" && pgsql postgres "CREATE ROLE acme LOGIN" &&
    pgsql postgres "CREATE DATABASE billet" || exit 1

# Whom billet connects as, and where.
role=owner
database=billet
store_is_elsewhere=yes
store_url() {
    pgsql_url "$database" "$role"
}

billet run -- true
is "$status" 125 "without tables nothing runs"
like "$stderr" 'billet db migrate' "and the remedy is named"
billet db migrate --grant use
is "$status" 0 "the owner migrates and lets a role in"
like "$stdout" 'has schema [0-9]+$' "which says what it came to"
billet db migrate --grant acme --only-tenant acme
is "$status" 0 "once more does no harm"
billet db migrate --only-tenant acme
is "$status" 2 "--only-tenant needs --grant"
billet db migrate --grant nosuchrole
is "$status" 125 "a role that is not there is refused"

role=use
billet db migrate --grant acme
is "$status" 125 "the user cannot grant"
billet run -- sh -c 'echo out; exit 3'
is "$status/$stdout" "3/out" "a run, as a role without rights on the schema"
billet env create box -d local
is "$status" 0 "env create"
billet env list --json
like "$stdout" '"name": "box"' "env list"
billet run -e box -- true
is "$status" 0 "a run in it"
billet lease acquire -e local
is "$status" 0 "lease acquire"
lease=$stdout
billet exec "$lease" -- sh -c 'echo here'
is "$status/$stdout" "0/here" "exec"
billet lease show "$lease"
like "$stdout" 'lease\.acquired' "lease show has its history"
billet lease release "$lease"
is "$status" 0 "lease release"
billet lease release "$lease"
is "$status" 0 "once more does no harm"
billet env delete box --yes
is "$status" 0 "env delete"

# Secrets are kept here as in SQLite, by a role without rights on the schema, sealed.
printf 'a-value-of-some-length' >value
billet key init
billet secret set token --from-file value
is "$status/$stdout" "0/@secret:token" "secret set"
printf 'the-second-of-its-values' | isolated "$billet_program" secret rotate token >out 2>&1
is "$(cat out)" "@secret:token" "secret rotate"
billet env create keeper -d local --option env.TOKEN=@secret:token
billet run -e keeper -- sh -c 'printf %s "$TOKEN" | wc -c; echo "$TOKEN"'
is "$status/$(echo $stdout)" "0/24 [secret]" "a command gets it, and its output is masked"
billet key rotate
billet secret verify
is "$status/$stdout" "0/2 open, 0 do not" "all open under a new key"
billet audit verify
like "$status/$stdout" '^0/[1-9][0-9]* uses, head' "the chain of uses is whole"
# A statement that fails with the row it was about: the server may log its parameters, and says the row.
pgsql billet "ALTER DATABASE billet SET log_parameter_max_length_on_error = -1"
pgsql billet "ALTER TABLE billet.secret_version ADD CONSTRAINT never CHECK (version < 3) NOT VALID"
printf 'the-second-of-its-values' | isolated "$billet_program" secret rotate token >out 2>&1
like "$(cat out)" '^billet: .*\[[a-z_]+\]' "SEC-88: a statement that fails is told"
unlike "$(cat out)" 'Failing row|the-second' "SEC-88: without its row"
pgsql billet "ALTER TABLE billet.secret_version DROP CONSTRAINT never"
# In no form, neither in the server's files, its log among them, nor in what it dumps.
if [ -x "$seek" ] && command -v pg_dump >/dev/null 2>&1; then
    mkdir "$scratch/sources"
    sources=$scratch/sources
    printf 'first a-value-of-some-length value-of-some\nsecond the-second-of-its-values second-of-its\n' >"$sources/values"
    pgsql billet CHECKPOINT
    pg_dump -h "$pgsql_directory" -U owner billet >"$scratch/dump"
    ok "a dump has the secrets, sealed" grep -q secret_version "$scratch/dump"
    is "$(hits "$pgsql_directory" "$scratch/dump")" "" "SEC-87: no file of the server and no dump has a value in any form"
    cp value "$pgsql_directory/data/planted"
    like "$(hits "$pgsql_directory")" '^first plain .*/planted$' "one that is put there is found"
    rm "$pgsql_directory/data/planted"
else
    skip 3 "needs pg_dump and t/lib/canary-seek"
fi

# A lost machine: its database dumped and restored elsewhere, its keyring exported.
pgsql postgres "CREATE DATABASE lost" || exit 1
(
    database=lost role=owner
    billet db migrate
) || exit 1
before=$tap_base
tap_home "$scratch/lost" && tap_home "$scratch/found"
tap_base=$scratch/lost database=lost role=owner
seal_some
pgsql postgres "CREATE DATABASE found" || exit 1
pg_dump -h "$pgsql_directory" -U owner lost | psql -qAtX -h "$pgsql_directory" -U owner -d found -v ON_ERROR_STOP=1 \
    >"$scratch/restore.log" 2>&1
tap_base=$scratch/found database=found
restored
tap_base=$before database=billet role=use

# A run whose billet is killed is ended by whoever comes next.
start_billet run -- sleep 60
n=0
while [ "$n" -lt 200 ] && ! isolated "$billet_program" lease list --json 2>/dev/null | grep -q '"state": "active"'; do
    sleep 0.05
    n=$((n + 1))
done
kill -KILL "$(cat "$scratch/.pid")"
finish_billet
billet lease reap
is "$status" 0 "lease reap"
billet lease list --json
is "$(json '/leases/#')" 0 "leaves no live lease"
billet db check
is "$status/$stdout" "0/no findings" "and the store is whole"

role=acme
billet run -- true
is "$status" 125 "who is bound to a tenant cannot run for another"
billet run --tenant acme -- true
is "$status" 0 "but for its own"
billet lease list --all --json
is "$(json '/leases/#')" 0 "and sees no lease of another's"
printf 'a-value-of-the-tenant' | isolated "$billet_program" secret set own --tenant acme >/dev/null 2>&1
billet secret show own --tenant acme --to-fd 3 3>"$scratch/got"
is "$status/$(cat "$scratch/got")" 0/a-value-of-the-tenant "who is bound to a tenant reads a secret of it"
billet audit verify
is "$status/$stdout" 125/ "but cannot verify a chain that it sees in part"
like "$stderr" 'audit_partial' "which is no finding, and named"
role=use
billet audit verify
is "$status" 0 "who sees all of it finds it whole"
role=acme

role=owner
billet db status --json
total=$(json /leases_total)
deployment=$(json /deployment)
billet db copy "$(store_url)" "sqlite:$scratch/copy.db"
is "$status" 0 "db copy to SQLite"
billet db status --json --store "sqlite:$scratch/copy.db"
is "$(json /leases_total /deployment)" "$total
$deployment" "which has it all and is the same deployment"
billet db check --store "sqlite:$scratch/copy.db"
is "$status" 0 "and is whole"
billet secret verify --store "sqlite:$scratch/copy.db"
is "$status/$stdout" "0/2 open, 0 do not" "its secrets open"
billet audit verify --store "sqlite:$scratch/copy.db"
is "$status" 0 "and its chain of uses is whole"
sqlite_guards=$(isolated "$billet_program" run --store "sqlite:$scratch/copy.db" -- echo works)
is "$sqlite_guards" works "and works"
billet db copy "sqlite:$scratch/copy.db" "$(store_url)"
is "$status" 125 "a target that holds something is refused"
like "$stderr" '\[store_not_empty\]' "by name"
pgsql postgres "CREATE DATABASE second" || exit 1
database=second
billet db copy "sqlite:$scratch/copy.db" "$(store_url)"
is "$status" 0 "and back into an empty database"
billet secret verify
is "$status/$stdout" "0/2 open, 0 do not" "with its secrets"
billet db check
is "$status/$stdout" "0/no findings" "which is whole"
billet run -- true
is "$status" 0 "and goes on counting where the other was"
billet db check
is "$status/$stdout" "0/no findings" "without a finding"

pgsql second "DELETE FROM billet.migration WHERE number > 1"
billet db status
like "$stdout" 'pending: billet db migrate' "status shows that migrations are pending"
billet run -- true
like "$stderr" '\[store_outdated\]' "with which nothing runs"
pgsql second "INSERT INTO billet.migration VALUES (999, 'x', 1, 'x')"
billet db status
like "$stderr" '\[store_newer\]' "a newer database is refused"
billet db migrate
like "$stderr" '\[store_newer\]' "by migrate, too"
database=nosuch
billet db status
like "$stderr" '\[store_missing\]' "a database that is not there"
billet db status --store "postgresql://use:secretword@/billet?host=/nowhere/at/all"
like "$stderr" '\[store_unreachable\]' "a server that is not there"
unlike "$stdout$stderr" secretword "no message has the password"
database=billet role=use
is "$(left_processes)" "" "no process is left"
done_testing
