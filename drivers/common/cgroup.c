/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#include "cleanup.h"
#include "fail.h"
#include "launch.h"

#define MOUNT "/sys/fs/cgroup"
#define PARENT "billet"
#define KILL_BATCH 512

static const char *const v1_controllers[BILLET_CGROUP_TREES] = {
    [BILLET_CGROUP_MEMORY] = "memory",
    [BILLET_CGROUP_PIDS] = "pids",
    [BILLET_CGROUP_CPU] = "cpu",
};

/* ---- small files ---------------------------------------------------------- */

static int
write_file(int directory, const char *name, const char *text)
{
    cleanup_fd int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int
write_number(int directory, const char *name, int64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    return write_file(directory, name, text);
}

/* The whole of a small file as a string: its length, or -errno. */
static int
read_file(int directory, const char *name, char *text, size_t size)
{
    cleanup_fd int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t got = read(fd, text + used, size - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    return (int)used;
}

static bool
has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += length)
        if ((at == text || isspace((unsigned char)at[-1])) &&
            (at[length] == '\0' || isspace((unsigned char)at[length])))
            return true;
    return false;
}

/* ---- the site --------------------------------------------------------------- */

#define OWN_MAX 8192 /* of /proc/self/cgroup */

/* This process's group in the tree whose controller list is that ("" for v2), without '/'.
 * own_groups: what /proc/self/cgroup says. */
