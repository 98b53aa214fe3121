/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/keyring.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define MAGIC "BLKR"
#define AT_SALT 8
#define AT_OPERATIONS (AT_SALT + 16)
#define AT_MEMORY (AT_OPERATIONS + 8)
#define AT_NONCE (AT_MEMORY + 8)
#define AT_LENGTH (AT_NONCE + 24)
#define AT_BODY (AT_LENGTH + 4)
#define ENTRY (16 + 8 + 1 + 32)
#define CHECK 32
#define TAG 16

/* An edited file must not weaken the passphrase, nor cost all memory. */
#define OPERATIONS_MIN 2
#define OPERATIONS_MAX 32
#define MEMORY_MIN (64u * 1024 * 1024)
#define MEMORY_MAX (1024u * 1024 * 1024)

/* The keys alone lie in guarded memory, one after the other. */
struct billet_keyring {
    struct billet_secret keys;
    size_t count;
    struct {
        unsigned char id[BILLET_KEY_ID_BYTES];
        int64_t created_ns;
        enum billet_key_state state;
    } entries[BILLET_KEYRING_KEYS_MAX];
};

const char *
billet_key_state_name(enum billet_key_state state)
{
    static const char *const names[] = {"unknown", "active", "decrypt", "retired"};
    return state >= BILLET_KEY_ACTIVE && state <= BILLET_KEY_RETIRED ? names[state] : names[0];
}

void
billet_key_id_format(const unsigned char *id, char to[BILLET_KEY_ID_TEXT])
{
    sodium_bin2hex(to, BILLET_KEY_ID_TEXT, id, BILLET_KEY_ID_BYTES);
}

static int
make_empty(struct billet_keyring **ring, struct billet_error *error)
{
    struct billet_keyring *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return billet_error_no_memory(error);
    int result =
        billet_secret_make(&made->keys, (size_t)BILLET_KEYRING_KEYS_MAX * BILLET_KEY_BYTES, error);
    if (result < 0) {
        free(made);
        return result;
    }
    *ring = made;
    return 0;
}

void
billet_keyring_free(struct billet_keyring *ring)
{
    if (ring == NULL)
        return;
    billet_secret_free(&ring->keys);
    free(ring);
}

static unsigned char *
key_at(const struct billet_keyring *ring, size_t index)
{
    return ring->keys.bytes + index * BILLET_KEY_BYTES;
}

static int
add(struct billet_keyring *ring, const unsigned char *id, int64_t created_ns,
    enum billet_key_state state, const unsigned char *key, struct billet_error *error)
{
    if (ring->count == BILLET_KEYRING_KEYS_MAX) {
        billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                         "the keyring holds %d keys, the most it may", BILLET_KEYRING_KEYS_MAX);
        return billet_error_hint(error, "export it, and begin a new one");
    }
    size_t at = ring->count++;
    memcpy(ring->entries[at].id, id, BILLET_KEY_ID_BYTES);
    ring->entries[at].created_ns = created_ns;
    ring->entries[at].state = state;
    memcpy(key_at(ring, at), key, BILLET_KEY_BYTES);
    return 0;
}

static int
add_new(struct billet_keyring *ring, struct billet_error *error)
{
    unsigned char id[BILLET_KEY_ID_BYTES];
    cleanup_secret struct billet_secret key = BILLET_SECRET_INIT;
    int result = billet_secret_make(&key, BILLET_KEY_BYTES, error);
    if (result < 0)
        return result;
    randombytes_buf(id, sizeof(id));
    crypto_kdf_keygen(key.bytes);
    return add(ring, id, billet_clock_wall(), BILLET_KEY_ACTIVE, key.bytes, error);
}

int
billet_keyring_make(struct billet_keyring **ring, struct billet_error *error)
{
    struct billet_keyring *made = NULL;
    int result = make_empty(&made, error);
    if (result == 0)
        result = add_new(made, error);
    if (result < 0) {
        billet_keyring_free(made);
        return result;
    }
    *ring = made;
    return 0;
}

size_t
billet_keyring_count(const struct billet_keyring *ring)
{
    return ring->count;
}

struct billet_key
billet_keyring_at(const struct billet_keyring *ring, size_t index)
{
    struct billet_key key = {.created_ns = ring->entries[index].created_ns,
                             .state = ring->entries[index].state,
                             .key = key_at(ring, index)};
    memcpy(key.id, ring->entries[index].id, sizeof(key.id));
    return key;
}

struct billet_envelope_key
billet_keyring_active(const struct billet_keyring *ring)
{
    size_t at = 0;
    while (at + 1 < ring->count && ring->entries[at].state != BILLET_KEY_ACTIVE)
        at++;
    return (struct billet_envelope_key){.id = ring->entries[at].id, .key = key_at(ring, at)};
}

