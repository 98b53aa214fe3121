/* SPDX-License-Identifier: Apache-2.0 */
#include "run/travel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "run/far.h"
#include "run/git.h"
#include "run/session_private.h"
#include "workspace/tree.h"

#define UPPER_FACT "workspace_upper" /* the driver's */
#define SINCE_FACT "workspace_since"
#define STOPS_MAX 20 /* half a second each */
#define LOCK_SLICE_NS (200 * 1000000)

/* ---- what travels ------------------------------------------------------------------ */

bool
billet_session_travels(const struct billet_session *session)
{
    return session->workspace != NULL && (session->workspace_mode == BILLET_WORKSPACE_OVERLAY ||
                                          session->workspace_mode == BILLET_WORKSPACE_COPY);
}

bool
billet_session_is_far(const struct billet_session *session)
{
    return session->workspace_mode == BILLET_WORKSPACE_COPY &&
           (session->info->capabilities & BILLET_CAN_SHARE_FILES) == 0;
}

static bool
has_bind(const struct billet_session *session)
{
    return (session->info->workspace_modes & (1u << BILLET_WORKSPACE_BIND)) != 0;
}

/* How a driver that shares files is handed core's own copy. */
static int
hand_mode(const struct billet_session *session)
{
    return has_bind(session) ? BILLET_WORKSPACE_BIND : BILLET_WORKSPACE_IN_PLACE;
}

/* Nobody chose the overlay, and it will not do. */
static void
tell_other_mode(const struct billet_session *session)
{
    billet_log(BILLET_LOG_INFO, "workspace mode %s instead of overlay: %s",
               billet_workspace_mode_name(session->workspace_mode), session->mode_reason);
}

static int
add_patterns(struct billet_patterns *patterns, const struct billet_strings *list,
             struct billet_error *error)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < list->count; i++)
        result = billet_patterns_add(patterns, list->items[i], strlen(list->items[i]), error);
    return result;
}

static int
make_filter(struct billet_session *session, struct billet_error *error)
{
    const struct billet_environment *environment = &session->environment;
    struct billet_filter *filter = &session->travel.filter;
    billet_filter_free(filter);
    *filter = (struct billet_filter)BILLET_FILTER_INIT;
    /* An overlay shows all there is, and what a build makes in it is expected back as with bind. */
    bool overlay = session->workspace_mode == BILLET_WORKSPACE_OVERLAY;
    if (overlay || environment->workspace_ignored)
        filter->flags |= BILLET_FILTER_WITH_IGNORED | BILLET_FILTER_WITH_HEAVY;
    if (overlay)
        filter->flags |= BILLET_FILTER_WITH_GIT;
    int result = add_patterns(&filter->exclude, &environment->workspace_exclude, error);
    return result < 0 ? result
                      : add_patterns(&filter->preserve, &environment->workspace_preserve, error);
}

/* ---- places -------------------------------------------------------------------------- */

static char *
place_of(const struct billet_context *context, const char *lease)
{
    char *path = NULL;
    return asprintf(&path, "%s/travel/%s", context->state_directory, lease) < 0 ? NULL : path;
}

