/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "launcher.h"

#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#define MOVE_EMPTY_PATH 4u

#define UPPER "upper"
#define WORK "work"

/* ---- removing ---------------------------------------------------------------------- */

/* Open a directory for removal, whatever its owner did to its mode. */
static int
open_to_empty(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0)
        return fd;
    billet_close_fd(&fd);
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(status.st_mode) ||
        fchmodat(parent, name, 0700, 0) < 0)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Remove what is in one directory; its subdirectories are moved up beside it, so that depth needs
 * neither descriptors nor stack. */
static int
flatten(int top, const char *name, unsigned long *next)
{
    int fd = open_to_empty(top, name);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    if (directory == NULL) {
        int failed = errno;
        billet_close_fd(&fd);
        return -failed;
    }
    while ((entry = readdir(directory)) != NULL) {
        char moved[32];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM && errno != ENOENT)
            return -errno;
        if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0)
            continue;
        /* To move a directory is to write its "..". */
        int inner = open_to_empty(fd, entry->d_name);
        billet_close_fd(&inner);
        /* A removal that was cut off has left some of these names. */
        int failed;
        do {
            snprintf(moved, sizeof(moved), ".gone-%lu", (*next)++);
            failed = renameat(fd, entry->d_name, top, moved) < 0 ? errno : 0;
        } while (failed == ENOTEMPTY || failed == EEXIST);
        if (failed != 0 && failed != ENOENT)
            return -failed;
    }
    return unlinkat(top, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

DIR *
sandbox_tree_list(int directory)
{
    int fd = openat(directory, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && entries == NULL) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return entries;
}

int
sandbox_tree_remove(int directory_fd, const char *name)
{
    struct stat status;
    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(status.st_mode))
        return unlinkat(directory_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
    cleanup_fd int top = open_to_empty(directory_fd, name);
    unsigned long next = 0;
    for (bool again = true; top >= 0 && again;) {
        cleanup_dir DIR *entries = sandbox_tree_list(top);
        struct dirent *entry;
        again = false;
        if (entries == NULL)
            return -EIO;
        while ((entry = readdir(entries)) != NULL) {
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                unlinkat(top, entry->d_name, 0) == 0)
                continue;
            int result = flatten(top, entry->d_name, &next);
            if (result < 0)
                return result;
            again = true; /* what was moved up may have been missed */
        }
    }
    if (top < 0)
        return -errno;
    return unlinkat(directory_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- places ------------------------------------------------------------------------- */

static int
open_state_site(const struct billet_host *host, bool make)
{
    char path[PATH_MAX];
    const char *state = host->directory(host, BILLET_DIRECTORY_STATE);
    if (state == NULL || snprintf(path, sizeof(path), "%s/sandbox", state) >= PATH_MAX) {
        errno = ENOENT;
        return -1;
    }
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return -1;
    return open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int
sandbox_overlay_remove(const struct billet_host *host, const char *id)
{
    cleanup_fd int site = open_state_site(host, false);
    if (site < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = sandbox_tree_remove(site, id);
    return result == -ENOENT ? 0 : result;
}

int
sandbox_overlay_site(const struct billet_host *host)
{
    return open_state_site(host, false);
}

/* Empty work directory: the kernel refuses one that an unfinished volatile mount left. */
static int
renew_work(int directory)
{
    int result = sandbox_tree_remove(directory, WORK);
    return result < 0 ? result : mkdirat(directory, WORK, 0700) < 0 ? -errno : 0;
}

static int
make_directories(int directory, const struct billet_lease_handle *lease)
{
    struct stat status;
    int result = renew_work(directory);
    if (result == 0 && !lease->shared)
        result = sandbox_tree_remove(directory, UPPER);
    if (result < 0)
        return result;
    if (mkdirat(directory, UPPER, 0700) < 0)
        return errno == EEXIST && lease->shared ? 0 : -errno;
    cleanup_fd int upper =
        openat(directory, UPPER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* The root of the view has the attributes of the upper layer's. */
    if (upper < 0 || fstat(lease->work_fd, &status) < 0 ||
        (lease->identity.drop && fchown(upper, lease->identity.uid, lease->identity.gid) < 0) ||
        fchmod(upper, status.st_mode & 0777) < 0)
        return -errno;
    return 0;
}

/* ---- mounting, in a process of its own -------------------------------------------------- */

static int
write_text(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t length = strlen(text);
    return fd >= 0 && write(fd, text, length) == (ssize_t)length ? 0 : -1;
}

/* The mapping of one's own ids, which is all that an ordinary user may write. */
static int
map_self(uid_t uid, gid_t gid)
{
    char text[64];
    /* The driver host is not to be looked into, and so its files in /proc are root's; bubblewrap,
     * which this process becomes, is like any program. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int result = write_text("/proc/self/setgroups", "deny");
    snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)uid, (unsigned)uid);
    if (result == 0)
        result = write_text("/proc/self/uid_map", text);
    snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)gid, (unsigned)gid);
    if (result == 0)
        result = write_text("/proc/self/gid_map", text);
    int saved = errno;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    errno = saved;
    return result;
}

/* By descriptors: no name of these directories can be taken for options. */
static int
mount_overlay(const struct sandbox_overlay *overlay, int lower, bool user)
{
    char options[256];
    cleanup_fd int directory =
        open(overlay->directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return -1;
    snprintf(options, sizeof(options),
             "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d/" UPPER
             ",workdir=/proc/self/fd/%d/" WORK ",index=off,volatile,%s",
             lower, directory, directory, user ? "userxattr" : "redirect_dir=off,metacopy=off");
    if (mkdir(SANDBOX_STAGE_WORK, 0755) < 0 && errno != EEXIST)
        return -1;
    return mount("billet", SANDBOX_STAGE_WORK, "overlay", MS_NOSUID | MS_NODEV, options);
}

int
sandbox_overlay_mount_user(const struct sandbox_overlay *overlay, int work_fd)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    /* A layer must be in the mount namespace of the mounter: the working directory comes along into
     * the new one, a descriptor does not. */
    if (fchdir(work_fd) < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || map_self(uid, gid) < 0)
        return -1;
    cleanup_fd int lower = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("billet", SANDBOX_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0)
        return -1;
    return mount_overlay(overlay, lower, true);
}

int
sandbox_overlay_mount_root(const struct sandbox_overlay *overlay, const char *lower_path)
{
    cleanup_fd int lower = open(lower_path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return lower < 0 ? -1 : mount_overlay(overlay, lower, false);
}

/* ---- trying ------------------------------------------------------------------------- */

static int
mount_for_trial(const struct billet_lease_handle *lease, const struct sandbox_overlay *overlay)
{
    if (!lease->identity.drop)
        return sandbox_overlay_mount_user(overlay, lease->work_fd);
    int tree = sandbox_identity_mount(lease->work_fd, lease->identity.map_fd);
    if (tree < 0) {
        errno = -tree;
        return -1;
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("billet", SANDBOX_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0 ||
        mkdir(SANDBOX_STAGE_LOWER, 0755) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, SANDBOX_STAGE_LOWER, MOVE_EMPTY_PATH) < 0)
        return -1;
    return sandbox_overlay_mount_root(overlay, SANDBOX_STAGE_LOWER);
}

/* The mount ends with the process that tried. */
int
sandbox_overlay_try(const struct billet_host *host, struct billet_lease_handle *lease,
                    const struct sandbox_config *config)
{
    const struct sandbox_overlay overlay = {.directory = lease->overlay_path};
    (void)host;
    (void)config;
    int status = 0;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
            _exit(EINTR);
        /* Ended here, and not some time after this process. */
        bool good = mount_for_trial(lease, &overlay) == 0 && umount2(SANDBOX_STAGE_WORK, 0) == 0;
        _exit(good ? 0 : errno & 0xff);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

/* Make the directories in one place. */
static int
make_at(struct billet_lease_handle *lease, int site, const char *name)
{
    if (mkdirat(site, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    cleanup_fd int directory = openat(site, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (directory < 0)
        return -errno;
    int result = sandbox_lease_label(lease, directory);
    return result == 0 ? make_directories(directory, lease) : result;
}

static int
unsupported(const struct billet_lease_handle *lease, int sys_errno, struct billet_error *error)
{
    billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "sandbox_overlay_unsupported", sys_errno,
                      "%.400s cannot be shown as an overlay", lease->work_path);
    switch (sys_errno) {
    case EPERM:
    case EACCES:
    case ENOSPC: /* of user namespaces */
        return billet_fail_hint(error, "an ordinary user needs Linux 5.11 and user namespaces; "
                                       "workspace = copy or bind work without");
    case ELOOP:
        return billet_fail_hint(error, "the state directory must not lie in the workspace");
    default:
        return billet_fail_hint(error, "the state directory must be on ext4, xfs, btrfs or tmpfs, "
                                       "not on an overlay itself; workspace = copy or bind work "
                                       "without");
    }
}

static void
find_places(const struct billet_host *host, const struct billet_lease_handle *lease,
            char path[2][PATH_MAX])
{
    const char *places[] = {host->directory(host, BILLET_DIRECTORY_STATE),
                            host->directory(host, BILLET_DIRECTORY_RUNTIME)};
    for (int i = 0; i < 2; i++)
        if (places[i] == NULL || snprintf(path[i], PATH_MAX, "%s/sandbox/%s%s", places[i],
                                          lease->id, i == 0 ? "" : "/overlay") >= PATH_MAX)
            path[i][0] = '\0';
}

/* Which of the places has an upper directory, and its attributes; -1: none. */
static int
find_existing(char path[2][PATH_MAX], struct stat *status)
{
    for (int i = 0; i < 2; i++) {
        cleanup_fd int fd =
            path[i][0] != '\0' ? open(path[i], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (fd >= 0 && fstatat(fd, UPPER, status, AT_SYMLINK_NOFOLLOW) == 0)
            return i;
    }
    return -1;
}

void
sandbox_overlay_adopt(const struct billet_host *host, struct billet_lease_handle *lease)
{
    char path[2][PATH_MAX];
    struct stat status;
    find_places(host, lease, path);
    lease->identity.adopted =
        lease->shared && find_existing(path, &status) >= 0 ? status.st_uid : 0;
}

int
sandbox_overlay_prepare(const struct billet_host *host, struct billet_lease_handle *lease,
                        const struct sandbox_config *config, sandbox_overlay_trial *trial,
                        struct billet_error *error)
{
    char path[2][PATH_MAX];
    cleanup_fd int state = open_state_site(host, true);
    const struct {
        int fd;
        const char *name;
    } sites[] = {{state, lease->id}, {lease->directory_fd, "overlay"}};
    struct stat status;
    int result = -ENOENT;

    lease->overlay_path[0] = '\0';
    find_places(host, lease, path);
    /* A second user takes what the first one chose, and must not touch what is mounted. */
    int existing = lease->shared ? find_existing(path, &status) : -1;
    if (existing >= 0) {
        memcpy(lease->overlay_path, path[existing], PATH_MAX);
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        if (sites[i].fd < 0 || path[i][0] == '\0')
            continue;
        result = make_at(lease, sites[i].fd, sites[i].name);
        memcpy(lease->overlay_path, path[i], PATH_MAX);
        if (result == 0)
            result = trial(host, lease, config);
        if (result == 0)
            return 0;
        lease->overlay_path[0] = '\0';
        sandbox_tree_remove(sites[i].fd, sites[i].name);
    }
    return unsupported(lease, -result, error);
}

/* ---- one mount for one sandbox ------------------------------------------------------------ */

int
sandbox_overlay_begin(const struct billet_lease_handle *lease, struct sandbox_overlay *overlay,
                      struct billet_error *error)
{
    *overlay = (struct sandbox_overlay)SANDBOX_OVERLAY_INIT;
    if (lease->overlay_path[0] == '\0')
        return 0;
    overlay->directory = lease->overlay_path;
    /* What is left of an earlier sandbox, which nobody can reach any more, has it mounted still. */
    int result = sandbox_lease_stop(lease->directory_fd, NULL, 0, error);
    if (result < 0)
        return result;
    cleanup_fd int directory =
        open(lease->overlay_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    result = directory < 0 ? -errno : renew_work(directory);
    return result < 0 ? billet_fail_errno(error, 0, "sandbox_start_failed", -result,
                                          "cannot prepare the overlay of the workspace")
                      : 0;
}
