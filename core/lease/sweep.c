/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/uuid.h"
#include "lease/lease.h"

/* ---- the list --------------------------------------------------------------------- */

int
billet_sweep_add(struct billet_sweep_list *list, const struct billet_resource *resource,
                 struct billet_error *error)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 16;
        struct billet_sweep_resource *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return billet_error_no_memory(error);
        list->items = items;
        list->capacity = capacity;
    }
    struct billet_sweep_resource *item = &list->items[list->count++];
    *item = (struct billet_sweep_resource){.generation = (int64_t)resource->generation,
                                           .age_ns = resource->age_ns};
    snprintf(item->ref, sizeof(item->ref), "%s", resource->ref != NULL ? resource->ref : "");
    snprintf(item->deployment, sizeof(item->deployment), "%s",
             resource->deployment != NULL ? resource->deployment : "");
    snprintf(item->lease, sizeof(item->lease), "%s",
             resource->lease != NULL ? resource->lease : "");
    return 0;
}

void
billet_sweep_free(struct billet_sweep_list *list)
{
    free(list->items);
    *list = (struct billet_sweep_list){0};
}

/* ---- judging one ------------------------------------------------------------------ */

struct pass {
    struct billet_store *store;
    const struct billet_sweep_options *options;
    billet_sweep_remove *remove_resource;
    billet_sweep_report *report;
    void *context;
    struct billet_sweep_result result;
    char deployment[40];
    int64_t now_ns;
    bool held_back; /* too many would go */
};

struct verdict {
    enum billet_sweep_decision decision;
    const char *reason;
};

/* By the label alone. */
static struct verdict
judge_label(const struct pass *pass, const struct billet_sweep_resource *resource)
{
    int64_t grace = pass->options->grace_ns > 0 ? pass->options->grace_ns : BILLET_SWEEP_GRACE_NS;
    bool anonymous = resource->deployment[0] == '\0';
    if (anonymous && resource->lease[0] == '\0')
        return (struct verdict){BILLET_SWEEP_KEPT, "it carries no label"};
    if ((!anonymous && !billet_uuid_is_valid(resource->deployment)) ||
        !billet_uuid_is_valid(resource->lease) || resource->ref[0] == '\0')
        return (struct verdict){BILLET_SWEEP_MALFORMED, "its label cannot be read"};
    if (!anonymous && strcmp(resource->deployment, pass->deployment) != 0)
        return (struct verdict){BILLET_SWEEP_KEPT, "it is of another deployment"};
    int64_t made = billet_uuid_time(resource->lease);
    if (made < 0)
        return (struct verdict){BILLET_SWEEP_MALFORMED, "its label names no lease of billet"};
    /* A resource is never older than the id of its lease. */
    int64_t age = resource->age_ns >= 0 ? resource->age_ns : pass->now_ns - made;
    if (age < grace)
        return (struct verdict){BILLET_SWEEP_KEPT, "it is too young to be judged"};
    return (struct verdict){BILLET_SWEEP_REMOVED, "its lease has ended"};
}

/* By the row, which is read after the provider was listed. */
static struct verdict
judge_row(const struct billet_lease *lease)
{
    if (!billet_lease_state_is_final(lease->state))
        return (struct verdict){BILLET_SWEEP_KEPT, "its lease lives"};
    return (struct verdict){BILLET_SWEEP_REMOVED, "its lease has ended"};
}

static int
judge(const struct pass *pass, const struct billet_sweep_resource *resource,
      struct billet_lease *lease, struct verdict *verdict, struct billet_error *error)
{
    *verdict = judge_label(pass, resource);
    if (verdict->decision != BILLET_SWEEP_REMOVED)
        return 0;
    int result =
        billet_store_of(pass->store)->lease_get(pass->store, NULL, resource->lease, lease, error);
    if (result < 0 && strcmp(error->code, "lease_not_found") == 0) {
        /* Rows are written before resources are made: this store is not the one that wrote it. */
        billet_error_clear(error);
        *verdict = resource->deployment[0] == '\0'
                       ? (struct verdict){BILLET_SWEEP_KEPT, "it is of no lease of this store"}
                       : (struct verdict){BILLET_SWEEP_UNKNOWN,
                                          "the store knows no such lease: it may be an older copy"};
        return 0;
    }
    if (result == 0)
        *verdict = judge_row(lease);
    return result;
}

/* ---- the pass ----------------------------------------------------------------------- */