static char *
below(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

int
billet_session_make_place(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    if (travel->directory == NULL)
        travel->directory = place_of(session->context, session->lease.lease.id);
    if (travel->directory == NULL)
        return billet_error_no_memory(error);
    return billet_io_make_directories(travel->directory, 0700, error);
}

/* What billet keeps for itself must neither be shown nor carried to a workload. */
static bool
holds_own_state(const struct billet_session *session)
{
    cleanup_free char *state = realpath(session->context->state_directory, NULL);
    size_t length = strlen(session->workspace);
    return state != NULL && strncmp(state, session->workspace, length) == 0 &&
           (state[length] == '/' || state[length] == '\0');
}

static int
refuse_own_state(const struct billet_session *session, struct billet_error *error)
{
    if (!holds_own_state(session))
        return 0;
    billet_error_set(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                     "workspace %s holds billet's own state directory %s", session->workspace,
                     session->context->state_directory);
    return billet_error_hint(error, "give a directory of the project with -w");
}

/* ---- begin --------------------------------------------------------------------------- */

bool
billet_session_interrupted(const struct billet_session *session)
{
    return billet_signals_wait(session->request->signals, 0);
}

/* In slices, so that a signal ends the waiting. */
static int
wait_for_lock(struct billet_session *session, struct billet_workspace_options *options,
              struct billet_error *error)
{
    struct billet_error busy = BILLET_ERROR_INIT;
    bool told = false;
    for (;;) {
        int result = billet_workspace_begin(options, &session->travel.workspace, &busy);
        if (result == 0)
            return 0;
        if (strcmp(busy.code, "workspace_busy") != 0 || session->request->no_wait) {
            *error = busy;
            return result;
        }
        if (billet_session_interrupted(session))
            return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                    "cancelled while another run worked on %s", session->workspace);
        if (!told)
            billet_log(BILLET_LOG_WARNING, "waiting for another run on workspace %s",
                       session->workspace);
        told = true;
        options->lock_deadline_ns = billet_clock_monotonic() + LOCK_SLICE_NS;
        billet_error_clear(&busy);
    }
}

static void
tell_recovery(const struct billet_session *session)
{
    const struct billet_report *recovery = billet_workspace_recovery(session->travel.workspace);
    if (recovery != NULL)
        billet_log(
            BILLET_LOG_WARNING,
            "an interrupted run on workspace %s was completed: %zu written, %zu deleted, %zu "
            "conflicts",
            session->workspace, recovery->totals[BILLET_REPORT_WRITTEN],
            recovery->totals[BILLET_REPORT_DELETED], recovery->totals[BILLET_REPORT_CONFLICT]);
    const struct billet_git_report *git = billet_workspace_git_recovery(session->travel.workspace);
    if (git != NULL)
        billet_log(BILLET_LOG_WARNING, "the repository of an interrupted run: %s%s%s%s%s",
                   billet_git_outcome_name(git->outcome), git->kept[0] != '\0' ? ", kept at " : "",
                   git->kept, git->note[0] != '\0' ? ": " : "", git->note);
}

static int
begin(struct billet_session *session, int baseline, struct billet_error *error)
{
    cleanup_free char *state = below(session->context->state_directory, "workspaces");
    struct billet_workspace_options options = {
        .directory = session->workspace,
        .state_directory = state,
        .tag = session->lease_id,
        .filter = &session->travel.filter,
        .lock_deadline_ns = 1,
        .baseline = baseline,
        .progress = session->request->progress,
        .progress_context = session->request->progress_context,
    };
    if (state == NULL)
        return billet_error_no_memory(error);
    int result = refuse_own_state(session, error);
    if (result == 0)
        result = make_filter(session, error);
    if (result == 0)
        result = wait_for_lock(session, &options, error);
    if (result == 0)
        tell_recovery(session);
    return result;
}

static int
take_baseline(void *context, struct billet_error *error)
{
    const struct billet_session *session = context;
    return billet_workspace_scan(session->travel.workspace, error);
}

int
billet_session_travel_await(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    /* Who keeps it awaits it. */
    return billet_beside_end(travel->keeping.work != NULL ? &travel->keeping : &travel->baseline,
                             error);
}

int
billet_session_travel_begin(struct billet_session *session, struct billet_error *error)
{
    if (!billet_session_travels(session) || session->travel.workspace != NULL)
        return 0;
    bool overlay = session->workspace_mode == BILLET_WORKSPACE_OVERLAY;
    /* A home directory, say: its upper layer would lie in the lower one. */
    if (overlay && session->mode_is_free && has_bind(session) && holds_own_state(session)) {
        session->workspace_mode = BILLET_WORKSPACE_BIND;
        billet_text_copy(session->mode_reason, sizeof(session->mode_reason),
                         "the workspace holds billet's own state directory");
        tell_other_mode(session);
        return 0;
    }
    bool far = billet_session_is_far(session);
    int result =
        begin(session, overlay || far ? BILLET_BASELINE_TIME : BILLET_BASELINE_MANIFEST, error);
    if (result == 0)
        billet_session_git_begin(session);
    if (result == 0 && far)
        billet_beside_begin(&session->travel.baseline, take_baseline, session);
    /* Root's overlay is mounted where every id is known. */
    if (result == 0 && overlay && session->mode_is_free && geteuid() != 0)
        session->travel.owners = billet_owners_begin(
            billet_workspace_root(session->travel.workspace), geteuid(), getegid());
    if (result < 0 && strncmp(error->code, "workspace_", 10) != 0)
        return billet_session_step_failed(error, "workspace_realization_failed");
    return result;
}

