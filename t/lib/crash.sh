# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
# (SC2034: the test reads what is set here; SC2154: tap.sh sets it)
# crash.sh - campaigns of crash points as points of a test; after tap.sh.

# need_campaign: skip the whole test without the program. Sets $crash_sandbox: ",sandbox" or "".
need_campaign() {
    crash_program=$top_builddir/t/crash-campaign
    [ -x "$crash_program" ] || skip_all "needs the built program $crash_program"
    crash_sandbox=
    ! isolated "$billet_program" run -e sandbox -w "$scratch" -- true >/dev/null 2>&1 ||
        crash_sandbox=,sandbox
}

# account FILE WHO: what a campaign found, as points of this test. Sets $reached.
account() {
    while read -r verdict text; do
        case $verdict in
        pass) pass "$2: $text" ;;
        fail) fail "$2: $text" ;;
        *) printf '%s %s\n' "$verdict" "$text" ;;
        esac
    done <"$1"
    reached=$(sed -n 's/^# \([0-9]*\) crash points.*/\1/p' "$1")
}

# campaign POINTS OPTION...: as this user.
campaign() {
    crash_points=$1
    shift
    "$crash_program" --points "$crash_points" --seed "${CRASH_SEED:-1}" --jobs "${CRASH_JOBS:-2}" \
        --directory "$scratch" "$@" >"$scratch/campaign" 2>&1
    account "$scratch/campaign" "uid $(id -u)"
    ok "${reached:-0} crash points of $crash_points were reached" \
        test "${reached:-0}" -ge $((crash_points * 99 / 100))
}
