/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - the three streams of a command: which descriptors it is given, and
 * the relay between them and the caller's where it must not have those.
 *
 * A command that runs as the caller gets the caller's own descriptors. A confined one gets only
 * pipes, sockets and /dev/null: a terminal or a file reached through /proc/self/fd would let it
 * read what it was only to write. The relay is driven by the caller's poll loop and never blocks.
 */
#ifndef BILLET_RUN_STREAM_H
#define BILLET_RUN_STREAM_H

#include <billet/types.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/redact.h"

#define BILLET_STREAM_BUFFER 65536
#define BILLET_STREAM_POLL_MAX 6

/* One direction: from -> to. */
struct billet_relay {
    int from; /* -1: no relay, or ended */
    int to;
    bool close_from; /* ours, a pipe's end */
    bool close_to;
    bool input; /* the caller's stdin: given up when the command ends */
    bool ended; /* from is at its end; what is buffered still goes out */
    size_t start;
    size_t length;
    int from_slot; /* in the poll set of this round, -1 none */
    int to_slot;
    char *buffer;
    bool redact; /* live secrets are masked on the way */
    char *raw;   /* then: what was read, before that */
    size_t buffer_size;
    struct billet_redact_stream mask;
};

struct billet_streams {
    int command[3]; /* what the command gets; the owner's own ends among them are closed by
                       billet_streams_handed_over */
    bool own[3];
    struct billet_relay relay[3];
};

/* fds: the caller's stdin, stdout, stderr (-1: /dev/null). relayed: do not hand over terminals and
 * files. redact: relay stdout and stderr in any case, and mask live secrets in them. */
int billet_streams_open(struct billet_streams *streams, const int fds[3], bool relayed, bool redact,
                        struct billet_error *error);
/* The driver host has its duplicates: close ours, so that ends of file arrive. */
void billet_streams_handed_over(struct billet_streams *streams);
/* Add what is to be polled; returns how many of set (room for BILLET_STREAM_POLL_MAX) were used. */
size_t billet_streams_poll(struct billet_streams *streams, struct pollfd *set);
/* Move bytes where poll said it is possible. */
void billet_streams_step(struct billet_streams *streams, const struct pollfd *set);
/* Is something held back that may be the beginning of a secret? When nothing comes for a moment, a
 * little of it goes out. */
bool billet_streams_hold(const struct billet_streams *streams);
void billet_streams_idle(struct billet_streams *streams);
/* The command has ended: stop reading the caller's stdin. */
void billet_streams_end_input(struct billet_streams *streams);
/* Nothing is left to pass on. */
bool billet_streams_done(const struct billet_streams *streams);
/* Pass on what is left, until deadline (CLOCK_MONOTONIC). True when that is done: all writers are
 * gone, or hold on without writing; false when the caller's side does not take it yet. */
bool billet_streams_drain(struct billet_streams *streams, int64_t deadline_ns);
void billet_streams_close(struct billet_streams *streams);

#endif
