/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define READ_MAX (256u * 1024)

struct report {
    char *text;
    size_t size;
    size_t length;
};

static void
missing(struct report *report, const char *name)
{
    int written = snprintf(report->text + report->length, report->size - report->length, "%s%s",
                           report->length > 0 ? ", " : "", name);
    if (written > 0 && (size_t)written < report->size - report->length)
        report->length += (size_t)written;
}

/* The whole of a small file of /proc in a static buffer, NUL-terminated; NULL when it cannot be
 * read. Valid until the next call. */
static char *
read_proc(const char *path, size_t *length)
{
    static char buffer[READ_MAX];
    size_t have = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    while (have < sizeof(buffer) - 1) {
        ssize_t got = read(fd, buffer + have, sizeof(buffer) - 1 - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            close(fd);
            return NULL;
        }
        if (got == 0)
            break;
        have += (size_t)got;
    }
    close(fd);
    buffer[have] = '\0';
    if (length != NULL)
        *length = have;
    return buffer;
}

/* The value of "Name:\tvalue" in /proc/self/status as a number. */
static bool
status_is(const char *status, const char *name, int base, unsigned long long wanted)
{
    size_t length = strlen(name);
    for (const char *line = status; line != NULL && *line != '\0';) {
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return strtoull(line + length + 1, NULL, base) == wanted;
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return false;
}

static void
check_status(struct report *report)
{
    const char *status = read_proc("/proc/self/status", NULL);
    if (status == NULL) {
        missing(report, "proc");
        return;
    }
    if (!status_is(status, "NoNewPrivs", 10, 1))
        missing(report, "no_new_privs");
    if (!status_is(status, "Seccomp", 10, 2))
        missing(report, "seccomp");
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (!status_is(status, sets[i], 16, 0)) {
            missing(report, "capabilities");
            break;
        }
}

/* Exactly one id is mapped, ours. */
static bool
map_is(const char *path, unsigned long wanted)
{
    char *map = read_proc(path, NULL);
    if (map == NULL)
        return false;
    char *end = NULL;
    unsigned long inside = strtoul(map, &end, 10);
    strtoul(end, &end, 10);
    unsigned long count = strtoul(end, &end, 10);
    return inside == wanted && count == 1 && strcmp(end, "\n") == 0;
}

static void
check_identity(struct report *report)
{
    if (geteuid() != SANDBOX_UID || getuid() != SANDBOX_UID || getegid() != SANDBOX_GID ||
        !map_is("/proc/self/uid_map", SANDBOX_UID) || !map_is("/proc/self/gid_map", SANDBOX_GID))
        missing(report, "user namespace");
}

static void
check_namespaces(const struct sandbox_setup *setup, struct report *report)
{
    static const char *const names[SANDBOX_NAMESPACES] = SANDBOX_NAMESPACE_NAMES;
    char path[64], text[64];

    for (int i = 0; i < SANDBOX_NAMESPACES; i++) {
        struct stat status;
        if (setup->namespaces[i] == 0)
            continue;
        if (strcmp(names[i], "net") == 0 && (setup->flags & SANDBOX_SHARED_NETWORK) != 0)
            continue;
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        if (stat(path, &status) < 0 || (uint64_t)status.st_ino == setup->namespaces[i]) {
            snprintf(text, sizeof(text), "%s namespace", names[i]);
            missing(report, text);
        }
    }
    if (getpid() != 1)
        missing(report, "pid 1");
}

static void
check_network(const struct sandbox_setup *setup, struct report *report)
{
    if ((setup->flags & SANDBOX_SHARED_NETWORK) != 0)
        return;
    char *devices = read_proc("/proc/self/net/dev", NULL);
    if (devices == NULL)
        return; /* no networking in this kernel */
    /* Two lines of headings, then one a device. */
    int line = 0;
    for (char *at = devices; at != NULL && *at != '\0'; line++) {
        char *next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        while (*at == ' ')
            at++;
        if (line >= 2 && strncmp(at, "lo:", 3) != 0) {
            missing(report, "only loopback");
            return;
        }
        at = next;
    }
}

static bool
option_in(const char *options, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = options; at != NULL && *at != '\0';) {
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
        at = strchr(at, ',');
        if (at != NULL)
            at++;
    }
    return false;
}

