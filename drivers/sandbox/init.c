/* SPDX-License-Identifier: Apache-2.0 */
/*
 * billet-sandbox-init - process 1 of a sandbox: checks that every protection is in
 * force, keeps a supervisor ready at the door for the next command, reaps, and ends
 * with the driver that started it, unless that one said to stay. When it ends, the
 * kernel kills whatever else is in the sandbox.
 *
 * Static, uses nothing but libc. Trusts the driver, nothing else; a command can neither trace
 * nor signal it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "init.h"
#include "landlock.h"

#define EXIT_LOST 70 /* nobody reads it */
#define COMMANDS_MAX 128
/* Until another supervisor is made, unless a driver knocks before: not while a command begins. */
#define BEGIN_MS 50
#define RETRY_MS 50 /* when there was no room for one */

static struct inside inside;
static pid_t commands[COMMANDS_MAX]; /* supervisors with a command */
static size_t command_count;
static struct supervisor spare; /* the one at the door */
static int64_t due_ms;          /* when another one is made */
static bool full;               /* there was no room for it */
static bool keep;               /* stay without the owner */
static bool last;               /* no command follows: only who knocks gets a supervisor */
static int owner = SANDBOX_FD_OWNER;

/* ---- messages ---------------------------------------------------------------------- */

bool
inside_say(int socket, const struct sandbox_message *message, int fd, bool credentials)
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
    while (sendmsg(socket, &header, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

int
inside_hear(int socket, void *packet, size_t size, int *fds, size_t count, int flags)
{
    struct sandbox_message *message = packet;
    union {
        char bytes[CMSG_SPACE(sizeof(int) * SANDBOX_EXEC_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = packet, .iov_len = size};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t got;
    for (size_t i = 0; i < count; i++)
        fds[i] = -1;
    while ((got = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (got < 0)
        return -1;
    size_t taken = 0;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item != NULL;
         item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
            continue;
        size_t sent = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < sent; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof(int));
            if (taken < count)
                fds[taken++] = fd;
            else
                close(fd);
        }
    }
    message->text[SANDBOX_TEXT_MAX - 1] = '\0';
    return got >= (ssize_t)sizeof(*message) ? (int)got : 0;
}

const char **
inside_strings(const char **at, const char *end, uint32_t count)
{
    if (count > (uint64_t)(end - *at))
        return NULL;
    const char **list = calloc((size_t)count + 1, sizeof(*list));
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const char *stop = memchr(*at, '\0', (size_t)(end - *at));
        if (stop == NULL) {
            free(list);
            return NULL;
        }
        list[i] = *at;
        *at = stop + 1;
    }
    return list;
}

static void __attribute__((noreturn)) broken(const char *what, int sys_errno)
{
    struct sandbox_message message = {.type = SANDBOX_BROKEN, .value = sys_errno};
    snprintf(message.text, sizeof(message.text), "%s", what);
    inside_say(owner, &message, -1, false);
    _exit(EXIT_LOST);
}

/* ---- the start ----------------------------------------------------------------------- */

static void
read_setup(void)
{
    struct stat status;
    if (fstat(SANDBOX_FD_SETUP, &status) < 0)
        broken("cannot read the setup", errno);
    if (status.st_size < (off_t)sizeof(struct sandbox_setup))
        broken("the setup is cut short", 0);
    size_t size = (size_t)status.st_size;
    const void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, SANDBOX_FD_SETUP, 0);
    if (bytes == MAP_FAILED)
        broken("cannot read the setup", errno);
    close(SANDBOX_FD_SETUP);
    const struct sandbox_setup *setup = inside.setup = bytes;
    if (setup->magic != SANDBOX_MAGIC || setup->version != SANDBOX_VERSION || setup->size != size)
        broken("driver and billet-sandbox-init are of different versions", 0);
    const char *at = (const char *)bytes + sizeof(struct sandbox_setup);
    const char *end = (const char *)bytes + size;
    inside.mounts = inside_strings(&at, end, setup->mount_count);
    inside.readable = inside_strings(&at, end, setup->readable_count);
    if (inside.mounts == NULL || inside.readable == NULL)
        broken("the setup is cut short", 0);
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
prepare_descriptors(bool clean)
{
    if (!clean && (inside.setup->flags & SANDBOX_KEEP_FDS) == 0)
        close_from(SANDBOX_FD_LIMIT);
    /* 0 and 1 are /dev/null; what bwrap complains to is not for commands. */
    if (dup2(0, 2) < 0 || fcntl(SANDBOX_FD_OWNER, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(SANDBOX_FD_DOOR, F_SETFD, FD_CLOEXEC) < 0)
        broken("cannot prepare the descriptors", errno);
}

static void
add_missing(char *text, size_t size, const char *name)
{
    size_t length = strlen(text);
    snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

/* What the spare supervisor says next; blocks. False when it ended instead. */
static bool
await_report(struct supervisor_report *report)
{
    struct pollfd ready = {.fd = spare.report, .events = POLLIN};
    while (poll(&ready, 1, -1) < 0 && errno == EINTR)
        ;
    return read(spare.report, report, sizeof(*report)) == (ssize_t)sizeof(*report);
}

/* What the owner says; its end is ours too, unless it said otherwise before. */
static void
listen_to_owner(void)
{
    struct sandbox_message message;
    int held = -1;
    int got = inside_hear(owner, &message, sizeof(message), &held, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && message.type == SANDBOX_KEEP) {
        keep = true; /* and held stays open as long as this process lives */
        return;
    }
    if (got > 0 && message.type == SANDBOX_LAST) {
        last = true;
        return;
    }
    if (!keep)
        _exit(0);
    close(owner);
    owner = -1;
}

bool
inside_refuses(struct inside *self, int landlock_errno)
{
    const struct sandbox_setup *setup = self->setup;
    if (landlock_errno != 0 || (setup->flags & SANDBOX_NO_LANDLOCK) != 0)
        add_missing(self->missing, sizeof(self->missing), "landlock");
    /* With the host's network only Landlock keeps its abstract sockets away. */
    else if ((setup->flags & SANDBOX_SHARED_NETWORK) != 0 &&
             sandbox_landlock_abi() < SANDBOX_LANDLOCK_SCOPES)
        add_missing(self->missing, sizeof(self->missing), "closed abstract sockets");
    return self->missing[0] != '\0' && (setup->flags & SANDBOX_ALLOW_DEGRADED) == 0;
}

bool
inside_may_go(struct inside *self, int go, int landlock_errno)
{
    return read(go, self->missing, sizeof(self->missing)) == (ssize_t)sizeof(self->missing) &&
           !inside_refuses(self, landlock_errno);
}

/* While the first command's process puts itself under Landlock, of which only the supervisor knows:
 * it judges as we do, and begins without waiting for us. True when commands may come. */
static bool
self_check(bool clean_descriptors)
{
    struct supervisor_report confined;
    struct sandbox_message ready = {.type = SANDBOX_READY};

    sandbox_check(inside.setup, inside.mounts, inside.missing, sizeof(inside.missing));
    if (!clean_descriptors)
        add_missing(inside.missing, sizeof(inside.missing), "closed descriptors");
    /* From here on a command may live: no tracing, no /proc/1/fd. Not before, since it hides our
     * own /proc entries from us too. */
    if ((inside.setup->flags & SANDBOX_TRACEABLE) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        broken("cannot hide process 1", errno);
    listen_to_owner();
    /* For the command's process, and for its supervisor: each reads one of them. */
    char twice[2][sizeof(inside.missing)];
    memcpy(twice[0], inside.missing, sizeof(inside.missing));
    memcpy(twice[1], inside.missing, sizeof(inside.missing));
    if (write(spare.go, twice, sizeof(twice)) != sizeof(twice) || !await_report(&confined) ||
        confined.event != SUPERVISOR_CONFINED)
        broken("cannot prepare a command", 0);
    bool refused = inside_refuses(&inside, confined.value);
    ready.kind = refused ? SANDBOX_REFUSED : 0;
    memcpy(ready.text, inside.missing, sizeof(ready.text));
    inside_say(owner, &ready, -1, false);
    return !refused;
}

/* ---- life ------------------------------------------------------------------------------ */

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
forget_spare(void)
{
    close(spare.report);
    if (spare.go >= 0)
        close(spare.go);
    spare = (struct supervisor){.report = -1, .go = -1};
}

/* A supervisor that was killed has left its tree to us: only the workload can have done that, or
 * the kernel for want of memory. Nobody watches over those processes any more, so they end. */
static void
end_abandoned(void)
{
    pid_t roots[COMMANDS_MAX + 1];
    memcpy(roots, commands, command_count * sizeof(roots[0]));
    size_t count = command_count;
    if (spare.pid > 0)
        roots[count++] = spare.pid;
    inside_tree_kill_others(roots, count);
}

/* Which of the supervisors ended? An orphan of a command is none. */
static void
note_end(pid_t pid, bool killed)
{
    for (size_t i = 0; i < command_count; i++)
        if (commands[i] == pid) {
            commands[i] = commands[--command_count];
            if (!full)
                due_ms = now_ms();
            if (killed)
                end_abandoned();
            return;
        }
    if (pid == spare.pid) {
        forget_spare();
        due_ms = now_ms() + RETRY_MS;
        if (killed)
            end_abandoned();
    }
}

static void
reap(void)
{
    struct signalfd_siginfo information;
    ssize_t ignored = read(inside.signals, &information, sizeof(information));
    (void)ignored;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        note_end(pid, WIFSIGNALED(status));
}

static void
take_report(void)
{
    struct supervisor_report report;
    ssize_t got = read(spare.report, &report, sizeof(report));
    if (got != (ssize_t)sizeof(report) || report.event != SUPERVISOR_TAKEN)
        return; /* its end comes by signal */
    commands[command_count++] = spare.pid;
    forget_spare();
    due_ms = now_ms() + BEGIN_MS;
}

static void
make_spare(void)
{
    full = !inside_supervise(&inside, false, &spare);
    if (full)
        due_ms = now_ms() + RETRY_MS;
}

static void __attribute__((noreturn)) live(void)
{
    for (;;) {
        bool wanted = spare.pid == 0 && command_count < COMMANDS_MAX;
        bool ahead = wanted && (!last || full);
        int64_t pause = ahead ? due_ms - now_ms() : -1;
        if (ahead && pause <= 0) {
            full = false;
            pause = 0;
        }
        struct pollfd watched[4] = {
            {.fd = owner, .events = POLLIN},
            {.fd = inside.signals, .events = POLLIN},
            {.fd = spare.report, .events = POLLIN},
            {.fd = wanted && !full ? SANDBOX_FD_DOOR : -1, .events = POLLIN}};
        int ready = poll(watched, 4, (int)pause);
        if (ready < 0 && errno != EINTR)
            _exit(EXIT_LOST);
        if (ready < 0)
            continue;
        if (watched[0].revents != 0)
            listen_to_owner();
        if (watched[2].revents != 0)
            take_report();
        if (watched[1].revents != 0)
            reap();
        if (watched[3].revents != 0 || ready == 0)
            make_spare();
    }
}

int
main(void)
{
    struct sandbox_message hello = {.type = SANDBOX_HELLO};
    sigset_t mask;

    spare = (struct supervisor){.report = -1, .go = -1};
    /* Without bwrap nobody outside would learn of our end. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        broken("cannot follow the launcher's death", errno);
    inside.is_first = getpid() == 1;
    inside_say(owner, &hello, -1, true);
    bool clean = sandbox_check_descriptors();
    read_setup();
    prepare_descriptors(clean);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    inside.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    struct rlimit processes = {.rlim_cur = inside.setup->process_limit,
                               .rlim_max = inside.setup->process_limit};
    if (inside.signals < 0 || (processes.rlim_cur != 0 && setrlimit(RLIMIT_NPROC, &processes) < 0))
        broken("cannot prepare the sandbox", errno);
    if (!inside_supervise(&inside, true, &spare))
        broken("cannot make a process", errno);
    if (!self_check(clean))
        return 0;
    live();
}
