/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - one run at a time on one workspace. The lock is a lock of an open file
 * description on a file in a private directory outside the workspace: it ends with
 * the process that holds it, however that dies, and no pid is believed.
 *
 * The name of that directory is made from device and inode of the workspace, so that two ways to
 * the same directory are one workspace. It also keeps the journal and the manifest of the last run.
 */
#ifndef BILLET_WORKSPACE_LOCK_H
#define BILLET_WORKSPACE_LOCK_H

#include <billet/types.h>

#include "workspace/root.h"

struct billet_workspace_lock {
    int directory_fd; /* private to this workspace */
    int fd;
};

#define BILLET_WORKSPACE_LOCK_INIT   \
    {                                \
        .directory_fd = -1, .fd = -1 \
    }

/* Wait until deadline_ns (CLOCK_MONOTONIC; 0: for ever, 1: not at all). Another run that holds it
 * is class UNAVAILABLE, code workspace_busy. The state directory is made (0700) when missing; one
 * that others can write to is refused. */
int billet_workspace_lock(struct billet_workspace_lock *lock, const struct billet_root *root,
                          const char *state_directory, int64_t deadline_ns,
                          struct billet_error *error);
void billet_workspace_unlock(struct billet_workspace_lock *lock);

#endif