static bool
own_path(const char *own_groups, const char *controller, char *path, size_t size)
{
    char text[OWN_MAX];
    snprintf(text, sizeof(text), "%s", own_groups);
    char *state = NULL;
    for (char *line = strtok_r(text, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        char *list = strchr(line, ':');
        char *own = list != NULL ? strchr(list + 1, ':') : NULL;
        if (own == NULL)
            continue;
        *own++ = '\0';
        list++;
        for (char *comma = list; (comma = strchr(comma, ',')) != NULL;)
            *comma = ' ';
        if (controller[0] == '\0' ? list[0] != '\0' : !has_word(list, controller))
            continue;
        while (*own == '/')
            own++;
        return snprintf(path, size, "%s", own) < (int)size;
    }
    return false;
}

static int
open_directory(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A place that could not be opened for want of descriptors or memory may well be there. */
static bool
note_want(int *want)
{
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM)
        return false;
    *want = errno;
    return true;
}

/* billet/ beneath the highest group on the way to our own that this user may write: moving a
 * process needs write permission on the nearest common ancestor too. -1: nowhere. */
static int
open_parent(const char *own, const char *mount, long magic, const char *controller, bool make,
            int *base, int *want)
{
    char path[PATH_MAX];
    struct statfs about;
    cleanup_fd int at = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *base = -1;
    if (at < 0)
        note_want(want);
    if (at < 0 || fstatfs(at, &about) < 0 || (long)about.f_type != magic ||
        !own_path(own, controller, path, sizeof(path)))
        return -1;
    char *state = NULL;
    char *part = strtok_r(path, "/", &state);
    for (;;) {
        if (faccessat(at, "cgroup.procs", W_OK, AT_EACCESS) == 0 &&
            (!make || mkdirat(at, PARENT, 0755) == 0 || errno == EEXIST)) {
            cleanup_fd int parent = open_directory(at, PARENT);
            /* Another place further down would not be found again. */
            if (parent < 0 && note_want(want))
                return -1;
            if (parent >= 0 && faccessat(parent, "cgroup.procs", W_OK, AT_EACCESS) == 0) {
                *base = billet_take_fd(&at);
                return billet_take_fd(&parent);
            }
        }
        if (part == NULL || strcmp(part, "..") == 0)
            return -1;
        int next = open_directory(at, part);
        if (next < 0) {
            note_want(want);
            return -1;
        }
        billet_close_fd(&at);
        at = next;
        part = strtok_r(NULL, "/", &state);
    }
}

/* The controller lists of the v2 tree, read once for all controllers. */
struct lists {
    char given[512];    /* to the group above billet/ */
    char usable[512];   /* in billet/ */
    char children[512]; /* what billet/ gives to the groups of leases */
};

static void
read_lists(int base, int parent, struct lists *lists)
{
    if (read_file(base, "cgroup.controllers", lists->given, sizeof(lists->given)) < 0)
        lists->given[0] = '\0';
    if (read_file(parent, "cgroup.controllers", lists->usable, sizeof(lists->usable)) < 0)
        lists->usable[0] = '\0';
    if (read_file(parent, "cgroup.subtree_control", lists->children, sizeof(lists->children)) < 0)
        lists->children[0] = '\0';
}

/* Have the controller in the groups of leases: enabled for billet/ and then for its children. */
static bool
enable_controller(int base, int parent, const struct lists *lists, const char *controller)
{
    char order[64];
    if (has_word(lists->children, controller))
        return true;
    if (!has_word(lists->given, controller))
        return false;
    snprintf(order, sizeof(order), "+%s", controller);
    if (!has_word(lists->usable, controller) &&
        write_file(base, "cgroup.subtree_control", order) < 0)
        return false;
    return write_file(parent, "cgroup.subtree_control", order) == 0;
}

static void
open_site(struct billet_cgroup_site *site, bool limits, bool make)
{
    static const struct {
        const char *controller;
        unsigned bit;
        enum billet_cgroup_tree tree;
    } table[] = {
        {"memory", BILLET_CGROUP_CAN_MEMORY, BILLET_CGROUP_MEMORY},
        {"pids", BILLET_CGROUP_CAN_PIDS, BILLET_CGROUP_PIDS},
        {"cpu", BILLET_CGROUP_CAN_CPU, BILLET_CGROUP_CPU},
    };
    *site = (struct billet_cgroup_site)BILLET_CGROUP_SITE_INIT;
    cleanup_fd int base = -1;
    int *unified = &site->parents[BILLET_CGROUP_UNIFIED];
    char own[OWN_MAX] = "";

    read_file(AT_FDCWD, "/proc/self/cgroup", own, sizeof(own)); /* nothing: no tree fits */
    *unified = open_parent(own, MOUNT, CGROUP2_SUPER_MAGIC, "", make, &base, &site->want);
    if (*unified < 0)
        *unified =
            open_parent(own, MOUNT "/unified", CGROUP2_SUPER_MAGIC, "", make, &base, &site->want);
    site->can_kill = *unified >= 0 && faccessat(*unified, "cgroup.kill", W_OK, AT_EACCESS) == 0;
    if (*unified < 0)
        snprintf(site->why, sizeof(site->why), "no cgroup v2 that this user may write");
    else if (!site->can_kill)
        snprintf(site->why, sizeof(site->why), "no cgroup.kill (Linux 5.14)");
    if (!limits)
        return;
    struct lists lists;
    if (make && *unified >= 0)
        read_lists(base, *unified, &lists);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (make && *unified >= 0 &&
            enable_controller(base, *unified, &lists, table[i].controller)) {
            site->limits |= table[i].bit;
            site->unified_limits |= table[i].bit;
            continue;
        }
        char mount[64];
        cleanup_fd int v1_base = -1;
        snprintf(mount, sizeof(mount), MOUNT "/%s", v1_controllers[table[i].tree]);
        site->parents[table[i].tree] = open_parent(
            own, mount, CGROUP_SUPER_MAGIC, table[i].controller, make, &v1_base, &site->want);
        if (site->parents[table[i].tree] >= 0)
            site->limits |= table[i].bit;
    }
}

void
billet_cgroup_site_open(struct billet_cgroup_site *site, bool limits)
{
    open_site(site, limits, true);
}

void
billet_cgroup_site_find(struct billet_cgroup_site *site)
{
    open_site(site, true, false);
}

