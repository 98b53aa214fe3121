/* SPDX-License-Identifier: Apache-2.0 */
/* All rows out of the database, and into an empty one. Tables and columns are the schema's, so that
 * those of later migrations are among them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "store/refusal.h"
#include "store/sqlite.h"

#define NAMES_MAX 128

/* The first column of what sql gives, as a list. */
static int
read_list(struct billet_store *store, const char *sql, struct billet_strings *list,
          struct billet_error *error)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW &&
            (list->count >= NAMES_MAX || !billet_strings_add(list, sqlite_text(statement, 0)))) {
            result = billet_error_no_memory(error);
            break;
        }
    }
    if (result == 0 && code != SQLITE_DONE)
        result = sqlite_error(store, code, "copy the store", error);
    sqlite3_finalize(statement);
    return result;
}

/* In the order in which they were made. */
static int
read_tables(struct billet_store *store, struct billet_strings *tables, struct billet_error *error)
{
    return read_list(store,
                     "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE "
                     "'sqlite\\_%' ESCAPE '\\' AND name<>'migration' ORDER BY rowid",
                     tables, error);
}

/* %w of sqlite3_mprintf doubles quotes: a name can be nothing but a name. */
static int
prepare(struct billet_store *store, const char *format, const char *name, sqlite3_stmt **statement,
        struct billet_error *error)
{
    char *sql = sqlite3_mprintf(format, name);
    if (sql == NULL)
        return billet_error_no_memory(error);
    int code = sqlite3_prepare_v2(store->db, sql, -1, statement, NULL);
    sqlite3_free(sql);
    return code == SQLITE_OK ? 0 : sqlite_error(store, code, "copy the store", error);
}

static void
read_value(sqlite3_stmt *statement, int column, struct billet_row_value *value)
{
    *value = (struct billet_row_value){.kind = BILLET_ROW_NULL};
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        return;
    case SQLITE_INTEGER:
        value->kind = BILLET_ROW_INTEGER;
        value->integer = sqlite3_column_int64(statement, column);
        return;
    case SQLITE_BLOB:
        value->kind = BILLET_ROW_BYTES;
        value->bytes = sqlite3_column_blob(statement, column);
        break;
    default:
        value->kind = BILLET_ROW_TEXT;
        value->bytes = sqlite3_column_text(statement, column);
        break;
    }
    value->length = (size_t)sqlite3_column_bytes(statement, column);
    if (value->bytes == NULL)
        value->bytes = "";
}

static int
dump_table(struct billet_store *store, const char *table, billet_row_visit *visit, void *context,
           struct billet_error *error)
{
    const char *names[BILLET_ROW_COLUMNS_MAX];
    struct billet_row_value values[BILLET_ROW_COLUMNS_MAX];
    sqlite3_stmt *statement = NULL;
    int code, result = prepare(store, "SELECT * FROM \"%w\"", table, &statement, error);
    if (result < 0)
        return result;
    int columns = sqlite3_column_count(statement);
    if (columns > BILLET_ROW_COLUMNS_MAX)
        result = billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed",
                                  "table %s has too many columns", table);
    for (int i = 0; result == 0 && i < columns; i++)
        names[i] = sqlite3_column_name(statement, i);
    while (result == 0 && (code = sqlite3_step(statement)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            result = sqlite_error(store, code, "copy the store", error);
            break;
        }
        for (int i = 0; i < columns; i++)
            read_value(statement, i, &values[i]);
        const struct billet_row row = {table, (size_t)columns, names, values};
        result = visit(&row, context, error);
    }
    sqlite3_finalize(statement);
    return result;
}

