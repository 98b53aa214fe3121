/* SPDX-License-Identifier: Apache-2.0 */
/* Activity rows in PostgreSQL: only ever added. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "store/pgsql.h"

#define LIST_LIMIT 1000

static int
not_text(struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_CONFIG, "store_not_text",
                            "cannot record an activity: the database takes only UTF-8");
}

int
pgsql_activities(const struct billet_activity *activities, size_t count, char **text,
                 struct billet_error *error)
{
    cleanup_json json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct billet_activity *row = &activities[i];
        const struct {
            const char *name, *value;
        } members[] = {
            {"action", row->action}, {"tenant", row->tenant}, {"environment", row->environment},
            {"lease", row->lease},   {"run", row->run},       {"agent", row->agent},
            {"issue", row->issue},   {"actor", row->actor},   {"details", row->details},
        };
        json_t *object = json_object();
        bool good = object != NULL && billet_json_set_integer(object, "fence", row->fence);
        for (size_t j = 0; good && j < sizeof(members) / sizeof(members[0]); j++) {
            json_t *value = json_string(members[j].value != NULL ? members[j].value : "");
            if (value == NULL) {
                json_decref(object);
                return not_text(error);
            }
            good = json_object_set_new(object, members[j].name, value) == 0;
        }
        if (!good || json_array_append_new(list, object) != 0)
            return billet_error_no_memory(error);
    }
    *text = list != NULL ? billet_json_text(list) : NULL;
    return *text != NULL ? 0 : billet_error_no_memory(error);
}

int
pgsql_activity_add(struct billet_store *store, const struct billet_activity *activities,
                   size_t count, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ACTIVITY_ADD, .what = "record an activity"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activities, count, &rows, error);
    if (code < 0)
        return code;
    pgsql_operation(&call, count > 0 ? activities[0].lease : NULL);
    pgsql_text(&call, rows);
    return pgsql_run(store, &call, &result, error);
}

int
pgsql_activity_list(struct billet_store *store, const struct billet_activity_filter *filter,
                    billet_activity_visit *visit, void *context, struct billet_error *error)
{
    struct pgsql_call call = {
        .which = filter->lease != NULL && *filter->lease != '\0' ? STATEMENT_ACTIVITY_OF_LEASE
                                                                 : STATEMENT_ACTIVITY_LIST,
        .what = "list activities",
    };
    cleanup_result PGresult *result = NULL;
    pgsql_number(&call, filter->after_sequence);
    pgsql_number(&call, filter->since_ns);
    pgsql_text_or_null(&call, filter->tenant);
    pgsql_text_or_null(&call, filter->lease);
    pgsql_text_or_null(&call, filter->environment);
    pgsql_number(&call, filter->limit > 0 ? filter->limit : LIST_LIMIT);
    int code = pgsql_run(store, &call, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        const struct billet_activity row = {
            .sequence = pgsql_integer(result, i, 0),
            .time_ns = pgsql_integer(result, i, 1),
            .action = PQgetvalue(result, i, 2),
            .tenant = PQgetvalue(result, i, 3),
            .environment = PQgetvalue(result, i, 4),
            .lease = PQgetvalue(result, i, 5),
            .run = PQgetvalue(result, i, 6),
            .agent = PQgetvalue(result, i, 7),
            .issue = PQgetvalue(result, i, 8),
            .actor = PQgetvalue(result, i, 9),
            .fence = pgsql_integer(result, i, 10),
            .details = PQgetvalue(result, i, 11),
        };
        code = visit(&row, context);
    }
    return code;
}
