/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_command.c - one command: its supervisor, a process that waits at the door and stays with it,
 * and the process that becomes the command, which was confined before it knows what it is to
 * execute. Both are made ahead, so that a command finds them ready.
 *
 * Several supervisors live beside each other; none knows of another. What a command leaves behind
 * passes to process 1 when its supervisor ends, and lives on with the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#define EXIT_LOST 70 /* nobody reads it */

struct order_view {
    const struct sandbox_order *header;
    const char *directory;
    const char **arguments;
    const char **environment;
};

/* What the command's process tells its supervisor: once about Landlock, and once more only when it
 * could not execute. */
#define CANNOT_PREPARE 100 /* beside SANDBOX_CANNOT_EXECUTE and _ENTER */
struct failure {
    uint32_t kind; /* 0: about Landlock */
    int32_t sys_errno;
    char text[64]; /* with CANNOT_PREPARE */
};

/* NULL, or what is wrong with it; *sys_errno: 0 when no call failed. */
static const char *
read_order(int fd, struct order_view *order, int *sys_errno)
{
    struct stat status;
    *sys_errno = 0;
    if (fstat(fd, &status) < 0) {
        *sys_errno = errno;
        return "cannot read the order";
    }
    if (status.st_size < (off_t)sizeof(struct sandbox_order))
        return "the order is cut short";
    size_t size = (size_t)status.st_size;
    const void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        *sys_errno = errno;
        return "cannot read the order";
    }
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

static void __attribute__((noreturn))
child_fail(int supervisor, uint32_t kind, const char *text, int sys_errno)
{
    struct failure failure = {.kind = kind, .sys_errno = sys_errno};
    snprintf(failure.text, sizeof(failure.text), "%s", text);
    ssize_t ignored = send(supervisor, &failure, sizeof(failure), MSG_NOSIGNAL);
    (void)ignored;
    _exit(127);
}

static void
place_streams(int supervisor, const struct order_view *order, const int *fds)
{
    if ((order->header->flags & SANDBOX_PTY) != 0 && ioctl(fds[1], TIOCSCTTY, 0) < 0)
        child_fail(supervisor, CANNOT_PREPARE, "cannot take the terminal", errno);
    /* They are all above 2: 0, 1 and 2 are never closed here. */
    for (int i = 0; i < 3; i++)
        if (dup2(fds[1 + i], i) < 0)
            child_fail(supervisor, CANNOT_PREPARE, "cannot place the streams", errno);
}

/* It is in a session of its own and under Landlock before it learns what to execute. */
static void __attribute__((noreturn)) child_main(const struct inside *inside, int supervisor)
{
    const struct sandbox_setup *setup = inside->setup;
    struct sandbox_message message;
    struct failure confined = {.kind = 0};
    struct order_view order;
    int fds[SANDBOX_EXEC_FDS], sys_errno;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A command without its supervisor would have no time limit. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        child_fail(supervisor, CANNOT_PREPARE, "cannot follow the supervisor's death", errno);
    if (setsid() < 0)
        child_fail(supervisor, CANNOT_PREPARE, "cannot begin a session", errno);
    if ((setup->flags & SANDBOX_NO_LANDLOCK) == 0)
        confined.sys_errno = sandbox_landlock_apply(inside->readable, setup->readable_count);
    if (send(supervisor, &confined, sizeof(confined), MSG_NOSIGNAL) < 0)
        _exit(127);
    if (inside_hear(supervisor, &message, fds, SANDBOX_EXEC_FDS, 0) != 1)
        _exit(127); /* the supervisor ended: no command came */
    const char *wrong = read_order(fds[0], &order, &sys_errno);
    if (wrong != NULL)
        child_fail(supervisor, CANNOT_PREPARE, wrong, sys_errno);
    place_streams(supervisor, &order, fds);
#ifdef SYS_close_range
    /* All are marked already; this is for the day that one is forgotten. 4: CLOSE_RANGE_CLOEXEC */
    if ((setup->flags & SANDBOX_KEEP_FDS) == 0)
        syscall(SYS_close_range, 3u, ~0u, 4u);
#endif
    struct rlimit data = {.rlim_cur = setup->data_limit, .rlim_max = setup->data_limit};
    if (setup->data_limit != 0 && setrlimit(RLIMIT_DATA, &data) < 0)
        child_fail(supervisor, CANNOT_PREPARE, "cannot set a limit", errno);
    if (chdir(order.directory) < 0)
        child_fail(supervisor, SANDBOX_CANNOT_ENTER, "", errno);
    child_fail(supervisor, SANDBOX_CANNOT_EXECUTE, "", execute(&order));
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

/* Wait at the door. A process of this very process namespace has a number in it; the driver, which
 * is outside, has none: whatever of the workload might reach the door's name, it gets nothing. */
static int
await_driver(void)
{
    for (;;) {
        struct ucred peer = {.pid = -1};
        socklen_t size = sizeof(peer);
        int driver = accept4(SANDBOX_FD_DOOR, NULL, NULL, SOCK_CLOEXEC);
        if (driver < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN))
            continue;
        if (driver < 0)
            _exit(EXIT_LOST);
        if (getppid() != 1 ||
            (getsockopt(driver, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0))
            return driver;
        close(driver);
    }
}

/* Of the sandbox's own devpts. Returns the command's side; the master goes to the driver. */
static int
make_terminal(const struct supervised *self, const struct sandbox_order *order)
{
    char path[64];
    int number = 0, unlock = 0;
    struct winsize size = {.ws_row = (unsigned short)order->rows,
                           .ws_col = (unsigned short)order->columns};
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

static bool
hand_over(int socket, const int *fds)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SANDBOX_EXEC_FDS)];
        struct cmsghdr align;
    } control;
    const struct sandbox_message message = {.type = SANDBOX_EXEC};
    struct iovec part = {.iov_base = (void *)(uintptr_t)&message, .iov_len = sizeof(message)};
    memset(&control, 0, sizeof(control));
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int) * SANDBOX_EXEC_FDS);
    memcpy(CMSG_DATA(item), fds, sizeof(int) * SANDBOX_EXEC_FDS);
    return sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}

