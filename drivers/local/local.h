/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.h - what the files of the local driver share: the host table and the
 * state of one lease. Owns no behaviour beyond the table in local.c.
 */
#ifndef DRIVERS_LOCAL_LOCAL_H
#define DRIVERS_LOCAL_LOCAL_H

#include <billet/driver.h>
#include <pthread.h>
#include <stdbool.h>

#include "../common/cgroup.h"

#define LOCAL_LEASE_MAX 64
/* Entry of the environment that tells one exec's processes; its value begins with "local-". */
#define LOCAL_EXEC_LABEL "BILLET_EXEC_ID"

extern const struct billet_host *local_host;

/* A command that runs; lives on the stack of its exec, linked while signals may reach it. */
struct local_command {
    struct local_command *next;
    struct billet_lease_handle *lease;
    const char *run; /* the run it belongs to; signals are matched by it */
    const char *label;
    pid_t pid;
    int master; /* of its terminal, -1: none */
};

struct billet_lease_handle {
    char lease[LOCAL_LEASE_MAX];
    char group_name[LOCAL_LEASE_MAX];
    struct billet_cgroup_site site;
    struct billet_cgroup group;
    bool made_here;   /* acquired by this process: all that it runs descends from this process */
    int directory_fd; /* the workspace, -1: none */
    pthread_mutex_t lock; /* guards commands and directory_fd */
    struct local_command *commands;
};

#endif
