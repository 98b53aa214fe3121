/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.h - pages for bytes that must not leave this process by accident: between
 * pages that nobody may touch, left out of core files, locked as far as the limit goes,
 * wiped when given back. What keys and secrets of the core live in is core/secret/memory.h;
 * this is for those who must do without libsodium.
 */
#ifndef BILLET_BASE_PRIVATE_H
#define BILLET_BASE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

/* At least size bytes, all 0; NULL when memory ran out. in_children: a child of fork sees them too
 * (who hands them to a command that it forks and executes), else it finds zeros. */
void *billet_private_take(size_t size, bool in_children);
/* size as it was taken; NULL is fine. */
void billet_private_give(void *memory, size_t size);

#endif
