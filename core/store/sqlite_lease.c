/* SPDX-License-Identifier: Apache-2.0 */
/* Leases in SQLite: every change is one compare-and-set with its activity rows. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/change.h"
#include "store/record_fields.h"
#include "store/refusal.h"
#include "store/sqlite.h"

#define LIST_LIMIT 1000

/* The row of the statement; strings are SQLite's, valid until its next step. */
static void
read_lease(sqlite3_stmt *statement, struct billet_lease *lease)
{
    for (int i = 0; i < BILLET_LEASE_FIELD_COUNT; i++) {
        const struct billet_field *field = &billet_lease_fields[i];
        switch (field->kind) {
        case BILLET_FIELD_TEXT:
            *billet_field_text(lease, field) = (char *)sqlite_text(statement, i);
            break;
        case BILLET_FIELD_INTEGER:
            *billet_field_integer(lease, field) = sqlite3_column_int64(statement, i);
            break;
        case BILLET_FIELD_STATE:
            lease->state = billet_lease_state_by_name(sqlite_text(statement, i));
            break;
        }
    }
}

/* Why a compare-and-set met no row. */
static int
lost(struct billet_store *store, const char *id, int64_t fence, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_LEASE_STATE, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        result = billet_refusal_lease_lost(
            id, code == SQLITE_ROW ? sqlite_text(statement, 0) : NULL,
            code == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0, fence, error);
    else
        result = sqlite_error(store, code, "look at a lease", error);
    sqlite3_reset(statement);
    return result;
}

/* The row was there already: the same run asks again after an answer that was lost, or a clash. */
static int
insert_again(struct billet_store *store, const struct billet_lease *lease,
             struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_LEASE_STATE, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, lease->id);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW &&
        strcmp(sqlite_text(statement, 2), lease->run != NULL ? lease->run : "") == 0)
        result = 0;
    else if (code == SQLITE_ROW || code == SQLITE_DONE)
        result = billet_refusal_lease_exists(lease, code == SQLITE_ROW, error);
    else
        result = sqlite_error(store, code, "look at a lease", error);
    sqlite3_reset(statement);
    return result;
}

static int
insert_row(struct billet_store *store, const struct billet_lease *lease, int64_t ttl_ns,
           bool *inserted, struct billet_error *error)
{
    const char *const texts[] = {
        lease->id,      lease->tenant,  lease->environment,   lease->environment_id, lease->driver,
        lease->run,     lease->agent,   lease->issue,         lease->workspace,      lease->policy,
        lease->ref,     lease->facts,   lease->configuration, lease->directory,      lease->owner,
        lease->command, lease->outcome, lease->reason,
    };
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_LEASE_INSERT, &statement, error);
    if (result < 0)
        return result;
    int at = 1;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        sqlite_bind_text_or_empty(statement, at++, texts[i]);
    sqlite3_bind_int64(statement, at, ttl_ns);
    int code = sqlite3_step(statement);
    *inserted = code == SQLITE_DONE;
    if (code == SQLITE_CONSTRAINT_UNIQUE)
        result = insert_again(store, lease, error);
    else if (code != SQLITE_DONE)
        result = sqlite_error(store, code, "write a lease", error);
    sqlite3_reset(statement);
    return result;
}

int
sqlite_lease_insert(struct billet_store *store, const struct billet_lease *lease, int64_t ttl_ns,
                    const struct billet_activity *activities, size_t count,
                    struct billet_error *error)
{
    bool inserted = false;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = insert_row(store, lease, ttl_ns, &inserted, error);
    if (result == 0 && inserted)
        result = sqlite_activities_add(store, activities, count, error);
    return sqlite_end(store, result, error);
}

static void
read_difference(sqlite3_stmt *statement, struct billet_lease *difference)
{
    int64_t *number;
    for (int i = 0; (number = billet_change_number(difference, i)) != NULL; i++)
        *number = sqlite3_column_int64(statement, i);
}

static int
change_row(struct billet_store *store, const struct billet_lease_change *change,
           struct billet_lease *difference, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_LEASE_CHANGE, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, change->id);
    sqlite_bind_text_or_empty(statement, 2, billet_lease_state_name(change->expected));
    sqlite3_bind_int64(statement, 3, change->fence);
    sqlite_bind_text_or_empty(statement, 4, billet_lease_state_name(change->state));
    sqlite3_bind_int(statement, 5, change->bump_fence);
    sqlite3_bind_int(statement, 6, change->bump_generation);
    sqlite3_bind_int64(statement, 7, change->ttl_ns);
    const char *const texts[] = {change->ref,     change->facts,   change->directory, change->owner,
                                 change->command, change->outcome, change->reason};
    for (int i = 0; i < 7; i++)
        sqlite_bind_text_or_null(statement, 8 + i, texts[i]);
    sqlite3_bind_int(statement, 15, change->count_cleanup);
    sqlite3_bind_int64(statement, 16, change->cleanup_delay_ns);
    sqlite3_bind_int(statement, 17, billet_lease_state_is_final(change->state));
    sqlite_bind_text_or_null(statement, 18, change->run);
    sqlite_bind_text_or_null(statement, 19, change->issue);
    sqlite_bind_text_or_null(statement, 20, change->owner_is);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read_difference(statement, difference);
        /* RETURNING gives its one row after all changes; the statement must still end. */
        code = sqlite3_step(statement);
        if (code != SQLITE_DONE)
            result = sqlite_error(store, code, "change a lease", error);
    } else if (code == SQLITE_DONE) {
        result = lost(store, change->id, change->fence, error);
    } else {
        result = sqlite_error(store, code, "change a lease", error);
    }
    sqlite3_reset(statement);
    return result;
}

