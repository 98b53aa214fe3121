/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - whole trees beside the workspace: the copy that a lease works on, what
 * it has in common with the workspace, and its removal.
 */
#ifndef BILLET_WORKSPACE_TREE_H
#define BILLET_WORKSPACE_TREE_H

#include "workspace/copy.h"
#include "workspace/filter.h"
#include "workspace/manifest.h"
#include "workspace/plan.h"
#include "workspace/root.h"

/*
 * The baseline for the next exchange between two trees that may differ, both sorted: an entry of
 * there with the stat fields of here when size, mode and time are the same, else without any, so
 * that it counts as touched here. What is only here is not in it. With was, the baseline up to now,
 * what differs is as it was, so that what changed there is still to come back. *both is sorted.
 */
int billet_tree_combine(const struct billet_manifest *here, const struct billet_manifest *there,
                        const struct billet_manifest *was, struct billet_manifest *both,
                        struct billet_error *error);
/* The same from a look at the workspace and at a copy. */
int billet_tree_exchange(const struct billet_root *root, const char *copy,
                         const struct billet_filter *filter, struct billet_manifest *both,
                         struct billet_error *error);
/* What a copy is to be (sorted) when what changed here since was (the last exchange) is sent: a
 * path that changed there too stays as it is there, and is reported as a conflict. */
int billet_tree_choose(const struct billet_manifest *here, const struct billet_manifest *there,
                       const struct billet_manifest *was, struct billet_manifest *target,
                       struct billet_report *report, struct billet_error *error);
/*
 * Send what changed here since the baseline to a copy. What changed there too stays as it is there,
 * and is reported as a conflict. *both becomes the baseline of the next exchange.
 */
int billet_tree_push(const struct billet_root *root, const char *copy,
                     const struct billet_filter *filter, const struct billet_manifest *baseline,
                     struct billet_manifest *both, struct billet_report *report,
                     struct billet_copy_result *done, struct billet_error *error);
/* Two entries are the same file, directory or link by type, mode, size and time. */
bool billet_tree_same(const struct billet_entry *a, const struct billet_entry *b);

/* What came back may hold this entry: links out of the tree (code link_refused) and devices, FIFOs
 * and sockets (archive_refused) are refused. */
int billet_tree_accept(const struct billet_entry *entry, struct billet_error *error);

/* Remove path with all below, however deep and whatever the modes. What is not there is fine. */
int billet_tree_remove(const char *path, struct billet_error *error);

#endif
