/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/envelope.h"

#include <sodium.h>
#include <string.h>

#include "base/error.h"

#define MAGIC "BLS1"
#define AT_KEY_ID 6
#define AT_WRAP_NONCE (AT_KEY_ID + 16)
#define AT_WRAPPED (AT_WRAP_NONCE + 24)
#define AT_DATA_NONCE (AT_WRAPPED + 48)
#define AT_LENGTH (AT_DATA_NONCE + 24)
#define AT_DATA BILLET_ENVELOPE_HEAD
#define COMMIT 32
#define TAG 16

/* Associated data: both domains have 20 bytes, ids and tenants at most 128. */
#define ASSOCIATED_MAX (5 * 4 + 20 + 128 + 128 + 8 + 16)
#define NAME_MAX_BYTES 128

struct associated {
    unsigned char bytes[ASSOCIATED_MAX];
    size_t length;
};

/* The keys that one master key stands for; only ever on the stack, wiped before it is left. */
struct derived {
    unsigned char wrap[32];
    unsigned char commit[32];
};

static void
put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t
get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static void
add_prefixed(struct associated *data, const void *bytes, size_t length)
{
    put_u32(data->bytes + data->length, (uint32_t)length);
    memcpy(data->bytes + data->length + 4, bytes, length);
    data->length += 4 + length;
}

static void
associate(struct associated *data, const char *domain, const struct billet_envelope_place *place,
          const unsigned char *key_id)
{
    unsigned char version[8];
    data->length = 0;
    for (int i = 0; i < 8; i++)
        version[i] = (unsigned char)(place->version >> (8 * i));
    add_prefixed(data, domain, strlen(domain));
    add_prefixed(data, place->tenant, strlen(place->tenant));
    add_prefixed(data, place->secret, strlen(place->secret));
    add_prefixed(data, version, sizeof(version));
    if (key_id != NULL)
        add_prefixed(data, key_id, BILLET_KEY_ID_BYTES);
}

static int
check_place(const struct billet_envelope_place *place, struct billet_error *error)
{
    if (strlen(place->tenant) <= NAME_MAX_BYTES && strlen(place->secret) <= NAME_MAX_BYTES)
        return 0;
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                            "the place of a secret has too long a name");
}

static void
derive(const unsigned char *key, struct derived *to)
{
    crypto_kdf_derive_from_key(to->wrap, sizeof(to->wrap), 1, "bltwrap1", key);
    crypto_kdf_derive_from_key(to->commit, sizeof(to->commit), 2, "bltcmit1", key);
}

static void
commitment(const unsigned char key[32], const struct associated *wrap,
           const unsigned char *envelope, size_t size, unsigned char to[COMMIT])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, 32, COMMIT);
    crypto_generichash_update(&state, wrap->bytes, wrap->length);
    /* Both nonces, the wrapped key, the length and the ciphertext stand in one run. */
    crypto_generichash_update(&state, envelope + AT_WRAP_NONCE, AT_LENGTH - AT_WRAP_NONCE);
    crypto_generichash_update(&state, envelope + AT_DATA, size - AT_DATA - COMMIT);
    crypto_generichash_final(&state, to, COMMIT);
    sodium_memzero(&state, sizeof(state));
}

int
billet_envelope_seal(const struct billet_envelope_key *key,
                     const struct billet_envelope_place *place, const void *value, size_t length,
                     const struct billet_envelope_chosen *chosen, unsigned char *to, size_t *size,
                     struct billet_error *error)
{
    struct associated wrap, data;
    struct derived keys;
    unsigned char data_key[BILLET_KEY_BYTES];
    int result = billet_secret_prepare(error);
    if (result == 0)
        result = check_place(place, error);
    if (result < 0)
        return result;
    if (length > BILLET_SECRET_MAX || *size < length + BILLET_ENVELOPE_OVERHEAD)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "the value is longer than %u bytes", BILLET_SECRET_MAX);
    derive(key->key, &keys);
    associate(&wrap, "billet-secret-1/wrap", place, key->id);
    associate(&data, "billet-secret-1/data", place, NULL);
    memcpy(to, MAGIC, 4);
    to[4] = 1;
    to[5] = 1;
    memcpy(to + AT_KEY_ID, key->id, BILLET_KEY_ID_BYTES);
    if (chosen != NULL) {
        memcpy(data_key, chosen->data_key, sizeof(data_key));
        memcpy(to + AT_WRAP_NONCE, chosen->wrap_nonce, 24);
        memcpy(to + AT_DATA_NONCE, chosen->data_nonce, 24);
    } else {
        randombytes_buf(data_key, sizeof(data_key));
        randombytes_buf(to + AT_WRAP_NONCE, 24);
        randombytes_buf(to + AT_DATA_NONCE, 24);
    }
    put_u32(to + AT_LENGTH, (uint32_t)(length + TAG));
    *size = length + BILLET_ENVELOPE_OVERHEAD;
    crypto_aead_xchacha20poly1305_ietf_encrypt(to + AT_WRAPPED, NULL, data_key, sizeof(data_key),
                                               wrap.bytes, wrap.length, NULL, to + AT_WRAP_NONCE,
                                               keys.wrap);
    crypto_aead_xchacha20poly1305_ietf_encrypt(to + AT_DATA, NULL, value, length, data.bytes,
                                               data.length, NULL, to + AT_DATA_NONCE, data_key);
    commitment(keys.commit, &wrap, to, *size, to + *size - COMMIT);
    sodium_memzero(data_key, sizeof(data_key));
    sodium_memzero(&keys, sizeof(keys));
    return 0;
}

