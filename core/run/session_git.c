/* SPDX-License-Identifier: Apache-2.0 */
#include "run/git.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "run/session_private.h"
#include "workspace/git.h"

#define COMMAND_NS (600 * BILLET_NS_PER_SECOND)
#define KEPT_NAME "git" /* in STATE/travel/LEASE */

struct billet_run_git_reading {
    struct billet_git_options options;
    struct billet_git *git;
    char lease[40];
    char why[160];
    struct billet_error error;
    int result;
    pthread_t thread;
    bool running;
};

static bool
is_overlay(const struct billet_session *session)
{
    return session->workspace_mode == BILLET_WORKSPACE_OVERLAY;
}

/* ---- begin ------------------------------------------------------------------------------ */

static void *
read_repository(void *argument)
{
    struct billet_run_git_reading *reading = argument;
    reading->result =
        billet_git_begin(&reading->options, &reading->git, reading->why, &reading->error);
    return NULL;
}

static struct billet_run_git_reading *
new_reading(const struct billet_session *session)
{
    struct billet_run_git_reading *reading = calloc(1, sizeof(*reading));
    struct billet_workspace *workspace = session->travel.workspace;
    if (reading == NULL)
        return NULL;
    reading->error = (struct billet_error)BILLET_ERROR_INIT;
    billet_text_copy(reading->lease, sizeof(reading->lease), session->lease_id);
    reading->options = (struct billet_git_options){
        .root = billet_workspace_root(workspace),
        .state_fd = billet_workspace_state_fd(workspace),
        .lease = reading->lease,
    };
    return reading;
}

static void
set_note(struct billet_session *session, const char *text)
{
    billet_text_copy(session->travel.git_note, sizeof(session->travel.git_note), text);
}

void
billet_session_git_begin(struct billet_session *session)
{
    struct billet_travel *travel = &session->travel;
    struct stat status;
    if (!session->environment.workspace_git || travel->reading != NULL ||
        billet_root_stat(billet_workspace_root(travel->workspace), ".git", &status) < 0)
        return;
    travel->reading = new_reading(session);
    if (travel->reading == NULL)
        return;
    travel->reading->running =
        pthread_create(&travel->reading->thread, NULL, read_repository, travel->reading) == 0;
    if (!travel->reading->running)
        set_note(session, "no thread can be started");
}

/* travel.git, when the repository can travel. */
static void
take_reading(struct billet_session *session, struct billet_run_git_reading *reading)
{
    session->travel.git = reading->git;
    if (reading->result != 1)
        set_note(session, reading->result < 0 ? reading->error.message : reading->why);
}

static void
await_reading(struct billet_session *session)
{
    struct billet_run_git_reading *reading = session->travel.reading;
    if (reading == NULL || !reading->running)
        return;
    pthread_join(reading->thread, NULL);
    reading->running = false;
    take_reading(session, reading);
}

bool
billet_session_git_travels(struct billet_session *session)
{
    await_reading(session);
    return session->travel.git != NULL;
}

static void
drop(struct billet_session *session)
{
    billet_git_end(session->travel.git);
    session->travel.git = NULL;
    free(session->travel.reading); /* the options of git point into it */
    session->travel.reading = NULL;
}

/* ---- commands there ----------------------------------------------------------------------- */

/* billet_git_exec */
static int
run_there(void *context, const char *const *argv, const int fds[3], int *status,
          struct billet_error *error)
{
    struct billet_session *session = context;
    struct billet_ending ending;
    const struct billet_session_exec exec = {.argv = argv,
                                             .directory = "/",
                                             .fds = {fds[0], fds[1], fds[2]},
                                             .timeout_ns = COMMAND_NS,
                                             .status_fd = -1,
                                             .own = true};
    int result = billet_session_drive(session, &exec, true, &ending, error);
    if (result < 0)
        return result;
    if (ending.outcome == BILLET_OUTCOME_CANCELLED)
        return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                "cancelled while the repository was carried");
    if (ending.outcome == BILLET_OUTCOME_TIMED_OUT)
        return billet_error_set(error, BILLET_CLASS_TIMEOUT, "git_failed",
                                "git in the environment did not end within %d seconds",
                                (int)(COMMAND_NS / BILLET_NS_PER_SECOND));
    *status = billet_ending_status(&ending);
    return 0;
}

static struct billet_git_far
far_side(struct billet_session *session, const char *directory)
{
    return (struct billet_git_far){.exec = run_there, .context = session, .directory = directory};
}

/* ---- in ----------------------------------------------------------------------------------- */

/* Why the repository that an overlay shows is not treated as one. */
static const char *
overlay_obstacle(const struct billet_session *session)
{
    if (billet_git_is_linked(session->travel.git))
        return "a linked work tree's repository lies outside it; with workspace = copy its history "
               "travels";
    return NULL;
}

/* An ordinary user's overlay cannot copy up what another user owns, and its .git is to be covered.
 * Nobody asks when the mode was free: then it is no overlay (session_travel.c). */
static int
refuse_foreign(const struct billet_session *session, struct billet_error *error)
{
    struct stat status;
    if (geteuid() == 0 ||
        billet_root_stat(billet_workspace_root(session->travel.workspace), ".git", &status) < 0 ||
        status.st_uid == geteuid())
        return 0;
    billet_error_set(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                     "its repository belongs to another user (uid %u), whose files an overlay of "
                     "yours cannot change",
                     (unsigned)status.st_uid);
    return billet_error_hint(error, "use --workspace-mode copy, or workspace_git = no to leave the "
                                    "repository as it is");
}

/* From here on .git is no file that comes back. */
static void
guard(struct billet_session *session)
{
    session->travel.filter.flags |= BILLET_FILTER_OWN_GIT;
}

