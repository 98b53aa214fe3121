/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/secrets.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "base/uuid.h"
#include "secret/audit.h"

void
billet_secrets_close(struct billet_secrets *secrets)
{
    billet_keyring_free(secrets->ring);
    secrets->ring = NULL;
    billet_secret_free(&secrets->passphrase);
}

int
billet_secrets_table(const struct billet_store *store, const struct billet_secret_table **table,
                     struct billet_error *error)
{
    *table = billet_store_of(store)->secrets;
    if (*table != NULL)
        return 0;
    return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_store_unsupported",
                            "the %s store keeps no secrets", billet_store_of(store)->engine);
}

/* ---- the ring -------------------------------------------------------------------- */

static int
read_ring(struct billet_secrets *secrets, struct billet_keyring **ring, struct billet_error *error)
{
    cleanup_free char *path = NULL;
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT;
    bool credential;
    int result = billet_keyring_locate(secrets->keyring_path, &path, &credential, error);
    if (result == 0)
        result = billet_keyring_load_file(path, &file, error);
    if (result < 0)
        return result;
    bool closed = billet_keyring_wants_passphrase(file.bytes, file.length);
    if (closed && secrets->passphrase.bytes == NULL && secrets->ask != NULL)
        result = secrets->ask(&secrets->passphrase, secrets->ask_context, error);
    if (result == 0)
        result = billet_keyring_read(
            file.bytes, file.length,
            closed && secrets->passphrase.bytes != NULL ? &secrets->passphrase : NULL, ring, error);
    return result < 0 ? billet_error_wrap(error, "%s", path) : 0;
}

int
billet_secrets_ring(struct billet_secrets *secrets, struct billet_error *error)
{
    if (secrets->ring != NULL)
        return 0;
    if (secrets->require_mlock && !billet_secret_can_lock()) {
        billet_error_set(error, BILLET_CLASS_CAPACITY, "secret_memory_unlocked",
                         "memory cannot be locked, and [secrets] require_mlock asks for it");
        return billet_error_hint(error, "raise the limit of locked memory (ulimit -l)");
    }
    return read_ring(secrets, &secrets->ring, error);
}

/* The key of an envelope. A rotation may have put it there since the ring was read. */
static int
find_key(struct billet_secrets *secrets, const unsigned char *id, struct billet_envelope_key *key,
         struct billet_error *error)
{
    char text[BILLET_KEY_ID_TEXT];
    int result = billet_secrets_ring(secrets, error);
    if (result < 0 || billet_keyring_find(secrets->ring, id, key))
        return result;
    struct billet_keyring *fresh = NULL;
    result = read_ring(secrets, &fresh, error);
    if (result < 0)
        return result;
    billet_keyring_free(secrets->ring);
    secrets->ring = fresh;
    if (billet_keyring_find(fresh, id, key))
        return 0;
    billet_key_id_format(id, text);
    billet_error_set(error, BILLET_CLASS_CONFIG, "key_unknown",
                     "a secret is sealed under key %s, which the keyring does not hold", text);
    return billet_error_hint(error, "bring the key back with 'billet key import'");
}

/* ---- storing ----------------------------------------------------------------------- */

static int
seal(struct billet_secrets *secrets, const char *id, int64_t number,
     const struct billet_secret *value, struct billet_secret_version *version,
     unsigned char **envelope, struct billet_error *error)
{
    const struct billet_envelope_place place = {
        .tenant = secrets->tenant, .secret = id, .version = (uint64_t)number};
    int result = billet_secrets_ring(secrets, error);
    if (result < 0)
        return result;
    struct billet_envelope_key key = billet_keyring_active(secrets->ring);
    size_t size = value->length + BILLET_ENVELOPE_OVERHEAD;
    *envelope = malloc(size);
    if (*envelope == NULL)
        return billet_error_no_memory(error);
    result = billet_envelope_seal(&key, &place, value->bytes, value->length, NULL, *envelope, &size,
                                  error);
    *version =
        (struct billet_secret_version){.version = number, .envelope = *envelope, .size = size};
    billet_text_copy(version->secret, sizeof(version->secret), id);
    billet_text_copy(version->created_by, sizeof(version->created_by), secrets->actor);
    billet_key_id_format(key.id, version->key);
    return result;
}

static int
check_value(const struct billet_secret *value, struct billet_error *error)
{
    if (value->length == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid", "the value is empty");
    if (value->length > BILLET_SECRET_MAX)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "the value is longer than %u bytes", BILLET_SECRET_MAX);
    return 0;
}

static struct billet_activity
activity_of(const struct billet_secrets *secrets, const char *action, const char *details)
{
    return (struct billet_activity){
        .action = action, .tenant = secrets->tenant, .actor = secrets->actor, .details = details};
}

