/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of the module, and how it is run: prepare, bind, step, map errors, transactions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "store/change.h"
#include "store/refusal.h"
#include "store/sqlite.h"

#define LEASE_COLUMNS                                                                             \
    "id,tenant,environment,environment_id,driver,run,agent,issue,workspace,policy,state,fence,"   \
    "generation,ref,facts,configuration,directory,owner,command,outcome,reason,cleanup_attempts," \
    "next_cleanup_ns,created_ns,updated_ns,expires_ns,ended_ns"
#define LEASE_LIST_WHERE                                                  \
    " WHERE (?1 IS NULL OR tenant=?1) AND (?2 IS NULL OR environment=?2)" \
    " AND (?3 IS NULL OR run=?3)"
#define ACTIVITY_COLUMNS \
    "sequence,time_ns,action,tenant,environment,lease,run,agent,issue,actor,fence,details"
#define ENVIRONMENT_COLUMNS \
    "id,tenant,name,driver,description,status,reason,revision,created_ns,updated_ns,settings"

static const char *const statement_sql[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_NOW] = "SELECT " SQL_NOW,
    [STATEMENT_LEASE_INSERT] =
        "INSERT INTO lease(" LEASE_COLUMNS ") "
        "SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,'acquiring',1,1,?11,?12,?13,?14,?15,?16,?17,?18,"
        "0,0,now,now,now+?19,0 FROM (SELECT " SQL_NOW " AS now)",
    [STATEMENT_LEASE_CHANGE] =
        "UPDATE lease SET state=?4,fence=fence+?5,generation=generation+?6,"
        "expires_ns=CASE WHEN ?7>0 THEN " SQL_NOW "+?7 ELSE expires_ns END,"
        "ref=coalesce(?8,ref),facts=coalesce(?9,facts),directory=coalesce(?10,directory),"
        "owner=coalesce(?11,owner),command=coalesce(?12,command),outcome=coalesce(?13,outcome),"
        "reason=coalesce(?14,reason),run=coalesce(?18,run),issue=coalesce(?19,issue),"
        "cleanup_attempts=cleanup_attempts+?15,"
        "next_cleanup_ns=CASE WHEN ?15 THEN " SQL_NOW "+?16 ELSE next_cleanup_ns END,"
        "updated_ns=" SQL_NOW ",ended_ns=CASE WHEN ?17 THEN " SQL_NOW " ELSE 0 END "
        "WHERE id=?1 AND state=?2 AND fence=?3 AND (?20 IS NULL OR owner=?20) "
        "RETURNING " BILLET_CHANGE_COLUMNS,
    [STATEMENT_LEASE_STATE] = "SELECT state,fence,run FROM lease WHERE id=?1",
    [STATEMENT_LEASE_GET] =
        "SELECT " LEASE_COLUMNS " FROM lease WHERE id=?1 AND (?2 IS NULL OR tenant=?2)",
    [STATEMENT_LEASE_PREFIX] = "SELECT " LEASE_COLUMNS " FROM lease WHERE id>=?1 AND id<?1||'~' "
                               "AND (?2 IS NULL OR tenant=?2) LIMIT 2",
    [STATEMENT_LEASE_LIST] =
        "SELECT " LEASE_COLUMNS " FROM lease" LEASE_LIST_WHERE " ORDER BY number DESC LIMIT ?4",
    [STATEMENT_LEASE_LIST_LIVE] =
        "SELECT " LEASE_COLUMNS " FROM lease INDEXED BY lease_live" LEASE_LIST_WHERE
        " AND state NOT IN ('released', 'failed') ORDER BY number DESC LIMIT ?4",
    [STATEMENT_LEASE_RENEW] =
        "UPDATE lease SET expires_ns=max(expires_ns," SQL_NOW "+?3) WHERE id=?1 AND "
        "(?2=0 OR fence=?2) AND (?4 IS NULL OR owner=?4) AND state IN "
        "('acquiring','active','retained') RETURNING 1",
    [STATEMENT_ACTIVITY_ADD] =
        "INSERT INTO activity(time_ns,action,tenant,environment,lease,run,agent,issue,actor,fence,"
        "details) VALUES(" SQL_NOW ",?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
    [STATEMENT_ACTIVITY_LIST] =
        "SELECT " ACTIVITY_COLUMNS " FROM activity WHERE sequence>?1 AND time_ns>=?2 "
        "AND (?3 IS NULL OR tenant=?3) AND (?4 IS NULL OR lease=?4) "
        "AND (?5 IS NULL OR environment=?5) ORDER BY sequence LIMIT ?6",
    [STATEMENT_ACTIVITY_OF_LEASE] =
        "SELECT " ACTIVITY_COLUMNS " FROM activity INDEXED BY activity_of_lease "
        "WHERE lease=?4 AND lease<>'' AND sequence>?1 AND time_ns>=?2 "
        "AND (?3 IS NULL OR tenant=?3) "
        "AND (?5 IS NULL OR environment=?5) ORDER BY sequence LIMIT ?6",
    [STATEMENT_ENVIRONMENT_INSERT] =
        "INSERT INTO environment(" ENVIRONMENT_COLUMNS ") "
        "SELECT ?1,?2,?3,?4,?5,?6,?7,1,now,now,?8 FROM (SELECT " SQL_NOW " AS now)",
    [STATEMENT_ENVIRONMENT_UPDATE] =
        "UPDATE environment SET driver=?3,description=?4,status=?5,reason=?6,settings=?7,"
        "revision=revision+1,updated_ns=" SQL_NOW " WHERE tenant=?1 AND name=?2 AND revision=?8 "
        "RETURNING 1",
    [STATEMENT_ENVIRONMENT_GET] =
        "SELECT " ENVIRONMENT_COLUMNS " FROM environment WHERE tenant IN (?1,'') AND name=?2 "
        "ORDER BY tenant DESC LIMIT 1",
    [STATEMENT_ENVIRONMENT_LIST] =
        "SELECT " ENVIRONMENT_COLUMNS " FROM environment AS e WHERE ?1 IS NULL OR tenant=?1 "
        "OR (tenant='' AND NOT EXISTS(SELECT 1 FROM environment WHERE tenant=?1 AND name=e.name)) "
        "ORDER BY tenant,name",
    [STATEMENT_ENVIRONMENT_REMOVE] =
        "DELETE FROM environment WHERE tenant=?1 AND name=?2 RETURNING 1",
    [STATEMENT_PROVISION_GET] = "SELECT 1 FROM provision WHERE key=?1",
    [STATEMENT_PROVISION_PUT] = "INSERT INTO provision(key,time_ns) VALUES(?1," SQL_NOW ") "
                                "ON CONFLICT(key) DO UPDATE SET time_ns=excluded.time_ns",
    [STATEMENT_META_GET] = "SELECT value FROM meta WHERE key=?1",
    [STATEMENT_META_PUT] = "INSERT INTO meta(key,value) VALUES(?1,?2) "
                           "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
    [STATEMENT_DEPLOYMENT] = "SELECT uuid FROM deployment",
    [STATEMENT_INFO] =
        "SELECT uuid,created_ns,(SELECT count(*) FROM environment),"
        "(SELECT count(*) FROM lease WHERE state NOT IN ('released', 'failed')),"
        "(SELECT count(*) FROM lease),(SELECT count(*) FROM activity),"
        "(SELECT max(number) FROM migration),"
        "(SELECT page_count*page_size FROM pragma_page_count, pragma_page_size) FROM deployment",
};

