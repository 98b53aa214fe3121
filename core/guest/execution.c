/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/execution.h"

#include <billet/driver.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "guest/child.h"
#include "guest/processes.h"

#define CHUNK (32u * 1024)
/* A terminal has no end that can be waited for while something in the background holds it. */
#define TERMINAL_DRAIN_NS INT64_C(100000000)
#define KILL_AGAIN_NS INT64_C(10000000)
#define KILL_NS INT64_C(5000000000)

extern char **environ;

struct guest_execution {
    struct guest_link *link;
    uint32_t channel;
    pid_t pid; /* 0: not started, or reaped */
    pid_t session;
    char label[160];
    bool pty;
    int input; /* with a terminal the master, as is output[0] */
    int output[2];
    int slave;        /* held until the command ends, so that it can open its terminal again */
    int held[2];      /* the command's ends of output, until it ends: see limit_held */
    uint8_t *pending; /* input on its way to the command, a ring of BILLET_GUEST_WINDOW */
    size_t pending_at, pending_size;
    uint32_t uncredited; /* input that the client may not send again for yet */
    bool input_ended;
    uint32_t credit[2];
    bool ended[2];
    size_t drain[2]; /* after the end: bytes that were there then */
    bool reaped, started, closed;
    struct billet_guest_exit result;
    int stop;    /* outcome that ends the command, 0: none */
    bool let_go; /* it was cancelled: nobody need take what it has written */
    int64_t timeout_ns, kill_after_ns;
    int64_t timeout_at, kill_at, drain_until, give_up_at;
    bool killing;
};

uint32_t
guest_execution_channel(const struct guest_execution *execution)
{
    return execution->channel;
}

pid_t
guest_execution_pid(const struct guest_execution *execution)
{
    return execution->pid;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void
say(struct guest_execution *execution, uint16_t type, uint16_t stream, const void *payload,
    size_t size)
{
    if (!execution->closed)
        guest_link_send(execution->link, type, stream, execution->channel, payload, size);
}

/* What is only told, or comes just before the end. */
static void
say_later(struct guest_execution *execution, uint16_t type, uint16_t stream, const void *payload,
          size_t size)
{
    if (!execution->closed)
        guest_link_send_later(execution->link, type, stream, execution->channel, payload, size);
}

/* ---- start ----------------------------------------------------------------------------------- */

/* The guest's own environment, and over it the entries of the command: an array to be freed. */
static char **
merge_environment(const char *entries, uint32_t count, const char *label)
{
    size_t own = 0, used = 0;
    while (environ[own] != NULL)
        own++;
    char **merged = calloc(own + count + 2, sizeof(*merged));
    if (merged == NULL)
        return NULL;
    for (size_t i = 0; i < own; i++)
        merged[used++] = environ[i];
    for (uint32_t i = 0; i <= count; i++) {
        const char *entry = i < count ? entries : label;
        size_t name = strcspn(entry, "=") + 1, at = 0;
        if (entry[0] == '\0')
            continue;
        while (at < used && strncmp(merged[at], entry, name) != 0)
            at++;
        merged[at] = (char *)(uintptr_t)entry;
        used += at == used;
        if (i < count)
            entries += strlen(entries) + 1;
    }
    return merged;
}

static bool
make_terminal(struct guest_execution *execution, const struct billet_guest_exec *exec,
              struct guest_child *child)
{
    struct winsize size = {.ws_row = exec->rows != 0 ? exec->rows : 24,
                           .ws_col = exec->columns != 0 ? exec->columns : 80};
    char name[64];
    int master = guest_move_up(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (master < 0)
        return false;
    execution->output[0] = master;
    execution->ended[1] = true;
    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name)) != 0)
        return false;
    execution->slave = guest_move_up(open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    execution->input = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (execution->slave < 0 || execution->input < 0)
        return false;
    ioctl(master, TIOCSWINSZ, &size);
    fcntl(master, F_SETFL, O_NONBLOCK | O_RDWR);
    for (int i = 0; i < 3; i++)
        child->fds[i] = execution->slave;
    return true;
}

static void
drop_held(struct guest_execution *execution)
{
    close_fd(&execution->held[0]);
    close_fd(&execution->held[1]);
}

/* From this descriptor on they are too many to be held. */
static int
held_limit(void)
{
    static int limit;
    struct rlimit all;
    if (limit == 0)
        limit = getrlimit(RLIMIT_NOFILE, &all) == 0 && all.rlim_cur < 1024 ? (int)all.rlim_cur / 2
                                                                           : 512;
    return limit;
}

