/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/terminal.h"
#include "guest.h"
#include "header.h"
#include "keeper.h"
#include "lease.h"
#include "remote.h"
#include "stream.h"

/* From the start of the client to the mark that the command runs. */
#define START_NS (60 * BILLET_NS_PER_SECOND)
#define KILL_NS (10 * BILLET_NS_PER_SECOND)
#define SIGNAL_NS (5 * BILLET_NS_PER_SECOND)
/* After the kill, for the runner's last word and the output before it. */
#define DRAIN_NS (BILLET_NS_PER_SECOND / 2)
/* After the client has gone, for what is still in its pipes. */
#define LEAVE_NS (2 * BILLET_NS_PER_SECOND)
#define NOISE_MAX (1024u * 1024)

struct execution {
    const struct billet_call *call;
    const struct billet_exec *args;
    const struct ssh_settings *settings;
    struct ssh_keeper *keeper;
    struct ssh_command command;
    char id[SSH_CONNECTION_MAX + 16];
    char nonce[33];
    bool pty;
    struct ssh_text header;
    size_t header_sent;
    pid_t pid; /* of the client */
    int pidfd;
    int slave;
    int to; /* the client's standard input while the header is on its way */
    struct ssh_stream in, out, err;
    int stop; /* outcome that ends the command, 0: none yet */
    int64_t start_by, timeout_at, kill_at, give_up_at;
    bool killed;
    bool announced;
    bool quiet; /* part of another operation than exec: the core is not told of its start */
    bool client_gone;
};

/* ---- commands that signals may reach --------------------------------------------------- */

void
ssh_command_enter(struct billet_lease_handle *handle, struct ssh_command *command)
{
    pthread_mutex_lock(&handle->lock);
    command->next = handle->commands;
    handle->commands = command;
    pthread_mutex_unlock(&handle->lock);
}

void
ssh_command_leave(struct billet_lease_handle *handle, const struct ssh_command *command)
{
    pthread_mutex_lock(&handle->lock);
    for (struct ssh_command **at = &handle->commands; *at != NULL; at = &(*at)->next) {
        if (*at == command) {
            *at = command->next;
            break;
        }
    }
    pthread_mutex_unlock(&handle->lock);
}

static int
ask_signal(struct ssh_keeper *keeper, const char *id, int number, struct billet_error *error)
{
    struct ssh_answer answer;
    char request[96];
    snprintf(request, sizeof(request), "signal %d %s", number, id);
    return ssh_keeper_ask(keeper, request, billet_monotonic_ns() + SIGNAL_NS, &answer, NULL, NULL,
                          error);
}

/* A guest that is gone is told of by the exec itself. */
static void
signal_channel(struct ssh_channel *channel, const struct billet_signal *args)
{
    uint8_t payload[8];
    billet_guest_put(payload, (uint64_t)args->number, 4);
    billet_guest_put(payload + 4, (uint64_t)args->rows, 2);
    billet_guest_put(payload + 6, (uint64_t)args->columns, 2);
    ssh_guest_send(channel->guest, BILLET_GUEST_SIGNAL, 0, channel->number, payload,
                   sizeof(payload));
}

int32_t
ssh_signal(const struct billet_call *call, struct billet_lease_handle *handle,
           const struct billet_signal *args, struct billet_error *error)
{
    const char *run = call->identity != NULL ? call->identity->run : "";
    int reached = 0;
    int status = 0;
    if (args->number <= 0 || args->number > 64)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "no signal has number %d",
                           args->number);
    pthread_mutex_lock(&handle->lock);
    for (struct ssh_command *command = handle->commands; command != NULL; command = command->next) {
        if (run[0] != '\0' && strcmp(run, command->run) != 0)
            continue;
        reached++;
        if (command->channel != NULL) {
            signal_channel(command->channel, args);
            continue;
        }
        if (args->number == SIGWINCH && command->master >= 0) {
            billet_terminal_resize(command->master, args->rows, args->columns);
            continue;
        }
        int result = ask_signal(handle->keeper, command->id, args->number, error);
        if (result < 0)
            status = result;
    }
    pthread_mutex_unlock(&handle->lock);
    if (reached == 0)
        return billet_fail(error, BILLET_CLASS_LOST, "command_not_running",
                           "no command of this run is running in lease %s", handle->lease);
    return status;
}

