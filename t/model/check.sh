#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh - the model of leases, exhaustively, and each of its mutants, which must be rejected; make
# check-model starts it. Needs spin and a compiler; some minutes and 3 GiB of memory.
#
# SPIN_CC, SPIN_MEMORY (MiB), SPIN_LIVES (daemons that are started; 3 takes an hour and 12 GiB).
set -u
: "${top_srcdir:?start it with make check-model}"
model=$(cd "$top_srcdir" && pwd)/t/model/lease.pml
command -v spin >/dev/null || {
    echo "check-model: there is no spin (Debian spin, Fedora spin)" >&2
    exit 77
}
place=$(mktemp -d "${TMPDIR:-/tmp}/billet-model.XXXXXX") || exit 1
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
cd "$place" || exit 1
failed=0 number=0

# search OPTION...: exhaustive; its account goes to ./account.
search() {
    spin -a "$@" "$model" >account 2>&1 &&
        ${SPIN_CC:-${CC:-cc}} -O2 -DSAFETY -DCOLLAPSE -DMEMLIM="${SPIN_MEMORY:-9000}" -DNOFAIR \
            -w -o pan pan.c >>account 2>&1 && ./pan -m200000 -w25 >account 2>&1
}
# verdict: "whole" without an error, "error", or "cut short"
verdict() {
    if grep -q 'errors: [1-9]' account; then
        echo error
    elif grep -q 'errors: 0' account && ! grep -q 'Search not completed' account; then
        echo whole
    else
        echo "cut short"
    fi
}
point() {
    number=$((number + 1))
    if [ "$1" = "$2" ]; then
        echo "ok $number - $3"
    else
        echo "not ok $number - $3: $1"
        sed 's/^/# /' account | tail -n 30
        failed=1
    fi
}

lives=-DLIVES=${SPIN_LIVES:-2}
for begin in "" -DKEPT; do
    # shellcheck disable=SC2086 # an option or none
    search "$lives" $begin
    point "$(verdict)" whole "no lease is lost and no resource is used twice${begin:+, with one that was kept}$(
        sed -n 's/^ *\([0-9.e+]*\) states, stored.*/ (\1 states)/p' account
    )"
done
mutants=$(sed -n 's/^#if[n]*def \(M[0-9]*\)$/\1/p' "$model" | sort -u)
for mutant in $mutants; do
    for begin in "" -DKEPT; do
        # shellcheck disable=SC2086
        search "$lives" "-D$mutant" $begin
        [ "$(verdict)" != error ] || break
    done
    point "$(verdict)" error "without the rule $mutant the model fails"
done
echo "1..$number"
exit $failed
