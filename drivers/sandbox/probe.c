/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/launch.h"
#include "../common/supervise.h"
#include "exec.h"
#include "filter.h"
#include "landlock.h"
#include "lease.h"
#include "options.h"
#include "overlay.h"

#define LOWEST_MAJOR 0
#define LOWEST_MINOR 8
#define PROBE_TIME (15 * BILLET_NS_PER_SECOND)

struct probe {
    const struct billet_host *host;
    const struct billet_call *call;
    struct sandbox_config config;
};

static void say(const struct probe *probe, int outcome, const char *name, const char *hint,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

static void
say(const struct probe *probe, int outcome, const char *name, const char *hint, const char *format,
    ...)
{
    char message[BILLET_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    probe->host->check(probe->call, outcome, name, message, hint);
}

/* Its first line of output; "" when it cannot be run. */
static void
ask_version(const char *program, char *text, size_t size)
{
    int ends[2];
    const char *const argv[] = {"bwrap", "--version", NULL};
    pid_t pid = 0;
    int pidfd = -1;
    enum billet_launch_step step;
    struct billet_supervised supervised;

    text[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    const int fds[] = {-1, ends[1], -1};
    struct billet_launch launch = {.argv = argv,
                                   .program = program,
                                   .directory_fd = -1,
                                   .fds = fds,
                                   .fd_count = 3,
                                   .terminal_fd = -1,
                                   .cgroup_fd = -1};
    int failed = billet_launch_start(&launch, &pid, &pidfd, &step);
    close(ends[1]);
    if (failed == 0) {
        struct billet_supervision supervision = {
            .pid = pid, .pidfd = pidfd, .cancel_fd = -1, .timeout_ns = 5 * BILLET_NS_PER_SECOND};
        billet_supervise(&supervision, &supervised);
        close(pidfd);
        /* It has ended; a pipe that others hold open must not block. */
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        ssize_t got = read(ends[0], text, size - 1);
        text[got > 0 ? got : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
    }
    close(ends[0]);
}

static void
check_bubblewrap(const struct probe *probe)
{
    char text[128];
    int major = -1, minor = -1;
    struct stat status;
    const char *path = probe->config.bubblewrap;

    if (access(path, X_OK) < 0 || stat(path, &status) < 0) {
        say(probe, BILLET_CHECK_FAIL, "bubblewrap",
            "install bubblewrap (Debian, Fedora and Alpine: package bubblewrap), or set "
            "bubblewrap = its path",
            "%s cannot be executed: %s", path, strerror(errno));
        return;
    }
    ask_version(path, text, sizeof(text));
    if (sscanf(text, "bubblewrap %d.%d", &major, &minor) != 2)
        say(probe, BILLET_CHECK_FAIL, "bubblewrap", "set bubblewrap to the path of bwrap",
            "%s does not say its version", path);
    else if (major == LOWEST_MAJOR && minor < LOWEST_MINOR)
        say(probe, BILLET_CHECK_FAIL, "bubblewrap", "install bubblewrap 0.8.0 or later",
            "%s is %s, which cannot keep the command from user namespaces", path, text);
    else if ((status.st_mode & S_ISUID) != 0)
        say(probe, BILLET_CHECK_WARN, "bubblewrap",
            "chmod u-s it where unprivileged user namespaces are allowed",
            "%s is set-user-ID, then it refuses some options", path);
    else
        say(probe, BILLET_CHECK_PASS, "bubblewrap", "", "%s, %s", path, text);
}

/* The number in a sysctl, or fallback when it is not there. */
static long
sysctl(const char *path, long fallback)
{
    char text[32];
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (got <= 0)
        return fallback;
    text[got] = '\0';
    return atol(text);
}

static void
check_user_namespaces(const struct probe *probe)
{
    if (sysctl("/proc/sys/user/max_user_namespaces", 1) == 0)
        say(probe, BILLET_CHECK_FAIL, "user namespaces",
            "sysctl user.max_user_namespaces=10000 (and a file in /etc/sysctl.d)",
            "user.max_user_namespaces is 0");
    else if (sysctl("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
        say(probe, BILLET_CHECK_FAIL, "user namespaces",
            "sysctl kernel.unprivileged_userns_clone=1 (and a file in /etc/sysctl.d)",
            "kernel.unprivileged_userns_clone is 0");
    else if (sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) != 0)
        say(probe, BILLET_CHECK_WARN, "user namespaces",
            "if the trial below fails: install an AppArmor profile for bwrap (package "
            "apparmor-profiles: bwrap-userns-restrict), or sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0",
            "kernel.apparmor_restrict_unprivileged_userns is 1");
    else
        say(probe, BILLET_CHECK_PASS, "user namespaces", "", "allowed");
}

static void
check_seccomp(const struct probe *probe)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int fd = -1;
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        say(probe, BILLET_CHECK_FAIL, "seccomp", "use a kernel with CONFIG_SECCOMP_FILTER",
            "this kernel has no seccomp");
    else if (sandbox_filter_make(&fd, &error) < 0)
        say(probe, BILLET_CHECK_FAIL, "seccomp", error.hint, "%s", error.message);
    else
        say(probe, BILLET_CHECK_PASS, "seccomp", "", "the filter is there");
    billet_close_fd(&fd);
}

static void
check_landlock(const struct probe *probe)
{
    int version = sandbox_landlock_abi();
    if (version == 0)
        say(probe, probe->config.allow_degraded ? BILLET_CHECK_WARN : BILLET_CHECK_FAIL, "landlock",
            "boot with lsm=landlock,... on Linux 5.13 or later, or set allow_degraded = yes",
            "this kernel has no Landlock or it is switched off");
    else if (version < 6)
        say(probe, BILLET_CHECK_PASS, "landlock", "",
            "version %d: files; signals and abstract sockets are left to the namespaces", version);
    else
        say(probe, BILLET_CHECK_PASS, "landlock", "", "version %d", version);
}

static void
check_limits(const struct probe *probe)
{
    struct billet_cgroup_site site = BILLET_CGROUP_SITE_INIT;
    billet_cgroup_site_open(&site, true);
    bool memory = (site.limits & BILLET_CGROUP_CAN_MEMORY) != 0;
    bool processes = (site.limits & BILLET_CGROUP_CAN_PIDS) != 0;
    if (memory && processes)
        say(probe, BILLET_CHECK_PASS, "limits", "", "memory and processes by control group (%s)",
            site.unified_limits != 0 ? "v2" : "v1");
    else
        say(probe, BILLET_CHECK_WARN, "limits",
            "delegate a control group with the memory and pids controllers to this user (systemd: "
            "Delegate=yes)",
            "memory by %s, processes by %s%s%s", memory ? "control group" : "each process's limit",
            processes ? "control group" : "the user namespace's limit",
            site.why[0] != '\0' ? ": " : "", site.why);
    billet_cgroup_site_close(&site);
}

static void
check_identity(const struct probe *probe, struct billet_lease_handle *lease)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (!lease->identity.drop) {
        say(probe, BILLET_CHECK_PASS, "user", "", "the sandbox runs as user id %u",
            (unsigned)lease->identity.uid);
        return;
    }
    struct sandbox_config strict = probe->config;
    strict.allow_degraded = false;
    if (sandbox_identity_map(&lease->identity, &strict, lease->directory_fd,
                             "the runtime directory", &error) < 0)
        say(probe, BILLET_CHECK_WARN, "user", error.hint, "%s", error.message);
    else
        say(probe, BILLET_CHECK_PASS, "user", "",
            "started by root: each lease has a user id of its own from %u on, workspaces by "
            "id-mapped mount",
            probe->config.uid_base);
}

/* With an empty directory of the lease's own as the workspace. */
static void
check_overlay(const struct probe *probe, struct billet_lease_handle *lease)
{
    struct billet_error error = BILLET_ERROR_INIT;
    snprintf(lease->work_path, sizeof(lease->work_path), "the workspace");
    mkdirat(lease->directory_fd, "lower", 0700);
    lease->work_fd = openat(lease->directory_fd, "lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lease->work_fd >= 0 && sandbox_overlay_prepare(probe->host, lease, &probe->config,
                                                       sandbox_overlay_try, &error) == 0)
        say(probe, BILLET_CHECK_PASS, "overlay", "",
            "a workspace is shown as an overlay where no mode is chosen: nothing is copied");
    else
        say(probe, BILLET_CHECK_WARN, "overlay", error.hint,
            "%s; the directory itself is mounted instead", error.message);
    billet_close_fd(&lease->work_fd);
    lease->overlay_path[0] = '\0';
}

static void
check_network(const struct probe *probe)
{
    if (probe->config.shared_network)
        say(probe, BILLET_CHECK_WARN, "network", "set network = none",
            "network = host: everything that listens on this machine can be reached from inside");
    else
        say(probe, BILLET_CHECK_PASS, "network", "", "none but the sandbox's own loopback");
}

static void
started(const struct billet_call *call, int64_t pid)
{
    (void)call;
    (void)pid;
}

/* The same way as a run, with the self-check of every protection. */
static void
try_one(const struct probe *probe, struct billet_lease_handle *lease)
{
    const char *const argv[] = {"true", NULL};
    char missing[512] = "";
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    struct billet_host quiet = *probe->host;
    cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct billet_exec exec = {.struct_size = sizeof(exec),
                               .argv = argv,
                               .directory = "",
                               .stdin_fd = null,
                               .stdout_fd = null,
                               .stderr_fd = null,
                               .timeout_ns = PROBE_TIME};
    quiet.started = started;
    int failed = sandbox_exec(&quiet, probe->call, lease, &probe->config, &exec, &result, missing,
                              sizeof(missing), &error);
    if (failed < 0)
        say(probe, BILLET_CHECK_FAIL, "trial", error.hint, "%s", error.message);
    else if (result.outcome != BILLET_OUTCOME_EXITED || result.value != 0)
        say(probe, BILLET_CHECK_FAIL, "trial", "is there a 'true' in the root file system?",
            "'true' did not end well in a sandbox (outcome %d, value %d)", result.outcome,
            result.value);
    else if (missing[0] != '\0')
        say(probe, BILLET_CHECK_WARN, "trial", "allow_degraded = yes lets it run so",
            "a sandbox runs, but without: %s", missing);
    else
        say(probe, BILLET_CHECK_PASS, "trial", "", "a sandbox runs with every protection in force");
}

int
sandbox_probe(const struct billet_host *host, const struct billet_call *call,
              struct billet_error *error)
{
    struct probe probe = {.host = host, .call = call};
    struct billet_error trial = BILLET_ERROR_INIT;
    struct billet_lease_handle *lease = NULL;
    char id[SANDBOX_ID_SIZE];
    int result = sandbox_config_read(call->config, &probe.config, error);
    if (result < 0)
        return result;
    check_bubblewrap(&probe);
    check_user_namespaces(&probe);
    check_seccomp(&probe);
    check_landlock(&probe);
    check_limits(&probe);
    check_network(&probe);
    snprintf(id, sizeof(id), "probe-%d-%lld", (int)getpid(), (long long)billet_monotonic_ns());
    struct billet_identity identity = {.struct_size = sizeof(identity),
                                       .deployment = "",
                                       .tenant = "",
                                       .environment = "",
                                       .lease = id,
                                       .run = "",
                                       .agent = "",
                                       .issue = ""};
    if (sandbox_lease_make(host, &identity, &probe.config, &lease, &trial) < 0) {
        say(&probe, BILLET_CHECK_FAIL, "trial", trial.hint, "%s", trial.message);
        return 0;
    }
    check_identity(&probe, lease);
    check_overlay(&probe, lease);
    billet_close_fd(&lease->identity.map_fd);
    try_one(&probe, lease);
    sandbox_lease_end(host, lease, 0, NULL);
    sandbox_lease_free(lease);
    return sandbox_lease_destroy(host, id, false, 0, error);
}
