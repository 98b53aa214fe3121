/* SPDX-License-Identifier: Apache-2.0 */
#include "run/janitor.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "lease/lease.h"
#include "run/cleanup.h"
#include "run/drain.h"
#include "run/resolve.h"
#include "run/secrets.h"

#define MEMORY_NAME "janitor.json"

struct pass {
    struct billet_context *context;
    struct billet_store *store;
    const struct billet_janitor_options *options;
    billet_janitor_visit *visit;
    void *visit_context;
    struct billet_janitor_result *result;
    const char *driver; /* that is being swept */
    struct billet_cleanup_host host;
};

static void
find(struct pass *pass, const struct billet_janitor_finding *finding)
{
    pass->result->alarms += finding->alarming;
    if (pass->visit != NULL)
        pass->visit(finding, pass->visit_context);
}

static bool
is_interrupted(const struct pass *pass)
{
    struct pollfd one = {.fd = pass->options->interrupt_fd, .events = POLLIN};
    return one.fd >= 0 && poll(&one, 1, 0) > 0;
}

/* ---- environments whose resources cannot be removed --------------------------------- */

/* The environment that the lease is of, as it is now; false: there is no such one any more. */
static bool
find_environment(struct pass *pass, const struct billet_lease *lease,
                 struct billet_environment *environment)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    int result;
    if (lease->environment_id[0] != '\0')
        result = billet_store_of(pass->store)
                     ->environment_get(pass->store, lease->tenant, lease->environment, environment,
                                       &ignored);
    else
        result = billet_find_environment(pass->context, lease->environment, environment, &ignored);
    if (result == 0)
        result = billet_drain_read(pass->store, lease->tenant, environment, &ignored);
    billet_error_clear(&ignored);
    return result == 0 &&
           billet_drain_is_stored(environment) == (lease->environment_id[0] != '\0') &&
           (environment->id == NULL || strcmp(environment->id, lease->environment_id) == 0);
}

/* The environment of the lease takes no new ones. */
static int
drain(struct pass *pass, const struct billet_lease *lease, const char *reason,
      struct billet_error *error)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    cleanup_json json_t *object = json_object();
    cleanup_free char *details = NULL;
    char *status = NULL, *why = NULL;
    int result = 0;
    if (!find_environment(pass, lease, &environment) ||
        strcmp(environment.status, BILLET_ENVIRONMENT_ACTIVE) != 0)
        goto out;
    status = strdup(BILLET_ENVIRONMENT_DRAINED);
    if (asprintf(&why, "the resource of lease %s cannot be removed: %s", lease->id, reason) < 0)
        why = NULL;
    if (object != NULL && why != NULL && billet_json_set_bytes(object, "reason", why))
        details = billet_json_text(object);
    if (status == NULL || details == NULL) {
        result = billet_error_no_memory(error);
        goto out;
    }
    free(environment.status);
    free(environment.reason);
    environment.status = status;
    environment.reason = why;
    status = why = NULL;
    const struct billet_activity row = {.action = "environment.drained",
                                        .tenant = lease->tenant,
                                        .environment = lease->environment,
                                        .lease = lease->id,
                                        .actor = pass->context->actor,
                                        .details = details};
    result = billet_drain_write(pass->store, lease->tenant, &environment, &row, error);
    if (result == 0) {
        pass->result->drained++;
        find(pass, &(struct billet_janitor_finding){.kind = "environment",
                                                    .id = lease->environment,
                                                    .environment = "",
                                                    .decision = "drained",
                                                    .reason = environment.reason,
                                                    .alarming = true});
    }
out:
    free(status);
    free(why);
    billet_environment_free(&environment);
    return result;
}

/* ---- leases --------------------------------------------------------------------------- */

static int
destroy_resource(const struct billet_lease *lease, void *context, struct billet_error *error)
{
    struct pass *pass = context;
    return billet_cleanup_resource(pass->context, &pass->host, lease, error);
}

static void
lease_judged(const struct billet_lease *lease, enum billet_reap_decision decision,
             const char *reason, void *context)
{
    struct pass *pass = context;
    struct billet_error error = BILLET_ERROR_INIT;
    bool planned = pass->options->dry_run && decision == BILLET_REAP_REAPED;
    find(pass, &(struct billet_janitor_finding){
                   .kind = "lease",
                   .id = lease->id,
                   .environment = lease->environment,
                   .decision = planned ? "would reap" : billet_reap_decision_name(decision),
                   .reason = reason,
                   .kept = decision == BILLET_REAP_KEPT,
                   .alarming = decision == BILLET_REAP_FAILED});
    if (decision == BILLET_REAP_FAILED && lease->cleanup_attempts >= BILLET_JANITOR_DRAIN_AFTER &&
        drain(pass, lease, reason, &error) < 0)
        billet_log(BILLET_LOG_WARNING, "environment %s was not drained: %s", lease->environment,
                   error.message);
}

