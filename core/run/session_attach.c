/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_attach.c - a second user of a live lease: exec and shell.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "lease/machine.h"
#include "run/cleanup.h"
#include "run/resolve.h"
#include "run/session_private.h"

/* The environment as it was at acquire: its settings come from the lease, the rest from today's
 * definition where that still exists. */
static int
environment_of_lease(struct billet_session *session, struct billet_error *error)
{
    const struct billet_lease *lease = &session->lease.lease;
    struct billet_error ignored = BILLET_ERROR_INIT;
    if (billet_find_environment(session->context, lease->environment, &session->environment,
                                &ignored) < 0 ||
        billet_prepare_environment(session->context, &session->environment, &ignored) < 0) {
        billet_environment_free(&session->environment);
        session->environment = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
        session->environment.name = strdup(lease->environment);
        session->environment.driver = strdup(lease->driver);
        session->environment.kill_after_ns = 10 * BILLET_NS_PER_SECOND;
        if (session->environment.name == NULL || session->environment.driver == NULL)
            return billet_error_no_memory(error);
    }
    billet_settings_free(&session->environment.driver_settings);
    return billet_cleanup_settings(lease, &session->environment.driver_settings, error);
}

static int
read_mode(struct billet_session *session, json_t **facts, struct billet_error *error)
{
    const struct billet_lease *lease = &session->lease.lease;
    int result = lease->facts[0] != '\0'
                     ? billet_json_parse(lease->facts, strlen(lease->facts), facts, error)
                     : 0;
    session->workspace_mode =
        billet_workspace_mode_by_name(billet_json_string(*facts, BILLET_MODE_FACT, ""));
    return result;
}

/* A command on a lease whose workspace travels must not begin while that is brought back. */
static int
pass_gate(struct billet_session *session, struct billet_error *error)
{
    cleanup_json json_t *facts = NULL;
    if (session->lease.lease.facts == NULL)
        return 0;
    int result = read_mode(session, &facts, error);
    bool travels = session->workspace_mode == BILLET_WORKSPACE_OVERLAY ||
                   session->workspace_mode == BILLET_WORKSPACE_COPY;
    session->workspace_mode = BILLET_WORKSPACE_NONE;
    return result == 0 && travels ? billet_session_gate_enter(session, error) : result;
}

/* Lock the lease's workspace, then read the lease again: the one that held the lock may have
 * changed it. */
static int
lock_workspace(struct billet_session *session, const char *lease_id, struct billet_error *error)
{
    cleanup_json json_t *first = NULL;
    cleanup_json json_t *now = NULL;
    const struct billet_lease *lease = &session->lease.lease;
    billet_text_copy(session->lease_id, sizeof(session->lease_id), lease->id);
    int result = read_mode(session, &first, error);
    if (result == 0 && lease->workspace[0] != '\0')
        result = billet_session_open_workspace(session, lease->workspace, error);
    if (result == 0)
        result = environment_of_lease(session, error);
    if (result == 0)
        result = billet_session_travel_lock(session, error);
    if (result < 0 || session->travel.workspace == NULL)
        return result;
    billet_lease_session_free(&session->lease);
    session->lease = (struct billet_lease_session)BILLET_LEASE_SESSION_INIT;
    result = billet_lease_attach(&session->lease, session->store, session->context->tenant,
                                 lease_id, session->context->actor, error);
    if (result == 0 && session->lease.lease.state != BILLET_LEASE_ACTIVE &&
        session->lease.lease.state != BILLET_LEASE_RETAINED)
        result = billet_error_set(error, BILLET_CLASS_LOST, "lease_not_live", "lease %s has ended",
                                  session->lease_id);
    if (result == 0)
        result = read_mode(session, &now, error);
    return result < 0 ? result : billet_session_travel_resume(session, now, error);
}

int
billet_session_attach(struct billet_session *session, struct billet_context *context,
                      const struct billet_session_request *request, const char *lease_id,
                      struct billet_error *error)
{
    struct billet_driver_lease taken = {0};
    cleanup_json json_t *facts = NULL;
    billet_session_begin(session, context, request);
    int result = billet_context_store(context, &session->store, error);
    if (result == 0)
        result = billet_lease_attach(&session->lease, session->store, context->tenant, lease_id,
                                     context->actor, error);
    session->shared = true;
    struct billet_lease *lease = &session->lease.lease;
    if (result == 0 && lease->state != BILLET_LEASE_ACTIVE &&
        lease->state != BILLET_LEASE_RETAINED) {
        billet_error_set(error, BILLET_CLASS_LOST, "lease_not_live", "lease %s is %s", lease->id,
                         billet_lease_state_name(lease->state));
        result = billet_error_hint(error, "'billet lease list' shows the live ones");
    }
    if (result == 0)
        result = billet_machine_refuse(lease, error);
    if (result == 0 && request->exchange)
        result = lock_workspace(session, lease_id, error);
    else if (result == 0)
        result = pass_gate(session, error);
    if (result < 0)
        return result;
    session->lease.ttl_ns = billet_session_duration(
        context, lease->state == BILLET_LEASE_RETAINED ? "held_lease_ttl" : "lease_ttl");
    if (session->environment.name == NULL)
        result = environment_of_lease(session, error);
    if (result == 0)
        result = billet_session_start_driver(session, lease->driver, error);
    if (result == 0)
        result = billet_session_await_driver(session, error);
    if (result == 0 && (session->info->capabilities & BILLET_CAN_RESUME) == 0)
        result = billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                                  "driver %s cannot take up an existing lease", lease->driver);
    if (result == 0 && lease->facts[0] != '\0')
        result = billet_json_parse(lease->facts, strlen(lease->facts), &facts, error);
    session->call = (struct billet_driver_call){.settings = &session->environment.driver_settings};
    billet_session_fill_identity(session);
    if (result == 0)
        result = billet_session_resolve_secrets(session, error);
    if (result < 0)
        return result;
    result = billet_driver_resume(session->client, &session->call, lease->ref, facts, true, &taken,
                                  error);
    if (result < 0) {
        billet_error_wrap(error, "cannot take up lease %s", lease->id);
        return billet_session_step_failed(error, "transport_resolution_failed");
    }
    json_decref(taken.facts);
    session->held = true;
    result = billet_session_assets_recall(session, facts, error);
    billet_text_copy(session->lease_id, sizeof(session->lease_id), lease->id);
    /* A fresh host knows the lease, not where its workspace is. */
    if (result == 0 && lease->directory[0] != '\0' && lease->workspace[0] != '\0') {
        session->workspace_mode =
            billet_workspace_mode_by_name(billet_json_string(facts, BILLET_MODE_FACT, ""));
        if (session->workspace == NULL)
            result = billet_session_open_workspace(session, lease->workspace, error);
        if (result == 0 && session->workspace_mode > BILLET_WORKSPACE_NONE)
            result = billet_session_bring_again(session, facts, error);
    }
    if (result == 0)
        result = billet_session_fill_variables(session, error);
    if (result == 0)
        result = billet_session_assets_bring(session, true, error);
    if (result == 0 && !request->exchange)
        result = billet_session_note_start(session, error);
    return result;
}
