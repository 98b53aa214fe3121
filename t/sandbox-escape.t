#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every attempt to get out of a sandbox fails, for root's sandboxes and for an ordinary user's.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long

for user in $users; do
    become $user
    attempt >"$place/out" 2>"$place/err"
    status=$?
    sed 's/^/# /' "$place/err"
    is 0 $status "$user: the suite ran to its end"
    # Each attempt is a test of its own here, renumbered.
    while IFS= read -r line; do
        case $line in
        "ok "*) ok 0 "$user: ${line#*- }" ;;
        "not ok "*) ok 1 "$user: ${line#*- }" ;;
        esac
    done <"$place/out"
    total=$(sed -n 's/^1\.\.//p' "$place/out")
    is "$total" "$(grep -cE '^(not )?ok ' "$place/out")" "$user: no attempt is missing"
    [ "${total:-0}" -ge 90 ]
    ok $? "$user: there are at least 90 attempts"
done
plan
