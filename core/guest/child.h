/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - the process that becomes a command, and the pipes between it and the guest.
 *
 * It is made when a command comes, or ahead: while the guest has nothing to do it makes one process
 * that waits with pipes, session and descriptors ready, and the next command is that much nearer.
 * Either way it shares the guest's memory until it has executed the command or failed, and the
 * guest waits for that.
 */
#ifndef CORE_GUEST_CHILD_H
#define CORE_GUEST_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* What it becomes. The memory is the caller's, and not used after the start. */
struct guest_child {
    char **argv;
    char **environment;
    const char *directory; /* "": the guest's own */
    int fds[3];            /* its standard streams, all above 2 */
    bool pty;              /* they are its controlling terminal */
};

/* Why it did not execute the command; outcome 0: it did. */
struct guest_failure {
    volatile int outcome; /* BILLET_OUTCOME_* or BILLET_GUEST_OUTCOME_* */
    volatile int sys_errno;
};

/* Owned by whoever made or took them; -1: none. */
struct guest_streams {
    int input;     /* does not block; none when its input has ended */
    int output[2]; /* likewise */
    int child[3];  /* the other ends, and the null device for an input that has ended */
};

#define GUEST_STREAMS_NONE                                       \
    {                                                            \
        .input = -1, .output = {-1, -1}, .child = { -1, -1, -1 } \
    }

/* A pipe for each; close on exec, above 2. False with errno; what was made is there to be dropped.
 */
bool guest_streams_make(struct guest_streams *streams, bool no_input);
/* The child has its input. */
void guest_streams_hand_over_input(struct guest_streams *streams);
void guest_streams_drop(struct guest_streams *streams);
/* Above 2, or -1 with errno. */
int guest_move_up(int fd);

/* A process id, or -1 with errno. */
pid_t guest_child_start(const struct guest_child *child, struct guest_failure *failure);

/* Make the one that waits, unless it is there already or cannot be had here. */
void guest_child_make_ahead(void);
/* Let the one that waits become it (its fds are not looked at, and no terminal is possible): its
 * process id and in *streams its streams, whose ends of it are closed here but for the two of
 * output; or 0: there is none, or it died before it went. */
pid_t guest_child_start_made(const struct guest_child *child, bool no_input,
                             struct guest_streams *streams, struct guest_failure *failure);
/* The one that waits; 0: there is none. */
pid_t guest_child_waiting(void);
/* End it. */
void guest_child_drop_ahead(void);
/* A child was reaped. */
void guest_child_reaped(pid_t pid);

#endif
