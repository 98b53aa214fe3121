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
    if (copy == NULL || asprintf(&temporary, "%s.%ld.new", path, (long)getpid()) < 0)
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

int
billet_io_make_directories(const char *path, mode_t mode, struct billet_error *error)
{
    cleanup_free char *copy = strdup(path);
    if (copy == NULL)
        return billet_error_no_memory(error);
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    for (char *at = copy + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot make directory %s",
                                      copy);
        *at = '/';
    }
    if (mkdir(path, mode) != 0 && errno != EEXIST)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot make directory %s", path);
    return 0;
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

int
billet_io_open_trusted(const char *path, unsigned flags, int *fd, struct billet_error *error)
{
    cleanup_free char *real = NULL;
    struct stat status;

    if (path[0] != '/')
        return billet_error_set(error, BILLET_CLASS_CONFIG, "path_untrusted",
                                "%s is not an absolute path", path);
    if (lstat(path, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path);
    if (S_ISLNK(status.st_mode))
        return untrusted(error, path, strlen(path), "is a symbolic link", "name the file itself");
    /* Links among the directories are followed once, here; the result has none, and the walk below
     * refuses any that appears afterwards. */
    real = realpath(path, NULL);
    if (real == NULL)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot resolve %s", path);

    cleanup_fd int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open /");
    char *name = real + 1;
    for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(name, '/')) {
        *slash = '\0';
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        *slash = '/';
        if (next < 0 || fstat(next, &status) != 0) {
            int saved = errno;
            billet_close(&next);
            return billet_error_errno(error, 0, "io_failed", saved, "cannot open %s", path);
        }
        billet_close(&at);
        at = next;
        int result = check_directory(&status, real, (size_t)(slash - real), error);
        if (result < 0)
            return result;
        name = slash + 1;
    }
    cleanup_fd int file =
        openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
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
