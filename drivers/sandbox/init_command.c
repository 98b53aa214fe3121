/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_command.c - one command: the process that becomes it, and its supervisor, which stays with
 * it. Both are made ahead, so that a command finds them ready. The command's process was confined
 * before it waits at the door; it takes the driver's connection and the order, hands the connection
 * to its supervisor, which speaks with the driver from then on, and executes.
 *
 * Several supervisors live beside each other; none knows of another. What a command leaves behind
 * passes to process 1 when its supervisor ends, and lives on with the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"
#include "landlock.h"

#define EXIT_LOST 70     /* nobody reads it */
#define HEAP_AHEAD 16384 /* touched before a command comes, which needs some of it */

struct order_view {
    const struct sandbox_order *header;
    const char *directory;
    const char **arguments;
    const char **environment;
};

/* What the command's process tells its supervisor, in this order, beside SANDBOX_CANNOT_EXECUTE and
 * _ENTER. The driver's connection comes with the first word after it was made. */
enum word {
    WORD_CONFINED = 100, /* value: errno of Landlock, 0: in force */
    WORD_CONNECTED,      /* only when the driver lets it wait for the order */
    WORD_BEGINS,         /* the order came */
    WORD_TERMINAL,       /* the same; it awaits a terminal of value rows and kind columns */
    WORD_UNPREPARED,     /* it ends; text, value: errno or 0 */
};

/* All of a memfd; NULL with errno. Stays until the process executes. */
static const void *
map_order(int fd, size_t *size)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return NULL;
    *size = (size_t)status.st_size;
    if (*size < sizeof(struct sandbox_order)) {
        errno = 0;
        return NULL;
    }
    const void *bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    return bytes != MAP_FAILED ? bytes : NULL;
}

/* NULL, or what is wrong with it. */
static const char *
read_order(const void *bytes, size_t size, struct order_view *order)
{
    if (size < sizeof(struct sandbox_order))
        return "the order is cut short";
    order->header = bytes;
    if (order->header->magic != SANDBOX_MAGIC || order->header->version != SANDBOX_VERSION ||
        order->header->size != size)
        return "driver and billet-sandbox-init are of different versions";
    const char *at = (const char *)bytes + sizeof(struct sandbox_order);
    const char *end = (const char *)bytes + size;
    const char **directory = inside_strings(&at, end, 1);
    order->arguments = inside_strings(&at, end, order->header->argument_count);
    order->environment = inside_strings(&at, end, order->header->environment_count);
    if (directory == NULL || order->arguments == NULL || order->environment == NULL)
        return "the order is cut short";
    order->directory = directory[0];
    free(directory);
    return order->header->argument_count > 0 ? NULL : "the order names no command";
}

/* ---- the command, before it executes ---------------------------------------------- */