static void
tell(struct pass *pass, const struct billet_sweep_resource *resource, const struct verdict *verdict)
{
    int64_t *const counts[] = {
        [BILLET_SWEEP_REMOVED] = &pass->result.removed,
        [BILLET_SWEEP_KEPT] = &pass->result.kept,
        [BILLET_SWEEP_UNKNOWN] = &pass->result.alarming,
        [BILLET_SWEEP_MALFORMED] = &pass->result.alarming,
        [BILLET_SWEEP_HELD_BACK] = &pass->result.alarming,
        [BILLET_SWEEP_FAILED] = &pass->result.failed,
    };
    ++*counts[verdict->decision];
    if (pass->report != NULL)
        pass->report(resource, verdict->decision, verdict->reason, pass->context);
}

static int
record(struct pass *pass, const struct billet_lease *lease,
       const struct billet_sweep_resource *resource, struct billet_error *error)
{
    cleanup_json json_t *object = json_object();
    cleanup_free char *details = NULL;
    if (object != NULL && billet_json_set_bytes(object, "ref", resource->ref))
        details = billet_json_text(object);
    if (details == NULL)
        return billet_error_no_memory(error);
    const struct billet_activity row =
        billet_lease_activity(lease, "lease.swept", pass->options->actor, lease->fence, details);
    return billet_store_of(pass->store)->activity_add(pass->store, &row, 1, error);
}

static int
sweep_one(struct pass *pass, const struct billet_sweep_resource *resource,
          struct billet_error *error)
{
    struct billet_lease lease = {0};
    struct billet_error why = BILLET_ERROR_INIT;
    struct verdict verdict;
    int result = judge(pass, resource, &lease, &verdict, error);
    if (result == 0 && verdict.decision == BILLET_SWEEP_REMOVED && pass->held_back)
        verdict = (struct verdict){BILLET_SWEEP_HELD_BACK,
                                   "too many at once have no live lease: look before they go"};
    if (result == 0 && verdict.decision == BILLET_SWEEP_REMOVED && !pass->options->dry_run) {
        if (pass->remove_resource(&lease, resource, pass->context, &why) == 0)
            result = record(pass, &lease, resource, error);
        else
            verdict = (struct verdict){BILLET_SWEEP_FAILED, why.message};
    }
    if (result == 0)
        tell(pass, resource, &verdict);
    billet_lease_free(&lease);
    return result < 0 ? billet_error_wrap(error, "resource %s", resource->ref) : 0;
}

/* How many of the list nobody owns, before any is removed. */
static int
count_strays(struct pass *pass, const struct billet_sweep_list *list, int64_t *strays,
             struct billet_error *error)
{
    int result = 0;
    *strays = 0;
    for (size_t i = 0; result == 0 && i < list->count; i++) {
        struct billet_lease lease = {0};
        struct verdict verdict;
        result = judge(pass, &list->items[i], &lease, &verdict, error);
        *strays += result == 0 && verdict.decision == BILLET_SWEEP_REMOVED;
        billet_lease_free(&lease);
    }
    return result;
}

int
billet_sweep(struct billet_store *store, const struct billet_sweep_list *list,
             const struct billet_sweep_options *options, billet_sweep_remove *remove_resource,
             billet_sweep_report *report, void *context, struct billet_sweep_result *result_to,
             struct billet_error *error)
{
    struct pass pass = {.store = store,
                        .options = options,
                        .remove_resource = remove_resource,
                        .report = report,
                        .context = context};
    int64_t strays = 0, most = (int64_t)list->count / 5;
    most = most > BILLET_SWEEP_MOST ? most : BILLET_SWEEP_MOST;
    pass.result.listed = (int64_t)list->count;
    int result = billet_store_of(store)->deployment(store, pass.deployment, error);
    if (result == 0)
        result = billet_store_of(store)->now(store, &pass.now_ns, error);
    if (result == 0 && !options->all_at_once)
        result = count_strays(&pass, list, &strays, error);
    pass.held_back = strays > most;
    for (size_t i = 0; result == 0 && i < list->count; i++)
        result = sweep_one(&pass, &list->items[i], error);
    if (result_to != NULL)
        *result_to = pass.result;
    return result;
}

const char *
billet_sweep_decision_name(enum billet_sweep_decision decision)
{
    static const char *const names[] = {"removed",   "kept",      "unknown",
                                        "malformed", "held back", "failed"};
    return names[decision];
}
