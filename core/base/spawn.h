/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - the one place where core makes a process: argv arrays, a chosen
 * environment, chosen descriptors, everything else closed, signals reset.
 */
#ifndef BILLET_BASE_SPAWN_H
#define BILLET_BASE_SPAWN_H

#include <billet/types.h>
#include <stddef.h>
#include <sys/types.h>

struct billet_spawn {
    const char *path;               /* absolute */
    const char *const *argv;        /* NULL-terminated */
    const char *const *environment; /* NULL-terminated; NULL: empty */
    const int *fds;                 /* fds[i] becomes descriptor i; -1: /dev/null */
    size_t fd_count;                /* at most 16; all other descriptors are closed */
    int new_session;                /* setsid */
};

/* Start it. *pid is a child of the caller; *pidfd (may be NULL) is owned by the caller. A command
 * that cannot be executed is reported here, not by an exit status. */
int billet_spawn(const struct billet_spawn *spawn, pid_t *pid, int *pidfd,
                 struct billet_error *error);

/* Wait for the child until deadline (CLOCK_MONOTONIC, 0: for ever): 0 with the wait status, or
 * class TIMEOUT. */
int billet_spawn_wait(pid_t pid, int pidfd, int64_t deadline_ns, int *status,
                      struct billet_error *error);

#endif
