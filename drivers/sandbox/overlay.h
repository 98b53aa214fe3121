/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.h - the workspace as a view: an overlay mount whose lower layer is the
 * workspace and whose upper layer, where the kernel collects what the command changes,
 * is a private directory of the lease. Nothing is copied in.
 *
 * Owns that directory: STATE/sandbox/ID (a disk, since a build may write much), or
 * RUNTIME/sandbox/ID/overlay where the state directory's file system cannot be an upper layer. An
 * ordinary user's mount is made in a user and mount namespace around bubblewrap's own, with the
 * attributes of overlayfs(5) in user.*; root's shows the lower layer through the id-mapped mount
 * and gives the upper one to the lease's user id. A lease has one sandbox at
 * a time, and so one mount.
 */
#ifndef SANDBOX_OVERLAY_H
#define SANDBOX_OVERLAY_H

#include <billet/driver.h>
#include <dirent.h>

#include "identity.h"
#include "lease.h"

/* What the launcher's child is to mount. */
struct sandbox_overlay {
    const char *directory; /* holds upper and work; NULL: no overlay */
};
#define SANDBOX_OVERLAY_INIT \
    {                        \
        .directory = NULL    \
    }

/* Whether the kernel mounts what lease->overlay_path names: 0 or -errno. By a process that only
 * tries; sandbox_resident_try starts the sandbox itself. */
typedef int sandbox_overlay_trial(const struct billet_host *host, struct billet_lease_handle *lease,
                                  const struct sandbox_config *config);
sandbox_overlay_trial sandbox_overlay_try;

/* After the workspace is known: make the directories (anew unless the handle is shared) and try to
 * mount. Class UNAVAILABLE, code sandbox_overlay_unsupported, where the kernel or the file systems
 * cannot. lease->overlay_path names them afterwards. */
int sandbox_overlay_prepare(const struct billet_host *host, struct billet_lease_handle *lease,
                            const struct sandbox_config *config, sandbox_overlay_trial *trial,
                            struct billet_error *error);

/* Before the workspace is known: as whom an overlay that exists is used, by a shared handle. */
void sandbox_overlay_adopt(const struct billet_host *host, struct billet_lease_handle *lease);

/* Before a launch, by the one process that may start a sandbox of the lease: what is left of an
 * earlier one is ended first, for two mounts of one upper directory must not be. */
int sandbox_overlay_begin(const struct billet_lease_handle *lease, struct sandbox_overlay *overlay,
                          struct billet_error *error);

/* In the launched process, safe between fork and exec. Enter namespaces of its own and mount the
 * overlay of the directory work_fd at SANDBOX_STAGE_WORK; root's has prepared SANDBOX_STAGE and
 * gives lower, where the id-mapped mount is. 0 or -1 with errno. */
int sandbox_overlay_mount_user(const struct sandbox_overlay *overlay, int work_fd);
int sandbox_overlay_mount_root(const struct sandbox_overlay *overlay, const char *lower);

/* Remove the directories of a lease that nothing uses any more: 0 or -errno. */
int sandbox_overlay_remove(const struct billet_host *host, const char *id);
/* Where they are, one named after each lease, -1: there is none; the caller's to close. */
int sandbox_overlay_site(const struct billet_host *host);

/* Remove a tree that may be deep, and whose directories may be closed to their owner. The fd holds
 * name. 0 or -errno. */
int sandbox_tree_remove(int directory_fd, const char *name);
/* The entries of a directory that is open, from its first; NULL with errno. For closedir. */
DIR *sandbox_tree_list(int directory);

#endif