int
billet_secrets_create(struct billet_secrets *secrets, const char *name, const char *description,
                      const struct billet_secret *value, struct billet_error *error)
{
    const struct billet_secret_table *table;
    struct billet_secret_record record = {.state = BILLET_SECRET_ACTIVE, .current = 1};
    struct billet_secret_version version;
    cleanup_free unsigned char *envelope = NULL;
    char details[160];
    if (!billet_text_is_name(name)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                         "that is not a name for a secret");
        return billet_error_hint(error, "letters, digits, '.', '_' and '-', at most 64");
    }
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = check_value(value, error);
    if (result < 0)
        return result;
    billet_uuid_make(record.id);
    billet_text_copy(record.tenant, sizeof(record.tenant), secrets->tenant);
    billet_text_copy(record.name, sizeof(record.name), name);
    billet_text_copy(record.description, sizeof(record.description),
                     description != NULL ? description : "");
    result = seal(secrets, record.id, 1, value, &version, &envelope, error);
    if (result < 0)
        return result;
    snprintf(details, sizeof(details), "{\"name\":\"%s\",\"version\":1}", name);
    const struct billet_activity activity = activity_of(secrets, "secret.created", details);
    return table->insert(secrets->store, &record, &version, &activity, error);
}

static int
deleted(const char *name, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "secret_deleted", "secret '%s' was deleted", name);
    return billet_error_hint(error, "'billet secret set %s' stores a new one of that name", name);
}

int
billet_secrets_find(struct billet_secrets *secrets, const char *name,
                    struct billet_secret_record *record, struct billet_error *error)
{
    const struct billet_secret_table *table;
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = table->get(secrets->store, secrets->tenant, name, record, error);
    if (result == 0 && strcmp(record->state, BILLET_SECRET_DELETED) == 0)
        result = deleted(name, error);
    return result;
}

int
billet_secrets_rotate(struct billet_secrets *secrets, const char *name,
                      const struct billet_secret *value, int64_t *number,
                      struct billet_error *error)
{
    const struct billet_secret_table *table;
    struct billet_secret_record record;
    struct billet_secret_version version;
    cleanup_free unsigned char *envelope = NULL;
    char details[160];
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = check_value(value, error);
    if (result == 0)
        result = billet_secrets_find(secrets, name, &record, error);
    if (result == 0)
        result = seal(secrets, record.id, record.current + 1, value, &version, &envelope, error);
    if (result < 0)
        return result;
    snprintf(details, sizeof(details), "{\"name\":\"%s\",\"version\":%" PRId64 "}", name,
             version.version);
    const struct billet_activity activity = activity_of(secrets, "secret.rotated", details);
    result = table->add_version(secrets->store, &record, &version, &activity, error);
    if (result == 0)
        *number = version.version;
    return result;
}

/* ---- using ------------------------------------------------------------------------------ */

int
billet_secrets_record(struct billet_secrets *secrets, const char *name,
                      const struct billet_secret_record *record, int64_t version,
                      const struct billet_secret_use *use, const char *outcome,
                      struct billet_error *error)
{
    const struct billet_secret_table *table;
    const struct billet_audit_row row = {.tenant = secrets->tenant,
                                         .name = name,
                                         .secret = record != NULL ? record->id : "",
                                         .version = version,
                                         .environment = use->environment,
                                         .option = use->option,
                                         .lease = use->lease,
                                         .actor = secrets->actor,
                                         .purpose = use->purpose,
                                         .outcome = outcome != NULL ? outcome : "allowed"};
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = billet_secret_prepare(error);
    if (result == 0)
        result = table->audit_add(secrets->store, &row, billet_audit_hash_row, error);
    return result < 0 ? billet_error_wrap(error, "the use of a secret cannot be recorded") : 0;
}

/* A copy of the one version that is wanted. */
struct wanted {
    int64_t number;
    bool found;
    bool failed;
    struct billet_secret_version version;
    unsigned char *envelope;
};

static int
take_version(const struct billet_secret_version *version, void *context)
{
    struct wanted *wanted = context;
    wanted->found = version->version == wanted->number;
    if (!wanted->found)
        return 1;
    wanted->version = *version;
    wanted->envelope = malloc(version->size > 0 ? version->size : 1);
    wanted->failed = wanted->envelope == NULL;
    if (!wanted->failed && version->size > 0)
        memcpy(wanted->envelope, version->envelope, version->size);
    wanted->version.envelope = wanted->envelope;
    return 1;
}

/* Everything that a use needs but the opening itself. wanted->envelope is the caller's (free). */
static int
find_version(struct billet_secrets *secrets, const char *name, struct billet_secret_record *record,
             struct wanted *wanted, struct billet_error *error)
{
    const struct billet_secret_table *table;
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = billet_secrets_find(secrets, name, record, error);
    if (result < 0)
        return result;
    if (strcmp(record->state, BILLET_SECRET_DISABLED) == 0) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_disabled", "secret '%s' is disabled",
                         name);
        return billet_error_hint(error, "'billet secret enable %s' makes it usable", name);
    }
    if (wanted->number == 0)
        wanted->number = record->current;
    const struct billet_secret_version_filter filter = {.secret = record->id,
                                                        .after_secret = record->id,
                                                        .after_version = wanted->number - 1,
                                                        .limit = 1};
    result = table->versions(secrets->store, &filter, take_version, wanted, error);
    if (result < 0)
        return result;
    if (wanted->failed)
        return billet_error_no_memory(error);
    if (!wanted->found) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_version_missing",
                         "secret '%s' has no version %" PRId64, name, wanted->number);
        return billet_error_hint(error, "'billet secret show %s' lists the versions", name);
    }
    if (strcmp(wanted->version.state, BILLET_SECRET_ACTIVE) != 0) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_version_inactive",
                         "version %" PRId64 " of secret '%s' is %s", wanted->number, name,
                         wanted->version.state);
        return billet_error_hint(error, "'billet secret show %s' lists the versions", name);
    }
    return 0;
}

