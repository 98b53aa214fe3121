/* SPDX-License-Identifier: Apache-2.0 */
/* Saved environments in SQLite. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "store/sqlite.h"

static int
settings_text(const struct billet_environment *environment, char **text, struct billet_error *error)
{
    cleanup_json json_t *object = billet_environment_settings_to_json(environment);
    *text = object != NULL ? billet_json_text(object) : NULL;
    return *text != NULL ? 0 : billet_error_no_memory(error);
}

int
sqlite_environment_insert(struct billet_store *store, const struct billet_environment *environment,
                          const struct billet_activity *activity, struct billet_error *error)
{
    sqlite3_stmt *statement;
    cleanup_free char *settings = NULL;
    int result = settings_text(environment, &settings, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_INSERT, &statement, error);
    if (result == 0) {
        const char *status = environment->status;
        const char *const texts[] = {
            environment->id,          environment->tenant,
            environment->name,        environment->driver,
            environment->description, status != NULL ? status : BILLET_ENVIRONMENT_ACTIVE,
            environment->reason,      settings,
        };
        for (int i = 0; i < 8; i++)
            sqlite_bind_text_or_empty(statement, i + 1, texts[i]);
        int code = sqlite3_step(statement);
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
            result = billet_error_set(error, BILLET_CLASS_CONFIG, "environment_exists",
                                      "there is an environment '%s' already", environment->name);
        else if (code != SQLITE_DONE)
            result = sqlite_error(store, code, "save an environment", error);
        sqlite3_reset(statement);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}

static int
not_found(const char *name, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "environment_not_found",
                     "there is no environment '%.64s'", name);
    return billet_error_hint(error, "see billet env list");
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
        result = billet_error_set(
            error, BILLET_CLASS_CONFIG, "environment_changed",
            "environment '%s' was changed meanwhile: it has revision %" PRId64 ", not %" PRId64,
            environment->name, (int64_t)sqlite3_column_int64(statement, 7), environment->revision);
    else if (code == SQLITE_DONE)
        result = not_found(environment->name, error);
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
    int result = settings_text(environment, &settings, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_ENVIRONMENT_UPDATE, &statement, error);
    if (result == 0) {
        const char *status = environment->status;
        const char *const texts[] = {
            environment->tenant,
            environment->name,
            environment->driver,
            environment->description,
            status != NULL ? status : BILLET_ENVIRONMENT_ACTIVE,
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

static bool
set_text(char **member, const char *text)
{
    *member = strdup(text);
    return *member != NULL;
}

/* A new object of the statement's row. */
static int
read_environment(struct billet_store *store, sqlite3_stmt *statement,
                 struct billet_environment *environment, struct billet_error *error)
{
    struct billet_environment row = BILLET_ENVIRONMENT_INIT;
    cleanup_json json_t *settings = NULL;
    bool whole = set_text(&row.id, sqlite_text(statement, 0)) &&
                 set_text(&row.tenant, sqlite_text(statement, 1)) &&
                 set_text(&row.name, sqlite_text(statement, 2)) &&
                 set_text(&row.driver, sqlite_text(statement, 3)) &&
                 set_text(&row.description, sqlite_text(statement, 4)) &&
                 set_text(&row.status, sqlite_text(statement, 5)) &&
                 set_text(&row.reason, sqlite_text(statement, 6)) && set_text(&row.source, "store");
    row.revision = sqlite3_column_int64(statement, 7);
    row.created_ns = sqlite3_column_int64(statement, 8);
    row.updated_ns = sqlite3_column_int64(statement, 9);
    const char *text = sqlite_text(statement, 10);
    int result = whole ? billet_json_parse(text, strlen(text), &settings, error)
                       : billet_error_no_memory(error);
    if (result == 0)
        result = billet_environment_settings_from_json(&row, settings, error);
    if (result < 0) {
        billet_error_wrap(error, "environment '%s' in %s", sqlite_text(statement, 2), store->path);
        billet_environment_free(&row);
        return result;
    }
    *environment = row;
    return 0;
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
        result = not_found(name, error);
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
            result = not_found(name, error);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}
