/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/vault_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"

int
billet_vault_check_program(const struct billet_vault *vault, const char *program,
                           const char *setting, struct billet_error *error)
{
    cleanup_fd int fd = -1;
    int result = billet_io_open_trusted(program, 0, &fd, error);
    if (result < 0)
        return billet_error_wrap(error, "[vault %s]: %s", vault->name, setting);
    if (access(program, X_OK) != 0)
        return billet_vault_invalid(vault, error, "%.128s cannot be executed", program);
    return 0;
}

static bool
add_variable(struct billet_strings *list, const char *name)
{
    const char *value = secure_getenv(name);
    return value == NULL || billet_strings_format(list, "%s=%s", name, value);
}

bool
billet_vault_environment(struct billet_strings *environment, const char *const *names)
{
    static const char *const always[] = {"HOME",   "LANG", "LOGNAME",        "PATH",
                                         "TMPDIR", "USER", "XDG_RUNTIME_DIR"};
    bool good = true;
    for (size_t i = 0; good && i < sizeof(always) / sizeof(always[0]); i++)
        good = add_variable(environment, always[i]);
    for (size_t i = 0; good && names != NULL && names[i] != NULL; i++)
        good = add_variable(environment, names[i]);
    return good;
}

/* To the end of what it writes, in guarded memory. */
static int
read_output(const struct billet_vault *vault, int fd, int64_t deadline_ns,
            struct billet_secret *value, struct billet_error *error)
{
    int result = billet_secret_make(value, BILLET_SECRET_MAX + 1, error);
    while (result == 0) {
        struct pollfd output = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ns - billet_clock_monotonic();
        int ready = left > 0 ? poll(&output, 1, (int)(left / 1000000 + 1)) : 0;
        if (ready == 0)
            return billet_vault_failed(vault, "vault_timeout", error);
        if (ready < 0)
            continue;
        ssize_t got = read(fd, value->bytes + value->length, value->size - value->length);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return billet_vault_failed(vault, "vault_answer_invalid", error);
        if (got == 0)
            break;
        value->length += got > 0 ? (size_t)got : 0;
        if (value->length > BILLET_SECRET_MAX)
            return billet_vault_failed(vault, "vault_value_too_large", error);
    }
    if (result == 0)
        value->bytes[value->length] = '\0';
    return result;
}

static int
judge(const struct billet_vault *vault, const char *program, int status, struct billet_error *error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "vault_command_failed",
                         "vault '%s': %s was killed by signal %d", vault->name, program,
                         WTERMSIG(status));
    else
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "vault_command_failed",
                         "vault '%s': %s ended with status %d", vault->name, program,
                         WEXITSTATUS(status));
    return billet_error_hint(error, "run it by hand to see why: what it says is not shown here");
}

int
billet_vault_run(const struct billet_vault *vault, const char *const *argv,
                 const char *const *environment, int64_t deadline_ns, struct billet_secret *output,
                 struct billet_error *error)
{
    cleanup_secret struct billet_secret read_value = BILLET_SECRET_INIT;
    int ends[2], status = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot make a pipe");
    cleanup_fd int from = ends[0];
    cleanup_fd int to = ends[1];
    cleanup_fd int pidfd = -1;
    const int fds[] = {-1, to, -1};
    const struct billet_spawn spawn = {.path = argv[0],
                                       .argv = argv,
                                       .environment = environment,
                                       .fds = fds,
                                       .fd_count = 3,
                                       .new_session = 1};
    int result = billet_spawn(&spawn, &pid, &pidfd, error);
    if (result < 0)
        return billet_error_recode(error, "vault_command_failed");
    close(billet_steal_fd(&to));
    result = read_output(vault, from, deadline_ns, &read_value, error);
    struct billet_error ignored = BILLET_ERROR_INIT;
    int ended = result == 0 ? billet_spawn_wait(pid, pidfd, deadline_ns, &status, error) : -1;
    if (ended < 0) { /* with all that it started: the session is its own */
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        billet_spawn_wait(pid, pidfd, 0, &status, &ignored);
        return result < 0 ? result : billet_vault_failed(vault, "vault_timeout", error);
    }
    result = judge(vault, argv[0], status, error);
    return result < 0 ? result
                      : billet_secret_copy(output, read_value.bytes, read_value.length, error);
}
