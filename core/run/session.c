/* SPDX-License-Identifier: Apache-2.0 */
#include "run/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "lease/machine.h"
#include "run/cleanup.h"
#include "run/drain.h"
#include "run/git.h"
#include "run/resolve.h"
#include "run/session_private.h"

const char *const billet_step_names[BILLET_STEP_COUNT] = {
    "resolve", "acquire", "realize", "provision", "exec", "return", "release",
};

int64_t
billet_session_duration(const struct billet_context *context, const char *key)
{
    const struct billet_value *value =
        billet_configuration_value(context->configuration, "billet", "", key);
    return value != NULL && value->is_set ? value->number : 60 * BILLET_NS_PER_SECOND;
}

/* Collect an activity row; details is taken over. */
static int
add_row(struct billet_session *session, const char *action, json_t *details,
        struct billet_error *error)
{
    cleanup_json json_t *owned = details;
    cleanup_free char *text = owned != NULL ? billet_json_text(owned) : NULL;
    return billet_lease_add(&session->lease, action, text, error);
}

/* What is run, as the history shows it. */
static json_t *
command_details(const struct billet_session *session)
{
    const char *command = session->request->command;
    return command != NULL ? json_pack("{s:o}", "command", billet_json_bytes(command)) : NULL;
}

int
billet_session_add_start(struct billet_session *session, struct billet_error *error)
{
    return add_row(session, "exec.started", command_details(session), error);
}

int
billet_session_note_start(struct billet_session *session, struct billet_error *error)
{
    cleanup_json json_t *details = command_details(session);
    cleanup_free char *text = details != NULL ? billet_json_text(details) : NULL;
    return billet_lease_note_any(&session->lease, "exec.started", text, error);
}

/* ---- opening ---------------------------------------------------------------- */

static int
check_configuration(struct billet_session *session, struct billet_error *error)
{
    struct billet_diagnostics found = BILLET_DIAGNOSTICS_INIT;
    struct billet_values values = {0};
    char who[128];
    snprintf(who, sizeof(who), "[environment %.64s]", session->environment.name);
    billet_options_resolve(session->info->options.items, session->info->options.count,
                           &session->environment.driver_settings, who, NULL, &values, &found);
    int result = billet_diagnostics_error(&found, error);
    billet_values_free(&values);
    billet_diagnostics_free(&found);
    if (result == 0)
        result = billet_session_check_secrets(session, error);
    if (result == 0)
        result = billet_driver_check_config(session->client, &session->call, error);
    return result;
}

void
billet_session_begin(struct billet_session *session, struct billet_context *context,
                     const struct billet_session_request *request)
{
    memset(session, 0, sizeof(*session));
    session->context = context;
    session->request = request;
    session->environment = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    session->workspace_fd = -1;
}

int
billet_session_step_failed(struct billet_error *error, const char *code)
{
    if (error->error_class == BILLET_CLASS_CANCELLED || strcmp(error->code, "asset_invalid") == 0)
        return -error->error_class;
    return billet_error_recode(error, code);
}

int
billet_session_start_driver(struct billet_session *session, const char *driver,
                            struct billet_error *error)
{
    const struct billet_signals *signals = session->request->signals;
    int result = billet_context_driver(session->context, driver, &session->client, error);
    if (result == 0 && signals != NULL)
        billet_driver_set_interrupt(session->client, signals->ending_fd);
    return result;
}

int
billet_session_await_driver(struct billet_session *session, struct billet_error *error)
{
    int result = billet_driver_await(session->client, 0, error);
    if (result == 0)
        session->info = billet_driver_info(session->client);
    return result;
}