int
sqlite_dump(struct billet_store *store, billet_row_visit *visit, void *context,
            struct billet_error *error)
{
    cleanup_strings struct billet_strings tables = BILLET_STRINGS_INIT;
    int result = sqlite_execute(store, "BEGIN", "copy the store", error);
    if (result == 0)
        result = read_tables(store, &tables, error);
    for (size_t i = 0; result == 0 && i < tables.count; i++)
        result = dump_table(store, tables.items[i], visit, context, error);
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static int
check_empty(struct billet_store *store, struct billet_error *error)
{
    cleanup_strings struct billet_strings tables = BILLET_STRINGS_INIT;
    int result = read_tables(store, &tables, error);
    for (size_t i = 0; result == 0 && i < tables.count; i++) {
        sqlite3_stmt *statement = NULL;
        if (billet_store_is_seeded(tables.items[i]))
            continue;
        result = prepare(store, "SELECT 1 FROM \"%w\" LIMIT 1", tables.items[i], &statement, error);
        int code = result == 0 ? sqlite3_step(statement) : SQLITE_DONE;
        if (code == SQLITE_ROW)
            result = billet_refusal_not_empty(store->path, tables.items[i], error);
        else if (code != SQLITE_DONE)
            result = sqlite_error(store, code, "copy the store", error);
        sqlite3_finalize(statement);
    }
    return result;
}

/* They come back in the same transaction: nobody ever sees the tables without their guards. */
static int
drop_triggers(struct billet_store *store, struct billet_error *error)
{
    cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
    int result =
        read_list(store, "SELECT sql FROM sqlite_schema WHERE type='trigger' ORDER BY rowid",
                  &store->load_triggers, error);
    if (result == 0)
        result =
            read_list(store, "SELECT name FROM sqlite_schema WHERE type='trigger'", &names, error);
    for (size_t i = 0; result == 0 && i < names.count; i++) {
        sqlite3_stmt *statement = NULL;
        result = prepare(store, "DROP TRIGGER \"%w\"", names.items[i], &statement, error);
        if (result == 0)
            result = sqlite_run(store, statement, "copy the store", error);
        sqlite3_finalize(statement);
    }
    return result;
}

static void
forget_load(struct billet_store *store)
{
    sqlite3_finalize(store->load_statement);
    store->load_statement = NULL;
    store->load_table[0] = '\0';
    billet_strings_free(&store->load_triggers);
}

int
sqlite_load_begin(struct billet_store *store, struct billet_error *error)
{
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_execute(store, "PRAGMA defer_foreign_keys=ON", "copy the store", error);
    if (result == 0)
        result = check_empty(store, error);
    if (result == 0)
        result = drop_triggers(store, error);
    if (result == 0)
        result = sqlite_execute(store, "DELETE FROM deployment; DELETE FROM secret_audit_head",
                                "copy the store", error);
    if (result < 0) {
        forget_load(store);
        return sqlite_end(store, result, error);
    }
    return 0;
}

static int
prepare_table(struct billet_store *store, const struct billet_row *row, struct billet_error *error)
{
    sqlite3_str *sql = sqlite3_str_new(store->db);
    sqlite3_str_appendf(sql, "INSERT INTO \"%w\"", row->table);
    for (size_t i = 0; i < row->count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i == 0 ? "(" : ",", row->names[i]);
    for (size_t i = 0; i < row->count; i++)
        sqlite3_str_appendall(sql, i == 0 ? ") VALUES(?" : ",?");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    if (text == NULL)
        return billet_error_no_memory(error);
    sqlite3_finalize(store->load_statement);
    store->load_statement = NULL;
    int code = sqlite3_prepare_v2(store->db, text, -1, &store->load_statement, NULL);
    sqlite3_free(text);
    if (code != SQLITE_OK)
        return sqlite_error(store, code, "copy the store", error);
    billet_text_copy(store->load_table, sizeof(store->load_table), row->table);
    return 0;
}

int
sqlite_load_row(struct billet_store *store, const struct billet_row *row,
                struct billet_error *error)
{
    int result = 0;
    if (strcmp(store->load_table, row->table) != 0)
        result = prepare_table(store, row, error);
    for (size_t i = 0; result == 0 && i < row->count; i++) {
        const struct billet_row_value *value = &row->values[i];
        int at = (int)i + 1;
        if (value->kind == BILLET_ROW_INTEGER)
            sqlite3_bind_int64(store->load_statement, at, value->integer);
        else if (value->kind == BILLET_ROW_TEXT)
            sqlite3_bind_text64(store->load_statement, at, value->bytes, value->length,
                                SQLITE_STATIC, SQLITE_UTF8);
        else if (value->kind == BILLET_ROW_BYTES)
            sqlite3_bind_blob64(store->load_statement, at, value->bytes, value->length,
                                SQLITE_STATIC);
        else
            sqlite3_bind_null(store->load_statement, at);
    }
    if (result == 0)
        result = sqlite_run(store, store->load_statement, "copy the store", error);
    if (store->load_statement != NULL)
        sqlite3_clear_bindings(store->load_statement);
    return result < 0 ? billet_error_wrap(error, "table %s", row->table) : 0;
}

int
sqlite_load_end(struct billet_store *store, int result, struct billet_error *error)
{
    for (size_t i = 0; result == 0 && i < store->load_triggers.count; i++)
        result = sqlite_execute(store, store->load_triggers.items[i], "copy the store", error);
    forget_load(store);
    result = sqlite_end(store, result, error);
    /* All of it into the one file, which somebody may carry away; else it is in the log beside it.
     */
    if (result == 0)
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return result;
}
