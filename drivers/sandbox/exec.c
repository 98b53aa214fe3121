/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/terminal.h"
#include "order.h"
#include "protocol.h"
#include "pump.h"
#include "resident.h"

#define KILL_PATIENCE (BILLET_NS_PER_SECOND)      /* until the whole sandbox is killed instead */
#define DRAIN_PATIENCE (2 * BILLET_NS_PER_SECOND) /* for output after a kill */
#define LOST_PATIENCE (BILLET_NS_PER_SECOND)      /* for the reason, when the connection ended */

enum entry {
    ENTRY_COMMAND,
    ENTRY_CANCEL,
    ENTRY_STREAMS,
    ENTRY_RESIDENT = ENTRY_STREAMS + 3,
    ENTRIES = ENTRY_RESIDENT + SANDBOX_RESIDENT_FDS
};

struct session {
    const struct billet_host *host;
    const struct billet_call *call;
    struct billet_lease_handle *lease;
    const struct billet_exec *exec;
    struct sandbox_pump pumps[3];
    struct billet_relay *relay; /* with a terminal, once it is there */
    int command;                /* connection, -1: no more will be said */

    bool started;
    bool ended; /* told how the command ended */
    struct sandbox_message end;
    struct sandbox_message broken;
    char missing[SANDBOX_TEXT_MAX];

    int stopping; /* BILLET_OUTCOME_TIMED_OUT or CANCELLED, 0: not asked to */
    bool killed;
    int64_t limit_ns; /* time limit of the command, absolute, 0: none */
    int64_t kill_ns;  /* when to kill, 0: not yet */
    int64_t drain_ns; /* when to give up on output, 0: never */
    int64_t lost_ns;  /* when to give up on a reason, 0: nothing was lost */
};

/* ---- the end ------------------------------------------------------------------ */

static void
tell(struct session *session, uint32_t type, int number)
{
    struct sandbox_message message = {.type = type, .value = number};
    ssize_t ignored = session->command >= 0 ? send(session->command, &message, sizeof(message),
                                                   MSG_DONTWAIT | MSG_NOSIGNAL)
                                            : 0;
    (void)ignored;
}

static void
stop(struct session *session, int outcome, int64_t now)
{
    if (session->stopping != 0 || session->ended)
        return;
    session->stopping = outcome;
    session->kill_ns = now;
    if (session->started && session->exec->kill_after_ns > 0) {
        tell(session, SANDBOX_SIGNAL, SIGTERM);
        session->kill_ns = now + session->exec->kill_after_ns;
    }
}

/* The command with its tree. Where that does not help, or a sandbox has not come so far, everything
 * in it: no process may outlive its time limit. */
static void
kill_command(struct session *session, int64_t now)
{
    bool first = !session->killed;
    session->killed = true;
    session->kill_ns = now + KILL_PATIENCE;
    if (first && session->started && session->command >= 0) {
        tell(session, SANDBOX_KILL, 0);
        return;
    }
    if (sandbox_resident_is_ours(&session->lease->resident))
        sandbox_resident_kill(session->lease, !first);
    else if (session->started)
        sandbox_lease_stop(session->lease->directory_fd, &session->lease->group, 0, NULL);
    else
        billet_close_fd(&session->command); /* nothing will be begun for it */
}

/* ---- messages about the command -------------------------------------------------- */