int
billet_session_open(struct billet_session *session, struct billet_context *context,
                    const struct billet_session_request *request, struct billet_error *error)
{
    int64_t start = billet_clock_monotonic();
    billet_session_begin(session, context, request);
    int result = 0;
    if (request->draft != NULL)
        result = billet_environment_copy(&session->environment, request->draft, error);
    else
        result = billet_resolve_environment(context, request->environment, request->workspace,
                                            &session->environment, NULL, error);
    /* The host starts while the store is opened. */
    if (result == 0)
        result = billet_session_start_driver(session, session->environment.driver, error);
    session->call = (struct billet_driver_call){.settings = &session->environment.driver_settings};
    if (result == 0)
        result = billet_driver_check_config_begin(session->client, &session->call, error);
    if (result == 0)
        result = billet_context_store(context, &session->store, error);
    if (result == 0 && request->draft == NULL) {
        result = billet_drain_read(session->store, context->tenant, &session->environment, error);
        if (result == 0)
            result = billet_drain_refuse(&session->environment, error);
    }
    if (result == 0 && request->workspace != NULL)
        result = billet_session_open_workspace(session, request->workspace, error);
    if (result == 0)
        result = billet_session_await_driver(session, error);
    if (result == 0)
        result = billet_session_choose_reuse(session, error);
    if (result == 0)
        result = billet_session_choose_mode(session, error);
    if (result == 0)
        result = billet_session_check_reuse(session, error);
    if (result == 0 && session->workspace_mode == BILLET_WORKSPACE_IN_PLACE &&
        session->workspace == NULL && (session->info->capabilities & BILLET_CAN_SHARE_FILES) != 0)
        result = billet_session_open_workspace(session, ".", error);
    if (result == 0)
        result = billet_session_refuse_dangerous(session, error);
    if (result == 0)
        result = billet_session_assets_open(session, error);
    if (result == 0)
        result = check_configuration(session, error);
    session->step_ns[BILLET_STEP_RESOLVE] = billet_clock_monotonic() - start;
    return result;
}

/* ---- the lease's identity and the command's variables ------------------------- */

/* It points into the lease, which every change of state replaces: filled anew before each call. */
void
billet_session_fill_identity(struct billet_session *session)
{
    session->identity = billet_lease_identity(&session->lease.lease, session->context->deployment);
    session->call.identity = &session->identity;
}

/* Environment's own, then the request's: the last of a name wins. billet's own labels are put over
 * them by the driver host. */
int
billet_session_fill_variables(struct billet_session *session, struct billet_error *error)
{
    const struct billet_strings *lists[] = {&session->environment.variables,
                                            session->request->variables};
    billet_strings_free(&session->variables);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] != NULL && i < lists[l]->count; i++) {
            const char *item = lists[l]->items[i];
            /* Secrets of the environment reach the command another way. */
            if (l == 0 && billet_secret_is_reference(strchr(item, '=') + 1))
                continue;
            cleanup_free char *name = strndup(item, strcspn(item, "="));
            if (name == NULL ||
                !billet_strings_set(&session->variables, name, strchr(item, '=') + 1))
                return billet_error_no_memory(error);
        }
    return 0;
}

char *
billet_session_settings_text(const struct billet_session *session)
{
    struct billet_environment holder = BILLET_ENVIRONMENT_INIT;
    char *text = NULL;
    if (billet_settings_copy(&holder.settings, &session->environment.driver_settings)) {
        cleanup_json json_t *object = billet_environment_settings_to_json(&holder);
        text = object != NULL ? billet_json_text(object) : NULL;
    }
    billet_environment_free(&holder);
    return text;
}

static int realize_driver(struct billet_session *session, const char *have,
                          struct billet_buffer *directory, char **facts_text,
                          struct billet_error *error);

/* ---- acquire -------------------------------------------------------------------- */

