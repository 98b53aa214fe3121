/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/path.h"
#include "workspace/scan.h"

static int
failed(struct billet_error *error, const char *what, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    int result = billet_error_errno(error, 0, full ? "workspace_incomplete" : "io_failed", errno,
                                    "cannot %s %s", what, path);
    if (full)
        billet_error_hint(error, "free space; the next run on this workspace completes it");
    return result;
}

static bool
is_expected(const struct billet_expected *expected, const struct stat *status)
{
    struct billet_entry now;
    billet_scan_fill(&now, status);
    return expected->type == now.type && expected->inode == now.inode &&
           expected->size == now.size &&
           (now.type == BILLET_ENTRY_DIRECTORY || expected->mtime_ns == now.mtime_ns);
}

/* The directory of path; when the way there is gone or blocked since the plan was made (a racing
 * change), -1 with ELOOP or ENOTDIR. */
static int
open_parent(const struct billet_apply *apply, struct billet_root_cache *cache, const char *path,
            const char **leaf)
{
    int parent = billet_root_parent_cached(apply->root, cache, path, leaf);
    if (parent < 0 && errno == ENOENT && billet_root_make_parents(apply->root, path) == 0)
        parent = billet_root_parent_cached(apply->root, cache, path, leaf);
    return parent;
}

/* Theirs, whose place is taken: beside it, under the first free name. */
static int
place_beside(const struct billet_apply *apply, int parent, const char *path, const char *leaf,
             const char *staged, struct billet_report *report, struct billet_error *error)
{
    char name[NAME_MAX + 1];
    char beside[PATH_MAX];
    for (unsigned i = 1; i < 10000; i++) {
        char suffix[48];
        int size = snprintf(suffix, sizeof(suffix), ".billet-conflict-%.8s", apply->tag);
        if (i > 1)
            size += snprintf(suffix + size, sizeof(suffix) - (size_t)size, "-%u", i);
        int kept = (int)strlen(leaf);
        if (kept + size > NAME_MAX)
            kept = NAME_MAX - size;
        snprintf(name, sizeof(name), "%.*s%s", kept, leaf, suffix);
        if (renameat2(apply->stage->fd, staged, parent, name, RENAME_NOREPLACE) == 0) {
            int above = parent == apply->root->fd ? 0 : (int)(leaf - path);
            snprintf(beside, sizeof(beside), "%.*s%s", above, path, name);
            return billet_report_add(report, BILLET_REPORT_CONFLICT, path, beside, 0, error);
        }
        if (errno == EINVAL && faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
            renameat(apply->stage->fd, staged, parent, name) == 0)
            return billet_report_add(report, BILLET_REPORT_CONFLICT, path, name, 0, error);
        if (errno != EEXIST && errno != EINVAL)
            break;
    }
    return failed(error, "put aside", path);
}

