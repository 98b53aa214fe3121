/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "workspace/apply.h"
#include "workspace/git.h"
#include "workspace/journal.h"
#include "workspace/lock.h"
#include "workspace/merge.h"
#include "workspace/overlay.h"
#include "workspace/path.h"
#include "workspace/scan.h"
#include "workspace/stage.h"
#include "workspace/tree.h"

#define BASELINE_MAX (512u << 20)
#define SYNC_EACH_MOST 16u /* so many files are synced one by one, more by syncfs */

struct billet_workspace {
    struct billet_workspace_options options;
    struct billet_limits limits;
    char tag[16];
    struct billet_root root;
    struct billet_workspace_lock lock;
    struct billet_manifest baseline;
    bool has_baseline;
    int64_t since_ns;
    size_t nameless;
    struct billet_stage stage;
    struct billet_changes changes;
    bool whole_tree; /* what was received is a tree, to be compared with the baseline */
    bool received;
    struct billet_plan plan;
    bool planned; /* the journal exists */
    struct billet_report recovery;
    struct billet_report arrival; /* what was left out while it was received */
    struct billet_workspace_companion companion;
    struct billet_git_report git_recovery;
    bool git_recovered;
};

static int
forget_journal(struct billet_workspace *workspace, struct billet_error *error)
{
    if (unlinkat(workspace->lock.directory_fd, "journal", 0) != 0 && errno != ENOENT)
        return billet_error_errno(error, 0, "io_failed", errno, "journal of the workspace");
    return 0;
}

/* What lies staged without a journal belongs to a run that died before it changed anything. */
static void
sweep_stage(struct billet_workspace *workspace)
{
    cleanup_buffer struct billet_buffer name = BILLET_BUFFER_INIT;
    struct billet_stage stage;
    int state = workspace->lock.directory_fd;
    unlinkat(state, "stage.new", 0);
    unlinkat(state, "journal.new", 0);
    unlinkat(state, "manifest.new", 0);
    if (billet_journal_read(state, "stage", &name, NULL) <= 0)
        return;
    const char *text = billet_buffer_text(&name);
    if (strncmp(text, BILLET_PATH_RESERVED, strlen(BILLET_PATH_RESERVED)) == 0 &&
        strchr(text, '/') == NULL)
        for (int inside = 0; inside < 2; inside++)
            if (billet_stage_reopen(&stage, &workspace->root, state, text, inside == 1, NULL) == 0)
                billet_stage_discard(&stage);
    unlinkat(state, "stage", 0);
}

/* Complete the run that was interrupted in its apply. */
static int
recover(struct billet_workspace *workspace, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    struct billet_journal journal;
    struct billet_plan plan = BILLET_PLAN_INIT;
    struct billet_stage stage = BILLET_STAGE_INIT;
    int state = workspace->lock.directory_fd;
    int result = billet_journal_read(state, "journal", &bytes, error);
    if (result == 0)
        workspace->git_recovered =
            billet_git_resume(&workspace->root, state, false, &workspace->git_recovery) > 0;
    if (result <= 0)
        return result;
    result = billet_journal_decode(bytes.data, bytes.length, &journal, &plan, error);
    if (result == 0)
        result = billet_stage_reopen(&stage, &workspace->root, state, journal.stage_name,
                                     journal.in_workspace, error);
    if (result < 0) {
        /* It cannot be completed: say so once, keep it to be looked at. */
        billet_plan_free(&plan);
        renameat(state, "journal", state, "journal.lost");
        billet_error_recode(error, "workspace_journal");
        billet_error_hint(error, "an interrupted run cannot be completed; look at the workspace, "
                                 "then run again");
        return billet_error_wrap(error, "workspace %s", workspace->options.directory);
    }
    struct billet_apply apply = {
        .root = &workspace->root, .stage = &stage, .tag = journal.tag, .again = true};
    result = billet_apply(&apply, &plan, &workspace->recovery, error);
    workspace->recovery.recovered = true;
    if (result == 0)
        workspace->git_recovered =
            billet_git_resume(&workspace->root, state, true, &workspace->git_recovery) > 0;
    if (result == 0)
        result = forget_journal(workspace, error);
    if (result == 0)
        billet_stage_discard(&stage);
    else
        billet_stage_close(&stage);
    billet_plan_free(&plan);
    return result < 0 ? billet_error_wrap(error, "completing an interrupted run") : 0;
}

