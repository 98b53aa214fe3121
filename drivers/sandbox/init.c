/* SPDX-License-Identifier: Apache-2.0 */
/*
 * billet-sandbox-init - process 1 of a sandbox: takes its order from the driver,
 * checks that every protection is in force, confines the command with Landlock,
 * starts it, passes signals on, reaps, and reports how it ended. When it ends,
 * the kernel kills whatever else is in the sandbox.
 *
 * Static, uses nothing but libc. Trusts the driver, nothing else; the command
 * can neither trace nor signal it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
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

#include "check.h"
#include "landlock.h"
#include "protocol.h"

#define EXIT_LOST 70 /* the driver went away or sent nonsense; nobody reads it */

static struct order_view {
    const struct sandbox_order *header;
    const char *directory;
    const char **arguments;
    const char **environment;
    const char **mounts;
    const char **readable;
} order;

static void
say(const struct sandbox_message *message, int fd, bool credentials)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    memset(&control, 0, sizeof(control));
    if (fd >= 0 || credentials) {
        header.msg_control = control.bytes;
        header.msg_controllen =
            credentials ? CMSG_SPACE(sizeof(struct ucred)) : CMSG_SPACE(sizeof(int));
        struct cmsghdr *item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        if (credentials) {
            struct ucred ucred = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
            item->cmsg_type = SCM_CREDENTIALS;
            item->cmsg_len = CMSG_LEN(sizeof(ucred));
            memcpy(CMSG_DATA(item), &ucred, sizeof(ucred));
        } else {
            item->cmsg_type = SCM_RIGHTS;
            item->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(item), &fd, sizeof(int));
        }
    }
    while (sendmsg(SANDBOX_FD_CONTROL, &header, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            _exit(EXIT_LOST);
}

static void __attribute__((noreturn)) broken(const char *what, int sys_errno)
{
    struct sandbox_message message = {.type = SANDBOX_BROKEN, .value = sys_errno};
    snprintf(message.text, sizeof(message.text), "%s", what);
    say(&message, -1, false);
    _exit(EXIT_LOST);
}

/* Point count strings of the order, beginning at *at, and a NULL. */
static const char **
take_strings(const char **at, const char *end, uint32_t count)
{
    if (count > (uint64_t)(end - *at))
        broken("the order is cut short", 0);
    const char **list = calloc((size_t)count + 1, sizeof(*list));
    if (list == NULL)
        broken("no memory for the order", ENOMEM);
    for (uint32_t i = 0; i < count; i++) {
        const char *stop = memchr(*at, '\0', (size_t)(end - *at));
        if (stop == NULL)
            broken("the order is cut short", 0);
        list[i] = *at;
        *at = stop + 1;
    }
    return list;
}

static void
read_order(void)
{
    struct stat status;
    if (fstat(SANDBOX_FD_ORDER, &status) < 0)
        broken("cannot read the order", errno);
    if (status.st_size < (off_t)sizeof(struct sandbox_order))
        broken("the order is cut short", 0);
    size_t size = (size_t)status.st_size;
    const void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, SANDBOX_FD_ORDER, 0);
    if (bytes == MAP_FAILED)
        broken("cannot read the order", errno);
    close(SANDBOX_FD_ORDER);
    order.header = bytes;
    if (order.header->magic != SANDBOX_MAGIC || order.header->version != SANDBOX_VERSION ||
        order.header->size != size)
        broken("driver and billet-sandbox-init are of different versions", 0);
    const char *at = (const char *)bytes + sizeof(struct sandbox_order);
    const char *end = (const char *)bytes + size;
    const char **directory = take_strings(&at, end, 1);
    order.directory = directory[0];
    order.arguments = take_strings(&at, end, order.header->argument_count);
    order.environment = take_strings(&at, end, order.header->environment_count);
    order.mounts = take_strings(&at, end, order.header->mount_count);
    order.readable = take_strings(&at, end, order.header->readable_count);
    if (order.header->argument_count == 0)
        broken("the order names no command", 0);
}

static void
limit(int resource, uint64_t value)
{
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};
    if (value != 0 && setrlimit((__rlimit_resource_t)resource, &limits) < 0)
        broken("cannot set a limit", errno);
}

/* ---- the command ---------------------------------------------------------- */

/* What the child tells before it executes: 0 bytes on success. */
struct failure {
    uint32_t kind; /* SANDBOX_CANNOT_*, SANDBOX_BROKEN */
    int32_t sys_errno;
};

static const char *
environment_value(const char *name)
{
    size_t length = strlen(name);
    for (const char **at = order.environment; *at != NULL; at++)
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
            return *at + length + 1;
    return NULL;
}

