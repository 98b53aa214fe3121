#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The crash points of t/crash.t with a PostgreSQL store: a session of the server outlives the billet
# that was killed, and may still be committing for it.
#
# CRASH_PGSQL_POINTS, CRASH_SEED and CRASH_JOBS make it larger, or another.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/pgsql.sh"
. "$top_srcdir/t/lib/crash.sh"
need_billet
need_campaign
need_pgsql
CRASH_SERVER=$pgsql_directory
export CRASH_SERVER
campaign "${CRASH_PGSQL_POINTS:-40}" --drivers "local,fake$crash_sandbox" --faults 0
done_testing
