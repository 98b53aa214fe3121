/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of files to a host that is reached by SSH: the step that brings the workspace in,
 * beside tar and rsync over a connection that is warm, as billet's is by then; and commands on a
 * lease there that is held, by who holds it and by a `billet exec` each, beside ssh over a
 * connection that is shared, and without. What t/bench/far.sh left in the scratch directory says
 * where.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"

#define ROUNDS 5 /* at most: a round takes some seconds */
#define EXECS 30 /* at most: some of them connect */

enum { COLD, COLD_TAR, SAME, SAME_TAR, SAME_RSYNC, WHOLE, SERIES };

struct far {
    struct bench *bench;
    char tree[4096];
    char config[4096];     /* of billet */
    char ssh_config[4096]; /* of the others */
    char place[4096];      /* the far side's directory */
    char output[4096];
    double samples[SERIES][ROUNDS];
    int count;
    long kib;       /* the largest process of a run that sends nothing */
    long rsync_kib; /* the same of rsync */
};

static bool
first_line(const char *directory, const char *name, char *line, size_t size)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/far/%s", directory, name);
    cleanup_file FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, (int)size, file) == NULL)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* Milliseconds, and the largest of the processes in KiB. */
static double
timed(const char *const *argv, const char *output, long *kib)
{
    struct rusage usage;
    int status = 0;
    cleanup_fd int to =
        output != NULL ? open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    double start = bench_now_ms();
    pid_t pid = bench_start(argv, -1, to);
    while (wait4(pid, &status, 0, &usage) != pid)
        if (errno != EINTR)
            bench_die("wait4: %s", strerror(errno));
    double taken = bench_now_ms() - start;
    if (status != 0)
        bench_die("%s %s ... ended with status 0x%x", argv[0], argv[1], (unsigned)status);
    if (kib != NULL && usage.ru_maxrss > *kib)
        *kib = usage.ru_maxrss;
    return taken;
}

static double
shell(const char *script, const struct far *far, long *kib)
{
    const char *const argv[] = {"/bin/sh",       "-c",       script, "sh", far->tree,
                                far->ssh_config, far->place, NULL};
    return timed(argv, NULL, kib);
}

/* A run; how long its step took that brings the workspace in. */
static double
realize(struct far *far, double *whole, long *kib)
{
    const char *const argv[] = {far->bench->billet, "run", "--config", far->config,
                                "--json",           "-e",  "far",      "-w",
                                far->tree,          "--",  "true",     NULL};
    *whole = timed(argv, far->output, kib);
    json_t *run = json_load_file(far->output, 0, NULL);
    json_t *step = json_object_get(json_object_get(run, "steps_ms"), "realize");
    if (!json_is_number(step))
        bench_die("a run over ssh has no step realize");
    double taken = json_number_value(step);
    json_decref(run);
    return taken;
}

static void
measure_round(struct far *far, bool rsync)
{
    double whole;
    int at = far->count++;
    shell("rm -rf \"$3\"/leases/.trees \"$3\"/others/tar && mkdir \"$3\"/others/tar", far, NULL);
    far->samples[COLD][at] = realize(far, &whole, NULL);
    static const char tar[] = "tar -C \"$1\" -cf - . | ssh -F \"$2\" far tar -C \"$3\"/others/tar "
                              "-xf -";
    far->samples[COLD_TAR][at] = shell(tar, far, NULL);
    far->samples[SAME][at] = realize(far, &far->samples[WHOLE][at], &far->kib);
    far->samples[SAME_TAR][at] = shell(tar, far, NULL);
    if (rsync)
        far->samples[SAME_RSYNC][at] =
            shell("exec rsync -a -e \"ssh -F $2\" \"$1\"/ far:\"$3\"/others/rsync/", far,
                  &far->rsync_kib);
}

static void
tell(struct far *far, const char *name, int ours, int floor, enum bench_target kind, double target)
{
    double measured = bench_median(far->samples[ours], (size_t)far->count);
    double other = bench_median(far->samples[floor], (size_t)far->count);
    bench_tell_ratio(far->bench, name, "ms", other, measured, kind, target);
}

/* ---- commands ------------------------------------------------------------------------------ */

/* What ssh itself takes for a question and its answer, each of about the size that a command has.
 */
struct echo {
    pid_t pid;
    int to, from;
};

