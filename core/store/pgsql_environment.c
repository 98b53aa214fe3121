/* SPDX-License-Identifier: Apache-2.0 */
/* Saved environments in PostgreSQL. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/pgsql.h"
#include "store/record_environment.h"
#include "store/refusal.h"

int
pgsql_environment_insert(struct billet_store *store, const struct billet_environment *environment,
                         const struct billet_activity *activity, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_INSERT, .what = "save an environment"};
    cleanup_free char *settings = NULL, *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = billet_environment_settings_text(environment, &settings, error);
    if (code == 0)
        code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, environment->id);
    pgsql_text(&call, environment->tenant);
    pgsql_text(&call, environment->name);
    pgsql_text(&call, environment->driver);
    pgsql_text(&call, environment->description);
    pgsql_text(&call, billet_environment_status(environment));
    pgsql_text(&call, environment->reason);
    pgsql_text(&call, settings);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code < 0 || call.seen || PQntuples(result) > 0)
        return code;
    if (call.repeated) { /* without activity rows an operation leaves no trace but the row */
        struct billet_environment found = BILLET_ENVIRONMENT_INIT;
        code = pgsql_environment_get(store, environment->tenant, environment->name, &found, error);
        bool ours = code == 0 && strcmp(found.id, environment->id) == 0;
        billet_environment_free(&found);
        if (code < 0 || ours)
            return code;
    }
    return billet_refusal_environment_exists(environment->name, error);
}

/* No row met name and revision: gone, or changed by somebody else. */
static int
update_failed(struct billet_store *store, const struct billet_environment *environment,
              const char *settings, bool repeated, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_GET, .what = "read an environment"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, environment->tenant);
    pgsql_text(&call, environment->name);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_environment_not_found(environment->name, error);
    int64_t revision = pgsql_integer(result, 0, 7);
    if (repeated && revision == environment->revision + 1 &&
        strcmp(PQgetvalue(result, 0, 5), billet_environment_status(environment)) == 0 &&
        strcmp(PQgetvalue(result, 0, 10), settings) == 0)
        return 0;
    return billet_refusal_environment_changed(environment, revision, error);
}

int
pgsql_environment_update(struct billet_store *store, const struct billet_environment *environment,
                         const struct billet_activity *activity, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_UPDATE,
                              .what = "change an environment"};
    cleanup_free char *settings = NULL, *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = billet_environment_settings_text(environment, &settings, error);
    if (code == 0)
        code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, environment->tenant);
    pgsql_text(&call, environment->name);
    pgsql_text(&call, environment->driver);
    pgsql_text(&call, environment->description);
    pgsql_text(&call, billet_environment_status(environment));
    pgsql_text(&call, environment->reason);
    pgsql_text(&call, settings);
    pgsql_number(&call, environment->revision);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code == 0 && !call.seen && PQntuples(result) == 0)
        code = update_failed(store, environment, settings, call.repeated, error);
    return code;
}

/* A new object of the row. */
static int
read_environment(struct billet_store *store, const PGresult *result, int row,
                 struct billet_environment *environment, struct billet_error *error)
{
    const char *texts[7];
    int64_t numbers[3];
    for (int i = 0; i < 7; i++)
        texts[i] = PQgetvalue(result, row, i);
    for (int i = 0; i < 3; i++)
        numbers[i] = pgsql_integer(result, row, 7 + i);
    return billet_environment_from_row(texts, numbers, PQgetvalue(result, row, 10), store->location,
                                       environment, error);
}

int
pgsql_environment_get(struct billet_store *store, const char *tenant, const char *name,
                      struct billet_environment *environment, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_GET, .what = "read an environment"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, tenant);
    pgsql_text(&call, name);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_environment_not_found(name, error);
    return read_environment(store, result, 0, environment, error);
}

int
pgsql_environment_list(struct billet_store *store, const char *tenant,
                       billet_environment_visit *visit, void *context, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_LIST, .what = "list environments"};
    cleanup_result PGresult *result = NULL;
    pgsql_text_or_null(&call, tenant);
    int code = pgsql_run(store, &call, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct billet_environment row;
        code = read_environment(store, result, i, &row, error);
        if (code == 0) {
            code = visit(&row, context);
            billet_environment_free(&row);
        }
    }
    return code;
}

int
pgsql_environment_remove(struct billet_store *store, const char *tenant, const char *name,
                         const struct billet_activity *activity, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_ENVIRONMENT_REMOVE,
                              .what = "remove an environment"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, tenant);
    pgsql_text(&call, name);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    /* Gone at the second attempt: by the first, whose answer was lost, or by somebody else. */
    if (code == 0 && !call.seen && !call.repeated && PQntuples(result) == 0)
        code = billet_refusal_environment_not_found(name, error);
    return code;
}
