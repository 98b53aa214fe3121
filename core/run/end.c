/* SPDX-License-Identifier: Apache-2.0 */
/*
 * end.c - ending a lease from outside: release and destroy by an operator.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "lease/machine.h"
#include "lease/owner.h"
#include "run/cleanup.h"
#include "run/run.h"

static int
refuse_busy(const struct billet_lease *lease, struct billet_error *error)
{
    bool ending = lease->state == BILLET_LEASE_RELEASING;
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "lease_busy",
                     ending ? "lease %s is being ended by another process"
                            : "lease %s is in use by a running command",
                     lease->id);
    error->retryable = ending;
    if (ending)
        return -BILLET_CLASS_UNAVAILABLE;
    return billet_error_hint(error, "'billet lease destroy %s' ends it with its command",
                             lease->id);
}

/* By a process here, or by one out of sight whose lease has time left. */
static int
refuse_in_use(const struct billet_lease_session *session, struct billet_error *error)
{
    int64_t now = 0;
    enum billet_owner_state owner = billet_owner_judge(session->lease.owner);
    if (owner == BILLET_OWNER_ALIVE)
        return refuse_busy(&session->lease, error);
    if (owner != BILLET_OWNER_UNKNOWN)
        return 0;
    int result = billet_store_of(session->store)->now(session->store, &now, error);
    return result == 0 && session->lease.expires_ns > now ? refuse_busy(&session->lease, error)
                                                          : result;
}

/* Take the row, remove the resource, end the row. */
static int
end_loaded(struct billet_context *context, struct billet_lease_session *session, bool force,
           bool forget, struct billet_error *error)
{
    struct billet_error problem = BILLET_ERROR_INIT;
    bool alive = billet_owner_judge(session->lease.owner) == BILLET_OWNER_ALIVE;
    if (billet_lease_state_is_final(session->lease.state))
        return 0;
    int result = 0;
    if (!forget)
        result = billet_machine_refuse(&session->lease, error);
    if (result == 0 && !force)
        result = refuse_in_use(session, error);
    if (result < 0)
        return result;
    result =
        billet_lease_start_release(session, NULL, alive ? "destroyed by an operator" : NULL, error);
    if (result < 0)
        return result;
    int removed = billet_machine_refuse(&session->lease, &problem);
    if (removed == 0)
        removed = billet_cleanup_resource(context, NULL, &session->lease, &problem);
    if (removed < 0) {
        result = billet_lease_cleanup_failed(session, problem.message, error);
        if (result == 0 && forget) {
            billet_log(BILLET_LOG_WARNING, "lease %s: %s", session->lease.id, problem.message);
            billet_error_wrap(&problem, "forgotten by an operator");
            return billet_lease_finish(session, true, problem.message, error);
        }
        if (result == 0) {
            *error = problem;
            result = billet_error_hint(error, "'billet lease reap' tries again; 'billet lease "
                                              "destroy --forget' gives the resource up");
        }
        return result;
    }
    return billet_lease_finish(session, alive, alive ? "destroyed by an operator" : NULL, error);
}

static int
end_lease(struct billet_context *context, const char *lease, bool force, bool forget,
          struct billet_error *error)
{
    struct billet_lease_session session = BILLET_LEASE_SESSION_INIT;
    struct billet_store *store = NULL;
    int result = billet_context_store(context, &store, error);
    if (result == 0)
        result =
            billet_lease_attach(&session, store, context->tenant, lease, context->actor, error);
    if (result == 0)
        result = end_loaded(context, &session, force, forget, error);
    billet_lease_session_free(&session);
    return result;
}

int
billet_run_end_lease(struct billet_context *context, const char *lease, bool force,
                     struct billet_error *error)
{
    return end_lease(context, lease, force, false, error);
}

int
billet_run_forget_lease(struct billet_context *context, const char *lease,
                        struct billet_error *error)
{
    return end_lease(context, lease, true, true, error);
}
