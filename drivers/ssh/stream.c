/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"

/* The longest line that a mark can be. */
#define MARK_MAX 160

int
ssh_stream_reopen(int fd, int mode)
{
    struct stat about;
    char path[64];
    if (fstat(fd, &about) < 0 || !S_ISFIFO(about.st_mode))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, mode | O_NONBLOCK | O_CLOEXEC);
}

void
ssh_stream_begin(struct ssh_stream *stream, int from, bool own_from, int to, bool own_to,
                 const char *nonce)
{
    memset(stream, 0, offsetof(struct ssh_stream, buffer));
    stream->from = from;
    stream->to = to;
    stream->own_from = own_from;
    stream->own_to = own_to;
    stream->nonce = nonce;
    stream->started = nonce == NULL;
    int own = from >= 0 && !own_from ? ssh_stream_reopen(from, O_RDONLY) : -1;
    if (own >= 0) {
        stream->from = own;
        stream->own_from = true;
    }
    own = to >= 0 && !own_to ? ssh_stream_reopen(to, O_WRONLY) : -1;
    if (own >= 0) {
        stream->to = own;
        stream->own_to = true;
    }
}

static void
drop_from(struct ssh_stream *stream)
{
    if (stream->own_from)
        billet_close_fd(&stream->from);
    stream->from = -1;
}

static void
drop_to(struct ssh_stream *stream)
{
    if (stream->own_to)
        billet_close_fd(&stream->to);
    stream->to = -1;
}

void
ssh_stream_end(struct ssh_stream *stream)
{
    drop_from(stream);
    drop_to(stream);
}

bool
ssh_stream_is_drained(const struct ssh_stream *stream)
{
    return stream->start == stream->clean;
}

void
ssh_stream_prepare(const struct ssh_stream *stream, struct pollfd fds[SSH_STREAM_POLLS])
{
    bool pending = stream->start < stream->clean;
    bool room = !pending && stream->end - stream->start < sizeof(stream->buffer);
    fds[0] = (struct pollfd){.fd = room && !stream->ended ? stream->from : -1, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = pending ? stream->to : -1, .events = POLLOUT};
}

static void
keep_early(struct ssh_stream *stream, const char *bytes, size_t length)
{
    if (stream->noise < sizeof(stream->early) - 1) {
        size_t room = sizeof(stream->early) - 1 - stream->noise;
        memcpy(stream->early + stream->noise, bytes, length < room ? length : room);
    }
    stream->noise += length;
}

/* Take the line of a mark apart: "start PID" or "end KIND VALUE". */
static bool
read_mark(struct ssh_stream *stream, const char *line)
{
    if (sscanf(line, " start %lld", &stream->number) == 1) {
        stream->started = true;
        return true;
    }
    if (sscanf(line, " end %15s %d", stream->end_kind, &stream->end_value) == 2) {
        stream->ended = true;
        return true;
    }
    return false;
}

/* Where the nonce may begin at the end of the data: the number of bytes to hold back. */
static size_t
partial_mark(const struct ssh_stream *stream, const char *bytes, size_t length)
{
    size_t nonce = strlen(stream->nonce);
    for (size_t held = length < nonce ? length : nonce; held > 0; held--)
        if (memcmp(bytes + length - held, stream->nonce, held) == 0)
            return held;
    return 0;
}

/* Look at buffer[clean..end] for marks, and set how far it is data. */
static void
find_marks(struct ssh_stream *stream)
{
    while (stream->nonce != NULL && !stream->ended && stream->clean < stream->end) {
        char *from = stream->buffer + stream->clean;
        size_t length = stream->end - stream->clean;
        char *mark = memmem(from, length, stream->nonce, strlen(stream->nonce));
        size_t data =
            mark != NULL ? (size_t)(mark - from) : length - partial_mark(stream, from, length);
        if (!stream->started) {
            keep_early(stream, from, data);
            memmove(from, from + data, length - data);
            stream->end -= data;
            if (mark == NULL)
                return;
            mark = from;
        } else {
            stream->clean += data;
            if (mark == NULL)
                return;
        }
        size_t rest = (size_t)(stream->buffer + stream->end - mark);
        char *newline = memchr(mark, '\n', rest);
        char line[MARK_MAX + 1];
        if (newline == NULL && rest < MARK_MAX)
            return;
        size_t size = newline != NULL ? (size_t)(newline + 1 - mark) : 0;
        if (size == 0 || size > MARK_MAX) {
            /* Somebody else wrote our nonce: it is data, and goes its way. */
            stream->clean += stream->started ? strlen(stream->nonce) : 0;
            if (!stream->started)
                stream->ended = true;
            continue;
        }
        memcpy(line, mark, size);
        line[size] = '\0';
        bool known = read_mark(stream, line + strlen(stream->nonce));
        if (!known) {
            stream->clean += size;
            continue;
        }
        memmove(mark, mark + size, rest - size);
        stream->end -= size;
    }
    if (stream->nonce == NULL)
        stream->clean = stream->end;
    if (stream->ended)
        stream->end = stream->clean;
}

static bool
try_again(int sys_errno)
{
    return sys_errno == EAGAIN || sys_errno == EWOULDBLOCK || sys_errno == EINTR;
}

static void
take(struct ssh_stream *stream)
{
    if (stream->start > 0) {
        memmove(stream->buffer, stream->buffer + stream->start, stream->end - stream->start);
        stream->end -= stream->start;
        stream->clean -= stream->start;
        stream->start = 0;
    }
    ssize_t got =
        read(stream->from, stream->buffer + stream->end, sizeof(stream->buffer) - stream->end);
    if (got > 0) {
        stream->end += (size_t)got;
        find_marks(stream);
    } else if (got == 0 || !try_again(errno)) {
        drop_from(stream);
        /* What was held back as the beginning of a mark was none. */
        if (stream->started)
            stream->clean = stream->end;
        if (stream->tell_end && stream->end < sizeof(stream->buffer)) {
            stream->buffer[stream->end++] = 4;
            stream->clean = stream->end;
        }
    }
}

ssize_t
ssh_stream_put(int fd, bool own, const void *bytes, size_t size)
{
    if (own)
        return write(fd, bytes, size);
    ssize_t put = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == ENOTSOCK)
        put = write(fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
    return put;
}

static void
give(struct ssh_stream *stream)
{
    ssize_t put = ssh_stream_put(stream->to, stream->own_to, stream->buffer + stream->start,
                                 stream->clean - stream->start);
    if (put > 0)
        stream->start += (size_t)put;
    else if (put < 0 && !try_again(errno))
        drop_to(stream);
}

void
ssh_stream_step(struct ssh_stream *stream, const struct pollfd fds[SSH_STREAM_POLLS])
{
    if (fds[0].revents != 0 && stream->from >= 0)
        take(stream);
    if (fds[1].revents != 0 && stream->to >= 0)
        give(stream);
    if (stream->to < 0)
        stream->start = stream->clean;
}
