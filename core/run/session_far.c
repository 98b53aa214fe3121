/* SPDX-License-Identifier: Apache-2.0 */
#include "run/far.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "run/git.h"
#include "run/session_private.h"
#include "workspace/far.h"
#include "workspace/scan.h"
#include "workspace/tree.h"

#define MANIFEST_MAX (512u << 20)
#define ARGUMENTS_MAX 1024

/* ---- facts ------------------------------------------------------------------------------------
 */

char *
billet_far_fact(const struct billet_session *session, const char *name)
{
    cleanup_json json_t *facts = NULL;
    const char *text = session->lease.lease.facts;
    if (text == NULL || text[0] == '\0' || billet_json_parse(text, strlen(text), &facts, NULL) < 0)
        return strdup("");
    return strdup(billet_json_string(facts, name, ""));
}

int
billet_far_guest(const struct billet_session *session, const char *what, const char *instead,
                 char **guest, struct billet_error *error)
{
    *guest = billet_far_fact(session, "guest");
    cleanup_free char *why = billet_far_fact(session, "guest_missing");
    if (*guest == NULL || why == NULL)
        return billet_error_no_memory(error);
    if ((*guest)[0] == '/')
        return 0;
    billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                     "%s cannot be carried to environment '%s': there is no billet-guest%s%s", what,
                     session->environment.name, why[0] != '\0' ? ": " : "", why);
    return billet_error_hint(error, "'billet env probe %s' tells more; or %s",
                             session->environment.name, instead);
}

/* Where the tree of this environment and workspace is kept there; "" when nowhere. */
static int
name_kept(struct billet_session *session, char **path, struct billet_error *error)
{
    /* Its strings are those of a row that each step of the lease replaces. */
    billet_session_fill_identity(session);
    struct stat status = {0};
    char place[48], name[33];
    unsigned char digest[16];
    crypto_generichash_state state;
    const struct billet_identity *identity = &session->identity;
    const char *parts[] = {identity->deployment, identity->tenant, session->environment.name,
                           session->workspace, place};
    cleanup_free char *trees = billet_far_fact(session, "trees");
    if (trees == NULL)
        return billet_error_no_memory(error);
    if (fstat(session->workspace_fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "workspace %s", session->workspace);
    snprintf(place, sizeof(place), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        crypto_generichash_update(&state, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
    crypto_generichash_final(&state, digest, sizeof(digest));
    sodium_bin2hex(name, sizeof(name), digest, sizeof(digest));
    if (trees[0] != '/')
        *path = strdup("");
    else if (asprintf(path, "%s/%s", trees, name) < 0)
        *path = NULL;
    return *path == NULL ? billet_error_no_memory(error) : 0;
}

/* ---- one subcommand of the guest ---------------------------------------------------------------
 */

struct end {
    billet_far_work *work;
    void *context;
    int fd;
    int result;
    struct billet_error error;
};

static void *
work_on_end(void *argument)
{
    struct end *end = argument;
    end->result = end->work(end->context, end->fd, &end->error);
    /* Who still writes or reads there is not waited for. */
    billet_close(&end->fd);
    return NULL;
}

/* The guest's own words, the last line. */
static int
guest_failed(const struct billet_session *session, const char *verb,
             const struct billet_ending *ending, int said, struct billet_error *error)
{
    static const char name[] = "billet-guest: ";
    char text[600] = "";
    ssize_t got = pread(said, text, sizeof(text) - 1, 0);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == '\r'))
        got--;
    text[got > 0 ? got : 0] = '\0';
    const char *line = strrchr(text, '\n');
    line = line != NULL ? line + 1 : text;
    if (strncmp(line, name, strlen(name)) == 0)
        line += strlen(name);
    const struct billet_signals *signals = session->request->signals;
    if (ending->outcome == BILLET_OUTCOME_CANCELLED ||
        (ending->outcome == BILLET_OUTCOME_SIGNALLED && signals != NULL && signals->count > 0))
        return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                "cancelled while the workspace was carried");
    if (ending->outcome == BILLET_OUTCOME_EXITED && ending->value == 1 && line[0] != '\0')
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_realization_failed",
                                "on the host of environment '%s': %s", session->environment.name,
                                line);
    billet_error_set(error, BILLET_CLASS_LOST, "workspace_realization_failed",
                     "billet-guest %s ended with status %d on the host of environment '%s'%s%s",
                     verb, billet_ending_status(ending), session->environment.name,
                     line[0] != '\0' ? ": " : "", line);
    return billet_error_hint(error, "what is here is as it was; run again");
}

