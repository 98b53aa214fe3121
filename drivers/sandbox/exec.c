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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/terminal.h"
#include "filter.h"
#include "launcher.h"
#include "order.h"
#include "profile.h"
#include "protocol.h"
#include "pump.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define INIT_PROGRAM "billet-sandbox-init"
#define COMPLAINT_MAX 2048                        /* kept of what bwrap writes to its stderr */
#define KILL_PATIENCE (BILLET_NS_PER_SECOND)      /* until the kill is repeated, on bwrap itself */
#define DRAIN_PATIENCE (2 * BILLET_NS_PER_SECOND) /* for output after a kill */

enum entry { ENTRY_CONTROL, ENTRY_END, ENTRY_COMPLAINT, ENTRY_CANCEL, ENTRY_STREAMS, ENTRIES = 8 };

struct session {
    const struct billet_host *host;
    const struct billet_call *call;
    struct billet_lease_handle *lease;
    const struct billet_exec *exec;
    struct sandbox_pump pumps[3];
    struct billet_relay *relay; /* with a terminal, once it is there */
    int control;
    int complaints; /* what bwrap says; the command's stderr is another */
    int bwrap_pidfd;
    pid_t bwrap;
    int init_pidfd;
    char note[24];

    bool said_hello;
    bool started;
    bool ended; /* init told how the command ended */
    bool gone;  /* bwrap has ended, so has everything in the sandbox */
    struct sandbox_message end;
    struct sandbox_message broken;
    char missing[SANDBOX_TEXT_MAX];
    char complaint[COMPLAINT_MAX];
    size_t complaint_length;

    int stopping; /* BILLET_OUTCOME_TIMED_OUT or CANCELLED, 0: not asked to */
    bool killed;
    int64_t limit_ns; /* time limit of the command, absolute, 0: none */
    int64_t kill_ns;  /* when to kill, 0: not yet */
    int64_t drain_ns; /* when to give up on output, 0: never */
};

/* ---- the end ------------------------------------------------------------------ */

/* The one child of bwrap while init has not spoken yet, -1: none or not known. */
static int
open_child(pid_t parent)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (got <= 0)
        return -1;
    text[got] = '\0';
    int child = atoi(text);
    return child > 0 ? (int)syscall(SYS_pidfd_open, child, 0) : -1;
}

/* Process 1 takes the whole sandbox with it. bwrap follows by itself; if it does not, it is next.
 */
static void
kill_sandbox(struct session *session, bool launcher_too)
{
    if (session->init_pidfd < 0)
        session->init_pidfd = open_child(session->bwrap);
    if (session->init_pidfd >= 0)
        syscall(SYS_pidfd_send_signal, session->init_pidfd, SIGKILL, NULL, 0);
    if (session->init_pidfd < 0 || launcher_too)
        syscall(SYS_pidfd_send_signal, session->bwrap_pidfd, SIGKILL, NULL, 0);
    session->killed = true;
}

static void
tell(struct session *session, int number)
{
    struct sandbox_message message = {.type = SANDBOX_SIGNAL, .value = number};
    ssize_t ignored =
        send(session->control, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL);
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
        tell(session, SIGTERM);
        session->kill_ns = now + session->exec->kill_after_ns;
    }
}

/* ---- messages of init -------------------------------------------------------------- */

struct parcel {
    struct sandbox_message message;
    pid_t pid;
    int fd;
};

/* 1 with a message, 0: nothing now, -1: no more will come. */
static int
receive(int control, struct parcel *parcel)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } space;
    struct iovec part = {.iov_base = &parcel->message, .iov_len = sizeof(parcel->message)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof(space.bytes)};
    parcel->pid = 0;
    parcel->fd = -1;
    ssize_t got = recvmsg(control, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item != NULL;
         item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level != SOL_SOCKET)
            continue;
        if (item->cmsg_type == SCM_CREDENTIALS &&
            item->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred ucred;
            memcpy(&ucred, CMSG_DATA(item), sizeof(ucred));
            parcel->pid = ucred.pid;
        } else if (item->cmsg_type == SCM_RIGHTS) {
            size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof(int));
                billet_close_fd(&parcel->fd);
                parcel->fd = fd;
            }
        }
    }
    if (got != (ssize_t)sizeof(parcel->message)) {
        billet_close_fd(&parcel->fd);
        return -1;
    }
    parcel->message.text[SANDBOX_TEXT_MAX - 1] = '\0';
    return 1;
}

