/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/reaper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "lease/lease.h"
#include "lease/machine.h"
#include "lease/owner.h"

#define LOOK_AT_DEFAULT 10000
/* Long enough for one destroy; another machine that cannot see us waits for it. */
#define TAKEOVER_TTL (600 * BILLET_NS_PER_SECOND)
/* Kept at the front of the reason until the end: it makes the end a failure. */
#define ABANDONED "abandoned: "
#define HELD_ENDED "its held time ended"

struct candidates {
    struct billet_lease *items;
    size_t count;
    size_t capacity;
    struct billet_error *error;
};

static int
collect(const struct billet_lease *lease, void *context)
{
    struct candidates *list = context;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 16;
        struct billet_lease *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return billet_error_no_memory(list->error);
        list->items = items;
        list->capacity = capacity;
    }
    int result = billet_lease_copy(&list->items[list->count], lease, list->error);
    list->count += result == 0;
    return result;
}

static void
free_candidates(struct candidates *list)
{
    for (size_t i = 0; i < list->count; i++)
        billet_lease_free(&list->items[i]);
    free(list->items);
}

struct verdict {
    enum billet_reap_decision decision; /* REAPED: take it over */
    bool normal;                        /* ends as released */
    const char *reason;
};

/* Had its owner meant it to end, and was all said that there is to say? */
static bool
ended_normally(const struct billet_lease *lease)
{
    return !billet_text_starts(lease->reason, ABANDONED) &&
           (lease->outcome[0] != '\0' || strcmp(lease->reason, HELD_ENDED) == 0);
}

static struct verdict
judge_releasing(const struct billet_lease *lease, enum billet_owner_state owner, int64_t now,
                bool ignore_backoff)
{
    bool normal = ended_normally(lease);
    if (owner == BILLET_OWNER_ALIVE)
        return (struct verdict){BILLET_REAP_KEPT, normal, "its owner is ending it"};
    if (owner == BILLET_OWNER_UNKNOWN && lease->expires_ns > now)
        return (struct verdict){BILLET_REAP_KEPT, normal, "an owner out of sight is ending it"};
    if (lease->next_cleanup_ns > now && !ignore_backoff)
        return (struct verdict){BILLET_REAP_RETRY_LATER, normal, "the last cleanup failed"};
    if (lease->cleanup_attempts > 0)
        return (struct verdict){BILLET_REAP_REAPED, normal, "another cleanup is due"};
    return (struct verdict){BILLET_REAP_REAPED, normal,
                            owner == BILLET_OWNER_NONE ? "nobody is ending it"
                            : owner == BILLET_OWNER_DEAD
                                ? "its owner died while ending it"
                                : "its owner is out of sight and its time ran out"};
}

static struct verdict
judge(const struct billet_lease *lease, int64_t now, bool ignore_backoff)
{
    enum billet_owner_state owner = billet_owner_judge(lease->owner);
    bool expired = lease->expires_ns <= now;
    if (billet_machine_is_other(lease, NULL))
        return (struct verdict){BILLET_REAP_KEPT, false, "its resource is on another machine"};
    if (lease->state == BILLET_LEASE_RELEASING)
        return judge_releasing(lease, owner, now, ignore_backoff);
    switch (owner) {
    case BILLET_OWNER_ALIVE:
        return (struct verdict){BILLET_REAP_KEPT, false, "its owner is alive"};
    case BILLET_OWNER_DEAD:
        return (struct verdict){BILLET_REAP_REAPED, false, "its owner is gone"};
    case BILLET_OWNER_NONE:
        if (!expired)
            return (struct verdict){BILLET_REAP_KEPT, false, "it is held"};
        return (struct verdict){BILLET_REAP_REAPED, lease->state == BILLET_LEASE_RETAINED,
                                HELD_ENDED};
    case BILLET_OWNER_UNKNOWN:
        break;
    }
    if (!expired)
        return (struct verdict){BILLET_REAP_KEPT, false, "its owner is out of sight"};
    return (struct verdict){BILLET_REAP_REAPED, false,
                            "its owner is out of sight and its time ran out"};
}

struct pass {
    struct billet_store *store;
    const struct billet_reap_options *options;
    billet_reap_destroy *destroy;
    billet_reap_report *report;
    void *context;
    struct billet_reap_result result;
    char owner[BILLET_OWNER_SIZE];
};

static void
tell(struct pass *pass, const struct billet_lease *lease, enum billet_reap_decision decision,
     const char *reason)
{
    int64_t *const counts[] = {
        [BILLET_REAP_REAPED] = &pass->result.reaped,
        [BILLET_REAP_KEPT] = &pass->result.kept,
        [BILLET_REAP_RETRY_LATER] = &pass->result.retry_later,
        [BILLET_REAP_FAILED] = &pass->result.failed,
    };
    ++*counts[decision];
    if (pass->report != NULL)
        pass->report(lease, decision, reason, pass->context);
}

/* One change of a lease with one activity row. *lease becomes the row afterwards. */
static int
change(struct pass *pass, struct billet_lease *lease, struct billet_lease_change *wanted,
       const char *action, const char *reason, struct billet_error *error)
{
    cleanup_json json_t *object = json_object();
    cleanup_free char *details = NULL;
    if (object != NULL && billet_json_set_bytes(object, "reason", reason) &&
        billet_json_set_bytes(object, "state", billet_lease_state_name(lease->state)))
        details = billet_json_text(object);
    if (details == NULL)
        return billet_error_no_memory(error);
    const struct billet_activity row = billet_lease_activity(
        lease, action, pass->options->actor, lease->fence + wanted->bump_fence, details);
    wanted->id = lease->id;
    wanted->expected = lease->state;
    wanted->fence = lease->fence;
    return billet_store_of(pass->store)->lease_change(pass->store, wanted, &row, 1, lease, error);
}

