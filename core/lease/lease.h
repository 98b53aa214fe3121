/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - the life of one lease as its owner drives it: each step is one call
 * of the store, with the activity rows that were collected since the last one.
 *
 * A plain run is four commits: begin; activate with workspace.realized and
 * exec.started added before it; start_release with exec.ended; finish.
 *
 * Never talks to a driver, never sleeps. One session is used by one thread at a time. A step that
 * fails with class LOST means that somebody else owns the lease: stop all work, destroy nothing.
 * After any other failure nothing was changed, the collected rows are still there, and the step
 * may be repeated.
 */
#ifndef BILLET_LEASE_LEASE_H
#define BILLET_LEASE_LEASE_H

#include <billet/types.h>
#include <stdbool.h>

#include "store/store.h"

#define BILLET_LEASE_TTL_NS (60 * BILLET_NS_PER_SECOND)
#define BILLET_LEASE_HEARTBEAT_NS (15 * BILLET_NS_PER_SECOND)
/* Two thirds of the TTL: the owner stops its work before anybody may take the lease over. */
#define BILLET_LEASE_FENCE_NS (40 * BILLET_NS_PER_SECOND)

/* A row about the lease, and the identity that its driver calls carry. Both point into the record
 * and what is given: valid while those are. */
struct billet_activity billet_lease_activity(const struct billet_lease *lease, const char *action,
                                             const char *actor, int64_t fence, const char *details);
struct billet_identity billet_lease_identity(const struct billet_lease *lease,
                                             const char *deployment);

struct billet_lease_row; /* a collected activity */

struct billet_lease_session {
    struct billet_store *store; /* the caller's; must outlive the session */
    struct billet_lease lease;  /* as it was after the last step; read only for callers */
    char *actor;                /* "user:NAME", "janitor:HOST" */
    int64_t ttl_ns;
    int64_t confirmed_ns; /* CLOCK_BOOTTIME at which the last renewal that succeeded was sent */
    struct billet_lease_row *rows;
    size_t row_count;
    size_t row_capacity;
};

#define BILLET_LEASE_SESSION_INIT \
    {                             \
        0                         \
    }

/* T1: write the lease before anything exists. Of wanted are read: id (NULL: a new one), tenant ..
 * policy, facts, configuration, directory, command, owner (NULL: this process). An id that was
 * begun already by the same run succeeds again. ttl_ns 0: BILLET_LEASE_TTL_NS. */
int billet_lease_begin(struct billet_lease_session *session, struct billet_store *store,
                       const struct billet_lease *wanted, const char *actor, int64_t ttl_ns,
                       struct billet_error *error);
/* A session for a lease that exists: read it, become nothing. For notes, and for resume, retake
 * and start_release by somebody else than the owner. tenant NULL: any; id may be a prefix. */
int billet_lease_attach(struct billet_lease_session *session, struct billet_store *store,
                        const char *tenant, const char *id, const char *actor,
                        struct billet_error *error);

/* Collect an activity row for the next step. details: JSON object, or NULL. */
int billet_lease_add(struct billet_lease_session *session, const char *action, const char *details,
                     struct billet_error *error);
/* Write what was collected now, on a lease that is still ours (a call with nothing is free). */
int billet_lease_flush(struct billet_lease_session *session, struct billet_error *error);
/* add and flush. */
int billet_lease_note(struct billet_lease_session *session, const char *action, const char *details,
                      struct billet_error *error);
/* The same whatever the fence: a second exec on a lease that somebody else drives or holds. */
int billet_lease_note_any(struct billet_lease_session *session, const char *action,
                          const char *details, struct billet_error *error);

/* What a step may set beside the state; NULL keeps. */
struct billet_lease_facts {
    const char *ref; /* required by activate */
    const char *facts;
    const char *directory;
    const char *command;
    const char *outcome;
};

/* T2: acquiring -> active, lease.acquired. */
int billet_lease_activate(struct billet_lease_session *session,
                          const struct billet_lease_facts *facts, struct billet_error *error);
/* Set facts in the state it is in, with the collected rows. */
int billet_lease_update(struct billet_lease_session *session,
                        const struct billet_lease_facts *facts, struct billet_error *error);
/* active -> retained: nobody drives it, it ends held_ttl_ns from now. lease.retained. */
int billet_lease_retain(struct billet_lease_session *session, int64_t held_ttl_ns,
                        const struct billet_lease_facts *facts, struct billet_error *error);
/* retained -> active with this process as owner, fence and generation one higher. lease.resumed. */
int billet_lease_resume(struct billet_lease_session *session, struct billet_error *error);
/* The same for another run: its ids and command become the lease's, and those of the rows of this
 * step. Strings NULL: as they were. After a failure the session is only to be freed. */
struct billet_lease_taker {
    const char *run;
    const char *issue;
    const char *command;
};
int billet_lease_hand_over(struct billet_lease_session *session,
                           const struct billet_lease_taker *taker, struct billet_error *error);
/* T3: acquiring, active or retained -> releasing. facts may be NULL; reason, when something went
 * wrong, or NULL. Somebody else than the owner takes the lease over (fence + 1). Nothing, where the
 * session has done so already. */
int billet_lease_start_release(struct billet_lease_session *session,
                               const struct billet_lease_facts *facts, const char *reason,
                               struct billet_error *error);
/* T4: releasing -> released, or failed with a reason. */
int billet_lease_finish(struct billet_lease_session *session, bool failed, const char *reason,
                        struct billet_error *error);
/* The resource could not be removed: stays releasing, nobody drives it, the janitor tries again
 * after the backoff. lease.cleanup_failed. */
int billet_lease_cleanup_failed(struct billet_lease_session *session, const char *reason,
                                struct billet_error *error);

/* Renew; call every BILLET_LEASE_HEARTBEAT_NS. */
int billet_lease_heartbeat(struct billet_lease_session *session, struct billet_error *error);
/* True when the owner must stop its work: too long without a confirmed renewal. */
bool billet_lease_must_fence(const struct billet_lease_session *session);
/* When that will be, CLOCK_BOOTTIME. */
int64_t billet_lease_fence_deadline(const struct billet_lease_session *session);

/* 1 s doubling to 5 min, a quarter of it at random; attempts counts those that failed before. */
int64_t billet_lease_backoff(int64_t attempts);

void billet_lease_session_free(struct billet_lease_session *session);

#endif
