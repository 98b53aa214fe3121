/* SPDX-License-Identifier: Apache-2.0 */
#include "store/refusal.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

#define PREFIX_MIN 8
#define ID_LENGTH 36

/* What the triggers of the schema say before the colon. */
static const struct {
    const char *code;
    int error_class;
} guards[] = {
    {"environment_not_found", BILLET_CLASS_CONFIG}, {"environment_inactive", BILLET_CLASS_CONFIG},
    {"environment_in_use", BILLET_CLASS_CONFIG},    {"environment_guard", BILLET_CLASS_INTERNAL},
    {"activity_guard", BILLET_CLASS_INTERNAL},      {"lease_final", BILLET_CLASS_LOST},
    {"lease_guard", BILLET_CLASS_INTERNAL},         {"secret_guard", BILLET_CLASS_INTERNAL},
    {"audit_guard", BILLET_CLASS_INTERNAL},
};

int
billet_refusal_guard(const char *message, struct billet_error *error)
{
    for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
        size_t length = strlen(guards[i].code);
        if (strncmp(message, guards[i].code, length) == 0 &&
            strncmp(message + length, ": ", 2) == 0)
            return billet_error_set(error, guards[i].error_class, guards[i].code, "%s",
                                    message + length + 2);
    }
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_constraint", "%s", message);
}

int
billet_refusal_lease_lost(const char *id, const char *state, int64_t fence, int64_t wanted,
                          struct billet_error *error)
{
    if (state == NULL)
        return billet_error_set(error, BILLET_CLASS_LOST, "lease_lost",
                                "lease %s is not in the store", id);
    if (wanted != 0 && fence != wanted)
        return billet_error_set(error, BILLET_CLASS_LOST, "lease_lost",
                                "lease %s was taken over: its fence is %" PRId64 ", not %" PRId64,
                                id, fence, wanted);
    return billet_error_set(error, BILLET_CLASS_LOST, "lease_lost", "lease %s is %s by now", id,
                            state);
}

int
billet_refusal_lease_exists(const struct billet_lease *lease, bool found,
                            struct billet_error *error)
{
    if (found)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "lease_exists",
                                "lease %s belongs to another run", lease->id);
    return billet_error_set(error, BILLET_CLASS_CONFIG, "lease_exists",
                            "run %s has a live lease in environment %s already", lease->run,
                            lease->environment);
}

int
billet_refusal_lease_not_found(const char *id, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "lease_not_found", "there is no lease '%.64s'",
                     id);
    return billet_error_hint(error, "see billet lease list --all");
}

int
billet_refusal_lease_ambiguous(const char *id, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "lease_ambiguous",
                            "several leases begin with '%s'", id);
}

bool
billet_lease_id_is_searchable(const char *id, bool *whole)
{
    size_t length = strlen(id);
    *whole = length == ID_LENGTH;
    return length >= PREFIX_MIN && length <= ID_LENGTH && strspn(id, "0123456789abcdef-") == length;
}

int
billet_refusal_environment_exists(const char *name, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "environment_exists",
                            "there is an environment '%s' already", name);
}

int
billet_refusal_environment_changed(const struct billet_environment *environment, int64_t revision,
                                   struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "environment_changed",
                            "environment '%s' was changed meanwhile: it has revision %" PRId64
                            ", not %" PRId64,
                            environment->name, revision, environment->revision);
}

int
billet_refusal_environment_not_found(const char *name, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "environment_not_found",
                     "there is no environment '%.64s'", name);
    return billet_error_hint(error, "see billet env list");
}

int
billet_refusal_secret_exists(const char *name, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_exists",
                            "there is a secret '%s' already", name);
}

int
billet_refusal_secret_not_found(const char *name, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "secret_not_found", "there is no secret '%.64s'",
                     name);
    return billet_error_hint(error,
                             "'billet secret list' shows all, 'billet secret set %.64s' "
                             "stores one",
                             name);
}

int
billet_refusal_secret_changed(const char *name, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "secret_changed",
                     "secret '%.64s' was changed by somebody else meanwhile", name);
    return billet_error_hint(error, "look at it again and repeat");
}

int
billet_refusal_secret_version_missing(const char *name, int64_t version, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_version_missing",
                            "secret '%.64s' has no version %" PRId64, name, version);
}

int
billet_refusal_meta_too_large(const char *key, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                            "the note '%.64s' of the deployment exceeds %d bytes", key,
                            BILLET_META_MAX);
}

int
billet_refusal_newer(const char *location, int64_t version, int64_t wanted,
                     struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_newer",
                     "the database %s has schema %" PRId64 ", this billet knows up to %" PRId64,
                     location, version, wanted);
    return billet_error_hint(error, "use the newer billet that made it");
}

int
billet_refusal_outdated(const char *location, int64_t version, int64_t wanted,
                        struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_outdated",
                     "the database %s has schema %" PRId64 ", this billet needs %" PRId64, location,
                     version, wanted);
    return billet_error_hint(error, "billet db migrate brings it up to date");
}

int
billet_refusal_no_deployment(const char *location, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_corrupt",
                            "the database %s has no deployment row", location);
}

bool
billet_store_is_seeded(const char *table)
{
    return strcmp(table, "deployment") == 0 || strcmp(table, "secret_audit_head") == 0;
}

int
billet_refusal_not_empty(const char *location, const char *table, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_not_empty",
                     "the database %s is not empty: table %s has rows", location, table);
    return billet_error_hint(error, "copy into a new database");
}
