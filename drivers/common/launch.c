/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

/* The child shares our memory until it executes (CLONE_VM|CLONE_VFORK): a sanitizer's bookkeeping
 * of stacks must stay out of it. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined")))

#define STACK_SIZE (96u * 1024)

/* First version of the kernel's structure that knows cgroup; libc headers may be older. */
struct start_arguments {
    uint64_t flags;
    uint64_t pidfd;
    uint64_t child_tid;
    uint64_t parent_tid;
    uint64_t exit_signal;
    uint64_t stack;
    uint64_t stack_size;
    uint64_t tls;
    uint64_t set_tid;
    uint64_t set_tid_size;
    uint64_t cgroup;
};

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

struct child {
    const struct billet_launch *launch;
    sigset_t mask;
    pid_t parent;
    bool entered; /* cgroup_fd's group */
    /* written by the child, read by the parent once the child executed or ended */
    volatile enum billet_launch_step step;
    volatile int sys_errno;
};

IN_CHILD static void __attribute__((noreturn))
child_fail(struct child *child, enum billet_launch_step step)
{
    child->sys_errno = errno;
    child->step = step;
    _exit(127);
}

IN_CHILD static void
child_reset_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int number = 1; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL);
}

IN_CHILD static void
child_close_from(unsigned first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0u) == 0)
        return;
#endif
    struct rlimit limit = {.rlim_cur = 65536};
    getrlimit(RLIMIT_NOFILE, &limit);
    unsigned end = limit.rlim_cur < 1048576 ? (unsigned)limit.rlim_cur : 1048576;
    for (unsigned fd = first; fd < end; fd++)
        close((int)fd);
}

