/* SPDX-License-Identifier: Apache-2.0 */
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "command.h"
#include "stream.h"

#define CHUNK (32u * 1024)
/* Beyond the command's own time: for the guest to kill it and to say so. */
#define GRACE_NS (15 * BILLET_NS_PER_SECOND)
/* From the EXEC to the word that the command is executed. */
#define START_NS (60 * BILLET_NS_PER_SECOND)
#define KILL_NS (10 * BILLET_NS_PER_SECOND)

struct remote {
    const struct billet_call *call;
    const struct billet_exec *args;
    struct ssh_guest *guest;
    struct ssh_channel channel;
    int in;
    bool own_in;
    int out[2];
    bool own_out[2];
    bool announced;
    int64_t started_pid; /* told with the end */
    bool cancelled;
    int64_t start_by, give_up_at;
};

/* ---- the description of the command --------------------------------------------------------- */

static void
put_string(struct ssh_text *text, const char *string)
{
    ssh_text_bytes(text, string, strlen(string) + 1);
}

static void
put_label(struct ssh_text *text, const char *name, const char *value, uint32_t *count)
{
    ssh_text_add(text, name);
    ssh_text_add(text, "=");
    put_string(text, value);
    (*count)++;
}

/* With its streams open. */
static int
describe(const struct remote *remote, const char *directory, const char *id, struct ssh_text *text,
         struct billet_error *error)
{
    const struct billet_exec *args = remote->args;
    const struct billet_identity *identity = remote->call->identity;
    const char *path = billet_config_string(remote->call->config, "path", NULL);
    uint8_t fixed[BILLET_GUEST_EXEC_FIXED] = {0};
    char label[80];
    struct billet_guest_exec exec = {
        .flags = (args->flags & BILLET_EXEC_PTY) != 0 ? BILLET_GUEST_PTY : 0,
        .rows = (uint16_t)(args->rows > 0 && args->rows < 65536 ? args->rows : 0),
        .columns = (uint16_t)(args->columns > 0 && args->columns < 65536 ? args->columns : 0),
        .timeout_ns = args->timeout_ns > 0 ? args->timeout_ns : 0,
        .kill_after_ns = args->kill_after_ns > 0 ? args->kill_after_ns : 0,
    };
    if (remote->in < 0 && exec.flags == 0)
        exec.flags = BILLET_GUEST_NO_INPUT;
    snprintf(label, sizeof(label), "ssh-%s", id);
    ssh_text_bytes(text, fixed, sizeof(fixed));
    put_string(text, directory);
    put_string(text, label);
    for (; args->argv[exec.argc] != NULL; exec.argc++)
        put_string(text, args->argv[exec.argc]);
    if (path != NULL)
        put_label(text, "PATH", path, &exec.envc);
    if ((exec.flags & BILLET_GUEST_PTY) != 0)
        put_label(text, "TERM", ssh_wanted_term(args), &exec.envc);
    for (size_t i = 0; args->environment != NULL && args->environment[i] != NULL; i++) {
        const char *entry = args->environment[i];
        if (entry[0] == '=' || strchr(entry, '=') == NULL)
            return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                               "'%.100s' in the environment has no NAME=", entry);
        put_string(text, entry);
        exec.envc++;
    }
    put_label(text, "BILLET_LEASE_ID", identity->lease, &exec.envc);
    put_label(text, "BILLET_ENVIRONMENT", identity->environment, &exec.envc);
    put_label(text, "BILLET_TENANT", identity->tenant, &exec.envc);
    if (identity->agent[0] != '\0')
        put_label(text, "BILLET_AGENT_ID", identity->agent, &exec.envc);
    if (identity->issue[0] != '\0')
        put_label(text, "BILLET_ISSUE_ID", identity->issue, &exec.envc);
    if (identity->run[0] != '\0')
        put_label(text, "BILLET_RUN_ID", identity->run, &exec.envc);
    if (text->failed)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    if ((int64_t)text->length > billet_guest_longest(BILLET_GUEST_EXEC))
        return billet_fail(error, BILLET_CLASS_CAPACITY, "too_large",
                           "arguments and environment of the command are longer than 4 MiB");
    billet_guest_exec_write(fixed, &exec);
    memcpy(text->bytes, fixed, sizeof(fixed));
    return 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void