void
billet_cgroup_site_close(struct billet_cgroup_site *site)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++)
        billet_close_fd(&site->parents[i]);
    *site = (struct billet_cgroup_site)BILLET_CGROUP_SITE_INIT;
}

/* ---- the group of a lease ---------------------------------------------------- */

bool
billet_cgroup_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 63)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isascii((unsigned char)name[i]) ||
            (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_'))
            return false;
    return true;
}

void
billet_cgroup_close(struct billet_cgroup *group)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        billet_close_fd(&group->directories[i]);
        billet_close_fd(&group->procs[i]);
    }
    group->name[0] = '\0';
}

bool
billet_cgroup_exists(const struct billet_cgroup *group)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++)
        if (group->directories[i] >= 0)
            return true;
    return false;
}

/* Where a process of one thread writes "0" to move itself. Not cgroup.procs, which locks every
 * process of the machine against forking and first waits some ten milliseconds for that; a thread
 * that moves only itself needs no such lock. */
static int
open_entry(int directory)
{
    return openat(directory, "tasks", O_WRONLY | O_CLOEXEC);
}

static int
make_group(const struct billet_cgroup_site *site, enum billet_cgroup_tree tree,
           struct billet_cgroup *group)
{
    if (site->parents[tree] < 0)
        return -ENOENT;
    if (mkdirat(site->parents[tree], group->name, 0755) < 0 && errno != EEXIST)
        return -errno;
    group->directories[tree] = open_directory(site->parents[tree], group->name);
    if (group->directories[tree] < 0)
        return -errno;
    if (tree == BILLET_CGROUP_UNIFIED)
        return 0;
    group->procs[tree] = open_entry(group->directories[tree]);
    return group->procs[tree] >= 0 ? 0 : -errno;
}

/* One limit in whichever tree has it: 0 or -errno. */
static int
set_limit(const struct billet_cgroup_site *site, struct billet_cgroup *group, unsigned bit,
          enum billet_cgroup_tree v1_tree, const char *v1_file, const char *v2_file,
          int64_t v1_value, int64_t v2_value)
{
    bool unified = (site->unified_limits & bit) != 0;
    enum billet_cgroup_tree tree = unified ? BILLET_CGROUP_UNIFIED : v1_tree;
    if (group->directories[tree] < 0) {
        int result = make_group(site, tree, group);
        if (result < 0)
            return result;
    }
    return write_number(group->directories[tree], unified ? v2_file : v1_file,
                        unified ? v2_value : v1_value);
}

static int
limit_failed(int sys_errno, const char *what, struct billet_error *error)
{
    billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "limit_unavailable", sys_errno,
                      "cannot limit %s of the lease", what);
    return billet_fail_hint(error,
                            "run billet where it may write cgroups with the controllers memory and "
                            "pids (as root, or under systemd-run --user --scope -p Delegate=yes), "
                            "or leave the limit out");
}

