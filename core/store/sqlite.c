/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: url, opening, and the rows that are neither lease nor environment. */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "store/refusal.h"

#define LOCK_TIMEOUT_DEFAULT (30 * BILLET_NS_PER_SECOND)
#define LOCK_TIMEOUT_MAX (3600 * BILLET_NS_PER_SECOND)
/* Values above this are a bug or an attack, not a lease. */
#define VALUE_LIMIT (4 * 1024 * 1024)
/* Other programs (sqlite3, backup) may hold SQLite's own locks, and recovery after a crash does;
 * our writers never wait on them. */
#define FOREIGN_LOCK_MS 5000
/* A fresh process reads the whole log once, so it must stay short: 50, 100, 200 and 1000
 * pages made a process of four commits take 2.7, 2.6, 2.8 and 3.6 ms. */
#define CHECKPOINT_PAGES "100"

static const struct billet_store_module module;

static int
url_error(struct billet_error *error, const char *why)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_url_invalid", "store url: %s", why);
    return billet_error_hint(error, "write sqlite:/absolute/path or "
                                    "sqlite:/absolute/path?lock_timeout=10s");
}

/* sqlite:PATH[?lock_timeout=DURATION] */
static int
parse_url(const char *url, struct billet_store *store, struct billet_error *error)
{
    static const char option[] = "lock_timeout=";
    const char *path = strchr(url, ':');
    if (path == NULL || path[1] != '/')
        return url_error(error, "the path of the database is not absolute");
    path++;
    const char *query = strchr(path, '?');
    size_t length = query != NULL ? (size_t)(query - path) : strlen(path);
    if (path[length - 1] == '/')
        return url_error(error, "the path names a directory, not a file");
    store->path = strndup(path, length);
    if (store->path == NULL || asprintf(&store->lock_path, "%s.lock", store->path) < 0)
        return billet_error_no_memory(error);
    store->lock_timeout_ns = LOCK_TIMEOUT_DEFAULT;
    if (query == NULL)
        return 0;
    if (!billet_text_starts(query + 1, option))
        return url_error(error, "the only option after '?' is lock_timeout");
    int result = billet_duration_parse(query + sizeof(option), &store->lock_timeout_ns, error);
    if (result < 0)
        return billet_error_recode(error, "store_url_invalid");
    if (store->lock_timeout_ns > LOCK_TIMEOUT_MAX)
        return url_error(error, "lock_timeout is at most 1h");
    return 0;
}

/* Locks and shared memory of another host do not reach us through these. */
static int
check_file_system(const char *directory, struct billet_error *error)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {
        {0x6969, "NFS"},        {0x517B, "SMB"},      {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB"},    {0x00C36400, "Ceph"}, {0x5346414F, "AFS"},
        {0x0BD00BD0, "Lustre"}, {0x01161970, "GFS2"}, {0x7461636F, "OCFS2"},
    };
    struct statfs status;
    if (statfs(directory, &status) != 0)
        return 0; /* opening the file will say what is wrong */
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
        if (((unsigned long)status.f_type & 0xFFFFFFFFul) != remote[i].magic)
            continue;
        billet_error_set(error, BILLET_CLASS_CONFIG, "store_remote",
                         "%s is on %s: SQLite loses data on a network file system", directory,
                         remote[i].name);
        return billet_error_hint(error,
                                 "put [store] url on a local disk, or use PostgreSQL for several "
                                 "machines");
    }
    return 0;
}

static int
denied(const char *path, int sys_errno, struct billet_error *error)
{
    billet_error_errno(error, BILLET_CLASS_AUTH, "store_denied", sys_errno,
                       "cannot write the database in %s", path);
    return billet_error_hint(
        error, sys_errno == EROFS ? "its file system is mounted read-only"
                                  : "make the file and its directory writable for this user, or "
                                    "name another place in [store] url");
}

/* Make the file itself, so that nobody else can read it at any moment. SQLite gives its log the
 * same mode. */
static int
make_file(struct billet_store *store, const char *directory, struct billet_error *error)
{
    int result = billet_io_make_directories(directory, 0700, error);
    if (result < 0) {
        billet_error_recode(error, result == -BILLET_CLASS_AUTH ? "store_denied" : "store_failed");
        return billet_error_wrap(error, "cannot make the database %s", store->path);
    }
    int fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        close(fd);
        /* The name must survive a crash as the commits in it do. */
        cleanup_fd int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (at >= 0)
            fsync(at);
        return 0;
    }
    if (errno == EEXIST)
        return 0;
    if (errno == EACCES || errno == EPERM || errno == EROFS)
        return denied(directory, errno, error);
    return billet_error_errno(error, 0, errno == ENOSPC ? "store_full" : "store_failed", errno,
                              "cannot create the database %s", store->path);
}

