/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/serve.h"

#include <billet/driver.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "guest/child.h"
#include "guest/execution.h"
#include "guest/guest.h"
#include "guest/link.h"
#include "guest/processes.h"

/* A client that does not read its answers is not listened to. */
#define QUEUE_MAX (4u << 20)
/* At the end, for what was started to die. */
#define END_NS (5 * BILLET_NS_PER_SECOND)
/* After the end of a command, until what it had is closed and, where none runs, the next one's
 * process is made ahead: not between commands that come one after the other, which would wait. */
#define IDLE_NS INT64_C(2000000)

struct server {
    struct guest_link link;
    struct billet_guest_decoder decoder;
    struct guest_execution *executions[BILLET_GUEST_CHANNELS];
    size_t count;
    struct guest_execution *ended; /* the last one: freed in the next turn; NULL: none */
    int signals;
    bool greeted;
    bool keep;
    bool over;
    const char *wrong;  /* the client broke the rules */
    int64_t silence_ns; /* after which the guest ends, 0: never */
    int64_t heard_at;
    int64_t idle_at; /* when there is time for what nobody waits for; 0: nothing is to be done */
};

static void
greet(struct server *server, const char *nonce)
{
    struct utsname system;
    uint8_t payload[256];
    char line[128];
    uname(&system);
    int length = snprintf(line, sizeof(line), "\n%s%s\n", BILLET_GUEST_MAGIC, nonce);
    while (write(STDOUT_FILENO, line, (size_t)length) < 0 && errno == EINTR)
        ;
    billet_guest_put(payload, BILLET_GUEST_VERSION_LOWEST, 4);
    billet_guest_put(payload + 4, BILLET_GUEST_VERSION, 4);
    billet_guest_put(payload + 8, BILLET_GUEST_CAN_EXEC | BILLET_GUEST_CAN_PTY, 8);
    int version = snprintf((char *)payload + 16, 64, "%s", GUEST_VERSION) + 1;
    int machine = snprintf((char *)payload + 16 + version, 65, "%.64s", system.machine) + 1;
    guest_link_send(&server->link, BILLET_GUEST_HELLO, 0, 0, payload,
                    (size_t)(16 + version + machine));
}

static void
take_hello(struct server *server, const struct billet_guest_frame *frame)
{
    uint64_t version = frame->size == 8 ? billet_guest_get(frame->payload, 4) : 0;
    if (server->greeted || version < BILLET_GUEST_VERSION_LOWEST ||
        version > BILLET_GUEST_VERSION) {
        server->wrong = "the hello of the client is not understood";
        return;
    }
    server->greeted = true;
    server->idle_at = billet_clock_monotonic() + IDLE_NS;
    server->silence_ns = (int64_t)billet_guest_get(frame->payload + 4, 4) * BILLET_NS_PER_SECOND;
}

static struct guest_execution *
find(struct server *server, uint32_t channel)
{
    for (size_t i = 0; i < server->count; i++)
        if (guest_execution_channel(server->executions[i]) == channel)
            return server->executions[i];
    return NULL;
}

static void
take_exec(struct server *server, const struct billet_guest_frame *frame)
{
    if (find(server, frame->channel) != NULL || server->count == BILLET_GUEST_CHANNELS) {
        server->wrong = "a channel is opened twice, or one too many";
        return;
    }
    struct guest_execution *made = guest_execution_open(&server->link, frame);
    if (made == NULL)
        server->wrong = "a command is not described as it should be";
    else
        server->executions[server->count++] = made;
}

/* All that died, orphans that came to us too. */
static void
reap(struct server *server)
{
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        guest_child_reaped(pid);
        for (size_t i = 0; i < server->count; i++)
            if (guest_execution_pid(server->executions[i]) == pid)
                guest_execution_reaped(server->executions[i], status, &usage);
    }
}