int
billet_session_travel_lock(struct billet_session *session, struct billet_error *error)
{
    if (!billet_session_travels(session))
        return 0;
    if (session->travel.workspace == NULL)
        return begin(session, BILLET_BASELINE_TIME, error);
    billet_workspace_set_tag(session->travel.workspace, session->lease_id);
    return 0;
}

int
billet_session_travel_resume(struct billet_session *session, const json_t *facts,
                             struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    if (travel->workspace == NULL)
        return 0;
    int result = billet_session_git_take_up(session, error);
    if (result < 0)
        return result;
    if (session->workspace_mode == BILLET_WORKSPACE_OVERLAY)
        return billet_workspace_resume(
            travel->workspace, strtoll(billet_json_string(facts, SINCE_FACT, "1"), NULL, 10), NULL,
            error);
    result = billet_session_make_place(session, error);
    cleanup_free char *path = result == 0 ? below(travel->directory, "baseline") : NULL;
    if (result == 0 && path == NULL)
        result = billet_error_no_memory(error);
    return result < 0 ? result : billet_workspace_resume(travel->workspace, 0, path, error);
}

/* ---- in --------------------------------------------------------------------------------- */

int
billet_session_ask_driver(struct billet_session *session, int mode, int fd, const char *path,
                          struct billet_buffer *directory, json_t **facts,
                          struct billet_error *error)
{
    struct billet_asset items[BILLET_ASSETS_MAX];
    struct billet_run_assets *assets = &session->assets;
    cleanup_buffer struct billet_buffer where = BILLET_BUFFER_INIT;
    const bool shown = billet_session_assets_by_driver(session);
    const struct billet_driver_realize realize = {.mode = mode,
                                                  .root_fd = fd,
                                                  .path = path != NULL ? path : "",
                                                  .assets = items,
                                                  .asset_count = shown ? assets->count : 0,
                                                  .assets_directory = &where};
    for (size_t i = 0; i < realize.asset_count; i++)
        items[i] = (struct billet_asset){assets->items[i].name, assets->items[i].path};
    int result =
        billet_driver_realize(session->client, &session->call, &realize, directory, facts, error);
    if (result < 0 || !shown)
        return result;
    free(assets->directory);
    assets->directory = strdup(billet_buffer_text(&where));
    return assets->directory != NULL ? 0 : billet_error_no_memory(error);
}

static int
hand_copy(struct billet_session *session, struct billet_buffer *directory, json_t **facts,
          struct billet_error *error)
{
    cleanup_free char *tree = below(session->travel.directory, "tree");
    if (tree == NULL)
        return billet_error_no_memory(error);
    cleanup_fd int fd = open(tree, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "copy of the workspace %s", tree);
    return billet_session_ask_driver(session, hand_mode(session), fd, tree, directory, facts,
                                     error);
}

static int
keep_baseline(struct billet_session *session, struct billet_error *error)
{
    cleanup_free char *path = below(session->travel.directory, "baseline");
    return path == NULL ? billet_error_no_memory(error)
                        : billet_workspace_keep(session->travel.workspace, path, error);
}

