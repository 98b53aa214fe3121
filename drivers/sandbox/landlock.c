/* SPDX-License-Identifier: Apache-2.0 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol.h"

/* The same numbers on every architecture but alpha (kernel, include/uapi/asm-generic/unistd.h). */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define CREATE_VERSION 1u
#define RULE_PATH_BENEATH 1

/* Access rights, include/uapi/linux/landlock.h of Linux 6.12. */
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_CHAR (UINT64_C(1) << 6)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_MAKE_FIFO (UINT64_C(1) << 10)
#define FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define FS_MAKE_SYM (UINT64_C(1) << 12)
#define FS_REFER (UINT64_C(1) << 13)     /* version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */

#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* version 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define FS_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_LOOK (FS_READ_FILE | FS_READ_DIR)
#define FS_RUN (FS_LOOK | FS_EXECUTE)
#define FS_WORK                                                                            \
    (FS_RUN | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | \
     FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE)
#define FS_DEVICE (FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attribute {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* version 4 */
    uint64_t scoped;             /* version 6 */
};

struct path_attribute {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

struct rule {
    const char *path;
    uint64_t access;
};

/* Only what exists gets a rule. Directories may be listed everywhere: a plain "ls /" must work, and
 * the mount namespace holds nothing but what the profile put there. TCP is left to the network
 * namespace, whose loopback test suites use; without one, seccomp and this layer could not tell a
 * bridge from a neighbour either. */
static const struct rule rules[] = {
    {"/", FS_READ_DIR},          {"/usr", FS_RUN},         {"/bin", FS_RUN},
    {"/sbin", FS_RUN},           {"/lib", FS_RUN},         {"/lib32", FS_RUN},
    {"/lib64", FS_RUN},          {"/libx32", FS_RUN},      {"/etc", FS_LOOK},
    {"/proc", FS_LOOK},          {SANDBOX_WORK, FS_WORK},  {"/tmp", FS_WORK},
    {"/dev/shm", FS_WORK},       {"/dev/null", FS_DEVICE}, {"/dev/zero", FS_DEVICE},
    {"/dev/full", FS_DEVICE},    {"/dev/tty", FS_DEVICE},  {"/dev/random", FS_DEVICE},
    {"/dev/urandom", FS_DEVICE}, {"/dev/pts", FS_DEVICE},
};

int
sandbox_landlock_abi(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version > 0 ? (int)version : 0;
}

static uint64_t
handled(int abi)
{
    uint64_t mask = FS_MAKE_SYM | (FS_MAKE_SYM - 1);
    if (abi >= 2)
        mask |= FS_REFER;
    if (abi >= 3)
        mask |= FS_TRUNCATE;
    if (abi >= 5)
        mask |= FS_IOCTL_DEV;
    return mask;
}

static int
allow(int ruleset, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    struct stat status;
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode))
        access &= FS_FILE;
    struct path_attribute attribute = {.allowed_access = access, .parent_fd = fd};
    long result = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attribute, 0);
    int failure = result < 0 ? errno : 0;
    close(fd);
    return failure;
}

int
sandbox_landlock_apply(const char *const *readable, size_t count)
{
    int abi = sandbox_landlock_abi();
    if (abi == 0)
        return ENOSYS;
    uint64_t mask = handled(abi);
    struct ruleset_attribute attribute = {.handled_access_fs = mask};
    size_t size = abi >= 6   ? sizeof(attribute)
                  : abi >= 4 ? offsetof(struct ruleset_attribute, scoped)
                             : offsetof(struct ruleset_attribute, handled_access_net);
    if (abi >= 6)
        attribute.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attribute, size, 0);
    if (ruleset < 0)
        return errno;
    int failure = 0;
    for (size_t i = 0; failure == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
        failure = allow(ruleset, rules[i].path, rules[i].access & mask);
    for (size_t i = 0; failure == 0 && i < count; i++)
        failure = allow(ruleset, readable[i], FS_RUN & mask);
    if (failure == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        failure = errno;
    close(ruleset);
    return failure;
}