/* ---- start ------------------------------------------------------------------------------- */

/* The same for each command, in words that every login shell takes alike. */
static void
command_line(const struct billet_lease_handle *handle, const struct execution *execution,
             struct ssh_text *line)
{
    const char *lease = handle->lease_directory;
    ssh_text_format(line, "exec /bin/sh '%s/helper' runner '%s' %s", lease, lease, execution->id);
    if (execution->pty)
        ssh_text_format(line, " '%s/run/%s.in'", lease, execution->id);
    else
        ssh_text_add(line, " ''");
}

/* A terminal edits and echoes what it is given, so the header goes to the keeper, which hands it to
 * the runner. */
static int
send_header(struct execution *execution, struct billet_error *error)
{
    struct ssh_answer answer;
    struct ssh_text request = {0};
    ssh_text_format(&request, "params %s ", execution->id);
    ssh_text_word(&request, execution->header.bytes);
    int status =
        request.failed
            ? billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory")
            : ssh_keeper_ask(execution->keeper, request.bytes, 0, &answer, NULL, NULL, error);
    ssh_text_free(&request);
    ssh_text_free(&execution->header);
    return status > 0 ? billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_failed",
                                    "the host gave an answer that is not understood")
                      : status;
}

const char *
ssh_wanted_term(const struct billet_exec *args)
{
    for (size_t i = 0; args->environment != NULL && args->environment[i] != NULL; i++)
        if (strncmp(args->environment[i], "TERM=", 5) == 0)
            return args->environment[i] + 5;
    const char *term = getenv("TERM");
    return term != NULL && term[0] != '\0' ? term : "xterm";
}

static int
start_with_terminal(struct execution *execution, struct ssh_client *client,
                    struct billet_error *error)
{
    const struct billet_exec *args = execution->args;
    int master;
    int result = billet_terminal_open(args->rows, args->columns, &master, &execution->slave);
    if (result < 0)
        return billet_fail_errno(error, 0, "terminal_failed", -result, "cannot make a terminal");
    int second = fcntl(master, F_DUPFD_CLOEXEC, 0);
    execution->command.master = second;
    ssh_stream_begin(&execution->out, master, true, args->stdout_fd, false, execution->nonce);
    ssh_stream_begin(&execution->in, args->stdin_fd, false, second, false, NULL);
    execution->in.own_to = true;
    execution->in.tell_end = true;
    for (int i = 0; i < 3; i++)
        client->fds[i] = execution->slave;
    client->terminal_fd = execution->slave;
    client->term = ssh_wanted_term(args);
    result = send_header(execution, error);
    if (result == 0)
        result = ssh_client_start(client, &execution->pid, &execution->pidfd, error);
    return result;
}

static int
start_with_pipes(struct execution *execution, struct ssh_client *client, struct billet_error *error)
{
    int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int status = 0;
    for (int i = 0; i < 3 && status == 0; i++)
        if (pipe2(ends[i], O_CLOEXEC) < 0)
            status = billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    if (status == 0) {
        execution->to = billet_take_fd(&ends[0][1]);
        fcntl(execution->to, F_SETFL, O_NONBLOCK);
        fcntl(ends[1][0], F_SETFL, O_NONBLOCK);
        fcntl(ends[2][0], F_SETFL, O_NONBLOCK);
        ssh_stream_begin(&execution->out, billet_take_fd(&ends[1][0]), true,
                         execution->args->stdout_fd, false, execution->nonce);
        ssh_stream_begin(&execution->err, billet_take_fd(&ends[2][0]), true,
                         execution->args->stderr_fd, false, execution->nonce);
        client->fds[0] = ends[0][0];
        client->fds[1] = ends[1][1];
        client->fds[2] = ends[2][1];
        status = ssh_client_start(client, &execution->pid, &execution->pidfd, error);
    }
    for (int i = 0; i < 3; i++) {
        billet_close_fd(&ends[i][0]);
        billet_close_fd(&ends[i][1]);
    }
    return status;
}