/* A moment on the file system's clock, later than the end of the last run. */
static int
take_moment(struct billet_workspace *workspace, struct billet_error *error)
{
    struct stat before;
    struct stat now;
    cleanup_fd int fd = openat(workspace->lock.directory_fd, "moment",
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &before) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "state of the workspace");
    int64_t earlier = billet_stat_mtime(&before);
    for (int i = 0; i < 50; i++) {
        if (futimens(fd, NULL) != 0 || fstat(fd, &now) != 0)
            return billet_error_errno(error, 0, "io_failed", errno, "state of the workspace");
        if (billet_stat_mtime(&now) != earlier)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    /* What has this very time may have been written before; see billet_workspace_settle. */
    workspace->since_ns = billet_stat_mtime(&now) + 1;
    return 0;
}

static int
scan_baseline(struct billet_workspace *workspace, struct billet_error *error)
{
    bool hash = workspace->options.baseline == BILLET_BASELINE_HASH;
    struct billet_manifest earlier = BILLET_MANIFEST_INIT;
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    struct billet_scan scan = {
        .filter = workspace->options.filter,
        .limits = &workspace->limits,
        .hash = hash ? BILLET_HASH_ALL : BILLET_HASH_RACY,
    };
    int state = workspace->lock.directory_fd;
    /* A kept manifest that cannot be used costs time, not the run. */
    if (hash && billet_journal_read(state, "manifest", &bytes, NULL) > 0 &&
        billet_manifest_decode(bytes.data, bytes.length, &workspace->limits, &earlier, NULL) == 0)
        scan.earlier = &earlier;
    int result =
        billet_scan(&workspace->root, &scan, &workspace->baseline, &workspace->nameless, error);
    billet_manifest_free(&earlier);
    workspace->has_baseline = result == 0;
    if (result < 0 || !hash)
        return result;
    bytes.length = 0;
    result = billet_manifest_encode(&workspace->baseline, BILLET_MANIFEST_LOCAL, &bytes, error);
    if (result == 0)
        result = billet_journal_write(state, "manifest", &bytes, false, error);
    return result;
}

int
billet_workspace_resume(struct billet_workspace *workspace, int64_t since_ns, const char *path,
                        struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    if (path == NULL) {
        workspace->since_ns = since_ns;
        return 0;
    }
    billet_manifest_free(&workspace->baseline);
    workspace->baseline = (struct billet_manifest)BILLET_MANIFEST_INIT;
    int result = billet_io_read_file(path, &bytes, BASELINE_MAX, error);
    if (result == 0)
        result = billet_manifest_decode(bytes.data, bytes.length, &workspace->limits,
                                        &workspace->baseline, error);
    workspace->has_baseline = result == 0;
    return result;
}

int
billet_workspace_keep(const struct billet_workspace *workspace, const char *path,
                      struct billet_error *error)
{
    return billet_workspace_keep_manifest(&workspace->baseline, path, error);
}

int
billet_workspace_keep_manifest(const struct billet_manifest *manifest, const char *path,
                               struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    int result = billet_manifest_encode(manifest, BILLET_MANIFEST_LOCAL, &bytes, error);
    return result < 0 ? result
                      : billet_io_replace_file(path, bytes.data, bytes.length, 0600, error);
}

int
billet_workspace_scan(struct billet_workspace *workspace, struct billet_error *error)
{
    return workspace->has_baseline ? 0 : scan_baseline(workspace, error);
}

int64_t
billet_workspace_since(const struct billet_workspace *workspace)
{
    return workspace->since_ns;
}

