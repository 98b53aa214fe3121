/* SPDX-License-Identifier: Apache-2.0 */
/*
 * far.h - the workspace and a copy of it on another machine: what is to be sent, what
 * is to be had back. The other end is billet-guest receive and send; how the bytes get there is the
 * caller's. Changes nothing here.
 */
#ifndef BILLET_WORKSPACE_FAR_H
#define BILLET_WORKSPACE_FAR_H

#include "base/buffer.h"
#include "workspace/archive.h"
#include "workspace/copy.h"
#include "workspace/manifest.h"
#include "workspace/root.h"

struct billet_far_send {
    const struct billet_root *root;       /* the workspace */
    const struct billet_manifest *target; /* sorted: what is to be there */
    const struct billet_manifest *there;  /* sorted: what is there; may be empty */
    billet_progress *progress;            /* or NULL */
    void *progress_context;
};

/* There is something to do. */
bool billet_far_differs(const struct billet_far_send *send);
/* To fd what billet-guest receive takes: the paths to be removed, inner ones first, an empty one,
 * and an archive of what differs by type, mode, size or time. *done counts files and the bytes of
 * the whole. */
int billet_far_write(const struct billet_far_send *send, int fd, struct billet_copy_result *done,
                     struct billet_error *error);

/*
 * What is to be had back of a copy that is now (sorted) what was (sorted): into *wanted the paths
 * that were put, as billet-guest send takes them, into *gone those that were deleted, each with a
 * NUL. A link that leads out of the tree and a special file are refused (class AUTH).
 */
int billet_far_compare(const struct billet_manifest *was, const struct billet_manifest *now,
                       struct billet_buffer *wanted, struct billet_buffer *gone,
                       struct billet_error *error);

#endif