/* Core's own copy, for a driver that shares files. */
static int
copy_in(struct billet_session *session, struct billet_buffer *directory, json_t **facts,
        struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    struct billet_copy_result done = {0};
    int result = make_filter(session, error); /* an overlay may have been meant before */
    if (result == 0)
        result = billet_workspace_scan(travel->workspace, error);
    if (result == 0)
        result = billet_session_make_place(session, error);
    cleanup_free char *tree = result == 0 ? below(travel->directory, "tree") : NULL;
    if (result == 0 && tree == NULL)
        result = billet_error_no_memory(error);
    if (result == 0)
        result = billet_io_make_directories(tree, 0755, error);
    if (result == 0)
        result = billet_workspace_copy(travel->workspace, tree, &done, error);
    travel->sent_files = done.files;
    travel->sent_bytes = done.bytes;
    if (result == 0)
        result = keep_baseline(session, error);
    return result < 0 ? result : hand_copy(session, directory, facts, error);
}

/* Nobody chose the overlay, and it will not do: the directory itself, or a copy. */
static int
without_overlay(struct billet_session *session, struct billet_buffer *directory, json_t **facts,
                struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    bool bind = has_bind(session);
    session->workspace_mode = bind ? BILLET_WORKSPACE_BIND : BILLET_WORKSPACE_COPY;
    tell_other_mode(session);
    if (!bind)
        return copy_in(session, directory, facts, error);
    billet_session_git_end(session);
    billet_workspace_end(travel->workspace);
    travel->workspace = NULL;
    return billet_session_ask_driver(session, BILLET_WORKSPACE_BIND, session->workspace_fd,
                                     session->workspace, directory, facts, error);
}

/* What the kernel would not copy up for an ordinary user is found before the command starts. */
static bool
has_strangers(struct billet_session *session)
{
    char *path = NULL;
    struct billet_owners *owners = billet_steal(session->travel.owners);
    int found = owners != NULL ? billet_owners_end(owners, &path) : 0;
    cleanup_free char *owned = path;
    char shown[160] = "";
    if (owned != NULL)
        billet_text_escape(shown, sizeof(shown), owned[0] != '\0' ? owned : ".");
    if (found == BILLET_OWNERS_FOREIGN)
        snprintf(session->mode_reason, sizeof(session->mode_reason),
                 "%s belongs to another user or group", shown);
    if (found == BILLET_OWNERS_UNKNOWN)
        snprintf(session->mode_reason, sizeof(session->mode_reason),
                 "whom all belongs to cannot be seen, at %s", shown);
    return found != 0;
}

static int
overlay_in(struct billet_session *session, struct billet_buffer *directory, json_t **facts,
           struct billet_error *error)
{
    char since[32];
    if (has_strangers(session))
        return without_overlay(session, directory, facts, error);
    int result = billet_session_ask_driver(session, BILLET_WORKSPACE_OVERLAY, session->workspace_fd,
                                           session->workspace, directory, facts, error);
    if (result < 0 && session->mode_is_free &&
        strcmp(error->code, "sandbox_overlay_unsupported") == 0) {
        billet_text_copy(session->mode_reason, sizeof(session->mode_reason), error->message);
        billet_error_clear(error);
        return without_overlay(session, directory, facts, error);
    }
    if (result < 0)
        return result;
    const char *upper = billet_json_string(*facts, UPPER_FACT, "");
    free(session->travel.upper);
    session->travel.upper = strdup(upper);
    billet_workspace_settle(session->travel.workspace);
    snprintf(since, sizeof(since), "%" PRId64, billet_workspace_since(session->travel.workspace));
    if (session->travel.upper == NULL ||
        json_object_set_new(*facts, SINCE_FACT, json_string(since)) != 0)
        return billet_error_no_memory(error);
    if (upper[0] == '/')
        return 0;
    return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_answer",
                            "driver %s does not say where the overlay's changes are",
                            session->info->name);
}

static int
keep_beside(void *context, struct billet_error *error)
{
    struct billet_session *session = context;
    int result = billet_beside_end(&session->travel.baseline, error);
    return result < 0 ? result : keep_baseline(session, error);
}

