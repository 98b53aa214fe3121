/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - a whole store into an empty one of any engine, and the proof that both
 * hold the same.
 */
#ifndef BILLET_STORE_COPY_H
#define BILLET_STORE_COPY_H

#include "store/store.h"

struct billet_copy_count {
    int64_t rows;
    char hash[65]; /* of all rows, whatever their order, in hexadecimal */
};

/* What a store holds. */
int billet_store_count(struct billet_store *store, struct billet_copy_count *count,
                       struct billet_error *error);
/* Copy and compare: code store_not_empty when to holds something, store_differs when it does not
 * hold the same afterwards. */
int billet_store_copy(struct billet_store *from, struct billet_store *to,
                      struct billet_copy_count *count, struct billet_error *error);

#endif
