/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/launch.h"
#include "overlay.h"
#include "profile.h"

#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#define MOVE_EMPTY_PATH 4u
#define KEY_JOIN_SESSION 1
/* include/uapi/linux/ioprio.h, which older headers lack */
#define IOPRIO_PROCESS 1
#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_REAL_TIME 1

enum step {
    STEP_SESSION,
    STEP_GROUP,
    STEP_STAGE,
    STEP_MOUNT,
    STEP_ASSETS,
    STEP_OVERLAY,
    STEP_LIMITS,
    STEP_INHERITED,
    STEP_KEYRING,
    STEP_USER,
    STEP_NOTE,
    STEP_DESCRIPTORS,
    STEP_EXECUTE,
};

static const char *const step_texts[] = {
    [STEP_SESSION] = "begin a session",
    [STEP_GROUP] = "enter the control group of the lease",
    [STEP_STAGE] = "make a mount namespace",
    [STEP_MOUNT] = "mount the workspace for the lease's user id",
    [STEP_ASSETS] = "mount the assets for the lease's user id",
    [STEP_OVERLAY] = "show the workspace as an overlay",
    [STEP_LIMITS] = "set resource limits",
    [STEP_INHERITED] = "give up priorities of the caller",
    [STEP_KEYRING] = "begin a session keyring",
    [STEP_USER] = "take the lease's user id",
    [STEP_NOTE] = "note the process of bubblewrap",
    [STEP_DESCRIPTORS] = "place the descriptors",
    [STEP_EXECUTE] = "execute",
};

struct failure {
    int32_t step;
    int32_t sys_errno;
};

static void __attribute__((noreturn)) fail(int report, enum step step)
{
    struct failure failure = {.step = (int32_t)step, .sys_errno = errno};
    ssize_t ignored = write(report, &failure, sizeof(failure));
    (void)ignored;
    _exit(127);
}

