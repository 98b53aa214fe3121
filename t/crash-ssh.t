#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The crash points of t/crash.t on a host over SSH: what runs and lies there is looked for, too.
#
# CRASH_SSH_POINTS, CRASH_SEED and CRASH_JOBS make it larger, or another.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/sshd.sh"
. "$top_srcdir/t/lib/crash.sh"
need_billet
need_campaign
cat >"$scratch/environments" <<END
$(ssh_driver "$far/id" @ROOT@/remote)
[environment ssh]
driver = ssh
workspace_directory = @ROOT@/work
END
CRASH_ENVIRONMENTS=$scratch/environments
export CRASH_ENVIRONMENTS
campaign "${CRASH_SSH_POINTS:-30}" --drivers ssh --faults 0
done_testing