open_fd(int given, int mode, int *fd, bool *own)
{
    int reopened = given >= 0 ? ssh_stream_reopen(given, mode) : -1;
    *own = reopened >= 0;
    *fd = reopened >= 0 ? reopened : given;
}

/* Nothing will ever be read from it, which is known without reading: none, the null device, or a
 * pipe without writer or content. */
static bool
is_at_end(int fd)
{
    struct stat about;
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return true;
    if (fstat(fd, &about) == 0 && S_ISCHR(about.st_mode))
        return about.st_rdev == makedev(1, 3);
    return poll(&entry, 1, 0) == 1 && entry.revents == POLLHUP;
}

static void
drop_fd(int *fd, bool *own)
{
    if (*own)
        billet_close_fd(fd);
    *own = false;
    *fd = -1;
}

static void
open_streams(struct remote *remote)
{
    open_fd(remote->args->stdin_fd, O_RDONLY, &remote->in, &remote->own_in);
    open_fd(remote->args->stdout_fd, O_WRONLY, &remote->out[0], &remote->own_out[0]);
    open_fd(remote->args->stderr_fd, O_WRONLY, &remote->out[1], &remote->own_out[1]);
    if (is_at_end(remote->in))
        drop_fd(&remote->in, &remote->own_in);
}

static void
drop_streams(struct remote *remote)
{
    drop_fd(&remote->in, &remote->own_in);
    drop_fd(&remote->out[0], &remote->own_out[0]);
    drop_fd(&remote->out[1], &remote->own_out[1]);
}

static void
send_end_of_input(struct remote *remote)
{
    drop_fd(&remote->in, &remote->own_in);
    ssh_guest_send(remote->guest, BILLET_GUEST_EOF, 0, remote->channel.number, NULL, 0);
}

static void
send_input(struct remote *remote)
{
    uint8_t bytes[CHUNK];
    ssh_channel_lock(&remote->channel);
    size_t size = remote->channel.credit < CHUNK ? remote->channel.credit : CHUNK;
    ssh_channel_unlock(&remote->channel);
    if (size == 0)
        return;
    ssize_t got = read(remote->in, bytes, size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        send_end_of_input(remote);
        return;
    }
    ssh_channel_lock(&remote->channel);
    remote->channel.credit -= (uint32_t)got;
    ssh_channel_unlock(&remote->channel);
    ssh_guest_send(remote->guest, BILLET_GUEST_DATA, 0, remote->channel.number, bytes, (size_t)got);
}

/* Pass on what has come on one stream; what nobody reads is let go. */
static void
pass_on(struct remote *remote, int which)
{
    struct ssh_arrival *arrival = &remote->channel.arrivals[which];
    ssh_channel_lock(&remote->channel);
    size_t at = arrival->at, size = arrival->size;
    ssh_channel_unlock(&remote->channel);
    size_t part = size < BILLET_GUEST_WINDOW - at ? size : BILLET_GUEST_WINDOW - at;
    if (part == 0)
        return;
    ssize_t put = (ssize_t)part;
    if (remote->out[which] >= 0)
        put = ssh_stream_put(remote->out[which], remote->own_out[which], arrival->bytes + at, part);
    if (put < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            drop_fd(&remote->out[which], &remote->own_out[which]);
            ssh_guest_send(remote->guest, BILLET_GUEST_EOF, (uint16_t)(which + 1),
                           remote->channel.number, NULL, 0);
        }
        return;
    }
    uint8_t credit[4];
    billet_guest_put(credit, (uint64_t)put, 4);
    ssh_channel_lock(&remote->channel);
    arrival->at = (at + (size_t)put) % BILLET_GUEST_WINDOW;
    arrival->size -= (size_t)put;
    bool more = !arrival->ended;
    ssh_channel_unlock(&remote->channel);
    if (more)
        ssh_guest_send(remote->guest, BILLET_GUEST_CREDIT, (uint16_t)(which + 1),
                       remote->channel.number, credit, sizeof(credit));
}

/* ---- the wait ---------------------------------------------------------------------------- */

