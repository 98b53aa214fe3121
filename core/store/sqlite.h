/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite.h - what the files of the SQLite module share: the store object, its
 * statements, the write lock. Nothing here leaves store_sqlite.so.
 *
 * A write is: lock file, BEGIN IMMEDIATE, statements, COMMIT, unlock.
 */
#ifndef BILLET_STORE_SQLITE_H
#define BILLET_STORE_SQLITE_H

#include <sqlite3.h>

#include "store/migration.h"
#include "store/store.h"

/* The clock of the database: wall time of this host in ns, to the millisecond. */
#define SQL_NOW "(CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000000)"

enum statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_NOW,
    STATEMENT_LEASE_INSERT,
    STATEMENT_LEASE_CHANGE,
    STATEMENT_LEASE_STATE,
    STATEMENT_LEASE_GET,
    STATEMENT_LEASE_PREFIX,
    STATEMENT_LEASE_LIST,
    STATEMENT_LEASE_LIST_LIVE,
    STATEMENT_LEASE_RENEW,
    STATEMENT_ACTIVITY_ADD,
    STATEMENT_ACTIVITY_LIST,
    STATEMENT_ACTIVITY_OF_LEASE,
    STATEMENT_ENVIRONMENT_INSERT,
    STATEMENT_ENVIRONMENT_UPDATE,
    STATEMENT_ENVIRONMENT_GET,
    STATEMENT_ENVIRONMENT_LIST,
    STATEMENT_ENVIRONMENT_REMOVE,
    STATEMENT_PROVISION_GET,
    STATEMENT_PROVISION_PUT,
    STATEMENT_META_GET,
    STATEMENT_META_PUT,
    STATEMENT_INFO,
    STATEMENT_DEPLOYMENT,
    STATEMENT_COUNT,
};

struct billet_store {
    const struct billet_store_module *module; /* must be first */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* made when first used */
    char *path;
    char *lock_path;
    int lock_fd; /* -1 until the first write */
    int64_t lock_timeout_ns;
    /* While a copy is loaded: whose row came last, how it was written, what comes back. */
    char load_table[64];
    sqlite3_stmt *load_statement;
    struct billet_strings load_triggers;
};

extern const struct billet_migration sqlite_migrations[];
extern const size_t sqlite_migration_count;

/* sqlite_lock.c: the queue of writers. */
int sqlite_lock(struct billet_store *store, struct billet_error *error);
void sqlite_unlock(struct billet_store *store);

/* sqlite_schema.c */
int sqlite_schema_open(struct billet_store *store, enum billet_store_mode mode,
                       struct billet_error *error);

/* sqlite_statement.c */
int sqlite_error(struct billet_store *store, int code, const char *what,
                 struct billet_error *error);
/* The statement, reset and with nothing bound. */
int sqlite_prepare(struct billet_store *store, enum statement which, sqlite3_stmt **statement,
                   struct billet_error *error);
/* Step a statement that gives no rows, or whose rows do not matter. */
int sqlite_run(struct billet_store *store, sqlite3_stmt *statement, const char *what,
               struct billet_error *error);
int sqlite_execute(struct billet_store *store, const char *sql, const char *what,
                   struct billet_error *error);
/* NULL binds "" / NULL. The text must live until the statement is reset. */
void sqlite_bind_text_or_empty(sqlite3_stmt *statement, int at, const char *text);
void sqlite_bind_text_or_null(sqlite3_stmt *statement, int at, const char *text);
const char *sqlite_text(sqlite3_stmt *statement, int column); /* never NULL */
int sqlite_begin(struct billet_store *store, struct billet_error *error);
/* COMMIT when result is 0, else ROLLBACK; unlocks; returns what the whole came to. */
int sqlite_end(struct billet_store *store, int result, struct billet_error *error);

/* sqlite_activity.c; inside a transaction. */
int sqlite_activities_add(struct billet_store *store, const struct billet_activity *activities,
                          size_t count, struct billet_error *error);

/* sqlite_secret.c */
extern const struct billet_secret_table sqlite_secret_table;

/* The functions of the table. */
int sqlite_activity_add(struct billet_store *store, const struct billet_activity *activities,
                        size_t count, struct billet_error *error);
int sqlite_activity_list(struct billet_store *store, const struct billet_activity_filter *filter,
                         billet_activity_visit *visit, void *context, struct billet_error *error);
int sqlite_check(struct billet_store *store, struct billet_strings *found,
                 struct billet_error *error);
int sqlite_dump(struct billet_store *store, billet_row_visit *visit, void *context,
                struct billet_error *error);
int sqlite_load_begin(struct billet_store *store, struct billet_error *error);
int sqlite_load_row(struct billet_store *store, const struct billet_row *row,
                    struct billet_error *error);
int sqlite_load_end(struct billet_store *store, int result, struct billet_error *error);
int sqlite_environment_insert(struct billet_store *store,
                              const struct billet_environment *environment,
                              const struct billet_activity *activity, struct billet_error *error);
int sqlite_environment_update(struct billet_store *store,
                              const struct billet_environment *environment,
                              const struct billet_activity *activity, struct billet_error *error);
int sqlite_environment_get(struct billet_store *store, const char *tenant, const char *name,
                           struct billet_environment *environment, struct billet_error *error);
int sqlite_environment_list(struct billet_store *store, const char *tenant,
                            billet_environment_visit *visit, void *context,
                            struct billet_error *error);
int sqlite_environment_remove(struct billet_store *store, const char *tenant, const char *name,
                              const struct billet_activity *activity, struct billet_error *error);
int sqlite_lease_insert(struct billet_store *store, const struct billet_lease *lease,
                        int64_t ttl_ns, const struct billet_activity *activities, size_t count,
                        struct billet_error *error);
void sqlite_expect_change(struct billet_store *store);
int sqlite_lease_change(struct billet_store *store, const struct billet_lease_change *change,
                        const struct billet_activity *activities, size_t count,
                        struct billet_lease *after, struct billet_error *error);
int sqlite_lease_get(struct billet_store *store, const char *tenant, const char *id,
                     struct billet_lease *lease, struct billet_error *error);
int sqlite_lease_list(struct billet_store *store, const struct billet_lease_filter *filter,
                      billet_lease_visit *visit, void *context, struct billet_error *error);
int sqlite_lease_note(struct billet_store *store, const char *id, int64_t fence,
                      const struct billet_activity *activities, size_t count,
                      struct billet_error *error);
int sqlite_lease_renew(struct billet_store *store, const char *id, int64_t fence,
                       const char *owner_is, int64_t ttl_ns, struct billet_error *error);

#endif