static int
damaged(struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_AUTH, "secret_damaged",
                     "a stored secret does not open: it was changed, or belongs elsewhere");
    return billet_error_hint(error, "restore it from a backup, or store it again with "
                                    "'billet secret rotate'");
}

/* Sound enough to be looked into? */
static bool
is_whole(const unsigned char *envelope, size_t size)
{
    return size >= BILLET_ENVELOPE_OVERHEAD && size <= BILLET_ENVELOPE_MAX &&
           memcmp(envelope, MAGIC "\1\1", 6) == 0 &&
           get_u32(envelope + AT_LENGTH) == size - AT_DATA - COMMIT;
}

int
billet_envelope_key_id(const unsigned char *envelope, size_t size,
                       unsigned char id[BILLET_KEY_ID_BYTES], struct billet_error *error)
{
    if (!is_whole(envelope, size))
        return damaged(error);
    memcpy(id, envelope + AT_KEY_ID, BILLET_KEY_ID_BYTES);
    return 0;
}

/* The data key of an envelope whose commitment holds. keys are of the key that wraps it. */
static int
unwrap(const struct billet_envelope_key *key, const struct billet_envelope_place *place,
       const unsigned char *envelope, size_t size, struct derived *keys,
       unsigned char data_key[BILLET_KEY_BYTES], struct billet_error *error)
{
    struct associated wrap;
    unsigned char expected[COMMIT];
    int result = billet_secret_prepare(error);
    if (result == 0)
        result = check_place(place, error);
    if (result < 0)
        return result;
    if (!is_whole(envelope, size) ||
        sodium_memcmp(envelope + AT_KEY_ID, key->id, BILLET_KEY_ID_BYTES) != 0)
        return damaged(error);
    derive(key->key, keys);
    associate(&wrap, "billet-secret-1/wrap", place, key->id);
    commitment(keys->commit, &wrap, envelope, size, expected);
    if (sodium_memcmp(expected, envelope + size - COMMIT, COMMIT) != 0 ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(data_key, NULL, NULL, envelope + AT_WRAPPED, 48,
                                                   wrap.bytes, wrap.length,
                                                   envelope + AT_WRAP_NONCE, keys->wrap) != 0)
        return damaged(error);
    return 0;
}

int
billet_envelope_open(const struct billet_envelope_key *key,
                     const struct billet_envelope_place *place, const unsigned char *envelope,
                     size_t size, struct billet_secret *value, struct billet_error *error)
{
    cleanup_secret struct billet_secret opened = BILLET_SECRET_INIT;
    struct associated data;
    struct derived keys = {0};
    unsigned char data_key[BILLET_KEY_BYTES] = {0};
    int result = unwrap(key, place, envelope, size, &keys, data_key, error);
    if (result == 0)
        result = billet_secret_make(&opened, size - BILLET_ENVELOPE_OVERHEAD, error);
    if (result == 0) {
        associate(&data, "billet-secret-1/data", place, NULL);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                opened.bytes, NULL, NULL, envelope + AT_DATA, size - AT_DATA - COMMIT, data.bytes,
                data.length, envelope + AT_DATA_NONCE, data_key) != 0)
            result = damaged(error);
    }
    sodium_memzero(data_key, sizeof(data_key));
    sodium_memzero(&keys, sizeof(keys));
    if (result < 0)
        return result;
    opened.length = opened.size;
    *value = opened;
    opened = (struct billet_secret)BILLET_SECRET_INIT;
    return 0;
}

int
billet_envelope_rewrap(const struct billet_envelope_key *from, const struct billet_envelope_key *to,
                       const struct billet_envelope_place *place, unsigned char *envelope,
                       size_t size, struct billet_error *error)
{
    struct associated wrap;
    struct derived keys = {0};
    unsigned char data_key[BILLET_KEY_BYTES] = {0};
    int result = unwrap(from, place, envelope, size, &keys, data_key, error);
    if (result == 0) {
        derive(to->key, &keys);
        associate(&wrap, "billet-secret-1/wrap", place, to->id);
        memcpy(envelope + AT_KEY_ID, to->id, BILLET_KEY_ID_BYTES);
        randombytes_buf(envelope + AT_WRAP_NONCE, 24);
        crypto_aead_xchacha20poly1305_ietf_encrypt(envelope + AT_WRAPPED, NULL, data_key,
                                                   sizeof(data_key), wrap.bytes, wrap.length, NULL,
                                                   envelope + AT_WRAP_NONCE, keys.wrap);
        commitment(keys.commit, &wrap, envelope, size, envelope + size - COMMIT);
    }
    sodium_memzero(data_key, sizeof(data_key));
    sodium_memzero(&keys, sizeof(keys));
    return result;
}
