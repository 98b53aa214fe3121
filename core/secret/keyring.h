/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring.h - the keys that wrap the data keys of secrets, and the file they are
 * kept in. Never makes a key that nobody asked for.
 *
 * The file: magic "BLKR" | version 1 | protection (0 none, 1 passphrase) | u16 0 | salt 16 |
 * u64le operations | u64le memory | nonce 24 | u32le length of the body | body | check 32.
 * The body is a u32le count, then for each key: id 16, u64le time of making in ns, state, key 32.
 * With a passphrase, argon2id makes 32 bytes of it; the body is sealed with them
 * (XChaCha20-Poly1305-IETF, all that stands before it as associated data). The check is
 * BLAKE2b-256 of all before it, keyed with crypto_kdf(first key of the ring, 3, "bltring1").
 */
#ifndef BILLET_SECRET_KEYRING_H
#define BILLET_SECRET_KEYRING_H

#include "secret/envelope.h"

#define BILLET_KEYRING_KEYS_MAX 256
#define BILLET_KEYRING_FILE_MAX (32u * 1024)
#define BILLET_KEYRING_CREDENTIAL "billet-keyring"

enum billet_key_state {
    BILLET_KEY_ACTIVE = 1,  /* seals what is new; exactly one */
    BILLET_KEY_DECRYPT = 2, /* opens what has not been wrapped anew yet */
    BILLET_KEY_RETIRED = 3, /* nothing needs it any more but old backups */
};
const char *billet_key_state_name(enum billet_key_state state);

struct billet_key {
    unsigned char id[BILLET_KEY_ID_BYTES];
    int64_t created_ns; /* wall */
    enum billet_key_state state;
    const unsigned char *key; /* in the ring's guarded memory */
};

struct billet_keyring; /* opaque */

/* How much work a guess of the passphrase costs: for daily use, and for a copy that goes away. */
enum billet_keyring_cost { BILLET_KEYRING_COST_DAILY, BILLET_KEYRING_COST_EXPORT };

/* A new ring with one active key. */
int billet_keyring_make(struct billet_keyring **ring, struct billet_error *error);
void billet_keyring_free(struct billet_keyring *ring);

size_t billet_keyring_count(const struct billet_keyring *ring);
struct billet_key billet_keyring_at(const struct billet_keyring *ring, size_t index);
struct billet_envelope_key billet_keyring_active(const struct billet_keyring *ring);
/* False: no such key. */
bool billet_keyring_find(const struct billet_keyring *ring, const unsigned char *id,
                         struct billet_envelope_key *key);
void billet_key_id_format(const unsigned char *id, char to[BILLET_KEY_ID_TEXT]);

/* A new active key; the one before it only opens from now on. */
int billet_keyring_rotate(struct billet_keyring *ring, struct billet_error *error);
void billet_keyring_retire(struct billet_keyring *ring, const unsigned char *id);
/* Add the keys of another ring that are not here yet; they only open. *added counts them. */
int billet_keyring_merge(struct billet_keyring *ring, const struct billet_keyring *from,
                         size_t *added, struct billet_error *error);

/* passphrase NULL: none. *file is guarded memory too. */
int billet_keyring_write(const struct billet_keyring *ring, const struct billet_secret *passphrase,
                         enum billet_keyring_cost cost, struct billet_secret *file,
                         struct billet_error *error);
bool billet_keyring_wants_passphrase(const void *file, size_t size);
/* code keyring_damaged; key_passphrase_wrong when only that can be the reason. */
int billet_keyring_read(const void *file, size_t size, const struct billet_secret *passphrase,
                        struct billet_keyring **ring, struct billet_error *error);

/* Where it is kept: $CREDENTIALS_DIRECTORY/billet-keyring when that is there, else path. *to
 * (free); *credential: it is the former, which nobody can change. */
int billet_keyring_locate(const char *path, char **to, bool *credential,
                          struct billet_error *error);
/* The file's bytes, when owner and mode of it and of its directories are right. code key_missing
 * when it is not there, with 'billet key init' as what to do. */
int billet_keyring_load_file(const char *path, struct billet_secret *file,
                             struct billet_error *error);
/* Put them there, 0400, all or nothing and durably. replace false: code key_exists. */
int billet_keyring_save_file(const char *path, const struct billet_secret *file, bool replace,
                             struct billet_error *error);
/* One change of the file at a time: hold *fd (close it) from load to save. */
int billet_keyring_lock(const char *path, int *fd, struct billet_error *error);

#endif