/* What came out of the workspace by the exchange lies under the staged name now. */
static int
settle_exchange(const struct billet_apply *apply, int parent, const char *leaf, const char *staged,
                const struct billet_operation *operation, struct billet_report *report,
                struct billet_error *error)
{
    struct stat status;
    if (fstatat(apply->stage->fd, staged, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return failed(error, "look at what was replaced by", operation->path);
    if (is_expected(&operation->expected, &status))
        return unlinkat(apply->stage->fd, staged, 0) != 0
                   ? failed(error, "remove the old", operation->path)
                   : 0;
    /* Somebody wrote to it at the last moment: theirs of here stays. */
    if (renameat2(apply->stage->fd, staged, parent, leaf, RENAME_EXCHANGE) != 0) {
        if (errno != ENOENT)
            return failed(error, "give back", operation->path);
        /* Ours was removed at once: what was here goes back to its name. */
        return renameat2(apply->stage->fd, staged, parent, leaf, RENAME_NOREPLACE) != 0
                   ? failed(error, "give back", operation->path)
                   : 0;
    }
    return place_beside(apply, parent, operation->path, leaf, staged, report, error);
}

/* A file system that knows neither flag: look, then rename. The gap is a few microseconds. */
static int
place_plainly(const struct billet_apply *apply, int parent, const char *leaf, const char *staged,
              const struct billet_operation *operation, struct billet_report *report,
              struct billet_error *error)
{
    struct stat status;
    bool there = fstatat(parent, leaf, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno != ENOENT)
        return failed(error, "look at", operation->path);
    bool right = there ? is_expected(&operation->expected, &status) : operation->expected.type == 0;
    if (!right)
        return place_beside(apply, parent, operation->path, leaf, staged, report, error);
    return renameat(apply->stage->fd, staged, parent, leaf) != 0
               ? failed(error, "put in place", operation->path)
               : 0;
}

static int
do_place(const struct billet_apply *apply, struct billet_root_cache *cache,
         const struct billet_operation *operation, struct billet_report *report,
         struct billet_error *error)
{
    char staged[24];
    const char *leaf;
    struct stat status;
    bool exchanged = false;
    billet_stage_name(staged, operation->number);
    if (apply->again) {
        if (fstatat(apply->stage->fd, staged, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT ? 0 : failed(error, "find staged", operation->path);
        exchanged = status.st_ino != operation->staged_inode;
    }
    int parent = open_parent(apply, cache, operation->path, &leaf);
    if (parent < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EXDEV)) {
        /* A directory on the way was replaced meanwhile: theirs goes to the top. */
        const char *slash = strrchr(operation->path, '/');
        return place_beside(apply, apply->root->fd, operation->path,
                            slash != NULL ? slash + 1 : operation->path, staged, report, error);
    }
    if (parent < 0)
        return failed(error, "reach", operation->path);
    if (exchanged)
        return settle_exchange(apply, parent, leaf, staged, operation, report, error);
    unsigned flags = operation->expected.type == 0 ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    int renamed = renameat2(apply->stage->fd, staged, parent, leaf, flags);
    if (renamed != 0 && errno == ENOENT) {
        /* The file is gone, or the kept directory is. */
        billet_root_cache_clear(cache);
        parent = open_parent(apply, cache, operation->path, &leaf);
        if (parent < 0)
            return failed(error, "reach", operation->path);
        renamed = renameat2(apply->stage->fd, staged, parent, leaf, flags);
    }
    if (renamed == 0)
        return flags == RENAME_NOREPLACE
                   ? 0
                   : settle_exchange(apply, parent, leaf, staged, operation, report, error);
    if (errno == EINVAL)
        return place_plainly(apply, parent, leaf, staged, operation, report, error);
    if (errno == EEXIST || (errno == ENOENT && flags == RENAME_EXCHANGE))
        return place_beside(apply, parent, operation->path, leaf, staged, report, error);
    return failed(error, "put in place", operation->path);
}

/* Out of the workspace first; then it can be looked at without anybody changing it by name. */
static int
do_remove(const struct billet_apply *apply, const struct billet_operation *operation, size_t index,
          struct billet_report *report, struct billet_error *error)
{
    char moved[32];
    const char *leaf;
    struct stat status;
    snprintf(moved, sizeof(moved), "removed-%zu", index);
    cleanup_fd int parent = billet_root_parent(apply->root, operation->path, &leaf);
    if (parent < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
                   ? 0
                   : failed(error, "reach", operation->path);
    if (!apply->again || faccessat(apply->stage->fd, moved, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        /* Most often it is what was expected; what is not, is not touched at all. */
        if (fstatat(parent, leaf, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT ? 0 : failed(error, "look at", operation->path);
        if (!is_expected(&operation->expected, &status))
            return apply->again && operation->kind == BILLET_OPERATION_REMOVE &&
                           S_ISDIR(status.st_mode)
                       ? 0 /* it was removed then, and is the directory made in its place */
                       : billet_report_add(report, BILLET_REPORT_KEPT, operation->path, NULL, 0,
                                           error);
        if (renameat(parent, leaf, apply->stage->fd, moved) != 0)
            return errno == ENOENT ? 0 : failed(error, "remove", operation->path);
    }
    if (fstatat(apply->stage->fd, moved, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return failed(error, "look at the removed", operation->path);
    if (is_expected(&operation->expected, &status))
        return unlinkat(apply->stage->fd, moved, 0) != 0 ? failed(error, "remove", operation->path)
                                                         : 0;
    if (renameat2(apply->stage->fd, moved, parent, leaf, RENAME_NOREPLACE) == 0)
        return billet_report_add(report, BILLET_REPORT_KEPT, operation->path, NULL, 0, error);
    return place_beside(apply, parent, operation->path, leaf, moved, report, error);
}

static int
do_directory(const struct billet_apply *apply, const struct billet_operation *operation,
             struct billet_report *report, struct billet_error *error)
{
    const char *leaf;
    if (operation->kind == BILLET_OPERATION_MAKE_DIRECTORY &&
        billet_root_make_parents(apply->root, operation->path) != 0 && errno == ENOSPC)
        return failed(error, "reach", operation->path);
    cleanup_fd int parent = billet_root_parent(apply->root, operation->path, &leaf);
    if (parent < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == EXDEV
                   ? 0 /* what was to go in there is put aside when its turn comes */
                   : failed(error, "reach", operation->path);
    if (operation->kind == BILLET_OPERATION_REMOVE_DIRECTORY) {
        if (unlinkat(parent, leaf, AT_REMOVEDIR) == 0 || errno == ENOENT ||
            (apply->again && errno == ENOTDIR))
            return 0;
        return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                   ? billet_report_add(report, BILLET_REPORT_KEPT, operation->path, NULL, 0, error)
                   : failed(error, "remove directory", operation->path);
    }
    if (operation->kind == BILLET_OPERATION_MAKE_DIRECTORY &&
        mkdirat(parent, leaf, (operation->mode & 0777) | 0700) != 0)
        return errno == EEXIST ? 0 : failed(error, "make directory", operation->path);
    cleanup_fd int fd =
        openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return operation->kind == BILLET_OPERATION_MAKE_DIRECTORY
                   ? failed(error, "open directory", operation->path)
                   : 0;
    if (fchmod(fd, operation->mode & 0777) != 0 ||
        (operation->kind == BILLET_OPERATION_MAKE_DIRECTORY && apply->stage->change_owner &&
         fchown(fd, apply->stage->owner, apply->stage->group) != 0))
        return failed(error, "set the mode of", operation->path);
    return 0;
}

/* The owner of the file that it replaces, when root does it. */
static int
keep_owner(const struct billet_apply *apply, struct billet_root_cache *cache,
           const struct billet_operation *operation, const char *staged, const struct stat *status,
           struct billet_error *error)
{
    struct stat here;
    const char *leaf;
    int parent = billet_root_parent_cached(apply->root, cache, operation->path, &leaf);
    if (parent < 0 || fstatat(parent, leaf, &here, AT_SYMLINK_NOFOLLOW) != 0 ||
        (here.st_uid == status->st_uid && here.st_gid == status->st_gid))
        return 0;
    return fchownat(apply->stage->fd, staged, here.st_uid, here.st_gid, AT_SYMLINK_NOFOLLOW) != 0
               ? failed(error, "set the owner of", operation->path)
               : 0;
}

int
billet_apply_prepare(const struct billet_apply *apply, const struct billet_plan *plan,
                     struct billet_error *error)
{
    struct billet_root_cache cache = BILLET_ROOT_CACHE_INIT;
    bool privileged = geteuid() == 0;
    int result = 0;
    for (size_t i = 0; i < plan->count && result == 0; i++) {
        const struct billet_operation *operation = &plan->items[i];
        char staged[24];
        struct stat status;
        if (operation->kind != BILLET_OPERATION_PLACE)
            continue;
        billet_stage_name(staged, operation->number);
        if (fstatat(apply->stage->fd, staged, &status, AT_SYMLINK_NOFOLLOW) != 0)
            result = failed(error, "find staged", operation->path);
        else if (privileged && operation->expected.type != 0)
            result = keep_owner(apply, &cache, operation, staged, &status, error);
        if (result == 0 && S_ISREG(status.st_mode) && (status.st_mode & 07777) != operation->mode &&
            fchmodat(apply->stage->fd, staged, operation->mode & 0777, 0) != 0)
            result = failed(error, "set the mode of", operation->path);
    }
    billet_root_cache_clear(&cache);
    return result;
}

int
billet_apply(const struct billet_apply *apply, const struct billet_plan *plan,
             struct billet_report *report, struct billet_error *error)
{
    int result = 0;
    struct billet_root_cache cache = BILLET_ROOT_CACHE_INIT;
    for (size_t i = 0; i < plan->count && result == 0; i++) {
        const struct billet_operation *operation = &plan->items[i];
        if (operation->kind == BILLET_OPERATION_PLACE)
            result = do_place(apply, &cache, operation, report, error);
        else if (operation->kind == BILLET_OPERATION_REMOVE)
            result = do_remove(apply, operation, i, report, error);
        else
            result = do_directory(apply, operation, report, error);
    }
    billet_root_cache_clear(&cache);
    return result;
}
