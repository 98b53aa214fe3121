/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - where the bytes of keys and secrets live: guarded pages of libsodium,
 * locked where the limit allows it, left out of core files, empty in a child of
 * fork, wiped when freed. Nothing else may hold such bytes.
 */
#ifndef BILLET_SECRET_MEMORY_H
#define BILLET_SECRET_MEMORY_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

/* The longest value that a secret may have; a driver's call takes as much of all together. */
#define BILLET_SECRET_MAX (64u * 1024)

struct billet_secret {
    unsigned char *bytes; /* NULL while empty; bytes[length] is 0 */
    size_t length;
    size_t size; /* room, without the byte for the end */
};

#define BILLET_SECRET_INIT \
    {                      \
        0                  \
    }

/* libsodium is ready; every function of core/secret calls it. code internal when it is not. */
int billet_secret_prepare(struct billet_error *error);
/* Room for size bytes, length 0. What *secret held before is not freed. */
int billet_secret_make(struct billet_secret *secret, size_t size, struct billet_error *error);
int billet_secret_copy(struct billet_secret *secret, const void *bytes, size_t length,
                       struct billet_error *error);
/* Read to the end of fd, at most BILLET_SECRET_MAX bytes: code too_large beyond. */
int billet_secret_read(struct billet_secret *secret, int fd, struct billet_error *error);
/* Wipe and free; fine when empty. */
void billet_secret_free(struct billet_secret *secret);
/* May the pages of this process be locked? False: swap may see them. */
bool billet_secret_can_lock(void);

#define cleanup_secret __attribute__((cleanup(billet_secret_free)))

#endif
