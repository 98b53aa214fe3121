/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - which paths git tracks: the names in .git/index (versions 2, 3 and 4 of the format in
 * gitformat-index(5)). Reads bytes only, runs no git, believes no length.
 */
#ifndef BILLET_WORKSPACE_INDEX_H
#define BILLET_WORKSPACE_INDEX_H

#include <billet/types.h>

#include "workspace/manifest.h"
#include "workspace/root.h"

/* Paths into *tracked, sorted; none when there is no index, or one that this cannot read (then
 * .gitignore alone decides, as for a new repository). */
int billet_index_read(const struct billet_root *root, struct billet_manifest *tracked,
                      struct billet_error *error);
/* The same from bytes; 1 read, 0 not an index of these versions. */
int billet_index_parse(const void *bytes, size_t length, struct billet_manifest *tracked,
                       struct billet_error *error);

#endif