static void
take_frame(struct server *server, const struct billet_guest_frame *frame)
{
    server->heard_at = billet_clock_monotonic();
    if (!server->greeted && frame->type != BILLET_GUEST_HELLO) {
        server->wrong = "the client did not begin with a hello";
        return;
    }
    switch (frame->type) {
    case BILLET_GUEST_HELLO:
        take_hello(server, frame);
        return;
    case BILLET_GUEST_PING:
        guest_link_send(&server->link, BILLET_GUEST_PONG, 0, 0, NULL, 0);
        return;
    case BILLET_GUEST_KEEP:
        server->keep = true;
        return;
    case BILLET_GUEST_EXEC:
        take_exec(server, frame);
        return;
    case BILLET_GUEST_DATA:
    case BILLET_GUEST_EOF:
    case BILLET_GUEST_CREDIT:
    case BILLET_GUEST_SIGNAL:
    case BILLET_GUEST_CANCEL:
    case BILLET_GUEST_CLOSE: {
        /* Frames for a command that has just ended are on the way. What ended before it was
         * cancelled was not cancelled. */
        struct guest_execution *execution = find(server, frame->channel);
        if (frame->type == BILLET_GUEST_CANCEL)
            reap(server);
        if (execution != NULL && guest_execution_take(execution, frame) < 0)
            server->wrong = "a frame of a command is not what it should be";
        return;
    }
    default:
        server->wrong = "a frame is not for the guest";
    }
}

static void
read_client(struct server *server)
{
    struct billet_guest_frame frame;
    size_t room;
    uint8_t *to = billet_guest_decoder_room(&server->decoder, &room);
    if (to == NULL) {
        server->wrong = "out of memory";
        return;
    }
    ssize_t got = read(STDIN_FILENO, to, room);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
        server->over = true;
        return;
    }
    if (got > 0)
        server->decoder.end += (size_t)got;
    int result = 0;
    while (server->wrong == NULL && (result = billet_guest_decode(&server->decoder, &frame)) > 0)
        take_frame(server, &frame);
    if (result < 0)
        server->wrong = "what comes is not a frame";
}

static void
take_signals(struct server *server)
{
    struct signalfd_siginfo info[4]; /* of each signal that is waited for one at most is there */
    ssize_t got = read(server->signals, info, sizeof(info));
    for (ssize_t i = 0; got > 0 && i < got / (ssize_t)sizeof(info[0]); i++) {
        if (info[i].ssi_signo == SIGCHLD)
            reap(server);
        else
            server->over = true;
    }
}

static int
time_left(const struct server *server)
{
    int64_t next = server->silence_ns > 0 ? server->heard_at + server->silence_ns : 0;
    for (size_t i = 0; i < server->count; i++) {
        int64_t candidate = guest_execution_next(server->executions[i]);
        if (candidate != 0 && (next == 0 || candidate < next))
            next = candidate;
    }
    if (server->link.put_off != 0 && (next == 0 || server->link.put_off < next))
        next = server->link.put_off;
    if (server->idle_at != 0 && (next == 0 || server->idle_at < next))
        next = server->idle_at;
    if (next == 0)
        return -1;
    int64_t left = next - billet_clock_monotonic();
    return left <= 0 ? 0 : left / 1000000 >= 1000000 ? 1000000000 : (int)(left / 1000000) + 1;
}

static void
turn(struct server *server)
{
    guest_execution_free(server->ended);
    server->ended = NULL;
    for (size_t i = server->count; i-- > 0;) {
        if (guest_execution_turn(server->executions[i], server->count == 1)) {
            guest_execution_free(server->ended);
            server->ended = server->executions[i];
            server->executions[i] = server->executions[--server->count];
            server->idle_at = billet_clock_monotonic() + IDLE_NS;
        }
    }
    if (server->idle_at != 0 && billet_clock_monotonic() >= server->idle_at) {
        if (server->count == 0)
            guest_child_make_ahead();
        server->idle_at = 0;
    }
    if (server->silence_ns > 0 && billet_clock_monotonic() - server->heard_at >= server->silence_ns)
        server->over = true;
}

