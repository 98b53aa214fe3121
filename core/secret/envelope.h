/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.h - one version of a secret, sealed; the bytes that a store keeps.
 *
 *   magic "BLS1" | version 1 | algorithm 1 | key id 16 | wrap nonce 24 | wrapped data key 48 |
 *   data nonce 24 | u32le length | ciphertext and tag | commitment 32
 *
 *   K_wrap   = crypto_kdf(key, 1, "bltwrap1")     K_commit = crypto_kdf(key, 2, "bltcmit1")
 *   lp(x)    = u32le length of x, x
 *   A_data   = lp("billet-secret-1/data") lp(tenant) lp(secret id) lp(u64le version)
 *   A_wrap   = lp("billet-secret-1/wrap") lp(tenant) lp(secret id) lp(u64le version) lp(key id)
 *   wrapped  = XChaCha20-Poly1305-IETF(K_wrap, wrap nonce, data key, A_wrap)
 *   sealed   = XChaCha20-Poly1305-IETF(data key, data nonce, value, A_data)
 *   commitment = BLAKE2b-256(key K_commit, A_wrap, wrap nonce, wrapped, data nonce, sealed)
 *
 * Every version has a data key of its own. A_data does not name the key that wraps it, so another
 * key can take over without touching the data. The commitment is checked first: these ciphers
 * alone do not bind a ciphertext to one key. Numbers of the ciphers: draft-irtf-cfrg-xchacha-03.
 */
#ifndef BILLET_SECRET_ENVELOPE_H
#define BILLET_SECRET_ENVELOPE_H

#include "secret/memory.h"

#define BILLET_KEY_BYTES 32
#define BILLET_KEY_ID_BYTES 16
#define BILLET_KEY_ID_TEXT 33 /* hexadecimal, with the end */

#define BILLET_ENVELOPE_HEAD (4 + 2 + 16 + 24 + 48 + 24 + 4)
#define BILLET_ENVELOPE_OVERHEAD (BILLET_ENVELOPE_HEAD + 16 + 32)
#define BILLET_ENVELOPE_MAX (BILLET_ENVELOPE_OVERHEAD + BILLET_SECRET_MAX)

/* What a sealed value belongs to: an envelope of another one does not open. */
struct billet_envelope_place {
    const char *tenant;
    const char *secret; /* id */
    uint64_t version;
};

struct billet_envelope_key {
    const unsigned char *id;  /* BILLET_KEY_ID_BYTES */
    const unsigned char *key; /* BILLET_KEY_BYTES */
};

/* Fixed nonces and data key are for test vectors; NULL: random ones. */
struct billet_envelope_chosen {
    unsigned char data_key[BILLET_KEY_BYTES];
    unsigned char wrap_nonce[24];
    unsigned char data_nonce[24];
};

/* *size: room at to, then what was written (value length + BILLET_ENVELOPE_OVERHEAD). */
int billet_envelope_seal(const struct billet_envelope_key *key,
                         const struct billet_envelope_place *place, const void *value,
                         size_t length, const struct billet_envelope_chosen *chosen,
                         unsigned char *to, size_t *size, struct billet_error *error);
/* The id of the key that wraps it, without any secret; code secret_damaged when it is no envelope.
 */
int billet_envelope_key_id(const unsigned char *envelope, size_t size,
                           unsigned char id[BILLET_KEY_ID_BYTES], struct billet_error *error);
/* code secret_damaged whatever is wrong: a flipped bit, another place, another key. */
int billet_envelope_open(const struct billet_envelope_key *key,
                         const struct billet_envelope_place *place, const unsigned char *envelope,
                         size_t size, struct billet_secret *value, struct billet_error *error);
/* Put another key in the place of the one that wraps it; in place, of the same size. */
int billet_envelope_rewrap(const struct billet_envelope_key *from,
                           const struct billet_envelope_key *to,
                           const struct billet_envelope_place *place, unsigned char *envelope,
                           size_t size, struct billet_error *error);

#endif
