/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh.h - what the files of the ssh driver share: the host table, the bounds, and the state of one
 * lease. Owns no behaviour beyond the table in ssh.c.
 */
#ifndef DRIVERS_SSH_SSH_H
#define DRIVERS_SSH_SSH_H

#include <billet/driver.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SSH_LEASE_MAX 64
#define SSH_PATH_MAX 4096

extern const struct billet_host *ssh_host;
extern const struct billet_option ssh_options[];
extern const uint64_t ssh_option_count;

struct ssh_keeper;
struct ssh_guest;
struct ssh_channel;

/* A command that runs; lives on the stack of its exec, linked while signals may reach it. */
struct ssh_command {
    struct ssh_command *next;
    const char *run;             /* the run it belongs to; signals are matched by it */
    const char *id;              /* CONNECTION-NUMBER, as the helper knows it */
    int master;                  /* of its local terminal, -1: none */
    struct ssh_channel *channel; /* of the guest, NULL: it runs in a session of its own */
};

struct billet_lease_handle {
    char lease[SSH_LEASE_MAX];
    char lease_directory[SSH_PATH_MAX]; /* on the host: label, helper, run/, work/ */
    char directory[SSH_PATH_MAX];       /* where commands start */
    char locked[SSH_PATH_MAX];          /* the directory used in place, "": none */
    char guest[SSH_PATH_MAX];           /* billet-guest on the host, "": none */
    pthread_mutex_t lock;               /* guards what follows but the last two */
    struct ssh_keeper *keeper;          /* the connection */
    struct ssh_guest *serving;          /* the guest that runs there, NULL: none yet */
    bool guest_refused;                 /* it is there and did not begin: not tried again */
    struct ssh_command *commands;
    atomic_uint counter;
    atomic_int busy; /* execs that use the connection */
};

#endif