/* A copy that the driver's end has, in a directory that the driver names. */
static int
far_in(struct billet_session *session, struct billet_buffer *directory, json_t **facts,
       struct billet_error *error)
{
    int result = billet_session_ask_driver(session, BILLET_WORKSPACE_COPY, session->workspace_fd,
                                           session->workspace, directory, facts, error);
    if (result == 0)
        result = billet_session_make_place(session, error);
    if (result < 0)
        return result;
    billet_beside_begin(&session->travel.keeping, keep_beside, session);
    result = billet_far_bring_in(session, billet_buffer_text(directory), error);
    int kept = billet_session_travel_await(session, result == 0 ? error : NULL);
    return result < 0 ? result : kept;
}

int
billet_session_bring_in(struct billet_session *session, struct billet_buffer *directory,
                        json_t **facts, struct billet_error *error)
{
    if (!billet_session_travels(session))
        return billet_session_ask_driver(session, session->workspace_mode, session->workspace_fd,
                                         session->workspace, directory, facts, error);
    int result;
    if (session->workspace_mode == BILLET_WORKSPACE_OVERLAY)
        result = overlay_in(session, directory, facts, error);
    else
        result = billet_session_is_far(session) ? far_in(session, directory, facts, error)
                                                : copy_in(session, directory, facts, error);
    /* Meanwhile it may be the directory itself. */
    if (result == 0 && billet_session_travels(session))
        result = billet_session_git_bring_in(session, billet_buffer_text(directory), error);
    return result;
}

int
billet_session_bring_again(struct billet_session *session, const json_t *facts,
                           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    cleanup_json json_t *more = NULL;
    struct billet_travel *travel = &session->travel;
    if (!billet_session_travels(session) || session->workspace_mode == BILLET_WORKSPACE_OVERLAY) {
        free(travel->upper);
        travel->upper = strdup(billet_json_string(facts, UPPER_FACT, ""));
        return travel->upper == NULL
                   ? billet_error_no_memory(error)
                   : billet_session_ask_driver(session, session->workspace_mode,
                                               session->workspace_fd, session->workspace,
                                               &directory, &more, error);
    }
    int result = billet_session_make_place(session, error);
    if (result == 0 && billet_session_is_far(session))
        return billet_session_ask_driver(session, BILLET_WORKSPACE_COPY, session->workspace_fd,
                                         session->workspace, &directory, &more, error);
    return result < 0 ? result : hand_copy(session, &directory, &more, error);
}

/* ---- back --------------------------------------------------------------------------------- */

/* Give the handle back with all that runs ended. */
static int
stop_once(struct billet_session *session, struct billet_error *error)
{
    if (!session->held || !billet_driver_alive(session->client))
        return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_gone",
                                "the driver is gone; what the command changed cannot be had");
    session->held = false;
    billet_session_fill_identity(session);
    int result = billet_driver_release(session->client, &session->call, BILLET_DISPOSE_STOP, error);
    session->travel.stopped = result == 0;
    return result;
}

static int
take_up_stopped(struct billet_session *session, struct billet_error *error)
{
    struct billet_driver_lease taken = {0};
    cleanup_json json_t *known = NULL;
    const char *text = session->lease.lease.facts;
    int result =
        text != NULL && text[0] != '\0' ? billet_json_parse(text, strlen(text), &known, error) : 0;
    billet_session_fill_identity(session);
    if (result == 0)
        result = billet_driver_resume(session->client, &session->call, session->lease.lease.ref,
                                      known, false, &taken, error);
    json_decref(taken.facts);
    if (result < 0)
        return result;
    session->held = true;
    session->travel.stopped = false;
    return 0;
}

/* The driver died while it gave the handle back, or carried files: what it had is still there, for
 * a new one. */
static int
revive(struct billet_session *session, struct billet_error *error)
{
    billet_log(BILLET_LOG_INFO, "%s; trying once more", error->message);
    billet_error_clear(error);
    billet_driver_stop(session->client);
    session->client = NULL;
    int result = billet_session_start_driver(session, session->lease.lease.driver, error);
    if (result == 0)
        result = billet_session_await_driver(session, error);
    return result < 0 ? result : take_up_stopped(session, error);
}

