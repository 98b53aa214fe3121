/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_fixture.h - a store for a test, of one engine after the other: SQLite in a
 * directory of its own, PostgreSQL in a database of its own of a server of our own; and
 * short ways to make rows.
 *
 * Everything goes through the module's table, so that one suite proves every engine.
 */
#ifndef BILLET_T_STORE_FIXTURE_H
#define BILLET_T_STORE_FIXTURE_H

#ifdef HAVE_PGSQL
#include <libpq-fe.h>
#endif
#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uuid.h"
#include "pgsql_server.h"
#include "store/store.h"

#define SECOND BILLET_NS_PER_SECOND
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char fixture_directory[PATH_MAX];
static char fixture_path[PATH_MAX + 64];
static char fixture_url[PATH_MAX + 256];
static bool fixture_on_pgsql;
__attribute__((unused)) static char fixture_database[64];
__attribute__((unused)) static char fixture_message[512];
static char fixture_modules[PATH_MAX];
static struct billet_error fixture_error = BILLET_ERROR_INIT;

#define assert_ok(call)                                                                \
    do {                                                                               \
        billet_error_clear(&fixture_error);                                            \
        int assert_result = (call);                                                    \
        ck_assert_msg(assert_result == 0, "%s: %s (%s)", #call, fixture_error.message, \
                      fixture_error.code);                                             \
    } while (0)

