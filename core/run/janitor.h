/* SPDX-License-Identifier: Apache-2.0 */
/*
 * janitor.h - one pass over everything that may have been left behind: leases that nobody drives
 * (lease/reaper.h), resources that no lease owns (lease/sweep.h), environments whose resources
 * cannot be removed.
 *
 * Any number of janitors may work on one store at once.
 */
#ifndef BILLET_RUN_JANITOR_H
#define BILLET_RUN_JANITOR_H

#include "lease/continuity.h"
#include "lease/reaper.h"
#include "lease/sweep.h"
#include "run/context.h"

/* So many cleanups failed, over about a minute: the environment takes no new leases. */
#define BILLET_JANITOR_DRAIN_AFTER 6

struct billet_janitor_options {
    bool dry_run;     /* say what would be done; nothing is changed or remembered */
    bool sweep;       /* ask every driver with labels what it holds, too */
    bool now;         /* do not wait for the backoff of cleanups that failed */
    bool all_at_once; /* an operator has looked: no limit on what a sweep removes */
    int interrupt_fd; /* readable: end soon; -1: none */
};

/* Something that was judged. */
struct billet_janitor_finding {
    const char *kind;        /* "lease", "resource", "environment", "driver", "store" */
    const char *id;          /* lease id, reference, environment, driver, deployment */
    const char *environment; /* of a lease; driver of a resource; else "" */
    const char *decision;
    const char *reason;
    bool kept;     /* nothing to do */
    bool alarming; /* somebody should look */
};
typedef void billet_janitor_visit(const struct billet_janitor_finding *finding, void *context);

struct billet_janitor_result {
    struct billet_continuity continuity;
    struct billet_reap_result leases;
    struct billet_sweep_result resources;
    int64_t drained; /* environments */
    int64_t alarms;  /* findings for somebody to look at, failed ones included */
};

/* A driver that cannot be asked is a finding. Fails when the store does. visit may be NULL. */
int billet_janitor_pass(struct billet_context *context,
                        const struct billet_janitor_options *options, billet_janitor_visit *visit,
                        void *visit_context, struct billet_janitor_result *result,
                        struct billet_error *error);

#endif
