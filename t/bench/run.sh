#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [OPTION...] [ROW...] - measure the billet of a build directory; --help lists rows and options.
# make bench starts it. Everything it writes is below one private directory, removed at the end.
set -eu
: "${top_srcdir:?start it with make bench}" "${top_builddir:?}"

for name in $(env | sed -n 's/^\(BILLET_[A-Za-z0-9_]*\)=.*/\1/p'); do
    unset "$name"
done
# shellcheck source=t/lib/uninstalled.sh
. "$top_srcdir/t/lib/uninstalled.sh"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/billet-bench.XXXXXX")
runtime=
trap 'rm -rf "$scratch" ${runtime:+"$runtime"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# The user that a sandbox runs as passes through, and reads only what is shown to it.
chmod 0711 "$scratch"
mkdir "$scratch/home" "$scratch/work"
# What lives no longer than a boot is in memory on installed systems (/run), the store on a disk.
runtime=$(mktemp -d /dev/shm/billet-bench.XXXXXX 2>/dev/null) || runtime=$(mktemp -d "$scratch/XXXXXX")

BILLET_STORE=sqlite:$scratch/state/billet.db
HOME=$scratch/home
XDG_CONFIG_HOME=$scratch/config
XDG_STATE_HOME=$scratch/state
BILLET_STATE_DIR=$scratch/state
BILLET_RUNTIME_DIR=$runtime
NO_COLOR=1
export BILLET_STORE HOME XDG_CONFIG_HOME XDG_STATE_HOME BILLET_STATE_DIR BILLET_RUNTIME_DIR NO_COLOR
unset XDG_CONFIG_DIRS MALLOC_PERTURB_

cd "$scratch/work"
# shellcheck disable=SC2154 # set by uninstalled.sh
set -- "$top_builddir/t/bench/bench" --billet "$billet_program" --helpers "$top_builddir/t/bench" \
    --modules "$top_builddir/.libs" --scratch "$scratch" "$@"
status=0
"$top_srcdir/t/bench/far.sh" "$scratch/far" "$@" || status=$?
[ "$status" -eq 77 ] || exit "$status"
"$@"
