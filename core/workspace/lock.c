/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

#define WAIT_FIRST_NS 1000000
#define WAIT_MOST_NS 50000000

static int
make_name(const struct billet_root *root, char name[65], struct billet_error *error)
{
    struct stat status;
    unsigned char sum[32];
    uint64_t identity[2];
    if (fstat(root->fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "workspace");
    identity[0] = status.st_dev;
    identity[1] = status.st_ino;
    crypto_generichash(sum, sizeof(sum), (const unsigned char *)identity, sizeof(identity), NULL,
                       0);
    sodium_bin2hex(name, 65, sum, sizeof(sum));
    return 0;
}

static int
open_private(const char *path, int *fd, struct billet_error *error)
{
    struct stat status;
    int result = billet_io_make_directories(path, 0700, error);
    if (result < 0)
        return result;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "state directory %s", path);
    if ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & 022) != 0) {
        billet_close(fd);
        billet_error_set(error, BILLET_CLASS_AUTH, "path_untrusted",
                         "state directory %s belongs to another user or others can write to it",
                         path);
        return billet_error_hint(error, "chmod go-w %s, or give another directory", path);
    }
    return 0;
}

static int
take(int fd, int64_t deadline_ns, struct billet_error *error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    for (int64_t wait = WAIT_FIRST_NS;; wait = wait < WAIT_MOST_NS ? wait * 2 : WAIT_MOST_NS) {
        if (deadline_ns == 0) {
            if (fcntl(fd, F_OFD_SETLKW, &whole) == 0)
                return 0;
        } else if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
            return 0;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EACCES)
            return billet_error_errno(error, 0, "io_failed", errno, "lock of the workspace");
        if (billet_clock_monotonic() >= deadline_ns) {
            billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_busy",
                             "another run works on this workspace");
            return billet_error_hint(error, "wait for it; billet lease list shows it");
        }
        struct timespec pause = {.tv_nsec = wait};
        nanosleep(&pause, NULL);
    }
}

int
billet_workspace_lock(struct billet_workspace_lock *lock, const struct billet_root *root,
                      const char *state_directory, int64_t deadline_ns, struct billet_error *error)
{
    char name[65];
    cleanup_fd int above = -1;
    int result = make_name(root, name, error);
    if (result == 0)
        result = open_private(state_directory, &above, error);
    if (result < 0)
        return result;
    if (mkdirat(above, name, 0700) != 0 && errno != EEXIST)
        return billet_error_errno(error, 0, "io_failed", errno, "state directory %s",
                                  state_directory);
    cleanup_fd int directory = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_fd int fd =
        directory >= 0 ? openat(directory, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)
                       : -1;
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "state directory %s/%s",
                                  state_directory, name);
    result = take(fd, deadline_ns, error);
    if (result < 0)
        return result;
    lock->directory_fd = billet_steal_fd(&directory);
    lock->fd = billet_steal_fd(&fd);
    return 0;
}

void
billet_workspace_unlock(struct billet_workspace_lock *lock)
{
    billet_close(&lock->fd);
    billet_close(&lock->directory_fd);
}
