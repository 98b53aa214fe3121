/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/uuid.h"

#define MAX_LINKS 40

int
billet_io_write_all(int fd, const void *bytes, size_t length, struct billet_error *error)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = write(fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot write");
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

int
billet_io_read_all(int fd, struct billet_buffer *to, size_t limit, struct billet_error *error)
{
    size_t start = to->length;
    for (;;) {
        size_t chunk = 16384;
        char *at = billet_buffer_reserve(to, chunk);
        if (at == NULL)
            return billet_error_no_memory(error);
        ssize_t got = read(fd, at, chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot read");
        to->length += (size_t)got;
        to->data[to->length] = '\0';
        if (got == 0)
            return 0;
        if (to->length - start > limit)
            return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                    "more than %zu bytes", limit);
    }
}

int
billet_io_read_file(const char *path, struct billet_buffer *to, size_t limit,
                    struct billet_error *error)
{
    struct stat status;
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path);
    if (fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot look at %s", path);
    if (!S_ISREG(status.st_mode))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "io_failed", "%s is not a regular file",
                                path);
    int result = billet_io_read_all(fd, to, limit, error);
    return result < 0 ? billet_error_wrap(error, "%s", path) : 0;
}

int
billet_io_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                       struct billet_error *error)
{
    cleanup_free char *temporary = NULL;
    cleanup_free char *copy = strdup(path);
    char unique[BILLET_UUID_SIZE]; /* a process number comes again, in each container */
    billet_uuid_make(unique);
    if (copy == NULL || asprintf(&temporary, "%s.%s.new", path, unique) < 0)
        return billet_error_no_memory(error);
    cleanup_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot create %s", temporary);
    int result = billet_io_write_all(fd, bytes, length, error);
    if (result == 0 && fsync(fd) != 0)
        result = billet_error_errno(error, 0, "io_failed", errno, "cannot sync");
    if (result == 0 && rename(temporary, path) != 0)
        result = billet_error_errno(error, 0, "io_failed", errno, "cannot rename %s", temporary);
    if (result < 0) {
        unlink(temporary);
        return billet_error_wrap(error, "cannot replace %s", path);
    }
    cleanup_fd int directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0)
        fsync(directory);
    return 0;
}

