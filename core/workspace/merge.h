/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h - the three-way merge: the tree as it was (baseline), as it is here now,
 * and what changed elsewhere give a plan. Decides; changes only modes of staged files.
 *
 * A change made there is taken when here nothing was touched since. Changed on both sides: what is
 * here stays under its name, theirs is put beside it as NAME.billet-conflict-TAG (a directory
 * with what is in it; a number is added when that name is taken). Deleted there and changed here:
 * kept and reported. The same result on both sides is no conflict. Directories that were deleted
 * there go when nothing remains in them. What the filter leaves out is not brought back either.
 *
 * Without a baseline manifest (overlay) "touched since" is read from the change time of the inode.
 */
#ifndef BILLET_WORKSPACE_MERGE_H
#define BILLET_WORKSPACE_MERGE_H

#include "workspace/filter.h"
#include "workspace/plan.h"
#include "workspace/stage.h"

struct billet_merge {
    const struct billet_root *root;
    const struct billet_manifest *baseline; /* sorted; NULL: since_ns decides */
    int64_t since_ns;                       /* changed at or after this: touched */
    const struct billet_filter *filter;     /* may be NULL */
    const struct billet_stage *stage;
    const char *tag; /* its first eight characters name conflicts */
};

/* What a whole tree that came back says against the baseline: PUTs and DELETEs. */
int billet_merge_compare(const struct billet_merge *merge, struct billet_changes *changes,
                         struct billet_error *error);
/* changes is sorted, and may grow by the deletions that a replaced directory implies. */
int billet_merge_plan(const struct billet_merge *merge, struct billet_changes *changes,
                      struct billet_plan *plan, struct billet_report *report,
                      struct billet_error *error);

#endif
