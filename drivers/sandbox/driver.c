/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.c - the table of the sandbox driver: each operation in terms of lease,
 * exec and probe. Owns nothing itself.
 */
#include <billet/driver.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "exec.h"
#include "landlock.h"
#include "lease.h"
#include "options.h"
#include "overlay.h"
#include "probe.h"
#include "protocol.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

static const struct billet_host *host;

static int32_t
check_config(const struct billet_call *call, struct billet_error *error)
{
    struct sandbox_config config;
    return sandbox_config_read(call->config, &config, error);
}

static int32_t
probe(const struct billet_call *call, struct billet_error *error)
{
    return sandbox_probe(host, call, error);
}

static void
tell_facts(const struct billet_call *call, const struct billet_lease_handle *lease,
           const struct sandbox_config *config)
{
    char text[64];
    host->fact(call, "memory_limit", lease->memory_by_group ? "cgroup" : "rlimit");
    host->fact(call, "pids_limit", lease->pids_by_group ? "cgroup" : "rlimit");
    host->fact(call, "network", config->shared_network ? "host" : "none");
    snprintf(text, sizeof(text), "%d", sandbox_landlock_abi());
    host->fact(call, "landlock", text);
}

/* While the core writes down what comes next. Where it fails, the first command tries again and
 * says why. */
static void
start_ahead(struct billet_lease_handle *lease, const struct sandbox_config *config)
{
    /* One that was taken up may have a sandbox of another process: the first command finds it. */
    if (lease->identity.taken)
        sandbox_resident_start_ahead(host, lease, config);
}

static int32_t
acquire(const struct billet_call *call, const struct billet_acquire *args,
        struct billet_acquired *result, struct billet_error *error)
{
    struct sandbox_config config;
    struct billet_lease_handle *lease = NULL;
    int failed = sandbox_config_read(call->config, &config, error);
    if (failed < 0)
        return failed;
    if (access(config.bubblewrap, X_OK) < 0) {
        billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "sandbox_bubblewrap_missing", errno,
                          "cannot execute bubblewrap %s", config.bubblewrap);
        return billet_fail_hint(error, "install bubblewrap 0.8.0 or later, or set bubblewrap = its "
                                       "path");
    }
    failed = sandbox_lease_make(host, call->identity, &config, &lease, error);
    if (failed < 0)
        return failed;
    snprintf(result->ref, sizeof(result->ref), SANDBOX_REF_PREFIX "%s", lease->id);
    result->handle = lease;
    result->expires_ns = 0;
    tell_facts(call, lease, &config);
    if ((args->hints & BILLET_HINT_NO_REALIZE) != 0)
        start_ahead(lease, &config);
    return 0;
}

static int32_t
resume(const struct billet_call *call, const struct billet_resume *args,
       struct billet_acquired *result, struct billet_error *error)
{
    struct sandbox_config config;
    struct billet_lease_handle *lease = NULL;
    int failed = sandbox_config_read(call->config, &config, error);
    if (failed == 0 && (args->flags & ~(uint64_t)BILLET_RESUME_SHARED) != 0)
        failed = billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown flag of resume");
    if (failed == 0)
        failed = sandbox_lease_open(host, call->identity, &config, args->ref,
                                    (args->flags & BILLET_RESUME_SHARED) != 0, &lease, error);
    if (failed < 0)
        return failed;
    snprintf(result->ref, sizeof(result->ref), "%s", args->ref);
    result->handle = lease;
    result->expires_ns = 0;
    return 0;
}

static int32_t
release(const struct billet_call *call, struct billet_lease_handle *lease, int32_t disposition,
        struct billet_error *error)
{
    int result = 0;
    if (disposition == BILLET_DISPOSE_DESTROY)
        result = sandbox_lease_end(host, lease, call->deadline_ns, error);
    if (disposition == BILLET_DISPOSE_KEEP) {
        sandbox_resident_keep(lease);
        sandbox_resident_await(lease, billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND);
    }
    if (disposition == BILLET_DISPOSE_STOP)
        sandbox_resident_end(lease, billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND);
    if (disposition == BILLET_DISPOSE_STOP)
        result = sandbox_lease_stop(lease->directory_fd, &lease->group, call->deadline_ns, error);
    /* What is started by clone into a group that was once killed dies at once on kernels from 6.14
     * on (their kill_seq is compared with that of the parent's group): resume makes a new one. */
    if (disposition == BILLET_DISPOSE_STOP && result == 0)
        billet_cgroup_remove(&lease->site, lease->id, call->deadline_ns);
    sandbox_lease_free(lease);
    return result;
}

