/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - the streams of one command between the caller and the OpenSSH client: byte for byte,
 * bounded, with the marks of the far side's runner taken out.
 *
 * What a login shell writes before "NONCE start" is dropped, "NONCE end KIND VALUE" ends a stream.
 * The caller's descriptors are never made non-blocking and never closed.
 */
#ifndef DRIVERS_SSH_STREAM_H
#define DRIVERS_SSH_STREAM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SSH_STREAM_BUFFER 65536
#define SSH_STREAM_POLLS 2 /* entries that a prepare fills */

/* One direction: from -> buffer -> to. */
struct ssh_stream {
    int from;              /* -1 once it ended */
    int to;                /* -1: nobody reads, what comes is dropped */
    bool own_from, own_to; /* opened or made by us: non-blocking, and closed by us */
    bool tell_end;         /* to is a terminal: the end of the input is a ^D */
    /* marks */
    const char *nonce; /* NULL: all bytes are data */
    bool started;
    bool ended;       /* the mark of the end was read */
    size_t noise;     /* bytes dropped before the start */
    long long number; /* of the mark of the start */
    char end_kind[16];
    int end_value;
    char early[512];          /* the first of what was dropped, for messages */
    size_t start, end, clean; /* buffer: start..clean may be written, start..end is there */
    char buffer[SSH_STREAM_BUFFER];
};

/* An open file of our own for the same pipe, non-blocking; -1: another kind of file. mode: O_RDONLY
 * or O_WRONLY. */
int ssh_stream_reopen(int fd, int mode);
/* Write what goes without waiting; own: from ssh_stream_reopen. As write(2). */
ssize_t ssh_stream_put(int fd, bool own, const void *bytes, size_t size);

/* from and to are the caller's unless own_*; either may be -1. */
void ssh_stream_begin(struct ssh_stream *stream, int from, bool own_from, int to, bool own_to,
                      const char *nonce);
void ssh_stream_end(struct ssh_stream *stream);

void ssh_stream_prepare(const struct ssh_stream *stream, struct pollfd fds[SSH_STREAM_POLLS]);
void ssh_stream_step(struct ssh_stream *stream, const struct pollfd fds[SSH_STREAM_POLLS]);
/* Nothing is left to write. */
bool ssh_stream_is_drained(const struct ssh_stream *stream);

#endif