int
billet_cgroup_create(const struct billet_cgroup_site *site, const char *name,
                     const struct billet_cgroup_limits *limits, struct billet_cgroup *group,
                     struct billet_error *error)
{
    static const struct billet_cgroup_limits none = {0};
    *group = (struct billet_cgroup)BILLET_CGROUP_INIT;
    if (limits == NULL)
        limits = &none;
    if (!billet_cgroup_name_is_valid(name))
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "lease id '%.80s' cannot name a control group", name);
    snprintf(group->name, sizeof(group->name), "%s", name);

    const char *what = "processes";
    int result = site->parents[BILLET_CGROUP_UNIFIED] >= 0
                     ? make_group(site, BILLET_CGROUP_UNIFIED, group)
                     : 0;
    if (result < 0) {
        billet_fail_errno(error, 0, "cgroup_failed", -result, "cannot make the control group %s",
                          name);
        billet_fail_hint(error, "billet env probe says which control groups can be used");
    } else if (limits->memory_max > 0) {
        what = "memory";
        result = set_limit(site, group, BILLET_CGROUP_CAN_MEMORY, BILLET_CGROUP_MEMORY,
                           "memory.limit_in_bytes", "memory.max", limits->memory_max,
                           limits->memory_max);
        if (result == 0) {
            /* Where swap is accounted at all, the limit is memory and swap together. */
            if (site->unified_limits & BILLET_CGROUP_CAN_MEMORY) {
                write_number(group->directories[BILLET_CGROUP_UNIFIED], "memory.swap.max", 0);
                write_number(group->directories[BILLET_CGROUP_UNIFIED], "memory.oom.group", 0);
            } else {
                write_number(group->directories[BILLET_CGROUP_MEMORY],
                             "memory.memsw.limit_in_bytes", limits->memory_max);
            }
        } else {
            limit_failed(-result, what, error);
        }
    }
    if (result == 0 && limits->pids_max > 0) {
        result = set_limit(site, group, BILLET_CGROUP_CAN_PIDS, BILLET_CGROUP_PIDS, "pids.max",
                           "pids.max", limits->pids_max, limits->pids_max);
        if (result < 0)
            limit_failed(-result, "processes", error);
    }
    if (result == 0 && limits->cpu_weight > 0) {
        /* Weight 100 is 1024 shares. */
        int64_t shares = limits->cpu_weight * 1024 / 100;
        result = set_limit(site, group, BILLET_CGROUP_CAN_CPU, BILLET_CGROUP_CPU, "cpu.shares",
                           "cpu.weight", shares < 2 ? 2 : shares, limits->cpu_weight);
        if (result < 0)
            limit_failed(-result, "processor time", error);
    }
    if (result == 0)
        return 0;
    billet_cgroup_close(group);
    billet_cgroup_remove(site, name, 0);
    return error != NULL ? -error->error_class : -BILLET_CLASS_UNAVAILABLE;
}

int
billet_cgroup_open(const struct billet_cgroup_site *site, const char *name,
                   struct billet_cgroup *group)
{
    *group = (struct billet_cgroup)BILLET_CGROUP_INIT;
    if (!billet_cgroup_name_is_valid(name))
        return -ENOENT;
    snprintf(group->name, sizeof(group->name), "%s", name);
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        if (site->parents[i] < 0)
            continue;
        group->directories[i] = open_directory(site->parents[i], name);
        if (group->directories[i] >= 0 && i != BILLET_CGROUP_UNIFIED)
            group->procs[i] = open_entry(group->directories[i]);
    }
    return billet_cgroup_exists(group) ? 0 : -ENOENT;
}

int
billet_cgroup_add(const struct billet_cgroup *group, pid_t pid)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        int result = group->directories[i] >= 0
                         ? write_number(group->directories[i], "cgroup.procs", pid)
                         : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- kill and remove ------------------------------------------------------------ */

/* Up to max pids of the group: how many, 0 when the group is gone. */
static int
read_procs(int directory, pid_t *pids, int max)
{
    int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "re") : NULL;
    int count = 0;
    long value;
    if (file == NULL) {
        billet_close_fd(&fd);
        return 0;
    }
    while (count < max && fscanf(file, "%ld", &value) == 1)
        if (value > 0)
            pids[count++] = (pid_t)value;
    fclose(file);
    return count;
}

/* Without cgroup.kill: hold each member by a pidfd, look again whether it is still a member (the
 * number may have passed to another process in between), then kill it. */
static void
kill_members(int directory)
{
    static const int batch = 64;
    pid_t first[64], second[KILL_BATCH];
    int held[64];
    int count = read_procs(directory, first, batch);
    for (int i = 0; i < count; i++)
        held[i] = billet_pidfd_open(first[i]);
    int members = read_procs(directory, second, KILL_BATCH);
    for (int i = 0; i < count; i++) {
        bool member = false;
        for (int j = 0; j < members && !member; j++)
            member = second[j] == first[i];
        if (held[i] >= 0 && member)
            syscall(SYS_pidfd_send_signal, held[i], SIGKILL, NULL, 0);
        billet_close_fd(&held[i]);
    }
}

