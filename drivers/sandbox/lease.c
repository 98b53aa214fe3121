/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/fence.h"
#include "../common/launch.h"
#include "overlay.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define LABEL "label"
#define LABEL_LOCK "label.lock"
#define LABEL_LIMIT 2048
#define NOTE_PREFIX "process-"
/* On the lease's directory, set before its processes are looked for: what starts later ends itself.
 * A bit of the mode, since it can be set on a full disk too. */
#define ENDED S_ISVTX
#define KILL_TIME (5 * BILLET_NS_PER_SECOND)

/* ---- places ------------------------------------------------------------------ */

static int
open_site(const struct billet_host *host, bool make, int *fd, struct billet_error *error)
{
    char path[PATH_MAX];
    const char *runtime = host->directory(host, BILLET_DIRECTORY_RUNTIME);
    *fd = -1;
    if (runtime == NULL || snprintf(path, sizeof(path), "%s/sandbox", runtime) >= PATH_MAX)
        return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed",
                           "there is no runtime directory for leases");
    if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot make %s", path);
    *fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && (make || errno != ENOENT))
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot open %s", path);
    return 0;
}

bool
sandbox_lease_id(const char *ref, const struct billet_identity *identity, char id[SANDBOX_ID_SIZE])
{
    size_t prefix = strlen(SANDBOX_REF_PREFIX);
    const char *from = identity != NULL ? identity->lease : "";
    if (ref != NULL && ref[0] != '\0') {
        if (strncmp(ref, SANDBOX_REF_PREFIX, prefix) != 0)
            return false;
        from = ref + prefix;
    }
    if (from == NULL || !billet_cgroup_name_is_valid(from) || strcmp(from, "uids") == 0)
        return false;
    return snprintf(id, SANDBOX_ID_SIZE, "%s", from) < SANDBOX_ID_SIZE;
}

static ssize_t
read_small(int directory, const char *name, char *text, size_t size)
{
    cleanup_fd int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, size - 1);
    if (got >= 0)
        text[got] = '\0';
    return got;
}

/* Appears whole or not at all; the runtime directory does not outlive a boot, so no fsync. */
static int
write_small(int directory, const char *name, const char *text)
{
    char temporary[SANDBOX_ID_SIZE + 16];
    snprintf(temporary, sizeof(temporary), ".%s.new", name);
    cleanup_fd int fd =
        openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length)
        return errno != 0 ? -errno : -EIO;
    return renameat(directory, temporary, directory, name) < 0 ? -errno : 0;
}

/* ---- processes ------------------------------------------------------------------ */

static const char *
boot_id(void)
{
    static char text[40];
    if (text[0] == '\0' &&
        read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof(text)) > 0)
        text[strcspn(text, "\n")] = '\0';
    return text;
}

/* Field 22 of /proc/PID/stat, 0 when there is no such process. */
static unsigned long long
start_time(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_small(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return 0;
    char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

bool
sandbox_lease_is_ended(int directory)
{
    struct stat status;
    return fstat(directory, &status) < 0 || (status.st_mode & ENDED) != 0 || status.st_nlink == 0;
}

int
sandbox_lease_note(const struct billet_lease_handle *lease, const char *name, pid_t pid)
{
    char text[128], file[64];
    snprintf(file, sizeof(file), NOTE_PREFIX "%s", name);
    snprintf(text, sizeof(text), "%s %d %llu\n", boot_id(), (int)pid, start_time(pid));
    int result = write_small(lease->directory_fd, file, text);
    return result == 0 && sandbox_lease_is_ended(lease->directory_fd) ? -ENOENT : result;
}

void
sandbox_lease_unnote(const struct billet_lease_handle *lease, const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), NOTE_PREFIX "%s", name);
    unlinkat(lease->directory_fd, file, 0);
}

