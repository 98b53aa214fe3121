/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sodium.h - for billet-guest, which is built for architectures whose libsodium is not at hand: the
 * few functions of it that core/workspace uses, with the same results. Nothing secret passes here.
 *
 * BLAKE2b after RFC 7693, without a key.
 */
#ifndef CORE_GUEST_SODIUM_H
#define CORE_GUEST_SODIUM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t h[8];
    uint64_t count; /* bytes */
    size_t held;
    uint8_t block[128];
} crypto_generichash_state;

int crypto_generichash_init(crypto_generichash_state *state, const unsigned char *key,
                            size_t key_length, size_t length);
int crypto_generichash_update(crypto_generichash_state *state, const unsigned char *bytes,
                              unsigned long long length);
int crypto_generichash_final(crypto_generichash_state *state, unsigned char *sum, size_t length);
int crypto_generichash(unsigned char *sum, size_t length, const unsigned char *bytes,
                       unsigned long long size, const unsigned char *key, size_t key_length);

/* Spreads names over a table; with the keys of one process only, so it need be no SipHash. */
#define crypto_shorthash_BYTES 8u
#define crypto_shorthash_KEYBYTES 16u
int crypto_shorthash(unsigned char *out, const unsigned char *bytes, unsigned long long length,
                     const unsigned char *key);

void randombytes_buf(void *to, size_t size);

#endif
