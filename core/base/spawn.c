/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define MAX_FDS 16
#define STACK_SIZE (256 * 1024)

struct child {
    const struct billet_spawn *spawn;
    sigset_t mask;
    volatile int failed_errno; /* shared with the parent through CLONE_VM */
};

static char *const empty_environment[] = {NULL};

/* Runs in the child on a stack of its own, sharing memory with the suspended parent: only system
 * calls, and nothing of the parent's memory is changed but failed_errno. A sanitizer would mark
 * that stack in a memory that it shares, and the marks would outlive it. */
__attribute__((no_sanitize("address", "undefined"))) static int
child_main(void *argument)
{
    struct child *child = argument;
    const struct billet_spawn *spawn = child->spawn;
    int high[MAX_FDS];

    for (int number = 1; number < NSIG; number++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(number, &action, NULL); /* KILL, STOP and libc's own refuse: fine */
    }
    if (spawn->new_session)
        setsid();
    /* First all out of the way, then each into its place. */
    for (size_t i = 0; i < spawn->fd_count; i++) {
        int from = spawn->fds[i] >= 0 ? spawn->fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        high[i] = fcntl(from, F_DUPFD_CLOEXEC, (int)spawn->fd_count);
        if (high[i] < 0)
            goto failed;
    }
    for (size_t i = 0; i < spawn->fd_count; i++)
        if (dup2(high[i], (int)i) < 0)
            goto failed;
    if (close_range((unsigned)spawn->fd_count, ~0U, 0) != 0)
        goto failed;
    sigprocmask(SIG_SETMASK, &child->mask, NULL);
    /* Not execve(): in a build for coverage that writes out and then forgets the counters, which
     * here are the parent's. */
    syscall(SYS_execve, spawn->path, spawn->argv,
            spawn->environment != NULL ? (char *const *)(uintptr_t)spawn->environment
                                       : empty_environment);
failed:
    child->failed_errno = errno;
    _exit(127);
}

int
billet_spawn(const struct billet_spawn *spawn, pid_t *pid, int *pidfd, struct billet_error *error)
{
    struct child child = {.spawn = spawn};
    sigset_t all;
    sigset_t old;
    int new_pidfd = -1;

    if (spawn->fd_count > MAX_FDS)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "too many descriptors");
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return billet_error_no_memory(error);
    sigemptyset(&child.mask);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    /* CLONE_VM|CLONE_VFORK: no page tables are copied, however large the caller is. */
    pid_t made = clone(child_main, stack + STACK_SIZE,
                       CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &new_pidfd);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK_SIZE);
    if (made < 0)
        return billet_error_errno(error, 0, "spawn_failed", saved, "cannot start a process");
    if (child.failed_errno != 0) {
        while (waitpid(made, NULL, 0) < 0 && errno == EINTR)
            ;
        billet_close(&new_pidfd);
        return billet_error_errno(error, 0, "spawn_failed", child.failed_errno, "cannot run %s",
                                  spawn->path);
    }
    *pid = made;
    if (pidfd != NULL)
        *pidfd = new_pidfd;
    else
        billet_close(&new_pidfd);
    return 0;
}

int
billet_spawn_wait(pid_t pid, int pidfd, int64_t deadline_ns, int *status,
                  struct billet_error *error)
{
    for (;;) {
        int timeout = -1;
        if (deadline_ns > 0) {
            int64_t left = (deadline_ns - billet_clock_monotonic() + 999999) / 1000000;
            timeout = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
        }
        struct pollfd wait = {.fd = pidfd, .events = POLLIN};
        int ready = poll(&wait, 1, timeout);
        if (ready < 0 && errno != EINTR)
            return billet_error_errno(error, 0, "internal", errno, "cannot wait for a process");
        if (ready > 0)
            break;
        if (ready == 0 && deadline_ns > 0 && billet_clock_monotonic() >= deadline_ns)
            return billet_error_set(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                                    "process %ld did not end in time", (long)pid);
    }
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return billet_error_errno(error, 0, "internal", errno, "cannot wait for a process");
    return 0;
}