static int
check_file(struct billet_store *store, bool create, struct billet_error *error)
{
    struct stat status;
    cleanup_free char *copy = strdup(store->path);
    if (copy == NULL)
        return billet_error_no_memory(error);
    const char *directory = dirname(copy);
    int result = 0;
    if (stat(store->path, &status) != 0) {
        if (errno == EACCES)
            return denied(directory, errno, error);
        if (errno != ENOENT && errno != ENOTDIR)
            return billet_error_errno(error, 0, "store_failed", errno, "cannot look at %s",
                                      store->path);
        if (!create) {
            billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_missing",
                             "there is no database %s", store->path);
            return billet_error_hint(error, "billet db status makes it; see [store] url");
        }
        result = make_file(store, directory, error);
        if (result == 0 && stat(store->path, &status) != 0)
            result = billet_error_errno(error, 0, "store_failed", errno, "cannot look at %s",
                                        store->path);
        if (result < 0)
            return result;
    }
    if (!S_ISREG(status.st_mode))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "store_url_invalid",
                                "%s is not a regular file", store->path);
    if ((status.st_mode & 002) != 0) {
        billet_error_set(error, BILLET_CLASS_AUTH, "path_untrusted",
                         "the database %s is writable by everybody", store->path);
        return billet_error_hint(error, "chmod o-rwx the file");
    }
    if (faccessat(AT_FDCWD, store->path, R_OK | W_OK, AT_EACCESS) != 0)
        return denied(store->path, errno, error);
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        return denied(directory, errno, error);
    return check_file_system(directory, error);
}

