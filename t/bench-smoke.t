#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make bench works: every row is measured or skipped with a reason. No figure is judged here.
# shellcheck disable=SC2154
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long

result=0
"$top_srcdir/t/bench/run.sh" --json --runs 2 --seconds 0.05 --together 6 --files 200 \
    >"$scratch/bench.json" 2>"$scratch/bench.err" || result=$?
# 1: a target was missed, which so few samples may.
ok "bench measures" [ "$result" -le 1 ]
[ "$result" -le 1 ] || diag "status $result: $(cat "$scratch/bench.err")"
tr -d '\n' <"$scratch/bench.json" >"$scratch/bench.line"

for row in local sandbox step-local-resolve step-local-exec store-1 store-32-p99 secret-seal secret-open secret-resolve host-local \
    together-6 together-memory peer-sh; do
    ok "row $row is there" grep -q "\"row\": \"$row\"" "$scratch/bench.json"
done
ok "row ssh is there, or why not" grep -Eq '"row": "ssh(-cold)?"' "$scratch/bench.json"
ok "row exec-ssh is there, or why not" grep -Eq '"row": "(exec-ssh|ssh)"' "$scratch/bench.json"
ok "row secret-rewrap is there" grep -Eq '"row": "secret-rewrap-[0-9]+"' "$scratch/bench.json"
ok "a row that is not skipped has a positive figure" \
    grep -Eq '"row": "local"[^}]*"value": [0-9.]*[1-9]' "$scratch/bench.line"
ok "several runs at once all end right" \
    grep -Eq '"row": "together-6"[^}]*"met": true' "$scratch/bench.line"

"$top_srcdir/t/bench/run.sh" --runs 2 peers >"$scratch/bench.text" 2>&1 || :
ok "the table has a line for a row" grep -Eq '^peer-sh +- +[0-9]+\.[0-9]+ ms' "$scratch/bench.text"
not_ok "an unknown row is refused" "$top_srcdir/t/bench/run.sh" --runs 1 nosuchrow
done_testing