static void
reset_signals(void)
{
    struct sigaction action;
    sigset_t none;
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int number = 1; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* entered: the process was made inside the v2 group. */
static void
enter_groups(const struct billet_cgroup *group, bool entered, int report)
{
    for (int i = 0; i < BILLET_CGROUP_TREES; i++) {
        if (group->directories[i] < 0 || (i == BILLET_CGROUP_UNIFIED && entered))
            continue;
        if ((i == BILLET_CGROUP_PIDS && (sandbox_dropped() & SANDBOX_DROP_PIDS) != 0) ||
            (i == BILLET_CGROUP_MEMORY && (sandbox_dropped() & SANDBOX_DROP_MEMORY) != 0))
            continue;
        int procs = group->procs[i];
        if (procs < 0)
            procs = openat(group->directories[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            fail(report, STEP_GROUP);
    }
}

static void
clone_assets(const struct sandbox_assets *assets, int trees[BILLET_ASSETS_MAX], int report)
{
    for (size_t i = 0; i < assets->count; i++) {
        trees[i] = sandbox_identity_mount(assets->items[i].fd, assets->items[i].map_fd);
        errno = -trees[i];
        if (trees[i] < 0)
            fail(report, STEP_ASSETS);
    }
}

/* By number: their names may be long. */
static void
place_assets(const struct sandbox_assets *assets, const int trees[BILLET_ASSETS_MAX], int report)
{
    char place[sizeof(SANDBOX_STAGE_ASSETS) + 24];
    if (assets->count > 0 && mkdir(SANDBOX_STAGE_ASSETS, 0755) < 0)
        fail(report, STEP_ASSETS);
    for (size_t i = 0; i < assets->count; i++) {
        snprintf(place, sizeof(place), SANDBOX_STAGE_ASSETS "/%zu", i);
        int made = assets->items[i].is_directory
                       ? mkdir(place, 0755)
                       : open(place, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
        if (made < 0 || syscall(SYS_move_mount, trees[i], "", AT_FDCWD, place, MOVE_EMPTY_PATH) < 0)
            fail(report, STEP_ASSETS);
        close(trees[i]);
        if (!assets->items[i].is_directory)
            close(made);
    }
}

/* Root's: what bwrap binds must be reachable for the other user. */
static void
stage(const struct sandbox_launch *launch, int report)
{
    /* A mount can be cloned only in its own mount namespace, so before that is left. */
    int tree = launch->work_fd >= 0
                   ? sandbox_identity_mount(launch->work_fd, launch->identity->map_fd)
                   : -1;
    int assets[BILLET_ASSETS_MAX];
    errno = -tree;
    if (launch->work_fd >= 0 && tree < 0)
        fail(report, STEP_MOUNT);
    clone_assets(launch->assets, assets, report);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("billet", SANDBOX_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") < 0)
        fail(report, STEP_STAGE);
    int file = open(SANDBOX_STAGE_INIT, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    if (file < 0 || mount(launch->init, SANDBOX_STAGE_INIT, NULL, MS_BIND, NULL) < 0)
        fail(report, STEP_STAGE);
    close(file);
    place_assets(launch->assets, assets, report);
    if (launch->work_fd < 0)
        return;
    const char *place = launch->overlay != NULL ? SANDBOX_STAGE_LOWER : SANDBOX_STAGE_WORK;
    if (mkdir(place, 0755) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_EMPTY_PATH) < 0)
        fail(report, STEP_MOUNT);
    close(tree);
    if (launch->overlay == NULL)
        return;
    if (sandbox_overlay_mount_root(launch->overlay, place) < 0)
        fail(report, STEP_OVERLAY);
    umount2(place, MNT_DETACH); /* the overlay has it */
}

/* Where the workspace is shown as an overlay, or for another user: that one's is always staged. */
static void
stage_workspace(const struct sandbox_launch *launch, int report)
{
    if (launch->init != NULL)
        stage(launch, report);
    else if (launch->overlay != NULL &&
             sandbox_overlay_mount_user(launch->overlay, launch->work_fd) < 0)
        fail(report, STEP_OVERLAY);
}

/* Lower what is higher; a limit that is already below stays. */
static int
lower(int resource, rlim_t soft, rlim_t hard)
{
    struct rlimit limits;
    if (getrlimit((__rlimit_resource_t)resource, &limits) < 0)
        return -1;
    if (limits.rlim_max == RLIM_INFINITY || limits.rlim_max > hard)
        limits.rlim_max = hard;
    limits.rlim_cur = soft < limits.rlim_max ? soft : limits.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &limits);
}

static void
set_limits(int report)
{
    bool core = (sandbox_dropped() & SANDBOX_DROP_CORE) != 0;
    if ((!core && lower(RLIMIT_CORE, 0, 0) < 0) || lower(RLIMIT_NOFILE, 1024, 4096) < 0 ||
        lower(RLIMIT_MEMLOCK, 65536, 65536) < 0 || lower(RLIMIT_RTPRIO, 0, 0) < 0 ||
        lower(RLIMIT_NICE, 0, 0) < 0 || lower(RLIMIT_MSGQUEUE, 0, 0) < 0)
        fail(report, STEP_LIMITS);
}

/* What the caller may have been given for itself: real-time or high priority, fixed addresses, a
 * place before the out-of-memory killer. A lower priority stays. */
static void
shed_inherited(int report)
{
    struct sched_param none = {0};
    char text[16] = "";
    int policy = (int)syscall(SYS_sched_getscheduler, 0);

    errno = 0;
    if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE &&
        syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none) < 0)
        fail(report, STEP_INHERITED);
    /* The raw call gives 20 - nice. */
    if (syscall(SYS_getpriority, PRIO_PROCESS, 0) > 20 && setpriority(PRIO_PROCESS, 0, 0) < 0)
        fail(report, STEP_INHERITED);
    if (syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0) >> IOPRIO_CLASS_SHIFT == IOPRIO_REAL_TIME &&
        syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, 0) < 0)
        fail(report, STEP_INHERITED);
    if (personality(0xffffffff) != 0 && personality(0) < 0)
        fail(report, STEP_INHERITED);
    int adjust = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (adjust >= 0) {
        if (read(adjust, text, sizeof(text) - 1) > 0 && text[0] == '-' &&
            pwrite(adjust, "0", 1, 0) != 1)
            fail(report, STEP_INHERITED);
        close(adjust);
    }
}

/* The raw calls: libc's would signal threads that this child does not have. */
static void
take_user(const struct sandbox_identity *identity, int report)
{
    if (!identity->drop)
        return;
    errno = EPERM;
    if (identity->uid == 0 || identity->gid == 0)
        fail(report, STEP_USER);
    if (syscall(SYS_setgroups, 0, NULL) < 0 ||
        syscall(SYS_setresgid, identity->gid, identity->gid, identity->gid) < 0 ||
        syscall(SYS_setresuid, identity->uid, identity->uid, identity->uid) < 0)
        fail(report, STEP_USER);
    errno = EPERM;
    if (syscall(SYS_setresuid, 0, 0, 0) == 0 || syscall(SYS_setresgid, 0, 0, 0) == 0 ||
        geteuid() != identity->uid || getegid() != identity->gid || getgroups(0, NULL) != 0)
        fail(report, STEP_USER);
}

static void
place_fds(const struct sandbox_launch *launch, int report)
{
    int from[SANDBOX_LAUNCH_FDS];
    int count = (int)launch->fd_count;

    for (int i = 0; i < count; i++) {
        from[i] = fcntl(launch->fds[i], F_DUPFD_CLOEXEC, count);
        if (from[i] < 0)
            fail(report, STEP_DESCRIPTORS);
    }
    int kept = fcntl(report, F_DUPFD_CLOEXEC, count);
    for (int i = 0; i < count; i++)
        if (dup2(from[i], i) < 0)
            fail(kept, STEP_DESCRIPTORS);
    if (dup2(kept, count) < 0 || fcntl(count, F_SETFD, FD_CLOEXEC) < 0)
        _exit(127);
    if ((sandbox_dropped() & SANDBOX_DROP_DESCRIPTORS) != 0)
        return; /* what the host left inheritable stays so */
    if (syscall(SYS_close_range, (unsigned)count + 1, ~0u, 0u) < 0)
        fail(count, STEP_DESCRIPTORS);
}

