/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/scan.h"

int
billet_tree_accept(const struct billet_entry *entry, struct billet_error *error)
{
    if (entry->type == BILLET_ENTRY_OTHER && entry->reason == BILLET_REASON_LINK)
        return billet_error_set(error, BILLET_CLASS_AUTH, "link_refused",
                                "link %s refused: its target may lead out of the tree",
                                entry->path);
    if (entry->type == BILLET_ENTRY_OTHER && entry->reason == BILLET_REASON_SPECIAL)
        return billet_error_set(error, BILLET_CLASS_AUTH, "archive_refused",
                                "what came back is refused: %s is a device, a FIFO or a socket",
                                entry->path);
    return 0;
}

bool
billet_tree_same(const struct billet_entry *a, const struct billet_entry *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == BILLET_ENTRY_LINK)
        return a->target_length == b->target_length &&
               memcmp(a->target, b->target, a->target_length) == 0;
    if ((a->mode & 0755) != (b->mode & 0755))
        return false;
    return a->type != BILLET_ENTRY_FILE || (a->size == b->size && a->mtime_ns == b->mtime_ns);
}

int
billet_tree_combine(const struct billet_manifest *here, const struct billet_manifest *there,
                    const struct billet_manifest *was, struct billet_manifest *both,
                    struct billet_error *error)
{
    int result = 0;
    both->taken_ns = here->taken_ns;
    for (size_t i = 0; result == 0 && i < there->count; i++) {
        const struct billet_entry *other = &there->entries[i];
        const struct billet_entry *own =
            billet_manifest_find(here, other->path, other->path_length);
        if (own != NULL && billet_tree_same(own, other)) {
            result = billet_manifest_add(both, own, error);
            continue;
        }
        if (was != NULL)
            continue;
        struct billet_entry entry = *other;
        entry.inode = entry.device = 0;
        entry.ctime_ns = 0;
        entry.racy = false;
        result = billet_manifest_add(both, &entry, error);
    }
    for (size_t i = 0; result == 0 && was != NULL && i < was->count; i++) {
        const struct billet_entry *old = &was->entries[i];
        const struct billet_entry *own = billet_manifest_find(here, old->path, old->path_length);
        const struct billet_entry *other = billet_manifest_find(there, old->path, old->path_length);
        if ((own != NULL || other != NULL) &&
            (own == NULL || other == NULL || !billet_tree_same(own, other)))
            result = billet_manifest_add(both, old, error);
    }
    billet_manifest_sort(both);
    return result;
}

int
billet_tree_exchange(const struct billet_root *root, const char *copy,
                     const struct billet_filter *filter, struct billet_manifest *both,
                     struct billet_error *error)
{
    struct billet_root other = BILLET_ROOT_INIT;
    struct billet_manifest here = BILLET_MANIFEST_INIT;
    struct billet_manifest there = BILLET_MANIFEST_INIT;
    const struct billet_scan scan = {.filter = filter, .hash = BILLET_HASH_RACY};
    int result = billet_root_open(&other, copy, error);
    if (result == 0)
        result = billet_scan(root, &scan, &here, NULL, error);
    if (result == 0)
        result = billet_scan(&other, &scan, &there, NULL, error);
    if (result == 0)
        result = billet_tree_combine(&here, &there, NULL, both, error);
    billet_manifest_free(&here);
    billet_manifest_free(&there);
    billet_root_close(&other);
    return result;
}

/* ---- sending changes --------------------------------------------------------------------- */

static bool
same(const struct billet_entry *a, const struct billet_entry *b)
{
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && billet_tree_same(a, b));
}

static const struct billet_entry *
find(const struct billet_manifest *manifest, const struct billet_entry *entry)
{
    const struct billet_entry *found =
        billet_manifest_find(manifest, entry->path, entry->path_length);
    return found != NULL && found->type != BILLET_ENTRY_OTHER ? found : NULL;
}

/* What path is to be there: here's when only here changed, else there's. */
static int
choose(const struct billet_entry *here, const struct billet_entry *there,
       const struct billet_entry *was, struct billet_manifest *target, struct billet_report *report,
       struct billet_error *error)
{
    const struct billet_entry *chosen = there;
    if (!same(here, there) && !same(here, was)) {
        int kind = here != NULL ? BILLET_REPORT_WRITTEN : BILLET_REPORT_DELETED;
        if (same(there, was))
            chosen = here;
        else
            kind = BILLET_REPORT_CONFLICT;
        int result = billet_report_add(report, kind, here != NULL ? here->path : there->path, NULL,
                                       0, error);
        if (result < 0)
            return result;
    }
    return chosen != NULL ? billet_manifest_add(target, chosen, error) : 0;
}