static int
send_history(struct billet_session *session, const struct billet_git_far *far,
             struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    int sent = billet_git_send(travel->git, far, billet_workspace_baseline(travel->workspace),
                               &travel->git_sent, error);
    if (sent == 0) {
        set_note(session, "the environment has no git");
        drop(session);
    }
    return sent;
}

int
billet_session_git_bring_in(struct billet_session *session, const char *directory,
                            struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    const struct billet_git_far far = far_side(session, directory);
    await_reading(session);
    const char *obstacle =
        travel->git != NULL && is_overlay(session) ? overlay_obstacle(session) : NULL;
    if (obstacle != NULL) {
        set_note(session, obstacle);
        drop(session);
    }
    int result = 0;
    if (travel->git != NULL && is_overlay(session)) {
        result = refuse_foreign(session, error);
        if (result < 0)
            return result;
        result = billet_git_cover(travel->git, &far, error);
        guard(session);
    } else if (travel->git != NULL) {
        result = send_history(session, &far, error);
    }
    if (result < 0) {
        billet_error_hint(error, "with workspace_git = no the files travel without history");
        return billet_error_wrap(error, "the repository cannot be brought there");
    }
    if (travel->git_note[0] != '\0')
        billet_log(is_overlay(session) ? BILLET_LOG_INFO : BILLET_LOG_WARNING,
                   "the history of the workspace does not travel: %s", travel->git_note);
    return 0;
}

/* ---- held --------------------------------------------------------------------------------- */

static char *
kept_path(const struct billet_session *session)
{
    char *path = NULL;
    return asprintf(&path, "%s/travel/%s/" KEPT_NAME, session->context->state_directory,
                    session->lease_id) < 0
               ? NULL
               : path;
}

int
billet_session_git_take_up(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    cleanup_free char *path = kept_path(session);
    if (path == NULL)
        return billet_error_no_memory(error);
    if (access(path, F_OK) != 0)
        return 0; /* it did not travel */
    travel->reading = new_reading(session);
    if (travel->reading == NULL)
        return billet_error_no_memory(error);
    read_repository(travel->reading);
    take_reading(session, travel->reading);
    guard(session);
    return travel->git != NULL ? billet_git_recall(travel->git, path, error) : 0;
}

int
billet_session_git_keep(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    cleanup_free char *path = kept_path(session);
    if (travel->git == NULL)
        return 0;
    int result = billet_session_make_place(session, error);
    if (result == 0 && path == NULL)
        result = billet_error_no_memory(error);
    return result < 0 ? result : billet_git_keep(travel->git, path, error);
}

int
billet_session_git_push(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    if (travel->git == NULL || is_overlay(session))
        return 0;
    const struct billet_git_far far = far_side(session, session->lease.lease.directory);
    int result = billet_git_is_unmoved(travel->git, &far, error);
    if (result == 0) {
        set_note(session, "there are commits or staged changes there: 'billet pull' comes first");
        return 0;
    }
    if (result > 0)
        result = send_history(session, &far, error);
    return result < 0 ? result : billet_session_git_keep(session, error);
}

/* ---- back --------------------------------------------------------------------------------- */

static int
before_files(void *context, struct billet_error *error)
{
    struct billet_travel *travel = context;
    struct billet_error problem = BILLET_ERROR_INIT;
    (void)error;
    /* The files come back without it. */
    if (billet_git_commit(travel->git, &problem) < 0)
        travel->git_error = problem;
    return 0;
}

static void
after_files(void *context)
{
    struct billet_travel *travel = context;
    billet_git_settle(travel->git);
}

/* The upper directory has nothing of the repository but the settings that cover put there. */
static bool
is_untouched(const struct billet_travel *travel)
{
    cleanup_free char *path = NULL;
    const struct dirent *item;
    bool untouched = true;
    if (travel->upper == NULL || asprintf(&path, "%s/.git", travel->upper) < 0)
        return false;
    cleanup_dir DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT;
    while (untouched && (item = readdir(directory)) != NULL)
        untouched = item->d_name[0] == '.' || strcmp(item->d_name, "config") == 0;
    return untouched;
}

void
billet_session_git_receive(struct billet_session *session)
{
    struct billet_travel *travel = &session->travel;
    const struct billet_workspace_companion companion = {before_files, after_files, travel};
    if (travel->git == NULL || travel->stopped || (is_overlay(session) && is_untouched(travel)))
        return;
    const char *directory = session->lease.lease.directory;
    const struct billet_git_far far = far_side(session, directory != NULL ? directory : "");
    int result = billet_git_receive(travel->git, &far, &travel->git_error);
    if (result > 0)
        billet_workspace_accompany(travel->workspace, &companion);
}

int
billet_session_git_conclude(struct billet_session *session, struct billet_error *error)
{
    struct billet_travel *travel = &session->travel;
    if (travel->git == NULL)
        return 0;
    if (travel->git_error.error_class == 0) {
        billet_git_renew(travel->git);
        return 0;
    }
    *error = travel->git_error;
    billet_error_wrap(error, "the files came back, the history did not");
    return -error->error_class;
}

/* ---- the end ------------------------------------------------------------------------------ */

void
billet_session_git_tell(struct billet_session *session, struct billet_run_git *result)
{
    struct billet_travel *travel = &session->travel;
    billet_text_copy(result->note, sizeof(result->note), travel->git_note);
    result->sent_objects = travel->git_sent;
    result->travels = travel->git != NULL;
    if (travel->git != NULL)
        billet_git_report_take(travel->git, &result->report);
}

void
billet_session_git_end(struct billet_session *session)
{
    await_reading(session);
    drop(session);
}
