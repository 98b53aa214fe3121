/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on a lease that is held: in the session that holds it, and through billet exec. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "bench.h"
#include "run/session.h"

static const char *const command[] = {"/bin/true", NULL};

struct held {
    struct billet_context *context;
    struct billet_session_request request;
    struct billet_session session;
};

static void
end(struct held *held)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    billet_session_end(&held->session, BILLET_DISPOSE_DESTROY, 0, &ignored);
    billet_error_clear(&ignored);
    billet_session_close(&held->session);
    billet_context_close(held->context);
}

/* False with the reason told where the environment does not work here. */
static bool
begin(struct bench *bench, const char *name, const char *environment, struct held *held)
{
    const struct billet_context_request request = {0};
    struct billet_error error = BILLET_ERROR_INIT;
    held->request = (struct billet_session_request){.environment = environment,
                                                    .workspace_mode = -1,
                                                    .policy = "ephemeral",
                                                    .no_command = true};
    if (billet_context_open(&request, false, &held->context, &error) < 0)
        bench_die("%s", error.message);
    int result = billet_session_open(&held->session, held->context, &held->request, &error);
    if (result == 0)
        result = billet_session_acquire(&held->session, &error);
    if (result == 0)
        result = billet_session_realize(&held->session, &error);
    if (result < 0) {
        bench_skip(bench, name, error.message);
        billet_session_abort(&held->session, &error);
        billet_session_close(&held->session);
        billet_context_close(held->context);
        billet_error_clear(&error);
    }
    return result == 0;
}

static double
exec_once(struct held *held)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_ending ending = {.origin = "billet"};
    const struct billet_session_exec exec = {
        .argv = command, .fds = {-1, -1, -1}, .timeout_ns = -1, .status_fd = -1};
    double start = bench_now_ms();
    if (billet_session_exec(&held->session, &exec, &ending, &error) < 0)
        bench_die("%s", error.message);
    double taken = bench_now_ms() - start;
    if (ending.outcome != BILLET_OUTCOME_EXITED || ending.value != 0)
        bench_die("%s ended with outcome %d, value %d", command[0], (int)ending.outcome,
                  (int)ending.value);
    return taken;
}

static void
warm(struct bench *bench, const char *environment)
{
    struct held held;
    char name[64];
    size_t runs = (size_t)bench->runs;
    cleanup_free double *floor = calloc(runs, sizeof(double));
    cleanup_free double *taken = calloc(runs, sizeof(double));
    const struct bench_command spawn = {.name = "a local spawn", .argv = command};
    snprintf(name, sizeof(name), "exec-%s", environment);
    if (floor == NULL || taken == NULL)
        bench_die("out of memory");
    if (!begin(bench, name, environment, &held))
        return;
    for (int i = 0; i < 3; i++)
        exec_once(&held);
    for (size_t i = 0; i < runs; i++) {
        floor[i] = bench_run(&spawn);
        taken[i] = exec_once(&held);
    }
    end(&held);
    bench_tell_ratio(bench, name, "ms", bench_median(floor, runs), bench_median(taken, runs),
                     BENCH_AT_MOST, 1.5);
}

void
bench_rows_exec(struct bench *bench)
{
    warm(bench, "local");
    warm(bench, "sandbox");
}