static void
serve(struct server *server)
{
    static struct pollfd fds[3 + BILLET_GUEST_CHANNELS * GUEST_EXECUTION_FDS];
    while (!server->over && server->wrong == NULL && !server->link.broken) {
        size_t waiting = guest_link_waiting(&server->link), count = server->count;
        fds[0] = (struct pollfd){.fd = server->signals, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = waiting < QUEUE_MAX ? STDIN_FILENO : -1, .events = POLLIN};
        /* Also a reader that went away is noticed by it. */
        bool writes = waiting > 0 && server->link.put_off == 0;
        fds[2] = (struct pollfd){.fd = STDOUT_FILENO, .events = writes ? POLLOUT : 0};
        for (size_t i = 0; i < count; i++)
            guest_execution_prepare(server->executions[i], fds + 3 + i * GUEST_EXECUTION_FDS);
        if (poll(fds, (nfds_t)(3 + count * GUEST_EXECUTION_FDS), time_left(server)) < 0 &&
            errno != EINTR)
            break;
        for (size_t i = 0; i < count; i++)
            guest_execution_step(server->executions[i], fds + 3 + i * GUEST_EXECUTION_FDS);
        if (fds[0].revents != 0)
            take_signals(server);
        if (fds[1].revents != 0)
            read_client(server);
        if ((fds[2].revents & (POLLERR | POLLHUP)) != 0)
            server->over = true;
        turn(server);
        guest_link_flush(&server->link);
    }
}

/* Nothing of it outlives the channel. */
static void
kill_everything(void)
{
    struct guest_tree all = {.label = ""};
    int64_t deadline = billet_clock_monotonic() + END_NS;
    while (guest_processes_kill(&all) > 0 && billet_clock_monotonic() < deadline) {
        poll(NULL, 0, 5);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

static bool
is_nonce(const char *text)
{
    return strlen(text) == BILLET_GUEST_NONCE &&
           strspn(text, "0123456789abcdef") == BILLET_GUEST_NONCE;
}

int
guest_serve(int argc, char **argv)
{
    static struct server server;
    sigset_t wanted;
    if (argc != 2 || !is_nonce(argv[1])) {
        fprintf(stderr, "usage: billet-guest serve NONCE (32 hexadecimal digits)\n");
        return GUEST_EXIT_USAGE;
    }
    /* Commands get descriptors 0 to 2 only; what came with us is not theirs. */
    for (int fd = 3; fd < 256; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGINT);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    /* Commands are to have every signal as it is by default, whatever sshd was started with. */
    for (int number = 1; number <= SIGRTMAX; number++)
        signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
/* qemu-user does not pass this call on: a test that runs the guest of another architecture in it
 * has set it before. */
#ifdef GUEST_TEST_SUBREAPER_IS_SET
    bool reaps = true;
#else
    bool reaps = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
#endif
    server.signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server.signals < 0 || !reaps) {
        fprintf(stderr, "billet-guest: cannot watch over processes here\n");
        return GUEST_EXIT_FAILED;
    }
    server.link.to = STDOUT_FILENO;
    server.heard_at = billet_clock_monotonic();
    /* Before the hello is answered nothing must hang for ever. */
    server.silence_ns = 60 * BILLET_NS_PER_SECOND;
    greet(&server, argv[1]);
    fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    serve(&server);
    if (server.wrong != NULL)
        fprintf(stderr, "billet-guest: %s\n", server.wrong);
    guest_child_drop_ahead();
    if (!server.keep)
        kill_everything();
    guest_execution_free(server.ended);
    for (size_t i = 0; i < server.count; i++)
        guest_execution_free(server.executions[i]);
    guest_link_free(&server.link);
    billet_guest_decoder_free(&server.decoder);
    return server.wrong != NULL ? GUEST_EXIT_FAILED : 0;
}