/* ---- resources: whom to ask ------------------------------------------------------------ */

/* One way to ask a driver; environments that ask alike are one. */
struct question {
    struct billet_environment environment;
    char *key; /* driver and settings */
};

struct questions {
    struct question *items;
    size_t count;
    size_t capacity;
    struct billet_error *error;
};

static void
free_questions(struct questions *list)
{
    for (size_t i = 0; i < list->count; i++) {
        billet_environment_free(&list->items[i].environment);
        free(list->items[i].key);
    }
    free(list->items);
}

static char *
question_key(const struct billet_environment *environment)
{
    cleanup_json json_t *settings = billet_environment_settings_to_json(environment);
    cleanup_free char *text = settings != NULL ? billet_json_text(settings) : NULL;
    char *key = NULL;
    return text != NULL && asprintf(&key, "%s %s", environment->driver, text) >= 0 ? key : NULL;
}

static int
add_question(const struct billet_environment *environment, void *context)
{
    struct questions *list = context;
    cleanup_free char *key = question_key(environment);
    if (key == NULL)
        return billet_error_no_memory(list->error);
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0)
            return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 8;
        struct question *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return billet_error_no_memory(list->error);
        list->items = items;
        list->capacity = capacity;
    }
    struct question *item = &list->items[list->count];
    *item = (struct question){.environment = BILLET_ENVIRONMENT_INIT};
    int result = billet_environment_copy(&item->environment, environment, list->error);
    if (result < 0)
        return result;
    item->key = key;
    key = NULL;
    list->count++;
    return 0;
}

/* Those of the files and of this tenant, and those of every tenant in the store. */
static int
collect_questions(struct pass *pass, struct questions *list, struct billet_error *error)
{
    int result = billet_each_environment(pass->context, add_question, list, error);
    if (result == 0)
        result = billet_store_of(pass->store)
                     ->environment_list(pass->store, NULL, add_question, list, error);
    return result;
}

/* ---- resources: asking -------------------------------------------------------------------- */

struct answer {
    struct billet_sweep_list *list;
    struct billet_error *error;
    int result;
};

static void
take_resource(const struct billet_resource *resource, void *context)
{
    struct answer *answer = context;
    const char *ref = resource->ref != NULL ? resource->ref : "";
    for (size_t i = 0; i < answer->list->count; i++)
        if (strcmp(answer->list->items[i].ref, ref) == 0)
            return;
    if (answer->result == 0)
        answer->result = billet_sweep_add(answer->list, resource, answer->error);
}

static int
ask(struct pass *pass, struct billet_environment *environment, struct billet_sweep_list *list,
    struct billet_error *error)
{
    struct billet_driver_client *client = NULL;
    struct billet_run_secrets secrets = {0};
    struct answer answer = {.list = list, .error = error};
    int result = billet_prepare_environment(pass->context, environment, error);
    if (result == 0)
        result = billet_context_start_driver(pass->context, environment->driver, &client, error);
    if (result == 0 && (billet_driver_info(client)->capabilities & BILLET_CAN_LABEL) != 0) {
        const struct billet_run_secrets_for wanted = {
            .environment = environment, .info = billet_driver_info(client), .purpose = "sweep"};
        struct billet_driver_call call = {.settings = &environment->driver_settings};
        if (pass->options->interrupt_fd >= 0)
            billet_driver_set_interrupt(client, pass->options->interrupt_fd);
        result = billet_run_secrets_resolve(pass->context, &wanted, &secrets, error);
        if (result == 0) {
            billet_run_secrets_give(&secrets, &call);
            result = billet_driver_list(client, &call, take_resource, &answer, error);
        }
    }
    billet_run_secrets_free(&secrets);
    billet_driver_stop(client);
    return result == 0 ? answer.result : result;
}

/* ---- resources: sweeping --------------------------------------------------------------------- */

static int
remove_resource(const struct billet_lease *lease, const struct billet_sweep_resource *resource,
                void *context, struct billet_error *error)
{
    struct pass *pass = context;
    struct billet_lease named = *lease; /* shares the strings */
    char ref[sizeof(resource->ref)];
    snprintf(ref, sizeof(ref), "%s", resource->ref);
    named.ref = ref;
    return billet_cleanup_resource(pass->context, &pass->host, &named, error);
}

static void
resource_judged(const struct billet_sweep_resource *resource, enum billet_sweep_decision decision,
                const char *reason, void *context)
{
    struct pass *pass = context;
    bool planned = pass->options->dry_run && decision == BILLET_SWEEP_REMOVED;
    find(pass, &(struct billet_janitor_finding){
                   .kind = "resource",
                   .id = resource->ref,
                   .environment = pass->driver,
                   .decision = planned ? "would remove" : billet_sweep_decision_name(decision),
                   .reason = reason,
                   .kept = decision == BILLET_SWEEP_KEPT,
                   .alarming = decision != BILLET_SWEEP_KEPT && decision != BILLET_SWEEP_REMOVED});
}