/* ends: the command has ended, and nothing of it is to be passed on. */
static void
announce(struct remote *remote, bool ends)
{
    if (remote->announced || !remote->channel.started)
        return;
    remote->announced = true;
    remote->start_by = 0;
    int64_t now = billet_monotonic_ns();
    /* The guest keeps the time; this is for one that does not answer any more. */
    if (remote->args->timeout_ns > 0 &&
        (__builtin_add_overflow(now + GRACE_NS, remote->args->timeout_ns, &remote->give_up_at) ||
         __builtin_add_overflow(remote->give_up_at, remote->args->kill_after_ns,
                                &remote->give_up_at)))
        remote->give_up_at = 0;
    int64_t pid = remote->channel.pid > 0 ? remote->channel.pid : 0;
    if (ends && pid > 0)
        remote->started_pid = pid;
    else
        ssh_host->started(remote->call, pid);
}

static void
cancel(struct remote *remote)
{
    remote->cancelled = true;
    ssh_guest_send(remote->guest, BILLET_GUEST_CANCEL, 0, remote->channel.number, NULL, 0);
    if (__builtin_add_overflow(billet_monotonic_ns() + GRACE_NS, remote->args->kill_after_ns,
                               &remote->give_up_at))
        remote->give_up_at = 0;
}

static int
time_left(const struct remote *remote)
{
    int64_t next = remote->start_by;
    if (remote->give_up_at != 0 && (next == 0 || remote->give_up_at < next))
        next = remote->give_up_at;
    if (next == 0)
        return -1;
    int64_t left = (next - billet_monotonic_ns()) / 1000000;
    return left <= 0 ? 0 : left > 1000000 ? 1000000000 : (int)left + 1;
}

/* 0: it ended; LOST or TIMEOUT without words. */
static int
wait_for_end(struct remote *remote)
{
    struct ssh_channel *channel = &remote->channel;
    for (;;) {
        ssh_channel_lock(channel);
        bool waiting[2] = {channel->arrivals[0].size > 0, channel->arrivals[1].size > 0};
        bool wanted = channel->credit > 0 && remote->in >= 0;
        bool unwanted = channel->input_unwanted;
        bool over = channel->over, lost = channel->lost;
        announce(remote, over && !waiting[0] && !waiting[1]);
        ssh_channel_unlock(channel);
        if (unwanted && remote->in >= 0)
            drop_fd(&remote->in, &remote->own_in);
        /* Nobody reads: it is let go at once. */
        for (int i = 0; i < 2; i++)
            if (waiting[i] && remote->out[i] < 0)
                pass_on(remote, i);
        if (over && !(waiting[0] && remote->out[0] >= 0) && !(waiting[1] && remote->out[1] >= 0))
            return 0;
        if (lost && !over)
            return -BILLET_CLASS_LOST;
        struct pollfd fds[6] = {
            {.fd = channel->event_fd, .events = POLLIN},
            {.fd = remote->cancelled ? -1 : remote->call->cancel_fd, .events = POLLIN},
            {.fd = wanted && !unwanted && !over ? remote->in : -1, .events = POLLIN},
            {.fd = waiting[0] ? remote->out[0] : -1, .events = POLLOUT},
            {.fd = waiting[1] ? remote->out[1] : -1, .events = POLLOUT},
            {.fd = channel->from, .events = POLLIN},
        };
        if (poll(fds, 6, time_left(remote)) < 0 && errno != EINTR)
            return -BILLET_CLASS_LOST;
        if (fds[0].revents != 0) {
            uint64_t count;
            while (read(channel->event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
                ;
        }
        if (fds[5].revents != 0)
            ssh_channel_read(channel);
        if (fds[1].revents != 0)
            cancel(remote);
        if (fds[2].revents != 0 && remote->in >= 0)
            send_input(remote);
        for (int i = 0; i < 2; i++)
            if (fds[3 + i].revents != 0 && remote->out[i] >= 0)
                pass_on(remote, i);
        int64_t now = billet_monotonic_ns();
        bool late = remote->give_up_at != 0 && now >= remote->give_up_at;
        /* A command that has ended may wait for a reader here that takes its time. */
        if (late && !remote->cancelled &&
            ((waiting[0] && remote->out[0] >= 0) || (waiting[1] && remote->out[1] >= 0)))
            remote->give_up_at = now + GRACE_NS;
        else if (!over && (late || (remote->start_by != 0 && now >= remote->start_by)))
            return -BILLET_CLASS_TIMEOUT;
        /* It has ended; who cancels does not wait for a reader that does not read. */
        if (over && late && remote->cancelled)
            return 0;
        if (over && late)
            remote->give_up_at = 0;
    }
}

/* ---- the end ----------------------------------------------------------------------------- */

/* The guest is gone or does not answer. The keeper, if it is still there, ends what ran. */
static int
no_end(struct remote *remote, struct ssh_keeper *keeper, const char *lease, const char *id,
       struct billet_error *error)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    struct ssh_answer answer;
    char request[96], said[300];
    snprintf(request, sizeof(request), "kill %s", id);
    bool ended = ssh_keeper_is_alive(keeper) &&
                 ssh_keeper_ask(keeper, request, billet_monotonic_ns() + KILL_NS, &answer, NULL,
                                NULL, &ignored) == 0;
    ssh_keeper_said(keeper, said, sizeof(said));
    size_t length = strcspn(said, "\r\n");
    const char *when = remote->announced ? "ran a command" : "started a command";
    const char *wrong = ssh_guest_wrong(remote->guest);
    if (ended) {
        billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                    "billet-guest on the host %s while lease %s %s; the command was ended",
                    wrong != NULL ? wrong : "ended", lease, when);
        error->retryable = !remote->announced;
        return billet_fail_hint(error, wrong != NULL
                                           ? "look whether something there stops or replaces "
                                             "it; the next command starts billet-guest anew"
                                           : "look whether the host is short of memory; the "
                                             "next command starts billet-guest anew");
    }
    billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                "the connection to the host was lost while lease %s %s%s%.*s", lease, when,
                length > 0 ? ": " : "", length > 200 ? 200 : (int)length, said);
    error->retryable = !remote->announced;
    return billet_fail_hint(error,
                            "what ran there is ended by billet-guest and its keeper, at the "
                            "latest when the beats stop; billet lease reap removes the rest");
}

