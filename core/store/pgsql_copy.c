/* SPDX-License-Identifier: Apache-2.0 */
/* All rows out of the database, and into an empty one. Tables and columns are the catalogue's, so
 * that those of later migrations are among them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/pgsql.h"
#include "store/refusal.h"

#define STEP_NS (60 * BILLET_NS_PER_SECOND) /* of each statement: nothing here waits for locks */
#define LOADING "loading"
/* What only this engine has. */
#define OWN_TABLES "('migration','role_tenant')"
#define OWN_COLUMN "operation"

/* pg_type.dat of PostgreSQL; these numbers never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23 };

static int
query(struct billet_store *store, const char *sql, int count, const char *const *values,
      PGresult **result, struct billet_error *error)
{
    int code = pgsql_query(store, sql, count, values, "copy the store",
                           billet_clock_monotonic() + STEP_NS, result, error);
    return code == PGSQL_LOST ? pgsql_connection_error(store, error) : code;
}

static int
execute(struct billet_store *store, const char *sql, struct billet_error *error)
{
    PGresult *result = NULL;
    int code = query(store, sql, 0, NULL, &result, error);
    PQclear(result);
    return code;
}

/* In the order in which they were made: name, quoted name, quoted columns. */
static int
read_tables(struct billet_store *store, PGresult **result, struct billet_error *error)
{
    return query(
        store,
        "SELECT relname,quote_ident(relname),(SELECT string_agg(quote_ident(attname),',' "
        "ORDER BY attnum) FROM pg_attribute WHERE attrelid=c.oid AND attnum>0 AND NOT "
        "attisdropped AND attname<>'" OWN_COLUMN "') FROM pg_class AS c WHERE "
        "relnamespace='billet'::regnamespace AND relkind='r' AND relname NOT IN " OWN_TABLES
        " ORDER BY c.oid",
        0, NULL, result, error);
}

/* A statement about one table; format has its quoted name once. */
static int
about_table(struct billet_store *store, const char *format, const char *quoted, PGresult **result,
            struct billet_error *error)
{
    char sql[256];
    snprintf(sql, sizeof(sql), format, quoted);
    PGresult *got = NULL;
    int code = query(store, sql, 0, NULL, &got, error);
    if (result != NULL && code == 0)
        *result = got;
    else
        PQclear(got);
    return code;
}

static int
read_value(const PGresult *result, int row, int column, struct billet_row_value *value,
           struct billet_error *error)
{
    const char *text = PQgetvalue(result, row, column);
    *value = (struct billet_row_value){.kind = BILLET_ROW_NULL};
    if (PQgetisnull(result, row, column))
        return 0;
    switch (PQftype(result, column)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
        value->kind = BILLET_ROW_INTEGER;
        value->integer = strtoll(text, NULL, 10);
        return 0;
    case OID_BOOL:
        value->kind = BILLET_ROW_INTEGER;
        value->integer = text[0] == 't';
        return 0;
    case OID_BYTEA:
        value->kind = BILLET_ROW_BYTES;
        value->bytes = PQunescapeBytea((const unsigned char *)text, &value->length);
        return value->bytes != NULL ? 0 : billet_error_no_memory(error);
    default:
        value->kind = BILLET_ROW_TEXT;
        value->bytes = text;
        value->length = (size_t)PQgetlength(result, row, column);
        return 0;
    }
}

static int
visit_rows(const PGresult *result, const char *table, billet_row_visit *visit, void *context,
           struct billet_error *error)
{
    const char *names[BILLET_ROW_COLUMNS_MAX];
    struct billet_row_value values[BILLET_ROW_COLUMNS_MAX];
    int columns = PQnfields(result), code = 0;
    if (columns > BILLET_ROW_COLUMNS_MAX)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed",
                                "table %s has too many columns", table);
    for (int j = 0; j < columns; j++)
        names[j] = PQfname(result, j);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        int read = 0;
        while (code == 0 && read < columns) {
            code = read_value(result, i, read, &values[read], error);
            read++;
        }
        const struct billet_row row = {table, (size_t)columns, names, values};
        if (code == 0)
            code = visit(&row, context, error);
        for (int j = 0; j < read; j++)
            if (values[j].kind == BILLET_ROW_BYTES)
                PQfreemem((void *)(uintptr_t)values[j].bytes);
    }
    return code;
}