static int
begin_lease(struct billet_session *session, struct billet_error *error)
{
    const struct billet_session_request *request = session->request;
    cleanup_free char *settings = billet_session_settings_text(session);
    char run[BILLET_UUID_SIZE];
    struct billet_lease wanted = {
        .id = session->lease_id,
        .tenant = session->context->tenant,
        .environment = session->environment.name,
        .environment_id = session->environment.id,
        .driver = session->environment.driver,
        .run = (char *)(uintptr_t)(request->run != NULL ? request->run : run),
        .agent = (char *)(uintptr_t)request->agent,
        .issue = (char *)(uintptr_t)request->issue,
        .workspace = session->workspace,
        .policy = (char *)(uintptr_t)(session->reuse ? BILLET_REUSE_POLICY : request->policy),
        .configuration = settings,
        .directory =
            session->workspace_mode == BILLET_WORKSPACE_IN_PLACE ? session->workspace : NULL,
        .command = (char *)(uintptr_t)request->command,
    };
    if (settings == NULL)
        return billet_error_no_memory(error);
    billet_uuid_make(run);
    return billet_lease_begin(&session->lease, session->store, &wanted, session->context->actor,
                              billet_session_duration(session->context, "lease_ttl"), error);
}

int
billet_session_acquire(struct billet_session *session, struct billet_error *error)
{
    struct billet_driver_lease made = {0};
    int64_t start = billet_clock_monotonic();
    int result = session->reuse ? billet_session_take_up(session, error) : 0;
    if (session->reused || result < 0) {
        session->step_ns[BILLET_STEP_ACQUIRE] = billet_clock_monotonic() - start;
        return result;
    }
    billet_uuid_make(session->lease_id);
    result = billet_session_travel_begin(session, error);
    if (result == 0)
        result = begin_lease(session, error);
    if (result < 0)
        return result;
    session->made = true;
    result = billet_session_wait_turn(session, error);
    if (result < 0)
        return result;
    billet_session_fill_identity(session);
    result = billet_session_resolve_secrets(session, error);
    if (result < 0)
        return result;
    bool realizes = session->workspace_mode != BILLET_WORKSPACE_NONE ||
                    billet_session_assets_by_driver(session);
    uint64_t hints = realizes ? 0 : BILLET_HINT_NO_REALIZE;
    result = billet_driver_acquire_begin(session->client, &session->call, session->lease.ttl_ns,
                                         hints, error);
    if (result == 0) {
        billet_store_of(session->store)->expect_change(session->store);
        result = billet_driver_acquire(session->client, &session->call, session->lease.ttl_ns,
                                       hints, &made, error);
    }
    if (result < 0) {
        billet_error_wrap(error, "cannot acquire environment '%s'", session->environment.name);
        return billet_session_step_failed(error, "lease_acquire_failed");
    }
    session->held = true;
    cleanup_json json_t *facts = made.facts != NULL ? made.facts : json_object();
    if ((session->info->capabilities & BILLET_CAN_BE_LOCAL) != 0)
        result = billet_machine_record(session->store, facts, error);
    cleanup_free char *text = billet_json_text(facts);
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    if (result == 0 && text == NULL)
        result = billet_error_no_memory(error);
    if (result == 0)
        result = billet_session_fill_variables(session, error);
    /* In place nothing is brought anywhere: realizing is part of this step's transaction. */
    if (result == 0 && session->workspace_mode <= BILLET_WORKSPACE_IN_PLACE) {
        cleanup_free char *first = billet_steal(text);
        result = realize_driver(session, first, &directory, &text, error);
    }
    const struct billet_lease_facts facts_now = {.ref = made.ref, .facts = text};
    if (result == 0)
        result = billet_lease_activate(&session->lease, &facts_now, error);
    session->step_ns[BILLET_STEP_ACQUIRE] = billet_clock_monotonic() - start;
    return result;
}

/* ---- realize, provision ----------------------------------------------------------- */

int
billet_session_beat(void *context, struct billet_error *error)
{
    struct billet_session *session = context;
    struct billet_error problem = BILLET_ERROR_INIT;
    int result = billet_lease_heartbeat(&session->lease, &problem);
    if (result == 0)
        return 0;
    if (strcmp(problem.code, "lease_lost") == 0) {
        session->lost = !session->shared;
        *error = problem;
        return result;
    }
    billet_log(BILLET_LOG_WARNING, "lease not renewed: %s", problem.message);
    if (!billet_lease_must_fence(&session->lease))
        return 0;
    *error = problem;
    billet_error_wrap(error, "the lease could not be renewed in time");
    return billet_error_recode(error, "lease_lost");
}

