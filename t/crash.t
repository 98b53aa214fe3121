#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Crash points: billet, the driver's host and the sandbox's launcher are ended by SIGKILL at one
# system call after the other, in a run and in every verb that changes a lease; and system calls fail
# for lack of room, descriptors and memory. After one `billet lease reap` no live lease, process,
# mount, control group or file of a lease is left, and the store is whole.
#
# CRASH_POINTS, CRASH_FAULTS, CRASH_SEED, CRASH_JOBS and CRASH_DRIVERS make it larger, or another.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/crash.sh"
need_billet
need_campaign

points=${CRASH_POINTS:-500}
faults=${CRASH_FAULTS:-60}
if [ -n "${BILLET_SANITIZERS:-}" ] && [ -z "${CRASH_POINTS:-}" ]; then
    # Each process starts many times slower there.
    points=100 faults=40
fi
seed=${CRASH_SEED:-1}
jobs=${CRASH_JOBS:-2}

drivers=${CRASH_DRIVERS:-local,fake$crash_sandbox}

# By these a driver finds the processes of a lease again, where it has no control group.
# shellcheck disable=SC2016
billet run -e local -w "$scratch" -- sh -c 'echo "$BILLET_LEASE_ID $BILLET_TENANT"'
is "$stdout" "$(all_leases | sed -n 's/^ *"id": "\(.*\)",$/\1/p' | head -n 1) default" "a command carries the id of its lease"

share=$points
user_points=0
if is_root && user_ready; then
    user_points=$((points / 5))
    share=$((points - user_points))
fi

"$crash_program" --points "$share" --faults "$faults" --seed "$seed" --jobs "$jobs" --drivers "$drivers" \
    --directory "$scratch" >"$scratch/campaign" 2>&1
account "$scratch/campaign" "uid $(id -u)"
all=${reached:-0}

if [ "$user_points" -gt 0 ]; then
    cp "$crash_program" "$user_scratch/crash-campaign" && chmod 0755 "$user_scratch/crash-campaign"
    build=${tap_user_build:-$top_builddir}
    as_user env CRASH_BUILD="$build" \
        BILLET_DRIVER_DIR="$build/.libs" BILLET_STORE_DIR="$build/.libs" BILLET_LIBEXEC_DIR="$build" \
        "$user_scratch/crash-campaign" --points "$user_points" --faults 0 --seed "$seed" \
        --jobs "$jobs" --drivers "$drivers" --directory "$user_scratch" >"$scratch/user-campaign" 2>&1
    account "$scratch/user-campaign" "uid $tap_uid"
    all=$((all + ${reached:-0}))
fi
ok "$all crash points of $points were reached" test "$all" -ge $((points * 99 / 100))
done_testing