/* 1 with a message, 0: nothing now, -1: no more will come. */
static int
receive(int command, struct sandbox_message *message, int *terminal)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } space;
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof(space.bytes)};
    *terminal = -1;
    ssize_t got = recvmsg(command, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    struct cmsghdr *item = CMSG_FIRSTHDR(&header);
    if (item != NULL && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
        item->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(terminal, CMSG_DATA(item), sizeof(int));
    if (got != (ssize_t)sizeof(*message)) {
        billet_close_fd(terminal);
        return -1;
    }
    message->text[SANDBOX_TEXT_MAX - 1] = '\0';
    return 1;
}

static void
take_terminal(struct session *session, int *master)
{
    if (session->relay != NULL || *master < 0)
        return;
    session->relay = calloc(1, sizeof(*session->relay));
    if (session->relay == NULL)
        return;
    fcntl(*master, F_SETFL, fcntl(*master, F_GETFL) | O_NONBLOCK);
    pthread_mutex_lock(&session->lease->lock);
    session->lease->terminal_fd = *master;
    pthread_mutex_unlock(&session->lease->lock);
    billet_relay_begin(session->relay, billet_take_fd(master), session->exec->stdin_fd,
                       session->exec->stdout_fd);
}

static void
take_start(struct session *session, int pid, int64_t now)
{
    session->started = true;
    if (session->exec->timeout_ns > 0)
        session->limit_ns = now + session->exec->timeout_ns;
    session->host->started(session->call, pid);
}

static void
publish(struct session *session, int command)
{
    pthread_mutex_lock(&session->lease->lock);
    session->lease->command_fd = command;
    if (command < 0)
        session->lease->terminal_fd = -1;
    pthread_mutex_unlock(&session->lease->lock);
}

/* Nothing is left of it, or nobody watches over it any more. */
static void
take_end(struct session *session, int64_t now)
{
    session->kill_ns = 0;
    if (session->stopping != 0)
        session->drain_ns = now + DRAIN_PATIENCE;
}

static void
hear(struct session *session, int64_t now)
{
    struct sandbox_message message;
    int terminal, got = 0;
    /* Nothing follows the end. */
    while (session->command >= 0 && !session->ended &&
           (got = receive(session->command, &message, &terminal)) > 0) {
        switch (message.type) {
        case SANDBOX_MISSING:
            snprintf(session->missing, sizeof(session->missing), "%s", message.text);
            break;
        case SANDBOX_TERMINAL:
            take_terminal(session, &terminal);
            break;
        case SANDBOX_STARTED:
            take_start(session, message.value, now);
            break;
        case SANDBOX_ENDED:
            session->ended = true;
            session->end = message;
            take_end(session, now);
            break;
        case SANDBOX_BROKEN:
            session->broken = message;
            break;
        default:
            break;
        }
        billet_close_fd(&terminal);
    }
    if (got < 0 || session->ended) {
        publish(session, -1); /* before its number can be another's */
        billet_close_fd(&session->command);
    }
}

/* ---- the wait -------------------------------------------------------------------- */

static bool
is_drained(struct session *session)
{
    if (session->relay != NULL)
        return billet_relay_is_drained(session->relay);
    return sandbox_pump_is_done(&session->pumps[1]) && sandbox_pump_is_done(&session->pumps[2]);
}

static bool
is_over(const struct session *session)
{
    return session->ended || session->command < 0;
}

/* The connection ended without a word: whoever started the sandbox may learn why. */
static bool
awaits_reason(struct session *session, int64_t now)
{
    const struct sandbox_resident *resident = &session->lease->resident;
    if (session->ended || session->broken.type != 0 || session->stopping != 0 ||
        !sandbox_resident_is_ours(resident))
        return false;
    if (session->lost_ns == 0)
        session->lost_ns = now + LOST_PATIENCE;
    return now < session->lost_ns;
}

static bool
is_done(struct session *session, int64_t now)
{
    if (!is_over(session) || awaits_reason(session, now))
        return false;
    return is_drained(session) || (session->drain_ns > 0 && now >= session->drain_ns);
}

static void
prepare(struct session *session, struct pollfd entries[ENTRIES])
{
    entries[ENTRY_COMMAND] = (struct pollfd){.fd = session->command, .events = POLLIN};
    entries[ENTRY_CANCEL] = (struct pollfd){
        .fd = session->stopping != 0 ? -1 : session->call->cancel_fd, .events = POLLIN};
    sandbox_resident_prepare(&session->lease->resident, &entries[ENTRY_RESIDENT]);
    if (session->relay != NULL) {
        billet_relay_prepare(session->relay, is_over(session), &entries[ENTRY_STREAMS]);
        return;
    }
    for (int i = 0; i < 3; i++)
        sandbox_pump_prepare(&session->pumps[i], &entries[ENTRY_STREAMS + i]);
    if (is_over(session))
        entries[ENTRY_STREAMS].fd = -1; /* nobody reads the input any more */
}

static int
wait_ms(const struct session *session, int64_t now)
{
    int64_t next = 0;
    const int64_t moments[] = {session->stopping == 0 ? session->limit_ns : 0, session->kill_ns,
                               session->drain_ns, session->lost_ns,
                               session->stopping == 0 ? session->call->deadline_ns : 0};
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
        if (moments[i] > 0 && (next == 0 || moments[i] < next))
            next = moments[i];
    if (next == 0)
        return -1;
    int64_t left = (next - now + 999999) / 1000000;
    return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void
look_at_clock(struct session *session, int64_t now)
{
    if (session->limit_ns > 0 && now >= session->limit_ns)
        stop(session, BILLET_OUTCOME_TIMED_OUT, now);
    if (session->call->deadline_ns > 0 && now >= session->call->deadline_ns)
        stop(session, BILLET_OUTCOME_TIMED_OUT, now);
    if (!is_over(session) && session->kill_ns != 0 && now >= session->kill_ns)
        kill_command(session, now);
}

static void
supervise(struct session *session)
{
    struct pollfd entries[ENTRIES];
    for (;;) {
        int64_t now = billet_monotonic_ns();
        look_at_clock(session, now);
        if (is_done(session, now))
            return;
        prepare(session, entries);
        if (poll(entries, ENTRIES, wait_ms(session, now)) < 0 && errno != EINTR)
            stop(session, BILLET_OUTCOME_CANCELLED, now);
        now = billet_monotonic_ns();
        if (session->command >= 0 && entries[ENTRY_COMMAND].revents != 0)
            hear(session, now);
        sandbox_resident_step(session->lease, &entries[ENTRY_RESIDENT]);
        if (entries[ENTRY_CANCEL].revents != 0) {
            stop(session, BILLET_OUTCOME_CANCELLED, now);
            if (is_over(session))
                session->drain_ns = now;
        }
        if (session->relay != NULL) {
            billet_relay_step(session->relay, &entries[ENTRY_STREAMS]);
        } else {
            for (int i = 0; i < 3; i++)
                sandbox_pump_step(&session->pumps[i], &entries[ENTRY_STREAMS + i]);
        }
    }
}

/* ---- the result --------------------------------------------------------------------- */

static int
conclude(const struct session *session, struct billet_exec_result *result,
         struct billet_error *error)
{
    if (session->ended) {
        result->max_rss_bytes = session->end.max_rss_bytes;
        result->cpu_ns = session->end.cpu_ns;
    }
    if (session->stopping != 0) {
        result->outcome = session->stopping;
        result->value = session->ended && session->end.kind == SANDBOX_EXITED ? session->end.value
                        : session->ended && session->end.kind == SANDBOX_SIGNALLED
                            ? 128 + session->end.value
                            : 128 + SIGKILL;
        return 0;
    }
    if (session->broken.type == SANDBOX_BROKEN) {
        if (session->broken.value != 0)
            return billet_fail_errno(error, 0, "sandbox_start_failed", session->broken.value,
                                     "inside the sandbox: %s", session->broken.text);
        return billet_fail(error, BILLET_CLASS_INTERNAL, "sandbox_start_failed",
                           "inside the sandbox: %s", session->broken.text);
    }
    if (!session->ended)
        return sandbox_resident_explain(&session->lease->resident, error);
    result->value = session->end.value;
    switch (session->end.kind) {
    case SANDBOX_EXITED:
        result->outcome = BILLET_OUTCOME_EXITED;
        return 0;
    case SANDBOX_SIGNALLED:
        result->outcome = BILLET_OUTCOME_SIGNALLED;
        return 0;
    case SANDBOX_CANNOT_EXECUTE:
        result->outcome = session->end.value == ENOENT || session->end.value == ENOTDIR
                              ? BILLET_OUTCOME_NOT_FOUND
                              : BILLET_OUTCOME_NOT_INVOCABLE;
        return 0;
    default:
        billet_fail_errno(error, BILLET_CLASS_CONFIG, "directory_unusable", session->end.value,
                          "cannot enter %s in the sandbox", session->exec->directory);
        return billet_fail_hint(error, "the workspace is " SANDBOX_WORK " there");
    }
}

/* ---- the start ------------------------------------------------------------------------ */

/* What is not there is the null device, and what is it already needs none of its own. */
static bool
is_nothing(int fd)
{
    struct stat status;
    return fd < 0 ||
           (fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
}

/* owned: to be closed once they are sent. */
static int
make_streams(struct session *session, int streams[3], int owned[3], struct billet_error *error)
{
    const int given[3] = {session->exec->stdin_fd, session->exec->stdout_fd,
                          session->exec->stderr_fd};
    bool terminal = (session->exec->flags & BILLET_EXEC_PTY) != 0;
    int null = -1;
    for (int i = 0; i < 3; i++) {
        if (terminal || is_nothing(given[i])) {
            if (null < 0)
                null = owned[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (null < 0)
                return billet_fail_errno(error, 0, "io_failed", errno, "cannot open /dev/null");
            streams[i] = null;
            continue;
        }
        owned[i] = sandbox_pump_spare(given[i], i == 0);
        int result =
            owned[i] >= 0 ? 0 : sandbox_pump_begin(&session->pumps[i], given[i], i == 0, &owned[i]);
        if (result < 0)
            return billet_fail_errno(error, 0, "io_failed", -result,
                                     "cannot make a pipe for the command");
        streams[i] = owned[i];
    }
    return 0;
}

static int
send_order(struct session *session, const struct sandbox_begin *order, int order_fd,
           const int streams[3], struct billet_error *error)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SANDBOX_EXEC_FDS)];
        struct cmsghdr align;
    } space;
    const int fds[SANDBOX_EXEC_FDS] = {streams[0], streams[1], streams[2], order_fd};
    size_t count = order_fd >= 0 ? SANDBOX_EXEC_FDS : SANDBOX_EXEC_FDS - 1;
    struct iovec part = {.iov_base = (void *)(uintptr_t)order,
                         .iov_len = sizeof(order->message) + (size_t)order->message.value};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    memset(&space, 0, sizeof(space));
    struct cmsghdr *item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(item), fds, sizeof(int) * count);
    ssize_t sent;
    while ((sent = sendmsg(session->command, &header, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    /* One that has ended says why in another way. */
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                 "cannot hand the command to the sandbox");
    return 0;
}

static int
begin(struct session *session, const struct sandbox_config *config, struct billet_error *error)
{
    struct sandbox_begin order;
    int order_fd = -1, streams[3], owned[3] = {-1, -1, -1};
    int result = make_streams(session, streams, owned, error);
    if (result == 0)
        result = sandbox_order_make(session->lease, session->exec, &order, &order_fd, error);
    if (result == 0)
        result = sandbox_resident_connect(session->host, session->lease, config,
                                          session->call->deadline_ns, &session->command, error);
    if (result == 0)
        result = send_order(session, &order, order_fd, streams, error);
    explicit_bzero(&order, sizeof(order));
    if (result == 0 && (session->exec->hints & BILLET_HINT_LAST) != 0)
        sandbox_resident_last(session->lease);
    billet_close_fd(&order_fd);
    for (int i = 0; i < 3; i++)
        billet_close_fd(&owned[i]);
    return result;
}

/* A write to a pipe that the command closed must not kill the host of the driver. */
static bool
hold_sigpipe(sigset_t *saved)
{
    sigset_t pipe_set, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_set, saved);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void
let_sigpipe(const sigset_t *saved, bool was_pending)
{
    sigset_t pipe_set;
    struct timespec none = {0};
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    if (!was_pending)
        sigtimedwait(&pipe_set, NULL, &none);
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int
sandbox_exec(const struct billet_host *host, const struct billet_call *call,
             struct billet_lease_handle *lease, const struct sandbox_config *config,
             const struct billet_exec *exec, struct billet_exec_result *result, char *missing,
             size_t missing_size, struct billet_error *error)
{
    sigset_t saved;
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return billet_fail_errno(error, BILLET_CLASS_CAPACITY, "out_of_memory", ENOMEM,
                                 "cannot run a command");
    session->host = host;
    session->call = call;
    session->lease = lease;
    session->exec = exec;
    session->command = -1;
    for (int i = 0; i < 3; i++)
        session->pumps[i].from = session->pumps[i].to = -1;
    bool pending = hold_sigpipe(&saved);
    int failed = begin(session, config, error);
    if (failed == 0) {
        publish(session, session->command);
        supervise(session);
        publish(session, -1);
        failed = conclude(session, result, error);
        if (missing != NULL)
            snprintf(missing, missing_size, "%s", session->missing);
        /* Its end takes its time; what comes next need not wait for that. */
        if ((exec->hints & BILLET_HINT_LAST) != 0)
            sandbox_resident_kill(lease, false);
        /* Where the core collects what was changed, nothing may change it any more. */
        if ((exec->hints & BILLET_HINT_LAST) != 0 && lease->overlay_path[0] != '\0')
            sandbox_resident_end(lease, billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND);
    }
    let_sigpipe(&saved, pending);
    for (int i = 0; i < 3; i++)
        sandbox_pump_end(&session->pumps[i]);
    if (session->relay != NULL) {
        int master = session->relay->master;
        billet_relay_end(session->relay);
        billet_close_fd(&master);
        free(session->relay);
    }
    billet_close_fd(&session->command);
    free(session);
    return failed;
}

int
sandbox_exec_signal(struct billet_lease_handle *lease, const struct billet_signal *signal,
                    struct billet_error *error)
{
    struct sandbox_message message = {.type = SANDBOX_SIGNAL, .value = signal->number};
    int result = 0;

    pthread_mutex_lock(&lease->lock);
    if (lease->command_fd < 0)
        result = ESRCH;
    else if (signal->number == SIGWINCH && lease->terminal_fd >= 0)
        result = -billet_terminal_resize(lease->terminal_fd, signal->rows, signal->columns);
    else if (send(lease->command_fd, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        result = errno;
    pthread_mutex_unlock(&lease->lock);
    if (result == 0)
        return 0;
    return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "signal_failed", result,
                             "cannot signal the command in the sandbox");
}