static int
conclude(const struct remote *remote, const char *directory, struct billet_exec_result *result,
         struct billet_error *error)
{
    const struct billet_guest_exit *end = &remote->channel.result;
    if (end->outcome == BILLET_GUEST_OUTCOME_DIRECTORY) {
        billet_fail_errno(error, BILLET_CLASS_CONFIG, "directory_unusable", end->value,
                          "cannot enter the working directory %.512s on the host", directory);
        return billet_fail_hint(error, "give a directory that exists in the environment");
    }
    if (end->outcome == BILLET_GUEST_OUTCOME_FAILED)
        return billet_fail_errno(error, 0, "spawn_failed", end->value,
                                 "the host cannot start a process for %.200s",
                                 remote->args->argv[0]);
    result->outcome = end->outcome;
    result->value = end->value;
    result->max_rss_bytes = end->max_rss_bytes;
    result->cpu_ns = end->cpu_ns > 0 ? end->cpu_ns : 0;
    result->started_pid = remote->started_pid;
    return 0;
}

int
ssh_exec_remotely(const struct billet_call *call, struct billet_lease_handle *handle,
                  struct ssh_keeper *keeper, struct ssh_guest *guest, const char *id,
                  const struct billet_exec *args, struct billet_exec_result *result, bool *retry,
                  struct billet_error *error)
{
    const char *directory = args->directory[0] != '\0' ? args->directory : handle->directory;
    struct remote remote = {.call = call, .args = args, .guest = guest};
    struct ssh_text text = {0};
    *retry = false;
    open_streams(&remote);
    int status = describe(&remote, directory, id, &text, error);
    if (status == 0) {
        bool ends_input = remote.in < 0 && (args->flags & BILLET_EXEC_PTY) != 0;
        status =
            ssh_channel_open(guest, text.bytes, text.length, ends_input, &remote.channel, error);
        *retry = status == -BILLET_CLASS_LOST;
    }
    ssh_text_free(&text);
    if (status < 0) {
        drop_streams(&remote);
        return status;
    }
    struct ssh_command command = {
        .run = call->identity->run, .id = id, .master = -1, .channel = &remote.channel};
    remote.start_by = billet_monotonic_ns() + START_NS;
    ssh_command_enter(handle, &command);
    status = wait_for_end(&remote);
    ssh_command_leave(handle, &command);
    ssh_channel_close(&remote.channel);
    drop_streams(&remote);
    if (status < 0)
        return no_end(&remote, keeper, handle->lease, id, error);
    return conclude(&remote, directory, result, error);
}
