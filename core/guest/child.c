/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/child.h"

#include <billet/driver.h>
#include <billet/guest.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define STACK (64 * 1024)
/* From the word to go on to the first of what it does then. */
#define GO_MS 1000

/* In a page that is shared where vfork is emulated, too. */
static struct guest_failure *shared_failure;

/* Set by each child: seen where vfork is none but a fork (qemu-user) by none but itself. */
static volatile bool shares_memory;

/* The one that was made ahead. */
static struct made {
    pid_t pid; /* 0: there is none */
    /* Of the guest: to tell it to go on, and to see that it has executed. They and an input that
     * the command did not want are closed when there is time, before the next is made. */
    int order, executed;
    struct guest_streams streams;
    /* Numbers in its own table. These do not change while it is there. */
    struct {
        int order, null, input, output[2];
        int guests[2];
    } theirs;
    volatile bool waits, went;       /* set by itself */
    const struct guest_child *child; /* set for its start, as is no_input */
    bool no_input;
    bool impossible;
} made = {.order = -1, .executed = -1, .streams = GUEST_STREAMS_NONE};

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- streams ----------------------------------------------------------------------------- */

int
guest_move_up(int fd)
{
    int moved = fd >= 0 && fd <= 2 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd;
    if (moved != fd)
        close(fd);
    return moved;
}

static bool
make_pipe(int ends[2])
{
    ends[0] = ends[1] = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    ends[0] = guest_move_up(ends[0]);
    ends[1] = guest_move_up(ends[1]);
    return ends[0] >= 0 && ends[1] >= 0;
}

