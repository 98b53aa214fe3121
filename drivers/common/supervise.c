/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise.h"

#include <billet/driver.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "terminal.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* How long the output of a killed command may take to be read by the caller. */
#define DRAIN_AFTER_KILL_NS (BILLET_NS_PER_SECOND / 4)

static int64_t
time_ns(struct timeval value)
{
    return (int64_t)value.tv_sec * BILLET_NS_PER_SECOND + (int64_t)value.tv_usec * 1000;
}

int
billet_supervise_reap(int pidfd, struct billet_supervised *result)
{
    siginfo_t info;
    struct rusage usage;
    memset(&info, 0, sizeof(info));
    memset(&usage, 0, sizeof(usage));
    /* The system call reports the resources of the child; libc's waitid does not. */
    if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG, &usage) < 0)
        return errno == EINTR ? 0 : -errno;
    if (info.si_pid == 0)
        return 0;
    bool exited = info.si_code == CLD_EXITED;
    result->outcome = exited ? BILLET_OUTCOME_EXITED : BILLET_OUTCOME_SIGNALLED;
    result->value = info.si_status;
    result->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    result->cpu_ns = time_ns(usage.ru_utime) + time_ns(usage.ru_stime);
    return 1;
}

/* SIGTERM for the command's group and the terminal's foreground group; SIGCONT so that stopped ones
 * see it. The command is not reaped yet, so its number is its own. */
static void
signal_gently(const struct billet_supervision *supervision)
{
    pid_t foreground = 0;
    if (supervision->relay != NULL &&
        ioctl(supervision->relay->master, TIOCGPGRP, &foreground) == 0 && foreground > 1 &&
        foreground != supervision->pid && getsid(foreground) == supervision->pid) {
        kill(-foreground, SIGTERM);
        kill(-foreground, SIGCONT);
    }
    kill(-supervision->pid, SIGTERM);
    kill(-supervision->pid, SIGCONT);
}

struct progress {
    int stop;           /* outcome that ends the command, 0: none yet */
    int64_t timeout_at; /* 0: never */
    int64_t kill_at;    /* 0: not stopping, or killed */
    int64_t give_up_at; /* the drain after a kill; 0: not yet */
    bool killed;
    bool ended;
};

static void
begin_stop(const struct billet_supervision *supervision, struct progress *progress, int outcome)
{
    progress->stop = outcome;
    progress->timeout_at = 0;
    if (progress->ended) {
        /* Only its output was still on the way, to a caller that does not want it any more. */
        progress->give_up_at = billet_monotonic_ns();
        return;
    }
    signal_gently(supervision);
    progress->kill_at =
        billet_monotonic_ns() + (supervision->kill_after_ns > 0 ? supervision->kill_after_ns : 0);
}

static void
kill_all(const struct billet_supervision *supervision, struct progress *progress)
{
    if (!progress->ended)
        syscall(SYS_pidfd_send_signal, supervision->pidfd, SIGKILL, NULL, 0);
    if (supervision->kill_tree != NULL)
        supervision->kill_tree(supervision->context);
    progress->killed = true;
    progress->kill_at = 0;
    progress->give_up_at = billet_monotonic_ns() + DRAIN_AFTER_KILL_NS;
}

static void
earlier(int64_t *next, int64_t candidate)
{
    if (candidate != 0 && (*next == 0 || candidate < *next))
        *next = candidate;
}

static struct timespec *
time_left(const struct progress *progress, struct timespec *left)
{
    int64_t next = 0;
    earlier(&next, progress->timeout_at);
    earlier(&next, progress->kill_at);
    if (progress->ended)
        earlier(&next, progress->give_up_at);
    if (next == 0)
        return NULL;
    int64_t ns = next - billet_monotonic_ns();
    if (ns < 0)
        ns = 0;
    left->tv_sec = (time_t)(ns / BILLET_NS_PER_SECOND);
    left->tv_nsec = (long)(ns % BILLET_NS_PER_SECOND);
    return left;
}

static bool
is_done(const struct billet_supervision *supervision, struct progress *progress)
{
    if (!progress->ended)
        return false;
    if (supervision->relay == NULL)
        return true;
    if (progress->give_up_at != 0 && billet_monotonic_ns() >= progress->give_up_at)
        return true;
    return billet_relay_is_drained(supervision->relay);
}

/* Writing to a pipe that nobody reads must be an error here, not the end of the process. */
static void
hold_sigpipe(sigset_t *saved)
{
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, saved);
}

static void
release_sigpipe(const sigset_t *saved)
{
    static const struct timespec at_once = {0};
    sigset_t pipe_signal;
    if (sigismember(saved, SIGPIPE) == 1)
        return;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    while (sigtimedwait(&pipe_signal, NULL, &at_once) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static int
wait_for_end(const struct billet_supervision *supervision, struct billet_supervised *result)
{
    struct progress progress = {0};
    int failure = 0;
    *result = (struct billet_supervised){0};
    if (supervision->timeout_ns > 0 &&
        __builtin_add_overflow(billet_monotonic_ns(), supervision->timeout_ns,
                               &progress.timeout_at))
        progress.timeout_at = 0;

    while (!is_done(supervision, &progress)) {
        struct pollfd fds[2 + BILLET_RELAY_FDS] = {
            {.fd = progress.ended ? -1 : supervision->pidfd, .events = POLLIN},
            {.fd = progress.stop != 0 ? -1 : supervision->cancel_fd, .events = POLLIN},
        };
        nfds_t count = 2;
        struct timespec left;
        if (supervision->relay != NULL) {
            billet_relay_prepare(supervision->relay, progress.ended, fds + 2);
            count += BILLET_RELAY_FDS;
        }
        if (ppoll(fds, count, time_left(&progress, &left), NULL) < 0) {
            if (errno == EINTR)
                continue;
            failure = -errno;
            break;
        }
        if (supervision->relay != NULL)
            billet_relay_step(supervision->relay, fds + 2);
        if (fds[0].revents != 0) {
            /* Until it is reaped its number, which is its session's too, cannot pass on. */
            if (progress.stop != 0 && !progress.killed)
                kill_all(supervision, &progress);
            int reaped = billet_supervise_reap(supervision->pidfd, result);
            if (reaped < 0) {
                failure = reaped;
                break;
            }
            progress.ended = reaped == 1;
        }
        if (fds[1].revents != 0)
            begin_stop(supervision, &progress, BILLET_OUTCOME_CANCELLED);
        int64_t now = billet_monotonic_ns();
        if (progress.timeout_at != 0 && now >= progress.timeout_at && !progress.ended)
            begin_stop(supervision, &progress, BILLET_OUTCOME_TIMED_OUT);
        if (progress.kill_at != 0 && now >= progress.kill_at)
            kill_all(supervision, &progress);
    }
    if (failure != 0) {
        kill_all(supervision, &progress);
        return failure;
    }
    if (progress.stop != 0 && progress.killed) {
        if (result->outcome == BILLET_OUTCOME_SIGNALLED)
            result->value += 128;
        result->outcome = progress.stop;
    }
    return 0;
}

int
billet_supervise(const struct billet_supervision *supervision, struct billet_supervised *result)
{
    sigset_t saved;
    if (supervision->relay != NULL)
        hold_sigpipe(&saved);
    int status = wait_for_end(supervision, result);
    if (supervision->relay != NULL)
        release_sigpipe(&saved);
    return status;
}
