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
begin(struct bench *bench, const char *name, const char *config, const char *environment,
      struct held *held)
{
    const struct billet_context_request request = {.config = config};
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

void
bench_warm_exec(struct bench *bench, const char *config, const char *environment,
                const struct bench_floor *floors, size_t count)
{
    struct held held;
    size_t runs = (size_t)bench->runs;
    cleanup_free double *taken = calloc(runs, sizeof(double));
    cleanup_free double *others = calloc(runs * count, sizeof(double));
    if (taken == NULL || others == NULL)
        bench_die("out of memory");
    if (!begin(bench, floors[0].row, config, environment, &held))
        return;
    for (int i = 0; i < 3; i++)
        exec_once(&held);
    for (size_t i = 0; i < runs; i++) {
        for (size_t k = 0; k < count; k++) {
            others[k * runs + i] = bench_run(&floors[k].command);
            if (floors[k].more_ms != NULL)
                others[k * runs + i] += floors[k].more_ms(floors[k].context);
        }
        taken[i] = exec_once(&held);
    }
    end(&held);
    double measured = bench_median(taken, runs);
    for (size_t k = 0; k < count; k++)
        bench_tell_ratio(bench, floors[k].row, "ms", bench_median(others + k * runs, runs),
                         measured, floors[k].kind, floors[k].target);
}

static void
warm(struct bench *bench, const char *environment)
{
    char name[64];
    snprintf(name, sizeof(name), "exec-%s", environment);
    const struct bench_floor spawn = {.row = name,
                                      .command = {.name = "a local spawn", .argv = command},
                                      .kind = BENCH_AT_MOST,
                                      .target = 1.5};
    bench_warm_exec(bench, NULL, environment, &spawn, 1);
}

void
bench_rows_exec(struct bench *bench)
{
    warm(bench, "local");
    warm(bench, "sandbox");
}
