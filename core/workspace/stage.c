/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "workspace/content.h"
#include "workspace/path.h"

#define FLOOR_EVERY (UINT64_C(16) << 20)

void
billet_stage_name(char to[24], uint64_t number)
{
    snprintf(to, 24, "%" PRIu64, number);
}

static int
open_in(struct billet_stage *stage, int parent_fd, bool make)
{
    if (make && mkdirat(parent_fd, stage->name, 0700) != 0)
        return -1;
    stage->fd = openat(parent_fd, stage->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    stage->parent_fd = stage->fd >= 0 ? fcntl(parent_fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (stage->fd >= 0 && stage->parent_fd >= 0)
        return 0;
    billet_close(&stage->fd);
    if (make)
        unlinkat(parent_fd, stage->name, AT_REMOVEDIR);
    return -1;
}

/* Whether a name can be moved between the stage and the workspace: only trying tells. The name is
 * the stage's, so that a sweep finds it after a crash. */
static bool
can_rename(const struct billet_stage *stage, const struct billet_root *root)
{
    if (mkdirat(stage->fd, "try", 0700) != 0)
        return false;
    bool good = renameat(stage->fd, "try", root->fd, stage->name) == 0;
    unlinkat(good ? root->fd : stage->fd, good ? stage->name : "try", AT_REMOVEDIR);
    return good;
}

void
billet_stage_make_name(char to[48], const char *tag)
{
    snprintf(to, 48, BILLET_PATH_RESERVED "-%.8s-%08" PRIx32, tag, randombytes_random());
}

static int
finish_open(struct billet_stage *stage, const struct billet_root *root, struct billet_error *error)
{
    struct stat status;
    if (fstat(root->fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "workspace");
    stage->root = root;
    stage->owner = status.st_uid;
    stage->group = status.st_gid;
    stage->change_owner = geteuid() == 0 && (status.st_uid != 0 || status.st_gid != 0);
    stage->next = 1;
    return billet_manifest_index(&stage->manifest, error);
}

int
billet_stage_open(struct billet_stage *stage, const struct billet_root *root, int state_fd,
                  const char *name, struct billet_error *error)
{
    struct stat state;
    *stage = (struct billet_stage)BILLET_STAGE_INIT;
    snprintf(stage->name, sizeof(stage->name), "%s", name);
    if (state_fd >= 0 && fstat(state_fd, &state) == 0 && state.st_dev == root->device &&
        open_in(stage, state_fd, true) == 0) {
        if (can_rename(stage, root))
            return finish_open(stage, root, error);
        billet_stage_discard(stage);
    }
    stage->in_workspace = true;
    if (open_in(stage, root->fd, true) == 0)
        return finish_open(stage, root, error);
    int why = errno;
    /* One that this user may only read: what comes back may well be that nothing changed. */
    stage->in_workspace = false;
    if ((why == EACCES || why == EROFS) && state_fd >= 0 && open_in(stage, state_fd, true) == 0)
        return finish_open(stage, root, error);
    return billet_error_errno(error, 0, "io_failed", why,
                              "cannot make a directory in the workspace");
}

int
billet_stage_reopen(struct billet_stage *stage, const struct billet_root *root, int state_fd,
                    const char *name, bool in_workspace, struct billet_error *error)
{
    *stage = (struct billet_stage)BILLET_STAGE_INIT;
    snprintf(stage->name, sizeof(stage->name), "%s", name);
    stage->in_workspace = in_workspace;
    if (open_in(stage, in_workspace ? root->fd : state_fd, false) != 0)
        return billet_error_errno(error, BILLET_CLASS_UNAVAILABLE, "io_failed", errno,
                                  "staged files %s", name);
    return finish_open(stage, root, error);
}

static void
close_all(struct billet_stage *stage)
{
    billet_close(&stage->fd);
    billet_close(&stage->parent_fd);
    billet_manifest_free(&stage->manifest);
}

void
billet_stage_close(struct billet_stage *stage)
{
    close_all(stage);
}

void
billet_stage_discard(struct billet_stage *stage)
{
    int listed = stage->fd >= 0 ? openat(stage->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    cleanup_dir DIR *directory = listed >= 0 ? fdopendir(listed) : NULL;
    if (directory != NULL) {
        const struct dirent *item;
        while ((item = readdir(directory)) != NULL)
            if (item->d_name[0] != '.' && unlinkat(stage->fd, item->d_name, 0) != 0)
                unlinkat(stage->fd, item->d_name, AT_REMOVEDIR);
        unlinkat(stage->parent_fd, stage->name, AT_REMOVEDIR);
    } else if (listed >= 0) {
        close(listed);
    }
    close_all(stage);
}

static int
refused(struct billet_error *error, const char *path, const char *why)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "archive_refused", "archive refused: %s: %s",
                            path, why);
}

static int
check_room(const struct billet_stage *stage, const struct billet_limits *limits, uint64_t more,
           struct billet_error *error)
{
    struct statvfs status;
    if (limits->free_floor_bytes == 0 || fstatvfs(stage->fd, &status) != 0)
        return 0;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    if (room >= more && room - more >= limits->free_floor_bytes)
        return 0;
    return billet_error_errno(error, BILLET_CLASS_CAPACITY, "workspace_full", ENOSPC,
                              "there is no room for %" PRIu64 " bytes more beside the reserve",
                              more);
}

static int
write_failed(struct billet_error *error, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return billet_error_errno(error, 0, full ? "workspace_full" : "io_failed", errno,
                              "cannot stage %s", path);
}

/* Each directory above is known by now as one; what was not said is implied. */
static int
check_parents(struct billet_stage *stage, const char *path, size_t length,
              struct billet_error *error)
{
    for (size_t end = 0; end < length; end++) {
        if (path[end] != '/')
            continue;
        const struct billet_entry *above = billet_manifest_find(&stage->manifest, path, end);
        if (above != NULL && above->type != BILLET_ENTRY_DIRECTORY)
            return refused(error, path, "it lies below something that is no directory");
        if (above != NULL)
            continue;
        char parent[4096];
        memcpy(parent, path, end);
        parent[end] = '\0';
        struct billet_entry implied = {.path = parent,
                                       .path_length = (uint32_t)end,
                                       .type = BILLET_ENTRY_DIRECTORY,
                                       .mode = 0755,
                                       .racy = true};
        int result = billet_manifest_add(&stage->manifest, &implied, error);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The new file, open for writing, and its name. */
static int
create(struct billet_stage *stage, char name[24], const char *path, struct billet_error *error)
{
    billet_stage_name(name, stage->next);
    int fd = openat(stage->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? write_failed(error, path) : fd;
}

/* Size, owner, mode and time at last, on the held file. */
static int
settle_file(struct billet_stage *stage, int fd, struct billet_entry *entry,
            struct billet_error *error)
{
    struct stat status;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = entry->mtime_ns / BILLET_NS_PER_SECOND,
                                 .tv_nsec = entry->mtime_ns % BILLET_NS_PER_SECOND}};
    if (times[1].tv_nsec < 0) {
        times[1].tv_nsec += BILLET_NS_PER_SECOND;
        times[1].tv_sec--;
    }
    if ((stage->change_owner && fchown(fd, stage->owner, stage->group) != 0) ||
        fchmod(fd, entry->mode) != 0 || fstat(fd, &status) != 0 ||
        ((uint64_t)status.st_size != entry->size && ftruncate(fd, (off_t)entry->size) != 0) ||
        futimens(fd, times) != 0)
        return write_failed(error, entry->path);
    entry->inode = status.st_ino;
    entry->device = stage->next++;
    return 0;
}

static int
write_content(struct billet_stage *stage, int fd, struct billet_archive_reader *reader,
              const struct billet_limits *limits, const struct billet_entry *entry,
              struct billet_error *error)
{
    uint64_t offset = 0;
    uint64_t look_at = FLOOR_EVERY;
    for (;;) {
        const char *bytes;
        size_t length;
        int result = billet_archive_content(reader, &bytes, &length, error);
        if (result < 0)
            return result;
        if (length == 0)
            break;
        if (offset >= look_at) {
            look_at += FLOOR_EVERY;
            result = check_room(stage, limits, 0, error);
            if (result < 0)
                return result;
        }
        if (billet_content_write(fd, bytes, length, offset) != 0)
            return write_failed(error, entry->path);
        offset += length;
    }
    return 0;
}

static int
copy_content(int from, int to, uint64_t size)
{
    if (size == 0 || ioctl(to, FICLONE, from) == 0)
        return 0;
    char buffer[65536];
    for (uint64_t offset = 0; offset < size;) {
        off_t data = lseek(from, (off_t)offset, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        if (data > 0)
            offset = (uint64_t)data;
        size_t wanted = size - offset < sizeof(buffer) ? (size_t)(size - offset) : sizeof(buffer);
        ssize_t got = pread(from, buffer, wanted, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        if (billet_content_write(to, buffer, (size_t)got, offset) != 0)
            return -1;
        offset += (uint64_t)got;
    }
    return ftruncate(to, (off_t)size);
}

static int
stage_link(struct billet_stage *stage, struct billet_entry *entry, struct billet_error *error)
{
    char name[24];
    struct stat status;
    billet_stage_name(name, stage->next);
    if (symlinkat(entry->target, stage->fd, name) != 0 ||
        (stage->change_owner &&
         fchownat(stage->fd, name, stage->owner, stage->group, AT_SYMLINK_NOFOLLOW) != 0) ||
        fstatat(stage->fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return write_failed(error, entry->path);
    entry->inode = status.st_ino;
    entry->device = stage->next++;
    return 0;
}

/* A hard link becomes a copy of what it names. */
static int
stage_hard_link(struct billet_stage *stage, const struct billet_archive_entry *said,
                const struct billet_limits *limits, struct billet_entry *entry,
                struct billet_error *error)
{
    char name[24];
    const struct billet_entry *source =
        billet_manifest_find(&stage->manifest, said->target, said->target_length);
    if (source == NULL || source->type != BILLET_ENTRY_FILE)
        return refused(error, said->path, "a hard link to what is no file of the archive");
    uint64_t number = source->device;
    entry->type = BILLET_ENTRY_FILE;
    entry->size = source->size;
    entry->mode = source->mode;
    entry->mtime_ns = source->mtime_ns;
    int result = check_room(stage, limits, source->size, error);
    if (result < 0)
        return result;
    billet_stage_name(name, number);
    /* What was read over is still in the workspace, unless somebody changed it meanwhile. */
    cleanup_fd int from =
        number != 0 ? openat(stage->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
                    : billet_root_openat(stage->root, source->path, O_RDONLY | O_NONBLOCK, 0);
    struct stat status;
    if (from < 0 || fstat(from, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size != source->size || billet_stat_mtime(&status) != source->mtime_ns)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_changed",
                                "%s went away or changed, and %s is a link to it", source->path,
                                said->path);
    cleanup_fd int to = create(stage, name, said->path, error);
    if (to < 0)
        return to;
    if (copy_content(from, to, source->size) != 0)
        return write_failed(error, said->path);
    return settle_file(stage, to, entry, error);
}

static bool
is_baseline(const struct billet_manifest *baseline, const struct billet_archive_entry *said)
{
    const struct billet_entry *known =
        baseline != NULL ? billet_manifest_find(baseline, said->path, said->path_length) : NULL;
    return known != NULL && known->type == BILLET_ENTRY_FILE && known->size == said->size &&
           said->mtime_exact && known->mtime_ns == said->mtime_ns && !known->racy &&
           (known->mode & 0755) == said->mode;
}

static int
receive_entry(struct billet_stage *stage, struct billet_archive_reader *reader,
              const struct billet_limits *limits, const struct billet_manifest *baseline,
              const struct billet_archive_entry *said, struct billet_error *error)
{
    struct billet_entry entry = {
        .path = said->path,
        .path_length = (uint32_t)said->path_length,
        .type = (uint8_t)said->type,
        .mode = said->mode,
        .size = said->size,
        .mtime_ns = said->mtime_ns,
    };
    struct billet_entry *known =
        billet_manifest_find(&stage->manifest, said->path, said->path_length);
    if (known != NULL && known->racy && said->type == BILLET_ENTRY_DIRECTORY) {
        known->racy = false;
        known->mode = said->mode;
        known->mtime_ns = said->mtime_ns;
        return 0;
    }
    if (known != NULL)
        return refused(error, said->path, "it comes twice");
    int result = check_parents(stage, said->path, said->path_length, error);
    if (result < 0)
        return result;
    if (said->type == BILLET_ENTRY_LINK) {
        entry.target = said->target;
        entry.target_length = (uint32_t)said->target_length;
        result = stage_link(stage, &entry, error);
    } else if (said->type == BILLET_ARCHIVE_HARD_LINK) {
        result = stage_hard_link(stage, said, limits, &entry, error);
    } else if (said->type == BILLET_ENTRY_FILE && !is_baseline(baseline, said)) {
        char name[24];
        result = check_room(stage, limits, said->size > FLOOR_EVERY ? said->size : 0, error);
        if (result < 0)
            return result;
        cleanup_fd int fd = create(stage, name, said->path, error);
        if (fd < 0)
            return fd;
        result = write_content(stage, fd, reader, limits, &entry, error);
        if (result == 0)
            result = settle_file(stage, fd, &entry, error);
    }
    return result < 0 ? result : billet_manifest_add(&stage->manifest, &entry, error);
}

int
billet_stage_receive(struct billet_stage *stage, struct billet_archive_reader *reader,
                     const struct billet_limits *limits, const struct billet_manifest *baseline,
                     struct billet_error *error)
{
    struct billet_archive_entry said;
    int result = check_room(stage, limits, 0, error);
    while (result == 0) {
        if (limits->deadline_ns != 0 && billet_clock_monotonic() > limits->deadline_ns)
            return billet_error_set(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                                    "the archive did not end within its time");
        result = billet_archive_next(reader, &said, error);
        if (result <= 0)
            break;
        result = receive_entry(stage, reader, limits, baseline, &said, error);
    }
    if (result == 0)
        billet_manifest_sort(&stage->manifest);
    return result;
}

int
billet_stage_take(struct billet_stage *stage, int directory_fd, const char *name,
                  const struct billet_entry *given, const struct billet_limits *limits,
                  struct billet_error *error)
{
    struct billet_entry entry = *given;
    entry.inode = entry.device = 0;
    entry.ctime_ns = 0;
    entry.mode &= 0755;
    int result = check_parents(stage, entry.path, entry.path_length, error);
    struct billet_entry *known =
        billet_manifest_find(&stage->manifest, entry.path, entry.path_length);
    if (result == 0 && known != NULL) {
        if (!known->racy || entry.type != BILLET_ENTRY_DIRECTORY)
            return refused(error, entry.path, "it comes twice");
        known->racy = false;
        known->mode = entry.mode;
        return 0;
    }
    if (result == 0 && entry.type == BILLET_ENTRY_LINK)
        result = stage_link(stage, &entry, error);
    if (result == 0 && entry.type == BILLET_ENTRY_FILE) {
        char number[24];
        struct stat status;
        cleanup_fd int from =
            openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (from < 0 || fstat(from, &status) != 0 || !S_ISREG(status.st_mode))
            return billet_error_errno(error, 0, "io_failed", from < 0 ? errno : EINVAL,
                                      "cannot read %s", entry.path);
        entry.size = (uint64_t)status.st_size;
        result = check_room(stage, limits, (uint64_t)status.st_blocks * 512, error);
        if (result < 0)
            return result;
        cleanup_fd int to = create(stage, number, entry.path, error);
        if (to < 0)
            return to;
        if (copy_content(from, to, entry.size) != 0)
            return write_failed(error, entry.path);
        result = settle_file(stage, to, &entry, error);
    }
    return result < 0 ? result : billet_manifest_add(&stage->manifest, &entry, error);
}
