/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.h - does a plan to the workspace, so that it can be cut off anywhere and done
 * again: each file is the old or the new one at every moment.
 *
 * A file is put in place by exchanging it with what is there (RENAME_EXCHANGE), or by a rename
 * that refuses to replace; what comes out is looked at, and when it is not what the plan expected,
 * somebody has written meanwhile: it goes back, and theirs is put beside it. The same for what is
 * removed: it is moved out first. Directories are made and removed by name on the fd of the parent.
 */
#ifndef BILLET_WORKSPACE_APPLY_H
#define BILLET_WORKSPACE_APPLY_H

#include "workspace/plan.h"
#include "workspace/stage.h"

struct billet_apply {
    const struct billet_root *root;
    const struct billet_stage *stage;
    const char *tag;
    bool again; /* parts of the plan may have been done before */
};

/* Give staged files the modes and owners that they are to have in the workspace. Before the plan
 * is written down. */
int billet_apply_prepare(const struct billet_apply *apply, const struct billet_plan *plan,
                         struct billet_error *error);
/* After a failure the workspace holds old and new files; the same call completes it. Conflicts
 * that turn up now are added to report. */
int billet_apply(const struct billet_apply *apply, const struct billet_plan *plan,
                 struct billet_report *report, struct billet_error *error);

#endif