static const char *
environment_value(const struct order_view *order, const char *name)
{
    size_t length = strlen(name);
    for (const char **at = order->environment; *at != NULL; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return NULL;
}

/* As execvp(3) with the command's own PATH, without its shell fallback. Returns errno. */
static int
execute(const struct order_view *order)
{
    char *const *arguments = (char *const *)(uintptr_t)order->arguments;
    char *const *environment = (char *const *)(uintptr_t)order->environment;
    const char *name = order->arguments[0];
    const char *path = environment_value(order, "PATH");
    char file[4096];
    int result = ENOENT;

    if (name[0] == '\0')
        return ENOENT;
    if (strchr(name, '/') != NULL) {
        execve(name, arguments, environment);
        return errno;
    }
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; at != NULL;) {
        const char *colon = strchr(at, ':');
        size_t length = colon != NULL ? (size_t)(colon - at) : strlen(at);
        int written =
            snprintf(file, sizeof(file), "%.*s%s%s", (int)length, at, length > 0 ? "/" : "", name);
        at = colon != NULL ? colon + 1 : NULL;
        if (written < 0 || (size_t)written >= sizeof(file))
            continue;
        execve(file, arguments, environment);
        if (errno == EACCES)
            result = faccessat(AT_FDCWD, file, F_OK, 0) == 0 ? EACCES : result;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return result;
}

static struct sandbox_begin begin; /* of the command's process */

/* The process that becomes the command. */
struct child {
    struct inside *inside;
    int supervisor; /* a connection */
    int driver;     /* the same, -1: none, or handed over already */
    int landlock_errno;
    int streams[3];
    struct order_view order;
};

static void
say(struct child *self, uint32_t word, int value, int kind, const char *text)
{
    struct sandbox_message message = {.type = word, .value = value, .kind = (uint32_t)kind};
    snprintf(message.text, sizeof(message.text), "%s", text);
    /* A command without its supervisor would have no time limit. */
    if (!inside_say(self->supervisor, &message, self->driver, false))
        _exit(127);
    if (self->driver >= 0)
        close(self->driver);
    self->driver = -1;
}

static void __attribute__((noreturn))
fail(struct child *self, uint32_t word, const char *text, int sys_errno)
{
    say(self, word, sys_errno, 0, text);
    _exit(127);
}

static void
confine(struct child *self)
{
    const struct sandbox_setup *setup = self->inside->setup;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        fail(self, WORD_UNPREPARED, "cannot follow the supervisor's death", errno);
    if (setsid() < 0)
        fail(self, WORD_UNPREPARED, "cannot begin a session", errno);
    if ((setup->flags & SANDBOX_NO_LANDLOCK) == 0)
        self->landlock_errno =
            sandbox_landlock_apply(self->inside->readable, setup->readable_count);
    say(self, WORD_CONFINED, self->landlock_errno, 0, "");
}

/* Wait at the door. A process of this very process namespace has a number in it; the driver, which
 * is outside, has none: whatever of the workload might reach the door's name, it gets nothing. */
static int
await_driver(const struct inside *inside)
{
    for (;;) {
        struct ucred peer = {.pid = -1};
        socklen_t size = sizeof(peer);
        int driver = accept4(SANDBOX_FD_DOOR, NULL, NULL, SOCK_CLOEXEC);
        if (driver < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN))
            continue;
        if (driver < 0)
            _exit(127);
        if (!inside->is_first ||
            (getsockopt(driver, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0))
            return driver;
        close(driver);
    }
}

/* The supervisor learns of a driver that lets us wait, since another one may knock meanwhile; else
 * of the driver and the order at once. */
static size_t
await_order(struct child *self, int fds[SANDBOX_EXEC_FDS])
{
    int driver = self->driver;
    int got = inside_hear(driver, &begin, sizeof(begin), fds, SANDBOX_EXEC_FDS, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
        sched_yield(); /* it may wait for this very processor */
        got = inside_hear(driver, &begin, sizeof(begin), fds, SANDBOX_EXEC_FDS, MSG_DONTWAIT);
    }
    if (got < 0 && errno == EAGAIN) {
        driver = fcntl(driver, F_DUPFD_CLOEXEC, 3);
        say(self, WORD_CONNECTED, 0, 0, "");
        got = inside_hear(driver, &begin, sizeof(begin), fds, SANDBOX_EXEC_FDS, 0);
        close(driver);
    }
    if (got <= 0)
        _exit(127); /* it changed its mind */
    size_t behind = (size_t)got - sizeof(begin.message);
    if (begin.message.type != SANDBOX_EXEC || fds[2] < 0 ||
        begin.message.value != (int32_t)behind || (behind == 0 && fds[3] < 0))
        fail(self, WORD_UNPREPARED, "the driver said something else than a command", 0);
    return behind;
}

/* After a fork each page costs a fault when it is first written to: not while a command begins. */
static void
touch_memory(void)
{
    void *heap = malloc(HEAP_AHEAD);
    if (heap != NULL)
        explicit_bzero(heap, HEAP_AHEAD);
    free(heap);
    explicit_bzero(&begin, sizeof(begin));
}

static void
take_order(struct child *self)
{
    struct sandbox_message terminal;
    int fds[SANDBOX_EXEC_FDS];
    size_t size = await_order(self, fds);
    const void *bytes = size > 0 ? begin.order : map_order(fds[3], &size);
    if (bytes == NULL)
        fail(self, WORD_UNPREPARED, errno != 0 ? "cannot read the order" : "the order is cut short",
             errno);
    const char *wrong = read_order(bytes, size, &self->order);
    if (wrong != NULL)
        fail(self, WORD_UNPREPARED, wrong, 0);
    memcpy(self->streams, fds, sizeof(self->streams));
    if ((self->order.header->flags & SANDBOX_PTY) == 0) {
        say(self, WORD_BEGINS, 0, 0, "");
        return;
    }
    say(self, WORD_TERMINAL, self->order.header->rows, self->order.header->columns, "");
    int side;
    if (inside_hear(self->supervisor, &terminal, sizeof(terminal), &side, 1, 0) <= 0 || side < 0)
        _exit(127); /* the supervisor said why */
    for (int i = 0; i < 3; i++)
        self->streams[i] = side;
}

static void
place_streams(struct child *self)
{
    if ((self->order.header->flags & SANDBOX_PTY) != 0 && ioctl(self->streams[0], TIOCSCTTY, 0) < 0)
        fail(self, WORD_UNPREPARED, "cannot take the terminal", errno);
    /* They are all above 2: 0, 1 and 2 are never closed here. */
    for (int i = 0; i < 3; i++)
        if (dup2(self->streams[i], i) < 0)
            fail(self, WORD_UNPREPARED, "cannot place the streams", errno);
}

/* It is in a session of its own and under Landlock before it learns what to execute. */
static void __attribute__((noreturn)) child_main(struct inside *inside, int supervisor, int go)
{
    struct child self = {.inside = inside, .supervisor = supervisor, .driver = -1};
    const struct sandbox_setup *setup = inside->setup;

    confine(&self);
    if (go >= 0 && !inside_may_go(inside, go, self.landlock_errno))
        _exit(127);
    touch_memory();
    self.driver = await_driver(inside);
    close(SANDBOX_FD_DOOR);
    /* What a later one was refused, the first one had: then a command must not go without. */
    if (self.landlock_errno != 0 && (setup->flags & SANDBOX_ALLOW_DEGRADED) == 0)
        fail(&self, WORD_UNPREPARED, "cannot confine the command with Landlock",
             self.landlock_errno);
    take_order(&self);
    place_streams(&self);
#ifdef SYS_close_range
    /* All are marked already; this is for the day that one is forgotten. 4: CLOSE_RANGE_CLOEXEC */
    if ((setup->flags & SANDBOX_KEEP_FDS) == 0)
        syscall(SYS_close_range, 3u, ~0u, 4u);
#endif
    struct rlimit data = {.rlim_cur = setup->data_limit, .rlim_max = setup->data_limit};
    if (setup->data_limit != 0 && setrlimit(RLIMIT_DATA, &data) < 0)
        fail(&self, WORD_UNPREPARED, "cannot set a limit", errno);
    if (chdir(self.order.directory) < 0)
        fail(&self, SANDBOX_CANNOT_ENTER, "", errno);
    fail(&self, SANDBOX_CANNOT_EXECUTE, "", execute(&self.order));
}

/* ---- the supervisor ------------------------------------------------------------------ */

struct supervised {
    const struct inside *inside;
    pid_t child;
    int pair;   /* to the child */
    int driver; /* the connection, once there is one */
};

static void __attribute__((noreturn))
broken(const struct supervised *self, const char *what, int sys_errno)
{
    struct sandbox_message message = {.type = SANDBOX_BROKEN, .value = sys_errno};
    snprintf(message.text, sizeof(message.text), "%s", what);
    inside_say(self->driver, &message, -1, false);
    inside_tree_kill(0);
    _exit(EXIT_LOST);
}

static void
report(int socket, enum supervisor_event event, int value)
{
    struct supervisor_report report = {.event = event, .value = value};
    if (write(socket, &report, sizeof(report)) != sizeof(report))
        _exit(EXIT_LOST);
}

/* Of the sandbox's own devpts. Returns the command's side; the master goes to the driver. */
static int
make_terminal(const struct supervised *self, const struct sandbox_message *wanted)
{
    char path[64];
    int number = 0, unlock = 0;
    struct winsize size = {.ws_row = (unsigned short)wanted->value,
                           .ws_col = (unsigned short)wanted->kind};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(master, TIOCGPTN, &number) < 0)
        broken(self, "cannot make a terminal", errno);
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        broken(self, "cannot open the terminal", errno);
    ioctl(master, TIOCSWINSZ, &size);
    const struct sandbox_message message = {.type = SANDBOX_TERMINAL};
    inside_say(self->driver, &message, master, false);
    close(master);
    return slave;
}

