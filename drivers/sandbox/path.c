/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/cleanup.h"

#define LINKS_MAX 40 /* as the kernel's own limit, path_resolution(7) */

/* Cut the first part off rest into part; false at the end. */
static bool
next_part(char *rest, char part[NAME_MAX + 1], int *result)
{
    size_t skip = strspn(rest, "/");
    size_t length = strcspn(rest + skip, "/");
    if (length == 0)
        return false;
    if (length > NAME_MAX) {
        *result = -ENAMETOOLONG;
        return false;
    }
    memcpy(part, rest + skip, length);
    part[length] = '\0';
    memmove(rest, rest + skip + length, strlen(rest + skip + length) + 1);
    return true;
}

/* Put the target of the link before what is left to follow. */
static int
take_link(const char *link, char *resolved, char rest[PATH_MAX])
{
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    int written = snprintf(joined, sizeof(joined), "%s/%s", target, rest);
    if (written < 0 || written >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(rest, joined, (size_t)written + 1);
    if (target[0] == '/')
        resolved[0] = '\0';
    return 0;
}

int
sandbox_path_follow(const char *path, const struct sandbox_place *place, char resolved[PATH_MAX],
                    bool *through)
{
    char rest[PATH_MAX], part[NAME_MAX + 1], next[PATH_MAX];
    struct stat status;
    int links = 0, result = 0;

    *through = false;
    resolved[0] = '\0'; /* the root */
    if (path[0] != '/')
        return -EINVAL;
    if (snprintf(rest, sizeof(rest), "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    while (next_part(rest, part, &result)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            char *last = strrchr(resolved, '/');
            if (last != NULL)
                *last = '\0';
            continue;
        }
        int written = snprintf(next, sizeof(next), "%s/%s", resolved, part);
        if (written < 0 || written >= PATH_MAX)
            return -ENAMETOOLONG;
        if (lstat(next, &status) < 0)
            return -errno;
        if (S_ISLNK(status.st_mode)) {
            if (++links > LINKS_MAX)
                return -ELOOP;
            result = take_link(next, resolved, rest);
            if (result < 0)
                return result;
            continue;
        }
        memcpy(resolved, next, (size_t)written + 1);
        if (place->inode != 0 && (uint64_t)status.st_ino == place->inode &&
            (uint64_t)status.st_dev == place->device)
            *through = true;
    }
    if (resolved[0] == '\0')
        strcpy(resolved, "/");
    return result;
}

bool
sandbox_path_is_public(const char *path)
{
    char rest[PATH_MAX], part[NAME_MAX + 1];
    struct stat status;
    struct statfs about;
    int result = 0;
    if (path[0] != '/' || snprintf(rest, sizeof(rest), "%s", path) >= PATH_MAX)
        return false;
    cleanup_fd int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (next_part(rest, part, &result)) {
        if (fstat(at, &status) < 0 || (status.st_mode & S_IXOTH) == 0)
            return false;
        int next = openat(at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        billet_close_fd(&at);
        at = next;
    }
    return result == 0 && fstat(at, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH) &&
           fstatfs(at, &about) == 0 && about.f_type != FUSE_SUPER_MAGIC;
}