static bool
is_populated(const struct billet_cgroup *group)
{
    int unified = group->directories[BILLET_CGROUP_UNIFIED];
    char text[256];
    if (unified >= 0 && read_file(unified, "cgroup.events", text, sizeof(text)) >= 0 &&
        strstr(text, "populated 1") != NULL)
        return true;
    for (int i = BILLET_CGROUP_UNIFIED + 1; i < BILLET_CGROUP_TREES; i++) {
        pid_t one;
        if (group->directories[i] >= 0 && read_procs(group->directories[i], &one, 1) > 0)
            return true;
    }
    return false;
}

int
billet_cgroup_kill(const struct billet_cgroup *group, int64_t deadline_ns)
{
    int unified = group->directories[BILLET_CGROUP_UNIFIED];
    cleanup_fd int events =
        unified >= 0 ? openat(unified, "cgroup.events", O_RDONLY | O_CLOEXEC) : -1;
    bool killed = unified >= 0 && write_file(unified, "cgroup.kill", "1") == 0;

    for (int wait_ms = 1;; wait_ms = wait_ms < 50 ? wait_ms * 2 : 50) {
        if (!is_populated(group))
            return 0;
        int64_t left = deadline_ns - billet_monotonic_ns();
        if (left <= 0)
            return -ETIMEDOUT;
        if (unified >= 0 && !killed)
            kill_members(unified);
        for (int i = BILLET_CGROUP_UNIFIED + 1; i < BILLET_CGROUP_TREES; i++)
            if (group->directories[i] >= 0)
                kill_members(group->directories[i]);
        /* A change of cgroup.events is told as POLLPRI; the v1 trees are looked at by time. */
        struct pollfd changed = {.fd = events, .events = POLLPRI};
        poll(&changed, 1, wait_ms);
        char text[256];
        if (events >= 0 && pread(events, text, sizeof(text), 0) < 0)
            return 0;
    }
}

int
billet_cgroup_count(const struct billet_cgroup *group)
{
    pid_t pids[KILL_BATCH];
    int highest = 0;
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        if (group->directories[i] < 0)
            continue;
        int count = read_procs(group->directories[i], pids, KILL_BATCH);
        if (count > highest)
            highest = count;
    }
    return highest;
}

static int remove_tree(int parent, const char *name, int depth);

/* Groups that the workload made inside its own. */
static void
remove_children(int parent, const char *name, int depth)
{
    int fd = open_directory(parent, name);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        billet_close_fd(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            remove_tree(fd, entry->d_name, depth + 1);
}

static int
remove_tree(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY && depth < 16) {
        remove_children(parent, name, depth);
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
    }
    return -errno;
}

int
billet_cgroup_remove(const struct billet_cgroup_site *site, const char *name, int64_t deadline_ns)
{
    if (!billet_cgroup_name_is_valid(name))
        return 0;
    if (site->want != 0)
        return -site->want;
    for (long wait_ns = 200000;; wait_ns = wait_ns < 20000000 ? wait_ns * 2 : 20000000) {
        int result = 0;
        for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
            int one = site->parents[i] >= 0 ? remove_tree(site->parents[i], name, 0) : 0;
            if (one < 0)
                result = one;
        }
        if (result == 0 || result != -EBUSY || billet_monotonic_ns() >= deadline_ns)
            return result;
        struct timespec pause = {.tv_nsec = wait_ns};
        nanosleep(&pause, NULL);
    }
}

void
billet_cgroup_list(const struct billet_cgroup_site *site, billet_cgroup_visit *visit, void *context)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        int fd = site->parents[i] >= 0 ? open_directory(site->parents[i], ".") : -1;
        cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
        if (directory == NULL) {
            billet_close_fd(&fd);
            continue;
        }
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            if (entry->d_type == DT_DIR && billet_cgroup_name_is_valid(entry->d_name))
                visit(entry->d_name, context);
    }
}