/*
 * A command that dies closes one output after the other, and then its parent is told: held open
 * here, that is one thing to wake up for and not three. Nobody misses the end of an output whose
 * command goes on.
 */
static void
limit_held(struct guest_execution *execution)
{
    if (execution->held[1] >= held_limit())
        drop_held(execution);
}

static void
tell_start(struct guest_execution *execution)
{
    uint8_t pid[8];
    execution->started = true;
    billet_guest_put(pid, (uint64_t)execution->session, 8);
    say_later(execution, BILLET_GUEST_STARTED, 0, pid, sizeof(pid));
    if (execution->timeout_ns > 0 &&
        __builtin_add_overflow(billet_clock_monotonic(), execution->timeout_ns,
                               &execution->timeout_at))
        execution->timeout_at = 0;
}

static void
take_streams(struct guest_execution *execution, const struct guest_streams *streams)
{
    execution->input = streams->input;
    for (int i = 0; i < 2; i++) {
        execution->output[i] = streams->output[i];
        execution->held[i] = streams->child[1 + i];
    }
}

static pid_t
start_on_terminal(struct guest_execution *execution, const struct billet_guest_exec *exec,
                  struct guest_child *child, struct guest_failure *failure)
{
    return make_terminal(execution, exec, child) ? guest_child_start(child, failure) : -1;
}

static pid_t
start_on_pipes(struct guest_execution *execution, struct guest_child *child,
               struct guest_failure *failure)
{
    struct guest_streams streams = GUEST_STREAMS_NONE;
    pid_t pid = guest_child_start_made(child, execution->input_ended, &streams, failure);
    if (pid == 0) {
        bool made = guest_streams_make(&streams, execution->input_ended);
        memcpy(child->fds, streams.child, sizeof(child->fds));
        pid = made ? guest_child_start(child, failure) : -1;
        guest_streams_hand_over_input(&streams);
    }
    take_streams(execution, &streams);
    limit_held(execution);
    return pid;
}

static void
start_command(struct guest_execution *execution, const struct billet_guest_exec *exec)
{
    struct guest_child child = {.pty = execution->pty, .fds = {-1, -1, -1}};
    struct guest_failure failure = {0};
    child.directory = exec->strings;
    const char *at = child.directory + strlen(child.directory) + 1;
    at += strlen(at) + 1; /* the label */
    child.argv = calloc(exec->argc + 1u, sizeof(*child.argv));
    for (uint32_t i = 0; child.argv != NULL && i < exec->argc; i++, at += strlen(at) + 1)
        child.argv[i] = (char *)(uintptr_t)at;
    child.environment = merge_environment(at, exec->envc, execution->label);
    pid_t pid = -1;
    errno = ENOMEM;
    if (child.argv != NULL && child.environment != NULL)
        pid = execution->pty ? start_on_terminal(execution, exec, &child, &failure)
                             : start_on_pipes(execution, &child, &failure);
    if (pid <= 0) {
        int why = errno;
        execution->reaped = true;
        execution->ended[0] = execution->ended[1] = true;
        execution->result.outcome = BILLET_GUEST_OUTCOME_FAILED;
        execution->result.value = why;
    } else {
        execution->pid = execution->session = pid;
        if (failure.outcome == 0)
            tell_start(execution);
        execution->result.outcome = failure.outcome;
        execution->result.value = failure.sys_errno;
    }
    free(child.argv);
    free(child.environment);
}

struct guest_execution *
guest_execution_open(struct guest_link *link, const struct billet_guest_frame *frame)
{
    struct billet_guest_exec exec;
    if (billet_guest_exec_read(frame, &exec) < 0)
        return NULL;
    struct guest_execution *execution = calloc(1, sizeof(*execution));
    if (execution == NULL)
        return NULL;
    execution->link = link;
    execution->channel = frame->channel;
    execution->input = execution->slave = -1;
    execution->output[0] = execution->output[1] = -1;
    execution->held[0] = execution->held[1] = -1;
    execution->credit[0] = execution->credit[1] = BILLET_GUEST_WINDOW;
    execution->pty = (exec.flags & BILLET_GUEST_PTY) != 0;
    execution->input_ended = (exec.flags & BILLET_GUEST_NO_INPUT) != 0;
    execution->timeout_ns = exec.timeout_ns;
    execution->kill_after_ns = exec.kill_after_ns;
    const char *label = exec.strings + strlen(exec.strings) + 1;
    if (label[0] != '\0' && strlen(label) < sizeof(execution->label) - 16)
        snprintf(execution->label, sizeof(execution->label), "BILLET_EXEC_ID=%s", label);
    execution->pending = execution->input_ended ? NULL : malloc(BILLET_GUEST_WINDOW);
    if (execution->pending == NULL && !execution->input_ended) {
        free(execution);
        return NULL;
    }
    start_command(execution, &exec);
    return execution;
}