/* Hear what the command's process says until the command begins. */
static void
await_command(struct supervised *self, int report_fd)
{
    struct sandbox_message word;
    bool taken = false;
    int connection;

    for (;;) {
        if (inside_hear(self->pair, &word, sizeof(word), &connection, 1, 0) <= 0)
            _exit(0); /* no command came */
        if (connection >= 0)
            self->driver = connection;
        if (word.type != WORD_CONNECTED)
            break;
        report(report_fd, SUPERVISOR_TAKEN, 0);
        taken = true;
    }
    if (word.type != WORD_BEGINS && word.type != WORD_TERMINAL)
        broken(self, word.text, word.value);
    if (self->inside->missing[0] != '\0') {
        struct sandbox_message missing = {.type = SANDBOX_MISSING};
        memcpy(missing.text, self->inside->missing, sizeof(missing.text));
        inside_say(self->driver, &missing, -1, false);
    }
    if (word.type == WORD_TERMINAL) {
        int side = make_terminal(self, &word);
        inside_say(self->pair, &word, side, false);
        close(side);
    }
    const struct sandbox_message started = {.type = SANDBOX_STARTED, .value = self->child};
    inside_say(self->driver, &started, -1, false);
    if (!taken)
        report(report_fd, SUPERVISOR_TAKEN, 0);
}

