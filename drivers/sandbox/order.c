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

/* The header, which holds *whole, the size of all, then the strings, which are freed: into near
 * where they fit, else in a memfd. */
static int
write_down(void *header, size_t size, uint32_t *whole, struct sandbox_strings *strings,
           const char *name, char *near, size_t near_size, int *fd, struct billet_error *error)
{
    size_t total = size + strings->length;
    bool fits = total <= near_size;
    char *bytes = strings->failed || total > UINT32_MAX / 2 ? NULL : fits ? near : malloc(total);
    int result = 0;
    *fd = -1;
    if (bytes != NULL) {
        *whole = (uint32_t)total;
        memcpy(bytes, header, size);
        if (strings->length > 0)
            memcpy(bytes + size, strings->bytes, strings->length);
        if (!fits)
            *fd = sandbox_memfd(name, bytes, total);
    }
    if (bytes == NULL || (!fits && *fd < 0))
        result =
            billet_fail_errno(error, BILLET_CLASS_CAPACITY, "out_of_memory",
                              bytes == NULL ? ENOMEM : errno, "cannot write down the %s", name);
    if (bytes != NULL && !fits) {
        explicit_bzero(bytes, total);
        free(bytes);
    }
    sandbox_strings_free(strings);
    return result;
}

int
sandbox_setup_make(const struct billet_lease_handle *lease, const struct sandbox_config *config,
                   const struct sandbox_profile *profile, int *fd, struct billet_error *error)
{
    struct sandbox_strings strings = {0};
    struct sandbox_setup setup = {
        .magic = SANDBOX_MAGIC,
        .version = SANDBOX_VERSION,
        .process_limit = lease->pids_by_group ? 0 : (uint64_t)config->pids_max,
        .data_limit = lease->memory_by_group ? 0 : (uint64_t)config->memory_max,
        .work_device = lease->work_device,
        .work_inode = lease->work_inode,
        .mount_count = profile->mounts.count,
        .readable_count = profile->readable.count,
    };
    unsigned dropped = sandbox_dropped();

    if (config->allow_degraded)
        setup.flags |= SANDBOX_ALLOW_DEGRADED;
    if (lease->overlay_path[0] != '\0')
        setup.flags |= SANDBOX_OVERLAY;
    if (config->shared_network)
        setup.flags |= SANDBOX_SHARED_NETWORK;
    if ((dropped & SANDBOX_DROP_LANDLOCK) != 0)
        setup.flags |= SANDBOX_NO_LANDLOCK;
    if ((dropped & SANDBOX_DROP_DESCRIPTORS) != 0)
        setup.flags |= SANDBOX_KEEP_FDS;
    if ((dropped & SANDBOX_DROP_DUMPABLE) != 0)
        setup.flags |= SANDBOX_TRACEABLE;
    if ((dropped & SANDBOX_DROP_PIDS) != 0)
        setup.process_limit = 0;
    if ((dropped & SANDBOX_DROP_MEMORY) != 0)
        setup.data_limit = 0;
    host_namespaces(setup.namespaces);
    append(&strings, &profile->mounts);
    append(&strings, &profile->readable);
    return write_down(&setup, sizeof(setup), &setup.size, &strings, "setup", NULL, 0, fd, error);
}

int
sandbox_order_make(const struct billet_lease_handle *lease, const struct billet_exec *exec,
                   struct sandbox_begin *begin, int *fd, struct billet_error *error)
{
    struct sandbox_strings strings = {0};
    const char *directory = exec->directory;
    struct sandbox_order order = {
        .magic = SANDBOX_MAGIC,
        .version = SANDBOX_VERSION,
        .flags = (exec->flags & BILLET_EXEC_PTY) != 0 ? SANDBOX_PTY : 0,
        .rows = exec->rows,
        .columns = exec->columns,
    };
    if (directory == NULL || directory[0] == '\0')
        directory = lease->work_fd >= 0 ? SANDBOX_WORK : "/tmp";
    sandbox_strings_add(&strings, directory);
    for (size_t i = 0; exec->argv[i] != NULL; i++, order.argument_count++)
        sandbox_strings_add(&strings, exec->argv[i]);
    uint32_t before = strings.count;
    add_environment(&strings, exec->environment);
    order.environment_count = strings.count - before;
    begin->message = (struct sandbox_message){.type = SANDBOX_EXEC};
    int result = write_down(&order, sizeof(order), &order.size, &strings, "order", begin->order,
                            sizeof(begin->order), fd, error);
    if (result == 0 && *fd < 0)
        begin->message.value = (int32_t)order.size;
    return result;
}