bool
billet_keyring_find(const struct billet_keyring *ring, const unsigned char *id,
                    struct billet_envelope_key *key)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (memcmp(ring->entries[i].id, id, BILLET_KEY_ID_BYTES) != 0)
            continue;
        *key = (struct billet_envelope_key){.id = ring->entries[i].id, .key = key_at(ring, i)};
        return true;
    }
    return false;
}

int
billet_keyring_rotate(struct billet_keyring *ring, struct billet_error *error)
{
    size_t before = ring->count;
    int result = add_new(ring, error);
    for (size_t i = 0; result == 0 && i < before; i++)
        if (ring->entries[i].state == BILLET_KEY_ACTIVE)
            ring->entries[i].state = BILLET_KEY_DECRYPT;
    return result;
}

void
billet_keyring_retire(struct billet_keyring *ring, const unsigned char *id)
{
    for (size_t i = 0; i < ring->count; i++)
        if (memcmp(ring->entries[i].id, id, BILLET_KEY_ID_BYTES) == 0 &&
            ring->entries[i].state == BILLET_KEY_DECRYPT)
            ring->entries[i].state = BILLET_KEY_RETIRED;
}

int
billet_keyring_merge(struct billet_keyring *ring, const struct billet_keyring *from, size_t *added,
                     struct billet_error *error)
{
    *added = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct billet_envelope_key known;
        if (billet_keyring_find(ring, from->entries[i].id, &known))
            continue;
        enum billet_key_state state = from->entries[i].state == BILLET_KEY_ACTIVE
                                          ? BILLET_KEY_DECRYPT
                                          : from->entries[i].state;
        int result = add(ring, from->entries[i].id, from->entries[i].created_ns, state,
                         key_at(from, i), error);
        if (result < 0)
            return result;
        ++*added;
    }
    return 0;
}

/* ---- the file's form ---------------------------------------------------------- */

