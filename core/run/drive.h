/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drive.h - one command on one lease, from its start to its end: streams, signals,
 * window size, the lease's heartbeat, cancelling.
 *
 * The only event loop of the tool. Knows nothing of stores: the heartbeat is a callback.
 */
#ifndef BILLET_RUN_DRIVE_H
#define BILLET_RUN_DRIVE_H

#include "driver/client.h"
#include "run/signals.h"
#include "run/status.h"

/* Called every beat_every_ns. Negative: the lease is lost, the command is cancelled and *error is
 * what the drive fails with. */
typedef int billet_drive_beat(void *context, struct billet_error *error);

struct billet_drive {
    struct billet_driver_client *client;
    const struct billet_driver_call *call;
    const char *const *argv;
    const char *const *environment;
    const char *directory; /* "": the workspace */
    int fds[3];            /* the caller's own; -1: /dev/null */
    bool pty;
    bool redact;        /* mask live secrets in what the command prints */
    int64_t timeout_ns; /* 0: none */
    int64_t kill_after_ns;
    bool last;                      /* nothing follows but the end of the lease */
    int status_fd;                  /* -1: none */
    struct billet_signals *signals; /* NULL: not forwarded */
    int64_t beat_every_ns;
    billet_drive_beat *beat;
    void *beat_context;
};

/* Run it. 0 with *ending filled whatever the command did; negative when the driver or the lease
 * failed (*ending then says origin and retryable). */
int billet_drive(struct billet_drive *drive, struct billet_ending *ending,
                 struct billet_error *error);

#endif
