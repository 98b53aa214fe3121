/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/launch.h"
#include "../common/supervise.h"
#include "../common/terminal.h"
#include "../common/tree.h"
#include "environment.h"
#include "lease.h"

#define KILL_TREE_NS (5 * BILLET_NS_PER_SECOND)

/* ---- commands that signals may reach ------------------------------------------------ */

/* With the lease's lock held since before the start: a command that runs is one that is known. */
static void
enter_command(struct local_command *command)
{
    command->next = command->lease->commands;
    command->lease->commands = command;
}

/* From here on no signal goes to its number. */
static void
leave_command(void *context)
{
    struct local_command *command = context;
    pthread_mutex_lock(&command->lease->lock);
    for (struct local_command **at = &command->lease->commands; *at != NULL; at = &(*at)->next) {
        if (*at == command) {
            *at = command->next;
            break;
        }
    }
    pthread_mutex_unlock(&command->lease->lock);
}

static void
kill_command_tree(void *context)
{
    const struct local_command *command = context;
    struct billet_tree tree = {
        .lease = command->lease->lease,
        .label = command->label,
        .session = command->pid,
    };
    billet_tree_kill(&tree, billet_monotonic_ns() + KILL_TREE_NS);
}

static int
signal_command(const struct local_command *command, const struct billet_signal *args)
{
    pid_t group = command->pid;
    if (command->master >= 0) {
        if (args->number == SIGWINCH)
            return billet_terminal_resize(command->master, args->rows, args->columns);
        pid_t foreground = 0;
        if (ioctl(command->master, TIOCGPGRP, &foreground) == 0 && foreground > 1 &&
            getsid(foreground) == command->pid)
            group = foreground;
    }
    return kill(-group, args->number) == 0 ? 0 : -errno;
}

int32_t
local_signal(const struct billet_call *call, struct billet_lease_handle *handle,
             const struct billet_signal *args, struct billet_error *error)
{
    const char *run = call->identity != NULL ? call->identity->run : "";
    int reached = 0;
    int failure = 0;
    if (args->number <= 0 || args->number > SIGRTMAX)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "no signal has number %d",
                           args->number);
    pthread_mutex_lock(&handle->lock);
    for (struct local_command *command = handle->commands; command != NULL;
         command = command->next) {
        if (run[0] != '\0' && strcmp(run, command->run) != 0)
            continue;
        reached++;
        int result = signal_command(command, args);
        if (result < 0)
            failure = result;
    }
    pthread_mutex_unlock(&handle->lock);
    if (reached == 0)
        return billet_fail(error, BILLET_CLASS_LOST, "command_not_running",
                           "no command of this run is running in lease %s", handle->lease);
    /* The group ended in between: what was to be signalled is gone, which is no failure. */
    if (failure < 0 && failure != -ESRCH)
        return billet_fail_errno(error, 0, "signal_failed", -failure,
                                 "cannot send signal %d to the command", args->number);
    return 0;
}

/* ---- exec --------------------------------------------------------------------------- */

struct terminal {
    int master;
    int slave; /* kept open while the command runs, see terminal.h */
    struct billet_relay relay;
};

static int
start_failed(const struct billet_exec *args, enum billet_launch_step step, int sys_errno,
             struct billet_exec_result *result, struct billet_error *error)
{
    const char *directory = args->directory[0] != '\0' ? args->directory : "the workspace";
    switch (step) {
    case BILLET_LAUNCH_EXEC:
        result->outcome = sys_errno == ENOENT || sys_errno == ENOTDIR
                              ? BILLET_OUTCOME_NOT_FOUND
                              : BILLET_OUTCOME_NOT_INVOCABLE;
        result->value = sys_errno;
        return 0;
    case BILLET_LAUNCH_DIRECTORY:
        billet_fail_errno(error, BILLET_CLASS_CONFIG, "directory_unusable", sys_errno,
                          "cannot enter the working directory %.512s", directory);
        return billet_fail_hint(error, "give a directory that exists in the environment");
    default:
        return billet_fail_errno(error, 0, "spawn_failed", sys_errno, "cannot %s for %.200s",
                                 billet_launch_step_text(step), args->argv[0]);
    }
}

static int
check_exec(const struct billet_call *call, const struct billet_exec *args,
           struct billet_error *error)
{
    if (call->flags != 0 || (args->flags & ~(uint64_t)BILLET_EXEC_PTY) != 0)
        return billet_fail(error, BILLET_CLASS_CONFIG, "flag_unknown", "unknown flags of exec");
    if (call->identity == NULL || args->argv == NULL || args->argv[0] == NULL)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "no command is given");
    return 0;
}

static void
make_exec_label(char *label, size_t size)
{
    static atomic_uint counter;
    snprintf(label, size, LOCAL_EXEC_LABEL "=local-%llx-%x-%x",
             (unsigned long long)billet_monotonic_ns(), (unsigned)getpid(),
             atomic_fetch_add(&counter, 1));
}

/* The workspace as a descriptor of this call's own; -1: none was realized. */
static int
take_workspace(struct billet_lease_handle *handle)
{
    pthread_mutex_lock(&handle->lock);
    int fd = handle->directory_fd >= 0 ? fcntl(handle->directory_fd, F_DUPFD_CLOEXEC, 0) : -1;
    pthread_mutex_unlock(&handle->lock);
    return fd;
}