static void
put_number(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t
get_number(const unsigned char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

static void
check_of(const unsigned char *file, size_t size, const unsigned char *first_key,
         unsigned char check[CHECK])
{
    unsigned char key[32];
    crypto_kdf_derive_from_key(key, sizeof(key), 3, "bltring1", first_key);
    crypto_generichash(check, CHECK, file, size, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
}

static int
stretch(const struct billet_secret *passphrase, const unsigned char *head,
        struct billet_secret *key, struct billet_error *error)
{
    int result = billet_secret_make(key, 32, error);
    if (result == 0 &&
        crypto_pwhash(key->bytes, 32, (const char *)passphrase->bytes, passphrase->length,
                      head + AT_SALT, get_number(head + AT_OPERATIONS, 8),
                      (size_t)get_number(head + AT_MEMORY, 8), crypto_pwhash_ALG_ARGON2ID13) != 0)
        result = billet_error_no_memory(error);
    return result;
}

static void
put_body(const struct billet_keyring *ring, unsigned char *to)
{
    put_number(to, ring->count, 4);
    to += 4;
    for (size_t i = 0; i < ring->count; i++, to += ENTRY) {
        memcpy(to, ring->entries[i].id, 16);
        put_number(to + 16, (uint64_t)ring->entries[i].created_ns, 8);
        to[24] = (unsigned char)ring->entries[i].state;
        memcpy(to + 25, key_at(ring, i), BILLET_KEY_BYTES);
    }
}

int
billet_keyring_write(const struct billet_keyring *ring, const struct billet_secret *passphrase,
                     enum billet_keyring_cost cost, struct billet_secret *file,
                     struct billet_error *error)
{
    cleanup_secret struct billet_secret made = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret key = BILLET_SECRET_INIT;
    size_t plain = 4 + ring->count * ENTRY;
    size_t sealed = plain + (passphrase != NULL ? TAG : 0);
    int result = billet_secret_make(&made, AT_BODY + sealed + CHECK, error);
    if (result == 0)
        result = billet_secret_make(&body, plain, error);
    if (result < 0)
        return result;
    unsigned char *at = made.bytes;
    memcpy(at, MAGIC "\1", 5);
    at[5] = passphrase != NULL;
    put_number(at + AT_LENGTH, sealed, 4);
    put_body(ring, body.bytes);
    if (passphrase != NULL) {
        randombytes_buf(at + AT_SALT, 16);
        randombytes_buf(at + AT_NONCE, 24);
        put_number(at + AT_OPERATIONS,
                   crypto_pwhash_OPSLIMIT_MODERATE * (cost == BILLET_KEYRING_COST_EXPORT ? 2 : 1),
                   8);
        put_number(at + AT_MEMORY, crypto_pwhash_MEMLIMIT_MODERATE, 8);
        result = stretch(passphrase, at, &key, error);
        if (result < 0)
            return result;
        crypto_aead_xchacha20poly1305_ietf_encrypt(at + AT_BODY, NULL, body.bytes, plain, at,
                                                   AT_BODY, NULL, at + AT_NONCE, key.bytes);
    } else {
        memcpy(at + AT_BODY, body.bytes, plain);
    }
    check_of(at, AT_BODY + sealed, key_at(ring, 0), at + AT_BODY + sealed);
    made.length = made.size;
    *file = made;
    made = (struct billet_secret)BILLET_SECRET_INIT;
    return 0;
}

static int
damaged(struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "keyring_damaged",
                     "the keyring is damaged, or is not one of billet's");
    return billet_error_hint(error, "bring it back with 'billet key import' from an export");
}

static bool
has_head(const unsigned char *file, size_t size)
{
    return size >= AT_BODY + 4 + ENTRY + CHECK && size <= BILLET_KEYRING_FILE_MAX &&
           memcmp(file, MAGIC "\1", 5) == 0 && file[5] <= 1 && file[6] == 0 && file[7] == 0 &&
           get_number(file + AT_LENGTH, 4) == size - AT_BODY - CHECK;
}

bool
billet_keyring_wants_passphrase(const void *file, size_t size)
{
    return has_head(file, size) && ((const unsigned char *)file)[5] == 1;
}

/* Entries out of an opened body of the right length. */
static int
take_body(const unsigned char *body, size_t size, struct billet_keyring *ring,
          struct billet_error *error)
{
    size_t count = (size_t)get_number(body, 4);
    size_t active = 0;
    if (count == 0 || count > BILLET_KEYRING_KEYS_MAX || size != 4 + count * ENTRY)
        return damaged(error);
    for (const unsigned char *at = body + 4; count > 0; count--, at += ENTRY) {
        if (at[24] < BILLET_KEY_ACTIVE || at[24] > BILLET_KEY_RETIRED)
            return damaged(error);
        active += at[24] == BILLET_KEY_ACTIVE;
        int result = add(ring, at, (int64_t)get_number(at + 16, 8), (enum billet_key_state)at[24],
                         at + 25, error);
        if (result < 0)
            return result;
    }
    return active == 1 ? 0 : damaged(error);
}

static int
open_body(const unsigned char *file, const struct billet_secret *passphrase,
          struct billet_secret *body, struct billet_error *error)
{
    cleanup_secret struct billet_secret key = BILLET_SECRET_INIT;
    size_t length = (size_t)get_number(file + AT_LENGTH, 4);
    uint64_t operations = get_number(file + AT_OPERATIONS, 8);
    uint64_t memory = get_number(file + AT_MEMORY, 8);
    if (file[5] == 0)
        return billet_secret_copy(body, file + AT_BODY, length, error);
    if (operations < OPERATIONS_MIN || operations > OPERATIONS_MAX || memory < MEMORY_MIN ||
        memory > MEMORY_MAX || length <= TAG)
        return damaged(error);
    if (passphrase == NULL) {
        billet_error_set(error, BILLET_CLASS_AUTH, "key_passphrase_missing",
                         "the keyring is closed with a passphrase, and there is none");
        return billet_error_hint(error, "run it on a terminal, or set BILLET_PASSPHRASE_FD");
    }
    int result = stretch(passphrase, file, &key, error);
    if (result == 0)
        result = billet_secret_make(body, length - TAG, error);
    if (result < 0)
        return result;
    body->length = body->size;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(body->bytes, NULL, NULL, file + AT_BODY, length,
                                                   file, AT_BODY, file + AT_NONCE, key.bytes) == 0)
        return 0;
    billet_error_set(error, BILLET_CLASS_AUTH, "key_passphrase_wrong",
                     "the passphrase does not open the keyring");
    return billet_error_hint(error, "the keyring may also be damaged");
}

int
billet_keyring_read(const void *bytes, size_t size, const struct billet_secret *passphrase,
                    struct billet_keyring **ring, struct billet_error *error)
{
    const unsigned char *file = bytes;
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    struct billet_keyring *made = NULL;
    unsigned char check[CHECK];
    int result = billet_secret_prepare(error);
    if (result == 0 && !has_head(file, size))
        result = damaged(error);
    if (result == 0)
        result = open_body(file, passphrase, &body, error);
    if (result == 0)
        result = make_empty(&made, error);
    if (result == 0)
        result = take_body(body.bytes, body.length, made, error);
    if (result == 0) {
        check_of(file, size - CHECK, key_at(made, 0), check);
        if (sodium_memcmp(check, file + size - CHECK, CHECK) != 0)
            result = damaged(error);
    }
    if (result < 0) {
        billet_keyring_free(made);
        return result;
    }
    *ring = made;
    return 0;
}
