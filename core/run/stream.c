/* SPDX-License-Identifier: Apache-2.0 */
#include "run/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

/* POLLOUT on a pipe promises room for this much, so that the write does not block. */
#define WRITE_PIECE PIPE_BUF

/* After the command's end, a writer that stays silent this long is a leftover: not waited for. */
#define QUIET_MS 200

/* Nothing can be learnt or changed through it but what flows in its own direction. */
static bool
may_be_handed_over(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return false;
    return S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) ||
           (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
}

/* A terminal that is writable may have room for one byte only, and a write of more blocks for as
 * long as its output is stopped: write through a description of our own that does not. Where it
 * cannot be opened (another user's terminal after su), the caller's serves. */
static void
use_own_terminal(struct billet_relay *relay)
{
    char path[64];
    if (!isatty(relay->to))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", relay->to);
    int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return;
    relay->to = own;
    relay->close_to = true;
}

int
billet_streams_open(struct billet_streams *streams, const int fds[3], bool relayed, bool redact,
                    struct billet_error *error)
{
    int null = -1; /* one for every stream that is none */
    memset(streams, 0, sizeof(*streams));
    for (int i = 0; i < 3; i++) {
        streams->command[i] = -1;
        streams->relay[i].from = -1;
        streams->relay[i].to = -1;
    }
    for (int i = 0; i < 3; i++) {
        struct billet_relay *relay = &streams->relay[i];
        int ends[2];
        if (fds[i] < 0) {
            if (null < 0) {
                null = open("/dev/null", O_RDWR | O_CLOEXEC);
                streams->own[i] = true;
            }
            streams->command[i] = null;
            if (null < 0)
                goto failed;
            continue;
        }
        bool masked = redact && i > 0;
        if (!masked && (!relayed || may_be_handed_over(fds[i]))) {
            streams->command[i] = fds[i];
            continue;
        }
        relay->redact = masked;
        relay->buffer_size = BILLET_STREAM_BUFFER;
        relay->buffer = malloc(relay->buffer_size);
        relay->raw = masked ? malloc(BILLET_STREAM_BUFFER) : NULL;
        if (relay->buffer == NULL || (masked && relay->raw == NULL) || pipe2(ends, O_CLOEXEC) != 0)
            goto failed;
        relay->input = i == 0;
        relay->from = i == 0 ? fds[i] : ends[0];
        relay->to = i == 0 ? ends[1] : fds[i];
        relay->close_from = i != 0;
        relay->close_to = i == 0;
        streams->command[i] = i == 0 ? ends[0] : ends[1];
        streams->own[i] = true;
        /* Our own end must not block; the caller's description is shared with others and stays. */
        int ours = i == 0 ? ends[1] : ends[0];
        if (fcntl(ours, F_SETFL, O_NONBLOCK) != 0)
            goto failed;
        if (i != 0)
            use_own_terminal(relay);
    }
    return 0;
failed:;
    int result =
        billet_error_errno(error, 0, "io_failed", errno, "cannot set up the command's streams");
    billet_streams_close(streams);
    return result;
}

void
billet_streams_handed_over(struct billet_streams *streams)
{
    for (int i = 0; i < 3; i++) {
        if (streams->own[i])
            billet_close(&streams->command[i]);
        streams->command[i] = -1;
        streams->own[i] = false;
    }
}

static void
relay_close(struct billet_relay *relay)
{
    if (relay->close_from)
        billet_close(&relay->from);
    if (relay->close_to)
        billet_close(&relay->to);
    relay->from = -1;
    relay->to = -1;
    relay->length = 0;
    free(relay->buffer);
    relay->buffer = NULL;
    free(relay->raw);
    relay->raw = NULL;
    billet_redact_stream_free(&relay->mask);
}

size_t
billet_streams_poll(struct billet_streams *streams, struct pollfd *set)
{
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        struct billet_relay *relay = &streams->relay[i];
        relay->from_slot = relay->to_slot = -1;
        if (relay->from < 0)
            continue;
        if (!relay->ended && relay->length == 0) {
            relay->from_slot = (int)used;
            set[used++] = (struct pollfd){.fd = relay->from, .events = POLLIN};
        }
        if (relay->length > 0 || relay->input) {
            /* events 0 on the input's pipe: learn that its reader is gone */
            relay->to_slot = (int)used;
            set[used++] =
                (struct pollfd){.fd = relay->to, .events = relay->length > 0 ? POLLOUT : 0};
        }
    }
    return used;
}

static bool
relay_room(struct billet_relay *relay, size_t length)
{
    size_t need = billet_redact_stream_room(&relay->mask, length);
    if (need <= relay->buffer_size)
        return true;
    char *grown = realloc(relay->buffer, need);
    if (grown == NULL)
        return false;
    relay->buffer = grown;
    relay->buffer_size = need;
    return true;
}

