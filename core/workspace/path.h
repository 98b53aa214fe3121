/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - the lexical rules for names that travel: relative, plain components,
 * bounded, no control bytes. Judges bytes only; never touches a file system.
 *
 * A path is "a/b/c": no leading, trailing or double '/', no "." or "..". Bytes are
 * opaque (no normalisation); two names are the same when their bytes are.
 */
#ifndef BILLET_WORKSPACE_PATH_H
#define BILLET_WORKSPACE_PATH_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "workspace/limits.h"

/* First components that begin so are billet's own and never travel. */
#define BILLET_PATH_RESERVED ".billet-stage"

/* 0, or class AUTH, code path_refused, with the reason. */
int billet_path_check(const char *path, size_t length, const struct billet_limits *limits,
                      struct billet_error *error);
/* One component by the same rules; names what is wrong, or NULL. */
const char *billet_path_name_problem(const char *name, size_t length,
                                     const struct billet_limits *limits);

/*
 * True when a link at path with that target cannot lead out of the tree, whatever other links of
 * the tree its way passes: the target is relative and ".." stands only at its beginning and climbs
 * no higher than the root ("a/../b" is refused: a may be a link).
 */
bool billet_path_target_inside(const char *path, size_t length, const char *target,
                               size_t target_length);

/* Total order in which a directory comes before what is in it and its subtree is one run: '/'
 * sorts below every other byte. */
int billet_path_compare(const char *a, size_t a_length, const char *b, size_t b_length);

/* True when path is directory or lies below it; everything lies below "". */
bool billet_path_below(const char *path, const char *directory);

/* Length of the parent's path; 0 at the top. */
size_t billet_path_parent_length(const char *path, size_t length);

#endif