/* What broke off is the other side's story to tell; what was refused here is ours. */
static bool
is_ours(const struct end *end)
{
    return end->result < 0 && end->error.sys_errno != EPIPE &&
           strcmp(end->error.code, "archive_truncated") != 0;
}

static int
conclude(const struct billet_session *session, const char *verb, const struct end ends[2],
         const struct billet_ending *ending, int said, struct billet_error *error)
{
    bool good = ending->outcome == BILLET_OUTCOME_EXITED && ending->value == 0;
    for (int i = 0; i < 2; i++)
        if (is_ours(&ends[i]) || (good && ends[i].result < 0)) {
            *error = ends[i].error;
            return ends[i].result;
        }
    return good ? 0 : guest_failed(session, verb, ending, said, error);
}

int
billet_far_run(struct billet_session *session, const char **argv, billet_far_work *produce,
               billet_far_work *consume, void *context, struct billet_error *error)
{
    cleanup_free char *guest = NULL;
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    struct end ends[2] = {{.work = produce, .context = context, .fd = -1},
                          {.work = consume, .context = context, .fd = -1}};
    pthread_t threads[2];
    bool started[2] = {false, false};
    struct billet_ending ending;
    int result = billet_far_guest(session, "the workspace",
                                  "leave out -w, or set workspace = in_place", &guest, error);
    if (result < 0)
        return result;
    argv[0] = guest;
    cleanup_fd int said = memfd_create("said", MFD_CLOEXEC);
    if (said < 0 || (produce != NULL && pipe2(in, O_CLOEXEC) != 0) ||
        (consume != NULL && pipe2(out, O_CLOEXEC) != 0))
        result = billet_error_errno(error, 0, "internal", errno, "cannot make a pipe");
    ends[0].fd = in[1];
    ends[1].fd = out[0];
    for (int i = 0; result == 0 && i < 2; i++) {
        if (ends[i].work == NULL)
            continue;
        started[i] = pthread_create(&threads[i], NULL, work_on_end, &ends[i]) == 0;
        if (!started[i])
            result =
                billet_error_set(error, BILLET_CLASS_CAPACITY, "internal", "cannot start a thread");
    }
    const struct billet_session_exec exec = {
        .argv = argv, .directory = "/", .fds = {in[0], out[1], said}, .status_fd = -1, .own = true};
    if (result == 0)
        result = billet_session_drive(session, &exec, true, &ending, error);
    billet_close(&in[0]);
    billet_close(&out[1]);
    for (int i = 0; i < 2; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    billet_close(&ends[0].fd);
    billet_close(&ends[1].fd);
    return result < 0 ? result : conclude(session, argv[1], ends, &ending, said, error);
}

/* ---- what is there ----------------------------------------------------------------------------
 */

static int
read_manifest(void *context, int fd, struct billet_error *error)
{
    return billet_io_read_all(fd, context, MANIFEST_MAX, error);
}

/* A repository that an earlier run left there is git's to bring up to date. */
static void
drop_repository(struct billet_manifest *manifest)
{
    size_t kept = 0;
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->entries[i].path, ".git") != 0 &&
            strncmp(manifest->entries[i].path, ".git/", 5) != 0)
            manifest->entries[kept++] = manifest->entries[i];
    manifest->count = kept;
}

