/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - one lease of the sandbox driver: its directory RUNTIME/sandbox/ID
 * with the label and the identities of its running processes, its control group,
 * its user id, and its verified end.
 *
 * Knows nothing of profiles. A process is only ever killed through a pidfd whose
 * process was recognised by boot id, pid and start time.
 */
#ifndef SANDBOX_LEASE_H
#define SANDBOX_LEASE_H

#include <billet/driver.h>
#include <pthread.h>
#include <stdbool.h>

#include "../common/cgroup.h"
#include "assets.h"
#include "filter.h"
#include "identity.h"
#include "options.h"
#include "resident.h"

#define SANDBOX_REF_PREFIX "sandbox:"
#define SANDBOX_ID_SIZE 64

struct billet_lease_handle {
    char id[SANDBOX_ID_SIZE];
    bool shared;
    int site_fd;      /* RUNTIME/sandbox */
    int directory_fd; /* of this lease */
    struct sandbox_identity identity;
    struct billet_cgroup_site site;
    struct billet_cgroup group;
    bool memory_by_group;
    bool pids_by_group;
    struct sandbox_filter filter;
    /* the workspace, when realized */
    int work_fd;
    char work_path[4096];
    uint64_t work_device;
    uint64_t work_inode;
    struct sandbox_assets assets;
    struct sandbox_resident resident;
    char overlay_path[4096]; /* its directories, "" when the workspace is bound */
    /* the running exec, for signal(); guarded */
    pthread_mutex_t lock;
    int command_fd;  /* its connection, -1: none runs */
    int terminal_fd; /* master, -1: none */
};

/* Make the lease, or take up one that an earlier try of the same acquire left. */
int sandbox_lease_make(const struct billet_host *host, const struct billet_identity *identity,
                       const struct sandbox_config *config, struct billet_lease_handle **lease,
                       struct billet_error *error);
/* Class LOST when it is not there. */
int sandbox_lease_open(const struct billet_host *host, const struct billet_identity *identity,
                       const struct sandbox_config *config, const char *ref, bool shared,
                       struct billet_lease_handle **lease, struct billet_error *error);
/* As whom the sandbox runs, where that was not settled yet (a lease that was taken up). */
int sandbox_lease_identify(struct billet_lease_handle *lease, const struct sandbox_config *config,
                           struct billet_error *error);
/* Forget it in this process; nothing of it is removed. NULL is fine. */
void sandbox_lease_free(struct billet_lease_handle *lease);

/* The id in a reference, or the identity's when it is ""; false when neither is sound. */
bool sandbox_lease_id(const char *ref, const struct billet_identity *identity,
                      char id[SANDBOX_ID_SIZE]);

/* Kill what runs of the lease, verify, remove group and directory; the handle is still to be freed.
 */
int sandbox_lease_end(const struct billet_host *host, struct billet_lease_handle *lease,
                      int64_t deadline_ns, struct billet_error *error);
/* The same for a lease that this process does not hold. What is not there is a success. */
int sandbox_lease_destroy(const struct billet_host *host, const char *id, bool dry_run,
                          int64_t deadline_ns, struct billet_error *error);
/* Kill what runs, keep the rest. */
int sandbox_lease_stop(int directory_fd, const struct billet_cgroup *group, int64_t deadline_ns,
                       struct billet_error *error);

/* Write the label into another directory that belongs to the lease: 0 or -errno. */
int sandbox_lease_label(const struct billet_lease_handle *lease, int directory_fd);

/* Note a process of the lease, so that another billet process can end it. name: of the file.
 * Fails with -ENOENT when the lease has been destroyed meanwhile: the process must not live. */
int sandbox_lease_note(const struct billet_lease_handle *lease, const char *name, pid_t pid);
void sandbox_lease_unnote(const struct billet_lease_handle *lease, const char *name);
/* Another process is destroying it: nothing may begin there. */
bool sandbox_lease_is_ended(int directory_fd);
/* The parent of a process, 0 when it is not known. */
pid_t sandbox_lease_parent(pid_t pid);
/* Kill a launcher, its child, which is process 1 of a sandbox or will be, before it: 0 once both
 * have ended, else 1. Nobody reaped the launcher yet, or pidfd is of the process that was meant. */
int sandbox_lease_kill_launcher(pid_t pid, int pidfd, int64_t deadline_ns);
/* End what a launcher that is dead left in its session; how many are left. */
int sandbox_lease_end_orphans(pid_t session, int64_t deadline_ns);

int sandbox_lease_list(const struct billet_host *host, const struct billet_call *call,
                       struct billet_error *error);

#endif