/* A pidfd of the noted process while it is still the one that was noted, else -1. */
static int
open_noted(int directory, const char *file, pid_t *which)
{
    char text[128], boot[40];
    int pid = 0;
    unsigned long long started = 0;
    if (read_small(directory, file, text, sizeof(text)) <= 0 ||
        sscanf(text, "%39s %d %llu", boot, &pid, &started) != 3 || pid <= 1 || started == 0 ||
        strcmp(boot, boot_id()) != 0)
        return -1;
    int fd = billet_pidfd_open(pid);
    if (fd >= 0 && start_time(pid) != started)
        billet_close_fd(&fd);
    *which = pid;
    return fd;
}

static bool
wait_end(int pidfd, int64_t deadline_ns)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    for (;;) {
        int64_t left = deadline_ns - billet_monotonic_ns();
        int ready = poll(&end, 1, left <= 0 ? 0 : (int)(left / 1000000 + 1));
        if (ready > 0)
            return true;
        if (left <= 0)
            return false;
    }
}

/* A bwrap that lost its parent before it was told who that is waits for ever, in a process
 * namespace of its own and in the session of the one that was noted. session: the number of that
 * one. */
static int
kill_orphan(pid_t pid, pid_t session, int64_t deadline_ns)
{
    char path[64], text[1024];
    cleanup_fd int pidfd = billet_pidfd_open(pid);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (pidfd < 0 || read_small(AT_FDCWD, path, text, sizeof(text)) <= 0 ||
        strstr(text, " (bwrap) ") == NULL || getsid(pid) != session)
        return 0;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    return wait_end(pidfd, deadline_ns) ? 0 : 1;
}

int
sandbox_lease_end_orphans(pid_t session, int64_t deadline_ns)
{
    cleanup_dir DIR *entries = opendir("/proc");
    int left = 0;
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid > 1 && pid != session && getsid(pid) == session)
            left += kill_orphan(pid, session, deadline_ns);
    }
    return left;
}

pid_t
sandbox_lease_parent(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_small(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return 0;
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    return after != NULL && strlen(after) > 4 ? (pid_t)atoi(after + 4) : 0;
}

/* Wait until a process that was sent SIGSTOP does no more, or has ended. */
static void
await_stop(pid_t pid, int64_t deadline_ns)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (billet_monotonic_ns() < deadline_ns) {
        struct timespec pause = {.tv_nsec = 200000};
        ssize_t got = read_small(AT_FDCWD, path, text, sizeof(text));
        const char *after = got > 0 ? strrchr(text, ')') : NULL;
        if (after == NULL || after[1] == '\0' || strchr("TtZX", after[2]) != NULL)
            return;
        nanosleep(&pause, NULL);
    }
}

int
sandbox_lease_kill_launcher(pid_t pid, int pidfd, int64_t deadline_ns)
{
    cleanup_dir DIR *entries = opendir("/proc");
    int left = 0;
    struct dirent *entry;
    /* Stopped, so that it makes no child behind our back. */
    syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0);
    await_stop(pid, deadline_ns);
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        pid_t child = (pid_t)atoi(entry->d_name);
        if (child <= 1 || sandbox_lease_parent(child) != pid)
            continue;
        cleanup_fd int child_fd = billet_pidfd_open(child);
        if (child_fd < 0 || sandbox_lease_parent(child) != pid)
            continue;
        syscall(SYS_pidfd_send_signal, child_fd, SIGKILL, NULL, 0);
        left += !wait_end(child_fd, deadline_ns);
    }
    /* Let it reap its child, and end by itself. */
    syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
    int64_t soon = billet_monotonic_ns() + BILLET_NS_PER_SECOND;
    if (wait_end(pidfd, soon < deadline_ns ? soon : deadline_ns))
        return left > 0;
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    return left + !wait_end(pidfd, deadline_ns) > 0;
}

/* What is noted in one file: bwrap, whose number is the file's name. */
static int
kill_one(int directory, const char *file, int64_t deadline_ns)
{
    pid_t launcher = (pid_t)atoi(file + strlen(NOTE_PREFIX));
    pid_t pid = 0;
    cleanup_fd int pidfd = open_noted(directory, file, &pid);
    if (pidfd >= 0 && sandbox_lease_kill_launcher(pid, pidfd, deadline_ns) != 0)
        return 1;
    /* While its number is a session's it is given to nobody else; a process that has it and is not
     * the one that was noted has begun a session of its own. */
    if (launcher > 1 && (pidfd >= 0 || start_time(launcher) == 0))
        return sandbox_lease_end_orphans(launcher, deadline_ns);
    return 0;
}

