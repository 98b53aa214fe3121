/* SPDX-License-Identifier: Apache-2.0 */
/* Activity rows in SQLite: only ever added. */
#include "store/sqlite.h"

#define LIST_LIMIT 1000

int
sqlite_activities_add(struct billet_store *store, const struct billet_activity *activities,
                      size_t count, struct billet_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct billet_activity *row = &activities[i];
        const char *const texts[] = {row->action, row->tenant, row->environment, row->lease,
                                     row->run,    row->agent,  row->issue,       row->actor};
        sqlite3_stmt *statement;
        int result = sqlite_prepare(store, STATEMENT_ACTIVITY_ADD, &statement, error);
        if (result < 0)
            return result;
        for (int j = 0; j < 8; j++)
            sqlite_bind_text_or_empty(statement, j + 1, texts[j]);
        sqlite3_bind_int64(statement, 9, row->fence);
        sqlite_bind_text_or_empty(statement, 10, row->details);
        result = sqlite_run(store, statement, "record an activity", error);
        if (result < 0)
            return result;
    }
    return 0;
}

int
sqlite_activity_add(struct billet_store *store, const struct billet_activity *activities,
                    size_t count, struct billet_error *error)
{
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_activities_add(store, activities, count, error);
    return sqlite_end(store, result, error);
}

static void
read_activity(sqlite3_stmt *statement, struct billet_activity *row)
{
    row->sequence = sqlite3_column_int64(statement, 0);
    row->time_ns = sqlite3_column_int64(statement, 1);
    row->action = sqlite_text(statement, 2);
    row->tenant = sqlite_text(statement, 3);
    row->environment = sqlite_text(statement, 4);
    row->lease = sqlite_text(statement, 5);
    row->run = sqlite_text(statement, 6);
    row->agent = sqlite_text(statement, 7);
    row->issue = sqlite_text(statement, 8);
    row->actor = sqlite_text(statement, 9);
    row->fence = sqlite3_column_int64(statement, 10);
    row->details = sqlite_text(statement, 11);
}

int
sqlite_activity_list(struct billet_store *store, const struct billet_activity_filter *filter,
                     billet_activity_visit *visit, void *context, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int code;
    int result =
        sqlite_prepare(store,
                       filter->lease != NULL && *filter->lease != '\0' ? STATEMENT_ACTIVITY_OF_LEASE
                                                                       : STATEMENT_ACTIVITY_LIST,
                       &statement, error);
    if (result < 0)
        return result;
    sqlite3_bind_int64(statement, 1, filter->after_sequence);
    sqlite3_bind_int64(statement, 2, filter->since_ns);
    sqlite_bind_text_or_null(statement, 3, filter->tenant);
    sqlite_bind_text_or_null(statement, 4, filter->lease);
    sqlite_bind_text_or_null(statement, 5, filter->environment);
    sqlite3_bind_int64(statement, 6, filter->limit > 0 ? filter->limit : LIST_LIMIT);
    while (result == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE) {
        struct billet_activity row;
        if (code != SQLITE_ROW) {
            result = sqlite_error(store, code, "list activities", error);
            break;
        }
        read_activity(statement, &row);
        result = visit(&row, context);
    }
    sqlite3_reset(statement);
    return result;
}