static int32_t
destroy(const struct billet_call *call, const struct billet_destroy *args,
        struct billet_error *error)
{
    char id[SANDBOX_ID_SIZE];
    if (!sandbox_lease_id(args->ref, call->identity, id))
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "'%.80s' does not name a sandbox lease", args->ref);
    return sandbox_lease_destroy(host, id, (call->flags & BILLET_CALL_DRY_RUN) != 0,
                                 call->deadline_ns, error);
}

static int32_t
list(const struct billet_call *call, struct billet_error *error)
{
    return sandbox_lease_list(host, call, error);
}

static int
take_workspace(struct billet_lease_handle *lease, const struct sandbox_config *config,
               const struct billet_realize *args, struct billet_error *error)
{
    struct stat status;
    cleanup_fd int fd = args->root_fd >= 0 ? fcntl(args->root_fd, F_DUPFD_CLOEXEC, 3)
                                           : open(args->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return billet_fail_errno(error, BILLET_CLASS_CONFIG, "workspace_realization_failed", errno,
                                 "cannot open workspace %s", args->path);
    if (!S_ISDIR(status.st_mode) || args->path[0] != '/')
        return billet_fail(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                           "workspace '%.400s' is not an absolute path of a directory", args->path);
    const char *why = sandbox_config_refuses(args->path);
    if (why != NULL && strcmp(args->path, "/") != 0 && strncmp(args->path, "/root/", 6) == 0)
        why = NULL; /* a project of root's own, named by root */
    if (why != NULL && strncmp(args->path, SANDBOX_WORK, strlen(SANDBOX_WORK)) == 0)
        why = NULL; /* that name means the sandbox's only for read_only */
    if (why != NULL)
        return billet_fail(error, BILLET_CLASS_CONFIG, "sandbox_path_refused",
                           "%.400s cannot be the workspace of a sandbox: %s", args->path, why);
    if (snprintf(lease->work_path, sizeof(lease->work_path), "%s", args->path) >=
        (int)sizeof(lease->work_path))
        return billet_fail(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                           "the path of the workspace is too long");
    int failed = lease->identity.taken
                     ? sandbox_identity_map(&lease->identity, config, fd, args->path, error)
                     : 0; /* once a sandbox must be started */
    if (failed < 0)
        return failed;
    if (lease->identity.drop && lease->identity.map_fd < 0) {
        char line[PATH_MAX + 200];
        snprintf(line, sizeof(line),
                 "the sandbox runs degraded as user id %u, the owner of %s: its file system cannot "
                 "map ids, and other processes of that user are the same to the kernel",
                 (unsigned)lease->identity.uid, args->path);
        host->log(host, BILLET_LOG_WARNING, line);
    }
    billet_close_fd(&lease->work_fd);
    lease->work_fd = billet_take_fd(&fd);
    lease->work_device = status.st_dev;
    lease->work_inode = status.st_ino;
    return 0;
}

/* The core collects what is in the upper directory, once nothing of the lease runs any more. */
static int
realize_overlay(const struct billet_call *call, struct billet_lease_handle *lease,
                const struct sandbox_config *config, struct billet_error *error)
{
    char upper[PATH_MAX + 8];
    int failed = sandbox_overlay_prepare(host, lease, config, sandbox_resident_try, error);
    if (failed < 0)
        return failed;
    snprintf(upper, sizeof(upper), "%s/upper", lease->overlay_path);
    host->fact(call, "workspace_upper", upper);
    return 0;
}

/* The upper directory will be made anew, for the id that the sandbox will run as, while nobody else
 * starts one; a command that came between a pull's stop and this has the old one mounted. */
static int
begin_anew(const struct billet_call *call, struct billet_lease_handle *lease,
           const struct sandbox_config *config, int *lock, struct billet_error *error)
{
    *lock = sandbox_resident_lock(lease, billet_monotonic_ns() + 10 * BILLET_NS_PER_SECOND, error);
    int result = *lock < 0 ? *lock : 0;
    if (result == 0)
        result = sandbox_lease_stop(lease->directory_fd, NULL, call->deadline_ns, error);
    return result == 0 ? sandbox_lease_identify(lease, config, error) : result;
}

static int32_t
realize(const struct billet_call *call, struct billet_lease_handle *lease,
        const struct billet_realize *args, struct billet_realized *result,
        struct billet_error *error)
{
    struct sandbox_config config;
    int failed = sandbox_config_read(call->config, &config, error);
    if (failed < 0)
        return failed;
    if (args->mode != BILLET_WORKSPACE_NONE && args->mode != BILLET_WORKSPACE_BIND &&
        args->mode != BILLET_WORKSPACE_OVERLAY)
        return billet_fail(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                           "the sandbox driver does not know workspace mode %d", args->mode);
    /* One that was started without it cannot be given it. */
    sandbox_resident_end(lease, billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND);
    lease->overlay_path[0] = '\0';
    if (args->mode == BILLET_WORKSPACE_OVERLAY)
        sandbox_overlay_adopt(host, lease);
    cleanup_fd int lock = -1;
    if (args->mode == BILLET_WORKSPACE_OVERLAY && lease->identity.adopted == 0)
        failed = begin_anew(call, lease, &config, &lock, error);
    if (failed == 0 && args->mode != BILLET_WORKSPACE_NONE)
        failed = take_workspace(lease, &config, args, error);
    if (failed == 0)
        failed = sandbox_assets_take(&lease->assets, args,
                                     &(struct sandbox_place){lease->work_device, lease->work_inode},
                                     error);
    if (failed == 0 && args->mode == BILLET_WORKSPACE_OVERLAY)
        failed = realize_overlay(call, lease, &config, error);
    if (failed == 0 && args->mode != BILLET_WORKSPACE_OVERLAY)
        start_ahead(lease, &config);
    if (failed == 0 && lease->assets.count > 0)
        snprintf(result->assets, sizeof(result->assets), "%s", SANDBOX_ASSETS);
    if (failed == 0)
        snprintf(result->directory, sizeof(result->directory), "%s",
                 args->mode == BILLET_WORKSPACE_NONE ? "/tmp" : SANDBOX_WORK);
    return failed;
}

static int32_t
exec(const struct billet_call *call, struct billet_lease_handle *lease,
     const struct billet_exec *args, struct billet_exec_result *result, struct billet_error *error)
{
    struct sandbox_config config;
    char missing[512] = "", line[600];
    int failed = sandbox_config_read(call->config, &config, error);
    if (failed == 0 && (args->flags & ~(uint64_t)BILLET_EXEC_PTY) != 0)
        failed = billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown flag of exec");
    if (failed == 0 && (args->argv == NULL || args->argv[0] == NULL))
        failed = billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "no command is named");
    if (failed == 0)
        failed =
            sandbox_exec(host, call, lease, &config, args, result, missing, sizeof(missing), error);
    if (failed == 0 && missing[0] != '\0') {
        snprintf(line, sizeof(line), "the sandbox ran degraded, without: %s", missing);
        host->log(host, BILLET_LOG_WARNING, line);
    }
    return failed;
}