int
billet_session_drive(struct billet_session *session, const struct billet_session_exec *exec,
                     bool quiet, struct billet_ending *ending, struct billet_error *error)
{
    /* Nothing is begun on a lease that may be another's by now. */
    if (!session->shared && billet_lease_must_fence(&session->lease)) {
        int renewed = billet_session_beat(session, error);
        if (renewed < 0)
            return renewed;
    }
    billet_session_fill_identity(session);
    /* A command gets the environment's secrets besides the driver's. */
    struct billet_driver_call call = session->call;
    if (!exec->own) {
        call.secrets = session->secrets.items;
        call.secret_count = session->secrets.count;
    }
    struct billet_drive drive = {
        .client = session->client,
        .call = &call,
        .redact = !exec->own && session->environment.redact_output &&
                  session->secrets.count > session->secrets.driver_count,
        .argv = exec->argv,
        .environment = billet_strings_list(&session->variables),
        .directory = exec->directory != NULL ? exec->directory : "",
        .fds = {exec->fds[0], exec->fds[1], exec->fds[2]},
        .pty = exec->pty,
        .timeout_ns = exec->timeout_ns >= 0 ? exec->timeout_ns : session->environment.timeout_ns,
        .kill_after_ns = session->environment.kill_after_ns,
        .last = exec->last,
        .status_fd = quiet ? -1 : exec->status_fd,
        .signals = session->request->signals,
        .beat_every_ns = session->lease.ttl_ns / BILLET_BEATS_PER_TTL,
        .beat = billet_session_beat,
        .beat_context = session,
    };
    int result = billet_drive(&drive, ending, error);
    if (result < 0 && !billet_driver_alive(session->client))
        session->held = false;
    return result;
}

static int
merge_facts(const char *have, json_t *more, char **text, struct billet_error *error)
{
    cleanup_json json_t *all = NULL;
    if (have != NULL && have[0] != '\0') {
        int result = billet_json_parse(have, strlen(have), &all, error);
        if (result < 0)
            return result;
    } else {
        all = json_object();
    }
    if (json_object_update(all, more) != 0 || (*text = billet_json_text(all)) == NULL)
        return billet_error_no_memory(error);
    return 0;
}

/* The driver's part of step 3; have: the lease's facts up to now, *facts_text: what they become. */
static int
realize_driver(struct billet_session *session, const char *have, struct billet_buffer *directory,
               char **facts_text, struct billet_error *error)
{
    cleanup_json json_t *facts = NULL;
    int result = 0;
    billet_session_fill_identity(session);
    if (session->workspace_mode != BILLET_WORKSPACE_NONE)
        result = billet_session_bring_in(session, directory, &facts, error);
    if (result < 0) {
        billet_error_wrap(error, "cannot bring workspace %s into environment '%s'",
                          session->workspace != NULL ? session->workspace : "of the host",
                          session->environment.name);
        return billet_session_step_failed(error, "workspace_realization_failed");
    }
    session->realized = true;
    if (facts == NULL)
        facts = json_object();
    if (json_object_set_new(facts, BILLET_MODE_FACT,
                            json_string(billet_workspace_mode_name(session->workspace_mode))) !=
            0 ||
        (session->reuse &&
         json_object_set_new(facts, BILLET_REUSE_FACT, json_string(session->reuse_key)) != 0))
        return billet_error_no_memory(error);
    result = billet_session_assets_record(session, facts, error);
    if (result == 0)
        result = merge_facts(have, facts, facts_text, error);
    if (result == 0)
        result = add_row(
            session, "workspace.realized",
            json_pack("{s:s}", "mode", billet_workspace_mode_name(session->workspace_mode)), error);
    if (result == 0 && !session->request->no_command)
        result = billet_session_add_start(session, error);
    return result;
}

