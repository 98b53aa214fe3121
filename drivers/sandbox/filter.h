/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - the system calls a command in the sandbox cannot make: a table,
 * compiled by libseccomp into the program that bwrap loads. Denies what reaches
 * around namespaces or is attack surface without use in a build or an agent.
 *
 * Owns the list; loads nothing into this process.
 */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

#include <billet/types.h>
#include <pthread.h>
#include <stdbool.h>

/* A memfd with the BPF program, read offset 0, O_CLOEXEC; the caller's. */
int sandbox_filter_make(int *fd, struct billet_error *error);

/* The same in a thread, while the caller has other things to do. */
struct sandbox_filter {
    pthread_t thread;
    bool begun; /* the thread is to be joined */
    int fd;     /* the program once it is there, else -1 */
};
#define SANDBOX_FILTER_INIT \
    {                       \
        .fd = -1            \
    }
/* Where no thread can be had, sandbox_filter_await does the work. */
void sandbox_filter_begin(struct sandbox_filter *filter);
/* filter->fd is there afterwards; it stays the filter's. */
int sandbox_filter_await(struct sandbox_filter *filter, struct billet_error *error);
void sandbox_filter_free(struct sandbox_filter *filter);

#endif