/* The reason that stays with the lease: whether it was abandoned must not be forgotten. */
static int
lasting_reason(const struct verdict *verdict, const char *text, char **reason,
               struct billet_error *error)
{
    *reason = NULL;
    if (asprintf(reason, "%s%s", verdict->normal ? "" : ABANDONED, text) < 0)
        return billet_error_no_memory(error);
    return 0;
}

static int
take_over(struct pass *pass, struct billet_lease *lease, const struct verdict *verdict,
          struct billet_error *error)
{
    cleanup_free char *reason = NULL;
    struct billet_lease_change wanted = {
        .state = BILLET_LEASE_RELEASING,
        .bump_fence = true,
        .ttl_ns = TAKEOVER_TTL,
        .owner = pass->owner,
    };
    int result = lasting_reason(verdict, verdict->reason, &reason, error);
    if (result < 0)
        return result;
    /* A lease that is being ended already keeps what was said of it. */
    if (lease->state != BILLET_LEASE_RELEASING || lease->reason[0] == '\0')
        wanted.reason = verdict->normal && lease->state == BILLET_LEASE_RELEASING ? NULL : reason;
    return change(pass, lease, &wanted, "lease.reaped", verdict->reason, error);
}

static int
cleanup_failed(struct pass *pass, struct billet_lease *lease, const struct verdict *verdict,
               const struct billet_error *why, struct billet_error *error)
{
    cleanup_free char *reason = NULL;
    const char *message = why->message[0] != '\0' ? why->message : "no reason was given";
    struct billet_lease_change wanted = {
        .state = BILLET_LEASE_RELEASING,
        .owner = "",
        .count_cleanup = true,
        .cleanup_delay_ns = billet_lease_backoff(lease->cleanup_attempts),
    };
    /* The reason of a held lease is what makes its end a normal one. */
    int result = lasting_reason(verdict, message, &reason, error);
    if (result < 0)
        return result;
    wanted.reason = strcmp(lease->reason, HELD_ENDED) == 0 ? NULL : reason;
    result = change(pass, lease, &wanted, "lease.cleanup_failed", message, error);
    if (result == 0)
        tell(pass, lease, BILLET_REAP_FAILED, message);
    return result;
}

static int
finish(struct pass *pass, struct billet_lease *lease, const struct verdict *verdict,
       struct billet_error *error)
{
    struct billet_lease_change wanted = {
        .state = verdict->normal ? BILLET_LEASE_RELEASED : BILLET_LEASE_FAILED, .owner = ""};
    int result = change(pass, lease, &wanted, verdict->normal ? "lease.released" : "lease.failed",
                        verdict->reason, error);
    if (result == 0)
        tell(pass, lease, BILLET_REAP_REAPED, verdict->reason);
    return result;
}

static int
reap_one(struct pass *pass, struct billet_lease *lease, int64_t now, struct billet_error *error)
{
    struct verdict verdict = judge(lease, now, pass->options->ignore_backoff);
    const struct billet_reap_result *so_far = &pass->result;
    struct billet_error why = BILLET_ERROR_INIT;
    if (verdict.decision == BILLET_REAP_REAPED &&
        lease->created_ns < pass->options->spare_before_ns)
        verdict =
            (struct verdict){BILLET_REAP_KEPT, false,
                             "the store was restored: what it says of older leases may be past"};
    if (verdict.decision == BILLET_REAP_REAPED && pass->options->limit > 0 &&
        so_far->reaped + so_far->failed >= pass->options->limit)
        verdict = (struct verdict){BILLET_REAP_KEPT, false, "the limit of this pass is reached"};
    if (verdict.decision != BILLET_REAP_REAPED || pass->options->dry_run) {
        tell(pass, lease, verdict.decision, verdict.reason);
        return 0;
    }
    int result = take_over(pass, lease, &verdict, error);
    if (result == 0) {
        if (pass->destroy(lease, pass->context, &why) == 0)
            result = finish(pass, lease, &verdict, error);
        else
            result = cleanup_failed(pass, lease, &verdict, &why, error);
    }
    if (result == -BILLET_CLASS_LOST) {
        /* Its owner went on, or another reaper was faster. */
        billet_error_clear(error);
        tell(pass, lease, BILLET_REAP_KEPT, "somebody else changed it meanwhile");
        return 0;
    }
    return result < 0 ? billet_error_wrap(error, "lease %s", lease->id) : 0;
}

int
billet_reap(struct billet_store *store, const struct billet_reap_options *options,
            billet_reap_destroy *destroy, billet_reap_report *report, void *context,
            struct billet_reap_result *result_to, struct billet_error *error)
{
    struct pass pass = {.store = store,
                        .options = options,
                        .destroy = destroy,
                        .report = report,
                        .context = context};
    struct candidates list = {.error = error};
    int64_t now = options->now_ns;
    struct billet_lease_filter filter = {
        .tenant = options->tenant,
        .live_only = true,
        .limit = options->look_at > 0 ? options->look_at : LOOK_AT_DEFAULT,
    };
    int result = billet_owner_self(pass.owner, error);
    if (result == 0 && now == 0)
        result = billet_store_of(store)->now(store, &now, error);
    if (result == 0)
        result = billet_store_of(store)->lease_list(store, &filter, collect, &list, error);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        pass.result.looked_at++;
        result = reap_one(&pass, &list.items[i], now, error);
    }
    free_candidates(&list);
    if (result_to != NULL)
        *result_to = pass.result;
    return result;
}

const char *
billet_reap_decision_name(enum billet_reap_decision decision)
{
    static const char *const names[] = {"reaped", "kept", "retry_later", "failed"};
    return names[decision];
}