#define assert_fails(call, wanted)                                                  \
    do {                                                                            \
        billet_error_clear(&fixture_error);                                         \
        int assert_result = (call);                                                 \
        ck_assert_msg(assert_result < 0, "%s succeeded, wanted %s", #call, wanted); \
        ck_assert_str_eq(fixture_error.code, wanted);                               \
        ck_assert_int_eq(assert_result, -fixture_error.error_class);                \
        ck_assert_str_ne(fixture_error.message, "");                                \
    } while (0)

/* A URL of libpq for a database of the server, as a role. */
static inline void
fixture_pgsql_url(char *to, size_t size, const char *database, const char *role)
{
    snprintf(to, size, "postgresql:host=%s user=%s dbname=%s", server_directory, role, database);
}

#ifdef HAVE_PGSQL
/* One statement as a role in a database; gives its first value (free), or NULL when it failed. */
static inline char *
fixture_sql(const char *database, const char *role, const char *sql)
{
    char conninfo[PATH_MAX + 128], *value = NULL;
    snprintf(conninfo, sizeof(conninfo), "host=%s user=%s dbname=%s options=-csearch_path=billet",
             server_directory, role, database);
    PGconn *connection = PQconnectdb(conninfo);
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    snprintf(fixture_message, sizeof(fixture_message), "%s", PQerrorMessage(connection));
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        value = strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(connection);
    return value;
}

static inline void
fixture_make_database(void)
{
    static int number;
    char sql[128];
    snprintf(fixture_database, sizeof(fixture_database), "t%ld_%d", (long)getpid(), number++);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s STRATEGY wal_log", fixture_database);
    char *made = fixture_sql("postgres", "owner", sql);
    if (made == NULL) { /* a server before 15 */
        snprintf(sql, sizeof(sql), "CREATE DATABASE %s", fixture_database);
        made = fixture_sql("postgres", "owner", sql);
    }
    ck_assert_msg(made != NULL, "%s", fixture_message);
    free(made);
    fixture_pgsql_url(fixture_url, sizeof(fixture_url), fixture_database, "owner");
}
#else
static inline void
fixture_make_database(void)
{
}
#endif

static inline void
fixture_setup(void)
{
    const char *build = getenv("top_builddir");
    const char *temporary = getenv("TMPDIR");
    char modules[PATH_MAX];
    snprintf(modules, sizeof(modules), "%s/.libs", build != NULL ? build : ".");
    ck_assert_msg(realpath(modules, fixture_modules) != NULL, "no %s", modules);
    snprintf(fixture_directory, sizeof(fixture_directory), "%s/billet-store-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(fixture_directory));
    snprintf(fixture_path, sizeof(fixture_path), "%s/billet.db", fixture_directory);
    snprintf(fixture_url, sizeof(fixture_url), "sqlite:%s", fixture_path);
    if (fixture_on_pgsql)
        fixture_make_database();
}

static inline int
fixture_remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline void
fixture_teardown(void)
{
    nftw(fixture_directory, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct billet_store *
fixture_open(void)
{
    struct billet_store *store = NULL;
    assert_ok(billet_store_open(fixture_modules, fixture_url, BILLET_STORE_CREATE, &store,
                                &fixture_error));
    return store;
}

/* A lease row with a new id in *id. */
static inline struct billet_lease
fixture_lease(char id[BILLET_UUID_SIZE])
{
    billet_uuid_make(id);
    return (struct billet_lease){
        .id = id,
        .tenant = (char *)"default",
        .environment = (char *)"local",
        .driver = (char *)"local",
        .policy = (char *)"ephemeral",
        .facts = (char *)"{}",
        .configuration = (char *)"{}",
        .owner = (char *)"somebody",
    };
}

static inline struct billet_activity
fixture_activity(const char *lease, const char *action, int64_t fence)
{
    return (struct billet_activity){.action = action,
                                    .tenant = "default",
                                    .environment = "local",
                                    .lease = lease,
                                    .actor = "user:test",
                                    .fence = fence,
                                    .details = "{}"};
}

static inline int
fixture_insert(struct billet_store *store, char id[BILLET_UUID_SIZE])
{
    struct billet_lease lease = fixture_lease(id);
    struct billet_activity activity = fixture_activity(id, "lease.requested", 1);
    return billet_store_of(store)->lease_insert(store, &lease, 60 * SECOND, &activity, 1,
                                                &fixture_error);
}

/* One step of the state machine with the activity row that belongs to it. */
static inline int
fixture_change(struct billet_store *store, const char *id, enum billet_lease_state from,
               int64_t fence, enum billet_lease_state to, const char *action)
{
    struct billet_lease_change change = {
        .id = id,
        .expected = from,
        .fence = fence,
        .state = to,
        .ref = to == BILLET_LEASE_ACTIVE ? "resource" : NULL,
    };
    struct billet_activity activity = fixture_activity(id, action, fence);
    return billet_store_of(store)->lease_change(store, &change, &activity, action != NULL, NULL,
                                                &fixture_error);
}

static inline void
fixture_check_clean(struct billet_store *store)
{
    struct billet_strings found = BILLET_STRINGS_INIT;
    assert_ok(billet_store_of(store)->check(store, &found, &fixture_error));
    ck_assert_msg(found.count == 0, "%zu findings, first: %s", found.count,
                  found.count > 0 ? found.items[0] : "");
    billet_strings_free(&found);
}

static inline void
fixture_use_sqlite(void)
{
    fixture_on_pgsql = false;
}

static inline void
fixture_use_pgsql(void)
{
    fixture_on_pgsql = true;
}

/* NULL when the tests can run on PostgreSQL: the server then runs until fixture_run ends. */
static inline const char *
fixture_start_pgsql(void)
{
#ifdef HAVE_PGSQL
    if (server_directory[0] != '\0')
        return NULL;
    return server_make();
#else
    return "billet was built without it";
#endif
}

static inline int
fixture_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    pid_t self = getpid();
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    if (getpid() == self)
        server_stop();
    return 0;
}

/* The same tests once for each engine; add puts them into the case. */
static inline int
fixture_run_engines(const char *name, int timeout, void (*add)(TCase *tests))
{
    static void (*const choose[])(void) = {fixture_use_sqlite, fixture_use_pgsql};
    static const char *const engines[] = {"sqlite", "postgresql"};
    const char *why = fixture_start_pgsql();
    Suite *suite = suite_create(name);
    if (why != NULL)
        printf("# skipped on postgresql: %s\n", why);
    for (int i = 0; i < (why == NULL ? 2 : 1); i++) {
        TCase *tests = tcase_create(engines[i]);
        tcase_set_timeout(tests, timeout);
        tcase_add_unchecked_fixture(tests, choose[i], NULL);
        add(tests);
        suite_add_tcase(suite, tests);
    }
    return fixture_run(suite);
}

#endif