static int
dump_table(struct billet_store *store, const PGresult *tables, int at, billet_row_visit *visit,
           void *context, struct billet_error *error)
{
    char *sql = NULL;
    if (asprintf(&sql, "DECLARE rows NO SCROLL CURSOR FOR SELECT %s FROM billet.%s",
                 PQgetvalue(tables, at, 2), PQgetvalue(tables, at, 1)) < 0)
        return billet_error_no_memory(error);
    int code = execute(store, sql, error);
    free(sql);
    for (bool more = true; code == 0 && more;) {
        cleanup_result PGresult *result = NULL;
        code = query(store, "FETCH 500 FROM rows", 0, NULL, &result, error);
        if (code == 0)
            code = visit_rows(result, PQgetvalue(tables, at, 0), visit, context, error);
        more = code == 0 && PQntuples(result) > 0;
    }
    return code == 0 ? execute(store, "CLOSE rows", error) : code;
}

static int
begin(struct billet_store *store, const char *sql, struct billet_error *error)
{
    int code = 0;
    if (store->connection == NULL)
        code = pgsql_connect(store, billet_clock_monotonic() + store->timeout_ns, error);
    if (code == 0)
        code = execute(store, sql, error);
    return code;
}

int
pgsql_dump(struct billet_store *store, billet_row_visit *visit, void *context,
           struct billet_error *error)
{
    cleanup_result PGresult *tables = NULL;
    int code = begin(store,
                     "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                     "SET LOCAL idle_in_transaction_session_timeout=0",
                     error);
    if (code == 0)
        code = read_tables(store, &tables, error);
    for (int i = 0; code == 0 && i < PQntuples(tables); i++)
        code = dump_table(store, tables, i, visit, context, error);
    pgsql_disconnect(store); /* ends the transaction */
    return code;
}

/* The rows that it has from its migrations are its own, and go. */
static int
make_ready(struct billet_store *store, struct billet_error *error)
{
    cleanup_result PGresult *tables = NULL;
    int code = read_tables(store, &tables, error);
    for (int i = 0; code == 0 && i < PQntuples(tables); i++) {
        const char *name = PQgetvalue(tables, i, 0), *quoted = PQgetvalue(tables, i, 1);
        PGresult *some = NULL;
        code =
            about_table(store, "ALTER TABLE billet.%s DISABLE TRIGGER USER", quoted, NULL, error);
        if (code == 0 && billet_store_is_seeded(name)) {
            code = about_table(store, "DELETE FROM billet.%s", quoted, NULL, error);
        } else if (code == 0) {
            code = about_table(store, "SELECT 1 FROM billet.%s LIMIT 1", quoted, &some, error);
            if (code == 0 && PQntuples(some) > 0)
                code = billet_refusal_not_empty(store->location, name, error);
            PQclear(some);
        }
    }
    return code;
}

int
pgsql_load_begin(struct billet_store *store, struct billet_error *error)
{
    int code = begin(store,
                     "BEGIN;SET LOCAL idle_in_transaction_session_timeout=0;"
                     "SET LOCAL statement_timeout='60s'",
                     error);
    if (code == 0)
        code = make_ready(store, error);
    if (code < 0)
        pgsql_disconnect(store);
    store->load_table[0] = '\0';
    return code;
}

static bool
add_identifier(struct billet_store *store, struct billet_buffer *sql, const char *name)
{
    char *quoted = PQescapeIdentifier(store->connection, name, strlen(name));
    if (quoted != NULL)
        billet_buffer_add(sql, quoted);
    PQfreemem(quoted);
    return quoted != NULL && !sql->failed;
}

/* Rows come table by table: one statement is prepared for each. */
static int
prepare_table(struct billet_store *store, const struct billet_row *row, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer sql = BILLET_BUFFER_INIT;
    bool good = true;
    billet_buffer_add(&sql, store->load_table[0] != '\0' ? "DEALLOCATE " LOADING ";PREPARE " LOADING
                                                         : "PREPARE " LOADING);
    billet_buffer_add(&sql, " AS INSERT INTO billet.");
    good = add_identifier(store, &sql, row->table);
    for (size_t i = 0; good && i < row->count; i++) {
        billet_buffer_add(&sql, i == 0 ? "(" : ",");
        good = add_identifier(store, &sql, row->names[i]);
    }
    for (size_t i = 0; i < row->count; i++)
        billet_buffer_format(&sql, i == 0 ? ") VALUES($%zu" : ",$%zu", i + 1);
    billet_buffer_add(&sql, ")");
    if (!good || sql.failed)
        return billet_error_no_memory(error);
    int code = execute(store, billet_buffer_text(&sql), error);
    if (code == 0)
        billet_text_copy(store->load_table, sizeof(store->load_table), row->table);
    return code;
}