static int
start(struct execution *execution, const struct billet_lease_handle *handle,
      struct billet_error *error)
{
    struct ssh_text line = {0};
    command_line(handle, execution, &line);
    struct ssh_client client = {
        .settings = execution->settings,
        .place = ssh_keeper_place(execution->keeper),
        .shared = true,
        .command = line.bytes,
        .fds = {-1, -1, -1},
        .terminal_fd = -1,
    };
    int status = line.failed
                     ? billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory")
                 : execution->pty ? start_with_terminal(execution, &client, error)
                                  : start_with_pipes(execution, &client, error);
    ssh_text_free(&line);
    return status;
}

/* ---- stop --------------------------------------------------------------------------------- */

static void
begin_stop(struct execution *execution, int outcome)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    execution->stop = outcome;
    execution->timeout_at = 0;
    if (execution->announced)
        ask_signal(execution->keeper, execution->id, SIGTERM, &ignored);
    int64_t after = execution->args->kill_after_ns > 0 ? execution->args->kill_after_ns : 0;
    execution->kill_at = billet_monotonic_ns() + after;
}

/* Everything that the command started, here and in its sessions. */
static void
kill_all(struct execution *execution)
{
    struct billet_error why = BILLET_ERROR_INIT;
    struct ssh_answer answer;
    char request[96];
    snprintf(request, sizeof(request), "kill %s", execution->id);
    if (ssh_keeper_ask(execution->keeper, request, billet_monotonic_ns() + KILL_NS, &answer, NULL,
                       NULL, &why) != 0) {
        char line[256];
        snprintf(line, sizeof(line), "the command's processes may be left on the host: %.150s",
                 why.message[0] != '\0' ? why.message : answer.text);
        ssh_host->log(ssh_host, BILLET_LOG_WARNING, line);
    }
    execution->killed = true;
    execution->kill_at = 0;
    execution->give_up_at = billet_monotonic_ns() + DRAIN_NS;
}

/* ---- the wait -------------------------------------------------------------------------------- */

static void
earlier(int64_t *next, int64_t candidate)
{
    if (candidate != 0 && (*next == 0 || candidate < *next))
        *next = candidate;
}

static int
time_left(const struct execution *execution)
{
    int64_t next = 0;
    earlier(&next, execution->start_by);
    earlier(&next, execution->timeout_at);
    earlier(&next, execution->kill_at);
    earlier(&next, execution->give_up_at);
    if (next == 0)
        return -1;
    int64_t left = next - billet_monotonic_ns();
    return left <= 0 ? 0 : left / 1000000 >= 1000000 ? 1000000000 : (int)(left / 1000000) + 1;
}

static bool
stream_is_over(const struct ssh_stream *stream)
{
    return ssh_stream_is_drained(stream) && (stream->ended || stream->from < 0);
}

/* The mark of the end has come on each stream, and what was before it has been passed on. */
static bool
is_done(const struct execution *execution)
{
    if (!stream_is_over(&execution->out))
        return false;
    if (execution->pty || (execution->out.ended && !execution->out.started))
        return true;
    return stream_is_over(&execution->err);
}

static void
send_more_header(struct execution *execution)
{
    ssize_t put = write(execution->to, execution->header.bytes + execution->header_sent,
                        execution->header.length - execution->header_sent);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (put < 0) {
        billet_close_fd(&execution->to);
        return;
    }
    execution->header_sent += (size_t)put;
    if (execution->header_sent == execution->header.length) {
        /* It may hold secrets, and is not wanted any more. From here the pipe carries the caller's
         * input. */
        ssh_text_free(&execution->header);
        ssh_stream_begin(&execution->in, execution->args->stdin_fd, false,
                         billet_take_fd(&execution->to), true, NULL);
    }
}

