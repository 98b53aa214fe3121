/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Set once when the kernel turns out not to have openat2. */
static atomic_bool openat2_missing;

int
billet_root_adopt(struct billet_root *root, int fd, struct billet_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "workspace");
    if (!S_ISDIR(status.st_mode))
        return billet_error_errno(error, BILLET_CLASS_CONFIG, "io_failed", ENOTDIR, "workspace");
    *root = (struct billet_root){.fd = fd, .device = status.st_dev};
    return 0;
}

int
billet_root_open(struct billet_root *root, const char *path, struct billet_error *error)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "directory %s", path);
    int result = billet_root_adopt(root, fd, error);
    if (result == 0)
        billet_steal_fd(&fd);
    return result;
}

void
billet_root_close(struct billet_root *root)
{
    billet_close(&root->fd);
}

/* "" or plain components only: this is the last line of defence, not the first. */
static bool
is_plain(const char *path)
{
    if (path[0] == '\0')
        return true;
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += size;
        if (*at == '\0')
            return true;
    }
}

/* Without openat2: hold each directory, step from fd to fd. */
static int
open_by_steps(const struct billet_root *root, const char *path, int flags, mode_t mode)
{
    cleanup_fd int at = -1;
    char name[NAME_MAX + 1];
    for (;;) {
        size_t size = strcspn(path, "/");
        int from = at >= 0 ? at : root->fd;
        if (path[size] == '\0')
            return openat(from, path, flags, mode);
        if (size > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, size);
        name[size] = '\0';
        int next = openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat status;
        if (next < 0) {
            if (errno == ENOTDIR && fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
                errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
            return -1;
        }
        billet_close(&at);
        at = next;
        if (fstat(at, &status) != 0)
            return -1;
        if (status.st_dev != root->device) {
            errno = EXDEV;
            return -1;
        }
        path += size + 1;
    }
}

/* A directory reached in the last step may still be a mount of another device. */
static int
refuse_other_device(const struct billet_root *root, int fd)
{
    struct stat status;
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) != 0 || (S_ISDIR(status.st_mode) && status.st_dev != root->device)) {
        close(fd);
        errno = EXDEV;
        return -1;
    }
    return fd;
}

int
billet_root_openat(const struct billet_root *root, const char *path, int flags, mode_t mode)
{
    if (!is_plain(path)) {
        errno = EINVAL;
        return -1;
    }
    flags |= O_CLOEXEC | O_NOFOLLOW;
    if (path[0] == '\0')
        return openat(root->fd, ".", flags, mode);
    if (!root->walk && !atomic_load_explicit(&openat2_missing, memory_order_relaxed)) {
        struct open_how how = {
            .flags = (uint64_t)(unsigned)flags,
            .mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0,
            .resolve =
                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        for (int attempt = 0; attempt < 64; attempt++) {
            long fd = syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
            if (fd >= 0)
                return (int)fd;
            if (errno != EAGAIN && errno != EINTR)
                break;
        }
        if (errno != ENOSYS && errno != EPERM)
            return -1;
        if (errno == ENOSYS)
            atomic_store(&openat2_missing, true);
    }
    return refuse_other_device(root, open_by_steps(root, path, flags, mode));
}

int
billet_root_parent(const struct billet_root *root, const char *path, const char **leaf)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    if (!is_plain(path) || path[0] == '\0' || length >= sizeof(parent)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(parent, path, length);
    parent[length] = '\0';
    *leaf = slash != NULL ? slash + 1 : path;
    return billet_root_openat(root, parent, O_PATH | O_DIRECTORY, 0);
}

int
billet_root_parent_cached(const struct billet_root *root, struct billet_root_cache *cache,
                          const char *path, const char **leaf)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    if (cache->fd >= 0 && strncmp(cache->directory, path, length) == 0 &&
        cache->directory[length] == '\0') {
        *leaf = slash != NULL ? slash + 1 : path;
        return cache->fd;
    }
    billet_close(&cache->fd);
    if (length >= sizeof(cache->directory)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cache->fd = billet_root_parent(root, path, leaf);
    memcpy(cache->directory, path, length);
    cache->directory[length] = '\0';
    return cache->fd;
}

void
billet_root_cache_clear(struct billet_root_cache *cache)
{
    billet_close(&cache->fd);
}

int
billet_root_stat(const struct billet_root *root, const char *path, struct stat *status)
{
    const char *leaf;
    if (path[0] == '\0')
        return fstat(root->fd, status);
    cleanup_fd int parent = billet_root_parent(root, path, &leaf);
    return parent < 0 ? -1 : fstatat(parent, leaf, status, AT_SYMLINK_NOFOLLOW);
}

int
billet_root_make_parents(const struct billet_root *root, const char *path)
{
    const char *leaf;
    int fd = billet_root_parent(root, path, &leaf);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != ENOENT)
        return -1;
    char parent[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 0; i < length; i++) {
        if (path[i] != '/')
            continue;
        memcpy(parent, path, i);
        parent[i] = '\0';
        cleanup_fd int above = billet_root_parent(root, parent, &leaf);
        if (above < 0 || (mkdirat(above, leaf, 0755) != 0 && errno != EEXIST))
            return -1;
    }
    return 0;
}