/* What is collected does not change any more: commands that others run on the lease are ended, also
 * one that was about to start, and no new one comes until this session ends. */
static int
stop(struct billet_session *session, struct billet_error *error)
{
    if (session->travel.stopped)
        return 0;
    int result = billet_session_gate_shut(session, error);
    bool held = session->held;
    if (result == 0)
        result = stop_once(session, error);
    if (result < 0 && held && !billet_driver_alive(session->client)) {
        result = revive(session, error);
        if (result == 0)
            result = stop_once(session, error);
    }
    for (int i = 0; result == 0 && i < STOPS_MAX; i++) {
        result = billet_session_gate_empty(session, error);
        if (result != 0)
            return result < 0 ? result : 0;
        result = take_up_stopped(session, error);
        if (result == 0)
            result = stop_once(session, error);
    }
    return result < 0
               ? result
               : billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_busy",
                                  "commands on lease %s do not end", session->lease.lease.id);
}

/* The upper directory lies in one that nobody else can enter, and is no link. */
static int
open_upper(const struct billet_travel *travel, struct billet_error *error)
{
    struct stat status;
    cleanup_free char *parent = strdup(travel->upper);
    char *slash = parent != NULL ? strrchr(parent, '/') : NULL;
    if (parent == NULL)
        return billet_error_no_memory(error);
    if (slash == NULL || slash == parent || slash[1] == '\0')
        return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_answer",
                                "%s is no upper directory", travel->upper);
    *slash = '\0';
    cleanup_fd int above = open(parent, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (above < 0 || fstat(above, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", parent);
    if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return billet_error_set(error, BILLET_CLASS_AUTH, "path_untrusted",
                                "%s can be entered by others", parent);
    int fd = openat(above, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0
               ? fd
               : billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", travel->upper);
}

static int
collect_overlay(struct billet_session *session, struct billet_error *error)
{
    int upper = open_upper(&session->travel, error);
    if (upper < 0)
        return upper;
    int result = billet_workspace_receive_upper(session->travel.workspace, upper, error);
    billet_close(&upper);
    return result;
}

static int
collect_copy(struct billet_session *session, struct billet_error *error)
{
    cleanup_free char *tree = below(session->travel.directory, "tree");
    return tree == NULL ? billet_error_no_memory(error)
                        : billet_workspace_receive_copy(session->travel.workspace, tree, error);
}

static int
collect_far(struct billet_session *session, struct billet_error *error)
{
    bool held = session->held;
    int result = billet_far_collect(session, error);
    /* Its death may not be noticed yet; the class of the error tells. */
    if (result == 0 || !held ||
        (result != -BILLET_CLASS_DRIVER && billet_driver_alive(session->client)))
        return result;
    /* All may have arrived, and only the word of its end be lost. */
    billet_workspace_receive_anew(session->travel.workspace);
    result = revive(session, error);
    return result < 0 ? result : billet_far_collect(session, error);
}

static int
note_return(struct billet_session *session, const struct billet_report *report, int result,
            const struct billet_error *problem, struct billet_error *error)
{
    cleanup_json json_t *details =
        result < 0 ? json_pack("{s:s}", "code", problem->code)
                   : json_pack("{s:I, s:I, s:I}", "written",
                               (json_int_t)report->totals[BILLET_REPORT_WRITTEN], "deleted",
                               (json_int_t)report->totals[BILLET_REPORT_DELETED], "conflicts",
                               (json_int_t)(report->totals[BILLET_REPORT_CONFLICT] +
                                            report->totals[BILLET_REPORT_KEPT]));
    cleanup_free char *text = details != NULL ? billet_json_text(details) : NULL;
    const char *action = result < 0                            ? "workspace.return_failed"
                         : billet_report_has_conflicts(report) ? "workspace.conflicted"
                                                               : "workspace.returned";
    return session->shared ? billet_lease_note_any(&session->lease, action, text, error)
                           : billet_lease_add(&session->lease, action, text, error);
}

int
billet_session_bring_back(struct billet_session *session, struct billet_report *report,
                          struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    struct billet_error problem = BILLET_ERROR_INIT;
    int64_t start = billet_clock_monotonic();
    if (!billet_session_travels(session) || travel->workspace == NULL)
        return 0;
    int result = billet_session_is_far(session) ? collect_far(session, &problem)
                                                : billet_session_gate_shut(session, &problem);
    if (result == 0)
        billet_session_git_receive(session);
    if (result == 0 && !billet_session_is_far(session))
        result = stop(session, &problem);
    if (result == 0 && !billet_session_is_far(session))
        result = session->workspace_mode == BILLET_WORKSPACE_OVERLAY
                     ? collect_overlay(session, &problem)
                     : collect_copy(session, &problem);
    if (result == 0)
        result = billet_workspace_apply(travel->workspace, report, &problem);
    travel->returned = result == 0;
    if (result == 0)
        result = billet_session_git_conclude(session, &problem);
    int noted = note_return(session, report, result, &problem, error);
    session->step_ns[BILLET_STEP_RETURN] = billet_clock_monotonic() - start;
    if (result < 0) {
        *error = problem;
        return billet_error_wrap(error, "cannot bring the changes back to %s", session->workspace);
    }
    return noted;
}

/* ---- held ---------------------------------------------------------------------------------- */

/* Commands are needed for that, also where what ran was stopped. */
static int
push_history(struct billet_session *session, struct billet_error *error)
{
    cleanup_json json_t *facts = NULL;
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    int result = 0;
    if (session->travel.git == NULL)
        return 0;
    if (session->travel.stopped)
        result = take_up_stopped(session, error);
    if (result == 0 && !billet_session_is_far(session))
        result = hand_copy(session, &directory, &facts, error);
    return result < 0 ? result : billet_session_git_push(session, error);
}

int
billet_session_push(struct billet_session *session, struct billet_report *report,
                    struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    struct billet_manifest both = BILLET_MANIFEST_INIT;
    struct billet_copy_result done = {0};
    int result = billet_session_is_far(session) ? 0 : stop(session, error);
    /* What lies below an overlay shows by itself once it is mounted again. */
    if (result < 0 || session->workspace_mode == BILLET_WORKSPACE_OVERLAY)
        return result;
    cleanup_free char *tree = below(travel->directory, "tree");
    cleanup_free char *path = below(travel->directory, "baseline");
    if (tree == NULL || path == NULL)
        return billet_error_no_memory(error);
    if (billet_session_is_far(session)) {
        result = billet_far_push(session, &both, report, error);
    } else {
        result = billet_tree_push(billet_workspace_root(travel->workspace), tree, &travel->filter,
                                  billet_workspace_baseline(travel->workspace), &both, report,
                                  &done, error);
        travel->sent_files = done.files;
        travel->sent_bytes = done.bytes;
    }
    if (result == 0)
        result = billet_workspace_keep_manifest(&both, path, error);
    billet_manifest_free(&both);
    return result < 0 ? result : push_history(session, error);
}

int
billet_session_travel_again(struct billet_session *session, const json_t *facts,
                            struct billet_error *error)
{
    struct billet_report report = BILLET_REPORT_INIT;
    int result = billet_session_travel_resume(session, facts, error);
    if (result == 0)
        result = billet_session_push(session, &report, error);
    if (result == 0 && billet_report_has_conflicts(&report)) {
        const char *id = session->lease.lease.id;
        result = billet_error_set(error, BILLET_CLASS_CAPACITY, "workspace_conflicts",
                                  "its copy of the workspace and %s were changed apart",
                                  session->workspace);
        billet_error_hint(error,
                          "'billet pull %s' brings its changes here, 'billet lease destroy %s' "
                          "gives them up",
                          id, id);
    }
    billet_report_free(&report);
    cleanup_free char *path = result == 0 ? below(session->travel.directory, "baseline") : NULL;
    if (result == 0 && path == NULL)
        result = billet_error_no_memory(error);
    /* What both sides have now is what the command's changes are judged by. */
    return result < 0 ? result : billet_workspace_resume(session->travel.workspace, 0, path, error);
}

/* The manifest of both sides as they are now: what is the same on both has the local stat fields,
 * so that a later change is seen; what differs is known as it is there, and counts as touched here.
 */
static int
keep_exchange(struct billet_session *session, struct billet_error *error)
{
    cleanup_free char *tree = below(session->travel.directory, "tree");
    cleanup_free char *path = below(session->travel.directory, "baseline");
    struct billet_manifest both = BILLET_MANIFEST_INIT;
    if (tree == NULL || path == NULL)
        return billet_error_no_memory(error);
    int result = billet_session_is_far(session)
                     ? billet_far_exchange(session, &both, error)
                     : billet_tree_exchange(billet_workspace_root(session->travel.workspace), tree,
                                            &session->travel.filter, &both, error);
    if (result == 0)
        result = billet_workspace_keep_manifest(&both, path, error);
    billet_manifest_free(&both);
    return result;
}

int
billet_session_travel_renew(struct billet_session *session, struct billet_error *error)
{
    cleanup_json json_t *facts = NULL;
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    if (billet_session_is_far(session) && session->travel.returned) {
        int kept = keep_exchange(session, error);
        return kept < 0 ? kept : billet_session_git_keep(session, error);
    }
    if (!session->travel.stopped)
        return 0;
    int result = take_up_stopped(session, error);
    if (result < 0)
        return result;
    if (session->workspace_mode == BILLET_WORKSPACE_COPY) {
        result = keep_exchange(session, error);
        if (result == 0)
            result = billet_session_git_keep(session, error);
        return result < 0 ? result : hand_copy(session, &directory, &facts, error);
    }
    bool with_git = session->travel.git != NULL;
    billet_session_git_end(session);
    /* A later process compares with what is here now. */
    billet_workspace_end(session->travel.workspace);
    session->travel.workspace = NULL;
    result = begin(session, BILLET_BASELINE_TIME, error);
    if (result == 0 && with_git)
        billet_session_git_begin(session);
    if (result == 0)
        result = overlay_in(session, &directory, &facts, error);
    if (result == 0)
        result = billet_session_git_bring_in(session, billet_buffer_text(&directory), error);
    if (result == 0)
        result = billet_session_git_keep(session, error);
    return result < 0 ? result : billet_session_add_facts(session, facts, error);
}

void
billet_travel_forget(const struct billet_context *context, const char *lease)
{
    struct billet_error problem = BILLET_ERROR_INIT;
    cleanup_free char *path = billet_uuid_is_valid(lease) ? place_of(context, lease) : NULL;
    if (path != NULL && billet_tree_remove(path, &problem) < 0)
        billet_log(BILLET_LOG_WARNING, "cannot remove %s: %s", path, problem.message);
    cleanup_free char *gate = NULL;
    if (path != NULL && asprintf(&gate, "%s.gate", path) >= 0)
        unlink(gate);
}

void
billet_session_travel_leave(struct billet_session *session)
{
    if (session->held && session->travel.returned && billet_session_is_far(session))
        billet_far_keep(session);
}

void
billet_session_travel_end(struct billet_session *session, bool ended)
{
    struct billet_travel *travel = &session->travel;
    billet_owners_cancel(billet_steal(travel->owners)); /* it looks at the workspace */
    billet_beside_end(&travel->keeping, NULL);
    billet_beside_end(&travel->baseline, NULL);
    travel->keeping = travel->baseline = (struct billet_beside){0};
    billet_session_git_end(session);
    billet_workspace_end(travel->workspace);
    travel->workspace = NULL;
    if (ended && (travel->directory != NULL || travel->gate_fd > 0))
        billet_travel_forget(session->context, session->lease.lease.id);
    billet_session_gate_open(session);
    billet_filter_free(&travel->filter);
    free(travel->upper);
    free(travel->directory);
    travel->upper = NULL;
    travel->directory = NULL;
}