/* How many are left, or -errno: that is not known. */
static int
kill_noted(int directory, int64_t deadline_ns)
{
    cleanup_dir DIR *entries = sandbox_tree_list(directory);
    int left = 0;
    if (entries == NULL)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, NOTE_PREFIX, strlen(NOTE_PREFIX)) != 0)
            continue;
        int one = kill_one(directory, entry->d_name, deadline_ns);
        if (one == 0)
            unlinkat(directory, entry->d_name, 0);
        left += one;
    }
    return left;
}

int
sandbox_lease_stop(int directory_fd, const struct billet_cgroup *group, int64_t deadline_ns,
                   struct billet_error *error)
{
    int64_t limit = billet_monotonic_ns() + KILL_TIME;
    if (deadline_ns > 0 && deadline_ns < limit)
        limit = deadline_ns;
    int left = directory_fd >= 0 ? kill_noted(directory_fd, limit) : 0;
    if (left == 0 && group != NULL && billet_cgroup_exists(group) &&
        billet_cgroup_kill(group, limit) < 0)
        left = billet_cgroup_count(group);
    if (left == 0)
        return 0;
    if (left < 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "lease_cleanup_failed", -left,
                                 "cannot read which processes the lease has");
    return billet_fail(error, BILLET_CLASS_TIMEOUT, "sandbox_processes_left",
                       "%d processes of the lease could not be killed", left);
}

/* ---- make, open, free ----------------------------------------------------------- */

static struct billet_lease_handle *
allocate(const char *id)
{
    struct billet_lease_handle *lease = calloc(1, sizeof(*lease));
    if (lease == NULL)
        return NULL;
    snprintf(lease->id, sizeof(lease->id), "%s", id);
    lease->site_fd = lease->directory_fd = lease->work_fd = -1;
    lease->filter = (struct sandbox_filter)SANDBOX_FILTER_INIT;
    lease->command_fd = lease->terminal_fd = -1;
    lease->resident = (struct sandbox_resident)SANDBOX_RESIDENT_INIT;
    lease->identity = (struct sandbox_identity)SANDBOX_IDENTITY_INIT;
    lease->site = (struct billet_cgroup_site)BILLET_CGROUP_SITE_INIT;
    lease->group = (struct billet_cgroup)BILLET_CGROUP_INIT;
    pthread_mutex_init(&lease->lock, NULL);
    return lease;
}

void
sandbox_lease_free(struct billet_lease_handle *lease)
{
    if (lease == NULL)
        return;
    billet_close_fd(&lease->site_fd);
    billet_close_fd(&lease->directory_fd);
    sandbox_resident_free(&lease->resident);
    sandbox_filter_free(&lease->filter);
    billet_close_fd(&lease->work_fd);
    sandbox_assets_free(&lease->assets);
    sandbox_identity_give_back(&lease->identity);
    billet_cgroup_close(&lease->group);
    billet_cgroup_site_close(&lease->site);
    pthread_mutex_destroy(&lease->lock);
    free(lease);
}

static int
make_group(struct billet_lease_handle *lease, const struct sandbox_config *config,
           struct billet_error *error)
{
    billet_cgroup_site_open(&lease->site, true);
    lease->memory_by_group = (lease->site.limits & BILLET_CGROUP_CAN_MEMORY) != 0;
    lease->pids_by_group = (lease->site.limits & BILLET_CGROUP_CAN_PIDS) != 0;
    if (lease->shared && billet_cgroup_open(&lease->site, lease->id, &lease->group) == 0)
        return 0;
    struct billet_cgroup_limits limits = {
        .memory_max = lease->memory_by_group ? config->memory_max : 0,
        .pids_max = lease->pids_by_group ? config->pids_max : 0,
    };
    return billet_cgroup_create(&lease->site, lease->id, &limits, &lease->group, error);
}