static int32_t
deliver(const struct billet_call *call, struct billet_lease_handle *lease,
        const struct billet_signal *args, struct billet_error *error)
{
    (void)call;
    return sandbox_exec_signal(lease, args, error);
}

static int32_t
dump(const struct billet_call *call, struct billet_error *error)
{
    char text[64];
    (void)error;
    snprintf(text, sizeof(text), "%d", sandbox_landlock_abi());
    host->fact(call, "landlock", text);
    host->fact(call, "workspace", SANDBOX_WORK);
    return 0;
}

static const char *
sandbox_text(void)
{
    return "A sandbox on this machine: Linux namespaces by bubblewrap, seccomp, Landlock, limits.";
}

BILLET_DRIVER("sandbox", PACKAGE_VERSION, 2)
{
    static struct billet_driver table = {
        .struct_size = sizeof(table),
        .abi_major = BILLET_ABI_MAJOR,
        .abi_minor = BILLET_ABI_MINOR,
        .name = "sandbox",
        .version = PACKAGE_VERSION,
        .thread_model = BILLET_THREADS_SIGNAL,
        .option_size = sizeof(struct billet_option),
        .options = sandbox_options,
        .capabilities = BILLET_CAN_STREAM_STDIN | BILLET_CAN_SPLIT_STDERR | BILLET_CAN_BINARY |
                        BILLET_CAN_SIGNAL | BILLET_CAN_PTY | BILLET_CAN_RESUME | BILLET_CAN_LABEL |
                        BILLET_CAN_SHARE_FILES | BILLET_CAN_CONTROL_NETWORK | BILLET_CAN_LIMIT |
                        BILLET_CAN_CONFINE | BILLET_CAN_ASSETS | BILLET_CAN_BE_LOCAL,
        .workspace_modes = 1u << BILLET_WORKSPACE_NONE | 1u << BILLET_WORKSPACE_BIND |
                           1u << BILLET_WORKSPACE_OVERLAY,
        .check_config = check_config,
        .probe = probe,
        .acquire = acquire,
        .resume = resume,
        .release = release,
        .destroy = destroy,
        .list = list,
        .realize = realize,
        .exec = exec,
        .signal = deliver,
        .dump = dump,
    };
    (void)error;
    table.text = sandbox_text();
    table.option_count = sandbox_option_count;
    host = the_host;
    return &table;
}
