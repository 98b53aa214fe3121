/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "guest/sodium/sodium.h"

static const uint64_t initial[8] = {UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b),
                                    UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
                                    UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
                                    UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179)};

/* RFC 7693, section 2.7; the last two rounds are the first two again. */
static const uint8_t order[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                      {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                      {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                      {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                      {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                      {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static uint64_t
rotate(uint64_t word, unsigned bits)
{
    return word >> bits | word << (64 - bits);
}

static void
mix(uint64_t *v, unsigned a, unsigned b, unsigned c, unsigned d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

static void
compress(crypto_generichash_state *state, int last)
{
    uint64_t v[16], m[16];
    for (unsigned i = 0; i < 16; i++) {
        m[i] = 0;
        for (unsigned k = 0; k < 8; k++)
            m[i] |= (uint64_t)state->block[8 * i + k] << (8 * k);
    }
    memcpy(v, state->h, sizeof(state->h));
    memcpy(v + 8, initial, sizeof(initial));
    v[12] ^= state->count;
    if (last)
        v[14] = ~v[14];
    for (unsigned round = 0; round < 12; round++) {
        const uint8_t *s = order[round % 10];
        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
        for (unsigned i = 0; i < 4; i++)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]],
                m[s[9 + 2 * i]]);
    }
    for (unsigned i = 0; i < 8; i++)
        state->h[i] ^= v[i] ^ v[8 + i];
}

int
crypto_generichash_init(crypto_generichash_state *state, const unsigned char *key,
                        size_t key_length, size_t length)
{
    if (key != NULL || key_length != 0 || length == 0 || length > 64)
        abort();
    memset(state, 0, sizeof(*state));
    memcpy(state->h, initial, sizeof(initial));
    state->h[0] ^= UINT64_C(0x01010000) ^ length;
    return 0;
}

int
crypto_generichash_update(crypto_generichash_state *state, const unsigned char *bytes,
                          unsigned long long length)
{
    while (length > 0) {
        /* The last block is compressed by final, also when it is full. */
        if (state->held == sizeof(state->block)) {
            state->count += sizeof(state->block);
            compress(state, 0);
            state->held = 0;
        }
        size_t part = sizeof(state->block) - state->held;
        part = length < part ? (size_t)length : part;
        memcpy(state->block + state->held, bytes, part);
        state->held += part;
        bytes += part;
        length -= part;
    }
    return 0;
}

int
crypto_generichash_final(crypto_generichash_state *state, unsigned char *sum, size_t length)
{
    state->count += state->held;
    memset(state->block + state->held, 0, sizeof(state->block) - state->held);
    compress(state, 1);
    for (size_t i = 0; i < length; i++)
        sum[i] = (unsigned char)(state->h[i / 8] >> (8 * (i % 8)));
    return 0;
}

int
crypto_generichash(unsigned char *sum, size_t length, const unsigned char *bytes,
                   unsigned long long size, const unsigned char *key, size_t key_length)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, key_length, length);
    crypto_generichash_update(&state, bytes, size);
    return crypto_generichash_final(&state, sum, length);
}

int
crypto_shorthash(unsigned char *out, const unsigned char *bytes, unsigned long long length,
                 const unsigned char *key)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, crypto_shorthash_BYTES);
    crypto_generichash_update(&state, key, crypto_shorthash_KEYBYTES);
    crypto_generichash_update(&state, bytes, length);
    return crypto_generichash_final(&state, out, crypto_shorthash_BYTES);
}

void
randombytes_buf(void *to, size_t size)
{
    char *at = to;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0)
            continue;
        at += got;
        size -= (size_t)got;
    }
}
