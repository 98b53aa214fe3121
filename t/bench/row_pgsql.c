/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same leases on a PostgreSQL server of our own, beside pgbench: as many clients that run the
 * bare statements, one for each commit, prepared. They write the same rows with the same texts; but
 * all texts except the ids stand in the statement, where billet sends parameters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/pgsql_server.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "bench.h"
#include "row_store.h"
#include "store/store.h"

#define CLIENTS_MAX 32
#define SLICES 5

/* clang-format off */
/* As long as billet_owner_self's. */
#define OWNER                                                                                    \
    "vm-0123456789abcdef0123456789abcdef 01234567-89ab-cdef-0123-456789abcdef 4026531836.4026531834"
/* A row, then its three changes, each with what the activity gets in the same commit. */
#define NOW "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"
#define ACTIVITY(from, actions)                                                                  \
    "a AS (INSERT INTO billet.activity(time_ns,action,tenant,environment,lease,run,agent,issue," \
    "actor,fence,details,operation) SELECT " NOW ",x,'default','local',id,id,'','','uid:0',1,"  \
    "'{}',id FROM " from ",unnest(ARRAY[" actions "]) AS x)"
#define CHANGE(from, to, outcome, ended, actions)                                                \
    "WITH c AS (UPDATE billet.lease SET state='" to "',ref='local:1',outcome='" outcome         \
    "',operation=:id,expires_ns=" NOW "+60000000000,updated_ns=" NOW ",ended_ns=" ended     \
    " WHERE id=:id AND state='" from "' AND "                                                    \
    "fence=1 RETURNING id)," ACTIVITY("c", actions) " SELECT id FROM c \\gset\n"
static const char script[] =
    "WITH i AS (INSERT INTO billet.lease(id,tenant,environment,environment_id,driver,run,agent,"
    "issue,workspace,policy,state,fence,generation,ref,facts,configuration,directory,owner,"
    "command,outcome,reason,cleanup_attempts,next_cleanup_ns,created_ns,updated_ns,expires_ns,"
    "ended_ns,operation) SELECT u,'default','local','','local',u,'','','/work','ephemeral',"
    "'acquiring',1,1,'','{}','{}','/work','1 " OWNER " 1 1','true','','',0,0," NOW "," NOW "," NOW
    "+60000000000,0,u "
    /* in the order of time, as billet's ids are */
    "FROM (SELECT overlay(gen_random_uuid()::text PLACING "
    "left(to_char(clock_timestamp(),'HH24MISSMS'),8) FROM 1 FOR 8) AS u) AS made RETURNING id),"
    ACTIVITY("i", "'lease.requested'") " SELECT id FROM i \\gset\n"
    CHANGE("acquiring", "active", "", "0", "'lease.acquired','workspace.realized','exec.started'")
    CHANGE("active", "releasing", "{\"code\":0}", "0", "'exec.ended','lease.releasing'")
    CHANGE("releasing", "released", "{\"code\":0}", NOW, "'lease.released'");
/* clang-format on */

/* Seconds that do not count: each session reads the catalogue and plans, the server's processes
 * meet their pages for the first time. */
static int
warm_seconds(const struct bench *bench, int clients)
{
    return bench->seconds < 0.5 ? 0 : 1 + clients / 16;
}

/* Transactions a second, or negative: it could not be measured, text (256 bytes) says why. Of all
 * seconds but the first ones; where nothing was told of later ones, of all. */
static double
pgbench_rate(const struct bench *bench, const char *file, int clients, char *text)
{
    cleanup_free char *line = NULL;
    double at, rate, sum = 0, all = -1;
    int count = 0, warm = warm_seconds(bench, clients);
    int seconds = bench->seconds < 1 ? 1 : (int)(bench->seconds + 0.5);
    if (asprintf(&line,
                 "exec %s/pgbench -n -M prepared -P 1 -f %s -c %d -j 2 -T %d -h %s -U owner "
                 "postgres 2>&1",
                 server_programs, file, clients, seconds + warm, server_directory) < 0)
        bench_die("out of memory");
    FILE *said = popen(line, "re");
    snprintf(text, 256, "pgbench could not be run");
    while (said != NULL && fgets(text, 256, said) != NULL) {
        if (sscanf(text, "progress: %lf s, %lf tps", &at, &rate) == 2 && count++ >= warm)
            sum += rate;
        else if (sscanf(text, "tps = %lf", &rate) == 1)
            all = rate;
        else if (strstr(text, "ERROR") != NULL)
            bench_die("pgbench: %s", text);
    }
    text[strcspn(text, "\n")] = '\0';
    if (said == NULL || pclose(said) != 0 || all <= 0)
        return -1;
    return sum > 0 ? sum / (count - warm) : all;
}

static void
measure(struct bench *bench, const char *url, const char *file, int clients)
{
    double rates[2][SLICES];
    char name[32], text[256];
    size_t count = 0;
    int slices = bench->seconds < 0.5 ? 1 : SLICES;
    cleanup_free double *latencies =
        calloc((size_t)clients * BENCH_LATENCIES * SLICES, sizeof(double));
    if (latencies == NULL)
        bench_die("out of memory");
    for (int slice = 0; slice < slices; slice++) {
        rates[0][slice] = pgbench_rate(bench, file, clients, text);
        if (rates[0][slice] < 0) {
            snprintf(name, sizeof(name), "pgsql-%d", clients);
            bench_skip(bench, name, text);
            return;
        }
        rates[1][slice] =
            bench_lease_rate(bench, url, clients, warm_seconds(bench, clients), latencies, &count);
    }
    bench_tell_rate(bench, "pgsql", clients, bench_median(rates[0], (size_t)slices),
                    bench_median(rates[1], (size_t)slices), latencies, count, 0);
}

void
bench_rows_pgsql(struct bench *bench)
{
    char url[PATH_MAX + 64], file[PATH_MAX], program[PATH_MAX + 32];
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_store *store = NULL;
    const char *why = server_make();
    snprintf(program, sizeof(program), "%s/pgbench", server_programs);
    if (why == NULL && access(program, X_OK) != 0)
        why = "pgbench is not installed";
    if (why != NULL) {
        bench_skip(bench, "pgsql", why);
        server_stop();
        return;
    }
    snprintf(url, sizeof(url), "postgresql://owner@/postgres?host=%s", server_directory);
    if (billet_store_open(bench->modules, url, BILLET_STORE_CREATE, &store, &error) < 0)
        bench_die("%s: %s", url, error.message);
    billet_store_close(store);
    snprintf(file, sizeof(file), "%s/pgbench.sql", bench->scratch);
    cleanup_file FILE *to = fopen(file, "we");
    if (to == NULL || fputs(script, to) < 0 || fflush(to) != 0)
        bench_die("%s: %s", file, strerror(errno));
    measure(bench, url, file, 1);
    measure(bench, url, file, 8);
    measure(bench, url, file, CLIENTS_MAX);
    server_stop();
}