/* The same through the mask. What cannot be masked is not passed on. */
static void
relay_read_masked(struct billet_relay *relay)
{
    bool good = true;
    ssize_t got = read(relay->from, relay->raw, BILLET_STREAM_BUFFER);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    relay->ended = got <= 0;
    relay->start = 0;
    if (!relay_room(relay, got > 0 ? (size_t)got : 0)) {
        relay->ended = true;
        return;
    }
    relay->length = got > 0 ? billet_redact_stream_feed(&relay->mask, relay->raw, (size_t)got,
                                                        relay->buffer, &good)
                            : billet_redact_stream_end(&relay->mask, relay->buffer);
    if (got > 0)
        explicit_bzero(relay->raw, (size_t)got);
    relay->ended = relay->ended || !good;
}

bool
billet_streams_hold(const struct billet_streams *streams)
{
    for (int i = 1; i < 3; i++)
        if (streams->relay[i].redact && streams->relay[i].from >= 0 &&
            streams->relay[i].mask.held_count > 0)
            return true;
    return false;
}

void
billet_streams_idle(struct billet_streams *streams)
{
    for (int i = 1; i < 3; i++) {
        struct billet_relay *relay = &streams->relay[i];
        if (!relay->redact || relay->from < 0 || relay->length > 0 || !relay_room(relay, 0))
            continue;
        relay->start = 0;
        relay->length = billet_redact_stream_idle(&relay->mask, relay->buffer);
    }
}

static void
relay_read(struct billet_relay *relay)
{
    if (relay->redact) {
        relay_read_masked(relay);
        return;
    }
    ssize_t got = read(relay->from, relay->buffer, BILLET_STREAM_BUFFER);
    if (got > 0) {
        relay->start = 0;
        relay->length = (size_t)got;
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        relay->ended = true;
    }
}

static void
relay_write(struct billet_relay *relay)
{
    size_t piece = relay->length < WRITE_PIECE ? relay->length : WRITE_PIECE;
    ssize_t written = write(relay->to, relay->buffer + relay->start, piece);
    if (written > 0) {
        relay->start += (size_t)written;
        relay->length -= (size_t)written;
    } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
        relay->ended = true; /* nobody reads any more: the writer learns it by the closed pipe */
        relay->length = 0;
    }
}

void
billet_streams_step(struct billet_streams *streams, const struct pollfd *set)
{
    for (int i = 0; i < 3; i++) {
        struct billet_relay *relay = &streams->relay[i];
        if (relay->from < 0)
            continue;
        if (relay->from_slot >= 0 && set[relay->from_slot].revents != 0)
            relay_read(relay);
        if (relay->to_slot >= 0) {
            short events = set[relay->to_slot].revents;
            if ((events & POLLOUT) != 0)
                relay_write(relay);
            else if ((events & (POLLERR | POLLNVAL)) != 0)
                relay->ended = true, relay->length = 0;
        }
        if (relay->ended && relay->length == 0)
            relay_close(relay);
    }
}

void
billet_streams_end_input(struct billet_streams *streams)
{
    if (streams->relay[0].from >= 0)
        relay_close(&streams->relay[0]);
}

bool
billet_streams_done(const struct billet_streams *streams)
{
    for (int i = 0; i < 3; i++)
        if (streams->relay[i].from >= 0)
            return false;
    return true;
}

static bool
has_pending(const struct billet_streams *streams)
{
    for (int i = 0; i < 3; i++)
        if (streams->relay[i].length > 0)
            return true;
    return false;
}

/* Nothing follows any more: what is held goes out. True when there was something. */
static bool
end_masks(struct billet_streams *streams)
{
    bool any = false;
    for (int i = 1; i < 3; i++) {
        struct billet_relay *relay = &streams->relay[i];
        if (!relay->redact || relay->from < 0 || relay->mask.held_count == 0 ||
            !relay_room(relay, 0))
            continue;
        relay->start = 0;
        relay->length = billet_redact_stream_end(&relay->mask, relay->buffer);
        any = true;
    }
    return any;
}

bool
billet_streams_drain(struct billet_streams *streams, int64_t deadline_ns)
{
    billet_streams_end_input(streams);
    while (!billet_streams_done(streams)) {
        struct pollfd set[BILLET_STREAM_POLL_MAX];
        size_t count = billet_streams_poll(streams, set);
        bool pending = has_pending(streams);
        int64_t left_ms = (deadline_ns - billet_clock_monotonic()) / 1000000;
        if (left_ms <= 0)
            return !pending;
        if (left_ms > QUIET_MS && !pending)
            left_ms = QUIET_MS;
        int ready = poll(set, count, (int)(left_ms > INT_MAX ? INT_MAX : left_ms));
        if (ready < 0 && errno != EINTR)
            return true;
        if (ready == 0 && !pending && end_masks(streams))
            continue;
        if (ready == 0)
            return !pending;
        if (ready > 0)
            billet_streams_step(streams, set);
    }
    return true;
}

void
billet_streams_close(struct billet_streams *streams)
{
    billet_streams_handed_over(streams);
    for (int i = 0; i < 3; i++)
        relay_close(&streams->relay[i]);
}