void
billet_workspace_settle(const struct billet_workspace *workspace)
{
    struct stat now;
    cleanup_fd int fd =
        openat(workspace->lock.directory_fd, "moment", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 50 && futimens(fd, NULL) == 0 && fstat(fd, &now) == 0 &&
                    billet_stat_mtime(&now) < workspace->since_ns;
         i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void
billet_workspace_set_tag(struct billet_workspace *workspace, const char *tag)
{
    /* UUIDv7 begins with the time; its end tells leases of one minute apart. */
    size_t length = strlen(tag);
    memset(workspace->tag, 0, sizeof(workspace->tag));
    memcpy(workspace->tag, tag + (length > 8 ? length - 8 : 0), length > 8 ? 8 : length);
    for (char *c = workspace->tag; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 0x21 || *c == 0x7f)
            *c = '_';
}

int
billet_workspace_begin(const struct billet_workspace_options *options,
                       struct billet_workspace **made, struct billet_error *error)
{
    struct billet_workspace *workspace = calloc(1, sizeof(*workspace));
    if (workspace == NULL)
        return billet_error_no_memory(error);
    workspace->options = *options;
    workspace->limits = options->limits != NULL ? *options->limits : billet_limits_default;
    workspace->root.fd = -1;
    workspace->lock = (struct billet_workspace_lock)BILLET_WORKSPACE_LOCK_INIT;
    workspace->stage = (struct billet_stage)BILLET_STAGE_INIT;
    billet_workspace_set_tag(workspace, options->tag);
    int result = billet_root_open(&workspace->root, options->directory, error);
    if (result == 0)
        result = billet_workspace_lock(&workspace->lock, &workspace->root, options->state_directory,
                                       options->lock_deadline_ns, error);
    if (result == 0)
        result = recover(workspace, error);
    if (result == 0) {
        sweep_stage(workspace);
        result = take_moment(workspace, error);
    }
    if (result == 0 && options->baseline != BILLET_BASELINE_TIME)
        result = scan_baseline(workspace, error);
    if (result < 0) {
        billet_workspace_end(workspace);
        return result;
    }
    *made = workspace;
    return 0;
}

const struct billet_root *
billet_workspace_root(const struct billet_workspace *workspace)
{
    return &workspace->root;
}

const struct billet_manifest *
billet_workspace_baseline(const struct billet_workspace *workspace)
{
    return workspace->has_baseline ? &workspace->baseline : NULL;
}

size_t
billet_workspace_nameless(const struct billet_workspace *workspace)
{
    return workspace->nameless;
}

const struct billet_report *
billet_workspace_recovery(const struct billet_workspace *workspace)
{
    return workspace->recovery.recovered ? &workspace->recovery : NULL;
}

void
billet_workspace_accompany(struct billet_workspace *workspace,
                           const struct billet_workspace_companion *companion)
{
    workspace->companion = *companion;
}

int
billet_workspace_state_fd(const struct billet_workspace *workspace)
{
    return workspace->lock.directory_fd;
}

const struct billet_git_report *
billet_workspace_git_recovery(const struct billet_workspace *workspace)
{
    return workspace->git_recovered ? &workspace->git_recovery : NULL;
}

static int
need_baseline(const struct billet_workspace *workspace, struct billet_error *error)
{
    return workspace->has_baseline
               ? 0
               : billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                  "workspace: this needs the baseline of a scan");
}

/* --- out ------------------------------------------------------------------------------------ */

static bool
is_there(const struct billet_manifest *there, const struct billet_entry *entry)
{
    const struct billet_entry *old =
        there != NULL ? billet_manifest_find(there, entry->path, entry->path_length) : NULL;
    if (old == NULL || old->type != entry->type)
        return false;
    if (entry->type == BILLET_ENTRY_FILE && !(old->hashed && entry->hashed))
        return (old->mode & 0755) == (entry->mode & 0755) && old->size == entry->size &&
               old->mtime_ns == entry->mtime_ns;
    if (entry->type == BILLET_ENTRY_FILE)
        return (old->mode & 0755) == (entry->mode & 0755) &&
               memcmp(old->hash, entry->hash, sizeof(entry->hash)) == 0;
    return entry->type == BILLET_ENTRY_DIRECTORY ? (old->mode & 0755) == (entry->mode & 0755)
                                                 : billet_entry_same(old, entry);
}

static int
tell(const struct billet_workspace *workspace, uint64_t done, uint64_t total,
     struct billet_error *error)
{
    const struct billet_workspace_options *options = &workspace->options;
    if (options->progress != NULL && options->progress(options->progress_context, done, total) < 0)
        return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                "the transfer was stopped");
    return 0;
}