/* Process 1 by the number that the kernel translated; bwrap, our child, must be its parent. */
static void
take_init(struct session *session, pid_t pid)
{
    char path[64], text[512];
    int parent = 0;

    if (pid <= 0 || session->init_pidfd >= 0)
        return;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (got > 0) {
        text[got] = '\0';
        const char *after = strrchr(text, ')');
        if (after != NULL && strlen(after) > 4)
            parent = atoi(after + 4);
    }
    if (parent != session->bwrap) {
        close(pidfd);
        return;
    }
    session->init_pidfd = pidfd;
    sandbox_lease_note(session->lease, session->note, pid);
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
publish(struct session *session, int control)
{
    pthread_mutex_lock(&session->lease->lock);
    session->lease->control_fd = control;
    if (control < 0)
        session->lease->terminal_fd = -1;
    pthread_mutex_unlock(&session->lease->lock);
}

static void
hear(struct session *session, int64_t now)
{
    struct parcel parcel;
    for (;;) {
        int got = receive(session->control, &parcel);
        if (got < 0) {
            publish(session, -1); /* before its number can be another's */
            billet_close_fd(&session->control);
        }
        if (got <= 0)
            return;
        const struct sandbox_message *message = &parcel.message;
        switch (message->type) {
        case SANDBOX_HELLO:
            session->said_hello = true;
            take_init(session, parcel.pid);
            break;
        case SANDBOX_MISSING:
            snprintf(session->missing, sizeof(session->missing), "%s", message->text);
            break;
        case SANDBOX_TERMINAL:
            take_terminal(session, &parcel.fd);
            break;
        case SANDBOX_STARTED:
            take_start(session, message->value, now);
            break;
        case SANDBOX_ENDED:
            session->ended = true;
            session->end = *message;
            break;
        case SANDBOX_BROKEN:
            session->broken = *message;
            break;
        default:
            break;
        }
        billet_close_fd(&parcel.fd);
    }
}

static void
take_complaint(struct session *session)
{
    char waste[512];
    size_t room = sizeof(session->complaint) - 1 - session->complaint_length;
    ssize_t got =
        room > 0 ? read(session->complaints, session->complaint + session->complaint_length, room)
                 : read(session->complaints, waste, sizeof(waste));
    if (got > 0 && room > 0)
        session->complaint_length += (size_t)got;
    else if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        billet_close_fd(&session->complaints);
    session->complaint[session->complaint_length] = '\0';
}

/* ---- the wait -------------------------------------------------------------------- */

static bool
is_drained(struct session *session)
{
    if (session->relay != NULL)
        return billet_relay_is_drained(session->relay);
    return sandbox_pump_is_done(&session->pumps[1]) && sandbox_pump_is_done(&session->pumps[2]);
}

static void
prepare(struct session *session, struct pollfd entries[ENTRIES])
{
    entries[ENTRY_CONTROL] = (struct pollfd){.fd = session->control, .events = POLLIN};
    entries[ENTRY_END] =
        (struct pollfd){.fd = session->gone ? -1 : session->bwrap_pidfd, .events = POLLIN};
    entries[ENTRY_COMPLAINT] = (struct pollfd){.fd = session->complaints, .events = POLLIN};
    entries[ENTRY_CANCEL] = (struct pollfd){
        .fd = session->stopping != 0 ? -1 : session->call->cancel_fd, .events = POLLIN};
    if (session->relay != NULL) {
        billet_relay_prepare(session->relay, session->gone, &entries[ENTRY_STREAMS]);
        return;
    }
    for (int i = 0; i < 3; i++)
        sandbox_pump_prepare(&session->pumps[i], &entries[ENTRY_STREAMS + i]);
    if (session->gone)
        entries[ENTRY_STREAMS].fd = -1; /* nobody reads the input any more */
}

static int
wait_ms(const struct session *session, int64_t now)
{
    int64_t next = 0;
    const int64_t moments[] = {session->stopping == 0 ? session->limit_ns : 0, session->kill_ns,
                               session->drain_ns,
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
    if (session->gone || session->kill_ns == 0 || now < session->kill_ns)
        return;
    kill_sandbox(session, session->killed);
    session->kill_ns = now + KILL_PATIENCE;
}

static void
look_at_end(struct session *session, int64_t now)
{
    siginfo_t info = {.si_pid = 0};
    if (waitid(P_PID, (id_t)session->bwrap, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return;
    session->gone = true;
    session->kill_ns = 0;
    if (session->control >= 0)
        hear(session, now);
    if (session->stopping != 0)
        session->drain_ns = now + DRAIN_PATIENCE;
}

/* bwrap was killed itself: process 1 may outlive it by a moment; before there was one, a child that
 * waits for the word of its parent outlives it for good. */
static void
await_init(const struct session *session)
{
    if (session->init_pidfd < 0)
        sandbox_lease_end_orphans(session->bwrap, billet_monotonic_ns() + KILL_PATIENCE);
    struct pollfd end = {.fd = session->init_pidfd, .events = POLLIN};
    if (session->init_pidfd >= 0)
        while (poll(&end, 1, 5000) < 0 && errno == EINTR)
            ;
}

static void
supervise(struct session *session)
{
    struct pollfd entries[ENTRIES];
    for (;;) {
        int64_t now = billet_monotonic_ns();
        look_at_clock(session, now);
        if (session->gone &&
            (is_drained(session) || (session->drain_ns > 0 && now >= session->drain_ns)))
            return;
        prepare(session, entries);
        if (poll(entries, ENTRIES, wait_ms(session, now)) < 0 && errno != EINTR)
            stop(session, BILLET_OUTCOME_CANCELLED, now);
        now = billet_monotonic_ns();
        if (entries[ENTRY_CONTROL].revents != 0)
            hear(session, now);
        if (entries[ENTRY_COMPLAINT].revents != 0)
            take_complaint(session);
        if (entries[ENTRY_CANCEL].revents != 0) {
            stop(session, BILLET_OUTCOME_CANCELLED, now);
            if (session->gone)
                session->drain_ns = now;
        }
        if (session->relay != NULL) {
            billet_relay_step(session->relay, &entries[ENTRY_STREAMS]);
        } else {
            for (int i = 0; i < 3; i++)
                sandbox_pump_step(&session->pumps[i], &entries[ENTRY_STREAMS + i]);
        }
        if (entries[ENTRY_END].revents != 0)
            look_at_end(session, now);
    }
}

/* ---- the result --------------------------------------------------------------------- */

static int
explain_bwrap(const struct session *session, struct billet_error *error)
{
    static const struct {
        const char *said;
        int error_class;
        const char *code;
        const char *hint;
    } known[] = {
        {"Unknown option", BILLET_CLASS_UNAVAILABLE, "sandbox_bubblewrap_old",
         "bubblewrap 0.8.0 or later is needed"},
        {"namespace", BILLET_CLASS_UNAVAILABLE, "sandbox_namespace_refused",
         "unprivileged user namespaces are not allowed here: see kernel.unprivileged_userns_clone, "
         "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns (sysctl), and "
         "billet driver probe sandbox"},
        {"uid map", BILLET_CLASS_UNAVAILABLE, "sandbox_namespace_refused",
         "unprivileged user namespaces are restricted here: see "
         "kernel.apparmor_restrict_unprivileged_userns (sysctl), and billet driver probe sandbox"},
        {"find source path", BILLET_CLASS_CONFIG, "sandbox_path_refused",
         "the path must exist and be readable for the user that the sandbox runs as"},
    };
    char text[COMPLAINT_MAX];
    snprintf(text, sizeof(text), "%s", session->complaint);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strncmp(text, "bwrap: ", 7) == 0 ? text + 7 : text;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(line, known[i].said) != NULL) {
            billet_fail(error, known[i].error_class, known[i].code,
                        "bubblewrap cannot make the sandbox: %.400s", line);
            return billet_fail_hint(error, "%s", known[i].hint);
        }
    if (session->said_hello)
        return billet_fail(error, BILLET_CLASS_LOST, "sandbox_lost",
                           "the sandbox ended before its command did, killed from outside or for "
                           "want of memory");
    billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_start_failed",
                "bubblewrap cannot make the sandbox: %.400s",
                line[0] != '\0' ? line : "it ended without a word");
    return billet_fail_hint(error, "billet driver probe sandbox names the cause");
}

static int
conclude(const struct session *session, struct billet_exec_result *result,
         struct billet_error *error)
{
    if (session->ended) {
        result->max_rss_bytes = session->end.max_rss_bytes;
        result->cpu_ns = session->end.cpu_ns;
    }
    if (session->ended && session->end.kind == SANDBOX_REFUSED) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_degraded",
                    "the sandbox cannot be enforced here, missing: %s", session->missing);
        return billet_fail_hint(error, "billet driver probe sandbox says how to mend it; "
                                       "allow_degraded = yes goes on without");
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
        return explain_bwrap(session, error);
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

static int
make_streams(struct session *session, int streams[3], int owned[3], struct billet_error *error)
{
    const int given[3] = {session->exec->stdin_fd, session->exec->stdout_fd,
                          session->exec->stderr_fd};
    bool terminal = (session->exec->flags & BILLET_EXEC_PTY) != 0;
    for (int i = 0; i < 3; i++) {
        streams[i] = given[i];
        if (terminal || given[i] < 0) {
            streams[i] = owned[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (owned[i] < 0)
                return billet_fail_errno(error, 0, "io_failed", errno, "cannot open /dev/null");
        } else {
            owned[i] = sandbox_pump_spare(given[i], i == 0);
            int result = owned[i] >= 0
                             ? 0
                             : sandbox_pump_begin(&session->pumps[i], given[i], i == 0, &owned[i]);
            if (result < 0)
                return billet_fail_errno(error, 0, "io_failed", -result,
                                         "cannot make a pipe for the command");
            streams[i] = owned[i];
        }
    }
    return 0;
}

struct start {
    struct sandbox_profile profile;
    int arguments;
    int order;
    int control[2];
    int complaints[2];
    int owned[3];
    char init[4096];
};

static int
make_channels(struct start *start, struct billet_error *error)
{
    int yes = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, start->control) < 0 ||
        setsockopt(start->control[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0 ||
        pipe2(start->complaints, O_CLOEXEC) < 0 ||
        fcntl(start->complaints[0], F_SETFL, O_NONBLOCK) < 0)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                 "cannot make the channels of the sandbox");
    return 0;
}

static int
make_start(struct session *session, const struct sandbox_config *config, struct start *start,
           struct billet_error *error)
{
    struct billet_lease_handle *lease = session->lease;
    const char *work = lease->work_fd >= 0 ? lease->work_path : NULL;
    const char *libexec = session->host->directory(session->host, BILLET_DIRECTORY_LIBEXEC);
    int written = snprintf(start->init, sizeof(start->init), "%s/" INIT_PROGRAM,
                           libexec != NULL ? libexec : "");
    if (libexec == NULL || written >= (int)sizeof(start->init) || access(start->init, R_OK) < 0)
        return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_start_failed",
                           "%s is not there", start->init);
    if (lease->identity.drop && work != NULL)
        work = SANDBOX_STAGE_WORK;
    const struct sandbox_place place = {lease->work_device, lease->work_inode};
    int result = sandbox_profile_make(config, work, &place,
                                      lease->identity.drop ? SANDBOX_STAGE_INIT : start->init,
                                      &start->profile, error);
    if (result == 0)
        result =
            sandbox_order_make(lease, config, &start->profile, session->exec, &start->order, error);
    if (result == 0)
        result = sandbox_filter_await(&lease->filter, error);
    if (result == 0) {
        start->arguments = sandbox_memfd("billet-arguments", start->profile.arguments.bytes,
                                         start->profile.arguments.length);
        if (start->arguments < 0 || lseek(lease->filter.fd, 0, SEEK_SET) != 0)
            result = billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                       "cannot hand over the profile");
    }
    return result == 0 ? make_channels(start, error) : result;
}

