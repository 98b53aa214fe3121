/* SPDX-License-Identifier: Apache-2.0 */
#include "run/drain.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

#define REASON_MAX 1024 /* bytes kept; a mark has room for their escapes */

bool
billet_drain_is_stored(const struct billet_environment *environment)
{
    return environment->source != NULL && strcmp(environment->source, "store") == 0;
}

static char *
mark_name(const char *tenant, const struct billet_environment *environment)
{
    char *name = NULL;
    return asprintf(&name, "drained:%s:%s", tenant, environment->name) < 0 ? NULL : name;
}

int
billet_drain_read(struct billet_store *store, const char *tenant,
                  struct billet_environment *environment, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer mark = BILLET_BUFFER_INIT;
    cleanup_json json_t *object = NULL;
    if (billet_drain_is_stored(environment))
        return 0;
    cleanup_free char *name = mark_name(tenant, environment);
    if (name == NULL)
        return billet_error_no_memory(error);
    int result = billet_store_of(store)->meta_get(store, name, &mark, error);
    if (result < 0 || mark.length == 0)
        return result;
    result = billet_json_parse(mark.data, mark.length, &object, error);
    if (result < 0)
        return billet_error_wrap(error, "the mark that environment '%s' is drained",
                                 environment->name);
    const char *reason = json_string_value(json_object_get(object, "reason"));
    free(environment->status);
    free(environment->reason);
    environment->status = strdup(BILLET_ENVIRONMENT_DRAINED);
    environment->reason = strdup(reason != NULL ? reason : "");
    return environment->status == NULL || environment->reason == NULL
               ? billet_error_no_memory(error)
               : 0;
}

static int
write_mark(struct billet_store *store, const char *tenant,
           const struct billet_environment *environment, const struct billet_activity *activity,
           struct billet_error *error)
{
    char reason[REASON_MAX];
    cleanup_free char *name = mark_name(tenant, environment);
    cleanup_free char *text = NULL;
    cleanup_json json_t *object = json_object();
    if (strcmp(environment->status, BILLET_ENVIRONMENT_DRAINED) == 0) {
        billet_text_copy(reason, sizeof(reason), environment->reason);
        if (object != NULL && billet_json_set_bytes(object, "reason", reason))
            text = billet_json_text(object);
    } else {
        text = strdup("");
    }
    if (name == NULL || text == NULL)
        return billet_error_no_memory(error);
    int result = billet_store_of(store)->activity_add(store, activity, 1, error);
    return result < 0 ? result : billet_store_of(store)->meta_put(store, name, text, error);
}

int
billet_drain_write(struct billet_store *store, const char *tenant,
                   const struct billet_environment *environment,
                   const struct billet_activity *activity, struct billet_error *error)
{
    if (billet_drain_is_stored(environment))
        return billet_store_of(store)->environment_update(store, environment, activity, error);
    return write_mark(store, tenant, environment, activity, error);
}

int
billet_drain_refuse(const struct billet_environment *environment, struct billet_error *error)
{
    bool reason = environment->reason != NULL && environment->reason[0] != '\0';
    if (strcmp(environment->status, BILLET_ENVIRONMENT_ACTIVE) == 0)
        return 0;
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "environment_inactive",
                     "environment '%s' is %s%s%s", environment->name, environment->status,
                     reason ? ": " : "", reason ? environment->reason : "");
    error->retryable = 0;
    if (!billet_drain_is_stored(environment))
        return billet_error_hint(error, "'billet env undrain %s' makes it usable",
                                 environment->name);
    return billet_error_hint(error, "'billet env edit %s --status active' makes it usable",
                             environment->name);
}