static int
retryable(struct billet_error *error, int result)
{
    if (error != NULL)
        error->retryable = 1;
    return result;
}

/* The errno behind a failure. SQLite forgets it when a commit fails; its files still know it. */
static int
system_errno(struct billet_store *store)
{
    sqlite3_file *log = NULL;
    int found = sqlite3_system_errno(store->db);
    if (found == 0 &&
        sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log != NULL && log->pMethods != NULL)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &found);
    if (found == 0)
        sqlite3_file_control(store->db, "main", SQLITE_FCNTL_LAST_ERRNO, &found);
    return found;
}

int
sqlite_error(struct billet_store *store, int code, const char *what, struct billet_error *error)
{
    const char *message = store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(code);
    int system = 0;
    if (store->db != NULL && ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_FULL ||
                              (code & 0xff) == SQLITE_CANTOPEN))
        system = system_errno(store);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return billet_error_no_memory(error);
    case SQLITE_FULL:
    full:
        billet_error_set(error, BILLET_CLASS_CAPACITY, "store_full",
                         "cannot %s: no room for the database %s", what, store->path);
        if (error != NULL)
            error->sys_errno = system != 0 ? system : ENOSPC;
        return retryable(error, billet_error_hint(error, "free space or quota there and repeat"));
    case SQLITE_IOERR:
        if (system == ENOSPC || system == EDQUOT || system == EFBIG)
            goto full;
        return billet_error_errno(error, BILLET_CLASS_UNAVAILABLE, "store_failed",
                                  system != 0 ? system : EIO, "cannot %s in %s", what, store->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_corrupt",
                         "cannot %s: the database %s is damaged: %s", what, store->path, message);
        return billet_error_hint(error, "see billet db check; restore a backup");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        billet_error_set(error, BILLET_CLASS_AUTH, "store_denied",
                         "cannot %s: the database %s is read-only", what, store->path);
        return billet_error_hint(error, "make it and its directory writable for this user");
    case SQLITE_CANTOPEN:
        return billet_error_errno(error, system == EACCES ? BILLET_CLASS_AUTH : 0, "store_failed",
                                  system != 0 ? system : EIO,
                                  "cannot %s: cannot open %s or a "
                                  "file beside it",
                                  what, store->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return retryable(error, billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_busy",
                                                 "cannot %s: another program than billet keeps "
                                                 "the database %s locked",
                                                 what, store->path));
    case SQLITE_TOOBIG:
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "cannot %s: a value is too large for the database", what);
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_TRIGGER) {
            billet_refusal_guard(message, error);
            return billet_error_wrap(error, "cannot %s", what);
        }
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_constraint", "cannot %s: %s",
                                what, message);
    default:
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed", "cannot %s in %s: %s",
                                what, store->path, message);
    }
}