/* Take the order; the command executes from now on. */
static void
begin(const struct supervised *self)
{
    struct sandbox_message message;
    int fds[SANDBOX_EXEC_FDS];
    struct stat status;

    if (inside_hear(self->driver, &message, fds, SANDBOX_EXEC_FDS, 0) != 1)
        _exit(0); /* it changed its mind */
    if (message.type != SANDBOX_EXEC || fds[SANDBOX_EXEC_FDS - 1] < 0)
        broken(self, "the driver said something else than a command", 0);
    if (self->inside->missing[0] != '\0') {
        struct sandbox_message missing = {.type = SANDBOX_MISSING};
        memcpy(missing.text, self->inside->missing, sizeof(missing.text));
        inside_say(self->driver, &missing, -1, false);
    }
    if (fstat(fds[0], &status) < 0 || status.st_size < (off_t)sizeof(struct sandbox_order))
        broken(self, "the order is cut short", 0);
    const struct sandbox_order *order =
        mmap(NULL, sizeof(*order), PROT_READ, MAP_PRIVATE, fds[0], 0);
    if (order == MAP_FAILED)
        broken(self, "cannot read the order", errno);
    bool pty = (order->flags & SANDBOX_PTY) != 0;
    if (pty) {
        for (int i = 1; i < SANDBOX_EXEC_FDS; i++)
            close(fds[i]);
        fds[1] = fds[2] = fds[3] = make_terminal(self, order);
    }
    /* The page has variables too, which may be secrets. */
    munmap((void *)(uintptr_t)order, sizeof(*order));
    if (!hand_over(self->pair, fds))
        broken(self, "the command's process ended before it began", 0);
    struct sandbox_message started = {.type = SANDBOX_STARTED, .value = self->child};
    inside_say(self->driver, &started, -1, false);
    close(fds[0]);
    close(fds[1]);
    if (!pty) {
        close(fds[2]);
        close(fds[3]);
    }
}

static void __attribute__((noreturn)) finish(const struct supervised *self)
{
    struct sandbox_message message = {.type = SANDBOX_ENDED};
    struct rusage usage;
    struct failure failure;
    int status = 0;

    memset(&usage, 0, sizeof(usage));
    while (wait4(self->child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            broken(self, "lost the command", errno);
    message.max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    message.cpu_ns = ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                     ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    if (recv(self->pair, &failure, sizeof(failure), MSG_DONTWAIT) == (ssize_t)sizeof(failure)) {
        if (failure.kind == CANNOT_PREPARE) {
            failure.text[sizeof(failure.text) - 1] = '\0';
            broken(self, failure.text, failure.sys_errno);
        }
        message.kind = failure.kind;
        message.value = failure.sys_errno;
    } else if (WIFSIGNALED(status)) {
        message.kind = SANDBOX_SIGNALLED;
        message.value = WTERMSIG(status);
    } else {
        message.kind = SANDBOX_EXITED;
        message.value = WEXITSTATUS(status);
    }
    inside_say(self->driver, &message, -1, false);
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
    int got = inside_hear(self->driver, &message, NULL, 0, MSG_DONTWAIT);
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
    struct failure confined;
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
        if (go >= 0)
            close(go);
        child_main(inside, pair[1]);
    }
    close(pair[1]);
    self.pair = pair[0];
    if (recv(self.pair, &confined, sizeof(confined), 0) != (ssize_t)sizeof(confined))
        _exit(EXIT_LOST);
    int landlock_errno = confined.kind == 0 ? confined.sys_errno : EIO;
    if (go >= 0 &&
        read(go, inside->missing, sizeof(inside->missing)) != (ssize_t)sizeof(inside->missing))
        _exit(0);
    report(report_fd, SUPERVISOR_CONFINED, landlock_errno);
    if (go >= 0 && inside_refuses(inside, landlock_errno))
        _exit(0);
    self.driver = await_driver();
    report(report_fd, SUPERVISOR_TAKEN, 0);
    close(SANDBOX_FD_DOOR);
    /* What a later one was refused, the first one had: then a command must not go without. */
    if (landlock_errno != 0 && (inside->setup->flags & SANDBOX_ALLOW_DEGRADED) == 0)
        broken(&self, "cannot confine the command with Landlock", landlock_errno);
    begin(&self);
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
