/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "driver/client_internal.h"

#define GREETING_NS (10 * BILLET_NS_PER_SECOND)
#define STOP_NS (2 * BILLET_NS_PER_SECOND)
#define REAP_NS (2 * BILLET_NS_PER_SECOND)

extern char **environ;

/* All that the host sees of the environment (billet-driver(3) lists it); what else a driver needs
 * is an option of it, and a secret a marked one. The last line is what builds with sanitizers or
 * for coverage read. */
static bool
passes(const char *entry)
{
    static const char *const passed[] = {"HOME=",
                                         "PATH=",
                                         "USER=",
                                         "LOGNAME=",
                                         "SHELL=",
                                         "LANG=",
                                         "LANGUAGE=",
                                         "LC_",
                                         "TZ=",
                                         "TERM=",
                                         "TMPDIR=",
                                         "SSH_AUTH_SOCK=",
                                         "XDG_RUNTIME_DIR=",
                                         "BILLET_DRIVER_CORE=",
                                         "ASAN_OPTIONS=",
                                         "LSAN_OPTIONS=",
                                         "UBSAN_OPTIONS=",
                                         "GCOV_PREFIX"};
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        if (billet_text_starts(entry, passed[i]))
            return strchr(entry, '=') != NULL;
    return false;
}

int
billet_driver_begin(const char *name, const char *path, const struct billet_driver_paths *paths,
                    struct billet_driver_client **client, struct billet_error *error)
{
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    int pair[2];

    for (char **at = environ; at != NULL && *at != NULL; at++)
        if (passes(*at) && !billet_strings_add(&environment, *at))
            return billet_error_no_memory(error);
    struct billet_driver_client *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return billet_error_no_memory(error);
    made->pidfd = -1;
    made->interrupt_fd = -1;
    billet_text_copy(made->info.name, sizeof(made->info.name), name);
    billet_text_copy(made->info.path, sizeof(made->info.path), path);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(made);
        return billet_error_errno(error, 0, "internal", errno, "cannot make a socket");
    }
    cleanup_fd int theirs = pair[1];
    made->socket = pair[0];
    const char *const argv[] = {"billet-driver-host",
                                name,
                                path,
                                paths->runtime_directory != NULL ? paths->runtime_directory : "",
                                paths->state_directory != NULL ? paths->state_directory : "",
                                paths->libexec_directory != NULL ? paths->libexec_directory : "",
                                NULL};
    const int fds[] = {-1, -1, fcntl(STDERR_FILENO, F_GETFD) >= 0 ? STDERR_FILENO : -1, theirs};
    const struct billet_spawn spawn = {.path = paths->host_program,
                                       .argv = argv,
                                       .environment = billet_strings_list(&environment),
                                       .fds = fds,
                                       .fd_count = 4,
                                       /* ^C at the terminal is for billet, which passes it on */
                                       .new_session = 1};
    int result = billet_spawn(&spawn, &made->pid, &made->pidfd, error);
    if (result < 0) {
        made->pid = 0;
        billet_driver_stop(made);
        return result;
    }
    *client = made;
    return 0;
}

/* Kill with everything in the host's process group (commands that a crashed driver left behind),
 * then reap. The pid cannot have been given to anybody else: it is our unreaped child. */
static void
kill_host(struct billet_driver_client *client, int *status)
{
    if (client->pid <= 0)
        return;
    syscall(SYS_pidfd_send_signal, client->pidfd, SIGKILL, NULL, 0);
    kill(-client->pid, SIGKILL);
    billet_spawn_wait(client->pid, client->pidfd, 0, status, NULL);
    client->pid = 0;
}

static void
close_ends(struct billet_driver_client *client)
{
    billet_close(&client->socket);
    billet_close(&client->pidfd);
}

int
client_bury(struct billet_driver_client *client, struct billet_error *error)
{
    int status = 0;
    struct billet_error fallback = BILLET_ERROR_INIT;
    kill_host(client, &status);
    close_ends(client);
    client->dead = true;
    client->exec_call = 0;
    if (error == NULL)
        billet_error_set(&fallback, BILLET_CLASS_DRIVER, "driver_gone", "it failed before");
    client->why = error != NULL ? *error : fallback;
    return -client->why.error_class;
}