void
guest_execution_free(struct guest_execution *execution)
{
    if (execution == NULL)
        return;
    close_fd(&execution->input);
    close_fd(&execution->output[0]);
    close_fd(&execution->output[1]);
    close_fd(&execution->slave);
    drop_held(execution);
    free(execution->pending);
    free(execution);
}

/* ---- frames from the client -------------------------------------------------------------- */

static void
give_credit(struct guest_execution *execution, size_t taken)
{
    uint8_t bytes[4];
    execution->uncredited -= (uint32_t)taken;
    billet_guest_put(bytes, taken, 4);
    say(execution, BILLET_GUEST_CREDIT, 0, bytes, sizeof(bytes));
}

static int
take_data(struct guest_execution *execution, const struct billet_guest_frame *frame)
{
    if (frame->stream != 0 || execution->input_ended ||
        frame->size > BILLET_GUEST_WINDOW - execution->uncredited)
        return -1;
    execution->uncredited += frame->size;
    if (execution->input < 0)
        return 0; /* nobody reads it, and the client was told */
    for (size_t done = 0; done < frame->size;) {
        size_t at = (execution->pending_at + execution->pending_size) % BILLET_GUEST_WINDOW;
        size_t part = BILLET_GUEST_WINDOW - at;
        if (part > frame->size - done)
            part = frame->size - done;
        memcpy(execution->pending + at, frame->payload + done, part);
        execution->pending_size += part;
        done += part;
    }
    return 0;
}

static void
send_signal(struct guest_execution *execution, int number)
{
    pid_t group = execution->pid;
    if (execution->pid <= 0 || execution->reaped)
        return;
    if (execution->pty) {
        pid_t foreground = tcgetpgrp(execution->output[0]);
        if (foreground > 0)
            group = foreground;
    }
    if (number == SIGKILL) {
        struct guest_tree tree = {.pid = execution->session, .label = execution->label};
        guest_processes_kill(&tree);
    } else {
        kill(-group, number);
    }
}

static int
take_signal(struct guest_execution *execution, const struct billet_guest_frame *frame)
{
    if (frame->size != 8)
        return -1;
    uint64_t number = billet_guest_get(frame->payload, 4);
    struct winsize size = {
        .ws_row = (unsigned short)billet_guest_get(frame->payload + 4, 2),
        .ws_col = (unsigned short)billet_guest_get(frame->payload + 6, 2),
    };
    if (number == 0 || number > 64)
        return -1;
    /* The kernel sends the signal with the new size. */
    if (number == SIGWINCH && execution->pty && size.ws_row > 0 && size.ws_col > 0 &&
        execution->output[0] >= 0)
        ioctl(execution->output[0], TIOCSWINSZ, &size);
    else
        send_signal(execution, (int)number);
    return 0;
}

static void
begin_stop(struct guest_execution *execution, int outcome)
{
    if (execution->stop != 0 || execution->reaped)
        return;
    execution->stop = outcome;
    execution->timeout_at = 0;
    send_signal(execution, SIGTERM);
    if (__builtin_add_overflow(billet_clock_monotonic(), execution->kill_after_ns,
                               &execution->kill_at))
        execution->kill_at = INT64_MAX;
}

static void
begin_kill(struct guest_execution *execution)
{
    execution->kill_at = billet_clock_monotonic();
    execution->killing = true;
    execution->give_up_at = execution->kill_at + KILL_NS;
}

static void
end_output(struct guest_execution *execution, int which)
{
    if (execution->ended[which])
        return;
    execution->ended[which] = true;
    say_later(execution, BILLET_GUEST_EOF, (uint16_t)(which + 1), NULL, 0);
}

