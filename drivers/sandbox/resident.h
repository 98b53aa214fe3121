/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resident.h - the sandbox of a lease: bubblewrap with billet-sandbox-init in it,
 * started once, in which any number of commands run one after another and beside
 * each other. Owns its start, the door at which commands are brought to it, what it
 * says to the process that started it, and its end by that process.
 *
 * It ends with the process that started it (init sees its connection end), unless that one told it
 * to stay. Another process ends it through lease.h.
 */
#ifndef SANDBOX_RESIDENT_H
#define SANDBOX_RESIDENT_H

#include <billet/driver.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "launcher.h"
#include "options.h"
#include "protocol.h"

struct billet_lease_handle;

#define SANDBOX_COMPLAINT_MAX 2048 /* kept of what bwrap writes to its stderr */

/* What the process that started it holds of it. */
struct sandbox_resident {
    struct sandbox_launched launched; /* pid 0: this process started none, or saw its end */
    int owner;                        /* connection to init, -1: closed */
    int complaints;                   /* bwrap's stderr */
    int init_pidfd;                   /* -1: not known yet */
    char note[24];                    /* of lease.h */
    bool gone;                        /* all of it has ended, and bwrap was reaped */
    bool said_hello;
    bool refused; /* a protection is missing, no command will be taken */
    bool kept;
    struct sandbox_message broken; /* type 0: nothing broke */
    char missing[SANDBOX_TEXT_MAX];
    char complaint[SANDBOX_COMPLAINT_MAX];
    size_t complaint_length;
};
#define SANDBOX_RESIDENT_INIT                                                               \
    {                                                                                       \
        .launched = SANDBOX_LAUNCHED_INIT, .owner = -1, .complaints = -1, .init_pidfd = -1, \
    }

/* Start one for the lease, as it is realized now, unless one is there or being started; does not
 * wait until it is ready. Where it fails the first command tries again and says why. */
void sandbox_resident_start_ahead(const struct billet_host *host, struct billet_lease_handle *lease,
                                  const struct sandbox_config *config);
/* Nobody else starts a sandbox of the lease while the descriptor is open; negative: an error. */
int sandbox_resident_lock(const struct billet_lease_handle *lease, int64_t limit_ns,
                          struct billet_error *error);
/* Start one under that lock, and wait until it is seen whether the overlay could be mounted: 0 or
 * -errno (sandbox_overlay_trial). Any other failure is left to the first command. */
int sandbox_resident_try(const struct billet_host *host, struct billet_lease_handle *lease,
                         const struct sandbox_config *config);
/* A connection for one command, to one that this or another process started; starts one where there
 * is none. */
int sandbox_resident_connect(const struct billet_host *host, struct billet_lease_handle *lease,
                             const struct sandbox_config *config, int64_t deadline_ns,
                             int *connection, struct billet_error *error);

#define SANDBOX_RESIDENT_FDS 4 /* entries that prepare fills; -1 where there is nothing to hear */
void sandbox_resident_prepare(const struct sandbox_resident *resident,
                              struct pollfd entries[SANDBOX_RESIDENT_FDS]);
/* Hear what it says, and of its end. */
void sandbox_resident_step(struct billet_lease_handle *lease,
                           const struct pollfd entries[SANDBOX_RESIDENT_FDS]);

/* Whether this process started it and has not seen its end. */
bool sandbox_resident_is_ours(const struct sandbox_resident *resident);
/* Process 1 first, which takes everything with it; bwrap follows by itself, or with force next.
 * Does not wait. */
void sandbox_resident_kill(struct billet_lease_handle *lease, bool force);
/* Kill it and wait until nothing of it is left. False when the deadline came first. */
bool sandbox_resident_end(struct billet_lease_handle *lease, int64_t deadline_ns);
/* Let it stay when this process ends, which must not be before await has returned. */
void sandbox_resident_keep(struct billet_lease_handle *lease);
/* Tell it that the command which begins now is the last one. */
void sandbox_resident_last(struct billet_lease_handle *lease);
void sandbox_resident_await(struct billet_lease_handle *lease, int64_t deadline_ns);
/* Why it ended or took no command; fills error in any case. */
int sandbox_resident_explain(struct sandbox_resident *resident, struct billet_error *error);
/* Forget it; what was not told to stay ends. */
void sandbox_resident_free(struct sandbox_resident *resident);

#endif