static int
send_entry(struct billet_workspace *workspace, struct billet_archive_writer *writer,
           const struct billet_entry *entry, struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    if (entry->type != BILLET_ENTRY_FILE)
        return billet_archive_begin(writer, entry, error);
    uint64_t before = billet_archive_written(writer);
    int result = billet_archive_put_file(writer, &workspace->root, entry, &own);
    /* What went away before anything of it was written is just not there. */
    if (result < 0 && strcmp(own.code, "workspace_changed") == 0 &&
        billet_archive_written(writer) == before)
        return 0;
    if (result < 0 && error != NULL)
        *error = own;
    return result;
}

int
billet_workspace_send(struct billet_workspace *workspace, const struct billet_manifest *there,
                      int fd, uint64_t *sent_bytes, struct billet_error *error)
{
    struct billet_archive_writer *writer = NULL;
    const struct billet_manifest *baseline = &workspace->baseline;
    uint64_t total = 0;
    uint64_t done = 0;
    int result = need_baseline(workspace, error);
    if (result == 0)
        result = billet_archive_writer_new(fd, &writer, error);
    for (size_t i = 0; result == 0 && workspace->options.progress != NULL && i < baseline->count;
         i++)
        if (!is_there(there, &baseline->entries[i]))
            total += baseline->entries[i].size;
    for (size_t i = 0; result == 0 && i < baseline->count; i++) {
        const struct billet_entry *entry = &baseline->entries[i];
        if (entry->type == BILLET_ENTRY_OTHER || is_there(there, entry))
            continue;
        result = send_entry(workspace, writer, entry, error);
        done += entry->size;
        if (result == 0)
            result = tell(workspace, done, total, error);
    }
    if (result == 0)
        result = billet_archive_finish(writer, error);
    if (result == 0 && sent_bytes != NULL)
        *sent_bytes = billet_archive_written(writer);
    billet_archive_writer_free(writer);
    return result;
}

int
billet_workspace_copy(struct billet_workspace *workspace, const char *directory,
                      struct billet_copy_result *done, struct billet_error *error)
{
    struct billet_root to = BILLET_ROOT_INIT;
    struct billet_manifest there = BILLET_MANIFEST_INIT;
    /* A repository that is there is git's, not a leftover, unless it is to travel as files. */
    static const struct billet_filter all = {
        {0}, {0}, BILLET_FILTER_WITH_IGNORED | BILLET_FILTER_WITH_HEAVY};
    const struct billet_filter *filter = workspace->options.filter;
    bool plain_git = filter == NULL || (filter->flags & BILLET_FILTER_WITH_GIT) != 0;
    struct billet_scan scan = {
        .filter = plain_git ? NULL : &all, .limits = &workspace->limits, .hash = BILLET_HASH_NONE};
    int result = need_baseline(workspace, error);
    if (result == 0)
        result = billet_root_open(&to, directory, error);
    if (result == 0)
        result = billet_scan(&to, &scan, &there, NULL, error);
    struct billet_copy copy = {.from = &workspace->root,
                               .manifest = &workspace->baseline,
                               .to = &to,
                               .there = there.count > 0 ? &there : NULL};
    if (result == 0)
        result = billet_copy_tree(&copy, done, error);
    billet_manifest_free(&there);
    billet_root_close(&to);
    return result;
}

/* --- back ----------------------------------------------------------------------------------- */

static int
open_stage(struct billet_workspace *workspace, struct billet_error *error)
{
    if (workspace->stage.fd >= 0)
        return workspace->received ? billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                                      "workspace: received twice")
                                   : 0;
    char name[48];
    cleanup_buffer struct billet_buffer note = BILLET_BUFFER_INIT;
    billet_stage_make_name(name, workspace->tag);
    billet_buffer_add(&note, name);
    if (note.failed)
        return billet_error_no_memory(error);
    int result = billet_journal_write(workspace->lock.directory_fd, "stage", &note, false, error);
    if (result == 0)
        result = billet_stage_open(&workspace->stage, &workspace->root,
                                   workspace->lock.directory_fd, name, error);
    return result;
}

