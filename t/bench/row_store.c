/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases on SQLite: acquire (begin, activate) and release (releasing, released) through core/lease
 * and the store module in 1, 8 and 32 processes, beside the bare statements of the same commits in
 * one process. Each has a database of its own that the module made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bare.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/uuid.h"
#include "bench.h"
#include "lease/lease.h"
#include "row_store.h"
#include "store/store.h"

#define PROCESSES_MAX 32
#define SLICES 5
#define WARM 8
#define WARM_SECONDS 0.05

/* What a worker tells, in memory shared with it. */
struct worker {
    double from_ms, until_ms; /* what ends between them counts */
    int64_t pairs;
    int failed;
    char why[256];
    size_t count;
    float latency_ms[BENCH_LATENCIES]; /* of one acquire or one release */
};

static bool
counts(const struct worker *worker)
{
    double now = bench_now_ms();
    return now >= worker->from_ms && now < worker->until_ms;
}

static void
keep(struct worker *worker, double start)
{
    if (counts(worker) && worker->count < BENCH_LATENCIES)
        worker->latency_ms[worker->count++] = (float)(bench_now_ms() - start);
}

static int
one_pair(struct billet_store *store, struct worker *worker, struct billet_error *error)
{
    struct billet_lease_session session = BILLET_LEASE_SESSION_INIT;
    char run[BILLET_UUID_SIZE]; /* as a run has one */
    struct billet_lease wanted = {.tenant = (char *)"default",
                                  .environment = (char *)"local",
                                  .driver = (char *)"local",
                                  .run = run,
                                  .workspace = (char *)"/work",
                                  .directory = (char *)"/work",
                                  .policy = (char *)"ephemeral",
                                  .command = (char *)"true"};
    const struct billet_lease_facts facts = {.ref = "local:1", .facts = "{}"};
    const struct billet_lease_facts end = {.outcome = "{\"code\":0}"};
    billet_uuid_make(run);
    double start = bench_now_ms();
    int result = billet_lease_begin(&session, store, &wanted, "uid:0", 0, error);
    if (result < 0)
        return result;
    result = billet_lease_add(&session, "workspace.realized", NULL, error);
    if (result == 0)
        result = billet_lease_add(&session, "exec.started", NULL, error);
    if (result == 0)
        result = billet_lease_activate(&session, &facts, error);
    keep(worker, start);
    start = bench_now_ms();
    if (result == 0)
        result = billet_lease_add(&session, "exec.ended", NULL, error);
    if (result == 0)
        result = billet_lease_start_release(&session, &end, NULL, error);
    if (result == 0)
        result = billet_lease_finish(&session, false, NULL, error);
    keep(worker, start);
    billet_lease_session_free(&session);
    return result;
}

/* A worker has opened its store and done what it does the first time (WARM pairs); it waits for the
 * others. All work from then on until the last moment that counts, so that as many as are to run at
 * once do so at its first and at its last. */
static void
wait_for_all(const struct bench *bench, double warm_seconds, const int ready[2], const int go[2],
             struct worker *worker)
{
    char byte = 'r';
    close(go[1]);
    if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0)
        _exit(1);
    worker->from_ms = bench_now_ms() + warm_seconds * 1e3;
    worker->until_ms = worker->from_ms + bench->seconds * 1e3;
}

static void
work_with_billet(const struct bench *bench, const char *url, double warm_seconds,
                 const int ready[2], const int go[2], struct worker *worker)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_store *store = NULL;
    int result = billet_store_open(bench->modules, url, BILLET_STORE_CREATE, &store, &error);
    for (int i = 0; result == 0 && i < WARM; i++)
        result = one_pair(store, worker, &error);
    wait_for_all(bench, warm_seconds, ready, go, worker);
    while (result == 0 && bench_now_ms() < worker->until_ms) {
        result = one_pair(store, worker, &error);
        worker->pairs += result == 0 && counts(worker);
    }
    worker->failed = result < 0;
    snprintf(worker->why, sizeof(worker->why), "%.250s", error.message);
    billet_store_close(store);
}

static void
work_bare(const struct bench *bench, const char *path, double warm_seconds, const int ready[2],
          const int go[2], struct worker *worker)
{
    const char *why = "";
    struct bare *bare = bare_open(path, &why);
    bool good = bare != NULL;
    wait_for_all(bench, warm_seconds, ready, go, worker);
    while (good && bench_now_ms() < worker->until_ms) {
        for (int at = 0; good && at < 4; at++)
            good = bare_commit(bare, at) != 0;
        worker->pairs += good && counts(worker);
    }
    worker->failed = !good;
    snprintf(worker->why, sizeof(worker->why), "%.250s", bare != NULL ? bare_why(bare) : why);
    bare_close(bare);
}