/* The end of the input is passed on once all of it is. */
static void
end_input(struct execution *execution)
{
    struct ssh_stream *in = &execution->in;
    if (!execution->pty && in->from < 0 && in->to >= 0 && ssh_stream_is_drained(in)) {
        if (in->own_to)
            billet_close_fd(&in->to);
        in->to = -1;
    }
    if (in->to < 0 && in->from >= 0) {
        if (in->own_from)
            billet_close_fd(&in->from);
        in->from = -1;
    }
}

static void
announce(struct execution *execution)
{
    if (execution->announced || !execution->out.started)
        return;
    execution->announced = true;
    execution->start_by = 0;
    if (execution->args->timeout_ns > 0 && execution->stop == 0 &&
        __builtin_add_overflow(billet_monotonic_ns(), execution->args->timeout_ns,
                               &execution->timeout_at))
        execution->timeout_at = 0;
    if (!execution->quiet)
        ssh_host->started(execution->call, execution->out.number > 0 ? execution->out.number : 0);
}

static bool
check_times(struct execution *execution)
{
    int64_t now = billet_monotonic_ns();
    if (execution->timeout_at != 0 && now >= execution->timeout_at)
        begin_stop(execution, BILLET_OUTCOME_TIMED_OUT);
    if (execution->kill_at != 0 && now >= execution->kill_at)
        kill_all(execution);
    if (execution->give_up_at != 0 && now >= execution->give_up_at)
        return false;
    return execution->start_by == 0 || now < execution->start_by;
}

static int
wait_for_end(struct execution *execution)
{
    while (!is_done(execution)) {
        struct pollfd fds[3 + 3 * SSH_STREAM_POLLS] = {
            {.fd = execution->client_gone ? -1 : execution->pidfd, .events = POLLIN},
            {.fd = execution->stop != 0 ? -1 : execution->call->cancel_fd, .events = POLLIN},
            {.fd = execution->to, .events = POLLOUT},
        };
        struct pollfd *in = fds + 3, *out = in + SSH_STREAM_POLLS, *err = out + SSH_STREAM_POLLS;
        ssh_stream_prepare(&execution->in, in);
        ssh_stream_prepare(&execution->out, out);
        ssh_stream_prepare(&execution->err, err);
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), time_left(execution)) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[2].revents != 0)
            send_more_header(execution);
        ssh_stream_step(&execution->in, in);
        ssh_stream_step(&execution->out, out);
        ssh_stream_step(&execution->err, err);
        end_input(execution);
        announce(execution);
        if (execution->out.noise > NOISE_MAX || execution->err.noise > NOISE_MAX)
            return -E2BIG;
        if (fds[1].revents != 0)
            begin_stop(execution, BILLET_OUTCOME_CANCELLED);
        if (fds[0].revents != 0) {
            execution->client_gone = true;
            earlier(&execution->give_up_at, billet_monotonic_ns() + LEAVE_NS);
            if (execution->pty)
                billet_close_fd(&execution->slave);
        }
        if (!check_times(execution))
            break;
    }
    return 0;
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static int
no_end(struct execution *execution, const char *lease, struct billet_error *error)
{
    const char *said = execution->pty ? execution->out.early : execution->err.early;
    if (execution->start_by != 0 && !execution->client_gone) {
        billet_fail(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                    "the host did not start the command in time");
        return billet_fail_hint(error, "check the load there; billet env probe");
    }
    if (!execution->announced && strstr(said, "refused by peer") != NULL) {
        billet_fail(error, BILLET_CLASS_CAPACITY, "ssh_sessions_exhausted",
                    "the host allows no more commands at once over one connection");
        return billet_fail_hint(error, "raise MaxSessions in the host's sshd_config");
    }
    size_t length = strcspn(said, "\r\n");
    billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                "the connection to the host was lost while lease %s %s%s%.*s", lease,
                execution->announced ? "ran a command" : "started a command",
                length > 0 ? ": " : "", length > 200 ? 200 : (int)length, said);
    error->retryable = !execution->announced;
    return billet_fail_hint(error, "what ran there is ended by its keeper, at the latest when the "
                                   "beats stop; billet lease reap removes the rest");
}

