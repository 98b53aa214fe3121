#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2317
# t/secret-crash.t with a PostgreSQL store.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/pgsql.sh"
. "$top_srcdir/t/lib/rotation.sh"
need_billet
need_pgsql
cd "$scratch" || exit 1
store_url() {
    pgsql_url billet owner
}
pgsql postgres "CREATE DATABASE billet" || exit 1
billet db migrate
is "$status" 0 "there are tables"
rotation_crashes "${SECRET_CRASH_POINTS:-8}" ${SECRET_CRASH_CALLS:+"$SECRET_CRASH_CALLS"}
done_testing
