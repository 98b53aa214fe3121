#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# billet key rotate, killed at many moments: every secret opens after each, and the last one completes.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need timeout
cd "$scratch" || exit 1
echo 'a value of some length' >value
billet key init
first=$stdout
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    billet secret set "s$i" --from-file value
done
i=0
while [ "$i" -lt 40 ]; do
    i=$((i + 1))
    isolated timeout -s KILL "0.0$((i / 10))$((i % 10))" "$billet_program" key rotate >/dev/null 2>&1
    billet secret verify
    [ "$stdout" = "12 open, 0 do not" ] || fail "after a kill at $i ms: $stdout$stderr"
done
billet key rotate
is "$status" 0 "the last rotation completes"
isnt "$stdout" "$first" "with a new key"
billet key list --json
is "$(grep -c '"state": "active"' "$scratch/stdout")" 1 "one key is active"
is "$(grep -c '"state": "decrypt"' "$scratch/stdout")" 0 "and none is waited for"
diag "$(grep -c '"id"' "$scratch/stdout") keys came of it"
billet secret verify
is "$stdout" "12 open, 0 do not" "every secret opens"
done_testing
