/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launcher.h - makes the process that becomes bubblewrap: session, control
 * groups, limits, keyring, the other user id, exactly the descriptors it is
 * given, no environment. In this order, each step with its own error.
 *
 * Own instead of common/launch, because root's way leads through a mount
 * namespace and a change of user. Once bwrap runs, nothing here ties it to this process: that is
 * for billet-sandbox-init, which can be told to stay.
 */
#ifndef SANDBOX_LAUNCHER_H
#define SANDBOX_LAUNCHER_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../common/cgroup.h"
#include "assets.h"
#include "identity.h"

/* Where root's launcher mounts what bwrap must reach under the other user id and could not: an
 * empty tmpfs over /sys, in a mount namespace of its own. */
#define SANDBOX_STAGE "/sys"
#define SANDBOX_STAGE_WORK SANDBOX_STAGE "/work"
#define SANDBOX_STAGE_LOWER SANDBOX_STAGE "/lower"
#define SANDBOX_STAGE_INIT SANDBOX_STAGE "/init"
#define SANDBOX_STAGE_ASSETS SANDBOX_STAGE "/assets"

#define SANDBOX_LAUNCH_FDS 16

struct sandbox_overlay;

struct sandbox_launch {
    const char *bubblewrap;
    const struct sandbox_identity *identity;
    const struct billet_cgroup *group;
    int work_fd;                           /* staged for identity->drop; -1: none */
    const struct sandbox_assets *assets;   /* the same */
    const struct sandbox_overlay *overlay; /* NULL: the workspace is bound */
    const char *init;                      /* the host's path; NULL: not to be staged */
    int fds[SANDBOX_LAUNCH_FDS];           /* fds[i] becomes descriptor i */
    size_t fd_count;
    /* Called in the new process, with its number, before bwrap begins, so that it can be found
     * again: 0 or -errno, -ENOENT when the lease has been destroyed. */
    int (*note)(void *context, pid_t pid);
    void *context;
};

/* What was begun. */
struct sandbox_launched {
    pid_t pid; /* a child of this process; 0: none */
    int pidfd;
    int report;        /* says why bwrap was not executed; -1: it was, or has said so */
    int overlay_errno; /* after the result: why the overlay could not be mounted, or 0 */
};
#define SANDBOX_LAUNCHED_INIT     \
    {                             \
        .pidfd = -1, .report = -1 \
    }

/* Returns once bwrap runs, or the process is on its way out; it ends by itself when this one ends
 * before bwrap runs. */
int sandbox_launch_begin(const struct sandbox_launch *launch, struct sandbox_launched *launched,
                         struct billet_error *error);
/* Says why bwrap does not run; then the process is on its way out. */
int sandbox_launch_result(struct sandbox_launched *launched, struct billet_error *error);

#endif