int
guest_execution_take(struct guest_execution *execution, const struct billet_guest_frame *frame)
{
    switch (frame->type) {
    case BILLET_GUEST_DATA:
        return take_data(execution, frame);
    case BILLET_GUEST_EOF:
        /* Nobody reads it any more: the command meets a closed pipe, as it would there. */
        if (frame->stream != 0) {
            if (!execution->pty)
                end_output(execution, frame->stream - 1);
            return 0;
        }
        if (execution->input_ended)
            return -1;
        execution->input_ended = true;
        return 0;
    case BILLET_GUEST_CREDIT: {
        if (frame->stream == 0 || frame->size != 4)
            return -1;
        uint32_t *credit = &execution->credit[frame->stream - 1];
        uint64_t more = billet_guest_get(frame->payload, 4);
        if (more > BILLET_GUEST_WINDOW - *credit)
            return -1;
        *credit += (uint32_t)more;
        return 0;
    }
    case BILLET_GUEST_SIGNAL:
        return take_signal(execution, frame);
    case BILLET_GUEST_CANCEL:
        execution->let_go = true;
        begin_stop(execution, BILLET_OUTCOME_CANCELLED);
        return 0;
    case BILLET_GUEST_CLOSE:
        execution->closed = true;
        drop_held(execution);
        close_fd(&execution->input);
        close_fd(&execution->output[0]);
        close_fd(&execution->output[1]);
        execution->ended[0] = execution->ended[1] = true;
        begin_kill(execution);
        return 0;
    default:
        return -1;
    }
}

/* ---- streams ----------------------------------------------------------------------------- */

static void
read_output(struct guest_execution *execution, int which)
{
    uint8_t bytes[CHUNK];
    size_t size = execution->credit[which] < CHUNK ? execution->credit[which] : CHUNK;
    if (execution->reaped && !execution->pty && execution->drain[which] < size)
        size = execution->drain[which];
    if (size == 0 || execution->output[which] < 0)
        return;
    ssize_t got = read(execution->output[which], bytes, size);
    if (got > 0) {
        say(execution, BILLET_GUEST_DATA, (uint16_t)(which + 1), bytes, (size_t)got);
        execution->credit[which] -= (uint32_t)got;
        if (execution->reaped && !execution->pty)
            execution->drain[which] -= (size_t)got;
        if (execution->reaped && !execution->pty && execution->drain[which] == 0)
            end_output(execution, which);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_output(execution, which);
    }
}

static void
drop_input(struct guest_execution *execution)
{
    close_fd(&execution->input);
    execution->pending_size = 0;
    /* The client need not read its own input any more. */
    if (!execution->input_ended)
        say_later(execution, BILLET_GUEST_EOF, 0, NULL, 0);
}

static void
write_input(struct guest_execution *execution)
{
    size_t part = BILLET_GUEST_WINDOW - execution->pending_at;
    if (part > execution->pending_size)
        part = execution->pending_size;
    ssize_t put = write(execution->input, execution->pending + execution->pending_at, part);
    if (put > 0) {
        execution->pending_at = (execution->pending_at + (size_t)put) % BILLET_GUEST_WINDOW;
        execution->pending_size -= (size_t)put;
        give_credit(execution, (size_t)put);
    } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
        drop_input(execution);
    }
}

static void
finish_input(struct guest_execution *execution)
{
    static const uint8_t end_of_input = 4; /* ^D */
    if (execution->input < 0 || !execution->input_ended || execution->pending_size > 0)
        return;
    if (execution->pty && write(execution->input, &end_of_input, 1) < 0 && errno == EAGAIN)
        return;
    close_fd(&execution->input);
}

void
guest_execution_prepare(struct guest_execution *execution, struct pollfd fds[GUEST_EXECUTION_FDS])
{
    bool room = guest_link_waiting(execution->link) < GUEST_QUEUE_HIGH;
    finish_input(execution);
    fds[0] = (struct pollfd){
        .fd = execution->pending_size > 0 || (execution->input_ended && execution->input >= 0)
                  ? execution->input
                  : -1,
        .events = POLLOUT,
    };
    for (int i = 0; i < 2; i++)
        fds[1 + i] = (struct pollfd){
            .fd = room && execution->credit[i] > 0 && !execution->ended[i] ? execution->output[i]
                                                                           : -1,
            .events = POLLIN,
        };
}

void
guest_execution_step(struct guest_execution *execution,
                     const struct pollfd fds[GUEST_EXECUTION_FDS])
{
    if (fds[0].revents != 0 && execution->input >= 0 && execution->pending_size > 0)
        write_input(execution);
    for (int i = 0; i < 2; i++)
        if (fds[1 + i].revents != 0 && !execution->ended[i])
            read_output(execution, i);
}