/* As execvp(3) with the command's own PATH, without its shell fallback. Returns errno. */
static int
execute(void)
{
    char *const *arguments = (char *const *)(uintptr_t)order.arguments;
    char *const *environment = (char *const *)(uintptr_t)order.environment;
    const char *name = order.arguments[0];
    const char *path = environment_value("PATH");
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

static void __attribute__((noreturn)) child_fail(int report, uint32_t kind, int sys_errno)
{
    struct failure failure = {.kind = kind, .sys_errno = sys_errno};
    ssize_t ignored = write(report, &failure, sizeof(failure));
    (void)ignored;
    _exit(127);
}

/* ready: written to once Landlock is in force; go: read before the command executes. */
static void __attribute__((noreturn)) child_main(int terminal, int ready, int go, int report)
{
    sigset_t none;
    char byte = 0;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setsid() < 0)
        child_fail(report, SANDBOX_BROKEN, errno);
    if (terminal >= 0) {
        if (ioctl(terminal, TIOCSCTTY, 0) < 0 || dup2(terminal, 0) < 0 || dup2(terminal, 1) < 0 ||
            dup2(terminal, 2) < 0)
            child_fail(report, SANDBOX_BROKEN, errno);
    }
    int failure = 0;
    if ((order.header->flags & SANDBOX_NO_LANDLOCK) == 0)
        failure = sandbox_landlock_apply(order.readable, order.header->readable_count);
    if (write(ready, &failure, sizeof(failure)) != sizeof(failure))
        _exit(127);
    if (read(go, &byte, 1) != 1)
        _exit(127);
    if (chdir(order.directory) < 0)
        child_fail(report, SANDBOX_CANNOT_ENTER, errno);
    child_fail(report, SANDBOX_CANNOT_EXECUTE, execute());
}

/* ---- the terminal ----------------------------------------------------------- */

/* Of the sandbox's own devpts. Returns the command's side; the master went to the driver. */
static int
make_terminal(void)
{
    char path[64];
    int number = 0, unlock = 0;
    struct winsize size = {.ws_row = (unsigned short)order.header->rows,
                           .ws_col = (unsigned short)order.header->columns};
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(master, TIOCGPTN, &number) < 0)
        broken("cannot make a terminal", errno);
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        broken("cannot open the terminal", errno);
    ioctl(master, TIOCSWINSZ, &size);
    struct sandbox_message message = {.type = SANDBOX_TERMINAL};
    say(&message, master, false);
    close(master);
    return slave;
}

/* ---- life ---------------------------------------------------------------------- */

static void
tell_end(pid_t pid, int report)
{
    struct sandbox_message message = {.type = SANDBOX_ENDED};
    struct rusage usage;
    struct failure failure;
    int status = 0;

    memset(&usage, 0, sizeof(usage));
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR)
            broken("lost the command", errno);
    message.max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    message.cpu_ns = ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
                     ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    if (read(report, &failure, sizeof(failure)) == (ssize_t)sizeof(failure)) {
        message.kind = failure.kind;
        message.value = failure.sys_errno;
        if (failure.kind == SANDBOX_BROKEN)
            broken("cannot prepare the command", failure.sys_errno);
    } else if (WIFSIGNALED(status)) {
        message.kind = SANDBOX_SIGNALLED;
        message.value = WTERMSIG(status);
    } else {
        message.kind = SANDBOX_EXITED;
        message.value = WEXITSTATUS(status);
    }
    say(&message, -1, false);
}

/* Reap what the sandbox orphaned, but leave the command: its usage is read at the end. True once
 * the command itself has ended. */
static bool
reap(pid_t command)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return false;
        if (info.si_pid == command)
            return true;
        waitpid(info.si_pid, NULL, 0);
    }
}

