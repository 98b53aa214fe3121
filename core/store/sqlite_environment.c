/* SPDX-License-Identifier: Apache-2.0 */
/* Saved environments in SQLite. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/record_environment.h"
#include "store/refusal.h"
#include "store/sqlite.h"

int
sqlite_environment_insert(struct billet_store *store, const struct billet_environment *environment,
                          const struct billet_activity *activity, struct billet_error *error)
{
    sqlite3_stmt *statement;
    cleanup_free char *settings = NULL;
    int result = billet_environment_settings_text(environment, &settings, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_INSERT, &statement, error);
    if (result == 0) {
        const char *const texts[] = {
            environment->id,          environment->tenant,
            environment->name,        environment->driver,
            environment->description, billet_environment_status(environment),
            environment->reason,      settings,
        };
        for (int i = 0; i < 8; i++)
            sqlite_bind_text_or_empty(statement, i + 1, texts[i]);
        int code = sqlite3_step(statement);
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
            result = billet_refusal_environment_exists(environment->name, error);
        else if (code != SQLITE_DONE)
            result = sqlite_error(store, code, "save an environment", error);
        sqlite3_reset(statement);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}

/* No row met name and revision: gone, or changed by somebody else. */
static int
update_failed(struct billet_store *store, const struct billet_environment *environment,
              struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_GET, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, environment->tenant);
    sqlite_bind_text_or_empty(statement, 2, environment->name);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        result = billet_refusal_environment_changed(environment, sqlite3_column_int64(statement, 7),
                                                    error);
    else if (code == SQLITE_DONE)
        result = billet_refusal_environment_not_found(environment->name, error);
    else
        result = sqlite_error(store, code, "read an environment", error);
    sqlite3_reset(statement);
    return result;
}

/* Run an UPDATE or DELETE with RETURNING; *met says whether a row met it. */
static int
run_returning(struct billet_store *store, sqlite3_stmt *statement, bool *met, const char *what,
              struct billet_error *error)
{
    int code = sqlite3_step(statement);
    *met = code == SQLITE_ROW;
    if (*met)
        code = sqlite3_step(statement);
    int result = code == SQLITE_DONE ? 0 : sqlite_error(store, code, what, error);
    sqlite3_reset(statement);
    return result;
}

int
sqlite_environment_update(struct billet_store *store, const struct billet_environment *environment,
                          const struct billet_activity *activity, struct billet_error *error)
{
    sqlite3_stmt *statement;
    bool met = false;
    cleanup_free char *settings = NULL;
    int result = billet_environment_settings_text(environment, &settings, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_UPDATE, &statement, error);
    if (result == 0) {
        const char *const texts[] = {
            environment->tenant,
            environment->name,
            environment->driver,
            environment->description,
            billet_environment_status(environment),
            environment->reason,
            settings,
        };
        for (int i = 0; i < 7; i++)
            sqlite_bind_text_or_empty(statement, i + 1, texts[i]);
        sqlite3_bind_int64(statement, 8, environment->revision);
        result = run_returning(store, statement, &met, "change an environment", error);
        if (result == 0 && !met)
            result = update_failed(store, environment, error);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}

/* A new object of the statement's row. */
static int
read_environment(struct billet_store *store, sqlite3_stmt *statement,
                 struct billet_environment *environment, struct billet_error *error)
{
    const char *texts[7];
    int64_t numbers[3];
    for (int i = 0; i < 7; i++)
        texts[i] = sqlite_text(statement, i);
    for (int i = 0; i < 3; i++)
        numbers[i] = sqlite3_column_int64(statement, 7 + i);
    return billet_environment_from_row(texts, numbers, sqlite_text(statement, 10), store->path,
                                       environment, error);
}

int
sqlite_environment_get(struct billet_store *store, const char *tenant, const char *name,
                       struct billet_environment *environment, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_GET, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, tenant);
    sqlite_bind_text_or_empty(statement, 2, name);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        result = read_environment(store, statement, environment, error);
    else if (code == SQLITE_DONE)
        result = billet_refusal_environment_not_found(name, error);
    else
        result = sqlite_error(store, code, "read an environment", error);
    sqlite3_reset(statement);
    return result;
}

int
sqlite_environment_list(struct billet_store *store, const char *tenant,
                        billet_environment_visit *visit, void *context, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int code;
    int result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_LIST, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_null(statement, 1, tenant);
    while (result == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE) {
        struct billet_environment row;
        if (code != SQLITE_ROW) {
            result = sqlite_error(store, code, "list environments", error);
            break;
        }
        result = read_environment(store, statement, &row, error);
        if (result == 0) {
            result = visit(&row, context);
            billet_environment_free(&row);
        }
    }
    sqlite3_reset(statement);
    return result;
}

int
sqlite_environment_remove(struct billet_store *store, const char *tenant, const char *name,
                          const struct billet_activity *activity, struct billet_error *error)
{
    sqlite3_stmt *statement;
    bool met = false;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_REMOVE, &statement, error);
    if (result == 0) {
        sqlite_bind_text_or_empty(statement, 1, tenant);
        sqlite_bind_text_or_empty(statement, 2, name);
        result = run_returning(store, statement, &met, "remove an environment", error);
        if (result == 0 && !met)
            result = billet_refusal_environment_not_found(name, error);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}
