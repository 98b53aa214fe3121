/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - run a command and do something to one of its processes at its Nth system
 * call: end it with SIGKILL, or let that call fail.
 *
 * The process is chosen by the name of the program that it executes. Everything else runs untraced
 * as soon as it is found, and so does everything after the point. Never touches a process that the
 * command did not start.
 */
#ifndef CRASH_TRACE_H
#define CRASH_TRACE_H

#include <stdbool.h>
#include <sys/types.h>

struct crash_target {
    const char *program; /* its name as the kernel keeps it (comm); NULL: do not trace at all */
    bool with_forks;     /* processes that it forks count with it, until they execute another */
    long ordinal;        /* which of its system calls, from 1; 0: only count them */
    const int *calls;    /* count only these, ended by -1; NULL: all */
    int fault;           /* errno that the call fails with; 0: SIGKILL. Calls of the dynamic
                          * loader at the start never fail: what it does then is the C library's. */
    const char *until;   /* once there is a file of this name the command is killed; NULL: never */
};

struct crash_outcome {
    long count;     /* system calls seen of the target */
    bool found;     /* such a process was there */
    bool hit;       /* the point was reached */
    long call;      /* number of the system call at the point */
    bool timed_out; /* the command did not end in time, and was killed */
    bool cut_off;   /* it was killed since the file was there */
    int status;     /* of the command, as waitpid gives it */
};

/* argv[0] is the path. output: where its stdout and stderr go. 0, or -1 with errno when it cannot
 * be traced or started. The caller must have blocked SIGCHLD, have no other children that it wants
 * the status of, and should be a subreaper. */
int crash_trace(const char *const *argv, const char *const *environment, const int output[2],
                const struct crash_target *target, int timeout_ms, struct crash_outcome *outcome);

/* Wait for the next SIGCHLD, at most that long; false: the time is over. */
bool crash_wait_child(long long until_ms);
long long crash_now_ms(void);

/* "openat"; a number for what is not in the table. The answer is overwritten by the next call. */
const char *crash_call_name(long number);
int crash_call_number(const char *name); /* -1: this machine has none */

#endif
