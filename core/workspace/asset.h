/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asset.h - the identity of an asset's content: what is the same on both sides when nothing but
 * place, times and finer permissions differ. Names a copy of it on another machine.
 */
#ifndef BILLET_WORKSPACE_ASSET_H
#define BILLET_WORKSPACE_ASSET_H

#include <billet/types.h>
#include <stdbool.h>

#include "workspace/manifest.h"

#define BILLET_ASSET_ID_SIZE 33 /* 32 hexadecimal digits and the NUL */

/* As files and directories of a copy are: nobody writes there, who may enter the cache may read. */
#define BILLET_ASSET_MODE(executable) ((executable) ? 0555u : 0444u)

/* Of a sorted manifest in which every file is hashed. What does not travel is left out. */
void billet_asset_id(const struct billet_manifest *manifest, char id[BILLET_ASSET_ID_SIZE]);
/* The form of an id, for what comes from outside. */
bool billet_asset_id_is_valid(const char *id);

#endif
