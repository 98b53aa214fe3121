/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash-at - run a command and end it with SIGKILL at its Nth system call that changes something;
 * for tests that are scripts.
 *
 * usage: crash-at N|count [--every-call] PROGRAM ARGUMENT...
 *
 * Prints "killed at CALL" or, when there were fewer, "ended with STATUS after N". Exits with 0, or
 * 2 when the command could not be traced or did not end within a minute.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define LIMIT_MS 60000

extern char **environ;

/* Files, and what is said to a server. Locks and memory are gone with the process anyway. */
static const char *const changing[] = {
    "write",    "pwrite64",  "writev",  "pwritev",  "fsync",     "fdatasync", "rename",
    "renameat", "renameat2", "unlink",  "unlinkat", "ftruncate", "fallocate", "link",
    "linkat",   "mkdir",     "mkdirat", "fchmod",   "sendto",    "sendmsg",
};

int
main(int argc, char **argv)
{
    int calls[sizeof(changing) / sizeof(changing[0]) + 1];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(changing) / sizeof(changing[0]); i++)
        if (crash_call_number(changing[i]) >= 0)
            calls[count++] = crash_call_number(changing[i]);
    calls[count] = -1;
    int first = argc > 2 && strcmp(argv[2], "--every-call") == 0 ? 3 : 2;
    if (argc <= first) {
        fputs("usage: crash-at N|count [--every-call] PROGRAM ARGUMENT...\n", stderr);
        return 2;
    }
    const char *name = strrchr(argv[first], '/');
    const struct crash_target target = {.program = name != NULL ? name + 1 : argv[first],
                                        .ordinal = strtol(argv[1], NULL, 10),
                                        .calls = first == 3 ? NULL : calls};
    struct crash_outcome outcome;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (crash_trace(
            (const char *const *)(void *)(argv + first), (const char *const *)(void *)environ,
            (const int[]){STDERR_FILENO, STDERR_FILENO}, &target, LIMIT_MS, &outcome) != 0) {
        perror("crash-at");
        return 2;
    }
    if (outcome.timed_out || !outcome.found) {
        fprintf(stderr, "crash-at: %s %s\n", argv[first],
                outcome.found ? "did not end" : "was not executed");
        return 2;
    }
    if (outcome.hit)
        printf("killed at %s\n", crash_call_name(outcome.call));
    else
        printf("ended with %d after %ld\n",
               WIFEXITED(outcome.status) ? WEXITSTATUS(outcome.status)
                                         : 128 + WTERMSIG(outcome.status),
               outcome.count);
    return 0;
}
