/* SPDX-License-Identifier: Apache-2.0 */
/* Which schema the database has, and how its owner gets the newest: the numbered files, each once,
 * each in one transaction under a lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/pgsql.h"
#include "store/refusal.h"

/* A migration may rewrite tables. */
#define MIGRATION_NS (600 * BILLET_NS_PER_SECOND)
/* "billet" and the purpose: no other program's number. */
#define LOCK "7091892914231910"

static int
query(struct billet_store *store, const char *sql, int count, const char *const *values,
      int64_t deadline_ns, PGresult **result, struct billet_error *error)
{
    int code = pgsql_query(store, sql, count, values, "migrate", deadline_ns, result, error);
    return code == PGSQL_LOST ? pgsql_connection_error(store, error) : code;
}

static int
execute(struct billet_store *store, const char *sql, int count, const char *const *values,
        int64_t deadline_ns, struct billet_error *error)
{
    PGresult *result = NULL;
    int code = query(store, sql, count, values, deadline_ns, &result, error);
    PQclear(result);
    return code;
}

/* 0 when there is no schema of ours. */
static int
read_version(struct billet_store *store, int64_t deadline_ns, int64_t *version,
             struct billet_error *error)
{
    PGresult *result = NULL;
    int code = query(store,
                     /* From the tables: what to_regclass knows may be older than the lock. */
                     "SELECT EXISTS(SELECT 1 FROM pg_catalog.pg_class AS c JOIN "
                     "pg_catalog.pg_namespace AS n ON n.oid=c.relnamespace WHERE "
                     "n.nspname='billet' AND c.relname='migration'),"
                     "EXISTS(SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname='billet')",
                     0, NULL, deadline_ns, &result, error);
    if (code < 0)
        return code;
    bool ours = PQgetvalue(result, 0, 0)[0] == 't', taken = PQgetvalue(result, 0, 1)[0] == 't';
    PQclear(result);
    *version = 0;
    if (!ours && taken) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "store_corrupt",
                         "the database %s has a schema billet that is not billet's",
                         store->location);
        return billet_error_hint(error, "name another database in [store] url");
    }
    if (!ours)
        return 0;
    code = query(store, "SELECT coalesce(max(number),0) FROM billet.migration", 0, NULL,
                 deadline_ns, &result, error);
    if (code == 0) {
        *version = pgsql_integer(result, 0, 0);
        PQclear(result);
    }
    return code;
}

static int
record_migration(struct billet_store *store, const struct billet_migration *migration,
                 int64_t deadline_ns, struct billet_error *error)
{
    char checksum[BILLET_CHECKSUM_SIZE], number[16], uuid[BILLET_UUID_SIZE];
    const char *const row[] = {number, migration->name, checksum};
    const char *const deployment[] = {uuid};
    snprintf(number, sizeof(number), "%d", migration->number);
    billet_migration_checksum(migration->sql, checksum);
    billet_uuid_make(uuid);
    int code = execute(store,
                       "INSERT INTO billet.migration(number,name,applied_ns,checksum) "
                       "VALUES($1::integer,$2," SQL_NOW ",$3)",
                       3, row, deadline_ns, error);
    if (code == 0)
        code = execute(store,
                       "INSERT INTO billet.deployment(one,uuid,created_ns) VALUES(1,$1," SQL_NOW
                       ") ON CONFLICT DO NOTHING",
                       1, deployment, deadline_ns, error);
    return code;
}

/* Another process may have been faster: the version is read again under the lock. */
static int
migrate_one(struct billet_store *store, const struct billet_migration *migration,
            int64_t deadline_ns, struct billet_error *error)
{
    int64_t version = 0;
    int code = execute(store,
                       "BEGIN;SET LOCAL statement_timeout=0;SET LOCAL lock_timeout=0;"
                       "SELECT pg_advisory_xact_lock(" LOCK ")",
                       0, NULL, deadline_ns, error);
    if (code == 0)
        code = read_version(store, deadline_ns, &version, error);
    if (code == 0 && version == migration->number - 1) {
        code = execute(store, migration->sql, 0, NULL, deadline_ns, error);
        if (code == 0)
            code = record_migration(store, migration, deadline_ns, error);
    }
    if (code == 0)
        code = execute(store, "COMMIT", 0, NULL, deadline_ns, error);
    if (code < 0) {
        billet_error_wrap(error, "migration %04d_%s", migration->number, migration->name);
        /* Whether it was committed is read again by whoever comes next. */
        pgsql_disconnect(store);
    }
    return code;
}

static int
migrate(struct billet_store *store, int64_t version, struct billet_error *error)
{
    int64_t deadline_ns = billet_clock_monotonic() + MIGRATION_NS;
    for (size_t i = (size_t)version; i < pgsql_migration_count; i++) {
        int code = migrate_one(store, &pgsql_migrations[i], deadline_ns, error);
        if (code < 0)
            return code;
    }
    return 0;
}

static int
judge(struct billet_store *store, int64_t version, enum billet_store_mode mode,
      struct billet_error *error)
{
    int64_t wanted = (int64_t)pgsql_migration_count;
    if (version > wanted)
        return billet_refusal_newer(store->location, version, wanted, error);
    if (version == wanted || (mode == BILLET_STORE_LOOK && version > 0))
        return 0;
    if (mode == BILLET_STORE_CREATE)
        return migrate(store, version, error);
    if (version > 0)
        return billet_refusal_outdated(store->location, version, wanted, error);
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_missing",
                     "the database %s has no tables of billet's", store->location);
    return billet_error_hint(error, "billet db migrate makes them");
}

/* The usual case in one round trip: the tables are there and say which. */
int
pgsql_schema_open(struct billet_store *store, enum billet_store_mode mode,
                  struct billet_error *error)
{
    int64_t version = 0;
    int64_t deadline_ns = billet_clock_monotonic() + store->timeout_ns;
    struct billet_error first = BILLET_ERROR_INIT;
    PGresult *result = NULL;
    static const char sql[] = "SELECT coalesce((SELECT max(number) FROM billet.migration),0),"
                              "(SELECT uuid FROM billet.deployment)";
    int code = query(store, sql, 0, NULL, deadline_ns, &result, &first);
    if (code == 0) {
        version = pgsql_integer(result, 0, 0);
        billet_text_copy(store->deployment, sizeof(store->deployment), PQgetvalue(result, 0, 1));
        PQclear(result);
    } else if (store->connection != NULL && first.error_class == BILLET_CLASS_INTERNAL) {
        code = read_version(store, deadline_ns, &version, error);
    } else if (error != NULL) {
        *error = first;
    }
    if (code == 0)
        code = judge(store, version, mode, error);
    if (code == 0 && store->deployment[0] == '\0' && version < (int64_t)pgsql_migration_count) {
        code = query(store, sql, 0, NULL, deadline_ns, &result, error);
        if (code == 0) {
            billet_text_copy(store->deployment, sizeof(store->deployment),
                             PQgetvalue(result, 0, 1));
            PQclear(result);
        }
    }
    if (code == 0 && store->deployment[0] == '\0')
        code = billet_refusal_no_deployment(store->location, error);
    return code;
}
