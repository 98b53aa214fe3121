# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# totals.sh - one line of totals out of the summaries that automake's test harness prints.

# totals FILE...: prints "N passed, N failed, N skipped", summed over all summaries in the files; an
# error counts as failed, an expected failure as passed. Returns 1 when something failed or when
# there is no summary at all.
totals() {
    awk '
        /^# (PASS|XFAIL): +[0-9]+$/ { passed += $3 }
        /^# (FAIL|XPASS|ERROR): +[0-9]+$/ { failed += $3 }
        /^# SKIP: +[0-9]+$/ { skipped += $3 }
        /^# TOTAL: +[0-9]+$/ { summaries++; total += $3 }
        END {
            if (summaries == 0 || total == 0) {
                print "no test ran" > "/dev/stderr"
                failed++
            }
            printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
            exit failed > 0
        }' "$@" </dev/null
}