static int
conclude(struct execution *execution, const char *lease, struct billet_exec_result *result,
         struct billet_error *error)
{
    const struct ssh_stream *out = &execution->out;
    const char *kind = out->ended ? out->end_kind : "";
    int value = out->end_value;
    if (execution->stop != 0) {
        if (!execution->killed)
            kill_all(execution);
        if (!ssh_keeper_is_alive(execution->keeper) && !out->ended)
            return no_end(execution, lease, error);
        result->outcome = execution->stop;
        result->value = strcmp(kind, "signal") == 0 ? 128 + value
                        : strcmp(kind, "exit") == 0 ? value
                                                    : 128 + SIGKILL;
        return 0;
    }
    if (strcmp(kind, "exit") == 0 || strcmp(kind, "signal") == 0) {
        bool exited = kind[0] == 'e';
        if (value < 0 || value > (exited ? 255 : 64))
            return no_end(execution, lease, error);
        result->outcome = exited ? BILLET_OUTCOME_EXITED : BILLET_OUTCOME_SIGNALLED;
        result->value = value;
        return 0;
    }
    if (strcmp(kind, "missing") == 0) {
        result->outcome = value == ENOENT ? BILLET_OUTCOME_NOT_FOUND : BILLET_OUTCOME_NOT_INVOCABLE;
        result->value = value == ENOENT ? ENOENT : EACCES;
        return 0;
    }
    if (strcmp(kind, "directory") == 0) {
        billet_fail(error, BILLET_CLASS_CONFIG, "directory_unusable",
                    "cannot enter the working directory %.512s on the host",
                    execution->args->directory[0] != '\0' ? execution->args->directory
                                                          : "of the lease");
        return billet_fail_hint(error, "give a directory that exists in the environment");
    }
    if (strcmp(kind, "lost") == 0) {
        billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                    "the directory of lease %s on the host is gone or cannot be written", lease);
        return billet_fail_hint(error, "billet env probe says whether its disk is full");
    }
    return no_end(execution, lease, error);
}

static int
run(struct execution *execution, struct billet_lease_handle *handle,
    struct billet_exec_result *result, struct billet_error *error)
{
    int status = start(execution, handle, error);
    if (status < 0)
        return status;
    execution->start_by = billet_monotonic_ns() + START_NS;
    ssh_command_enter(handle, &execution->command);
    int failure = wait_for_end(execution);
    ssh_command_leave(handle, &execution->command);
    if (failure == -E2BIG) {
        kill_all(execution);
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable",
                    "the login shell on the host writes more than %u bytes before the command",
                    NOISE_MAX);
        return billet_fail_hint(error, "silence the start files of the login shell there");
    }
    if (failure < 0)
        return billet_fail_errno(error, BILLET_CLASS_INTERNAL, "internal", -failure,
                                 "cannot wait for %.200s", execution->args->argv[0]);
    return conclude(execution, handle->lease, result, error);
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
close_execution(struct execution *execution)
{
    char request[96];
    bool began = execution->pid > 0;
    ssh_stream_end(&execution->in);
    ssh_stream_end(&execution->out);
    ssh_stream_end(&execution->err);
    billet_close_fd(&execution->to);
    billet_close_fd(&execution->slave);
    ssh_child_end(&execution->pid, &execution->pidfd);
    ssh_text_free(&execution->header);
    snprintf(request, sizeof(request), "end %s", execution->id);
    if (began)
        ssh_keeper_tell(execution->keeper, request);
}

