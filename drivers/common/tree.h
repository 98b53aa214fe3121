/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the end of process trees without a control group: by label in the
 * environment (NAME=VALUE), by session, by descent from this process.
 *
 * Never signals by a number that may have passed to another process: a pidfd is
 * opened, then what made the process ours is looked at again, then the signal
 * goes to the pidfd. Never touches a process that carries another lease's label.
 */
#ifndef DRIVERS_COMMON_TREE_H
#define DRIVERS_COMMON_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "launch.h"

#define BILLET_TREE_LEASE "BILLET_LEASE_ID"

struct billet_tree {
    const char *lease; /* value of BILLET_LEASE_ID; processes with another value are never hit */
    const char *label; /* further NAME=VALUE that a process must carry, NULL: none */
    pid_t session;     /* a child of ours not yet reaped: its session and descendants; 0: none */
    bool adopted;      /* also children of this process without any label, in sessions of their
                          own: orphans that a subreaper inherited and that cleared their labels */
};

/* SIGKILL them all, again and again until none is left or the deadline (CLOCK_MONOTONIC) passed.
 * Returns how many are left, at least; dead ones that this process inherited are reaped. */
int billet_tree_kill(const struct billet_tree *tree, int64_t deadline_ns);

/* How many live now. */
int billet_tree_count(const struct billet_tree *tree);

/* False when this process is a subreaper and has no child at all: then nothing that it started,
 * however it daemonised, is alive. True when there is one or it cannot be told. */
bool billet_tree_may_have_children(void);

/* Each lease id that a process of this user carries (twice when two processes do). */
typedef void billet_tree_visit(const char *lease, void *context);
void billet_tree_list(billet_tree_visit *visit, void *context);

/* billet_launch_start for a child that the caller supervises: until billet_tree_drop nobody else of
 * this module takes it for an orphan. */
int billet_tree_launch(const struct billet_launch *launch, pid_t *pid, int *pidfd,
                       enum billet_launch_step *step);
/* After it was reaped. */
void billet_tree_drop(pid_t pid);

/* Reap dead orphans that this subreaper inherited: children in sessions other than ours that nobody
 * holds. */
void billet_tree_reap(void);

#endif