/* before: a verb of the guest that shows a directory and does something first, with its words. */
static int
look(struct billet_session *session, const char *const before[2], const char *directory,
     bool filtered, struct billet_manifest *manifest, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    const struct billet_filter *filter = &session->travel.filter;
    const struct billet_strings *exclude = &session->environment.workspace_exclude;
    const char *argv[ARGUMENTS_MAX + 6] = {NULL, before[0]};
    size_t count = 2;
    char flags[16];
    snprintf(flags, sizeof(flags), "%u", filter->flags);
    if (before[1] != NULL)
        argv[count++] = before[1];
    argv[count++] = directory;
    if (filtered) {
        argv[count++] = flags;
        for (size_t i = 0; i < exclude->count && i < ARGUMENTS_MAX; i++)
            argv[count++] = exclude->items[i];
    }
    int result = billet_far_run(session, argv, NULL, read_manifest, &bytes, error);
    if (result == 0)
        result = billet_manifest_decode(bytes.data, bytes.length, &billet_limits_default, manifest,
                                        error);
    if (result == 0 && billet_session_git_travels(session))
        drop_repository(manifest);
    return result;
}

static const char *const only_look[2] = {"manifest", NULL};

/* ---- in ----------------------------------------------------------------------------------------
 */

struct sending {
    struct billet_far_send send;
    struct billet_copy_result done;
};

static int
write_changes(void *context, int fd, struct billet_error *error)
{
    struct sending *sending = context;
    return billet_far_write(&sending->send, fd, &sending->done, error);
}

static int
send_tree(struct billet_session *session, const char *directory,
          const struct billet_manifest *target, const struct billet_manifest *there,
          struct billet_error *error)
{
    const char *argv[] = {NULL, "receive", directory, NULL};
    struct sending sending = {.send = {.root = billet_workspace_root(session->travel.workspace),
                                       .target = target,
                                       .there = there,
                                       .progress = session->request->progress,
                                       .progress_context = session->request->progress_context}};
    int result = billet_far_differs(&sending.send)
                     ? billet_far_run(session, argv, write_changes, NULL, &sending, error)
                     : 0;
    session->travel.sent_files = sending.done.files;
    session->travel.sent_bytes = sending.done.bytes;
    return result;
}

int
billet_far_bring_in(struct billet_session *session, const char *directory,
                    struct billet_error *error)
{
    cleanup_manifest struct billet_manifest there = BILLET_MANIFEST_INIT;
    cleanup_free char *kept = NULL;
    int result = name_kept(session, &kept, error);
    const char *const take[2] = {"take", kept};
    if (result == 0)
        result = look(session, kept[0] != '\0' ? take : only_look, directory, false, &there, error);
    if (result == 0)
        result = billet_session_travel_await(session, error);
    return result < 0
               ? result
               : send_tree(session, directory, billet_workspace_baseline(session->travel.workspace),
                           &there, error);
}

/* ---- back --------------------------------------------------------------------------------------
 */

struct receiving {
    struct billet_workspace *workspace;
    struct billet_buffer wanted;
};

static int
write_wanted(void *context, int fd, struct billet_error *error)
{
    struct receiving *receiving = context;
    return billet_io_write_all(fd, receiving->wanted.data, receiving->wanted.length, error);
}

static int
read_archive(void *context, int fd, struct billet_error *error)
{
    struct receiving *receiving = context;
    return billet_workspace_receive(receiving->workspace, fd, BILLET_RECEIVE_CHANGES, error);
}

