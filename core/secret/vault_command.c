/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_command.c - a vault behind a program of the administrator's: pass, age,
 * sops, op. {path} in its arguments is the path of the reference; its standard
 * output is the value. No shell; its errors are not repeated, they may hold the value.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "base/strings.h"
#include "secret/resolve.h"
#include "secret/vault.h"

#define PLACE "{path}"

static int
check(const struct billet_vault *vault, struct billet_error *error)
{
    size_t places = 0;
    if (vault->command == NULL || vault->command[0] == NULL)
        return billet_vault_invalid(vault, error, "command is missing");
    if (vault->command[0][0] != '/')
        return billet_vault_invalid(vault, error,
                                    "command begins with the whole path of a program");
    for (size_t i = 1; vault->command[i] != NULL; i++)
        places += strstr(vault->command[i], PLACE) != NULL;
    if (places == 0)
        return billet_vault_invalid(vault, error, "no argument of command holds " PLACE);
    return 0;
}

/* A program that nobody else could have put there. */
static int
check_program(const struct billet_vault *vault, struct billet_error *error)
{
    cleanup_fd int fd = -1;
    int result = billet_io_open_trusted(vault->command[0], 0, &fd, error);
    if (result < 0)
        return billet_error_wrap(error, "[vault %s]: command", vault->name);
    if (access(vault->command[0], X_OK) != 0)
        return billet_vault_invalid(vault, error, "%.128s cannot be executed", vault->command[0]);
    return 0;
}

static bool
add_argument(struct billet_strings *list, const char *argument, const char *path)
{
    const char *place = strstr(argument, PLACE);
    return place != NULL ? billet_strings_format(list, "%.*s%s%s", (int)(place - argument),
                                                 argument, path, place + strlen(PLACE))
                         : billet_strings_add(list, argument);
}

static bool
add_variable(struct billet_strings *list, const char *name)
{
    const char *value = secure_getenv(name);
    return value == NULL || billet_strings_format(list, "%s=%s", name, value);
}

static int
prepare(const struct billet_vault *vault, const char *path, struct billet_strings *arguments,
        struct billet_strings *environment, struct billet_error *error)
{
    static const char *const always[] = {"HOME",   "LANG", "LOGNAME",        "PATH",
                                         "TMPDIR", "USER", "XDG_RUNTIME_DIR"};
    bool good = billet_strings_add(arguments, vault->command[0]);
    for (size_t i = 1; good && vault->command[i] != NULL; i++)
        good = add_argument(arguments, vault->command[i], path);
    for (size_t i = 0; good && i < sizeof(always) / sizeof(always[0]); i++)
        good = add_variable(environment, always[i]);
    for (size_t i = 0;
         good && vault->command_environment != NULL && vault->command_environment[i] != NULL; i++)
        good = add_variable(environment, vault->command_environment[i]);
    return good ? 0 : billet_error_no_memory(error);
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
judge(const struct billet_vault *vault, int status, struct billet_error *error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "vault_command_failed",
                         "vault '%s': %s was killed by signal %d", vault->name, vault->command[0],
                         WTERMSIG(status));
    else
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "vault_command_failed",
                         "vault '%s': %s ended with status %d", vault->name, vault->command[0],
                         WEXITSTATUS(status));
    return billet_error_hint(error, "run it by hand to see why: what it says is not shown here");
}

static int
get(const struct billet_vault *vault, const struct billet_vault_path *path,
    struct billet_secret *value, struct billet_error *error)
{
    cleanup_strings struct billet_strings arguments = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    cleanup_secret struct billet_secret read_value = BILLET_SECRET_INIT;
    int64_t deadline_ns = billet_clock_monotonic() + vault->timeout_ns;
    int ends[2], status = 0;
    pid_t pid;
    int result = check_program(vault, error);
    if (result == 0)
        result = prepare(vault, path->text, &arguments, &environment, error);
    if (result < 0)
        return result;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot make a pipe");
    cleanup_fd int output = ends[0];
    cleanup_fd int input = ends[1];
    cleanup_fd int pidfd = -1;
    const int fds[] = {-1, input, -1};
    const struct billet_spawn spawn = {.path = vault->command[0],
                                       .argv = billet_strings_list(&arguments),
                                       .environment = billet_strings_list(&environment),
                                       .fds = fds,
                                       .fd_count = 3,
                                       .new_session = 1};
    result = billet_spawn(&spawn, &pid, &pidfd, error);
    if (result < 0)
        return billet_error_recode(error, "vault_command_failed");
    close(billet_steal_fd(&input));
    result = read_output(vault, output, deadline_ns, &read_value, error);
    struct billet_error ignored = BILLET_ERROR_INIT;
    int ended = result == 0 ? billet_spawn_wait(pid, pidfd, deadline_ns, &status, error) : -1;
    if (ended < 0) { /* with all that it started: the session is its own */
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        billet_spawn_wait(pid, pidfd, 0, &status, &ignored);
        return result < 0 ? result : billet_vault_failed(vault, "vault_timeout", error);
    }
    result = judge(vault, status, error);
    if (result == 0)
        result = billet_secret_copy(value, read_value.bytes, read_value.length, error);
    if (result == 0)
        billet_secret_trim(value);
    return result;
}

static int
probe(const struct billet_vault *vault, char *found, size_t size, struct billet_error *error)
{
    int result = check_program(vault, error);
    if (result == 0)
        snprintf(found, size, "%s is there", vault->command[0]);
    return result;
}

const struct billet_vault_module billet_vault_command = {
    .struct_size = sizeof(billet_vault_command),
    .interface = BILLET_VAULT_INTERFACE,
    .type = "command",
    .check = check,
    .get = get,
    .probe = probe,
};
