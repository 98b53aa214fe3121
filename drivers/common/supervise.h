/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise.h - the wait for one command: its end, its time limit, the caller's
 * wish to stop, and the relay of its terminal meanwhile.
 *
 * Waits for the process, never for the end of a pipe: what the command left
 * running in the background does not hold the answer up. Reaps the command.
 */
#ifndef DRIVERS_COMMON_SUPERVISE_H
#define DRIVERS_COMMON_SUPERVISE_H

#include <stdint.h>
#include <sys/types.h>

struct billet_relay;

/* Kill the whole tree of the command. Called on time-out and cancel, while the command is not
 * reaped yet (it may be dead), so that its pid is still its own. */
typedef void billet_supervise_kill(void *context);

struct billet_supervision {
    pid_t pid;                  /* a child of this process that nobody else waits for */
    int pidfd;                  /* still the caller's */
    int cancel_fd;              /* -1: none */
    int64_t timeout_ns;         /* from now; 0: none */
    int64_t kill_after_ns;      /* from the gentle signal to the kill; 0: at once after it */
    struct billet_relay *relay; /* NULL: no terminal */
    billet_supervise_kill *kill_tree;
    void *context;
};

struct billet_supervised {
    int outcome; /* BILLET_OUTCOME_EXITED, SIGNALLED, TIMED_OUT, CANCELLED */
    int value;   /* exit code or signal; for the last two what the command ended with, 128 + n */
    uint64_t max_rss_bytes;
    int64_t cpu_ns;
};

/* 0, or -errno when the command cannot be waited for (it was killed then). */
int billet_supervise(const struct billet_supervision *supervision,
                     struct billet_supervised *result);

/* Reap a child through its pidfd without blocking: 1 ended, 0 not yet, -errno. */
int billet_supervise_reap(int pidfd, struct billet_supervised *result);

#endif
