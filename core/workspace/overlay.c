/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/path.h"
#include "workspace/scan.h"

struct reading {
    const struct billet_root *workspace;
    const struct billet_limits *limits;
    struct billet_sieve *sieve;
    struct billet_stage *stage;
    struct billet_changes *changes;
    struct billet_report *report;
    struct billet_error *error;
    uint64_t entries;
    uint64_t total_bytes;
    char path[PATH_MAX];
};

static int
refused(struct reading *reading, const char *why)
{
    return billet_error_set(reading->error, BILLET_CLASS_AUTH, "overlay_refused",
                            "what came back is refused: %s: %s", reading->path, why);
}

/* The value of overlay.NAME in either spelling begins with what is wanted. */
static bool
has_attribute(int fd, const char *name, const char *wanted)
{
    static const char *const spellings[] = {"trusted.overlay.", "user.overlay."};
    for (size_t i = 0; i < 2; i++) {
        char key[64];
        char value[64];
        snprintf(key, sizeof(key), "%s%s", spellings[i], name);
        ssize_t length = fgetxattr(fd, key, value, sizeof(value));
        if (length >= 0 && (size_t)length >= strlen(wanted) &&
            memcmp(value, wanted, strlen(wanted)) == 0)
            return true;
    }
    return false;
}

/* An opaque directory hides all that was in it: deletions, which what is put again overrules. */
static int
hide_below(struct reading *reading, size_t length)
{
    int fd = billet_root_openat(reading->workspace, reading->path, O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    int result = 0;
    if (directory == NULL) {
        billet_close(&fd);
        return 0;
    }
    while (result == 0 && (item = readdir(directory)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        int size =
            snprintf(reading->path + length, sizeof(reading->path) - length, "/%s", item->d_name);
        if (size > 0 && length + (size_t)size < sizeof(reading->path))
            result = billet_changes_delete(reading->changes, reading->path, length + (size_t)size,
                                           reading->error);
        reading->path[length] = '\0';
    }
    return result;
}

static int read_directory(struct reading *reading, int fd, size_t length, uint32_t depth,
                          bool opaque);

/* An entry that is to be staged. */
static int
take(struct reading *reading, int directory, const char *name, const struct stat *status,
     size_t length)
{
    char target[PATH_MAX];
    struct billet_entry entry;
    billet_scan_fill(&entry, status);
    entry.path = reading->path;
    entry.path_length = (uint32_t)length;
    if (entry.type == BILLET_ENTRY_OTHER)
        return refused(reading, "it is a device, a FIFO or a socket");
    if (entry.type == BILLET_ENTRY_LINK) {
        ssize_t got = readlinkat(directory, name, target, sizeof(target) - 1);
        if (got < 0)
            return billet_error_errno(reading->error, 0, "io_failed", errno, "cannot read link %s",
                                      reading->path);
        target[got] = '\0';
        if ((reading->limits->flags & BILLET_LIMIT_NO_LINKS) != 0 ||
            !billet_path_target_inside(reading->path, length, target, (size_t)got))
            return billet_error_set(reading->error, BILLET_CLASS_AUTH, "link_refused",
                                    "link %s refused: its target may lead out of the tree",
                                    reading->path);
        entry.target = target;
        entry.target_length = (uint32_t)got;
    }
    if (entry.size > reading->limits->file_bytes ||
        __builtin_add_overflow(reading->total_bytes, entry.size, &reading->total_bytes) ||
        reading->total_bytes > reading->limits->total_bytes)
        return billet_error_set(reading->error, BILLET_CLASS_CAPACITY, "archive_limit",
                                "what came back holds more bytes than the limit allows, at %s",
                                reading->path);
    return billet_stage_take(reading->stage, directory, name, &entry, reading->limits,
                             reading->error);
}

static int
read_name(struct reading *reading, int directory, const char *name, size_t length, uint32_t depth,
          bool opaque)
{
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return billet_error_errno(reading->error, 0, "io_failed", errno, "cannot look at %s",
                                  reading->path);
    if (++reading->entries > reading->limits->entries)
        return billet_error_set(reading->error, BILLET_CLASS_CAPACITY, "archive_limit",
                                "what came back holds more entries than the limit allows");
    int result = billet_path_check(reading->path, length, reading->limits, reading->error);
    if (result < 0)
        return result;
    int reason = BILLET_REASON_NONE;
    if (reading->sieve != NULL)
        result = billet_sieve_path(reading->sieve, reading->path, S_ISDIR(status.st_mode), &reason,
                                   reading->error);
    if (result == 0 && reason == BILLET_REASON_GIT)
        return 0; /* travels by itself */
    if (result == 0 && reason != BILLET_REASON_NONE)
        return billet_report_add(reading->report, BILLET_REPORT_SKIPPED, reading->path, NULL,
                                 reason, reading->error);
    if (result < 0)
        return result;
    if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0))
        return billet_changes_delete(reading->changes, reading->path, length, reading->error);
    cleanup_fd int fd = -1;
    if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) {
        fd = openat(directory, name,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
                        (S_ISDIR(status.st_mode) ? O_DIRECTORY : 0));
        if (fd < 0)
            return billet_error_errno(reading->error, 0, "io_failed", errno, "cannot read %s",
                                      reading->path);
    }
    if (S_ISREG(status.st_mode) && status.st_size == 0 && has_attribute(fd, "whiteout", ""))
        return billet_changes_delete(reading->changes, reading->path, length, reading->error);
    if (fd >= 0 && (has_attribute(fd, "redirect", "") || has_attribute(fd, "metacopy", "")))
        return refused(reading, "the overlay was mounted with redirect_dir or metacopy");
    result = take(reading, directory, name, &status, length);
    if (result < 0 || !S_ISDIR(status.st_mode))
        return result;
    /* Below an opaque directory nothing of the lower tree shows through. */
    opaque = opaque || has_attribute(fd, "opaque", "y");
    if (opaque)
        result = hide_below(reading, length);
    return result < 0 ? result
                      : read_directory(reading, billet_steal_fd(&fd), length, depth + 1, opaque);
}