/* The envelope that the store gave, opened. */
static int
open_version(struct billet_secrets *secrets, const struct billet_secret_version *version,
             const char *tenant, struct billet_secret *value, struct billet_error *error)
{
    const struct billet_envelope_place place = {
        .tenant = tenant, .secret = version->secret, .version = (uint64_t)version->version};
    unsigned char id[BILLET_KEY_ID_BYTES];
    struct billet_envelope_key key;
    int result = billet_envelope_key_id(version->envelope, version->size, id, error);
    if (result == 0)
        result = find_key(secrets, id, &key, error);
    return result < 0
               ? result
               : billet_envelope_open(&key, &place, version->envelope, version->size, value, error);
}

int
billet_secrets_open(struct billet_secrets *secrets, const char *name, int64_t version,
                    const struct billet_secret_use *use, struct billet_secret *value,
                    struct billet_error *error)
{
    cleanup_secret struct billet_secret opened = BILLET_SECRET_INIT;
    struct billet_secret_record record = {0};
    struct wanted wanted = {.number = version};
    int result = find_version(secrets, name, &record, &wanted, error);
    if (result == 0)
        result = open_version(secrets, &wanted.version, secrets->tenant, &opened, error);
    free(wanted.envelope);
    /* Before it is handed out; a refusal is on record too, as far as that is possible. */
    struct billet_error ignored = BILLET_ERROR_INIT;
    if (result == 0)
        result = billet_secrets_record(secrets, name, &record, wanted.number, use, NULL, error);
    else
        billet_secrets_record(secrets, name, record.id[0] != '\0' ? &record : NULL, wanted.number,
                              use, error != NULL ? error->code : "failed", &ignored);
    if (result < 0)
        return result;
    *value = opened;
    opened = (struct billet_secret)BILLET_SECRET_INIT;
    return 0;
}

int
billet_secrets_check(struct billet_secrets *secrets, const char *name, int64_t version,
                     struct billet_error *error)
{
    struct billet_secret_record record;
    struct wanted wanted = {.number = version};
    unsigned char id[BILLET_KEY_ID_BYTES];
    struct billet_envelope_key key;
    int result = find_version(secrets, name, &record, &wanted, error);
    if (result == 0)
        result = billet_envelope_key_id(wanted.envelope, wanted.version.size, id, error);
    if (result == 0)
        result = find_key(secrets, id, &key, error);
    free(wanted.envelope);
    return result;
}

/* ---- verifying ------------------------------------------------------------------------------ */

struct verification {
    struct billet_secrets *secrets;
    const char *name; /* NULL: all */
    int64_t good;
    billet_secrets_bad_visit *visit;
    void *context;
};

static int
verify_version(const struct billet_secret_version *version, void *context)
{
    struct verification *verification = context;
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    struct billet_error why = BILLET_ERROR_INIT;
    if (strcmp(version->state, BILLET_SECRET_DESTROYED) == 0 ||
        (verification->name != NULL && strcmp(verification->name, version->name) != 0))
        return 0;
    char id[BILLET_KEY_ID_TEXT] = "";
    unsigned char bytes[BILLET_KEY_ID_BYTES];
    int result = open_version(verification->secrets, version, version->tenant, &value, &why);
    if (result == 0 && billet_envelope_key_id(version->envelope, version->size, bytes, &why) == 0)
        billet_key_id_format(bytes, id);
    if (result == 0 && strcmp(id, version->key) != 0)
        result = billet_error_set(&why, BILLET_CLASS_CONFIG, "secret_damaged",
                                  "the row names another key than its envelope");
    if (result == 0)
        verification->good++;
    else
        verification->visit(version, &why, verification->context);
    return 0;
}

int
billet_secrets_verify(struct billet_secrets *secrets, const char *tenant, const char *name,
                      int64_t *good, billet_secrets_bad_visit *visit, void *context,
                      struct billet_error *error)
{
    struct verification verification = {
        .secrets = secrets, .name = name, .visit = visit, .context = context};
    const struct billet_secret_version_filter filter = {.tenant = tenant};
    const struct billet_secret_table *table;
    int result = billet_secrets_table(secrets->store, &table, error);
    /* Without keys nothing can be said about any of them. */
    if (result == 0)
        result = billet_secrets_ring(secrets, error);
    if (result == 0)
        result = table->versions(secrets->store, &filter, verify_version, &verification, error);
    if (result == 0)
        *good = verification.good;
    return result;
}