/* False when the driver has gone. */
static bool
listen_to_driver(pid_t command)
{
    struct sandbox_message message;
    ssize_t got =
        recv(SANDBOX_FD_CONTROL, &message, sizeof(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got != (ssize_t)sizeof(message))
        return false;
    if (message.type == SANDBOX_SIGNAL && message.value > 0 && message.value <= SIGRTMAX) {
        if (kill(-command, message.value) < 0)
            kill(command, message.value);
    }
    return true;
}

static void
live(pid_t command, int signals, int report)
{
    struct pollfd watched[2] = {{.fd = signals, .events = POLLIN},
                                {.fd = SANDBOX_FD_CONTROL, .events = POLLIN}};
    for (;;) {
        if (poll(watched, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            broken("cannot wait", errno);
        }
        if (watched[0].revents != 0) {
            struct signalfd_siginfo information;
            if (read(signals, &information, sizeof(information)) < 0 && errno != EAGAIN &&
                errno != EINTR)
                broken("cannot wait", errno);
            if (reap(command)) {
                tell_end(command, report);
                return;
            }
        }
        if (watched[1].revents != 0 && !listen_to_driver(command))
            _exit(EXIT_LOST);
    }
}

static void
add_missing(char *text, size_t size, const char *name)
{
    size_t length = strlen(text);
    snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

/* Says what is missing; true when the command may start. message: what sandbox_check found. */
static bool
self_check(struct sandbox_message *message, int landlock, bool clean_descriptors)
{
    if (landlock != 0 || (order.header->flags & SANDBOX_NO_LANDLOCK) != 0)
        add_missing(message->text, sizeof(message->text), "landlock");
    /* With the host's network only Landlock keeps its abstract sockets away. */
    if (landlock == 0 && (order.header->flags & SANDBOX_SHARED_NETWORK) != 0 &&
        sandbox_landlock_abi() < SANDBOX_LANDLOCK_SCOPES)
        add_missing(message->text, sizeof(message->text), "closed abstract sockets");
    if (!clean_descriptors)
        add_missing(message->text, sizeof(message->text), "closed descriptors");
    if (message->text[0] == '\0')
        return true;
    say(message, -1, false);
    if ((order.header->flags & SANDBOX_ALLOW_DEGRADED) != 0)
        return true;
    struct sandbox_message end = {.type = SANDBOX_ENDED, .kind = SANDBOX_REFUSED};
    say(&end, -1, false);
    return false;
}

static void
close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    struct rlimit limits = {.rlim_cur = 4096};
    getrlimit(RLIMIT_NOFILE, &limits);
    for (unsigned fd = first; fd < limits.rlim_cur && fd < 1048576; fd++)
        close((int)fd);
}

static void
set_cloexec(int fd)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        broken("cannot prepare the descriptors", errno);
}

int
main(void)
{
    struct sandbox_message hello = {.type = SANDBOX_HELLO};
    int ready[2], go[2], report[2], landlock = 0;
    sigset_t mask;

    /* The driver's death must end the sandbox; bwrap asked for it, but only of bwrap's own. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        broken("cannot follow the driver's death", errno);
    say(&hello, -1, true);
    bool clean_descriptors = sandbox_check_descriptors();
    read_order();
    if (!clean_descriptors && (order.header->flags & SANDBOX_KEEP_FDS) == 0)
        close_from(SANDBOX_FD_LIMIT);
    const struct sandbox_order *header = order.header;
    if (dup2(SANDBOX_FD_STDERR, 2) < 0)
        broken("cannot prepare the descriptors", errno);
    close(SANDBOX_FD_STDERR);
    set_cloexec(SANDBOX_FD_CONTROL);

    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    /* Before other descriptors are made: only what came from outside is looked at. */
    int terminal = (header->flags & SANDBOX_PTY) != 0 ? make_terminal() : -1;
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0 ||
        pipe2(report, O_CLOEXEC) < 0)
        broken("cannot prepare the command", errno);
    limit(RLIMIT_NPROC, header->process_limit);
    pid_t command = fork();
    if (command < 0)
        broken("cannot make a process", errno);
    if (command == 0) {
        close(go[1]); /* so that our end is the one that counts */
        limit(RLIMIT_DATA, header->data_limit);
        child_main(terminal, ready[1], go[0], report[1]);
    }
    if (terminal >= 0) {
        close(terminal);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        close(null);
    }
    close(ready[1]);
    close(go[0]);
    close(report[1]);
    /* While the child puts itself under Landlock. */
    struct sandbox_message found = {.type = SANDBOX_MISSING};
    sandbox_check(order.header, order.mounts, found.text, sizeof(found.text));
    if (read(ready[0], &landlock, sizeof(landlock)) != sizeof(landlock))
        broken("the command ended before it began", 0);
    close(ready[0]);
    if (!self_check(&found, landlock, clean_descriptors))
        return 0;
    /* From here on the command may live: no tracing, no /proc/1/fd. Not before, since it hides our
     * own /proc entries from us too. */
    if ((header->flags & SANDBOX_TRACEABLE) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        broken("cannot hide process 1", errno);
    if (write(go[1], "", 1) != 1)
        broken("the command ended before it began", errno);
    close(go[1]);
    struct sandbox_message started = {.type = SANDBOX_STARTED, .value = command};
    say(&started, -1, false);
    live(command, signals, report[0]);
    return 0;
}
