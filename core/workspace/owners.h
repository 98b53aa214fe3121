/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owners.h - looks for what in a tree belongs to another user or group than one pair.
 *
 * The user namespace that an ordinary user makes has one user id and one group id. The kernel
 * copies nothing up into an overlay in it whose owner or group is another (EOVERFLOW, ovl_copy_up),
 * and so whether a tree can be worked on as an overlay is known only when every entry was looked
 * at. That is done in a thread of its own, beside what a run does anyway before it needs to know.
 */
#ifndef BILLET_WORKSPACE_OWNERS_H
#define BILLET_WORKSPACE_OWNERS_H

#include <sys/types.h>

#include "workspace/root.h"

struct billet_owners;

/* root outlives the search. NULL: no memory, or no thread. */
struct billet_owners *billet_owners_begin(const struct billet_root *root, uid_t uid, gid_t gid);

#define BILLET_OWNERS_FOREIGN 1 /* *path, the caller's, is one ("" is the root itself) */
#define BILLET_OWNERS_UNKNOWN 2 /* not all of it could be looked at, at *path */

/* Wait for its end: 0 when all of the tree is of that user and group. Directories that cannot be
 * read are not looked into, and what is mounted in the tree is not part of it. *path is NULL or the
 * caller's. */
int billet_owners_end(struct billet_owners *owners, char **path);
/* End it early. NULL is fine. */
void billet_owners_cancel(struct billet_owners *owners);

#endif