static int
send_row(struct billet_store *store, const struct billet_row *row, struct billet_buffer *texts,
         struct billet_error *error)
{
    const char *values[BILLET_ROW_COLUMNS_MAX];
    size_t at[BILLET_ROW_COLUMNS_MAX];
    int lengths[BILLET_ROW_COLUMNS_MAX], formats[BILLET_ROW_COLUMNS_MAX];
    PGresult *result = NULL;
    for (size_t i = 0; i < row->count; i++) {
        const struct billet_row_value *value = &row->values[i];
        at[i] = texts->length;
        formats[i] = value->kind == BILLET_ROW_BYTES;
        lengths[i] = (int)value->length;
        if (value->kind == BILLET_ROW_INTEGER)
            billet_buffer_format(texts, "%lld", (long long)value->integer);
        else
            billet_buffer_append(texts, value->bytes, value->length);
        billet_buffer_append(texts, "", 1);
        if (value->kind == BILLET_ROW_TEXT && memchr(value->bytes, '\0', value->length) != NULL)
            return billet_error_set(error, BILLET_CLASS_CONFIG, "store_not_text",
                                    "a text in table %s holds a NUL byte", row->table);
    }
    if (texts->failed)
        return billet_error_no_memory(error);
    for (size_t i = 0; i < row->count; i++)
        values[i] = row->values[i].kind == BILLET_ROW_NULL ? NULL : texts->data + at[i];
    int code = PGSQL_LOST;
    if (PQsendQueryPrepared(store->connection, LOADING, (int)row->count, values, lengths, formats,
                            0) != 0)
        code = pgsql_finish(store, billet_clock_monotonic() + STEP_NS, &result, error);
    if (code == PGSQL_LOST)
        code = pgsql_connection_error(store, error);
    else if (code == 0 && !pgsql_is_good(result))
        code = pgsql_result_error(store, result, "copy the store", error);
    PQclear(result);
    return code;
}

int
pgsql_load_row(struct billet_store *store, const struct billet_row *row, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer texts = BILLET_BUFFER_INIT;
    int code = 0;
    if (row->count > BILLET_ROW_COLUMNS_MAX)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed",
                                "table %s has too many columns", row->table);
    if (store->connection == NULL)
        return pgsql_connection_error(store, error);
    if (strcmp(store->load_table, row->table) != 0)
        code = prepare_table(store, row, error);
    if (code == 0)
        code = send_row(store, row, &texts, error);
    return code < 0 ? billet_error_wrap(error, "table %s", row->table) : code;
}

/* What numbers rows goes on behind the last. */
static int
set_counters(struct billet_store *store, struct billet_error *error)
{
    cleanup_result PGresult *counters = NULL;
    int code =
        query(store,
              "SELECT format('SELECT setval(pg_get_serial_sequence(%L,%L),"
              "coalesce(max(%I),0)+1,false) FROM billet.%I','billet.'||quote_ident(relname),"
              "attname,attname,relname) FROM pg_class JOIN pg_attribute ON attrelid=pg_class.oid "
              "WHERE relnamespace='billet'::regnamespace AND attidentity<>''",
              0, NULL, &counters, error);
    for (int i = 0; code == 0 && i < PQntuples(counters); i++)
        code = execute(store, PQgetvalue(counters, i, 0), error);
    return code;
}

static int
finish_load(struct billet_store *store, struct billet_error *error)
{
    cleanup_result PGresult *tables = NULL, *deployment = NULL;
    int code = set_counters(store, error);
    if (code == 0)
        code = read_tables(store, &tables, error);
    for (int i = 0; code == 0 && i < PQntuples(tables); i++)
        code = about_table(store, "ALTER TABLE billet.%s ENABLE TRIGGER USER",
                           PQgetvalue(tables, i, 1), NULL, error);
    if (code == 0)
        code = query(store, "SELECT uuid FROM billet.deployment", 0, NULL, &deployment, error);
    if (code == 0 && PQntuples(deployment) == 0)
        code = billet_refusal_no_deployment("that is copied", error);
    if (code == 0)
        code = execute(store, "COMMIT", error);
    if (code == 0)
        billet_text_copy(store->deployment, sizeof(store->deployment),
                         PQgetvalue(deployment, 0, 0));
    return code;
}

int
pgsql_load_end(struct billet_store *store, int result, struct billet_error *error)
{
    if (result == 0 && store->connection == NULL)
        result = pgsql_timeout(store, error);
    if (result == 0)
        result = finish_load(store, error);
    pgsql_disconnect(store); /* undoes what was not committed */
    store->load_table[0] = '\0';
    return result;
}
