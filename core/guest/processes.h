/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processes.h - finds and kills what one command started: its session, its descendants, what
 * carries its label, and orphans without any.
 *
 * Signals only through a pidfd whose process is still the one that was looked at. Never touches a
 * process that neither descends from this one nor carries the label.
 */
#ifndef CORE_GUEST_PROCESSES_H
#define CORE_GUEST_PROCESSES_H

#include <stdbool.h>
#include <sys/types.h>

struct guest_tree {
    pid_t pid;         /* leader of its session, a child of ours; 0: all that descends from us */
    const char *label; /* "BILLET_EXEC_ID=VALUE", "": none */
    bool alone;        /* no other command runs: orphans without a label are its own */
    pid_t waiting;     /* the process that was made ahead, which is no orphan; 0: there is none */
};

/* SIGKILL what is there now; how many that were. */
int guest_processes_kill(const struct guest_tree *tree);

#endif