struct start {
    const struct sandbox_launch *launch;
    pid_t parent;
    int report;
    bool entered;
};

/* Shares the memory of the host, whose calling thread waits. */
static void
child_main(void *argument)
{
    const struct start *start = argument;
    const struct sandbox_launch *launch = start->launch;
    int report = start->report;
    static char *const arguments[] = {(char *)"bwrap", (char *)"--args",          (char *)"6",
                                      (char *)"--",    (char *)SANDBOX_INIT_PATH, NULL};
    static char *const nothing[] = {NULL};
#ifdef BILLET_ABLATION
    static char *const leaked[] = {(char *)"BILLET_ABLATION_SECRET=canary", NULL};
    char *const *environment =
        (sandbox_dropped() & SANDBOX_DROP_ENVIRONMENT) != 0 ? leaked : nothing;
#else
    char *const *environment = nothing;
#endif

    reset_signals();
    if (setsid() < 0)
        fail(report, STEP_SESSION);
    enter_groups(launch->group, start->entered, report);
    stage_workspace(launch, report);
    set_limits(report);
    shed_inherited(report);
    /* Before the change of user, who may not write there, and not later than bwrap begins: one that
     * loses its parent at the wrong moment waits for ever in a child of its own. */
    int noted = launch->note(launch->context, getpid());
    errno = -noted;
    if (noted < 0)
        fail(report, STEP_NOTE);
    take_user(launch->identity, report);
    if ((sandbox_dropped() & SANDBOX_DROP_KEYRING) == 0 &&
        syscall(SYS_keyctl, KEY_JOIN_SESSION, NULL) < 0 && errno != ENOSYS)
        fail(report, STEP_KEYRING);
    /* After the change of user, which clears it. It also covers a parent that is gone already;
     * bwrap begins without it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != start->parent)
        _exit(127);
    /* What the command writes goes back to its owner, with usual modes. */
    umask(022);
    place_fds(launch, report);
    if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
        fail((int)launch->fd_count, STEP_SESSION);
    execve(launch->bubblewrap, arguments, environment);
    fail((int)launch->fd_count, STEP_EXECUTE);
}

static int
explain(const struct failure *failure, struct billet_error *error)
{
    if (failure->step == STEP_EXECUTE) {
        billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "sandbox_bubblewrap_missing",
                          failure->sys_errno, "cannot execute bubblewrap");
        return billet_fail_hint(error, "install bubblewrap 0.8.0 or later, or set bubblewrap = its "
                                       "path");
    }
    if (failure->step == STEP_NOTE && failure->sys_errno == ENOENT)
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                           "the sandbox's lease was destroyed meanwhile");
    const char *text = failure->step >= 0 && failure->step < STEP_EXECUTE
                           ? step_texts[failure->step]
                           : "start bubblewrap";
    billet_fail_errno(error, 0, "sandbox_start_failed", failure->sys_errno,
                      "cannot %s for the sandbox", text);
    if (failure->step == STEP_USER)
        return billet_fail_hint(error, "is its user id known in this container? set uid_base");
    return -error->error_class;
}

int
sandbox_launch_begin(const struct sandbox_launch *launch, struct sandbox_launched *launched,
                     struct billet_error *error)
{
    int report[2], pidfd = -1;

    *launched = (struct sandbox_launched)SANDBOX_LAUNCHED_INIT;
    if (launch->fd_count >= SANDBOX_LAUNCH_FDS)
        return billet_fail(error, BILLET_CLASS_INTERNAL, "internal", "too many descriptors");
    /* Without it other processes could not end what this one leaves behind. */
    cleanup_fd int self = billet_pidfd_open(getpid());
    if (self < 0)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                 "cannot hold the process of bubblewrap");
    if (pipe2(report, O_CLOEXEC) < 0)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno, "cannot make a pipe");
    struct start start = {.launch = launch, .parent = getpid(), .report = report[1]};
    long child =
        billet_launch_child(child_main, &start, launch->group->directories[BILLET_CGROUP_UNIFIED],
                            &start.entered, &pidfd);
    close(report[1]);
    if (child < 0) {
        close(report[0]);
        return billet_fail_errno(error, 0, "sandbox_start_failed", (int)-child,
                                 "cannot make a process");
    }
    *launched = (struct sandbox_launched){.pid = (pid_t)child, .pidfd = pidfd, .report = report[0]};
    return 0;
}

int
sandbox_launch_result(struct sandbox_launched *launched, struct billet_error *error)
{
    struct failure failure;
    ssize_t got = 0;
    if (launched->report < 0)
        return 0;
    while ((got = read(launched->report, &failure, sizeof(failure))) < 0 && errno == EINTR)
        ;
    billet_close_fd(&launched->report);
    if (got == (ssize_t)sizeof(failure) && failure.step == STEP_OVERLAY)
        launched->overlay_errno = failure.sys_errno;
    return got == (ssize_t)sizeof(failure) ? explain(&failure, error) : 0;
}
