/* SPDX-License-Identifier: Apache-2.0 */
#include "run/signals.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

int
billet_signals_open(struct billet_signals *signals, struct billet_error *error)
{
    sigset_t ending;
    sigset_t size;
    sigset_t both;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGQUIT);
    sigemptyset(&size);
    sigaddset(&size, SIGWINCH);
    both = ending;
    sigaddset(&both, SIGWINCH);

    /* nohup: a signal that is ignored stays ignored */
    for (int number = SIGHUP; number <= SIGTERM; number++) {
        struct sigaction action;
        if (sigismember(&ending, number) == 1 && sigaction(number, NULL, &action) == 0 &&
            action.sa_handler == SIG_IGN) {
            sigdelset(&ending, number);
            sigdelset(&both, number);
        }
    }
    if (sigprocmask(SIG_BLOCK, &both, &signals->before) != 0)
        return billet_error_errno(error, 0, "internal", errno, "cannot block signals");
    signals->ending_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    signals->size_fd = signalfd(-1, &size, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->ending_fd < 0 || signals->size_fd < 0) {
        int saved = errno;
        billet_signals_close(signals);
        return billet_error_errno(error, 0, "internal", saved, "cannot receive signals");
    }
    return 0;
}

bool
billet_signals_wait(const struct billet_signals *signals, int timeout_ms)
{
    struct pollfd one = {.fd = signals != NULL ? signals->ending_fd : -1, .events = POLLIN};
    return poll(&one, 1, timeout_ms) > 0;
}

int
billet_signals_take(struct billet_signals *signals)
{
    struct signalfd_siginfo info;
    if (signals->ending_fd < 0 ||
        read(signals->ending_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    signals->count++;
    signals->last = (int)info.ssi_signo;
    return signals->last;
}

bool
billet_signals_resized(struct billet_signals *signals)
{
    struct signalfd_siginfo info;
    return signals->size_fd >= 0 &&
           read(signals->size_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

void
billet_signals_close(struct billet_signals *signals)
{
    if (signals->ending_fd >= 0 || signals->size_fd >= 0) {
        /* One that came during the release has nothing left to end: unblocked, it would take the
         * place of the command's exit status. */
        while (billet_signals_take(signals) != 0)
            ;
        billet_close(&signals->ending_fd);
        billet_close(&signals->size_fd);
        sigprocmask(SIG_SETMASK, &signals->before, NULL);
    }
}