void
sqlite_expect_change(struct billet_store *store)
{
    sqlite3_stmt *statement;
    sqlite_prepare(store, STATEMENT_LEASE_CHANGE, &statement, NULL);
}

int
sqlite_lease_change(struct billet_store *store, const struct billet_lease_change *change,
                    const struct billet_activity *activities, size_t count,
                    struct billet_lease *lease, struct billet_error *error)
{
    struct billet_lease difference = {0};
    int result = billet_change_texts(change, &difference, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result == 0) {
        result = change_row(store, change, &difference, error);
        if (result == 0)
            result = sqlite_activities_add(store, activities, count, error);
        result = sqlite_end(store, result, error);
    }
    if (result == 0 && lease != NULL)
        billet_change_apply(change, &difference, lease);
    billet_lease_free(&difference);
    return result;
}

int
sqlite_lease_get(struct billet_store *store, const char *tenant, const char *id,
                 struct billet_lease *lease, struct billet_error *error)
{
    sqlite3_stmt *statement;
    struct billet_lease row, found = {0};
    bool whole;
    if (!billet_lease_id_is_searchable(id, &whole))
        return billet_refusal_lease_not_found(id, error);
    int result = sqlite_prepare(store, whole ? STATEMENT_LEASE_GET : STATEMENT_LEASE_PREFIX,
                                &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, id);
    sqlite_bind_text_or_null(statement, 2, tenant);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read_lease(statement, &row);
        result = billet_lease_copy(&found, &row, error);
        if (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
            result = billet_refusal_lease_ambiguous(id, error);
    } else if (code == SQLITE_DONE) {
        result = billet_refusal_lease_not_found(id, error);
    }
    if (result == 0 && code != SQLITE_DONE)
        result = sqlite_error(store, code, "read a lease", error);
    sqlite3_reset(statement);
    if (result == 0)
        *lease = found;
    else
        billet_lease_free(&found);
    return result;
}

int
sqlite_lease_list(struct billet_store *store, const struct billet_lease_filter *filter,
                  billet_lease_visit *visit, void *context, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int code;
    int result =
        sqlite_prepare(store, filter->live_only ? STATEMENT_LEASE_LIST_LIVE : STATEMENT_LEASE_LIST,
                       &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_null(statement, 1, filter->tenant);
    sqlite_bind_text_or_null(statement, 2, filter->environment);
    sqlite_bind_text_or_null(statement, 3, filter->run);
    sqlite3_bind_int64(statement, 4, filter->limit > 0 ? filter->limit : LIST_LIMIT);
    while (result == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE) {
        struct billet_lease row;
        if (code != SQLITE_ROW) {
            result = sqlite_error(store, code, "list leases", error);
            break;
        }
        read_lease(statement, &row);
        result = visit(&row, context);
    }
    sqlite3_reset(statement);
    return result;
}

int
sqlite_lease_note(struct billet_store *store, const char *id, int64_t fence,
                  const struct billet_activity *activities, size_t count,
                  struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_LEASE_STATE, &statement, error);
    if (result == 0) {
        sqlite_bind_text_or_empty(statement, 1, id);
        int code = sqlite3_step(statement);
        bool fits =
            code == SQLITE_ROW &&
            !billet_lease_state_is_final(billet_lease_state_by_name(sqlite_text(statement, 0))) &&
            (fence == 0 || sqlite3_column_int64(statement, 1) == fence);
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            result = sqlite_error(store, code, "look at a lease", error);
        sqlite3_reset(statement);
        if (result == 0 && !fits)
            result = lost(store, id, fence, error);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activities, count, error);
    return sqlite_end(store, result, error);
}

int
sqlite_lease_renew(struct billet_store *store, const char *id, int64_t fence, const char *owner_is,
                   int64_t ttl_ns, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_LEASE_RENEW, &statement, error);
    if (result == 0) {
        sqlite_bind_text_or_empty(statement, 1, id);
        sqlite3_bind_int64(statement, 2, fence);
        sqlite3_bind_int64(statement, 3, ttl_ns);
        sqlite_bind_text_or_null(statement, 4, owner_is);
        int code = sqlite3_step(statement);
        bool renewed = code == SQLITE_ROW;
        if (renewed)
            code = sqlite3_step(statement);
        if (code != SQLITE_DONE)
            result = sqlite_error(store, code, "renew a lease", error);
        sqlite3_reset(statement);
        if (result == 0 && !renewed)
            result = lost(store, id, fence, error);
    }
    return sqlite_end(store, result, error);
}
