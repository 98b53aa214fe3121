/* SPDX-License-Identifier: Apache-2.0 */
/* What billet's processes weigh: an idle driver host, and many runs at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"

#define HOST_KIB_MAX 4096
#define START_MS 20000

/* ---- an idle driver host --------------------------------------------------------- */

static long
child_of(pid_t parent)
{
    char path[64];
    long child = 0;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)parent, (long)parent);
    cleanup_file FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%ld", &child) != 1)
        return 0;
    return child;
}

/* Private_Clean + Private_Dirty in KiB, -1 when it cannot be read. */
static long
private_kib(long pid)
{
    char path[64], line[256];
    long kib, sum = -1;
    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", pid);
    cleanup_file FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kib) == 1)
            sum = (sum < 0 ? 0 : sum) + kib;
    return sum;
}

static void
memory_of(struct bench *bench, const char *environment)
{
    char name[64], byte;
    int input[2], output[2];
    const char *const argv[] = {bench->billet, "run", "-e",        environment, "--",
                                "sh",          "-c",  "echo; cat", NULL};
    int status = 0;
    snprintf(name, sizeof(name), "host-%s", environment);
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0)
        bench_die("pipe: %s", strerror(errno));
    /* An ordinary user may look into the host only when it does not hide itself. */
    setenv("BILLET_DRIVER_CORE", "1", 1);
    pid_t pid = bench_start(argv, input[0], output[1]);
    unsetenv("BILLET_DRIVER_CORE");
    close(input[0]);
    close(output[1]);
    struct pollfd ready = {.fd = output[0], .events = POLLIN};
    bool started = poll(&ready, 1, START_MS) == 1 && read(output[0], &byte, 1) == 1;
    long host = started ? child_of(pid) : 0;
    long kib = host > 0 ? private_kib(host) : -1;
    close(input[1]);
    close(output[0]);
    if (waitpid(pid, &status, 0) != pid || !started || status != 0) {
        bench_skip(bench, name, "the environment does not work here");
        return;
    }
    if (kib < 0) {
        bench_skip(bench, name, "the host's smaps_rollup cannot be read");
        return;
    }
    const struct bench_row row = {.name = name,
                                  .unit = "KiB",
                                  .floor = -1,
                                  .measured = (double)kib,
                                  .value = (double)kib,
                                  .measure = "private KiB",
                                  .kind = BENCH_AT_MOST,
                                  .target = HOST_KIB_MAX};
    bench_tell(bench, &row);
}

void
bench_rows_memory(struct bench *bench)
{
    memory_of(bench, "local");
    memory_of(bench, "sandbox");
}

/* ---- many at once ------------------------------------------------------------------ */

/* Runs with different exit statuses at once; the largest peak of one in KiB, and how many ended
 * wrong. ru_maxrss of a process is the largest of it and of those it waited for. */
static long
run_together(struct bench *bench, int count, int *wrong)
{
    pid_t *pids = calloc((size_t)count, sizeof(*pids));
    long peak = 0;
    if (pids == NULL)
        bench_die("out of memory");
    for (int i = 0; i < count; i++) {
        char command[32];
        snprintf(command, sizeof(command), "exit %d", i % 100);
        const char *const argv[] = {bench->billet, "run", "-e",    "local", "--",
                                    "sh",          "-c",  command, NULL};
        pids[i] = bench_start(argv, -1, -1);
    }
    for (int i = 0; i < count; i++) {
        struct rusage usage;
        int status = 0;
        if (wait4(pids[i], &status, 0, &usage) != pids[i])
            bench_die("wait4: %s", strerror(errno));
        if (!WIFEXITED(status) || WEXITSTATUS(status) != i % 100)
            (*wrong)++;
        if (usage.ru_maxrss > peak)
            peak = usage.ru_maxrss;
    }
    free(pids);
    return peak;
}

static size_t
live_leases(struct bench *bench)
{
    char output[4096];
    snprintf(output, sizeof(output), "%s/leases.json", bench->scratch);
    const char *const argv[] = {bench->billet, "lease", "list", "--json", NULL};
    const struct bench_command command = {.name = "lease list", .argv = argv, .output = output};
    bench_run(&command);
    json_t *list = json_load_file(output, 0, NULL);
    json_t *leases = json_object_get(list, "leases");
    if (!json_is_array(leases))
        bench_die("lease list --json gave no leases");
    size_t count = json_array_size(leases);
    json_decref(list);
    return count;
}

void
bench_rows_together(struct bench *bench)
{
    char name[64];
    int wrong = 0;
    long alone = 0;
    size_t before = live_leases(bench);
    for (int i = 0; i < 5; i++) {
        long peak = run_together(bench, 1, &wrong);
        alone = peak > alone ? peak : alone;
    }
    wrong = 0;
    double start = bench_now_ms();
    long peak = run_together(bench, bench->together, &wrong);
    double taken = bench_now_ms() - start;
    double left = (double)(live_leases(bench) - before);

    snprintf(name, sizeof(name), "together-%d", bench->together);
    const struct bench_row right = {.name = name,
                                    .unit = "ms",
                                    .floor = -1,
                                    .measured = taken,
                                    .value = wrong + left,
                                    .measure = "wrong or left",
                                    .kind = BENCH_AT_MOST,
                                    .target = 0};
    bench_tell(bench, &right);
    bench_tell_ratio(bench, "together-memory", "KiB", (double)alone, (double)peak, BENCH_AT_MOST,
                     1.1);
}