/* A failed receive leaves nothing behind. */
static int
drop_stage(struct billet_workspace *workspace, int result)
{
    int saved = errno;
    billet_stage_discard(&workspace->stage);
    billet_changes_free(&workspace->changes);
    unlinkat(workspace->lock.directory_fd, "stage", 0);
    workspace->stage = (struct billet_stage)BILLET_STAGE_INIT;
    errno = saved;
    return result;
}

int
billet_workspace_receive(struct billet_workspace *workspace, int fd, unsigned flags,
                         struct billet_error *error)
{
    struct billet_archive_reader *reader = NULL;
    bool whole = (flags & BILLET_RECEIVE_CHANGES) == 0;
    int result = whole ? need_baseline(workspace, error) : 0;
    if (result == 0)
        result = open_stage(workspace, error);
    if (result == 0)
        result = billet_archive_reader_fd(
            fd, &workspace->limits, (flags & BILLET_RECEIVE_DOT) != 0 ? BILLET_ARCHIVE_DOT : 0,
            &reader, error);
    if (result == 0)
        result = billet_stage_receive(&workspace->stage, reader, &workspace->limits,
                                      whole ? &workspace->baseline : NULL, error);
    billet_archive_reader_free(reader);
    const struct billet_manifest *staged = &workspace->stage.manifest;
    for (size_t i = 0; result == 0 && !whole && i < staged->count; i++)
        if (!staged->entries[i].racy)
            result = billet_changes_put(&workspace->changes, &staged->entries[i], error);
    if (result < 0)
        return drop_stage(workspace, result);
    workspace->received = true;
    workspace->whole_tree = whole;
    return 0;
}

void
billet_workspace_receive_anew(struct billet_workspace *workspace)
{
    workspace->received = false;
    if (workspace->stage.fd >= 0)
        drop_stage(workspace, 0);
    billet_changes_free(&workspace->changes);
}

int
billet_workspace_deleted(struct billet_workspace *workspace, const char *path, size_t length,
                         struct billet_error *error)
{
    int result = billet_path_check(path, length, &workspace->limits, error);
    return result < 0 ? result : billet_changes_delete(&workspace->changes, path, length, error);
}

