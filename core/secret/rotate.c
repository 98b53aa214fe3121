/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate.c - a new key for everything, while others read and write.
 *
 * First the ring on disk gets the new key beside the old one; only then do envelopes change, a
 * batch a transaction, each where its old key is still there; last the old key is retired in the
 * ring, where it stays for old backups. A kill at any point leaves a ring that opens everything and
 * a rotation that the next call completes.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "secret/secrets.h"

#define BATCH 256

static int
read_only(const char *path, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "key_read_only",
                     "the keyring is the credential %s and cannot be changed here", path);
    return billet_error_hint(error, "change it where the credential is made, and rotate there");
}

static int
save(struct billet_secrets *secrets, const char *path, struct billet_error *error)
{
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT;
    int result = billet_keyring_write(
        secrets->ring, secrets->passphrase.bytes != NULL ? &secrets->passphrase : NULL,
        BILLET_KEYRING_COST_DAILY, &file, error);
    return result < 0 ? result : billet_keyring_save_file(path, &file, true, error);
}

struct batch {
    struct billet_secrets *secrets;
    struct billet_envelope_key to;
    struct billet_secret_rewrap items[BATCH];
    unsigned char *envelopes[BATCH];
    size_t count;
    char last_secret[40];
    int64_t last_version;
    int result;
    struct billet_error error;
};

static void
free_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->envelopes[i]);
    batch->count = 0;
}

static int
add_to_batch(const struct billet_secret_version *version, void *context)
{
    struct batch *batch = context;
    struct billet_secret_rewrap *item = &batch->items[batch->count];
    const struct billet_envelope_place place = {.tenant = version->tenant,
                                                .secret = version->secret,
                                                .version = (uint64_t)version->version};
    unsigned char id[BILLET_KEY_ID_BYTES];
    struct billet_envelope_key from;
    unsigned char *copy = malloc(version->size);
    if (copy == NULL) {
        batch->result = billet_error_no_memory(&batch->error);
        return 1;
    }
    batch->envelopes[batch->count++] = copy;
    memcpy(copy, version->envelope, version->size);
    batch->result = billet_envelope_key_id(copy, version->size, id, &batch->error);
    if (batch->result == 0 && !billet_keyring_find(batch->secrets->ring, id, &from))
        batch->result =
            billet_error_set(&batch->error, BILLET_CLASS_CONFIG, "key_unknown",
                             "its key %s is not in the keyring: bring it back with 'billet key "
                             "import'",
                             version->key);
    if (batch->result == 0)
        batch->result =
            billet_envelope_rewrap(&from, &batch->to, &place, copy, version->size, &batch->error);
    if (batch->result < 0) {
        billet_error_wrap(&batch->error, "secret '%s' of tenant %s", version->name,
                          version->tenant);
        return 1;
    }
    *item = (struct billet_secret_rewrap){
        .version = version->version, .envelope = copy, .size = version->size};
    billet_text_copy(item->secret, sizeof(item->secret), version->secret);
    billet_text_copy(item->old_key, sizeof(item->old_key), version->key);
    billet_key_id_format(batch->to.id, item->new_key);
    billet_text_copy(batch->last_secret, sizeof(batch->last_secret), version->secret);
    batch->last_version = version->version;
    return 0;
}

