/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

extern char **environ;

void
bench_die(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

double
bench_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double
bench_quantile(double *sorted, size_t count, double quantile)
{
    size_t at = (size_t)(quantile * (double)count);
    return count == 0 ? 0 : sorted[at < count ? at : count - 1];
}

double
bench_median(double *samples, size_t count)
{
    qsort(samples, count, sizeof(*samples), compare);
    return bench_quantile(samples, count, 0.5);
}

static void
place(posix_spawn_file_actions_t *actions, int fd, int at)
{
    if (fd >= 0)
        posix_spawn_file_actions_adddup2(actions, fd, at);
    else
        posix_spawn_file_actions_addopen(actions, at, "/dev/null", O_RDWR, 0);
}

pid_t
bench_start(const char *const *argv, int input, int output)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    place(&actions, input, STDIN_FILENO);
    place(&actions, output, STDOUT_FILENO);
    int failed =
        posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        bench_die("cannot run %s: %s", argv[0], strerror(failed));
    return pid;
}

double
bench_run(const struct bench_command *command)
{
    int status = 0;
    int output = -1;
    if (command->output != NULL) {
        output = open(command->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (output < 0)
            bench_die("%s: %s", command->output, strerror(errno));
    }
    double start = bench_now_ms();
    pid_t pid = bench_start(command->argv, -1, output);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            bench_die("waitpid: %s", strerror(errno));
    double taken = bench_now_ms() - start;
    if (output >= 0)
        close(output);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != command->wanted)
        bench_die("%s: %s ended with status 0x%x, not %d", command->name, command->argv[0],
                  (unsigned)status, command->wanted);
    if (command->after != NULL)
        command->after(command, command->context);
    return taken;
}

void
bench_interleave(const struct bench *bench, struct bench_command *commands, size_t count)
{
    int warm_up = bench->runs / 10 < 3 ? 3 : bench->runs / 10;
    size_t runs = (size_t)bench->runs;
    for (size_t i = 0; i < count; i++) {
        commands[i].samples = calloc(runs, sizeof(double));
        if (commands[i].samples == NULL)
            bench_die("out of memory");
    }
    for (int round = 0; round < warm_up; round++)
        for (size_t i = 0; i < count; i++)
            bench_run(&commands[i]);
    for (size_t round = 0; round < runs; round++)
        for (size_t i = 0; i < count; i++)
            commands[i].samples[round] = bench_run(&commands[i]);
    for (size_t i = 0; i < count; i++)
        commands[i].median = bench_median(commands[i].samples, runs);
}

void
bench_commands_free(struct bench_command *commands, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(commands[i].samples);
}
