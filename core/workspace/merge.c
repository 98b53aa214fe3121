/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/content.h"
#include "workspace/path.h"
#include "workspace/scan.h"

#define GONE 0 /* beside BILLET_ENTRY_* */

struct state {
    const struct billet_merge *merge;
    struct billet_sieve *sieve;
    struct billet_manifest planned; /* paths as they will be; .type GONE: removed */
    struct billet_manifest moved;   /* paths whose place is taken; .target: where theirs goes */
    struct billet_plan *plan;
    struct billet_plan modes; /* of directories, at the end */
    struct billet_report *report;
    struct billet_error *error;
    struct billet_root_cache *cache; /* of what is looked at: advice only, the apply looks again */
    char parent[PATH_MAX];           /* the last directory that is here under its own name */
    bool parent_known;
};

/* What is at path once what is planned so far is done; .type GONE for nothing. Type and stat
 * fields, no target. 0 or negative. */
static int
look(const struct state *state, const char *path, struct billet_entry *entry)
{
    const struct billet_entry *planned = billet_manifest_find(&state->planned, path, strlen(path));
    struct stat status;
    *entry = (struct billet_entry){.type = GONE};
    if (planned != NULL) {
        *entry = *planned;
        return 0;
    }
    const char *leaf;
    int parent = billet_root_parent_cached(state->merge->root, state->cache, path, &leaf);
    if (parent >= 0 && fstatat(parent, leaf, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        billet_scan_fill(entry, &status);
        return 0;
    }
    if (errno == EXDEV || errno == EACCES) {
        entry->type = BILLET_ENTRY_OTHER;
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        return 0;
    return billet_error_errno(state->error, 0, "io_failed", errno, "cannot look at %s", path);
}

static int
note_planned(struct state *state, const char *path, int type)
{
    size_t length = strlen(path);
    struct billet_entry *known = billet_manifest_find(&state->planned, path, length);
    struct billet_entry entry = {
        .path = path, .path_length = (uint32_t)length, .type = (uint8_t)type};
    if (known == NULL)
        return billet_manifest_add(&state->planned, &entry, state->error);
    known->type = (uint8_t)type;
    return 0;
}

static int
plan(struct state *state, int kind, const char *path, const struct billet_entry *found,
     uint32_t mode, const struct billet_entry *staged)
{
    struct billet_operation operation = {
        .path = path,
        .kind = (uint8_t)kind,
        .mode = mode,
        .number = staged != NULL ? staged->device : 0,
        .staged_inode = staged != NULL ? staged->inode : 0,
    };
    if (found != NULL)
        operation.expected = (struct billet_expected){.type = found->type,
                                                      .inode = found->inode,
                                                      .size = found->size,
                                                      .mtime_ns = found->mtime_ns};
    return billet_plan_add(kind == BILLET_OPERATION_MODE ? &state->modes : state->plan, &operation,
                           state->error);
}

/* The content of a file of the workspace; false when it cannot be read or is none. */
static bool
hash_local(const struct billet_root *root, const char *path, unsigned char hash[BILLET_HASH_BYTES])
{
    struct stat status;
    cleanup_fd int fd = billet_root_openat(root, path, O_RDONLY | O_NONBLOCK, 0);
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           billet_content_hash(fd, hash) == 0;
}

static bool
hash_staged(const struct billet_stage *stage, const struct billet_entry *entry,
            unsigned char hash[BILLET_HASH_BYTES])
{
    char name[24];
    billet_stage_name(name, entry->device);
    cleanup_fd int fd =
        entry->device != 0 ? openat(stage->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    return fd >= 0 && billet_content_hash(fd, hash) == 0;
}

static bool
same_target(const struct billet_root *root, const char *path, const struct billet_entry *link)
{
    const char *leaf;
    char target[PATH_MAX];
    cleanup_fd int parent = billet_root_parent(root, path, &leaf);
    ssize_t length = parent >= 0 ? readlinkat(parent, leaf, target, sizeof(target)) : -1;
    return length >= 0 && (size_t)length == link->target_length &&
           memcmp(target, link->target, link->target_length) == 0;
}

/* Nobody here touched what is at path since the baseline. */
static bool
is_untouched(const struct state *state, const char *path, const struct billet_entry *found)
{
    const struct billet_merge *merge = state->merge;
    if (merge->baseline == NULL)
        return found->type != BILLET_ENTRY_OTHER && found->ctime_ns < merge->since_ns;
    const struct billet_entry *was = billet_manifest_find(merge->baseline, path, strlen(path));
    if (was == NULL || was->type != found->type || was->type == BILLET_ENTRY_OTHER)
        return false;
    if (was->type == BILLET_ENTRY_DIRECTORY)
        return true;
    if (billet_entry_same_stat(was, found))
        return true;
    if (was->type == BILLET_ENTRY_LINK)
        return same_target(merge->root, path, was);
    unsigned char hash[BILLET_HASH_BYTES];
    return was->hashed && was->mode == found->mode && was->size == found->size &&
           hash_local(merge->root, path, hash) && memcmp(hash, was->hash, sizeof(hash)) == 0;
}

/* What is here already is what came. */
static bool
is_result(const struct state *state, const char *path, const struct billet_entry *found,
          const struct billet_entry *theirs)
{
    unsigned char here[BILLET_HASH_BYTES];
    unsigned char there[BILLET_HASH_BYTES];
    if (found->type != theirs->type || found->inode == 0)
        return false;
    if (found->type == BILLET_ENTRY_LINK)
        return same_target(state->merge->root, path, theirs);
    return found->type == BILLET_ENTRY_FILE && (found->mode & 0755) == theirs->mode &&
           found->size == theirs->size && hash_local(state->merge->root, path, here) &&
           hash_staged(state->merge->stage, theirs, there) &&
           memcmp(here, there, sizeof(here)) == 0;
}

/* --- deletions ------------------------------------------------------------------------------ */

/* Everything in the directory is planned to go. */
static int
will_be_empty(const struct state *state, const char *path, bool *empty)
{
    char child[PATH_MAX];
    int fd = billet_root_openat(state->merge->root, path, O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    *empty = false;
    if (directory == NULL) {
        billet_close(&fd);
        return 0; /* cannot be looked into: it stays */
    }
    while ((item = readdir(directory)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        int size = snprintf(child, sizeof(child), "%s/%s", path, item->d_name);
        if (size < 0 || (size_t)size >= sizeof(child))
            return 0;
        const struct billet_entry *planned =
            billet_manifest_find(&state->planned, child, (size_t)size);
        if (planned == NULL || planned->type != GONE)
            return 0;
    }
    *empty = true;
    return 0;
}

static int
plan_deletion(struct state *state, const char *path)
{
    struct billet_entry found;
    int result = look(state, path, &found);
    if (result < 0 || found.type == GONE)
        return result;
    if (found.type == BILLET_ENTRY_DIRECTORY) {
        bool empty;
        const struct billet_entry *was =
            state->merge->baseline != NULL
                ? billet_manifest_find(state->merge->baseline, path, strlen(path))
                : &found;
        if (was == NULL || was->type != BILLET_ENTRY_DIRECTORY)
            return billet_report_add(state->report, BILLET_REPORT_KEPT, path, NULL, 0,
                                     state->error);
        result = will_be_empty(state, path, &empty);
        if (result < 0 || !empty)
            return result;
        result = plan(state, BILLET_OPERATION_REMOVE_DIRECTORY, path, &found, 0, NULL);
    } else if (!is_untouched(state, path, &found)) {
        return billet_report_add(state->report, BILLET_REPORT_KEPT, path, NULL, 0, state->error);
    } else {
        result = plan(state, BILLET_OPERATION_REMOVE, path, &found, 0, NULL);
    }
    if (result == 0)
        result = note_planned(state, path, GONE);
    if (result == 0)
        result =
            billet_report_add(state->report, BILLET_REPORT_DELETED, path, NULL, 0, state->error);
    return result;
}

/* --- what came ------------------------------------------------------------------------------ */

/* A free name beside path for theirs. */
static int
free_name(const struct state *state, const char *path, char to[PATH_MAX])
{
    size_t length = strlen(path);
    size_t name_start = billet_path_parent_length(path, length);
    name_start += name_start > 0;
    for (unsigned i = 1; i < 10000; i++) {
        char suffix[48];
        struct billet_entry found;
        int size = snprintf(suffix, sizeof(suffix), ".billet-conflict-%.8s", state->merge->tag);
        if (i > 1)
            size += snprintf(suffix + size, sizeof(suffix) - (size_t)size, "-%u", i);
        size_t name = length - name_start;
        if (name + (size_t)size > BILLET_NAME_BYTES_MAX)
            name = BILLET_NAME_BYTES_MAX - (size_t)size;
        if (name_start + name + (size_t)size >= PATH_MAX)
            break;
        memcpy(to, path, name_start + name);
        memcpy(to + name_start + name, suffix, (size_t)size + 1);
        int result = look(state, to, &found);
        if (result < 0 || found.type == GONE)
            return result;
    }
    return billet_error_set(state->error, BILLET_CLASS_CAPACITY, "workspace_conflicts",
                            "no free name for their version of %s", path);
}

/* Their version of `path`, which would be at `place`, goes beside it from now on. */
static int
move_aside(struct state *state, const char *path, const char *place, char to[PATH_MAX])
{
    int result = free_name(state, place, to);
    struct billet_entry entry = {.path = path,
                                 .path_length = (uint32_t)strlen(path),
                                 .target = to,
                                 .target_length = result == 0 ? (uint32_t)strlen(to) : 0};
    if (result == 0)
        result = billet_manifest_add(&state->moved, &entry, state->error);
    if (result == 0)
        result =
            billet_report_add(state->report, BILLET_REPORT_CONFLICT, path, to, 0, state->error);
    return result;
}

static int
make_directory(struct state *state, const char *place, const struct billet_entry *theirs)
{
    uint32_t mode = theirs != NULL ? theirs->mode : 0755;
    int result = plan(state, BILLET_OPERATION_MAKE_DIRECTORY, place, NULL, mode | 0700, NULL);
    if (result == 0 && (mode & 0700) != 0700)
        result = plan(state, BILLET_OPERATION_MODE, place, NULL, mode, NULL);
    if (result == 0)
        result = note_planned(state, place, BILLET_ENTRY_DIRECTORY);
    return result;
}

/* Where the parent of their path is here, with what is missing of it planned. *aside: under a
 * directory that stands beside. */
static int
plan_parent(struct state *state, const char *path, size_t length, char place[PATH_MAX], bool *aside)
{
    size_t used = 0;
    char prefix[PATH_MAX];
    *aside = false;
    place[0] = '\0';
    if (state->parent_known && strncmp(state->parent, path, length) == 0 &&
        state->parent[length] == '\0') {
        memcpy(place, path, length);
        place[length] = '\0';
        return 0;
    }
    for (size_t start = 0; start < length;) {
        size_t end = start;
        while (end < length && path[end] != '/')
            end++;
        memcpy(prefix, path, end);
        prefix[end] = '\0';
        if (used + 1 + (end - start) >= PATH_MAX)
            return billet_error_set(state->error, BILLET_CLASS_AUTH, "path_refused",
                                    "their version of %s has no place: too long", path);
        if (used > 0)
            place[used++] = '/';
        memcpy(place + used, path + start, end - start);
        used += end - start;
        place[used] = '\0';
        const struct billet_entry *moved = billet_manifest_find(&state->moved, prefix, end);
        struct billet_entry found;
        int result = 0;
        if (moved != NULL) {
            memcpy(place, moved->target, moved->target_length + 1);
            *aside = true;
        }
        result = look(state, place, &found);
        if (result == 0 && found.type != GONE && found.type != BILLET_ENTRY_DIRECTORY) {
            char beside[PATH_MAX];
            result = move_aside(state, prefix, place, beside);
            if (result == 0) {
                memcpy(place, beside, strlen(beside) + 1);
                *aside = true;
                result = look(state, place, &found);
            }
        }
        if (result == 0 && found.type == GONE)
            result = make_directory(
                state, place, billet_manifest_find(&state->merge->stage->manifest, prefix, end));
        if (result < 0)
            return result;
        used = strlen(place);
        start = end + 1;
    }
    state->parent_known = !*aside && used < sizeof(state->parent);
    if (state->parent_known)
        memcpy(state->parent, place, used + 1);
    return 0;
}

/* Permission bits of the result: the ones here, unless they changed them there. */
static uint32_t
result_mode(const struct state *state, const char *path, const struct billet_entry *found,
            const struct billet_entry *theirs)
{
    const struct billet_entry *was =
        state->merge->baseline != NULL
            ? billet_manifest_find(state->merge->baseline, path, strlen(path))
            : NULL;
    if (found->type != theirs->type)
        return theirs->mode;
    uint32_t before = was != NULL ? was->mode : found->mode;
    return theirs->mode == (before & 0755) ? found->mode & 0777 : theirs->mode;
}

static int
place_file(struct state *state, const char *place, const struct billet_entry *found,
           const struct billet_entry *theirs, uint32_t mode)
{
    int result = plan(state, BILLET_OPERATION_PLACE, place, found, mode, theirs);
    if (result == 0)
        result = note_planned(state, place, theirs->type);
    return result;
}

static int
written(struct state *state, const char *path)
{
    return billet_report_add(state->report, BILLET_REPORT_WRITTEN, path, NULL, 0, state->error);
}

/* Beside what is here. */
static int
place_aside(struct state *state, const char *path, const char *place,
            const struct billet_entry *theirs)
{
    char beside[PATH_MAX];
    int result = move_aside(state, path, place, beside);
    if (result < 0)
        return result;
    return theirs->type == BILLET_ENTRY_DIRECTORY
               ? make_directory(state, beside, theirs)
               : place_file(state, beside, NULL, theirs, theirs->mode);
}

static bool
was_there(const struct state *state, const char *path)
{
    const struct billet_entry *was =
        state->merge->baseline != NULL
            ? billet_manifest_find(state->merge->baseline, path, strlen(path))
            : NULL;
    return was != NULL && was->type != BILLET_ENTRY_OTHER;
}

static int
plan_directory(struct state *state, const char *path, const struct billet_entry *found,
               const struct billet_entry *theirs)
{
    int result;
    if (found->type == BILLET_ENTRY_DIRECTORY) {
        uint32_t mode = result_mode(state, path, found, theirs);
        if (theirs->racy || mode == (found->mode & 0777) || found->inode == 0)
            return 0;
        result = plan(state, BILLET_OPERATION_MODE, path, NULL, mode, NULL);
        return result < 0 ? result : written(state, path);
    }
    if (found->type != GONE && !is_untouched(state, path, found))
        return place_aside(state, path, path, theirs);
    if (found->type != GONE) {
        result = plan(state, BILLET_OPERATION_REMOVE, path, found, 0, NULL);
        if (result < 0)
            return result;
    }
    result = make_directory(state, path, theirs);
    return result < 0 ? result : written(state, path);
}

static int
plan_put(struct state *state, const struct billet_change *change)
{
    const char *path = change->path;
    const struct billet_entry *theirs = change->entry;
    char place[PATH_MAX];
    bool aside;
    struct billet_entry found;
    size_t length = strlen(path);
    size_t parent = billet_path_parent_length(path, length);
    int result = plan_parent(state, path, parent, place, &aside);
    if (result < 0)
        return result;
    size_t used = strlen(place);
    size_t name = parent > 0 ? parent + 1 : 0;
    if (used + 1 + length - name >= PATH_MAX)
        return billet_error_set(state->error, BILLET_CLASS_AUTH, "path_refused",
                                "their version of %s has no place: too long", path);
    if (used > 0)
        place[used++] = '/';
    memcpy(place + used, path + name, length - name + 1);
    result = look(state, place, &found);
    if (result < 0)
        return result;
    bool planned_gone =
        found.type == GONE && billet_manifest_find(&state->planned, place, strlen(place)) != NULL;
    if (aside) {
        if (found.type != GONE)
            return found.type == BILLET_ENTRY_DIRECTORY && theirs->type == BILLET_ENTRY_DIRECTORY
                       ? 0
                       : place_aside(state, path, place, theirs);
        return theirs->type == BILLET_ENTRY_DIRECTORY
                   ? make_directory(state, place, theirs)
                   : place_file(state, place, NULL, theirs, theirs->mode);
    }
    if (found.type == GONE && !planned_gone && was_there(state, path)) {
        const struct billet_entry *was = billet_manifest_find(state->merge->baseline, path, length);
        if (was->type == BILLET_ENTRY_DIRECTORY && theirs->type == BILLET_ENTRY_DIRECTORY)
            return 0; /* only its mode changed there, and it is gone here */
        return place_aside(state, path, place, theirs);
    }
    if (theirs->type == BILLET_ENTRY_DIRECTORY)
        return plan_directory(state, path, &found, theirs);
    if (found.type == GONE) {
        result = place_file(state, path, NULL, theirs, theirs->mode);
        return result < 0 ? result : written(state, path);
    }
    if (found.type == BILLET_ENTRY_DIRECTORY || found.type == BILLET_ENTRY_OTHER ||
        !is_untouched(state, path, &found))
        return is_result(state, path, &found, theirs) ? 0 : place_aside(state, path, place, theirs);
    result = place_file(state, path, &found, theirs, result_mode(state, path, &found, theirs));
    return result < 0 ? result : written(state, path);
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Whether a change is taken at all; 1 yes, 0 reported as left out, negative. */
static int
admit(struct state *state, const struct billet_change *change)
{
    int reason = BILLET_REASON_NONE;
    struct billet_entry found;
    bool directory = change->entry != NULL && change->entry->type == BILLET_ENTRY_DIRECTORY;
    if (state->sieve == NULL)
        return 1;
    if (change->entry == NULL) {
        int result = look(state, change->path, &found);
        if (result < 0)
            return result;
        directory = found.type == BILLET_ENTRY_DIRECTORY;
    }
    int result = billet_sieve_path(state->sieve, change->path, directory, &reason, state->error);
    if (result < 0)
        return result;
    int kind = 0;
    const struct billet_filter *filter = state->merge->filter;
    if (reason != BILLET_REASON_NONE)
        kind = BILLET_REPORT_SKIPPED;
    else if (billet_patterns_match(&filter->preserve, change->path, directory) > 0)
        kind = BILLET_REPORT_PRESERVED;
    else if ((filter->flags & BILLET_FILTER_TRUST_GIT) == 0 && !directory &&
             billet_filter_guards(change->path))
        kind = BILLET_REPORT_GUARDED;
    /* What is below a preserved directory is preserved. */
    char parent[PATH_MAX];
    size_t length = strlen(change->path);
    for (size_t end = 1; kind == 0 && filter->preserve.count > 0 && end < length; end++) {
        if (change->path[end] != '/')
            continue;
        memcpy(parent, change->path, end);
        parent[end] = '\0';
        if (billet_patterns_match(&filter->preserve, parent, true) > 0)
            kind = BILLET_REPORT_PRESERVED;
    }
    if (kind == 0)
        return 1;
    result = billet_report_add(state->report, kind, change->path, NULL, reason, state->error);
    return result < 0 ? result : 0;
}

/* Deletions of everything here below a directory that is gone or replaced there. */
static int
delete_tree(struct state *state, const char *path, struct billet_changes *changes, unsigned depth)
{
    const struct billet_manifest *baseline = state->merge->baseline;
    size_t length = strlen(path);
    int result = 0;
    if (baseline != NULL) {
        for (size_t at = billet_manifest_lower_bound(baseline, path, length);
             result == 0 && at < baseline->count &&
             billet_path_below(baseline->entries[at].path, path);
             at++)
            if (baseline->entries[at].type != BILLET_ENTRY_OTHER)
                result = billet_changes_delete(changes, baseline->entries[at].path,
                                               baseline->entries[at].path_length, state->error);
        return result;
    }
    struct stat status;
    if (depth > billet_limits_default.depth ||
        billet_root_stat(state->merge->root, path, &status) != 0)
        return 0;
    result = billet_changes_delete(changes, path, length, state->error);
    if (!S_ISDIR(status.st_mode))
        return result;
    int fd = billet_root_openat(state->merge->root, path, O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    if (directory == NULL)
        billet_close(&fd);
    while (result == 0 && directory != NULL && (item = readdir(directory)) != NULL) {
        char child[PATH_MAX];
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        int size = snprintf(child, sizeof(child), "%s/%s", path, item->d_name);
        if (size > 0 && (size_t)size < sizeof(child))
            result = delete_tree(state, child, changes, depth + 1);
    }
    return result;
}

/* A directory that they deleted, or put something else in the place of, takes all below it along.
 */
static int
expand(struct state *state, struct billet_changes *changes)
{
    const struct billet_manifest *baseline = state->merge->baseline;
    size_t count = changes->count;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct billet_change *change = &changes->items[i];
        struct stat status;
        if (change->kind == BILLET_CHANGE_PUT && change->entry->type == BILLET_ENTRY_DIRECTORY)
            continue;
        const struct billet_entry *was =
            baseline != NULL ? billet_manifest_find(baseline, change->path, strlen(change->path))
                             : NULL;
        bool directory = baseline != NULL
                             ? was != NULL && was->type == BILLET_ENTRY_DIRECTORY
                             : billet_root_stat(state->merge->root, change->path, &status) == 0 &&
                                   S_ISDIR(status.st_mode);
        if (directory)
            result = delete_tree(state, change->path, changes, 0);
    }
    billet_changes_sort(changes);
    return result;
}

static int
plan_all(struct state *state, struct billet_changes *changes)
{
    int result = expand(state, changes);
    /* From the end: what is in a directory before the directory. */
    for (size_t i = changes->count; i > 0 && result == 0; i--) {
        if (changes->items[i - 1].kind != BILLET_CHANGE_DELETE)
            continue;
        result = admit(state, &changes->items[i - 1]);
        if (result > 0)
            result = plan_deletion(state, changes->items[i - 1].path);
    }
    for (size_t i = 0; i < changes->count && result == 0; i++) {
        if (changes->items[i].kind != BILLET_CHANGE_PUT)
            continue;
        result = admit(state, &changes->items[i]);
        if (result > 0)
            result = plan_put(state, &changes->items[i]);
    }
    for (size_t i = state->modes.count; i > 0 && result == 0; i--)
        result = billet_plan_add(state->plan, &state->modes.items[i - 1], state->error);
    return result;
}

int
billet_merge_plan(const struct billet_merge *merge, struct billet_changes *changes,
                  struct billet_plan *made, struct billet_report *report,
                  struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    struct billet_root_cache cache = BILLET_ROOT_CACHE_INIT;
    struct state state = {.merge = merge,
                          .plan = made,
                          .report = report,
                          .error = error != NULL ? error : &own,
                          .cache = &cache};
    int result = billet_manifest_index(&state.planned, error);
    if (result == 0)
        result = billet_manifest_index(&state.moved, error);
    if (result == 0 && merge->filter != NULL)
        result = billet_sieve_new(merge->filter, merge->root, &state.sieve, error);
    if (result == 0)
        result = plan_all(&state, changes);
    billet_sieve_free(state.sieve);
    billet_root_cache_clear(&cache);
    billet_manifest_free(&state.planned);
    billet_manifest_free(&state.moved);
    billet_plan_free(&state.modes);
    return result;
}

/* Whether a file that came back with other stat fields has other content, too. */
static bool
is_changed_file(const struct billet_merge *merge, const struct billet_entry *was,
                const struct billet_entry *theirs)
{
    unsigned char there[BILLET_HASH_BYTES];
    unsigned char here[BILLET_HASH_BYTES];
    struct stat status;
    struct billet_entry now;
    if (theirs->device == 0)
        return false;
    if ((was->mode & 0755) != theirs->mode || was->size != theirs->size)
        return true;
    if (!hash_staged(merge->stage, theirs, there))
        return true;
    if (was->hashed)
        return memcmp(was->hash, there, sizeof(there)) != 0;
    if (billet_root_stat(merge->root, was->path, &status) != 0)
        return true;
    billet_scan_fill(&now, &status);
    return !billet_entry_same_stat(was, &now) || !hash_local(merge->root, was->path, here) ||
           memcmp(here, there, sizeof(here)) != 0;
}

static bool
is_changed(const struct billet_merge *merge, const struct billet_entry *was,
           const struct billet_entry *theirs)
{
    if (was->type != theirs->type)
        return true;
    if (theirs->type == BILLET_ENTRY_DIRECTORY)
        return !theirs->racy && (was->mode & 0755) != theirs->mode;
    if (theirs->type == BILLET_ENTRY_LINK)
        return !billet_entry_same(was, theirs);
    return is_changed_file(merge, was, theirs);
}

int
billet_merge_compare(const struct billet_merge *merge, struct billet_changes *changes,
                     struct billet_error *error)
{
    const struct billet_manifest *from = merge->baseline;
    const struct billet_manifest *to = &merge->stage->manifest;
    size_t i = 0;
    size_t k = 0;
    int result = 0;
    while (result == 0 && (i < from->count || k < to->count)) {
        const struct billet_entry *was = i < from->count ? &from->entries[i] : NULL;
        const struct billet_entry *theirs = k < to->count ? &to->entries[k] : NULL;
        int order = was == NULL      ? 1
                    : theirs == NULL ? -1
                                     : billet_path_compare(was->path, was->path_length,
                                                           theirs->path, theirs->path_length);
        if (order < 0 && was->type != BILLET_ENTRY_OTHER)
            result = billet_changes_delete(changes, was->path, was->path_length, error);
        else if (order > 0 || (order == 0 && is_changed(merge, was, theirs)))
            result = billet_changes_put(changes, theirs, error);
        i += order <= 0;
        k += order >= 0;
    }
    return result;
}
