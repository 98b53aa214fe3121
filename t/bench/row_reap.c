/* SPDX-License-Identifier: Apache-2.0 */
/* One `billet lease reap` of many leases whose time is over, beside the bare commits of their ends.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"
#include "row_store.h"

#define COMMITS 2 /* of each end: taken over, failed */

/* Rows of driver local, active, their time over; what they lay on is gone. */
static void
fill(const char *path, int count)
{
    sqlite3 *db = NULL;
    char sql[2048], *why = NULL;
    snprintf(sql, sizeof(sql),
             "BEGIN;"
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
             "INSERT INTO lease(id,tenant,environment,environment_id,driver,run,agent,issue,"
             "workspace,policy,state,fence,generation,ref,facts,configuration,directory,owner,"
             "command,outcome,reason,cleanup_attempts,next_cleanup_ns,created_ns,updated_ns,"
             "expires_ns,ended_ns) SELECT printf('00000000-0000-7000-8000-%%012d',i),'default',"
             "'local','','local',printf('%%d',i),'','','/work','ephemeral','acquiring',1,1,'','{}',"
             "'{}','/work','','true','','',0,0,1,1,2,0 FROM n;"
             "UPDATE lease SET state='active',"
             "ref='local:'||(SELECT uuid FROM deployment)||':'||id WHERE state='acquiring';"
             "COMMIT",
             count);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        bench_die("%s: %s", path, why != NULL ? why : sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void
check(const char *path, int count)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int ended = -1;
    if (sqlite3_open(path, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM lease WHERE state='failed'", -1, &statement,
                           NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        ended = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    if (ended != count)
        bench_die("%s: %d of %d leases were ended", path, ended, count);
}

void
bench_rows_reap(struct bench *bench)
{
    int count = bench->runs * 50;
    char path[4096], bare[4096], name[32];
    struct rusage usage;
    int status = 0;
    cleanup_free char *url = NULL;
    const char *const argv[] = {bench->billet, "lease", "reap", NULL};
    bench_make_database(bench, "reap", path, sizeof(path));
    bench_make_database(bench, "reap-bare", bare, sizeof(bare));
    fill(path, count);
    double rate = bench_bare_rate(bench, bare);
    const char *before = getenv("BILLET_STORE");
    cleanup_free char *saved = before != NULL ? strdup(before) : NULL;
    if (asprintf(&url, "sqlite:%s", path) < 0 || setenv("BILLET_STORE", url, 1) != 0)
        bench_die("out of memory");
    double start = bench_now_ms();
    pid_t pid = bench_start(argv, -1, -1);
    if (wait4(pid, &status, 0, &usage) != pid || status != 0)
        bench_die("billet lease reap ended with status 0x%x", (unsigned)status);
    double taken = bench_now_ms() - start;
    if (saved != NULL)
        setenv("BILLET_STORE", saved, 1);
    else
        unsetenv("BILLET_STORE");
    check(path, count);
    double floor = count * COMMITS / 4.0 * 1e3 / rate;
    snprintf(name, sizeof(name), "reap-%d", count);
    bench_tell_ratio(bench, name, "ms", floor, taken, BENCH_INFORMATION, 0);
    const struct bench_row memory = {.name = "reap-memory",
                                     .unit = "KiB",
                                     .floor = -1,
                                     .measured = (double)usage.ru_maxrss,
                                     .value = (double)usage.ru_maxrss,
                                     .measure = "peak KiB"};
    bench_tell(bench, &memory);
}
