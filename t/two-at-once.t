#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Many billets on one store at once, from the first moment on, and verbs in each other's way.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
need_billet
mkdir "$scratch/work" "$scratch/out" && cd "$scratch/work" || exit 1
runs=20

# all_at_once COUNT ARGUMENT...: the status of each in $scratch/out/N.status.
all_at_once() {
    count=$1
    shift
    rm -f "$scratch"/out/*
    jobs=
    n=0
    while [ "$n" -lt "$count" ]; do
        n=$((n + 1))
        {
            isolated "$billet_program" "$@" >"$scratch/out/$n.stdout" 2>"$scratch/out/$n.stderr"
            echo "$?" >"$scratch/out/$n.status"
        } &
        jobs="$jobs $!"
    done
    # shellcheck disable=SC2086
    wait $jobs
}

# ---- on a store that is not there yet -----------------------------------------------------------
all_at_once "$runs" run -- sh -c 'echo "$BILLET_LEASE_ID"; exit 3'
is "$(cat "$scratch"/out/*.status | sort | uniq -c | tr -s ' ')" " $runs 3" "$runs first runs at once end as their commands do"
is "$(cat "$scratch"/out/*.stderr)" "" "without a word"
is "$(cat "$scratch"/out/*.stdout | sort -u | grep -c .)" "$runs" "each with a lease of its own"
billet lease list --all --json
is "$(json '/leases/#')" "$runs" "all of them are in the store"
is "$(grep -c '"state": "released"' "$scratch/stdout")" "$runs" "and have ended"
billet db check
is "$status/$stdout" "0/no findings" "the store is whole"
billet db status --json
is "$(json /leases_live /leases_total /activities)" "0
$runs
$((runs * 7))" "with every activity of every run"

# ---- two in each other's way --------------------------------------------------------------------
held_lease
all_at_once 5 lease release "$lease"
like "$(cat "$scratch"/out/*.status)" '^0$' "a lease released five times at once is released"
unlike "$(cat "$scratch"/out/*.stderr)" 'running command|internal' "the others hear that it is being done"
is "$(cat "$scratch"/out/*.stderr | grep -vc -e '\[lease_busy\]$' -e '\[lease_lost\]$')" 0 "in one line each"
billet lease show "$lease" --json
is "$(json /state)" released "once"
is "$(n=0
    while json "/history/$n/action"; do
        n=$((n + 1))
    done | grep -c lease.released)" 1 "with one row of it"
held_lease
all_at_once 8 exec "$lease" -- sh -c 'echo "$$"; exit 2'
is "$(sort -u "$scratch"/out/*.status)" 2 "eight commands at once run on one lease"
is "$(sort -u "$scratch"/out/*.stdout | grep -c .)" 8 "each its own"
billet lease release "$lease"

all_at_once 6 env create same -d local
is "$(sort "$scratch"/out/*.status | uniq -c | tr -s ' ')" " 1 0
 5 125" "an environment created six times at once is made once"
is "$(cat "$scratch"/out/*.stderr | grep -o '\[.*\]' | sort -u)" "[environment_exists]" "the others hear why not"
all_at_once 4 env delete same --yes
is "$(sort "$scratch"/out/*.status | uniq -c | tr -s ' ')" " 1 0
 3 125" "and deleted once"

# A run and its end from outside: the row has one end, and nothing is left.
start_billet run --status-fd 9 -- sleep 60 9>"$scratch/status"
mv "$scratch/stdout" "$scratch/run.stdout"
mv "$scratch/stderr" "$scratch/run.stderr"
wait_until grep -q '"started"' "$scratch/status"
lease=$(status_line "$scratch/status" /lease/id)
billet lease destroy "$lease"
is "$status" 0 "destroy ends a lease with its command"
mv "$scratch/run.stdout" "$scratch/stdout"
mv "$scratch/run.stderr" "$scratch/stderr"
start=$(now)
finish_billet
isnt "$status" 0 "the run fails"
within 20 "$start" "and ends by itself"
like "$stderr" '^billet: .*\[(lease_lost|driver_crashed|cancelled)\]$' "with the reason"
billet lease show "$lease" --json
is "$(json /state)" failed "the lease has ended once"
billet lease reap
is "$status" 0 "nothing is left to reap"
nothing_left "after all that"
done_testing