int
billet_session_add_facts(struct billet_session *session, json_t *facts, struct billet_error *error)
{
    cleanup_free char *text = NULL;
    int result = merge_facts(session->lease.lease.facts, facts, &text, error);
    const struct billet_lease_facts now = {.facts = text};
    return result < 0 ? result : billet_lease_update(&session->lease, &now, error);
}

int
billet_session_realize(struct billet_session *session, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    cleanup_free char *facts_text = NULL;
    int64_t start = billet_clock_monotonic();
    int result = 0;

    if (!session->realized) {
        result =
            realize_driver(session, session->lease.lease.facts, &directory, &facts_text, error);
        const struct billet_lease_facts facts = {.facts = facts_text,
                                                 .directory = billet_buffer_text(&directory)};
        if (result == 0)
            result = billet_lease_update(&session->lease, &facts, error);
    }
    if (result == 0)
        result = billet_session_assets_bring(session, false, error);
    session->step_ns[BILLET_STEP_REALIZE] = billet_clock_monotonic() - start;
    if (result == 0)
        result = billet_session_provision(session, error);
    return result;
}

/* ---- exec -------------------------------------------------------------------------- */

int
billet_session_exec(struct billet_session *session, const struct billet_session_exec *exec,
                    struct billet_ending *ending, struct billet_error *error)
{
    int64_t start = billet_clock_monotonic();
    int result = billet_session_drive(session, exec, false, ending, error);
    session->step_ns[BILLET_STEP_EXEC] = billet_clock_monotonic() - start;
    if (result < 0)
        return result;
    cleanup_json json_t *outcome = billet_ending_json(ending);
    free(session->outcome);
    session->outcome = outcome != NULL ? billet_json_text(outcome) : NULL;
    if (session->shared)
        return billet_lease_note_any(&session->lease, "exec.ended", session->outcome, error);
    return billet_lease_add(&session->lease, "exec.ended", session->outcome, error);
}

/* ---- the end -------------------------------------------------------------------------- */

/* The handle was given back before what the command changed was collected. */
static int
destroy_stopped(struct billet_session *session, struct billet_error *error)
{
    cleanup_json json_t *facts = NULL;
    const char *text = session->lease.lease.facts;
    session->travel.stopped = false;
    int result =
        text != NULL && text[0] != '\0' ? billet_json_parse(text, strlen(text), &facts, error) : 0;
    return result < 0 ? result
                      : billet_driver_destroy(session->client, &session->call,
                                              session->lease.lease.ref, facts, error);
}

static int
release_resource(struct billet_session *session, int disposition, struct billet_error *error)
{
    int result = 0;
    billet_session_fill_identity(session);
    if (session->held && billet_driver_alive(session->client)) {
        session->held = false;
        result = billet_driver_release(session->client, &session->call, disposition, error);
        if (result == 0 || disposition != BILLET_DISPOSE_DESTROY)
            return result;
        billet_log(BILLET_LOG_INFO, "release failed, destroying: %s", error->message);
    }
    if (disposition == BILLET_DISPOSE_STOP && session->travel.stopped)
        return 0;
    if (session->travel.stopped && billet_driver_alive(session->client)) {
        result = destroy_stopped(session, error);
        if (result == 0 || disposition != BILLET_DISPOSE_DESTROY)
            return result;
        billet_log(BILLET_LOG_INFO, "destroy failed, trying once more: %s", error->message);
        billet_error_clear(error);
    }
    if (disposition != BILLET_DISPOSE_DESTROY)
        return billet_error_set(error, BILLET_CLASS_DRIVER, "lease_release_failed",
                                "the driver is gone; nothing was kept");
    /* Idempotent and by label: also right when acquire never answered. */
    billet_driver_stop(session->client);
    session->client = NULL;
    return billet_cleanup_resource(session->context, NULL, &session->lease.lease, error);
}

