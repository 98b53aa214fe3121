# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# uninstalled.sh - the one place that says how billet finds its parts in a build directory.
# Source it with top_builddir set to the absolute path of a build directory. It exports where the
# modules and helper programs are, and sets billet_program. Installed, none of this is needed.
#
# billet loads code only from paths that no other user can write to: that holds for the build
# directory too.
: "${top_builddir:?uninstalled.sh: set top_builddir to the build directory}"
BILLET_DRIVER_DIR=$top_builddir/.libs
BILLET_STORE_DIR=$top_builddir/.libs
BILLET_LIBEXEC_DIR=$top_builddir
export BILLET_DRIVER_DIR BILLET_STORE_DIR BILLET_LIBEXEC_DIR
# shellcheck disable=SC2034 # for the script that sources this
billet_program=$top_builddir/billet