IN_CHILD static int
child_place_fds(const struct billet_launch *launch)
{
    int from[BILLET_LAUNCH_FDS];
    int count = (int)launch->fd_count;

    /* First out of the way of the targets, so that no source is overwritten. */
    for (int i = 0; i < count; i++) {
        from[i] = launch->fds[i];
        if (from[i] < 0)
            from[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (from[i] >= 0 && from[i] < count && from[i] != i)
            from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, count);
        if (from[i] < 0)
            return -1;
    }
    for (int i = 0; i < count; i++) {
        if (from[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(from[i], i) < 0)
            return -1;
    }
    child_close_from((unsigned)count);
    return 0;
}

IN_CHILD static bool
goes_on_after(int sys_errno)
{
    return sys_errno == ENOENT || sys_errno == ENOTDIR || sys_errno == ENODEV ||
           sys_errno == ESTALE || sys_errno == ETIMEDOUT || sys_errno == ENAMETOOLONG ||
           sys_errno == ELOOP;
}

/* Returns only on failure, with errno. */
IN_CHILD static void
child_execute(const struct billet_launch *launch)
{
    static const char *const nothing[] = {NULL};
    char *const *argv = (char *const *)(uintptr_t)launch->argv;
    const char *const *list = launch->environment != NULL ? launch->environment : nothing;
    char *const *environment = (char *const *)(uintptr_t)list;
    const char *program = launch->program != NULL ? launch->program : launch->argv[0];
    char path[PATH_MAX];

    if (program[0] == '\0') {
        errno = ENOENT;
        return;
    }
    if (launch->search == NULL || strchr(program, '/') != NULL) {
        execve(program, argv, environment);
        return;
    }
    size_t name = strlen(program);
    int remembered = ENOENT;
    for (const char *at = launch->search;; at++) {
        const char *end = strchr(at, ':');
        size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
        if (length + 1 + name + 1 <= sizeof(path)) {
            memcpy(path, at, length);
            if (length > 0)
                path[length++] = '/';
            memcpy(path + length, program, name + 1);
            execve(path, argv, environment);
            if (errno == EACCES) {
                if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
                    remembered = EACCES;
            } else if (!goes_on_after(errno)) {
                return;
            }
        }
        if (end == NULL)
            break;
        at = end;
    }
    errno = remembered;
}

IN_CHILD static void __attribute__((noreturn)) child_main(void *argument)
{
    struct child *child = argument;
    const struct billet_launch *launch = child->launch;

    if (launch->cgroup_fd >= 0 && !child->entered) {
        int procs = openat(launch->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        if (procs < 0 || write(procs, "0", 1) != 1)
            child_fail(child, BILLET_LAUNCH_GROUP);
    }
    for (size_t i = 0; i < launch->group_count; i++)
        if (launch->groups[i] >= 0 && write(launch->groups[i], "0", 1) != 1)
            child_fail(child, BILLET_LAUNCH_GROUP);
    child_reset_signals();
    if (setsid() < 0)
        child_fail(child, BILLET_LAUNCH_SESSION);
    if (launch->terminal_fd >= 0 && ioctl(launch->terminal_fd, TIOCSCTTY, 0) < 0)
        child_fail(child, BILLET_LAUNCH_TERMINAL);
    if (launch->directory_fd >= 0 && fchdir(launch->directory_fd) < 0)
        child_fail(child, BILLET_LAUNCH_DIRECTORY);
    if (launch->directory != NULL && launch->directory[0] != '\0' && chdir(launch->directory) < 0)
        child_fail(child, BILLET_LAUNCH_DIRECTORY);
    if (launch->death_signal != 0) {
        prctl(PR_SET_PDEATHSIG, (unsigned long)launch->death_signal, 0, 0, 0);
        if (getppid() != child->parent)
            _exit(127);
    }
    if (child_place_fds(launch) < 0)
        child_fail(child, BILLET_LAUNCH_DESCRIPTORS);
    pthread_sigmask(SIG_SETMASK, &child->mask, NULL);
    child_execute(launch);
    child_fail(child, BILLET_LAUNCH_EXEC);
}

/*
 * clone3 with a function on a stack of its own. libc offers no wrapper, and without one a child on
 * the parent's stack would return through frames that the parent still needs.
 */
#if defined(__x86_64__) && defined(__LP64__)
#define HAVE_START 1
static long
start_raw(struct start_arguments *arguments, void (*child_function)(void *), void *argument)
{
    long result;
    register void (*function)(void *) __asm__("r8") = child_function;
    register void *context __asm__("r9") = argument;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %%r9, %%rdi\n\t"
                     "callq *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof(*arguments)),
                       "r"(function), "r"(context)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
#define HAVE_START 1
static long
start_raw(struct start_arguments *arguments, void (*child_function)(void *), void *argument)
{
    register long number __asm__("x8") = SYS_clone3;
    register void *first __asm__("x0") = arguments;
    register size_t second __asm__("x1") = sizeof(*arguments);
    register void (*function)(void *) __asm__("x10") = child_function;
    register void *context __asm__("x11") = argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x30, #0\n\t"
                     "mov x0, x11\n\t"
                     "blr x10\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(first)
                     : "r"(number), "r"(second), "r"(function), "r"(context)
                     : "memory", "cc");
    return (long)first;
}
#endif

struct start {
    void (*function)(void *);
    void *argument;
};

static int
start_function(void *argument)
{
    const struct start *start = argument;
    start->function(start->argument);
    _exit(127);
}

/* Without the group when cgroup_fd is -1. A pid or a negative errno. */
static long
start(void (*function)(void *), void *argument, int cgroup_fd, void *stack, int *pidfd)
{
    const int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
#ifdef HAVE_START
    struct start_arguments arguments = {
        .flags = (uint64_t)flags,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = STACK_SIZE,
    };
    if (cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)cgroup_fd;
    }
    long result = start_raw(&arguments, function, argument);
    if (result != -ENOSYS)
        return result;
#endif
    struct start start = {function, argument};
    if (cgroup_fd >= 0)
        return -ENOSYS;
    int pid = clone(start_function, (char *)stack + STACK_SIZE, flags | SIGCHLD, &start, pidfd);
    return pid < 0 ? -errno : pid;
}

long
billet_launch_child(void (*function)(void *), void *argument, int cgroup_fd, bool *entered,
                    int *pidfd)
{
    sigset_t all, saved;
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    *entered = cgroup_fd >= 0;
    long result = start(function, argument, cgroup_fd, stack, pidfd);
    if (result < 0 && *entered && result != -EAGAIN && result != -ENOMEM) {
        *entered = false;
        result = start(function, argument, -1, stack, pidfd);
    }
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    munmap(stack, STACK_SIZE);
    return result;
}

int
billet_launch_start(const struct billet_launch *launch, pid_t *pid, int *pidfd,
                    enum billet_launch_step *step)
{
    struct child child = {.launch = launch, .parent = getpid()};
    int new_pidfd = -1;

    *step = BILLET_LAUNCH_PROCESS;
    if (launch->fd_count > BILLET_LAUNCH_FDS)
        return EINVAL;
    sigemptyset(&child.mask);
    long result =
        billet_launch_child(child_main, &child, launch->cgroup_fd, &child.entered, &new_pidfd);
    if (result < 0) {
        *step = launch->cgroup_fd >= 0 && result != -EAGAIN && result != -ENOMEM
                    ? BILLET_LAUNCH_GROUP
                    : BILLET_LAUNCH_PROCESS;
        return (int)-result;
    }
    if (child.step != BILLET_LAUNCH_NONE) {
        /* It ends by itself; it is ours to reap. */
        int failure = child.sys_errno;
        while (waitpid((pid_t)result, NULL, 0) < 0 && errno == EINTR)
            ;
        billet_close_fd(&new_pidfd);
        *step = child.step;
        return failure != 0 ? failure : EIO;
    }
    *step = BILLET_LAUNCH_NONE;
    *pid = (pid_t)result;
    *pidfd = new_pidfd;
    return 0;
}

int
billet_pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

const char *
billet_launch_step_text(enum billet_launch_step step)
{
    switch (step) {
    case BILLET_LAUNCH_PROCESS:
        return "make a process";
    case BILLET_LAUNCH_GROUP:
        return "enter the control group";
    case BILLET_LAUNCH_SESSION:
        return "begin a session";
    case BILLET_LAUNCH_TERMINAL:
        return "take the terminal";
    case BILLET_LAUNCH_DIRECTORY:
        return "enter the directory";
    case BILLET_LAUNCH_DESCRIPTORS:
        return "place the descriptors";
    case BILLET_LAUNCH_EXEC:
        return "execute the command";
    default:
        return "start the command";
    }
}
