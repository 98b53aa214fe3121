/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "run/git.h"

static int64_t
held_ttl(const struct billet_context *context, int64_t asked)
{
    const struct billet_value *value =
        billet_configuration_value(context->configuration, "billet", "", "held_lease_ttl");
    if (asked > 0)
        return asked;
    return value != NULL && value->is_set ? value->number : 3600 * BILLET_NS_PER_SECOND;
}

static void
tell_lease(const struct billet_session *session, int status_fd)
{
    const struct billet_lease *lease = &session->lease.lease;
    if (status_fd < 0)
        return;
    billet_status_write(status_fd, "lease",
                        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "format_version",
                                  BILLET_FORMAT_VERSION, "id", lease->id, "environment",
                                  lease->environment, "driver", lease->driver, "fence",
                                  (json_int_t)lease->fence, "run", lease->run));
}

/* What happened up to here goes out before the lease is ended: ending it may take its time. */
static void
tell_end(int status_fd, const struct billet_ending *ending)
{
    if (status_fd >= 0)
        billet_status_write(status_fd, "exit", billet_ending_json(ending));
}

/* A step that a signal ended: the ending says which signal. */
static void
note_interrupt(const struct billet_session_request *request, struct billet_ending *ending,
               const struct billet_error *error)
{
    if (request->signals == NULL || error->error_class != BILLET_CLASS_CANCELLED ||
        ending->outcome != 0)
        return;
    billet_signals_take(request->signals);
    if (request->signals->last == 0)
        return;
    ending->outcome = BILLET_OUTCOME_CANCELLED;
    ending->value = request->signals->last;
}

/* Whether the signal that ended the waiting came before the command could take it. */
static int
check_interrupted(const struct billet_session_request *request, struct billet_ending *ending,
                  struct billet_error *error)
{
    int number = request->signals != NULL ? billet_signals_take(request->signals) : 0;
    if (number == 0)
        return 0;
    ending->outcome = BILLET_OUTCOME_CANCELLED;
    ending->value = number;
    return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                            "cancelled by signal %d before the command was started", number);
}

static bool
succeeded(const struct billet_ending *ending)
{
    return ending->outcome == BILLET_OUTCOME_EXITED && ending->value == 0;
}

/* Step 6. Its failure neither hides the command's end nor ends the lease. */
static void
take_back(struct billet_session *session, struct billet_run_result *result)
{
    result->workspace_mode = session->workspace_mode;
    billet_text_copy(result->mode_reason, sizeof(result->mode_reason), session->mode_reason);
    result->sent_bytes = session->travel.sent_bytes;
    result->sent_files = session->travel.sent_files;
    if (billet_session_bring_back(session, &result->report, &result->return_error) < 0)
        billet_error_hint(&result->return_error,
                          "the workspace is as it was, and lease %s is held: 'billet pull' tries "
                          "again, 'billet lease destroy' gives the changes up",
                          session->lease.lease.id);
    result->report_is_whole = session->travel.returned;
    billet_session_git_tell(session, &result->git);
}

int
billet_run(struct billet_context *context, const struct billet_run_request *request,
           struct billet_run_result *result, struct billet_error *error)
{
    struct billet_session session;
    int disposition = BILLET_DISPOSE_DESTROY;

    *result = (struct billet_run_result){.ending = {.origin = "billet"},
                                         .release_error = BILLET_ERROR_INIT,
                                         .return_error = BILLET_ERROR_INIT};
    int status = billet_session_open(&session, context, &request->session, error);
    if (status == 0)
        status = check_interrupted(&request->session, &result->ending, error);
    if (status == 0)
        status = billet_session_acquire(&session, error);
    if (session.lease.lease.id != NULL)
        billet_text_copy(result->lease, sizeof(result->lease), session.lease.lease.id);
    if (status == 0) {
        tell_lease(&session, request->exec.status_fd);
        status = billet_session_realize(&session, error);
    }
    if (status == 0)
        status = check_interrupted(&request->session, &result->ending, error);
    struct billet_session_exec exec = request->exec;
    exec.last = !request->keep && !request->retain_on_failure && !session.reuse &&
                session.travel.git == NULL; /* that needs commands afterwards */
    if (status == 0)
        status = billet_session_exec(&session, &exec, &result->ending, error);
    if (status < 0) {
        note_interrupt(&request->session, &result->ending, error);
        billet_session_abort(&session, error);
    } else {
        result->ran = true;
        tell_end(request->exec.status_fd, &result->ending);
        take_back(&session, result);
        if (request->keep || session.reuse)
            disposition = BILLET_DISPOSE_KEEP;
        else if (request->retain_on_failure && !succeeded(&result->ending))
            disposition = BILLET_DISPOSE_STOP;
        if (result->return_error.error_class != 0)
            disposition = BILLET_DISPOSE_STOP; /* what was changed is there only */
        else if (disposition != BILLET_DISPOSE_DESTROY &&
                 billet_session_travel_renew(&session, &result->release_error) < 0)
            disposition = BILLET_DISPOSE_STOP;
        int ended = billet_session_end(
            &session, disposition, held_ttl(context, request->held_ttl_ns), &result->release_error);
        result->held = ended == 0 && disposition != BILLET_DISPOSE_DESTROY;
        if (ended < 0)
            billet_session_abort(&session, &result->release_error);
    }
    result->assets = billet_run_assets_json(&session.assets);
    memcpy(result->step_ns, session.step_ns, sizeof(result->step_ns));
    billet_session_close(&session);
    return status;
}

