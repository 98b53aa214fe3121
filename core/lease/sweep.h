/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.h - the other half of the janitor: what a provider holds under labels of this deployment is
 * compared with the leases of the store, and what no live lease owns is removed.
 *
 * The caller lists the provider first and comes here then, so that a lease that was begun in
 * between is seen. When in doubt a resource is kept.
 */
#ifndef BILLET_LEASE_SWEEP_H
#define BILLET_LEASE_SWEEP_H

#include <billet/host.h>
#include <billet/types.h>
#include <stdbool.h>

#include "store/store.h"

/* Younger resources are left alone. */
#define BILLET_SWEEP_GRACE_NS (300 * BILLET_NS_PER_SECOND)
/* More than the larger of this many and a fifth of what is listed is never removed in one pass. */
#define BILLET_SWEEP_MOST 5

enum billet_sweep_decision {
    BILLET_SWEEP_REMOVED,   /* nobody's; in a dry run: would be removed */
    BILLET_SWEEP_KEPT,      /* of a live lease, or too young, or of another deployment */
    BILLET_SWEEP_UNKNOWN,   /* a label of ours, but the store has no such lease: kept and told */
    BILLET_SWEEP_MALFORMED, /* a label that cannot be read: kept and told */
    BILLET_SWEEP_HELD_BACK, /* too many at once: kept and told */
    BILLET_SWEEP_FAILED,    /* could not be removed */
};

const char *billet_sweep_decision_name(enum billet_sweep_decision decision);

struct billet_sweep_resource {
    char ref[512];
    char deployment[40];
    char lease[64];
    int64_t generation;
    int64_t age_ns; /* -1: unknown */
};

/* What a driver's list gave; grows by billet_sweep_add. */
struct billet_sweep_list {
    struct billet_sweep_resource *items;
    size_t count;
    size_t capacity;
};

/* Copies it; a text that is too long is cut and so becomes malformed. */
int billet_sweep_add(struct billet_sweep_list *list, const struct billet_resource *resource,
                     struct billet_error *error);
void billet_sweep_free(struct billet_sweep_list *list);

struct billet_sweep_options {
    bool dry_run;
    bool all_at_once;  /* an operator has looked: no limit of one pass */
    int64_t grace_ns;  /* 0: BILLET_SWEEP_GRACE_NS */
    const char *actor; /* "janitor:HOST" */
};

struct billet_sweep_result {
    int64_t listed;
    int64_t removed;
    int64_t kept;
    int64_t alarming; /* unknown, malformed, held back */
    int64_t failed;
};

/* Remove the resource and verify that it is gone. lease is the row that ended. */
typedef int billet_sweep_remove(const struct billet_lease *lease,
                                const struct billet_sweep_resource *resource, void *context,
                                struct billet_error *error);
typedef void billet_sweep_report(const struct billet_sweep_resource *resource,
                                 enum billet_sweep_decision decision, const char *reason,
                                 void *context);

/* A resource that cannot be removed is reported; the pass goes on. Fails when the store does. Each
 * removal leaves an activity row, lease.swept. */
int billet_sweep(struct billet_store *store, const struct billet_sweep_list *list,
                 const struct billet_sweep_options *options, billet_sweep_remove *remove_resource,
                 billet_sweep_report *report, void *context, struct billet_sweep_result *result,
                 struct billet_error *error);

#endif