static int
open_database(struct billet_store *store, struct billet_error *error)
{
    /* A cache that begins empty, instead of with pages that are touched for each connection, and no
     * count of the memory, behind a lock, that nobody asks for. Refused where SQLite is in use
     * already, and no loss then. */
    sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int code = sqlite3_open_v2(store->path, &store->db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                   SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code != SQLITE_OK)
        return sqlite_error(store, code, "open the store", error);
    if (sqlite3_db_readonly(store->db, "main") != 0)
        return denied(store->path, EACCES, error);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, VALUE_LIMIT);
    sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_timeout(store->db, FOREIGN_LOCK_MS);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    /* A short process must not pay for the checkpoint of those before it. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sqlite_execute(store,
                          "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=" CHECKPOINT_PAGES,
                          "set up the connection", error);
}

static void
close_store(struct billet_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    free(store->path);
    free(store->lock_path);
    free(store);
}

static int
open_store(const char *url, enum billet_store_mode mode, struct billet_store **to,
           struct billet_error *error)
{
    struct billet_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return billet_error_no_memory(error);
    store->module = &module;
    store->lock_fd = -1;
    int result = parse_url(url, store, error);
    if (result == 0)
        result = check_file(store, mode == BILLET_STORE_CREATE, error);
    if (result == 0)
        result = open_database(store, error);
    if (result == 0)
        result = sqlite_schema_open(store, mode, error);
    if (result < 0) {
        close_store(store);
        return result;
    }
    *to = store;
    return 0;
}

static int
read_info(struct billet_store *store, struct billet_store_info *info, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_INFO, &statement, error);
    if (result < 0)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        struct billet_store_info found = {0};
        snprintf(found.engine, sizeof(found.engine), "sqlite %s", sqlite3_libversion());
        billet_text_copy(found.location, sizeof(found.location), store->path);
        billet_text_copy(found.deployment, sizeof(found.deployment), sqlite_text(statement, 0));
        found.created_ns = sqlite3_column_int64(statement, 1);
        found.environments = sqlite3_column_int64(statement, 2);
        found.leases_live = sqlite3_column_int64(statement, 3);
        found.leases_total = sqlite3_column_int64(statement, 4);
        found.activities = sqlite3_column_int64(statement, 5);
        found.schema = sqlite3_column_int64(statement, 6);
        found.schema_wanted = (int64_t)sqlite_migration_count;
        found.size_bytes = sqlite3_column_int64(statement, 7);
        *info = found;
    } else {
        result = code == SQLITE_DONE
                     ? billet_refusal_no_deployment(store->path, error)
                     : sqlite_error(store, code, "read the state of the store", error);
    }
    sqlite3_reset(statement);
    return result;
}

static int
read_deployment(struct billet_store *store, char deployment[40], struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_DEPLOYMENT, &statement, error);
    if (result < 0)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        billet_text_copy(deployment, 40, sqlite_text(statement, 0));
    else if (code == SQLITE_DONE)
        result = billet_refusal_no_deployment(store->path, error);
    else
        result = sqlite_error(store, code, "read the name of the deployment", error);
    sqlite3_reset(statement);
    return result;
}

static int
read_now(struct billet_store *store, int64_t *now_ns, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_NOW, &statement, error);
    if (result < 0)
        return result;
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *now_ns = sqlite3_column_int64(statement, 0);
    else
        result = sqlite_error(store, code, "read the clock", error);
    sqlite3_reset(statement);
    return result;
}

static int
provision_get(struct billet_store *store, const char *key, bool *done, struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_PROVISION_GET, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, key);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        *done = code == SQLITE_ROW;
    else
        result = sqlite_error(store, code, "look for a provision", error);
    sqlite3_reset(statement);
    return result;
}

static int
provision_put(struct billet_store *store, const char *key, const struct billet_activity *activity,
              struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_PROVISION_PUT, &statement, error);
    if (result == 0) {
        sqlite_bind_text_or_empty(statement, 1, key);
        result = sqlite_run(store, statement, "record a provision", error);
    }
    if (result == 0)
        result = sqlite_activities_add(store, activity, activity != NULL, error);
    return sqlite_end(store, result, error);
}

static int
meta_get(struct billet_store *store, const char *key, struct billet_buffer *value,
         struct billet_error *error)
{
    sqlite3_stmt *statement;
    int result = sqlite_prepare(store, STATEMENT_META_GET, &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, key);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        billet_buffer_add(value, sqlite_text(statement, 0));
        if (value->failed)
            result = billet_error_no_memory(error);
    } else if (code != SQLITE_DONE) {
        result = sqlite_error(store, code, "read a note of the deployment", error);
    }
    sqlite3_reset(statement);
    return result;
}

static int
meta_put(struct billet_store *store, const char *key, const char *value, struct billet_error *error)
{
    sqlite3_stmt *statement;
    if (strlen(value) > BILLET_META_MAX)
        return billet_refusal_meta_too_large(key, error);
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = sqlite_prepare(store, STATEMENT_META_PUT, &statement, error);
    if (result == 0) {
        sqlite_bind_text_or_empty(statement, 1, key);
        sqlite_bind_text_or_empty(statement, 2, value);
        result = sqlite_run(store, statement, "write a note of the deployment", error);
    }
    return sqlite_end(store, result, error);
}

static int
no_roles(struct billet_store *store, const char *role, const char *tenant,
         struct billet_error *error)
{
    (void)tenant;
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_no_roles",
                     "the database %s is a file and knows no role '%.64s'", store->path, role);
    return billet_error_hint(error, "owner and mode of the file say who may use it");
}

static const struct billet_store_module module = {
    .struct_size = sizeof(module),
    .interface = BILLET_STORE_INTERFACE,
    .engine = "sqlite",
    .secrets = &sqlite_secret_table,
    .open = open_store,
    .close = close_store,
    .info = read_info,
    .deployment = read_deployment,
    .check = sqlite_check,
    .now = read_now,
    .environment_insert = sqlite_environment_insert,
    .environment_update = sqlite_environment_update,
    .environment_get = sqlite_environment_get,
    .environment_list = sqlite_environment_list,
    .environment_remove = sqlite_environment_remove,
    .lease_insert = sqlite_lease_insert,
    .lease_change = sqlite_lease_change,
    .expect_change = sqlite_expect_change,
    .lease_get = sqlite_lease_get,
    .lease_list = sqlite_lease_list,
    .lease_note = sqlite_lease_note,
    .lease_renew = sqlite_lease_renew,
    .activity_add = sqlite_activity_add,
    .activity_list = sqlite_activity_list,
    .provision_get = provision_get,
    .provision_put = provision_put,
    .meta_get = meta_get,
    .meta_put = meta_put,
    .dump = sqlite_dump,
    .load_begin = sqlite_load_begin,
    .load_row = sqlite_load_row,
    .load_end = sqlite_load_end,
    .grant = no_roles,
};

__attribute__((visibility("default"))) const struct billet_store_module *billet_store_module(void);

const struct billet_store_module *
billet_store_module(void)
{
    return &module;
}
