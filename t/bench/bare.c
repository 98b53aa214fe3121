/* SPDX-License-Identifier: Apache-2.0 */
#include "bare.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define NOW "(CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000000)"

enum { BEGIN, COMMIT, INSERT, CHANGE, ACTIVITY, STATEMENTS };

struct bare {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    char lease[37];
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [INSERT] =
        "INSERT INTO lease(id,tenant,environment,environment_id,driver,run,agent,issue,"
        "workspace,policy,state,fence,generation,ref,facts,configuration,directory,owner,"
        "command,outcome,reason,cleanup_attempts,next_cleanup_ns,created_ns,updated_ns,"
        "expires_ns,ended_ns) VALUES(?1,'default','local','','local',?1,'','','/work',"
        "'ephemeral','acquiring',1,1,'','{}','{}','/work','1 a b c 1 1','true','','',0,0," NOW
        "," NOW "," NOW "+60000000000,0)",
    [CHANGE] = "UPDATE lease SET state=?2,ref='local:1',expires_ns=" NOW "+60000000000,"
               "outcome=CASE WHEN ?3>1 THEN '{\"code\":0}' ELSE '' END,updated_ns=" NOW ","
               "ended_ns=CASE WHEN ?3=3 THEN " NOW " ELSE 0 END WHERE id=?1 AND fence=1 "
               "RETURNING id,state,fence",
    [ACTIVITY] = "INSERT INTO activity(time_ns,action,tenant,environment,lease,run,agent,issue,"
                 "actor,fence,details) VALUES(" NOW ",?2,'default','local',?1,?1,'','','uid:0',1,"
                 "'{}')",
};

struct bare *
bare_open(const char *path, const char **why)
{
    struct bare *bare = calloc(1, sizeof(*bare));
    if (bare == NULL)
        return NULL;
    int code = sqlite3_open_v2(path, &bare->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_db_config(bare->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_busy_timeout(bare->db, 5000);
        code = sqlite3_exec(bare->db, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=200",
                            NULL, NULL, NULL);
    }
    for (int i = 0; code == SQLITE_OK && i < STATEMENTS; i++)
        code = sqlite3_prepare_v3(bare->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &bare->statements[i], NULL);
    if (code == SQLITE_OK)
        return bare;
    *why = sqlite3_errstr(code);
    bare_close(bare);
    return NULL;
}

static int
step(struct bare *bare, int which, const char *text, int number)
{
    sqlite3_stmt *statement = bare->statements[which];
    int code;
    if (which >= INSERT)
        sqlite3_bind_text(statement, 1, bare->lease, -1, SQLITE_STATIC);
    if (which >= CHANGE)
        sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
    if (which == CHANGE)
        sqlite3_bind_int(statement, 3, number);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        ;
    sqlite3_reset(statement);
    return code == SQLITE_DONE;
}

static void
new_lease(struct bare *bare)
{
    unsigned char random[16];
    char *at = bare->lease;
    struct timespec now;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
        clock_gettime(CLOCK_REALTIME, &now) != 0)
        abort();
    /* In the order of time, as billet's ids are: the index grows at its end. */
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < 6; i++)
        random[i] = (unsigned char)(ms >> (40 - 8 * i));
    for (int i = 0; i < 16; i++) {
        at += sprintf(at, "%02x", random[i]);
        if (i == 3 || i == 5 || i == 7 || i == 9)
            *at++ = '-';
    }
}

int
bare_commit(struct bare *bare, int at)
{
    static const char *const states[] = {"acquiring", "active", "releasing", "released"};
    static const char *const actions[][3] = {
        {"lease.requested", NULL, NULL},
        {"lease.acquired", "workspace.realized", "exec.started"},
        {"exec.ended", "lease.releasing", NULL},
        {"lease.released", NULL, NULL},
    };
    if (at == 0)
        new_lease(bare);
    int good = step(bare, BEGIN, NULL, 0) &&
               (at == 0 ? step(bare, INSERT, NULL, 0) : step(bare, CHANGE, states[at], at));
    for (int i = 0; good && i < 3 && actions[at][i] != NULL; i++)
        good = step(bare, ACTIVITY, actions[at][i], 0);
    return good && step(bare, COMMIT, NULL, 0);
}

const char *
bare_why(struct bare *bare)
{
    return sqlite3_errmsg(bare->db);
}

void
bare_close(struct bare *bare)
{
    if (bare == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(bare->statements[i]);
    sqlite3_close(bare->db);
    free(bare);
}