static int
end_with(struct billet_session *session, bool failed, const char *reason,
         struct billet_error *error)
{
    struct billet_error problem = BILLET_ERROR_INIT;
    const struct billet_lease_facts facts = {.outcome = session->outcome};
    int result = billet_lease_start_release(&session->lease, &facts, reason, error);
    if (result < 0)
        return result;
    if (!failed)
        billet_session_travel_leave(session);
    billet_session_fill_identity(session);
    if (release_resource(session, BILLET_DISPOSE_DESTROY, &problem) < 0) {
        result = billet_lease_cleanup_failed(&session->lease, problem.message, error);
        if (result == 0) {
            *error = problem;
            billet_error_recode(error, "lease_release_failed");
            result = billet_error_hint(error,
                                       "'billet lease reap' tries again; "
                                       "'billet lease show %s' tells more",
                                       session->lease.lease.id);
        }
        return result;
    }
    /* It has nothing left to do, and ends while the last row is written. */
    if (session->client != NULL)
        billet_driver_dismiss(session->client);
    /* Before the last row, for nobody looks for files of a lease that has ended. */
    billet_session_travel_end(session, true);
    return billet_lease_finish(&session->lease, failed, failed ? reason : NULL, error);
}

static int
hold(struct billet_session *session, int64_t ttl_ns, struct billet_error *error)
{
    const struct billet_lease_facts facts = {.outcome = session->outcome};
    return billet_lease_retain(&session->lease, ttl_ns, &facts, error);
}

int
billet_session_end(struct billet_session *session, int disposition, int64_t ttl_ns,
                   struct billet_error *error)
{
    int64_t start = billet_clock_monotonic();
    int result;
    if (disposition == BILLET_DISPOSE_DESTROY) {
        result = end_with(session, false, NULL, error);
    } else {
        result = billet_session_git_keep(session, error);
        if (result == 0)
            result = release_resource(session, disposition, error);
        /* What a workspace's changes lie in is kept even if nobody could end what runs there. */
        if (result < 0 && disposition == BILLET_DISPOSE_STOP && billet_session_travels(session) &&
            (!session->travel.returned || session->travel.git_error.error_class != 0)) {
            billet_log(BILLET_LOG_INFO, "%s", error->message);
            billet_error_clear(error);
            result = 0;
        }
        if (result == 0)
            result = hold(session, ttl_ns, error);
    }
    /* What could not be removed is the reaper's; what could not be kept is to be removed. */
    bool recorded = disposition == BILLET_DISPOSE_DESTROY && result < 0 &&
                    strcmp(error->code, "lease_release_failed") == 0;
    session->made = result < 0 && !recorded && strcmp(error->code, "lease_lost") != 0;
    session->step_ns[BILLET_STEP_RELEASE] = billet_clock_monotonic() - start;
    return result;
}

void
billet_session_abort(struct billet_session *session, const struct billet_error *cause)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (!session->made || session->lost || session->shared ||
        strcmp(cause->code, "lease_lost") == 0)
        return;
    session->made = false;
    if (end_with(session, true, cause->message, &error) < 0)
        billet_log(BILLET_LOG_WARNING, "%s [%s]", error.message, error.code);
}

void
billet_session_close(struct billet_session *session)
{
    if (session->held && session->shared && billet_driver_alive(session->client)) {
        struct billet_error error = BILLET_ERROR_INIT;
        billet_session_fill_identity(session);
        billet_driver_release(session->client, &session->call, BILLET_DISPOSE_KEEP, &error);
    }
    billet_driver_stop(session->client);
    session->client = NULL;
    billet_session_travel_end(session, false);
    billet_lease_session_free(&session->lease);
    billet_environment_free(&session->environment);
    billet_strings_free(&session->variables);
    billet_run_secrets_free(&session->secrets);
    billet_run_assets_free(&session->assets);
    free(session->workspace);
    free(session->outcome);
    session->workspace = NULL;
    session->outcome = NULL;
    billet_close(&session->workspace_fd);
}
