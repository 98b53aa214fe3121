/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.h - what a change makes of a lease that its caller has read: for store modules, which then
 * need not send the whole row back with each step of its life.
 */
#ifndef BILLET_STORE_CHANGE_H
#define BILLET_STORE_CHANGE_H

#include "store/store.h"

/* The numbers of a lease, which the store computes, in the order of billet_lease_fields. The texts
 * a caller knows; on PostgreSQL each column more costs a hundredth of the statement. */
#define BILLET_CHANGE_COLUMNS \
    "fence,generation,cleanup_attempts,next_cleanup_ns,created_ns,updated_ns,expires_ns,ended_ns"

/* Copies of the texts that the change gives, the others NULL: before the change is made, so that
 * nothing can fail once it is. difference is to be zero; billet_lease_free frees it. */
int billet_change_texts(const struct billet_lease_change *change, struct billet_lease *difference,
                        struct billet_error *error);
/* The change was made: difference has its texts, and the numbers as the store tells them, column
 * after column (billet_change_number). The texts go over to *lease. */
void billet_change_apply(const struct billet_lease_change *change, struct billet_lease *difference,
                         struct billet_lease *lease);
/* Where the number of a column of BILLET_CHANGE_COLUMNS belongs; NULL after the last. */
int64_t *billet_change_number(struct billet_lease *lease, int column);

#endif