/* Pairs a second of count processes; url NULL: the bare statements in one. */
static double
measure(const struct bench *bench, const char *url, const char *path, int count,
        double warm_seconds, struct worker *workers)
{
    pid_t pids[PROCESSES_MAX];
    int ready[2], go[2];
    int64_t pairs = 0;
    char byte;
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
        bench_die("pipe: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            bench_die("fork: %s", strerror(errno));
        if (pids[i] == 0) {
            if (url != NULL)
                work_with_billet(bench, url, warm_seconds, ready, go, &workers[i]);
            else
                work_bare(bench, path, warm_seconds, ready, go, &workers[i]);
            _exit(0);
        }
    }
    close(ready[1]);
    for (int i = 0; i < count; i++)
        if (read(ready[0], &byte, 1) != 1)
            bench_die("a process of row store ended before it began");
    close(ready[0]);
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < count; i++) {
        int status = 0;
        while (waitpid(pids[i], &status, 0) < 0)
            if (errno != EINTR)
                bench_die("waitpid: %s", strerror(errno));
        if (status != 0 || workers[i].failed)
            bench_die("a process of row store failed: %s", workers[i].why);
        pairs += workers[i].pairs;
    }
    return (double)pairs / bench->seconds;
}

double
bench_lease_rate(const struct bench *bench, const char *url, int processes, double warm_seconds,
                 double *latencies, size_t *count)
{
    struct worker *workers = mmap(NULL, sizeof(*workers) * PROCESSES_MAX, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (workers == MAP_FAILED)
        bench_die("mmap: %s", strerror(errno));
    double rate = measure(bench, url, NULL, processes, warm_seconds, workers);
    for (int i = 0; i < processes; i++)
        for (size_t j = 0; j < workers[i].count; j++)
            latencies[(*count)++] = workers[i].latency_ms[j];
    munmap(workers, sizeof(*workers) * PROCESSES_MAX);
    return rate;
}

double
bench_bare_rate(const struct bench *bench, const char *path)
{
    struct worker *worker =
        mmap(NULL, sizeof(*worker), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (worker == MAP_FAILED)
        bench_die("mmap: %s", strerror(errno));
    double rate = measure(bench, NULL, path, 1, WARM_SECONDS, worker);
    munmap(worker, sizeof(*worker));
    return rate;
}

void
bench_make_database(const struct bench *bench, const char *name, char *path, size_t size)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_store *store = NULL;
    cleanup_free char *url = NULL;
    snprintf(path, size, "%s/%s.db", bench->scratch, name);
    if (asprintf(&url, "sqlite:%s", path) < 0 ||
        billet_store_open(bench->modules, url, BILLET_STORE_CREATE, &store, &error) < 0)
        bench_die("%s: %s", path, error.message);
    billet_store_close(store);
}

void
bench_tell_rate(struct bench *bench, const char *name, int processes, double floor, double rate,
                double *latencies, size_t count, double p99_ms)
{
    char text[64];
    snprintf(text, sizeof(text), "%s-%d", name, processes);
    bench_tell_ratio(bench, text, "pairs/s", floor, rate, BENCH_AT_LEAST, 0.8);
    bench_median(latencies, count);
    double p99 = bench_quantile(latencies, count, 0.99);
    snprintf(text, sizeof(text), "%s-%d-p99", name, processes);
    const struct bench_row latency = {.name = text,
                                      .unit = "ms",
                                      .floor = -1,
                                      .measured = p99,
                                      .value = p99,
                                      .measure = "p99 ms",
                                      .kind = p99_ms > 0 ? BENCH_AT_MOST : BENCH_INFORMATION,
                                      .target = p99_ms};
    bench_tell(bench, &latency);
}

void
bench_rows_store(struct bench *bench)
{
    static const int processes[] = {1, 8, PROCESSES_MAX};
    enum { KINDS = sizeof(processes) / sizeof(processes[0]) };
    double rates[KINDS + 1][SLICES];
    double *latencies[KINDS];
    size_t told[KINDS] = {0};
    char paths[KINDS + 1][4096];
    bench_make_database(bench, "bare", paths[KINDS], sizeof(paths[KINDS]));
    for (int k = 0; k < KINDS; k++) {
        char name[32];
        snprintf(name, sizeof(name), "lease-%d", processes[k]);
        bench_make_database(bench, name, paths[k], sizeof(paths[k]));
        latencies[k] = calloc((size_t)processes[k] * BENCH_LATENCIES * SLICES, sizeof(double));
        if (latencies[k] == NULL)
            bench_die("out of memory");
    }
    for (int slice = 0; slice < SLICES; slice++) {
        rates[KINDS][slice] = bench_bare_rate(bench, paths[KINDS]);
        for (int k = 0; k < KINDS; k++) {
            char url[4200];
            snprintf(url, sizeof(url), "sqlite:%s", paths[k]);
            rates[k][slice] =
                bench_lease_rate(bench, url, processes[k], WARM_SECONDS, latencies[k], &told[k]);
        }
    }
    double bare = bench_median(rates[KINDS], SLICES);
    for (int k = 0; k < KINDS; k++) {
        bench_tell_rate(bench, "store", processes[k], bare, bench_median(rates[k], SLICES),
                        latencies[k], told[k], 50);
        free(latencies[k]);
    }
}
