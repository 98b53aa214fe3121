/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"

/* Linux 5.2 and 5.12; the same on all architectures but alpha. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define TREE_CLONE 1u
#define ATTR_NOSUID 0x2u
#define ATTR_NODEV 0x4u
#define ATTR_IDMAP 0x00100000u
#define ADOPT_PATIENCE (2 * BILLET_NS_PER_SECOND)

struct mount_attribute {
    uint64_t attr_set;
    uint64_t attr_clr;
    uint64_t propagation;
    uint64_t userns_fd;
};

static uint32_t
hash(const char *text)
{
    uint32_t value = 2166136261u;
    for (; *text != '\0'; text++)
        value = (value ^ (unsigned char)*text) * 16777619u;
    return value;
}

/* The locked file: the one that has the name still, since its last holder removes it. Or -errno,
 * -EWOULDBLOCK when it is taken. */
static int
lock_id(int pool, const char *name)
{
    for (int i = 0; i < 100; i++) {
        struct stat held, named;
        cleanup_fd int fd = openat(pool, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return errno == EINTR ? -EWOULDBLOCK : -errno;
        if (fstat(fd, &held) == 0 && fstatat(pool, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            held.st_ino == named.st_ino && held.st_dev == named.st_dev)
            return billet_take_fd(&fd);
    }
    return -EWOULDBLOCK;
}

/* The id that the lease's files belong to already; whoever holds it, an earlier sandbox of the
 * lease, is ending. fd of the lock, or an error. */
static int
lock_adopted(int pool, uint32_t id, const char *seed, struct billet_error *error)
{
    const int64_t limit_ns = billet_monotonic_ns() + ADOPT_PATIENCE;
    char name[32];
    int fd;
    snprintf(name, sizeof(name), "%u", id);
    while ((fd = lock_id(pool, name)) == -EWOULDBLOCK && billet_monotonic_ns() < limit_ns)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (fd >= 0)
        return fd;
    if (fd != -EWOULDBLOCK)
        return billet_fail_errno(error, 0, "io_failed", -fd, "cannot lock user id %u", id);
    billet_fail(error, BILLET_CLASS_CAPACITY, "sandbox_ids_exhausted",
                "user id %u, to which what lease %s changed belongs, is in use by another lease",
                id, seed);
    return billet_fail_hint(error, "'billet pull' brings the changes back, and the lease goes on "
                                   "with another user id");
}

static int
take_locked(struct sandbox_identity *identity, uint32_t id, int fd, int *pool)
{
    identity->taken = true;
    identity->uid = id;
    identity->gid = id;
    identity->locked = id;
    identity->lock_fd = fd;
    identity->pool_fd = billet_take_fd(pool);
    return 0;
}

int
sandbox_identity_take(const struct sandbox_config *config, int directory_fd, const char *seed,
                      struct sandbox_identity *identity, struct billet_error *error)
{
    uid_t adopted = identity->adopted;
    *identity = (struct sandbox_identity)SANDBOX_IDENTITY_INIT;
    identity->adopted = adopted;
    identity->uid = geteuid();
    identity->gid = getegid();
    identity->drop = identity->uid == 0;
    if (!identity->drop) {
        identity->taken = true;
        return 0;
    }
    if (mkdirat(directory_fd, "uids", 0700) < 0 && errno != EEXIST)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot make the directory of ids");
    cleanup_fd int pool =
        openat(directory_fd, "uids", O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (pool < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot open the directory of ids");
    if (adopted >= config->uid_base && adopted - config->uid_base < config->uid_count) {
        int fd = lock_adopted(pool, adopted, seed, error);
        return fd < 0 ? fd : take_locked(identity, adopted, fd, &pool);
    }
    uint32_t start = hash(seed) % config->uid_count;
    for (uint32_t i = 0; i < config->uid_count; i++) {
        uint32_t id = config->uid_base + (start + i) % config->uid_count;
        char name[32];
        snprintf(name, sizeof(name), "%u", id);
        int fd = lock_id(pool, name);
        if (fd < 0 && fd != -EWOULDBLOCK)
            return billet_fail_errno(error, 0, "io_failed", -fd, "cannot lock user id %u", id);
        if (fd >= 0)
            return take_locked(identity, id, fd, &pool);
    }
    billet_fail(error, BILLET_CLASS_CAPACITY, "sandbox_ids_exhausted",
                "all %u user ids from %u on are in use by leases", config->uid_count,
                config->uid_base);
    return billet_fail_hint(error, "release leases or raise uid_count");
}

void
sandbox_identity_give_back(struct sandbox_identity *identity)
{
    if (identity->lock_fd >= 0 && identity->pool_fd >= 0 && !identity->shared) {
        char name[32];
        snprintf(name, sizeof(name), "%u", (unsigned)identity->locked);
        unlinkat(identity->pool_fd, name, 0); /* while the lock is ours */
    }
    billet_close_fd(&identity->lock_fd);
    billet_close_fd(&identity->pool_fd);
    billet_close_fd(&identity->map_fd);
}

void
sandbox_identity_tidy(int directory_fd)
{
    int pool = openat(directory_fd, "uids", O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    cleanup_dir DIR *entries = pool >= 0 ? fdopendir(pool) : NULL;
    struct dirent *entry;
    if (entries == NULL) {
        billet_close_fd(&pool);
        return;
    }
    while ((entry = readdir(entries)) != NULL) {
        cleanup_fd int fd = entry->d_name[0] != '.' ? lock_id(pool, entry->d_name) : -1;
        if (fd >= 0)
            unlinkat(pool, entry->d_name, 0); /* while the lock is ours */
    }
}

int
sandbox_identity_map_text(char *text, size_t size, unsigned long owner, unsigned long lease)
{
    const unsigned long end = UINT32_MAX - 1; /* -1 is no id */
    unsigned long low = owner < lease ? owner : lease, high = owner < lease ? lease : owner;
    size_t length = 0;
    struct {
        unsigned long first, lower, count;
    } extents[] = {
        {0, 0, low},
        {owner, lease, 1},
        {low + 1, low + 1, high - low - 1},
        {high + 1, high + 1, end - high},
    };
    if (owner == lease || high >= end)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(extents) / sizeof(extents[0]); i++) {
        if (extents[i].count == 0)
            continue;
        int written = snprintf(text + length, size - length, "%lu %lu %lu\n", extents[i].first,
                               extents[i].lower, extents[i].count);
        if (written < 0 || (size_t)written >= size - length)
            return -EOVERFLOW;
        length += (size_t)written;
    }
    return 0;
}

static int
write_map(pid_t pid, const char *name, unsigned long owner, unsigned long lease)
{
    char path[64], text[256];
    int result = sandbox_identity_map_text(text, sizeof(text), owner, lease);
    if (result < 0)
        return result;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

/* A user namespace lives as long as a descriptor of it: a child makes it and ends. */
int
sandbox_identity_namespace(const struct sandbox_identity *identity, uid_t owner, gid_t group)
{
    int ready[2];
    char path[64], byte;

    if (pipe2(ready, O_CLOEXEC) < 0)
        return -errno;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        byte = unshare(CLONE_NEWUSER) == 0 ? 1 : 0;
        /* Not before: the new credentials take the death signal away. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
            _exit(0);
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(0);
    }
    int result = pid < 0 ? -errno : 0;
    close(ready[1]);
    if (pid > 0) {
        if (read(ready[0], &byte, 1) != 1 || byte != 1)
            result = -EPERM;
        if (result == 0)
            result = write_map(pid, "gid_map", group, identity->gid);
        if (result == 0)
            result = write_map(pid, "uid_map", owner, identity->uid);
        if (result == 0) {
            snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
            result = open(path, O_RDONLY | O_CLOEXEC);
            if (result < 0)
                result = -errno;
        }
        kill(pid, SIGKILL); /* our own child, not reaped: the number is still its own */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ready[0]);
    return result;
}

int
sandbox_identity_mount(int directory_fd, int map_fd)
{
    int tree = (int)syscall(SYS_open_tree, directory_fd, "",
                            TREE_CLONE | (unsigned)O_CLOEXEC | (unsigned)AT_EMPTY_PATH);
    if (tree < 0)
        return -errno;
    struct mount_attribute attribute = {.attr_set = ATTR_NOSUID | ATTR_NODEV};
    if (map_fd >= 0) {
        attribute.attr_set |= ATTR_IDMAP;
        attribute.userns_fd = (uint64_t)map_fd;
    }
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attribute, sizeof(attribute)) < 0) {
        int failure = errno;
        close(tree);
        return -failure;
    }
    return tree;
}

static int
degrade(struct sandbox_identity *identity, const struct stat *status, int sys_errno,
        const struct sandbox_config *config, const char *path, struct billet_error *error)
{
    if (config->allow_degraded && status->st_uid != 0) {
        identity->uid = status->st_uid;
        identity->gid = status->st_gid != 0 ? status->st_gid : (gid_t)status->st_uid;
        return 0;
    }
    billet_fail_errno(
        error, BILLET_CLASS_UNAVAILABLE, "sandbox_idmap_unsupported", sys_errno,
        "the file system of %s cannot show the workspace to another user id (id-mapped "
        "mount)",
        path);
    if (sys_errno == ENOSYS)
        return billet_fail_hint(error,
                                "id-mapped mounts need Linux 5.12; run billet as an ordinary "
                                "user who owns the workspace");
    if (status->st_uid == 0)
        return billet_fail_hint(error, "move the workspace to ext4, xfs, btrfs or tmpfs, or run "
                                       "billet as an ordinary user who owns it; a sandbox never "
                                       "runs as root");
    return billet_fail_hint(error, "move the workspace to ext4, xfs, btrfs or tmpfs, run billet as "
                                   "its owner, or set allow_degraded = yes to run as the owner");
}

int
sandbox_identity_map(struct sandbox_identity *identity, const struct sandbox_config *config,
                     int work_fd, const char *path, struct billet_error *error)
{
    struct stat status;

    billet_close_fd(&identity->map_fd);
    if (!identity->drop)
        return 0;
    identity->uid = identity->adopted != 0 ? identity->adopted : identity->locked;
    identity->gid = (gid_t)identity->uid; /* an earlier workspace may have changed it */
    if (fstat(work_fd, &status) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot look at workspace %s", path);
    int result = sandbox_identity_namespace(identity, status.st_uid, status.st_gid);
    if (result < 0)
        return degrade(identity, &status, -result, config, path, error);
    identity->map_fd = result;
    result = sandbox_identity_mount(work_fd, identity->map_fd);
    if (result < 0) {
        billet_close_fd(&identity->map_fd);
        return degrade(identity, &status, -result, config, path, error);
    }
    close(result);
    return 0;
}