static void
begin_echo(struct echo *echo, const char *ssh_config)
{
    static const char line[] = "exec ssh -F \"$1\" far cat";
    const char *const argv[] = {"/bin/sh", "-c", line, "sh", ssh_config, NULL};
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        bench_die("pipe: %s", strerror(errno));
    echo->pid = bench_start(argv, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    echo->to = in[1];
    echo->from = out[0];
}

static double
echo_once(void *context)
{
    const struct echo *echo = context;
    char bytes[512] = "x";
    double start = bench_now_ms();
    if (write(echo->to, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
        bench_die("ssh far cat takes nothing");
    for (size_t come = 0; come < sizeof(bytes);) {
        ssize_t got = read(echo->from, bytes, sizeof(bytes) - come);
        if (got <= 0)
            bench_die("ssh far cat gives nothing");
        come += (size_t)got;
    }
    return bench_now_ms() - start;
}

static void
end_echo(struct echo *echo)
{
    close(echo->to);
    close(echo->from);
    while (waitpid(echo->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* By a process of its own, which connects like plain ssh does. */
static void
exec_on_lease(struct far *far, const char *const *shared, const char *const *plain)
{
    const char *const acquire[] = {far->bench->billet, "lease", "acquire", "--config", far->config,
                                   "--json",           "-e",    "far",     NULL};
    timed(acquire, far->output, NULL);
    json_t *said = json_load_file(far->output, 0, NULL);
    const char *lease = json_string_value(json_object_get(said, "lease"));
    if (lease == NULL)
        bench_die("lease acquire names no lease");
    const char *const ours[] = {
        far->bench->billet, "exec", "--config", far->config, lease, "--", "true", NULL};
    struct bench_command commands[] = {{.name = "ssh, shared", .argv = shared},
                                       {.name = "ssh", .argv = plain},
                                       {.name = "billet exec", .argv = ours}};
    bench_interleave(far->bench, commands, 3);
    bench_tell_commands(far->bench, "exec-ssh-process-shared", &commands[0], &commands[2],
                        BENCH_INFORMATION, 0);
    bench_tell_commands(far->bench, "exec-ssh-process", &commands[1], &commands[2],
                        BENCH_INFORMATION, 0);
    bench_commands_free(commands, 3);
    const char *const destroy[] = {far->bench->billet, "lease", "destroy", "--config",
                                   far->config,        lease,   NULL};
    timed(destroy, NULL, NULL);
    json_decref(said);
}

static void
measure_commands(struct far *far)
{
    static const char line[] = "exec ssh -F \"$1\" far true";
    static const char alone[] = "exec ssh -F \"$1\" -o ControlPath=none far true";
    static const char *const spawn[] = {"/bin/true", NULL};
    const char *const shared[] = {"/bin/sh", "-c", line, "sh", far->ssh_config, NULL};
    const char *const plain[] = {"/bin/sh", "-c", alone, "sh", far->ssh_config, NULL};
    struct echo echo;
    const struct bench_floor floors[] = {
        {"exec-ssh", {.name = "ssh, shared", .argv = shared}, NULL, NULL, BENCH_AT_MOST, 0.1},
        {"exec-ssh-spawn",
         {.name = "a local spawn, and a question through ssh", .argv = spawn},
         echo_once,
         &echo,
         BENCH_AT_MOST,
         1.5},
    };
    int runs = far->bench->runs;
    far->bench->runs = runs < EXECS ? runs : EXECS;
    begin_echo(&echo, far->ssh_config);
    echo_once(&echo); /* it is there */
    bench_warm_exec(far->bench, far->config, "far", floors, 2);
    end_echo(&echo);
    exec_on_lease(far, shared, plain);
    far->bench->runs = runs;
}

void
bench_rows_ssh(struct bench *bench)
{
    char reason[256] = "it was not started through t/bench/far.sh";
    cleanup_free struct far *far = calloc(1, sizeof(*far));
    if (far == NULL)
        bench_die("out of memory");
    far->bench = bench;
    first_line(bench->scratch, "reason", reason, sizeof(reason));
    if (!first_line(bench->scratch, "far", far->place, sizeof(far->place))) {
        bench_skip(bench, "ssh", reason);
        return;
    }
    snprintf(far->tree, sizeof(far->tree), "%s/tree-ssh", bench->scratch);
    snprintf(far->config, sizeof(far->config), "%s/far/billet.conf", bench->scratch);
    snprintf(far->ssh_config, sizeof(far->ssh_config), "%s/far/ssh_config", bench->scratch);
    snprintf(far->output, sizeof(far->output), "%s/run.json", bench->scratch);
    bench_make_tree(far->tree, bench->files);
    const char *const look[] = {"/bin/sh", "-c", "command -v rsync", NULL};
    int status = 0;
    pid_t pid = bench_start(look, -1, -1);
    bool rsync = waitpid(pid, &status, 0) == pid && status == 0;
    if (rsync)
        shell("exec rsync -a -e \"ssh -F $2\" \"$1\"/ far:\"$3\"/others/rsync/", far, NULL);
    measure_commands(far);
    double whole;
    realize(far, &whole, NULL); /* the guest is there from now on */
    for (int rounds = bench->runs < ROUNDS ? bench->runs : ROUNDS; rounds > 0; rounds--)
        measure_round(far, rsync);
    tell(far, "ssh-cold", COLD, COLD_TAR, BENCH_AT_MOST, 1.1);
    tell(far, "ssh-same-tar", SAME, SAME_TAR, BENCH_INFORMATION, 0);
    tell(far, "ssh-whole-tar", WHOLE, SAME_TAR, BENCH_INFORMATION, 0);
    if (!rsync) {
        bench_skip(bench, "ssh-same", "there is no rsync");
        return;
    }
    tell(far, "ssh-same", SAME, SAME_RSYNC, BENCH_AT_MOST, 0.5);
    bench_tell_ratio(bench, "ssh-same-memory", "KiB", (double)far->rsync_kib, (double)far->kib,
                     BENCH_INFORMATION, 0);
}