/* ---- the end ----------------------------------------------------------------------------- */

void
guest_execution_reaped(struct guest_execution *execution, int status, const struct rusage *usage)
{
    execution->reaped = true;
    execution->pid = 0;
    execution->timeout_at = 0;
    close_fd(&execution->slave);
    if (execution->input >= 0)
        drop_input(execution);
    for (int i = 0; i < 2; i++) {
        int size = 0;
        if (execution->ended[i])
            continue;
        if (!execution->pty && ioctl(execution->output[i], FIONREAD, &size) == 0 && size > 0)
            execution->drain[i] = (size_t)size;
        if (!execution->pty && execution->drain[i] == 0)
            end_output(execution, i);
    }
    execution->drain_until = billet_clock_monotonic() + TERMINAL_DRAIN_NS;
    execution->result.max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024;
    execution->result.cpu_ns =
        (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * BILLET_NS_PER_SECOND +
        (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * INT64_C(1000);
    if (execution->stop != 0) {
        execution->result.outcome = execution->stop;
        execution->result.value = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        begin_kill(execution);
    } else if (execution->started) {
        execution->result.outcome =
            WIFEXITED(status) ? BILLET_OUTCOME_EXITED : BILLET_OUTCOME_SIGNALLED;
        execution->result.value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    } else if (execution->result.outcome == 0) {
        execution->result.outcome = BILLET_GUEST_OUTCOME_FAILED;
        execution->result.value = EIO;
    }
}

static void
earlier(int64_t *next, int64_t candidate)
{
    if (candidate != 0 && (*next == 0 || candidate < *next))
        *next = candidate;
}

int64_t
guest_execution_next(const struct guest_execution *execution)
{
    int64_t next = 0;
    earlier(&next, execution->timeout_at);
    earlier(&next, execution->kill_at);
    if (execution->reaped && execution->pty && !execution->ended[0])
        earlier(&next, execution->drain_until);
    return next;
}

static void
kill_more(struct guest_execution *execution, bool alone, int64_t now)
{
    struct guest_tree tree = {.pid = execution->session,
                              .label = execution->label,
                              .alone = alone,
                              .waiting = guest_child_waiting()};
    if (!execution->killing)
        begin_kill(execution);
    int left = execution->session > 0 ? guest_processes_kill(&tree) : 0;
    execution->kill_at = now + KILL_AGAIN_NS;
    if (left == 0 || now >= execution->give_up_at) {
        execution->killing = false;
        execution->kill_at = 0;
    }
}

/* Only now: the client waits for the answer, not for this. */
static void
close_ended(struct guest_execution *execution)
{
    for (int i = 0; i < 2; i++)
        if (execution->ended[i] && (!execution->pty || execution->reaped))
            close_fd(&execution->output[i]);
    if (execution->reaped)
        drop_held(execution);
}

static bool
is_over(struct guest_execution *execution, bool alone)
{
    int64_t now = billet_clock_monotonic();
    if (execution->timeout_at != 0 && now >= execution->timeout_at)
        begin_stop(execution, BILLET_OUTCOME_TIMED_OUT);
    if (execution->kill_at != 0 && now >= execution->kill_at)
        kill_more(execution, alone, now);
    if (!execution->reaped || execution->killing)
        return false;
    if (execution->pty && !execution->ended[0] && now >= execution->drain_until) {
        int size = 0;
        if (ioctl(execution->output[0], FIONREAD, &size) < 0 || size == 0)
            end_output(execution, 0);
        else
            execution->drain_until = now + TERMINAL_DRAIN_NS;
    }
    /* Nobody takes what is left of a command that was cancelled. */
    for (int i = 0; i < 2; i++)
        if (execution->let_go && execution->credit[i] == 0)
            end_output(execution, i);
    if (!execution->ended[0] || !execution->ended[1])
        return false;
    uint8_t bytes[BILLET_GUEST_EXIT_SIZE];
    billet_guest_exit_write(bytes, &execution->result);
    say(execution, BILLET_GUEST_EXIT, 0, bytes, sizeof(bytes));
    return true;
}

bool
guest_execution_turn(struct guest_execution *execution, bool alone)
{
    bool over = is_over(execution, alone);
    if (!over)
        close_ended(execution);
    return over;
}