int
billet_tree_choose(const struct billet_manifest *here, const struct billet_manifest *there,
                   const struct billet_manifest *was, struct billet_manifest *target,
                   struct billet_report *report, struct billet_error *error)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < here->count; i++) {
        const struct billet_entry *entry = &here->entries[i];
        if (entry->type != BILLET_ENTRY_OTHER)
            result = choose(entry, find(there, entry), find(was, entry), target, report, error);
    }
    for (size_t i = 0; result == 0 && i < there->count; i++) {
        const struct billet_entry *entry = &there->entries[i];
        const struct billet_entry *own =
            billet_manifest_find(here, entry->path, entry->path_length);
        if (own == NULL && entry->type != BILLET_ENTRY_OTHER)
            result = choose(NULL, entry, find(was, entry), target, report, error);
        else if (own == NULL || own->type == BILLET_ENTRY_OTHER)
            result = billet_manifest_add(target, entry, error); /* not ours to judge */
    }
    billet_manifest_sort(target);
    return result;
}

int
billet_tree_push(const struct billet_root *root, const char *copy,
                 const struct billet_filter *filter, const struct billet_manifest *baseline,
                 struct billet_manifest *both, struct billet_report *report,
                 struct billet_copy_result *done, struct billet_error *error)
{
    struct billet_root other = BILLET_ROOT_INIT;
    struct billet_manifest here = BILLET_MANIFEST_INIT;
    struct billet_manifest there = BILLET_MANIFEST_INIT;
    struct billet_manifest target = BILLET_MANIFEST_INIT;
    const struct billet_scan ours = {.filter = filter, .hash = BILLET_HASH_RACY};
    const struct billet_scan theirs = {.hash = BILLET_HASH_NONE};
    int result = billet_root_open(&other, copy, error);
    if (result == 0)
        result = billet_scan(root, &ours, &here, NULL, error);
    if (result == 0)
        result = billet_scan(&other, &theirs, &there, NULL, error);
    if (result == 0)
        result = billet_tree_choose(&here, &there, baseline, &target, report, error);
    const struct billet_copy work = {
        .from = root, .manifest = &target, .to = &other, .there = &there};
    if (result == 0)
        result = billet_copy_tree(&work, done, error);
    if (result == 0)
        result = billet_tree_combine(&here, &target, baseline, both, error);
    billet_manifest_free(&here);
    billet_manifest_free(&there);
    billet_manifest_free(&target);
    billet_root_close(&other);
    return result;
}

/* ---- removing ---------------------------------------------------------------------------- */

/* A directory that is to be emptied, whatever its mode. */
static int
open_closed(int parent, const char *name)
{
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
        return -1;
    if ((status.st_mode & 0700) != 0700 && fchmodat(parent, name, 0700, 0) != 0)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Subdirectories are moved up to the top, so that depth takes neither descriptors nor stack. */
static int
empty_directory(int top, int fd, bool is_top, unsigned long *next)
{
    int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *directory = listed >= 0 ? fdopendir(listed) : NULL;
    const struct dirent *item;
    int moved = 0;
    if (directory == NULL) {
        billet_close(&listed);
        return -errno;
    }
    while ((item = readdir(directory)) != NULL) {
        char name[32];
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
            unlinkat(fd, item->d_name, 0) == 0)
            continue;
        cleanup_fd int inner = open_closed(fd, item->d_name);
        if (inner < 0)
            return -errno;
        if (is_top) {
            int result = empty_directory(top, inner, false, next);
            if (result < 0)
                return result;
            if (unlinkat(top, item->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT)
                return -errno;
            moved = 1;
            continue;
        }
        if (unlinkat(fd, item->d_name, AT_REMOVEDIR) == 0)
            continue;
        snprintf(name, sizeof(name), ".gone-%lu", (*next)++);
        if (renameat(fd, item->d_name, top, name) != 0)
            return -errno;
    }
    return moved;
}

int
billet_tree_remove(const char *path, struct billet_error *error)
{
    unsigned long next = 0;
    cleanup_fd int top = open_closed(AT_FDCWD, path);
    if (top < 0)
        return errno == ENOENT ? 0 : billet_error_errno(error, 0, "io_failed", errno, "%s", path);
    int result;
    do {
        result = empty_directory(top, top, true, &next);
    } while (result > 0);
    if (result == 0 && rmdir(path) != 0)
        result = -errno;
    return result < 0 ? billet_error_errno(error, 0, "io_failed", -result, "%s", path) : 0;
}
