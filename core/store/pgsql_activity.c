/* SPDX-License-Identifier: Apache-2.0 */
/* Activity rows in PostgreSQL: only ever added. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "store/pgsql.h"

#define LIST_LIMIT 1000

/* An element of an array, in the server's notation; false: it takes only UTF-8. */
static bool
add_element(struct billet_buffer *to, const char *text)
{
    if (!billet_text_is_utf8(text, strlen(text)))
        return false;
    billet_buffer_add(to, "\"");
    while (*text != '\0') {
        size_t plain = strcspn(text, "\"\\");
        billet_buffer_append(to, text, plain);
        text += plain;
        if (*text != '\0') {
            billet_buffer_add_char(to, '\\');
            billet_buffer_add_char(to, *text++);
        }
    }
    billet_buffer_add(to, "\"");
    return true;
}

int
pgsql_activities(const struct billet_activity *activities, size_t count, char **text,
                 struct billet_error *error)
{
    cleanup_buffer struct billet_buffer list = BILLET_BUFFER_INIT;
    billet_buffer_add(&list, "{");
    for (size_t i = 0; i < count; i++) {
        const struct billet_activity *row = &activities[i];
        char fence[24];
        snprintf(fence, sizeof(fence), "%" PRId64, row->fence);
        const char *const elements[] = {row->action, row->tenant, row->environment, row->lease,
                                        row->run,    row->agent,  row->issue,       row->actor,
                                        fence,       row->details};
        for (size_t j = 0; j < sizeof(elements) / sizeof(elements[0]); j++) {
            billet_buffer_add(&list, j > 0 ? "," : i > 0 ? ",{" : "{");
            if (!add_element(&list, elements[j] != NULL ? elements[j] : ""))
                return billet_error_set(error, BILLET_CLASS_CONFIG, "store_not_text",
                                        "cannot record an activity: the database takes only UTF-8");
        }
        billet_buffer_add(&list, "}");
    }
    billet_buffer_add(&list, "}");
    *text = billet_buffer_steal(&list);
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