struct label {
    const char *deployment;
    const char *lease;
    const char *run;
    uint64_t fence;
    uint64_t generation;
};

/* Points into text, which it changes. False when that is no label. */
static bool
parse_label(char *text, struct label *label)
{
    char *line[5] = {NULL};
    for (int i = 0; i < 5; i++)
        line[i] = strsep(&text, "\n");
    if (line[3] == NULL)
        return false;
    *label = (struct label){.deployment = line[0],
                            .lease = line[1],
                            .run = line[4] != NULL ? line[4] : "",
                            .fence = strtoull(line[2], NULL, 10),
                            .generation = strtoull(line[3], NULL, 10)};
    return true;
}

static int
write_label(const struct billet_lease_handle *lease, const struct billet_identity *identity,
            struct billet_error *error)
{
    char text[LABEL_LIMIT];
    int length = snprintf(text, sizeof(text), "%s\n%s\n%" PRIu64 "\n%" PRIu64 "\n%.*s\n",
                          identity->deployment, identity->lease, identity->fence,
                          identity->generation, BILLET_FENCE_RUN, identity->run);
    if (length < 0 || (size_t)length >= sizeof(text) ||
        strchr(identity->deployment, '\n') != NULL || strchr(identity->lease, '\n') != NULL)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "the lease's identity cannot be a label");
    int result = write_small(lease->directory_fd, LABEL, text);
    if (result < 0)
        return billet_fail_errno(error, 0, "io_failed", -result, "cannot label lease %s",
                                 lease->id);
    return 0;
}

/* May it be taken up? Then it is the identity's. */
static int
take_label(const struct billet_lease_handle *lease, const struct billet_identity *identity,
           struct billet_error *error)
{
    char text[LABEL_LIMIT];
    struct label label;
    /* Not the lock of who starts a sandbox, which is that of the directory. */
    cleanup_fd int hold =
        openat(lease->directory_fd, LABEL_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int result = hold >= 0 ? billet_fence_hold(hold, error)
                           : billet_fail_errno(error, 0, "io_failed", errno,
                                               "cannot lock the label of lease %s", lease->id);
    if (result == 0 && read_small(lease->directory_fd, LABEL, text, sizeof(text)) > 0 &&
        parse_label(text, &label))
        result = billet_fence_check(identity, lease->shared, label.fence, label.run, error);
    return result < 0 || lease->shared ? result : write_label(lease, identity, error);
}

int
sandbox_lease_label(const struct billet_lease_handle *lease, int directory_fd)
{
    char text[LABEL_LIMIT];
    if (read_small(lease->directory_fd, LABEL, text, sizeof(text)) < 0)
        return errno == ENOENT ? 0 : -errno;
    return write_small(directory_fd, LABEL, text);
}

static int
complete(struct billet_lease_handle *lease, const struct billet_identity *identity,
         const struct sandbox_config *config, bool make, struct billet_error *error)
{
    lease->directory_fd =
        openat(lease->site_fd, lease->id, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (lease->directory_fd < 0) {
        if (errno == ENOENT)
            return billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                               "sandbox lease %s is not on this machine any more", lease->id);
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot open lease %s", lease->id);
    }
    if (make && fchmod(lease->directory_fd, 0700) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot open lease %s", lease->id);
    if (sandbox_lease_is_ended(lease->directory_fd))
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost", "sandbox lease %s was destroyed",
                           lease->id);
    int result = make ? write_label(lease, identity, error) : take_label(lease, identity, error);
    /* One that is taken up may have a sandbox, which runs as somebody already. */
    if (result == 0 && make)
        result = sandbox_lease_identify(lease, config, error);
    if (result == 0)
        result = make_group(lease, config, error);
    return result;
}

int
sandbox_lease_identify(struct billet_lease_handle *lease, const struct sandbox_config *config,
                       struct billet_error *error)
{
    if (lease->identity.taken)
        return 0;
    int result = sandbox_identity_take(config, lease->site_fd, lease->id, &lease->identity, error);
    if (result == 0 && lease->work_fd >= 0)
        result =
            sandbox_identity_map(&lease->identity, config, lease->work_fd, lease->work_path, error);
    return result;
}

static int
begin(const struct billet_host *host, const struct billet_identity *identity,
      const struct sandbox_config *config, const char *ref, bool make, bool shared,
      struct billet_lease_handle **result, struct billet_error *error)
{
    char id[SANDBOX_ID_SIZE];
    if (identity == NULL || !sandbox_lease_id(ref, identity, id))
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "'%.80s' does not name a sandbox lease", ref);
    struct billet_lease_handle *lease = allocate(id);
    if (lease == NULL)
        return billet_fail_errno(error, BILLET_CLASS_CAPACITY, "out_of_memory", ENOMEM,
                                 "cannot hold a lease");
    lease->shared = shared;
    /* Ready by the time of the first command. */
    sandbox_filter_begin(&lease->filter);
    int failed = open_site(host, true, &lease->site_fd, error);
    bool made = false;
    if (failed == 0 && make) {
        made = mkdirat(lease->site_fd, id, 0700) == 0;
        if (!made && errno != EEXIST)
            failed = billet_fail_errno(error, 0, "io_failed", errno, "cannot make lease %s", id);
    }
    if (failed == 0)
        failed = complete(lease, identity, config, make, error);
    if (failed < 0) {
        sandbox_lease_free(lease);
        if (made)
            sandbox_lease_destroy(host, id, false, 0, NULL);
        return failed;
    }
    *result = lease;
    return 0;
}

