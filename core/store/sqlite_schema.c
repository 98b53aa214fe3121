/* SPDX-License-Identifier: Apache-2.0 */
/* Which schema the database has, and how it gets the newest: the numbered files, each once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/uuid.h"
#include "store/refusal.h"
#include "store/sqlite.h"

#define APPLICATION_ID 1112099924 /* "BILT", also in 0001_initial.sql */

static int
read_number(struct billet_store *store, const char *sql, int64_t *number,
            struct billet_error *error)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    int result = code == SQLITE_ROW ? 0 : sqlite_error(store, code, "read the schema", error);
    sqlite3_finalize(statement);
    return result;
}

static int
foreign(struct billet_store *store, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_corrupt",
                     "%s is a database, but not one of billet's", store->path);
    return billet_error_hint(error, "name another file in [store] url");
}

static int
record_migration(struct billet_store *store, const struct billet_migration *migration,
                 struct billet_error *error)
{
    char checksum[BILLET_CHECKSUM_SIZE], sql[64];
    sqlite3_stmt *statement;
    billet_migration_checksum(migration->sql, checksum);
    int code = sqlite3_prepare_v2(store->db,
                                  "INSERT INTO migration(number,name,applied_ns,checksum) "
                                  "VALUES(?1,?2," SQL_NOW ",?3)",
                                  -1, &statement, NULL);
    if (code != SQLITE_OK)
        return sqlite_error(store, code, "record a migration", error);
    sqlite3_bind_int(statement, 1, migration->number);
    sqlite_bind_text_or_empty(statement, 2, migration->name);
    sqlite_bind_text_or_empty(statement, 3, checksum);
    int result = sqlite_run(store, statement, "record a migration", error);
    sqlite3_finalize(statement);
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", migration->number);
    return result < 0 ? result : sqlite_execute(store, sql, "record a migration", error);
}

static int
make_deployment(struct billet_store *store, struct billet_error *error)
{
    char uuid[BILLET_UUID_SIZE];
    sqlite3_stmt *statement;
    billet_uuid_make(uuid);
    int code = sqlite3_prepare_v2(store->db,
                                  "INSERT INTO deployment(one,uuid,created_ns) VALUES(1,?1," SQL_NOW
                                  ") ON CONFLICT DO NOTHING",
                                  -1, &statement, NULL);
    if (code != SQLITE_OK)
        return sqlite_error(store, code, "name the deployment", error);
    sqlite_bind_text_or_empty(statement, 1, uuid);
    int result = sqlite_run(store, statement, "name the deployment", error);
    sqlite3_finalize(statement);
    return result;
}

/* One migration in one transaction. Another process may have been faster. */
static int
migrate_one(struct billet_store *store, const struct billet_migration *migration,
            struct billet_error *error)
{
    int64_t version = 0;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = read_number(store, "PRAGMA user_version", &version, error);
    if (result == 0 && version == migration->number - 1) {
        result = sqlite_execute(store, migration->sql, "migrate", error);
        if (result == 0)
            result = record_migration(store, migration, error);
        if (result == 0)
            result = make_deployment(store, error);
    }
    result = sqlite_end(store, result, error);
    return result < 0
               ? billet_error_wrap(error, "migration %04d_%s", migration->number, migration->name)
               : 0;
}

/* WAL stays set in the file. Changing it needs the file alone, so it is done in the queue. */
static int
set_wal(struct billet_store *store, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_lock(store, error);
    if (result < 0)
        return result;
    int code = sqlite3_prepare_v2(store->db, "PRAGMA journal_mode=WAL", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        result = sqlite_error(store, code, "switch on the write-ahead log", error);
    else if (strcmp(sqlite_text(statement, 0), "wal") != 0)
        result =
            billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_failed",
                             "%s: this file system cannot hold a write-ahead log", store->path);
    sqlite3_finalize(statement);
    sqlite_unlock(store);
    return result;
}

static int
migrate(struct billet_store *store, int64_t version, struct billet_error *error)
{
    int64_t objects = 0;
    if (version == 0) {
        int result = read_number(store, "SELECT count(*) FROM sqlite_schema", &objects, error);
        /* Objects and a version: another process has just made them. */
        int64_t again = 0;
        if (result == 0)
            result = read_number(store, "PRAGMA user_version", &again, error);
        if (result == 0 && objects > 0 && again == 0)
            result = foreign(store, error);
        if (result == 0)
            result = set_wal(store, error);
        if (result < 0)
            return result;
    }
    for (size_t i = (size_t)version; i < sqlite_migration_count; i++) {
        int result = migrate_one(store, &sqlite_migrations[i], error);
        if (result < 0)
            return result;
    }
    return 0;
}

int
sqlite_schema_open(struct billet_store *store, enum billet_store_mode mode,
                   struct billet_error *error)
{
    int64_t version = 0, application = 0;
    int64_t wanted = (int64_t)sqlite_migration_count;
    int result = read_number(store, "PRAGMA user_version", &version, error);
    if (result == 0 && version != 0)
        result = read_number(store, "PRAGMA application_id", &application, error);
    if (result < 0)
        return result;
    if (version != 0 && application != APPLICATION_ID)
        return foreign(store, error);
    if (version > wanted)
        return billet_refusal_newer(store->path, version, wanted, error);
    if (version == wanted || (mode == BILLET_STORE_LOOK && version > 0))
        return 0;
    if (mode == BILLET_STORE_CREATE)
        return migrate(store, version < 0 ? 0 : version, error);
    if (version <= 0) {
        int64_t objects = 0;
        result = read_number(store, "SELECT count(*) FROM sqlite_schema", &objects, error);
        if (result < 0)
            return result;
        if (objects > 0)
            return foreign(store, error);
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_missing",
                         "the database %s is empty", store->path);
        return billet_error_hint(error, "billet db status sets it up");
    }
    return billet_refusal_outdated(store->path, version, wanted, error);
}
