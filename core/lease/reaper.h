/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h - one pass of the janitor over the leases: take over those that nobody
 * drives any more and end them.
 *
 * Decides by the store's rows alone; the caller's destroy function removes the resource. Several
 * reapers may run at once: the takeover is a compare-and-set, so each resource is destroyed by one.
 */
#ifndef BILLET_LEASE_REAPER_H
#define BILLET_LEASE_REAPER_H

#include <billet/types.h>
#include <stdbool.h>

#include "store/store.h"

/* Candidates are live leases
 *   whose owner is dead on this machine,
 *   or that have expired by the store's clock while their owner is not known to be alive,
 *   or that are being ended by nobody and whose next cleanup is due.
 * One whose resource is on another machine (machine.h) is kept for that. When in doubt a lease is
 * kept. */
enum billet_reap_decision {
    BILLET_REAP_REAPED,      /* ended; in a dry run: would be taken over */
    BILLET_REAP_KEPT,        /* not ours to end; reason says why */
    BILLET_REAP_RETRY_LATER, /* an earlier cleanup failed and its backoff is not over */
    BILLET_REAP_FAILED,      /* taken over, the resource could not be removed, tried again later */
};

const char *billet_reap_decision_name(enum billet_reap_decision decision);

struct billet_reap_options {
    bool dry_run;
    int64_t now_ns;     /* 0: the store's clock */
    const char *tenant; /* NULL: every tenant */
    const char *actor;  /* "janitor:HOST" */
    int64_t look_at;    /* leases read in this pass; 0: 10,000 */
    int64_t limit;      /* takeovers in this pass; 0: no limit. The rest is kept for the next */
    int64_t spare_before_ns; /* leases that were made before are kept; 0: none (continuity.h) */
    bool ignore_backoff;     /* somebody asked: try now what would be tried later */
};

struct billet_reap_result {
    int64_t looked_at;
    int64_t reaped;
    int64_t kept;
    int64_t retry_later;
    int64_t failed;
};

/* Remove the resource of the lease and verify that it is gone; "not there" is success. No
 * transaction is open. lease->ref may be "": look for the label. lease->fence is the new one. */
typedef int billet_reap_destroy(const struct billet_lease *lease, void *context,
                                struct billet_error *error);
/* Told of every lease that was looked at. */
typedef void billet_reap_report(const struct billet_lease *lease,
                                enum billet_reap_decision decision, const char *reason,
                                void *context);

/* A lease that cannot be cleaned up is reported, not an error; the pass goes on. Fails when the
 * store does. report and result may be NULL. */
int billet_reap(struct billet_store *store, const struct billet_reap_options *options,
                billet_reap_destroy *destroy, billet_reap_report *report, void *context,
                struct billet_reap_result *result, struct billet_error *error);

#endif
