/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals.h - the one place where the tool takes signals: INT TERM HUP QUIT and
 * WINCH become readable descriptors, from before the lease until after its end.
 */
#ifndef BILLET_RUN_SIGNALS_H
#define BILLET_RUN_SIGNALS_H

#include <billet/types.h>
#include <signal.h>
#include <stdbool.h>

struct billet_signals {
    int ending_fd; /* INT TERM HUP QUIT */
    int size_fd;   /* WINCH */
    int count;     /* ending signals taken */
    int last;      /* number of the last one, 0 none */
    sigset_t before;
};

#define BILLET_SIGNALS_INIT            \
    {                                  \
        .ending_fd = -1, .size_fd = -1 \
    }

int billet_signals_open(struct billet_signals *signals, struct billet_error *error);
/* Wait at most that long for an ending signal, and leave it to be taken; true: one is there.
 * signals NULL: only the time passes. */
bool billet_signals_wait(const struct billet_signals *signals, int timeout_ms);
/* The next ending signal that has arrived, 0 when there is none. */
int billet_signals_take(struct billet_signals *signals);
/* True when the window changed since the last call. */
bool billet_signals_resized(struct billet_signals *signals);
void billet_signals_close(struct billet_signals *signals);

#endif