static void
end_start(struct start *start)
{
    sandbox_profile_free(&start->profile);
    billet_close_fd(&start->arguments);
    billet_close_fd(&start->order);
    billet_close_fd(&start->control[1]);
    billet_close_fd(&start->control[0]);
    billet_close_fd(&start->complaints[0]);
    billet_close_fd(&start->complaints[1]);
    for (int i = 0; i < 3; i++)
        billet_close_fd(&start->owned[i]);
}

static int
note_launcher(void *context, pid_t pid)
{
    struct session *session = context;
    snprintf(session->note, sizeof(session->note), "%d", (int)pid);
    return sandbox_lease_note(session->lease, session->note, pid);
}

static int
launch(struct session *session, const struct sandbox_config *config, struct billet_error *error)
{
    struct billet_lease_handle *lease = session->lease;
    struct start start = {.arguments = -1,
                          .order = -1,
                          .control = {-1, -1},
                          .complaints = {-1, -1},
                          .owned = {-1, -1, -1}};
    int streams[3];
    int result = make_start(session, config, &start, error);
    if (result == 0)
        result = make_streams(session, streams, start.owned, error);
    if (result == 0) {
        struct sandbox_launch launch = {
            .bubblewrap = config->bubblewrap,
            .identity = &lease->identity,
            .group = &lease->group,
            .work_fd = lease->work_fd,
            .init = start.init,
            .fds = {streams[0], streams[1], start.complaints[1], start.control[1], start.order,
                    streams[2], start.arguments, lease->filter.fd},
            .fd_count = SANDBOX_FD_FILES + start.profile.file_count,
            .note = note_launcher,
            .context = session,
        };
        for (size_t i = 0; i < start.profile.file_count; i++)
            launch.fds[SANDBOX_FD_FILES + i] = start.profile.files[i];
        result = sandbox_launch(&launch, &session->bwrap, &session->bwrap_pidfd, error);
    }
    if (result == 0) {
        session->control = billet_take_fd(&start.control[0]);
        session->complaints = billet_take_fd(&start.complaints[0]);
    }
    end_start(&start);
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
    *session = (struct session){.host = host,
                                .call = call,
                                .lease = lease,
                                .exec = exec,
                                .control = -1,
                                .complaints = -1,
                                .bwrap_pidfd = -1,
                                .init_pidfd = -1};
    for (int i = 0; i < 3; i++)
        session->pumps[i].from = session->pumps[i].to = -1;
    bool pending = hold_sigpipe(&saved);
    int failed = launch(session, config, error);
    if (failed == 0) {
        publish(session, session->control);
        supervise(session);
        publish(session, -1);
        await_init(session);
        sandbox_lease_unnote(lease, session->note);
        failed = conclude(session, result, error);
        if (missing != NULL)
            snprintf(missing, missing_size, "%s", session->missing);
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
    billet_close_fd(&session->control);
    billet_close_fd(&session->complaints);
    billet_close_fd(&session->bwrap_pidfd);
    billet_close_fd(&session->init_pidfd);
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
    if (lease->control_fd < 0)
        result = ESRCH;
    else if (signal->number == SIGWINCH && lease->terminal_fd >= 0)
        result = -billet_terminal_resize(lease->terminal_fd, signal->rows, signal->columns);
    else if (send(lease->control_fd, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        result = errno;
    pthread_mutex_unlock(&lease->lock);
    if (result == 0)
        return 0;
    return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "signal_failed", result,
                             "cannot signal the command in the sandbox");
}