int
billet_far_collect(struct billet_session *session, struct billet_error *error)
{
    struct billet_workspace *workspace = session->travel.workspace;
    cleanup_manifest struct billet_manifest now = BILLET_MANIFEST_INIT;
    cleanup_buffer struct billet_buffer gone = BILLET_BUFFER_INIT;
    cleanup_free char *directory = billet_far_fact(session, "directory");
    struct receiving receiving = {.workspace = workspace, .wanted = BILLET_BUFFER_INIT};
    const char *argv[] = {NULL, "send", directory, NULL};
    if (directory == NULL)
        return billet_error_no_memory(error);
    const char *const end[2] = {"end", session->lease.lease.id};
    int result = look(session, end, directory, true, &now, error);
    if (result == 0)
        result = billet_far_compare(billet_workspace_baseline(workspace), &now, &receiving.wanted,
                                    &gone, error);
    if (result == 0 && receiving.wanted.length > 0)
        result = billet_far_run(session, argv, write_wanted, read_archive, &receiving, error);
    for (size_t at = 0; result == 0 && at < gone.length; at += strlen(gone.data + at) + 1)
        result = billet_workspace_deleted(workspace, gone.data + at, strlen(gone.data + at), error);
    billet_buffer_free(&receiving.wanted);
    return result;
}

/* ---- held --------------------------------------------------------------------------------------
 */

/* Both sides at once. */
struct looking {
    struct billet_session *session;
    struct billet_manifest here;
};

static int
look_here(void *context, struct billet_error *error)
{
    struct looking *looking = context;
    struct billet_travel *travel = &looking->session->travel;
    const struct billet_scan scan = {.filter = &travel->filter, .hash = BILLET_HASH_RACY};
    return billet_scan(billet_workspace_root(travel->workspace), &scan, &looking->here, NULL,
                       error);
}

static int
look_at_both(struct looking *looking, const char *const before[2], bool filtered,
             struct billet_manifest *there, struct billet_error *error)
{
    struct billet_beside beside = {0};
    cleanup_free char *directory = billet_far_fact(looking->session, "directory");
    if (directory == NULL)
        return billet_error_no_memory(error);
    billet_beside_begin(&beside, look_here, looking);
    int result = look(looking->session, before, directory, filtered, there, error);
    int here = billet_beside_end(&beside, result == 0 ? error : NULL);
    return result < 0 ? result : here;
}

int
billet_far_exchange(struct billet_session *session, struct billet_manifest *both,
                    struct billet_error *error)
{
    struct looking looking = {session, BILLET_MANIFEST_INIT};
    cleanup_manifest struct billet_manifest there = BILLET_MANIFEST_INIT;
    int result = look_at_both(&looking, only_look, true, &there, error);
    if (result == 0)
        result = billet_tree_combine(&looking.here, &there, NULL, both, error);
    billet_manifest_free(&looking.here);
    return result;
}

int
billet_far_push(struct billet_session *session, struct billet_manifest *both,
                struct billet_report *report, struct billet_error *error)
{
    struct looking looking = {session, BILLET_MANIFEST_INIT};
    cleanup_manifest struct billet_manifest there = BILLET_MANIFEST_INIT;
    cleanup_manifest struct billet_manifest target = BILLET_MANIFEST_INIT;
    const struct billet_manifest *was = billet_workspace_baseline(session->travel.workspace);
    cleanup_free char *directory = billet_far_fact(session, "directory");
    const char *const end[2] = {"end", session->lease.lease.id};
    int result = directory == NULL ? billet_error_no_memory(error)
                                   : look_at_both(&looking, end, false, &there, error);
    if (result == 0)
        result = billet_tree_choose(&looking.here, &there, was, &target, report, error);
    if (result == 0)
        result = send_tree(session, directory, &target, &there, error);
    if (result == 0)
        result = billet_tree_combine(&looking.here, &target, was, both, error);
    billet_manifest_free(&looking.here);
    return result;
}

/* ---- kept --------------------------------------------------------------------------------------
 */

void
billet_far_keep(struct billet_session *session)
{
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_free char *kept = NULL;
    cleanup_free char *directory = billet_far_fact(session, "directory");
    int result = directory == NULL ? -1 : name_kept(session, &kept, &error);
    const char *argv[] = {NULL, "keep", directory, kept, NULL};
    if (result == 0 && kept[0] != '\0' && directory[0] == '/')
        result = billet_far_run(session, argv, NULL, NULL, NULL, &error);
    if (result < 0)
        billet_log(BILLET_LOG_INFO, "the copy of the workspace is not kept for the next run: %s",
                   error.message);
}
