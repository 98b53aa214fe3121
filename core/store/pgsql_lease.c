/* SPDX-License-Identifier: Apache-2.0 */
/* Leases in PostgreSQL: every change is one compare-and-set with its activity rows. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/change.h"
#include "store/pgsql.h"
#include "store/record_fields.h"
#include "store/refusal.h"

#define LIST_LIMIT 1000

/* A row of the result, whose strings are the result's. */
static void
read_lease(const PGresult *result, int row, struct billet_lease *lease)
{
    for (int i = 0; i < BILLET_LEASE_FIELD_COUNT; i++) {
        const struct billet_field *field = &billet_lease_fields[i];
        switch (field->kind) {
        case BILLET_FIELD_TEXT:
            *billet_field_text(lease, field) = PQgetvalue(result, row, i);
            break;
        case BILLET_FIELD_INTEGER:
            *billet_field_integer(lease, field) = pgsql_integer(result, row, i);
            break;
        case BILLET_FIELD_STATE:
            lease->state = billet_lease_state_by_name(PQgetvalue(result, row, i));
            break;
        }
    }
}

static int
look_at(struct billet_store *store, const char *id, PGresult **result, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_STATE, .what = "look at a lease"};
    pgsql_text(&call, id);
    return pgsql_run(store, &call, result, error);
}

/* Why a compare-and-set met no row. */
static int
lost(struct billet_store *store, const char *id, int64_t fence, struct billet_error *error)
{
    cleanup_result PGresult *result = NULL;
    int code = look_at(store, id, &result, error);
    if (code < 0)
        return code;
    bool found = PQntuples(result) > 0;
    return billet_refusal_lease_lost(id, found ? PQgetvalue(result, 0, 0) : NULL,
                                     found ? pgsql_integer(result, 0, 1) : 0, fence, error);
}

int
pgsql_lease_insert(struct billet_store *store, const struct billet_lease *lease, int64_t ttl_ns,
                   const struct billet_activity *activities, size_t count,
                   struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_INSERT, .what = "write a lease"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL, *found = NULL;
    const char *const texts[] = {
        lease->id,      lease->tenant,  lease->environment,   lease->environment_id, lease->driver,
        lease->run,     lease->agent,   lease->issue,         lease->workspace,      lease->policy,
        lease->ref,     lease->facts,   lease->configuration, lease->directory,      lease->owner,
        lease->command, lease->outcome, lease->reason,
    };
    int code = pgsql_activities(activities, count, &rows, error);
    if (code < 0)
        return code;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        pgsql_text(&call, texts[i]);
    pgsql_number(&call, ttl_ns);
    pgsql_operation(&call, lease->id);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code < 0 || call.seen || PQntuples(result) > 0)
        return code;
    /* The row was there: the same run asks again after an answer that was lost, or a clash. */
    code = look_at(store, lease->id, &found, error);
    if (code < 0)
        return code;
    bool there = PQntuples(found) > 0;
    if (there && strcmp(PQgetvalue(found, 0, 2), lease->run != NULL ? lease->run : "") == 0)
        return 0;
    return billet_refusal_lease_exists(lease, there, error);
}

static int
read_again(struct billet_store *store, const char *id, struct billet_lease *lease,
           struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_GET, .what = "read a lease"};
    cleanup_result PGresult *result = NULL;
    struct billet_lease row, whole;
    pgsql_text(&call, id);
    pgsql_text_or_null(&call, NULL);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_lease_lost(id, NULL, 0, 0, error);
    read_lease(result, 0, &row);
    code = billet_lease_copy(&whole, &row, error);
    if (code < 0)
        return code;
    billet_lease_free(lease);
    *lease = whole;
    return 0;
}

static void
read_difference(PGresult *result, struct billet_lease *difference)
{
    int64_t *number;
    for (int i = 0; (number = billet_change_number(difference, i)) != NULL; i++)
        *number = pgsql_integer(result, 0, i);
}