static int
start(const struct billet_exec *args, struct local_command *command,
      const struct local_environment *environment, struct terminal *terminal, int workspace,
      int *pidfd, struct billet_exec_result *result, struct billet_error *error)
{
    struct billet_lease_handle *handle = command->lease;
    int fds[3] = {args->stdin_fd, args->stdout_fd, args->stderr_fd};
    if (terminal->slave >= 0)
        fds[0] = fds[1] = fds[2] = terminal->slave;
    const char *search = local_environment_get(environment, "PATH");
    struct billet_launch launch = {
        .argv = args->argv,
        .environment = (const char *const *)environment->entries,
        .search = search != NULL ? search : "",
        .directory_fd = workspace,
        .directory = args->directory[0] == '\0' && workspace < 0 ? "/" : args->directory,
        .fds = fds,
        .fd_count = 3,
        .terminal_fd = terminal->slave,
        .cgroup_fd = handle->group.directories[BILLET_CGROUP_UNIFIED],
        .groups = handle->group.procs,
        .group_count = BILLET_CGROUP_TREES,
    };
    enum billet_launch_step step;
    int failure = billet_tree_launch(&launch, &command->pid, pidfd, &step);
    if (failure != 0)
        return start_failed(args, step, failure, result, error);
    return 0;
}

static int
open_terminal(const struct billet_exec *args, struct terminal *terminal, struct billet_error *error)
{
    if ((args->flags & BILLET_EXEC_PTY) == 0)
        return 0;
    int result =
        billet_terminal_open(args->rows, args->columns, &terminal->master, &terminal->slave);
    if (result < 0)
        return billet_fail_errno(error, 0, "terminal_failed", -result, "cannot make a terminal");
    billet_relay_begin(&terminal->relay, terminal->master, args->stdin_fd, args->stdout_fd);
    return 0;
}

static void
close_terminal(struct terminal *terminal)
{
    if (terminal->master < 0)
        return;
    billet_relay_end(&terminal->relay);
    billet_close_fd(&terminal->slave);
    billet_close_fd(&terminal->master);
}

static int
supervise(const struct billet_call *call, const struct billet_exec *args,
          struct local_command *command, int pidfd, struct terminal *terminal,
          struct billet_exec_result *result, struct billet_error *error)
{
    struct billet_supervised end;
    struct billet_supervision supervision = {
        .pid = command->pid,
        .pidfd = pidfd,
        .cancel_fd = call->cancel_fd,
        .timeout_ns = args->timeout_ns,
        .kill_after_ns = args->kill_after_ns,
        .relay = terminal->master >= 0 ? &terminal->relay : NULL,
        .kill_tree = kill_command_tree,
        .ended = leave_command,
        .context = command,
    };
    int failure = billet_supervise(&supervision, &end);
    if (failure < 0)
        return billet_fail_errno(error, BILLET_CLASS_INTERNAL, "internal", -failure,
                                 "cannot wait for %.200s", args->argv[0]);
    result->outcome = end.outcome;
    result->value = end.value;
    result->max_rss_bytes = end.max_rss_bytes;
    result->cpu_ns = end.cpu_ns;
    return 0;
}

static int
run(const struct billet_call *call, const struct billet_exec *args, struct local_command *command,
    const struct local_environment *environment, struct terminal *terminal,
    struct billet_exec_result *result, struct billet_error *error)
{
    cleanup_fd int pidfd = -1;
    cleanup_fd int workspace = take_workspace(command->lease);
    int status = open_terminal(args, terminal, error);
    if (status < 0)
        return status;
    command->master = terminal->master;
    pthread_mutex_lock(&command->lease->lock);
    status = start(args, command, environment, terminal, workspace, &pidfd, result, error);
    if (status == 0 && pidfd >= 0)
        enter_command(command);
    pthread_mutex_unlock(&command->lease->lock);
    if (status < 0 || pidfd < 0)
        return status;
    local_host->started(call, command->pid);
    status = supervise(call, args, command, pidfd, terminal, result, error);
    leave_command(command);
    billet_tree_drop(command->pid);
    return status;
}

int32_t
local_exec(const struct billet_call *call, struct billet_lease_handle *handle,
           const struct billet_exec *args, struct billet_exec_result *result,
           struct billet_error *error)
{
    char label[96];
    struct local_environment environment;
    struct terminal terminal = {.master = -1, .slave = -1};
    int status = check_exec(call, args, error);
    if (status < 0)
        return status;
    struct local_command command = {
        .lease = handle, .run = call->identity->run, .label = label, .master = -1};
    make_exec_label(label, sizeof(label));
    status = local_environment_make(call, args->environment, label, &environment, error);
    if (status < 0)
        return status;
    struct billet_exec_result end = {.struct_size = result->struct_size};
    status = run(call, args, &command, &environment, &terminal, &end, error);
    close_terminal(&terminal);
    local_environment_free(&environment);
    billet_tree_reap();
    if (status == 0)
        *result = end;
    return status;
}
