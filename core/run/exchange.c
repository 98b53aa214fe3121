/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c - push and pull: the workspace of a held lease brought up to date, one
 * way or the other, under the lock of the workspace.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "run/git.h"
#include "run/run.h"
#include "run/session_private.h"

static int
take_up(struct billet_session *session, struct billet_context *context,
        const struct billet_session_request *request, const char *lease,
        struct billet_run_result *result, struct billet_error *error)
{
    *result = (struct billet_run_result){.ending = {.origin = "billet"},
                                         .release_error = BILLET_ERROR_INIT,
                                         .return_error = BILLET_ERROR_INIT,
                                         .held = true};
    int status = billet_session_attach(session, context, request, lease, error);
    if (session->lease.lease.id != NULL)
        billet_text_copy(result->lease, sizeof(result->lease), session->lease.lease.id);
    result->workspace_mode = session->workspace_mode;
    return status;
}

static void
finish(struct billet_session *session, struct billet_run_result *result)
{
    result->sent_files = session->travel.sent_files;
    result->sent_bytes = session->travel.sent_bytes;
    result->report_is_whole = session->travel.returned;
    billet_session_close(session);
}

bool
billet_run_travels(const struct billet_lease *lease)
{
    cleanup_json json_t *facts = NULL;
    if (lease->workspace[0] != '\0' && lease->facts[0] != '\0')
        billet_json_parse(lease->facts, strlen(lease->facts), &facts, NULL);
    return billet_workspace_mode_by_name(billet_json_string(facts, BILLET_MODE_FACT, "")) >=
           BILLET_WORKSPACE_OVERLAY;
}

int
billet_run_pull(struct billet_context *context, const struct billet_session_request *request,
                const char *lease, bool again, struct billet_run_result *result,
                struct billet_error *error)
{
    struct billet_session session;
    int status = take_up(&session, context, request, lease, result, error);
    if (status == 0)
        status = billet_session_bring_back(&session, &result->report, error);
    billet_session_git_tell(&session, &result->git);
    if (status == 0 && again)
        status = billet_session_travel_renew(&session, error);
    finish(&session, result);
    return status;
}

int
billet_run_push(struct billet_context *context, const struct billet_session_request *request,
                const char *lease, struct billet_run_result *result, struct billet_error *error)
{
    struct billet_session session;
    int status = take_up(&session, context, request, lease, result, error);
    if (status == 0 && billet_session_travels(&session))
        status = billet_session_push(&session, &result->report, error);
    billet_session_git_tell(&session, &result->git);
    finish(&session, result);
    return status;
}