static void
add_counts(struct billet_sweep_result *to, const struct billet_sweep_result *one)
{
    to->listed += one->listed;
    to->removed += one->removed;
    to->kept += one->kept;
    to->alarming += one->alarming;
    to->failed += one->failed;
}

/* Everything that the environments of one driver hold, as one list. */
static int
sweep_driver(struct pass *pass, struct questions *questions, const char *driver,
             struct billet_error *error)
{
    struct billet_sweep_list list = {0};
    struct billet_sweep_result counts = {0};
    struct billet_error why = BILLET_ERROR_INIT;
    const struct billet_sweep_options options = {.dry_run = pass->options->dry_run,
                                                 .all_at_once = pass->options->all_at_once,
                                                 .actor = pass->context->actor};
    int result = 0;
    pass->driver = driver;
    for (size_t i = 0; i < questions->count && !is_interrupted(pass); i++) {
        struct billet_environment *environment = &questions->items[i].environment;
        if (strcmp(environment->driver, driver) != 0)
            continue;
        billet_error_clear(&why);
        if (ask(pass, environment, &list, &why) < 0 && strcmp(why.code, "driver_disabled") != 0)
            find(pass, &(struct billet_janitor_finding){.kind = "driver",
                                                        .id = driver,
                                                        .environment = environment->name,
                                                        .decision = "not asked",
                                                        .reason = why.message,
                                                        .alarming = true});
    }
    if (!is_interrupted(pass))
        result = billet_sweep(pass->store, &list, &options, remove_resource, resource_judged, pass,
                              &counts, error);
    add_counts(&pass->result->resources, &counts);
    billet_sweep_free(&list);
    return result;
}

static int
sweep(struct pass *pass, struct billet_error *error)
{
    struct questions list = {.error = error};
    int result = collect_questions(pass, &list, error);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        const char *driver = list.items[i].environment.driver;
        bool done = false;
        for (size_t j = 0; j < i; j++)
            done = done || strcmp(list.items[j].environment.driver, driver) == 0;
        if (!done)
            result = sweep_driver(pass, &list, driver, error);
    }
    free_questions(&list);
    return result;
}

/* ---- the pass -----------------------------------------------------------------------------------
 */

static int
compare_with_last(struct pass *pass, const char *path, struct billet_error *error)
{
    struct billet_continuity *continuity = &pass->result->continuity;
    int result = billet_continuity_look(path, pass->store, continuity, error);
    if (result == 0 && !pass->options->dry_run)
        result = billet_continuity_extend(pass->store, continuity, error);
    if (result == 0 && continuity->text[0] != '\0')
        find(pass,
             &(struct billet_janitor_finding){
                 .kind = "store",
                 .id = continuity->deployment,
                 .environment = "",
                 .decision = continuity->state == BILLET_CONTINUITY_RESTORED ? "restored" : "clock",
                 .reason = continuity->text,
                 .alarming = true});
    return result;
}

int
billet_janitor_pass(struct billet_context *context, const struct billet_janitor_options *options,
                    billet_janitor_visit *visit, void *visit_context,
                    struct billet_janitor_result *result_to, struct billet_error *error)
{
    struct pass pass = {.context = context,
                        .options = options,
                        .visit = visit,
                        .visit_context = visit_context,
                        .result = result_to};
    cleanup_free char *path = NULL;
    *result_to = (struct billet_janitor_result){0};
    int result = billet_context_store(context, &pass.store, error);
    if (result == 0 && asprintf(&path, "%s/%s", context->state_directory, MEMORY_NAME) < 0) {
        path = NULL;
        result = billet_error_no_memory(error);
    }
    if (result == 0)
        result = compare_with_last(&pass, path, error);
    if (result == 0) {
        const struct billet_reap_options reap = {
            .dry_run = options->dry_run,
            .actor = context->actor,
            .ignore_backoff = options->now,
            .spare_before_ns = result_to->continuity.restored_ns,
        };
        result = billet_reap(pass.store, &reap, destroy_resource, lease_judged, &pass,
                             &result_to->leases, error);
    }
    if (result == 0 && options->sweep && !is_interrupted(&pass))
        result = sweep(&pass, error);
    billet_cleanup_host_stop(&pass.host);
    if (result == 0 && !options->dry_run) {
        result = billet_io_make_directories(context->state_directory, 0700, error);
        if (result == 0)
            result = billet_continuity_save(path, &result_to->continuity, error);
    }
    return result;
}
