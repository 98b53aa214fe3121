/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - the subcommands of billet-guest by which a workspace travels: a directory looked at,
 * brought to look like another, read out. The other side decides what; here it is done.
 *
 * Everything below the directory is reached through workspace/root.h: no link is followed. What
 * goes wrong is one line on standard error, and exit status 1.
 */
#ifndef CORE_GUEST_FILES_H
#define CORE_GUEST_FILES_H

#include <billet/types.h>

/* manifest DIRECTORY [FLAGS [PATTERN...]]: the manifest on standard output. FLAGS are
 * BILLET_FILTER_*, PATTERNs are left out; without FLAGS everything is looked at. */
int guest_manifest(int argc, char **argv);
/* receive DIRECTORY: from standard input paths, each with a NUL, and an empty one; they are removed
 * (directories when they are empty). Then an archive, whose entries replace what is there, each
 * file in one step. */
int guest_receive(int argc, char **argv);
int guest_receive_into(const char *directory, struct billet_error *error);
/* send DIRECTORY: an archive of the paths on standard input, each with a NUL. What is not there any
 * more is left out. */
int guest_send(int argc, char **argv);
/* take KEPT DIRECTORY: what was kept becomes DIRECTORY, when there is something; then the manifest
 * of DIRECTORY. */
int guest_take(int argc, char **argv);
/* keep DIRECTORY KEPT: the reverse. Beside KEPT the eight newest stay. */
int guest_keep(int argc, char **argv);
/* end LEASE [DIRECTORY [FLAGS [PATTERN...]]]: kill what carries BILLET_LEASE_ID=LEASE, but this.
 * Then the manifest of DIRECTORY, if there is one. */
int guest_end(int argc, char **argv);

/* A system call failed, see errno: "cannot WHAT PATH"; code workspace_full or io_failed. */
int guest_failed(struct billet_error *error, const char *what, const char *path);
/* The exit status for a result; says on standard error what went wrong. */
int guest_say(int result, const struct billet_error *error);

#endif