int
client_died(struct billet_driver_client *client, const char *during, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    int status = 0;
    int waited = -1;
    if (client->pid > 0)
        waited = billet_spawn_wait(client->pid, client->pidfd, billet_clock_monotonic() + REAP_NS,
                                   &status, NULL);
    if (waited == 0) {
        /* Its group may live on without it. The number is not reused while a member lives, and with
         * none left there is nobody to hit within these few instructions. */
        kill(-client->pid, SIGKILL);
        client->pid = 0;
    }
    if (waited == 0 && WIFSIGNALED(status)) {
        char text[64];
        billet_text_copy(text, sizeof(text), strsignal(WTERMSIG(status)));
        text[0] = (char)tolower((unsigned char)text[0]);
        billet_error_set(&said, BILLET_CLASS_DRIVER, "driver_crashed",
                         "driver %s was killed by signal %d (%s) during %s", client->info.name,
                         WTERMSIG(status), text, during);
    } else if (waited == 0) {
        billet_error_set(&said, BILLET_CLASS_DRIVER, "driver_crashed",
                         "driver %s exited with status %d during %s", client->info.name,
                         WEXITSTATUS(status), during);
    } else {
        billet_error_set(&said, BILLET_CLASS_DRIVER, "driver_crashed",
                         "driver %s closed its socket during %s", client->info.name, during);
    }
    billet_error_hint(&said, "a bug of the driver; a core dump can be had with "
                             "BILLET_DRIVER_CORE=1 in the environment");
    if (error != NULL)
        *error = said;
    return client_bury(client, &said);
}

int
client_bad_answer(struct billet_driver_client *client, const char *during, const char *why,
                  struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    billet_error_set(&said, BILLET_CLASS_DRIVER, "driver_bad_answer",
                     "driver %s gave a bad answer in %s (a bug of the driver): %s",
                     client->info.name, during, why);
    billet_error_hint(&said, "tell the author of the driver");
    if (error != NULL)
        *error = said;
    return client_bury(client, &said);
}

int
client_late(struct billet_driver_client *client, const char *during, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    billet_error_set(&said, BILLET_CLASS_TIMEOUT, "driver_deadline",
                     "driver %s did not answer %s in time and was killed", client->info.name,
                     during);
    if (error != NULL)
        *error = said;
    return client_bury(client, &said);
}

int
client_cancelled(struct billet_driver_client *client, const char *during,
                 struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    billet_error_set(&said, BILLET_CLASS_CANCELLED, "cancelled",
                     "cancelled during %s of driver %s, which was killed", during,
                     client->info.name);
    if (error != NULL)
        *error = said;
    return client_bury(client, &said);
}

bool
client_interrupted(const struct billet_driver_client *client, int64_t deadline_ns)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ns > 0) {
            int64_t left = (deadline_ns - billet_clock_monotonic() + 999999) / 1000000;
            timeout = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
        }
        struct pollfd wait[] = {{.fd = client->interrupt_fd, .events = POLLIN},
                                {.fd = client->socket, .events = POLLIN}};
        int ready = poll(wait, 2, timeout);
        if (ready < 0 && errno == EINTR)
            continue;
        return ready > 0 && wait[0].revents != 0 && wait[1].revents == 0;
    }
}

void
billet_driver_set_interrupt(struct billet_driver_client *client, int fd)
{
    client->interrupt_fd = fd;
}

static bool
copy_text(const json_t *body, const char *key, char *to, size_t size)
{
    const char *text = billet_json_string(body, key, NULL);
    if (text == NULL || strlen(text) >= size)
        return false;
    billet_text_escape(to, size, text);
    return true;
}

/* The greeting, member by member: nothing of it is believed for being there. */
static const char *
read_hello(struct billet_driver_client *client, const json_t *body)
{
    struct billet_driver_info *info = &client->info;
    struct billet_error error = BILLET_ERROR_INIT;
    const char *name = billet_json_string(body, "name", "");
    int64_t threads = billet_json_integer(body, "threads", 0);
    if (billet_json_integer(body, "hello", 0) != 1 || strcmp(name, info->name) != 0)
        return "not a greeting of this driver";
    if (!copy_text(body, "version", info->version, sizeof(info->version)) ||
        !copy_text(body, "text", info->text, sizeof(info->text)))
        return "its greeting lacks version or text";
    info->abi_major = (uint32_t)billet_json_integer(body, "abi_major", 0);
    info->abi_minor = (uint32_t)billet_json_integer(body, "abi_minor", 0);
    if (info->abi_major != BILLET_ABI_MAJOR)
        return "another interface in its greeting";
    if (threads != BILLET_THREADS_SERIAL && threads != BILLET_THREADS_SIGNAL &&
        threads != BILLET_THREADS_PARALLEL)
        return "an unknown thread model";
    info->thread_model = (int)threads;
    info->capabilities = (uint64_t)billet_json_integer(body, "capabilities", 0);
    info->workspace_modes = (uint64_t)billet_json_integer(body, "modes", 0);
    info->callbacks = (uint64_t)billet_json_integer(body, "callbacks", 0);
    if (billet_options_from_json(json_object_get(body, "options"), &info->options, &error) < 0)
        return "an option table that cannot be read";
    return NULL;
}