int
billet_run_probe(struct billet_context *context, const struct billet_environment *environment,
                 struct billet_signals *signals, struct billet_run_result *result,
                 struct billet_error *error)
{
    static const char *const argv[] = {"true", NULL};
    struct billet_run_request request = {
        .session = {.draft = environment,
                    .workspace_mode = BILLET_WORKSPACE_NONE,
                    .policy = "probe",
                    .command = "true",
                    .signals = signals},
        .exec = {.argv = argv,
                 .fds = {-1, STDERR_FILENO, STDERR_FILENO},
                 .timeout_ns = 60 * BILLET_NS_PER_SECOND,
                 .status_fd = -1},
    };
    int status = billet_run(context, &request, result, error);
    json_decref(result->assets);
    result->assets = NULL;
    if (status == 0 && !succeeded(&result->ending))
        status = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "probe_failed",
                                  "'true' ended with status %d in environment '%s'",
                                  billet_ending_status(&result->ending), environment->name);
    if (status == 0 && result->release_error.error_class != 0) {
        *error = result->release_error;
        status = -error->error_class;
    }
    return status;
}

int
billet_run_hold(struct billet_context *context, const struct billet_session_request *request,
                int64_t ttl_ns, struct billet_run_result *result, struct billet_error *error)
{
    struct billet_session session;
    *result = (struct billet_run_result){.ending = {.origin = "billet"},
                                         .release_error = BILLET_ERROR_INIT,
                                         .return_error = BILLET_ERROR_INIT};
    int status = billet_session_open(&session, context, request, error);
    if (status == 0)
        status = billet_session_acquire(&session, error);
    if (status == 0)
        status = billet_session_realize(&session, error);
    if (session.lease.lease.id != NULL)
        billet_text_copy(result->lease, sizeof(result->lease), session.lease.lease.id);
    if (status == 0)
        status = check_interrupted(request, &result->ending, error);
    if (status == 0)
        status =
            billet_session_end(&session, BILLET_DISPOSE_KEEP, held_ttl(context, ttl_ns), error);
    if (status < 0) {
        note_interrupt(request, &result->ending, error);
        billet_session_abort(&session, error);
    }
    result->held = status == 0;
    result->assets = billet_run_assets_json(&session.assets);
    memcpy(result->step_ns, session.step_ns, sizeof(result->step_ns));
    billet_session_close(&session);
    return status;
}

int
billet_run_on_lease(struct billet_context *context, const struct billet_session_request *request,
                    const char *lease, const struct billet_session_exec *exec,
                    struct billet_run_result *result, struct billet_error *error)
{
    struct billet_session session;
    *result = (struct billet_run_result){.ending = {.origin = "billet"},
                                         .release_error = BILLET_ERROR_INIT,
                                         .return_error = BILLET_ERROR_INIT,
                                         .held = true};
    int status = billet_session_attach(&session, context, request, lease, error);
    if (session.lease.lease.id != NULL)
        billet_text_copy(result->lease, sizeof(result->lease), session.lease.lease.id);
    if (status == 0) {
        tell_lease(&session, exec->status_fd);
        status = check_interrupted(request, &result->ending, error);
    }
    if (status == 0)
        status = billet_session_exec(&session, exec, &result->ending, error);
    if (status < 0) {
        note_interrupt(request, &result->ending, error);
    } else {
        result->ran = true;
        tell_end(exec->status_fd, &result->ending);
    }
    result->assets = billet_run_assets_json(&session.assets);
    memcpy(result->step_ns, session.step_ns, sizeof(result->step_ns));
    billet_session_close(&session);
    return status;
}