/* -1: there is none here. */
static int
open_null(void)
{
    return guest_move_up(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static bool
make_input(struct guest_streams *streams, bool no_input)
{
    int ends[2];
    if (no_input && (streams->child[0] = open_null()) >= 0)
        return true;
    bool done = make_pipe(ends);
    streams->child[0] = ends[0];
    streams->input = ends[1];
    if (no_input)
        close_fd(&streams->input);
    return done && (no_input || fcntl(ends[1], F_SETFL, O_NONBLOCK | O_WRONLY) == 0);
}

static bool
make_output(struct guest_streams *streams, int which)
{
    int ends[2];
    bool done = make_pipe(ends);
    streams->output[which] = ends[0];
    streams->child[1 + which] = ends[1];
    return done && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

bool
guest_streams_make(struct guest_streams *streams, bool no_input)
{
    *streams = (struct guest_streams)GUEST_STREAMS_NONE;
    return make_input(streams, no_input) && make_output(streams, 0) && make_output(streams, 1);
}

void
guest_streams_hand_over_input(struct guest_streams *streams)
{
    close_fd(&streams->child[0]);
}

void
guest_streams_drop(struct guest_streams *streams)
{
    guest_streams_hand_over_input(streams);
    close_fd(&streams->input);
    for (int i = 0; i < 2; i++) {
        close_fd(&streams->output[i]);
        close_fd(&streams->child[1 + i]);
    }
}

/* ---- inside the child -------------------------------------------------------------------- */

static void __attribute__((noreturn)) fail(int outcome, int sys_errno)
{
    shared_failure->sys_errno = sys_errno;
    shared_failure->outcome = outcome;
    _exit(127);
}

/* As execvp(3), in the new environment's PATH, without running what is no program as a script. */
static int
execute(const struct guest_child *child)
{
    const char *name = child->argv[0];
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    char full[PATH_MAX];
    int remembered = ENOENT;
    for (char **entry = child->environment; *entry != NULL; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0)
            path = *entry + 5;
    if (name[0] == '\0')
        return ENOENT;
    if (strchr(name, '/') != NULL) {
        execve(name, child->argv, child->environment);
        return errno;
    }
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, ":");
        if (length + strlen(name) + 2 <= sizeof(full)) {
            snprintf(full, sizeof(full), "%.*s%s%s", (int)length, at, length > 0 ? "/" : "", name);
            execve(full, child->argv, child->environment);
            if (errno == EACCES && faccessat(AT_FDCWD, full, F_OK, 0) == 0)
                remembered = EACCES;
            else if (errno != EACCES && errno != ENOENT && errno != ENOTDIR &&
                     errno != ENAMETOOLONG && errno != ELOOP && errno != ESTALE)
                return errno;
        }
        at += length;
        if (*at == '\0')
            return remembered;
    }
}

/* A session of its own, signals as a command has them, and the end with the guest. */
static void
stand_alone(pid_t parent)
{
    const struct sigaction ordinary = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigaction(SIGPIPE, &ordinary, NULL); /* the one that the guest ignores */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
}

static void __attribute__((noreturn)) become(const struct guest_child *child)
{
    if (child->directory[0] != '\0' && chdir(child->directory) < 0)
        fail(BILLET_GUEST_OUTCOME_DIRECTORY, errno);
    int why = execute(child);
    fail(why == ENOENT || why == ENOTDIR ? BILLET_OUTCOME_NOT_FOUND : BILLET_OUTCOME_NOT_INVOCABLE,
         why);
}

static void
take_streams(const int fds[3])
{
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            fail(BILLET_GUEST_OUTCOME_FAILED, errno);
}

static void __attribute__((noreturn)) child_main(const struct guest_child *child, pid_t parent)
{
    shares_memory = true;
    stand_alone(parent);
    if (child->pty && ioctl(child->fds[0], TIOCSCTTY, 0) < 0)
        fail(BILLET_GUEST_OUTCOME_FAILED, errno);
    take_streams(child->fds);
    become(child);
}

/* ---- start ------------------------------------------------------------------------------- */

static bool
forget_failure(void)
{
    if (shared_failure == NULL) {
        void *page = mmap(NULL, sizeof(*shared_failure), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return false;
        shared_failure = page;
    }
    *shared_failure = (struct guest_failure){0};
    return true;
}

/* Until the child has executed or failed; its end of the pipe closes then. */
static void
await_child(int from)
{
    char byte;
    while (read(from, &byte, 1) < 0 && errno == EINTR)
        ;
}

/* As posix_spawn(3), which cannot make a controlling terminal: no page is copied. A pipe makes the
 * guest wait where vfork is a fork. */
pid_t
guest_child_start(const struct guest_child *child, struct guest_failure *failure)
{
    int executed[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    if (forget_failure() && (shares_memory || make_pipe(executed))) {
        pid = vfork();
        if (pid == 0)
            child_main(child, parent);
    }
    int why = errno;
    close_fd(&executed[1]);
    if (pid > 0 && !shares_memory)
        await_child(executed[0]);
    close_fd(&executed[0]);
    if (pid > 0)
        *failure = *shared_failure;
    errno = why;
    return pid;
}

/* ---- ahead ------------------------------------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__)
/* It runs beside the guest until it waits: nothing here may fail in a way that sets errno, which is
 * the guest's, too. */
static int
made_main(void *argument)
{
    const pid_t *parent = argument;
    char byte;
    stand_alone(*parent);
    take_streams((int[]){made.theirs.null, made.theirs.output[0], made.theirs.output[1]});
    close(made.theirs.guests[0]);
    close(made.theirs.guests[1]);
    made.waits = true;
    if (read(made.theirs.order, &byte, 1) != 1)
        _exit(127);
    if (!made.no_input && dup2(made.theirs.input, 0) < 0)
        _exit(127);
    made.went = true;
    become(made.child);
}

static pid_t
make_waiting(void)
{
    static _Alignas(64) char stack[STACK];
    static pid_t parent;
    parent = getpid();
    return clone(made_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, &parent);
}
#else
/* A stack that it does not know confuses the sanitizer. */
static pid_t
make_waiting(void)
{
    return -1;
}
#endif

static void
drop_made(void)
{
    close_fd(&made.order);
    close_fd(&made.executed);
    guest_streams_drop(&made.streams);
    made.pid = 0;
}

void
guest_child_make_ahead(void)
{
    int order[2] = {-1, -1}, executed[2] = {-1, -1}, null = -1;
    pid_t pid = -1;
    if (made.pid != 0 || made.impossible)
        return;
    drop_made();
    if (guest_streams_make(&made.streams, false) && (null = open_null()) >= 0 && forget_failure() &&
        make_pipe(order) && make_pipe(executed)) {
        made.waits = made.went = false;
        made.theirs.order = order[0];
        made.theirs.null = null;
        made.theirs.input = made.streams.child[0];
        memcpy(made.theirs.output, made.streams.child + 1, sizeof(made.theirs.output));
        made.theirs.guests[0] = made.order = order[1];
        made.theirs.guests[1] = made.executed = executed[0];
        pid = make_waiting();
        made.impossible = pid < 0 && errno != EAGAIN && errno != ENOMEM;
    }
    close_fd(&order[0]);
    close_fd(&executed[1]);
    close_fd(&null);
    guest_streams_hand_over_input(&made.streams);
    if (pid > 0) {
        made.pid = pid;
        return;
    }
    close_fd(&order[1]);
    close_fd(&executed[0]);
    made.order = made.executed = -1;
    drop_made();
}

/* As await_child; one that does not go on in time was stopped, and is of no use. */
static void
await_made(void)
{
    struct pollfd executed = {.fd = made.executed, .events = POLLIN};
    int ready = poll(&executed, 1, GO_MS);
    if (ready > 0)
        return;
    if (ready == 0 && !made.went)
        kill(made.pid, SIGKILL);
    await_child(made.executed);
}

pid_t
guest_child_start_made(const struct guest_child *child, bool no_input,
                       struct guest_streams *streams, struct guest_failure *failure)
{
    if (made.pid == 0 || !made.waits || !forget_failure())
        return 0;
    made.child = child;
    made.no_input = no_input;
    bool told = write(made.order, "", 1) == 1;
    if (told)
        await_made();
    made.child = NULL;
    made.waits = false;
    if (!told || !made.went)
        return 0; /* it has died, for which it is reaped */
    *failure = *shared_failure;
    *streams = made.streams;
    made.streams = (struct guest_streams)GUEST_STREAMS_NONE;
    if (no_input) {
        made.streams.input = streams->input;
        streams->input = -1;
    }
    pid_t pid = made.pid;
    made.pid = 0;
    return pid;
}

pid_t
guest_child_waiting(void)
{
    return made.pid;
}

void
guest_child_drop_ahead(void)
{
    if (made.pid == 0)
        return;
    kill(made.pid, SIGKILL);
    while (waitpid(made.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    drop_made();
}

void
guest_child_reaped(pid_t pid)
{
    if (pid == made.pid)
        drop_made();
}