int
sandbox_lease_make(const struct billet_host *host, const struct billet_identity *identity,
                   const struct sandbox_config *config, struct billet_lease_handle **lease,
                   struct billet_error *error)
{
    return begin(host, identity, config, "", true, false, lease, error);
}

int
sandbox_lease_open(const struct billet_host *host, const struct billet_identity *identity,
                   const struct sandbox_config *config, const char *ref, bool shared,
                   struct billet_lease_handle **lease, struct billet_error *error)
{
    return begin(host, identity, config, ref, false, shared, lease, error);
}

/* ---- destroy, list ------------------------------------------------------------------ */

static int
remove_directory(int site, const char *id)
{
    cleanup_fd int directory = openat(site, id, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (directory < 0)
        return errno == ENOENT ? 0 : -errno;
    cleanup_dir DIR *entries = sandbox_tree_list(directory);
    if (entries == NULL)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            sandbox_tree_remove(directory, entry->d_name);
    return unlinkat(site, id, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int
remove_lease(const struct billet_host *host, int site, int directory,
             const struct billet_cgroup_site *groups, const struct billet_cgroup *group,
             const char *id, int64_t deadline_ns, struct billet_error *error)
{
    int result = sandbox_lease_stop(directory, group, deadline_ns, error);
    if (result < 0)
        return result;
    int removed = billet_cgroup_remove(groups, id, billet_monotonic_ns() + BILLET_NS_PER_SECOND);
    if (removed < 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "lease_cleanup_failed", -removed,
                                 "cannot remove the control group of lease %s", id);
    sandbox_identity_tidy(site);
    /* What would be found again when this is cut off goes last. */
    removed = sandbox_overlay_remove(host, id);
    if (removed < 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "lease_cleanup_failed", -removed,
                                 "cannot remove the overlay of lease %s", id);
    removed = remove_directory(site, id);
    if (removed < 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "lease_cleanup_failed", -removed,
                                 "cannot remove the directory of lease %s", id);
    return 0;
}

int
sandbox_lease_end(const struct billet_host *host, struct billet_lease_handle *lease,
                  int64_t deadline_ns, struct billet_error *error)
{
    int64_t limit = billet_monotonic_ns() + KILL_TIME;
    /* What another process would start now ends itself. */
    if (fchmod(lease->directory_fd, 0700 | ENDED) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot end lease %s", lease->id);
    sandbox_resident_end(lease, deadline_ns > 0 && deadline_ns < limit ? deadline_ns : limit);
    return remove_lease(host, lease->site_fd, lease->directory_fd, &lease->site, &lease->group,
                        lease->id, deadline_ns, error);
}

int
sandbox_lease_destroy(const struct billet_host *host, const char *id, bool dry_run,
                      int64_t deadline_ns, struct billet_error *error)
{
    struct billet_cgroup_site groups = BILLET_CGROUP_SITE_INIT;
    struct billet_cgroup group = BILLET_CGROUP_INIT;
    cleanup_fd int site = -1;
    int result = open_site(host, false, &site, error);

    if (result < 0 || dry_run)
        return result;
    cleanup_fd int directory =
        site >= 0 ? openat(site, id, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (site >= 0 && directory < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot look at lease %s", id);
    if (directory < 0) { /* not ours, or gone: its group was removed before its directory */
        int removed = sandbox_overlay_remove(host, id); /* outlives a boot */
        return removed == 0
                   ? 0
                   : billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "lease_cleanup_failed",
                                       -removed, "cannot remove the overlay of lease %s", id);
    }
    if (fchmod(directory, 0700 | ENDED) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot end lease %s", id);
    billet_cgroup_site_open(&groups, true);
    billet_cgroup_open(&groups, id, &group);
    result = remove_lease(host, site, directory, &groups, &group, id, deadline_ns, error);
    billet_cgroup_close(&group);
    billet_cgroup_site_close(&groups);
    return result;
}

static void
report(const struct billet_host *host, const struct billet_call *call, int site, const char *id)
{
    char path[SANDBOX_ID_SIZE + 16], text[LABEL_LIMIT], ref[BILLET_REF_MAX];
    struct label label;
    struct billet_resource resource = {
        .struct_size = sizeof(resource), .ref = ref, .deployment = "", .lease = "", .age_ns = -1};
    struct stat status;
    struct timespec now;

    snprintf(ref, sizeof(ref), SANDBOX_REF_PREFIX "%s", id);
    snprintf(path, sizeof(path), "%s/" LABEL, id);
    if (read_small(site, path, text, sizeof(text)) > 0 && parse_label(text, &label)) {
        resource.deployment = label.deployment;
        resource.lease = label.lease;
        resource.fence = label.fence;
        resource.generation = label.generation;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (fstatat(site, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
        fstatat(site, id, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        int64_t age = (now.tv_sec - status.st_mtim.tv_sec) * BILLET_NS_PER_SECOND +
                      (now.tv_nsec - status.st_mtim.tv_nsec);
        resource.age_ns = age > 0 ? age : 0;
    }
    host->resource(call, &resource);
}

/* Overlays that a boot left without their lease. */
static void
list_overlays(const struct billet_host *host, const struct billet_call *call, int leases)
{
    int site = sandbox_overlay_site(host);
    cleanup_dir DIR *entries = site >= 0 ? fdopendir(site) : NULL;
    struct dirent *entry;
    if (entries == NULL)
        billet_close_fd(&site);
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char id[SANDBOX_ID_SIZE], ref[sizeof(SANDBOX_REF_PREFIX) + 256];
        struct stat status;
        snprintf(ref, sizeof(ref), SANDBOX_REF_PREFIX "%s", entry->d_name);
        if (sandbox_lease_id(ref, NULL, id) &&
            (leases < 0 || fstatat(leases, id, &status, AT_SYMLINK_NOFOLLOW) != 0))
            report(host, call, site, id);
    }
}

int
sandbox_lease_list(const struct billet_host *host, const struct billet_call *call,
                   struct billet_error *error)
{
    int site = -1;
    int result = open_site(host, false, &site, error);
    if (result == 0)
        list_overlays(host, call, site);
    if (result < 0 || site < 0)
        return result;
    cleanup_dir DIR *entries = fdopendir(site);
    if (entries == NULL) {
        close(site);
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot list leases");
    }
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        char id[SANDBOX_ID_SIZE], ref[sizeof(SANDBOX_REF_PREFIX) + 256];
        snprintf(ref, sizeof(ref), SANDBOX_REF_PREFIX "%s", entry->d_name);
        if (sandbox_lease_id(ref, NULL, id))
            report(host, call, site, id);
    }
    return 0;
}