/* Owns fd. */
static int
read_directory(struct reading *reading, int fd, size_t length, uint32_t depth, bool opaque)
{
    cleanup_dir DIR *directory = fdopendir(fd);
    const struct dirent *item;
    int result = 0;
    if (directory == NULL) {
        close(fd);
        return billet_error_no_memory(reading->error);
    }
    if (depth > reading->limits->depth)
        return refused(reading, "it is too deep");
    while (result == 0 && (item = readdir(directory)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        int size = snprintf(reading->path + length, sizeof(reading->path) - length, "%s%s",
                            length > 0 ? "/" : "", item->d_name);
        if (size < 0 || length + (size_t)size >= sizeof(reading->path))
            return refused(reading, "its path is too long");
        result = read_name(reading, dirfd(directory), item->d_name, length + (size_t)size, depth,
                           opaque);
        reading->path[length] = '\0';
    }
    return result;
}

/* Of a path that is both hidden and put, only the put counts. */
static void
drop_overruled(struct billet_changes *changes, const struct billet_stage *stage)
{
    size_t kept = 0;
    for (size_t i = 0; i < changes->count; i++)
        if (billet_manifest_find(&stage->manifest, changes->items[i].path,
                                 strlen(changes->items[i].path)) == NULL)
            changes->items[kept++] = changes->items[i];
    changes->count = kept;
}

int
billet_overlay_read(const struct billet_root *upper, const struct billet_root *workspace,
                    const struct billet_filter *filter, const struct billet_limits *limits,
                    struct billet_stage *stage, struct billet_changes *changes,
                    struct billet_report *report, struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    struct reading reading = {
        .workspace = workspace,
        .limits = limits,
        .stage = stage,
        .changes = changes,
        .report = report,
        .error = error != NULL ? error : &own,
    };
    int fd = billet_root_openat(upper, "", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "upper directory");
    int result = 0;
    if (filter != NULL)
        result = billet_sieve_new(filter, workspace, &reading.sieve, reading.error);
    if (result == 0)
        result = read_directory(&reading, fd, 0, 1, false);
    else
        close(fd);
    billet_sieve_free(reading.sieve);
    if (result < 0)
        return result;
    drop_overruled(changes, stage);
    billet_manifest_sort(&stage->manifest);
    for (size_t i = 0; i < stage->manifest.count && result == 0; i++)
        result = billet_changes_put(changes, &stage->manifest.entries[i], error);
    billet_changes_sort(changes);
    return result;
}
