/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/redact.h"
#include "config/reference.h"
#include "secret/vault.h"

void
billet_secret_trim(struct billet_secret *value)
{
    size_t length = value->length;
    if (length == 0 || value->bytes[length - 1] != '\n')
        return;
    length--;
    if (length > 0 && value->bytes[length - 1] == '\r')
        length--;
    if (memchr(value->bytes, '\n', length) != NULL)
        return;
    value->bytes[length] = '\0';
    value->length = length;
}

/* ---- each kind ----------------------------------------------------------------- */

static int
count_binding(const struct billet_secret_binding *binding, void *context)
{
    (void)binding;
    ++*(int *)context;
    return 0;
}

/* May the secret of that name be used here? After it is known to exist: a deleted one is told. */
static int
check_binding(struct billet_secrets *secrets, const struct billet_reference *reference,
              const struct billet_reference_place *place, struct billet_error *error)
{
    const struct billet_secret_table *table;
    struct billet_secret_record record;
    int bound = 0;
    int result = billet_secrets_table(secrets->store, &table, error);
    if (result == 0)
        result = billet_secrets_find(secrets, reference->name, &record, error);
    if (result == 0 && !place->draft)
        result = table->bindings(secrets->store, secrets->tenant, place->environment, place->option,
                                 reference->name, count_binding, &bound, error);
    if (result < 0 || bound > 0)
        return result;
    billet_error_set(error, BILLET_CLASS_AUTH, "secret_unbound",
                     "secret '%s' may not be used for '%s' of environment '%s'%s", reference->name,
                     place->option, place->environment, place->draft ? ", which is a draft" : "");
    if (place->draft)
        return billet_error_hint(error, "save it with 'billet env create', which binds it");
    return billet_error_hint(error,
                             "'billet secret bind %s --environment %s --option %s' allows it",
                             reference->name, place->environment, place->option);
}

static int
credential_path(const struct billet_reference *reference, char **path, struct billet_error *error)
{
    const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
    if (directory == NULL || directory[0] != '/') {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_credential_missing",
                         "there is no credential '%s': CREDENTIALS_DIRECTORY is not set",
                         reference->name);
        return billet_error_hint(error, "give it to the unit with LoadCredential=%s:PATH",
                                 reference->name);
    }
    if (asprintf(path, "%s/%s", directory, reference->name) < 0) {
        *path = NULL;
        return billet_error_no_memory(error);
    }
    if (access(*path, F_OK) == 0 || errno != ENOENT)
        return 0;
    billet_error_set(error, BILLET_CLASS_CONFIG, "secret_credential_missing",
                     "there is no credential '%s'", reference->name);
    return billet_error_hint(error, "give it to the unit with LoadCredential=%s:PATH",
                             reference->name);
}

/* A file that only its owner reads and nobody else could have put there. value NULL: look only. */
static int
read_file(const char *path, struct billet_secret *value, struct billet_error *error)
{
    cleanup_fd int fd = -1;
    int result = billet_io_open_trusted(path, BILLET_TRUST_PRIVATE, &fd, error);
    if (result == 0 && value != NULL)
        result = billet_secret_read(value, fd, error);
    if (result < 0)
        return billet_error_recode(error, "secret_file_unusable");
    if (value != NULL)
        billet_secret_trim(value);
    return 0;
}

static int
read_variable(const char *name, struct billet_secret *value, struct billet_error *error)
{
    const char *found = secure_getenv(name);
    if (found == NULL) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_variable_missing",
                         "billet's own environment has no variable %s", name);
        return billet_error_hint(error, "set it, or store the value with 'billet secret set'");
    }
    return value != NULL ? billet_secret_copy(value, found, strlen(found), error) : 0;
}

int
billet_reference_read(const struct billet_reference *reference, struct billet_secret *value,
                      struct billet_error *error)
{
    cleanup_free char *path = NULL;
    int result;
    switch (reference->kind) {
    case BILLET_REFERENCE_CRED:
        result = credential_path(reference, &path, error);
        return result < 0 ? result : read_file(path, value, error);
    case BILLET_REFERENCE_FILE:
        return read_file(reference->target, value, error);
    case BILLET_REFERENCE_ENV:
        return read_variable(reference->target, value, error);
    default:
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "not a reference that is read by itself");
    }
}

/* value NULL: check only. */
static int
look_up(struct billet_secrets *secrets, const struct billet_reference *reference,
        const struct billet_reference_place *place, struct billet_secret *value,
        struct billet_error *error)
{
    const struct billet_secret_use use = {.environment = place->environment,
                                          .option = place->option,
                                          .lease = place->lease,
                                          .purpose = place->purpose};
    int result;
    switch (reference->kind) {
    case BILLET_REFERENCE_SECRET:
        result = check_binding(secrets, reference, place, error);
        if (result < 0)
            return result;
        return value != NULL
                   ? billet_secrets_open(secrets, reference->name, reference->version, &use, value,
                                         error)
                   : billet_secrets_check(secrets, reference->name, reference->version, error);
    case BILLET_REFERENCE_VAULT:
        return billet_vault_resolve(secrets, reference->name, reference->target, value, error);
    default:
        return billet_reference_read(reference, value, error);
    }
}

/* ---- the whole -------------------------------------------------------------------- */

static int
prefix(const struct billet_reference_place *place, struct billet_error *error)
{
    return billet_error_wrap(error, "environment '%s': %s", place->environment, place->option);
}

static int
check_text(const struct billet_secret *value, struct billet_error *error)
{
    if (value->length == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_empty", "the value is empty");
    if (memchr(value->bytes, '\0', value->length) != NULL)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_not_text",
                                "the value holds a NUL byte, and an option cannot");
    return 0;
}

int
billet_reference_resolve(struct billet_secrets *secrets, const char *text,
                         const struct billet_reference_place *place, struct billet_secret *value,
                         bool *masked, struct billet_error *error)
{
    cleanup_secret struct billet_secret found = BILLET_SECRET_INIT;
    struct billet_reference reference;
    const struct billet_secret_use use = {.environment = place->environment,
                                          .option = place->option,
                                          .lease = place->lease,
                                          .purpose = place->purpose};
    int result = billet_reference_parse(place->option, text, &reference, error);
    if (result < 0)
        return prefix(place, error);
    result = look_up(secrets, &reference, place, &found, error);
    if (result == 0)
        *masked = billet_redact_add(found.bytes, found.length);
    if (result == 0)
        result = check_text(&found, error);
    /* Uses of billet's own secrets are on record by billet_secrets_open, but refusals before it. */
    struct billet_error ignored = BILLET_ERROR_INIT;
    if (result == 0 && reference.kind != BILLET_REFERENCE_SECRET)
        result = billet_secrets_record(secrets, text, NULL, 0, &use, NULL, error);
    else if (result < 0 && (reference.kind != BILLET_REFERENCE_SECRET || found.bytes == NULL) &&
             error != NULL)
        billet_secrets_record(secrets, text, NULL, 0, &use, error->code, &ignored);
    if (result < 0)
        return prefix(place, error);
    *value = found;
    found = (struct billet_secret)BILLET_SECRET_INIT;
    return 0;
}

int
billet_reference_check(struct billet_secrets *secrets, const char *text,
                       const struct billet_reference_place *place, struct billet_error *error)
{
    struct billet_reference reference;
    int result = billet_reference_parse(place->option, text, &reference, error);
    if (result == 0)
        result = look_up(secrets, &reference, place, NULL, error);
    return result < 0 ? prefix(place, error) : 0;
}