static bool
beneath(const char *path, const char *top)
{
    size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Blanks and backslashes of a name are there as three octal digits; in place. */
static void
decode(char *name)
{
    char *to = name;
    for (const char *from = name; *from != '\0'; to++) {
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

const char *
sandbox_check_mount(char *line, const char *const *mounts, size_t count)
{
    /* 36 35 98:0 /root /mount/point rw,noatime ... (proc_pid_mountinfo(5)) */
    char *field[6], *save = NULL;
    for (int i = 0; i < 6; i++) {
        field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
        if (field[i] == NULL)
            return "mounts";
    }
    const char *point = field[4], *options = field[5];
    decode(field[4]);

    if (strcmp(point, "/") == 0)
        return option_in(options, "ro") ? NULL : "read-only root";
    if (!option_in(options, "nosuid"))
        return "nosuid";
    if (beneath(point, "/proc"))
        return NULL;
    if (beneath(point, "/dev"))
        return NULL;
    if (!option_in(options, "nodev"))
        return "nodev";
    if (strcmp(point, SANDBOX_WORK) == 0 || strcmp(point, "/tmp") == 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (beneath(point, mounts[i]))
            return option_in(options, "ro") ? NULL : "read-only mounts";
    return "only expected mounts";
}

static void
check_mounts(const struct sandbox_setup *setup, const char *const *mounts, struct report *report)
{
    char *table = read_proc("/proc/self/mountinfo", NULL);
    if (table == NULL) {
        missing(report, "mounts");
        return;
    }
    const char *seen = NULL;
    bool root = false;
    for (char *at = table; at != NULL && *at != '\0';) {
        char *next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        const char *wrong = sandbox_check_mount(at, mounts, setup->mount_count);
        root = true;
        if (wrong != NULL && wrong != seen) {
            missing(report, wrong);
            seen = wrong;
        }
        at = next;
    }
    if (!root)
        missing(report, "mounts");
}

#define OVERLAY_MAGIC 0x794c7630

static void
check_workspace(const struct sandbox_setup *setup, struct report *report)
{
    struct stat status;
    struct statfs system;
    if (setup->work_inode == 0)
        return;
    if ((setup->flags & SANDBOX_OVERLAY) != 0) {
        if (statfs(SANDBOX_WORK, &system) < 0 || system.f_type != OVERLAY_MAGIC)
            missing(report, "the overlay over the workspace");
        return;
    }
    if (stat(SANDBOX_WORK, &status) < 0 || (uint64_t)status.st_ino != setup->work_inode ||
        (uint64_t)status.st_dev != setup->work_device)
        missing(report, "the workspace that was meant");
}

/* bwrap sets PWD; an empty environment was handed to it. */
static void
check_environment(struct report *report)
{
    size_t length = 0;
    const char *environment = read_proc("/proc/self/environ", &length);
    for (size_t at = 0; environment != NULL && at < length;) {
        if (strncmp(environment + at, "PWD=", 4) != 0) {
            missing(report, "empty environment");
            return;
        }
        at += strlen(environment + at) + 1;
    }
}

static void
check_process(struct report *report)
{
    struct rlimit core;
    if (getsid(0) == 0) /* of the caller's, outside this pid namespace */
        missing(report, "new session");
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        missing(report, "resource limits");
}

bool
sandbox_check_descriptors(void)
{
    bool clean = true;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return false;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);
        if (fd >= SANDBOX_FD_LIMIT && fd != dirfd(directory))
            clean = false;
    }
    closedir(directory);
    return clean;
}

void
sandbox_check(const struct sandbox_setup *setup, const char *const *mounts, char *text, size_t size)
{
    struct report report = {.text = text, .size = size};
    text[0] = '\0';
    check_status(&report);
    check_identity(&report);
    check_namespaces(setup, &report);
    check_network(setup, &report);
    check_mounts(setup, mounts, &report);
    check_workspace(setup, &report);
    check_environment(&report);
    check_process(&report);
}
