/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_queue.c - the turn of a run in an environment that has a number of leases at most.
 *
 * The row of a lease is its place in the queue: it is there before the resource is, and those that
 * were begun earlier go first. What a dead process leaves there ends as any lease does.
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "lease/machine.h"
#include "run/session_private.h"

#define LOOK_MS 200

struct queue {
    const char *mine;
    bool seen; /* the list is from new to old */
    int64_t older;
    char idle[40]; /* the oldest that waits to be reused; "": none */
};

static int
count(const struct billet_lease *lease, void *context)
{
    struct queue *queue = context;
    if (strcmp(lease->id, queue->mine) == 0) {
        queue->seen = true;
        return 0;
    }
    if (!queue->seen)
        return 0;
    queue->older++;
    if (lease->state == BILLET_LEASE_RETAINED && strcmp(lease->policy, BILLET_REUSE_POLICY) == 0 &&
        !billet_machine_is_other(lease, NULL))
        snprintf(queue->idle, sizeof(queue->idle), "%s", lease->id);
    return 0;
}

int
billet_session_wait_turn(struct billet_session *session, struct billet_error *error)
{
    int64_t most = session->environment.max_leases;
    int64_t beat_due = billet_clock_monotonic() + session->lease.ttl_ns / BILLET_BEATS_PER_TTL;
    bool told = false;
    if (most <= 0)
        return 0;
    for (;;) {
        struct queue queue = {.mine = session->lease_id};
        const struct billet_lease_filter filter = {.environment = session->environment.name,
                                                   .tenant = session->context->tenant,
                                                   .live_only = true,
                                                   .limit = INT64_MAX};
        int result = billet_store_of(session->store)
                         ->lease_list(session->store, &filter, count, &queue, error);
        if (result < 0 || queue.older < most)
            return result;
        /* What only waits for the next run of its kind makes room. */
        if (queue.idle[0] != '\0') {
            billet_session_end_retained(session, queue.idle, "it made room for another run");
            continue;
        }
        if (!told)
            billet_log(BILLET_LOG_WARNING,
                       "waiting: %lld leases of environment '%s' live, and %lld may at once",
                       (long long)queue.older, session->environment.name, (long long)most);
        told = true;
        if (billet_signals_wait(session->request->signals, LOOK_MS))
            return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                    "cancelled while waiting for a turn in environment '%s'",
                                    session->environment.name);
        if (billet_clock_monotonic() >= beat_due) {
            result = billet_session_beat(session, error);
            if (result < 0)
                return result;
            beat_due = billet_clock_monotonic() + session->lease.ttl_ns / BILLET_BEATS_PER_TTL;
        }
    }
}
