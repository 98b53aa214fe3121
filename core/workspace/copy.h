/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - brings a tree to look like a manifest, directory to directory on one
 * machine, with two threads where there are two processors. Sends only what differs.
 */
#ifndef BILLET_WORKSPACE_COPY_H
#define BILLET_WORKSPACE_COPY_H

#include "workspace/manifest.h"
#include "workspace/root.h"

struct billet_copy {
    const struct billet_root *from;
    const struct billet_manifest *manifest; /* of from, sorted */
    const struct billet_root *to;
    const struct billet_manifest *there; /* of to, sorted; NULL: it is empty */
    unsigned threads;                    /* 0: choose */
    uint32_t owner;                      /* of what is made, when change_owner */
    uint32_t group;
    bool change_owner;
};

struct billet_copy_result {
    uint64_t files; /* written */
    uint64_t bytes;
    uint64_t deleted;
};

/* A file counts as the same when size, mode and mtime (ns) are. Files keep mode and mtime; a file
 * that goes away meanwhile is left out. The target is nobody else's while this runs. */
int billet_copy_tree(const struct billet_copy *copy, struct billet_copy_result *result,
                     struct billet_error *error);

#endif
