/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fail.h"
#include "protocol.h"

/* The environment's own variables; what the caller gives comes in place of them. HOME is the
 * sandbox's /tmp: writable, and gone with it. */
static const char *const defaults[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/tmp",
    "USER=billet",
    "LOGNAME=billet",
    "SHELL=/bin/sh",
    "LANG=C.UTF-8",
};

static bool
is_given(const char *const *environment, const char *entry)
{
    size_t name = (size_t)(strchr(entry, '=') - entry) + 1;
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        if (strncmp(environment[i], entry, name) == 0)
            return true;
    return false;
}

static void
add_environment(struct sandbox_strings *strings, const char *const *environment)
{
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!is_given(environment, defaults[i]))
            sandbox_strings_add(strings, defaults[i]);
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        if (strchr(environment[i], '=') != NULL)
            sandbox_strings_add(strings, environment[i]);
}

static void
host_namespaces(uint64_t inodes[SANDBOX_NAMESPACES])
{
    static const char *const names[SANDBOX_NAMESPACES] = SANDBOX_NAMESPACE_NAMES;
    char path[64];
    for (int i = 0; i < SANDBOX_NAMESPACES; i++) {
        struct stat status;
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        inodes[i] = stat(path, &status) == 0 ? status.st_ino : 0;
    }
}

static void
append(struct sandbox_strings *to, const struct sandbox_strings *from)
{
    const char *at = from->bytes;
    for (uint32_t i = 0; i < from->count; i++, at += strlen(at) + 1)
        sandbox_strings_add(to, at);
}

int
sandbox_order_make(const struct billet_lease_handle *lease, const struct sandbox_config *config,
                   const struct sandbox_profile *profile, const struct billet_exec *exec, int *fd,
                   struct billet_error *error)
{
    struct sandbox_strings strings = {0};
    const char *directory = exec->directory;
    struct sandbox_order order = {
        .magic = SANDBOX_MAGIC,
        .version = SANDBOX_VERSION,
        .rows = exec->rows,
        .columns = exec->columns,
        .process_limit = lease->pids_by_group ? 0 : (uint64_t)config->pids_max,
        .data_limit = lease->memory_by_group ? 0 : (uint64_t)config->memory_max,
        .work_device = lease->work_device,
        .work_inode = lease->work_inode,
    };
    unsigned dropped = sandbox_dropped();

    if ((exec->flags & BILLET_EXEC_PTY) != 0)
        order.flags |= SANDBOX_PTY;
    if (config->allow_degraded)
        order.flags |= SANDBOX_ALLOW_DEGRADED;
    if (config->shared_network)
        order.flags |= SANDBOX_SHARED_NETWORK;
    if ((dropped & SANDBOX_DROP_LANDLOCK) != 0)
        order.flags |= SANDBOX_NO_LANDLOCK;
    if ((dropped & SANDBOX_DROP_DESCRIPTORS) != 0)
        order.flags |= SANDBOX_KEEP_FDS;
    if ((dropped & SANDBOX_DROP_DUMPABLE) != 0)
        order.flags |= SANDBOX_TRACEABLE;
    if ((dropped & SANDBOX_DROP_PIDS) != 0)
        order.process_limit = 0;
    if ((dropped & SANDBOX_DROP_MEMORY) != 0)
        order.data_limit = 0;
    host_namespaces(order.namespaces);
    if (directory == NULL || directory[0] == '\0')
        directory = lease->work_fd >= 0 ? SANDBOX_WORK : "/tmp";
    sandbox_strings_add(&strings, directory);
    for (size_t i = 0; exec->argv[i] != NULL; i++, order.argument_count++)
        sandbox_strings_add(&strings, exec->argv[i]);
    uint32_t before = strings.count;
    add_environment(&strings, exec->environment);
    order.environment_count = strings.count - before;
    append(&strings, &profile->mounts);
    order.mount_count = profile->mounts.count;
    append(&strings, &profile->readable);
    order.readable_count = profile->readable.count;

    size_t size = sizeof(order) + strings.length;
    char *bytes = strings.failed || size > UINT32_MAX / 2 ? NULL : malloc(size);
    int result = 0;
    *fd = -1;
    if (bytes != NULL) {
        order.size = (uint32_t)size;
        memcpy(bytes, &order, sizeof(order));
        memcpy(bytes + sizeof(order), strings.bytes, strings.length);
        *fd = sandbox_memfd("billet-order", bytes, size);
    }
    if (*fd < 0)
        result = billet_fail_errno(error, BILLET_CLASS_CAPACITY, "out_of_memory",
                                   bytes == NULL ? ENOMEM : errno, "cannot write down the command");
    free(bytes);
    sandbox_strings_free(&strings);
    return result;
}