static int32_t
run_in_session(const struct billet_call *call, struct billet_lease_handle *handle,
               const struct billet_exec *args, bool quiet, struct billet_exec_result *result,
               struct billet_error *error)
{
    struct ssh_settings settings;
    struct billet_exec_result end = {.struct_size = result->struct_size};
    int status = check_exec(call, args, error);
    if (status == 0)
        status = ssh_settings_read(call, &settings, error);
    if (status < 0)
        return status;
    struct execution *execution = calloc(1, sizeof(*execution));
    if (execution == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    execution->call = call;
    execution->args = args;
    execution->settings = &settings;
    execution->quiet = quiet;
    execution->pty = (args->flags & BILLET_EXEC_PTY) != 0;
    execution->command =
        (struct ssh_command){.run = call->identity->run, .id = execution->id, .master = -1};
    execution->pidfd = execution->slave = execution->to = -1;
    ssh_stream_begin(&execution->in, -1, false, -1, false, NULL);
    ssh_stream_begin(&execution->out, -1, false, -1, false, NULL);
    ssh_stream_begin(&execution->err, -1, false, -1, false, NULL);
    status = ssh_lease_enter(call, handle, &execution->keeper, error);
    if (status == 0) {
        const char *directory = args->directory[0] != '\0' ? args->directory : handle->directory;
        snprintf(execution->id, sizeof(execution->id), "%s-%06u",
                 ssh_keeper_connection(execution->keeper), atomic_fetch_add(&handle->counter, 1));
        if (!ssh_nonce(execution->nonce))
            status = billet_fail_errno(error, 0, "internal", errno, "cannot make random numbers");
        if (status == 0)
            status = ssh_header_make(call, args, directory, execution->nonce, execution->id,
                                     &execution->header, error);
        if (status == 0 && !execution->pty)
            ssh_text_add(&execution->header, "\n");
        if (status == 0)
            status = run(execution, handle, &end, error);
        close_execution(execution);
        ssh_lease_leave(handle);
    }
    free(execution);
    if (status == 0)
        *result = end;
    return status;
}

/* Through the guest, where there is one: 1 when there is none. */
static int
try_guest(const struct billet_call *call, struct billet_lease_handle *handle,
          const struct billet_exec *args, struct billet_exec_result *result,
          struct billet_error *error)
{
    struct billet_exec_result end = {.struct_size = result->struct_size};
    int status = check_exec(call, args, error);
    /* Once more when the guest was found to be gone before the command reached it. */
    bool retry = status == 0;
    for (int i = 0; i < 2 && retry; i++) {
        struct ssh_keeper *keeper;
        struct ssh_guest *guest;
        char id[SSH_CONNECTION_MAX + 16];
        status = ssh_lease_enter(call, handle, &keeper, error);
        if (status < 0)
            return status;
        guest = ssh_lease_guest(call, handle);
        if (guest == NULL) {
            ssh_lease_leave(handle);
            return 1;
        }
        snprintf(id, sizeof(id), "%s-%06u", ssh_keeper_connection(keeper),
                 atomic_fetch_add(&handle->counter, 1));
        status = ssh_exec_remotely(call, handle, keeper, guest, id, args, &end, &retry, error);
        ssh_guest_drop(guest);
        ssh_lease_leave(handle);
    }
    if (status == 0)
        *result = end;
    return status;
}

int32_t
ssh_exec(const struct billet_call *call, struct billet_lease_handle *handle,
         const struct billet_exec *args, struct billet_exec_result *result,
         struct billet_error *error)
{
    int status = handle->guest[0] != '\0' ? try_guest(call, handle, args, result, error) : 1;
    return status > 0 ? run_in_session(call, handle, args, false, result, error) : status;
}

int32_t
ssh_exec_quietly(const struct billet_call *call, struct billet_lease_handle *handle,
                 const struct billet_exec *args, struct billet_exec_result *result,
                 struct billet_error *error)
{
    return run_in_session(call, handle, args, true, result, error);
}