int
sqlite_prepare(struct billet_store *store, enum statement which, sqlite3_stmt **statement,
               struct billet_error *error)
{
    sqlite3_stmt **slot = &store->statements[which];
    if (*slot == NULL) {
        int code = sqlite3_prepare_v3(store->db, statement_sql[which], -1,
                                      SQLITE_PREPARE_PERSISTENT, slot, NULL);
        if (code != SQLITE_OK)
            return sqlite_error(store, code, "prepare a statement", error);
    } else {
        sqlite3_reset(*slot);
        sqlite3_clear_bindings(*slot);
    }
    *statement = *slot;
    return 0;
}

int
sqlite_run(struct billet_store *store, sqlite3_stmt *statement, const char *what,
           struct billet_error *error)
{
    int code;
    do
        code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    int result = code == SQLITE_DONE ? 0 : sqlite_error(store, code, what, error);
    sqlite3_reset(statement);
    return result;
}

int
sqlite_execute(struct billet_store *store, const char *sql, const char *what,
               struct billet_error *error)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : sqlite_error(store, code, what, error);
}

void
sqlite_bind_text_or_empty(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text != NULL ? text : "", -1, SQLITE_STATIC);
}

void
sqlite_bind_text_or_null(sqlite3_stmt *statement, int at, const char *text)
{
    if (text != NULL)
        sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

const char *
sqlite_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL ? text : "";
}

static int
run_plain(struct billet_store *store, enum statement which, const char *what,
          struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, which, &statement, error);
    return result < 0 ? result : sqlite_run(store, statement, what, error);
}

int
sqlite_begin(struct billet_store *store, struct billet_error *error)
{
    int result = sqlite_lock(store, error);
    if (result < 0)
        return result;
    result = run_plain(store, STATEMENT_BEGIN, "begin a transaction", error);
    if (result < 0)
        sqlite_unlock(store);
    return result;
}

int
sqlite_end(struct billet_store *store, int result, struct billet_error *error)
{
    if (result == 0)
        result = run_plain(store, STATEMENT_COMMIT, "commit", error);
    /* Some failures have rolled back already. */
    if (result != 0 && !sqlite3_get_autocommit(store->db))
        run_plain(store, STATEMENT_ROLLBACK, "roll back", NULL);
    sqlite_unlock(store);
    return result;
}
