#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# billet key rotate, killed at system calls that change something, while secrets are read: every one opens
# meanwhile and afterwards, and the next rotation completes. SECRET_CRASH_POINTS=all tries
# each, and with SECRET_CRASH_CALLS=--every-call each system call whatever it does (make check-crash).
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/rotation.sh"
need_billet
cd "$scratch" || exit 1
rotation_crashes "${SECRET_CRASH_POINTS:-8}" ${SECRET_CRASH_CALLS:+"$SECRET_CRASH_CALLS"}
done_testing