/* One file or link of a copy that differs. */
static int
take_from_copy(struct billet_workspace *workspace, const struct billet_root *from,
               const struct billet_entry *entry, struct billet_error *error)
{
    const char *leaf;
    cleanup_fd int parent = billet_root_parent(from, entry->path, &leaf);
    if (parent < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot reach %s", entry->path);
    return billet_stage_take(&workspace->stage, parent, leaf, entry, &workspace->limits, error);
}

static bool
needs_no_copy(const struct billet_entry *was, const struct billet_entry *now)
{
    return was != NULL && was->type == BILLET_ENTRY_FILE && now->type == BILLET_ENTRY_FILE &&
           was->size == now->size && was->mtime_ns == now->mtime_ns && !was->racy &&
           (was->mode & 0755) == (now->mode & 0755);
}

/* The staged manifest names all of the copy; only what differs is staged. */
static int
take_copy(struct billet_workspace *workspace, const struct billet_root *from,
          const struct billet_manifest *now, struct billet_error *error)
{
    uint64_t total = 0;
    int result = 0;
    for (size_t i = 0; result == 0 && i < now->count; i++) {
        const struct billet_entry *entry = &now->entries[i];
        const struct billet_entry *was =
            billet_manifest_find(&workspace->baseline, entry->path, entry->path_length);
        result = billet_tree_accept(entry, error);
        if (result < 0)
            return result;
        if (entry->type == BILLET_ENTRY_OTHER) {
            /* It was left out on the way there, and so the command made it. */
            if (entry->reason != BILLET_REASON_GIT)
                result = billet_report_add(&workspace->arrival, BILLET_REPORT_SKIPPED, entry->path,
                                           NULL, entry->reason, error);
            continue;
        }
        if (needs_no_copy(was, entry)) {
            struct billet_entry same = *entry;
            same.device = same.inode = 0;
            same.mode &= 0755;
            result = billet_manifest_add(&workspace->stage.manifest, &same, error);
            continue;
        }
        if (entry->size > workspace->limits.file_bytes ||
            __builtin_add_overflow(total, entry->size, &total) ||
            total > workspace->limits.total_bytes)
            return billet_error_set(error, BILLET_CLASS_CAPACITY, "archive_limit",
                                    "what came back holds more bytes than the limit allows, at %s",
                                    entry->path);
        result = take_from_copy(workspace, from, entry, error);
    }
    billet_manifest_sort(&workspace->stage.manifest);
    return result;
}

int
billet_workspace_receive_copy(struct billet_workspace *workspace, const char *directory,
                              struct billet_error *error)
{
    struct billet_root from = BILLET_ROOT_INIT;
    struct billet_manifest now = BILLET_MANIFEST_INIT;
    struct billet_scan scan = {.filter = workspace->options.filter,
                               .limits = &workspace->limits,
                               .hash = BILLET_HASH_NONE};
    int result = need_baseline(workspace, error);
    if (result == 0)
        result = open_stage(workspace, error);
    if (result == 0)
        result = billet_root_open(&from, directory, error);
    if (result == 0)
        result = billet_scan(&from, &scan, &now, NULL, error);
    if (result == 0)
        result = take_copy(workspace, &from, &now, error);
    billet_manifest_free(&now);
    billet_root_close(&from);
    if (result < 0)
        return drop_stage(workspace, result);
    workspace->received = true;
    workspace->whole_tree = true;
    return 0;
}

int
billet_workspace_receive_upper(struct billet_workspace *workspace, int upper_fd,
                               struct billet_error *error)
{
    struct billet_root upper = BILLET_ROOT_INIT;
    int result = open_stage(workspace, error);
    cleanup_fd int fd = fcntl(upper_fd, F_DUPFD_CLOEXEC, 3);
    if (result == 0 && fd < 0)
        result = billet_error_errno(error, 0, "io_failed", errno, "upper directory");
    if (result == 0)
        result = billet_root_adopt(&upper, fd, error);
    if (result == 0) {
        billet_steal_fd(&fd);
        result = billet_overlay_read(&upper, &workspace->root, workspace->options.filter,
                                     &workspace->limits, &workspace->stage, &workspace->changes,
                                     &workspace->arrival, error);
    }
    billet_root_close(&upper);
    if (result < 0)
        return drop_stage(workspace, result);
    workspace->received = true;
    workspace->whole_tree = false;
    return 0;
}

/* --- merge ---------------------------------------------------------------------------------- */

static int
sync_staged(struct billet_workspace *workspace, struct billet_error *error)
{
    const struct billet_plan *plan = &workspace->plan;
    if (!workspace->options.durable)
        return 0;
    if (plan->count > SYNC_EACH_MOST)
        return syncfs(workspace->stage.fd) == 0
                   ? 0
                   : billet_error_errno(error, 0, "io_failed", errno, "staged files");
    for (size_t i = 0; i < plan->count; i++) {
        char name[24];
        billet_stage_name(name, plan->items[i].number);
        cleanup_fd int fd =
            plan->items[i].kind == BILLET_OPERATION_PLACE
                ? openat(workspace->stage.fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
                : -1;
        if (fd >= 0 && fsync(fd) != 0)
            return billet_error_errno(error, 0, "io_failed", errno, "staged files");
    }
    return fsync(workspace->stage.fd) == 0
               ? 0
               : billet_error_errno(error, 0, "io_failed", errno, "staged files");
}

static int
sync_placed(struct billet_workspace *workspace, struct billet_error *error)
{
    const struct billet_plan *plan = &workspace->plan;
    if (!workspace->options.durable)
        return 0;
    if (plan->count > SYNC_EACH_MOST)
        return syncfs(workspace->root.fd) == 0
                   ? 0
                   : billet_error_errno(error, 0, "io_failed", errno, "workspace");
    for (size_t i = 0; i < plan->count; i++) {
        char parent[4096];
        size_t length = billet_path_parent_length(plan->items[i].path, strlen(plan->items[i].path));
        memcpy(parent, plan->items[i].path, length);
        parent[length] = '\0';
        cleanup_fd int fd = billet_root_openat(&workspace->root, parent, O_RDONLY | O_DIRECTORY, 0);
        if (fd >= 0 && fsync(fd) != 0)
            return billet_error_errno(error, 0, "io_failed", errno, "workspace");
    }
    return 0;
}

static int
make_plan(struct billet_workspace *workspace, struct billet_report *report,
          struct billet_error *error)
{
    struct billet_merge merge = {
        .root = &workspace->root,
        .baseline = workspace->has_baseline ? &workspace->baseline : NULL,
        .since_ns = workspace->since_ns,
        .filter = workspace->options.filter,
        .stage = &workspace->stage,
        .tag = workspace->tag,
    };
    struct billet_apply apply = {
        .root = &workspace->root, .stage = &workspace->stage, .tag = workspace->tag};
    int result = 0;
    for (size_t i = 0; result == 0 && i < workspace->arrival.count; i++) {
        const struct billet_report_item *item = &workspace->arrival.items[i];
        result = billet_report_add(report, item->kind, item->path, NULL, item->reason, error);
    }
    if (result == 0 && workspace->whole_tree)
        result = billet_merge_compare(&merge, &workspace->changes, error);
    billet_changes_sort(&workspace->changes);
    if (result == 0)
        result = billet_merge_plan(&merge, &workspace->changes, &workspace->plan, report, error);
    if (result == 0)
        result = billet_apply_prepare(&apply, &workspace->plan, error);
    return result;
}

static int
write_journal(struct billet_workspace *workspace, struct billet_error *error)
{
    struct billet_journal journal = {.in_workspace = workspace->stage.in_workspace};
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    memcpy(journal.stage_name, workspace->stage.name, sizeof(journal.stage_name));
    memcpy(journal.tag, workspace->tag, sizeof(journal.tag));
    int result = sync_staged(workspace, error);
    if (result == 0)
        result = billet_journal_encode(&journal, &workspace->plan, &bytes, error);
    if (result == 0)
        result = billet_journal_write(workspace->lock.directory_fd, "journal", &bytes,
                                      workspace->options.durable, error);
    return result;
}

int
billet_workspace_apply(struct billet_workspace *workspace, struct billet_report *report,
                       struct billet_error *error)
{
    struct billet_apply apply = {.root = &workspace->root,
                                 .stage = &workspace->stage,
                                 .tag = workspace->tag,
                                 .again = workspace->planned};
    int result = 0;
    if (!workspace->planned) {
        result = workspace->stage.fd < 0 ? open_stage(workspace, error) : 0;
        if (result == 0)
            result = make_plan(workspace, report, error);
        bool accompanied = workspace->companion.before != NULL;
        if (result == 0 && accompanied)
            result = workspace->companion.before(workspace->companion.context, error);
        if (result == 0 && (workspace->plan.count > 0 || accompanied))
            result = write_journal(workspace, error);
        if (result < 0) {
            billet_plan_free(&workspace->plan);
            return result;
        }
        workspace->planned = true;
    }
    result = billet_apply(&apply, &workspace->plan, report, error);
    if (result == 0)
        result = sync_placed(workspace, error);
    if (result == 0 && workspace->companion.after != NULL)
        workspace->companion.after(workspace->companion.context);
    if (result == 0)
        result = forget_journal(workspace, error);
    if (result < 0)
        return result;
    workspace->planned = false;
    workspace->received = false;
    billet_plan_free(&workspace->plan);
    drop_stage(workspace, 0);
    struct stat status;
    cleanup_fd int fd =
        openat(workspace->lock.directory_fd, "moment", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0)
        (void)!futimens(fd, NULL);
    return 0;
}

void
billet_workspace_end(struct billet_workspace *workspace)
{
    if (workspace == NULL)
        return;
    /* With a journal the staged files are still needed. */
    if (workspace->planned)
        billet_stage_close(&workspace->stage);
    else if (workspace->stage.fd >= 0)
        drop_stage(workspace, 0);
    billet_changes_free(&workspace->changes);
    billet_plan_free(&workspace->plan);
    billet_manifest_free(&workspace->baseline);
    billet_report_free(&workspace->recovery);
    billet_report_free(&workspace->arrival);
    billet_git_report_free(&workspace->git_recovery);
    billet_workspace_unlock(&workspace->lock);
    billet_root_close(&workspace->root);
    free(workspace);
}