static void __attribute__((noreturn)) finish(const struct supervised *self)
{
    struct sandbox_message message = {.type = SANDBOX_ENDED};
    struct sandbox_message word;
    struct rusage usage;
    int status = 0;

    memset(&usage, 0, sizeof(usage));
    while (wait4(self->child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            broken(self, "lost the command", errno);
    message.max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    message.cpu_ns = ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                     ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    if (inside_hear(self->pair, &word, sizeof(word), NULL, 0, MSG_DONTWAIT) > 0) {
        if (word.type == WORD_UNPREPARED)
            broken(self, word.text, word.value);
        message.kind = word.type;
        message.value = word.value;
    } else if (WIFSIGNALED(status)) {
        message.kind = SANDBOX_SIGNALLED;
        message.value = WTERMSIG(status);
    } else {
        message.kind = SANDBOX_EXITED;
        message.value = WEXITSTATUS(status);
    }
    inside_say(self->driver, &message, -1, false);
    sched_yield(); /* the driver first, if it waits for this very processor: an end takes time */
    _exit(0);
}

static void
end_tree(const struct supervised *self)
{
    if (!inside_tree_kill(self->child))
        broken(self, "some processes of the command cannot be killed", 0);
}

/* False when the driver has gone. */
static bool
listen_to_driver(const struct supervised *self)
{
    struct sandbox_message message;
    int got = inside_hear(self->driver, &message, sizeof(message), NULL, 0, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    if (message.type == SANDBOX_SIGNAL && message.value > 0 && message.value <= SIGRTMAX) {
        if (kill(-self->child, message.value) < 0)
            kill(self->child, message.value);
    } else if (message.type == SANDBOX_KILL) {
        end_tree(self);
    }
    return true;
}

static void __attribute__((noreturn)) live(const struct supervised *self)
{
    struct pollfd watched[2] = {{.fd = self->inside->signals, .events = POLLIN},
                                {.fd = self->driver, .events = POLLIN}};
    for (;;) {
        if (poll(watched, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            broken(self, "cannot wait", errno);
        }
        if (watched[0].revents != 0) {
            struct signalfd_siginfo information;
            ssize_t ignored = read(watched[0].fd, &information, sizeof(information));
            (void)ignored;
            if (inside_reap(self->child))
                finish(self);
        }
        if (watched[1].revents != 0 && !listen_to_driver(self)) {
            inside_tree_kill(0);
            _exit(EXIT_LOST);
        }
    }
}

static void __attribute__((noreturn)) supervisor_main(struct inside *inside, int report_fd, int go)
{
    struct supervised self = {.inside = inside, .driver = -1};
    struct sandbox_message confined;
    int pair[2];

    close(SANDBOX_FD_OWNER);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        _exit(EXIT_LOST);
    /* Neither may be traced or looked into by the commands beside it; execve(2) resets it. */
    if ((inside->setup->flags & SANDBOX_TRACEABLE) == 0)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    self.child = fork();
    if (self.child < 0)
        _exit(EXIT_LOST);
    if (self.child == 0) {
        close(pair[0]);
        close(report_fd);
        child_main(inside, pair[1], go);
    }
    close(pair[1]);
    close(SANDBOX_FD_DOOR);
    self.pair = pair[0];
    if (inside_hear(self.pair, &confined, sizeof(confined), NULL, 0, 0) <= 0)
        _exit(EXIT_LOST);
    int landlock_errno = confined.type == WORD_CONFINED ? confined.value : EIO;
    bool may = go < 0 || inside_may_go(inside, go, landlock_errno);
    report(report_fd, SUPERVISOR_CONFINED, landlock_errno);
    if (!may)
        _exit(0);
    await_command(&self, report_fd);
    live(&self);
}

bool
inside_supervise(const struct inside *inside, bool await_go, struct supervisor *supervisor)
{
    int report_ends[2], go[2] = {-1, -1};
    if (pipe2(report_ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    if (await_go && pipe2(go, O_CLOEXEC) < 0) {
        close(report_ends[0]);
        close(report_ends[1]);
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct inside copy = *inside;
        close(report_ends[0]);
        if (await_go)
            close(go[1]);
        supervisor_main(&copy, report_ends[1], go[0]);
    }
    int failure = errno;
    close(report_ends[1]);
    if (await_go)
        close(go[0]);
    if (pid < 0) {
        close(report_ends[0]);
        if (await_go)
            close(go[1]);
        errno = failure;
        return false;
    }
    *supervisor = (struct supervisor){.pid = pid, .report = report_ends[0], .go = go[1]};
    return true;
}
