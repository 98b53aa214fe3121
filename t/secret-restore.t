#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# A lost machine: a backup of the database and an export of the keyring bring every secret back on another.
# (PostgreSQL: t/store-pgsql.t)
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/restore.sh"
need_billet
need sqlite3
seal_some
sqlite3 "$scratch/state/billet.db" ".backup '$scratch/backup.db'"
billet db copy "$(store_url)" "sqlite:$scratch/copied.db"
is "$status" 0 "db copy"
printf 'after-the-backup' | isolated "$billet_program" secret set later >/dev/null 2>&1

tap_home "$scratch/new"
tap_base=$scratch/new
cp "$scratch/backup.db" "$tap_base/state/billet.db"
restored
billet secret show later
is "$status" 125 "what came after the backup is not there"
billet db check
is "$status" 0 "and the store is whole"

tap_home "$scratch/newer"
cp "$scratch/new/keyring" "$scratch/newer/keyring"
tap_base=$scratch/newer
cp "$scratch/copied.db" "$tap_base/state/billet.db"
billet secret verify --all
is "$status/$stdout" "0/3 open, 0 do not" "a copy of db copy does as well"
done_testing
