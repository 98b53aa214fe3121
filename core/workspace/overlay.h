/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.h - reads the upper directory of an overlay mount as a list of changes:
 * what is in it was put, a whiteout (character device 0:0, or an empty file with the
 * xattr overlay.whiteout) was deleted, an opaque directory replaced what was there.
 *
 * The upper directory was written by a hostile workload through the kernel: names and links are
 * judged as those of an archive, devices and FIFOs are refused, limits hold. Read it only when the
 * overlay is not mounted any more.
 */
#ifndef BILLET_WORKSPACE_OVERLAY_H
#define BILLET_WORKSPACE_OVERLAY_H

#include "workspace/filter.h"
#include "workspace/limits.h"
#include "workspace/plan.h"
#include "workspace/stage.h"

/*
 * Copies (or reflinks) what was put into the stage and fills changes. Attributes are read in both
 * spellings, trusted.overlay.* and user.overlay.*. workspace is the lower directory: needed to say
 * what an opaque directory hides. What filter leaves out is not copied.
 */
int billet_overlay_read(const struct billet_root *upper, const struct billet_root *workspace,
                        const struct billet_filter *filter, const struct billet_limits *limits,
                        struct billet_stage *stage, struct billet_changes *changes,
                        struct billet_report *report, struct billet_error *error);

#endif