static int
make_directory(const char *path, mode_t mode, struct billet_error *error)
{
    struct stat status;
    int reason = mkdir(path, mode) == 0 ? 0 : errno;
    if (reason == EEXIST)
        reason = stat(path, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
    if (reason != 0)
        return billet_error_errno(error, 0, "io_failed", reason, "cannot make directory %s", path);
    return 0;
}

int
billet_io_make_directories(const char *path, mode_t mode, struct billet_error *error)
{
    cleanup_free char *copy = strdup(path);
    if (copy == NULL)
        return billet_error_no_memory(error);
    /* What is there needs no look at its parents. */
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return make_directory(path, mode, error);
    for (char *at = strchr(copy + (copy[0] == '/'), '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        int result = make_directory(copy, mode, error);
        if (result < 0)
            return result;
        *at = '/';
    }
    return make_directory(path, mode, error);
}

static int
untrusted(struct billet_error *error, const char *path, size_t length, const char *why,
          const char *remedy)
{
    billet_error_set(error, BILLET_CLASS_AUTH, "path_untrusted", "%.*s %s", (int)length, path, why);
    return billet_error_hint(error, "%s", remedy);
}

static bool
trusted_owner(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

/* One directory of the walk; sticky directories of root are passed when the next is the caller's.
 */
static int
check_directory(const struct stat *status, const char *path, size_t length,
                struct billet_error *error)
{
    if (!trusted_owner(status->st_uid))
        return untrusted(error, path, length, "belongs to another user",
                         "chown it to root or to the user who runs billet");
    if ((status->st_mode & 022) != 0 && !((status->st_mode & S_ISVTX) != 0 && status->st_uid == 0))
        return untrusted(error, path, length, "is writable by group or others",
                         "chmod go-w the directory");
    return 0;
}

/* The walk: the directory reached, its path for messages, and what is still to be walked. */
struct walk {
    int at;
    struct billet_buffer reached;
    char *rest;
    int links;
};

static void
walk_free(struct walk *walk)
{
    billet_close(&walk->at);
    billet_buffer_free(&walk->reached);
    free(walk->rest);
}

/* To the root of the file system. */
static int
walk_restart(struct walk *walk, struct billet_error *error)
{
    billet_close(&walk->at);
    walk->at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    billet_buffer_free(&walk->reached);
    return walk->at < 0 ? billet_error_errno(error, 0, "io_failed", errno, "cannot open /") : 0;
}

/* Put what the link names in place of it. Only links of trusted owners are followed: whoever owns
 * one chooses the file behind it. */
static int
walk_follow(struct walk *walk, int link, const struct stat *status, const char *rest,
            const char *path, struct billet_error *error)
{
    char target[PATH_MAX];
    char *whole = NULL;
    const char *reached = billet_buffer_text(&walk->reached);

    if (!trusted_owner(status->st_uid))
        return untrusted(error, reached, strlen(reached), "is a symbolic link of another user",
                         "name the directory itself");
    ssize_t length = readlinkat(link, "", target, sizeof(target) - 1);
    if (++walk->links > MAX_LINKS || length < 0 || length == sizeof(target) - 1)
        return billet_error_errno(error, 0, "io_failed", length < 0 ? errno : ELOOP,
                                  "cannot resolve %s", path);
    target[length] = '\0';
    if (asprintf(&whole, "%s/%s", target, rest) < 0)
        return billet_error_no_memory(error);
    free(walk->rest);
    walk->rest = whole;
    return target[0] == '/' ? walk_restart(walk, error) : 0;
}

/* One component that is not the last. */
static int
walk_step(struct walk *walk, const char *name, const char *rest, const char *path,
          struct billet_error *error)
{
    struct stat status;
    size_t before = walk->reached.length;
    cleanup_fd int next = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0 || fstat(next, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path);
    billet_buffer_format(&walk->reached, "/%s", name);
    if (walk->reached.failed)
        return billet_error_no_memory(error);
    if (S_ISLNK(status.st_mode)) {
        int result = walk_follow(walk, next, &status, rest, path, error);
        if (walk->reached.length > before) { /* not restarted */
            walk->reached.length = before;
            walk->reached.data[before] = '\0';
        }
        return result;
    }
    if (!S_ISDIR(status.st_mode))
        return billet_error_errno(error, 0, "io_failed", ENOTDIR, "cannot open %s", path);
    int result = check_directory(&status, walk->reached.data, walk->reached.length, error);
    if (result < 0)
        return result;
    billet_close(&walk->at);
    walk->at = billet_steal_fd(&next);
    char *rest_copy = strdup(rest);
    if (rest_copy == NULL)
        return billet_error_no_memory(error);
    free(walk->rest);
    walk->rest = rest_copy;
    return 0;
}

int
billet_io_open_trusted(const char *path, unsigned flags, int *fd, struct billet_error *error)
{
    __attribute__((cleanup(walk_free))) struct walk walk = {.at = -1, .rest = strdup(path)};
    struct stat status;

    if (path[0] != '/')
        return billet_error_set(error, BILLET_CLASS_CONFIG, "path_untrusted",
                                "%s is not an absolute path", path);
    if (walk.rest == NULL)
        return billet_error_no_memory(error);
    int result = walk_restart(&walk, error);
    char *name = walk.rest;
    for (;;) {
        if (result < 0)
            return result;
        name = walk.rest + strspn(walk.rest, "/");
        char *slash = strchr(name, '/');
        if (slash == NULL)
            break;
        *slash = '\0';
        result = walk_step(&walk, name, slash + 1, path, error);
    }
    cleanup_fd int file = openat(walk.at, name[0] != '\0' ? name : ".",
                                 O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0 && errno == ELOOP)
        return untrusted(error, path, strlen(path), "is a symbolic link", "name the file itself");
    if (file < 0 || fstat(file, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path);
    if (!S_ISREG(status.st_mode))
        return untrusted(error, path, strlen(path), "is not a regular file", "put a file there");
    if (!trusted_owner(status.st_uid))
        return untrusted(error, path, strlen(path), "belongs to another user",
                         "chown it to root or to the user who runs billet");
    if ((status.st_mode & 022) != 0)
        return untrusted(error, path, strlen(path), "is writable by group or others",
                         "chmod go-w the file");
    if ((flags & BILLET_TRUST_PRIVATE) != 0 && (status.st_mode & 044) != 0)
        return untrusted(error, path, strlen(path), "is readable by group or others",
                         "chmod 0400 the file");
    *fd = billet_steal_fd(&file);
    return 0;
}