int
billet_driver_await(struct billet_driver_client *client, int64_t deadline_ns,
                    struct billet_error *error)
{
    struct billet_error why = BILLET_ERROR_INIT;
    if (client->dead) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_gone", "driver %s is gone: %s",
                         client->info.name, client->why.message);
        return -BILLET_CLASS_DRIVER;
    }
    if (deadline_ns == 0)
        deadline_ns = billet_clock_monotonic() + GREETING_NS;
    while (!client->greeted) {
        cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
        if (client_interrupted(client, deadline_ns))
            return client_cancelled(client, "the start", error);
        int result = billet_frame_receive(client->socket, &frame, deadline_ns, &why);
        if (result == -BILLET_CLASS_TIMEOUT)
            return client_late(client, "its start", error);
        if (result < 0 || frame.fd_count > 0)
            return client_bad_answer(client, "its start",
                                     result < 0 ? why.message : "unexpected descriptors", error);
        if (frame.body == NULL)
            return client_died(client, "its start", error);
        const json_t *failed = json_object_get(frame.body, "failed");
        if (failed != NULL) {
            if (!billet_message_get_error(failed, &why))
                return client_bad_answer(client, "its start", "a failure without reason", error);
            if (error != NULL)
                *error = why;
            return client_bury(client, &why);
        }
        const char *event = billet_json_string(frame.body, "event", NULL);
        if (event != NULL) { /* a log line of billet_driver_init */
            result = client_take(client, &frame, "its start", 0, NULL, NULL, error);
            if (result < 0)
                return result;
            continue;
        }
        const char *wrong = read_hello(client, frame.body);
        if (wrong != NULL)
            return client_bad_answer(client, "its start", wrong, error);
        client->greeted = true;
    }
    return 0;
}

int
billet_driver_start(const char *name, const char *path, const struct billet_driver_paths *paths,
                    int64_t deadline_ns, struct billet_driver_client **client,
                    struct billet_error *error)
{
    struct billet_driver_client *made = NULL;
    int result = billet_driver_begin(name, path, paths, &made, error);
    if (result < 0)
        return result;
    result = billet_driver_await(made, deadline_ns, error);
    if (result < 0) {
        billet_driver_stop(made);
        return result;
    }
    *client = made;
    return 0;
}

void
billet_driver_dismiss(struct billet_driver_client *client)
{
    if (client->dead)
        return;
    billet_close(&client->socket);
    client->dead = true;
    billet_error_set(&client->why, BILLET_CLASS_DRIVER, "driver_gone", "it was told to end");
}

void
billet_driver_stop(struct billet_driver_client *client)
{
    int status = 0;
    if (client == NULL)
        return;
    billet_close(&client->socket);
    if (client->pid > 0) {
        if (billet_spawn_wait(client->pid, client->pidfd, billet_clock_monotonic() + STOP_NS,
                              &status, NULL) < 0)
            kill_host(client, &status);
        else if (WIFSIGNALED(status))
            billet_log(BILLET_LOG_WARNING, "driver %s was killed by signal %d at its end",
                       client->info.name, WTERMSIG(status));
    }
    close_ends(client);
    billet_option_table_free(&client->info.options);
    json_decref(client->said_identity);
    json_decref(client->said_settings);
    free(client);
}

const struct billet_driver_info *
billet_driver_info(const struct billet_driver_client *client)
{
    return &client->info;
}

int
billet_driver_pid(const struct billet_driver_client *client)
{
    return (int)client->pid;
}

bool
billet_driver_alive(const struct billet_driver_client *client)
{
    return !client->dead;
}

int
client_ready(struct billet_driver_client *client, const char *operation, struct billet_error *error)
{
    int result = billet_driver_await(client, 0, error);
    if (result < 0)
        return result;
    if (client->exec_call != 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "driver_busy",
                                "driver %s runs a command; %s must wait for its end",
                                client->info.name, operation);
    return 0;
}