/* Everything that another key wraps. */
static int
rewrap_all(struct billet_secrets *secrets, const struct billet_secret_table *table,
           int64_t *rewrapped, struct billet_error *error)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    char active[BILLET_KEY_ID_TEXT];
    if (batch == NULL)
        return billet_error_no_memory(error);
    batch->secrets = secrets;
    batch->to = billet_keyring_active(secrets->ring);
    billet_key_id_format(batch->to.id, active);
    int result = 0;
    size_t met = BATCH;
    while (result == 0 && met == BATCH) {
        const struct billet_secret_version_filter filter = {.not_key = active,
                                                            .after_secret = batch->last_secret,
                                                            .after_version = batch->last_version,
                                                            .limit = BATCH};
        char after[40];
        size_t changed = 0;
        billet_text_copy(after, sizeof(after), batch->last_secret);
        struct billet_secret_version_filter fixed = filter;
        fixed.after_secret = after; /* the visitor moves the other on */
        batch->error = (struct billet_error)BILLET_ERROR_INIT;
        result = table->versions(secrets->store, &fixed, add_to_batch, batch, error);
        if (batch->result < 0) {
            *error = batch->error;
            result = batch->result;
        } else if (result > 0) {
            result = 0;
        }
        met = batch->count;
        if (result == 0 && met > 0)
            result = table->rewrap(secrets->store, batch->items, met, &changed, error);
        *rewrapped += (int64_t)changed;
        free_batch(batch);
    }
    free(batch);
    return result;
}

static int
count_one(const struct billet_secret_version *version, void *context)
{
    (void)version;
    ++*(int64_t *)context;
    return 1;
}

/* Keys that only open, and whether an envelope still needs one that is not the active. */
static int
look(struct billet_secrets *secrets, const struct billet_secret_table *table, bool *incomplete,
     struct billet_error *error)
{
    char active[BILLET_KEY_ID_TEXT];
    int64_t left = 0;
    *incomplete = false;
    for (size_t i = 0; i < billet_keyring_count(secrets->ring); i++)
        *incomplete =
            *incomplete || billet_keyring_at(secrets->ring, i).state == BILLET_KEY_DECRYPT;
    billet_key_id_format(billet_keyring_active(secrets->ring).id, active);
    const struct billet_secret_version_filter filter = {.not_key = active, .limit = 1};
    int result = table->versions(secrets->store, &filter, count_one, &left, error);
    *incomplete = *incomplete || left > 0;
    return result < 0 ? result : 0;
}

static int
rotate_locked(struct billet_secrets *secrets, const char *path, struct billet_rotation *rotation,
              struct billet_error *error)
{
    const struct billet_secret_table *table;
    int result = billet_secrets_table(secrets->store, &table, error);
    billet_keyring_free(secrets->ring);
    secrets->ring = NULL;
    if (result == 0)
        result = billet_secrets_ring(secrets, error);
    if (result == 0)
        result = look(secrets, table, &rotation->resumed, error);
    if (result == 0 && !rotation->resumed) {
        result = billet_keyring_rotate(secrets->ring, error);
        if (result == 0)
            result = save(secrets, path, error);
    }
    if (result == 0)
        result = rewrap_all(secrets, table, &rotation->rewrapped, error);
    if (result < 0)
        return result;
    /* A writer that read the ring before may still add a few under the old key: once more, behind
     * the last of them. What comes later is found by the next rotation; the key stays here. */
    result = rewrap_all(secrets, table, &rotation->rewrapped, error);
    for (size_t i = 0; result == 0 && i < billet_keyring_count(secrets->ring); i++)
        billet_keyring_retire(secrets->ring, billet_keyring_at(secrets->ring, i).id);
    if (result == 0)
        result = save(secrets, path, error);
    billet_key_id_format(billet_keyring_active(secrets->ring).id, rotation->key);
    return result;
}

int
billet_secrets_rotate_key(struct billet_secrets *secrets, struct billet_rotation *rotation,
                          struct billet_error *error)
{
    cleanup_free char *path = NULL;
    cleanup_fd int lock = -1;
    bool credential;
    *rotation = (struct billet_rotation){0};
    int result = billet_keyring_locate(secrets->keyring_path, &path, &credential, error);
    if (result == 0 && credential)
        result = read_only(path, error);
    /* Not there: said before a lock file is made beside it. */
    if (result == 0)
        result = billet_secrets_ring(secrets, error);
    if (result == 0)
        result = billet_keyring_lock(path, &lock, error);
    return result < 0 ? result : rotate_locked(secrets, path, rotation, error);
}