int
pgsql_lease_change(struct billet_store *store, const struct billet_lease_change *change,
                   const struct billet_activity *activities, size_t count,
                   struct billet_lease *lease, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_CHANGE, .what = "change a lease"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    __attribute__((cleanup(billet_lease_free))) struct billet_lease difference = {0};
    const char *const texts[] = {change->ref,     change->facts,   change->directory, change->owner,
                                 change->command, change->outcome, change->reason};
    int code = pgsql_activities(activities, count, &rows, error);
    if (code == 0 && lease != NULL)
        code = billet_change_texts(change, &difference, error);
    if (code < 0)
        return code;
    pgsql_text(&call, change->id);
    pgsql_text(&call, billet_lease_state_name(change->expected));
    pgsql_number(&call, change->fence);
    pgsql_text(&call, billet_lease_state_name(change->state));
    pgsql_number(&call, change->bump_fence);
    pgsql_number(&call, change->bump_generation);
    pgsql_number(&call, change->ttl_ns);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        pgsql_text_or_null(&call, texts[i]);
    pgsql_number(&call, change->count_cleanup);
    pgsql_number(&call, change->cleanup_delay_ns);
    pgsql_number(&call, billet_lease_state_is_final(change->state));
    pgsql_operation(&call, change->id);
    pgsql_text(&call, rows);
    pgsql_text_or_null(&call, change->run);
    pgsql_text_or_null(&call, change->issue);
    pgsql_text_or_null(&call, change->owner_is);
    code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (call.seen)
        return lease != NULL ? read_again(store, change->id, lease, error) : 0;
    if (PQntuples(result) == 0)
        return lost(store, change->id, change->fence, error);
    if (lease != NULL) {
        read_difference(result, &difference);
        billet_change_apply(change, &difference, lease);
    }
    return 0;
}

int
pgsql_lease_get(struct billet_store *store, const char *tenant, const char *id,
                struct billet_lease *lease, struct billet_error *error)
{
    struct pgsql_call call = {.what = "read a lease"};
    cleanup_result PGresult *result = NULL;
    struct billet_lease row;
    bool whole;
    if (!billet_lease_id_is_searchable(id, &whole))
        return billet_refusal_lease_not_found(id, error);
    call.which = whole ? STATEMENT_LEASE_GET : STATEMENT_LEASE_PREFIX;
    pgsql_text(&call, id);
    pgsql_text_or_null(&call, tenant);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_lease_not_found(id, error);
    if (PQntuples(result) > 1)
        return billet_refusal_lease_ambiguous(id, error);
    read_lease(result, 0, &row);
    return billet_lease_copy(lease, &row, error);
}

int
pgsql_lease_list(struct billet_store *store, const struct billet_lease_filter *filter,
                 billet_lease_visit *visit, void *context, struct billet_error *error)
{
    struct pgsql_call call = {
        .which = filter->live_only ? STATEMENT_LEASE_LIST_LIVE : STATEMENT_LEASE_LIST,
        .what = "list leases",
    };
    cleanup_result PGresult *result = NULL;
    pgsql_text_or_null(&call, filter->tenant);
    pgsql_text_or_null(&call, filter->environment);
    pgsql_text_or_null(&call, filter->run);
    pgsql_number(&call, filter->limit > 0 ? filter->limit : LIST_LIMIT);
    int code = pgsql_run(store, &call, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct billet_lease row;
        read_lease(result, i, &row);
        code = visit(&row, context);
    }
    return code;
}

int
pgsql_lease_note(struct billet_store *store, const char *id, int64_t fence,
                 const struct billet_activity *activities, size_t count, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_NOTE, .what = "record an activity"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activities, count, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, id);
    pgsql_number(&call, fence);
    pgsql_operation(&call, id);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code == 0 && !call.seen && PQntuples(result) == 0)
        code = lost(store, id, fence, error);
    return code;
}

int
pgsql_lease_renew(struct billet_store *store, const char *id, int64_t fence, const char *owner_is,
                  int64_t ttl_ns, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_LEASE_RENEW, .what = "renew a lease"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, id);
    pgsql_number(&call, fence);
    pgsql_number(&call, ttl_ns);
    pgsql_text_or_null(&call, owner_is);
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0 && PQntuples(result) == 0)
        code = lost(store, id, fence, error);
    return code;
}
