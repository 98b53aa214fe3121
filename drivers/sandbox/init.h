/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.h - what the parts of billet-sandbox-init share: the description of the
 * sandbox, messages to drivers, the life of one command, and trees of processes.
 *
 * init.c: process 1, which starts, checks, and keeps a supervisor ready.
 * init_command.c: the supervisor of one command, and the command before it executes.
 * init_tree.c: which processes descend from which, and their end.
 */
#ifndef SANDBOX_INIT_H
#define SANDBOX_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

struct inside {
    const struct sandbox_setup *setup;
    const char **mounts;
    const char **readable;
    char missing[SANDBOX_TEXT_MAX]; /* what the self-check found missing */
    bool is_first;                  /* process 1 is ours, and so are all numbers of processes */
    int signals;                    /* signalfd of SIGCHLD; reads those of whoever reads */
};

/* ---- messages (init.c) ------------------------------------------------------------ */

/* fd: to hand over, -1: none. False when nobody is there. */
bool inside_say(int socket, const struct sandbox_message *message, int fd, bool credentials);
/* One packet of at most size, which begins with a struct sandbox_message, and up to count
 * descriptors, the others -1: its size, 0 at the end, -1 with errno. flags: of recvmsg(2). */
int inside_hear(int socket, void *packet, size_t size, int *fds, size_t count, int flags);
/* Point count strings beginning at *at, and a NULL; NULL when they are cut short or for want of
 * memory. */
const char **inside_strings(const char **at, const char *end, uint32_t count);

/* Add to missing what the first command's process could not be confined by (errno of Landlock, 0:
 * in force); true when no command may run here. */
bool inside_refuses(struct inside *self, int landlock_errno);
/* Await what the self-check found missing, which goes to two processes; false when no command may
 * run here, or process 1 has ended. */
bool inside_may_go(struct inside *self, int go, int landlock_errno);

/* ---- one command (init_command.c) ------------------------------------------------- */

/* A process that stays with one command; beneath it another one, already confined, that waits at
 * the door for that command and will execute it. */
struct supervisor {
    pid_t pid;  /* 0: none */
    int report; /* struct supervisor_report, one after the other */
    int go;     /* inside_may_go waits at its other end; -1: nobody does */
};

enum supervisor_event {
    SUPERVISOR_CONFINED, /* value: errno of Landlock, 0: in force */
    SUPERVISOR_TAKEN,    /* it has a command now */
};
struct supervisor_report {
    int32_t event;
    int32_t value;
};

/* await_go: it waits for inside->missing, which is not known yet. False with errno. */
bool inside_supervise(const struct inside *inside, bool await_go, struct supervisor *supervisor);

/* ---- trees (init_tree.c) ------------------------------------------------------------ */

/* Kill what descends from this process, whatever it does to avoid it; reaps all but spare. False
 * when something is left. */
bool inside_tree_kill(pid_t spare);
/* Process 1: kill what descends from none of these. */
bool inside_tree_kill_others(const pid_t *roots, size_t count);
/* Reap what has ended, but leave spare (0: none) as it is. True once spare itself has ended. */
bool inside_reap(pid_t spare);

#endif
