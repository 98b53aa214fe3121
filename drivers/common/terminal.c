/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cleanup.h"

/* What a pipe that polls writable takes without blocking. */
#define WRITE_CHUNK PIPE_BUF

int
billet_terminal_resize(int master, int rows, int columns)
{
    struct winsize size = {
        .ws_row = (unsigned short)(rows > 0 && rows <= USHRT_MAX ? rows : 24),
        .ws_col = (unsigned short)(columns > 0 && columns <= USHRT_MAX ? columns : 80),
    };
    return ioctl(master, TIOCSWINSZ, &size) == 0 ? 0 : -errno;
}

int
billet_terminal_open(int rows, int columns, int *master, int *slave)
{
    cleanup_fd int first = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (first < 0 || grantpt(first) < 0 || unlockpt(first) < 0)
        return -errno;
    cleanup_fd int second = ioctl(first, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (second < 0)
        return -errno;
    int result = billet_terminal_resize(first, rows, columns);
    if (result < 0)
        return result;
    *master = billet_take_fd(&first);
    *slave = billet_take_fd(&second);
    return 0;
}

/* An open file of our own for the same pipe or terminal, so that it can be non-blocking: -1 when it
 * is another kind of file or belongs to somebody else. */
static int
reopen(int fd, int mode)
{
    struct stat about;
    char path[64];
    if (fstat(fd, &about) < 0 || (!S_ISFIFO(about.st_mode) && !S_ISCHR(about.st_mode)))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void
billet_relay_begin(struct billet_relay *relay, int master, int input, int output)
{
    *relay = (struct billet_relay){.master = master, .at_line_start = true};
    int own = input >= 0 ? reopen(input, O_RDONLY) : -1;
    relay->own_input = own >= 0;
    relay->input = own >= 0 ? own : input;
    own = output >= 0 ? reopen(output, O_WRONLY) : -1;
    relay->own_output = own >= 0;
    relay->output = own >= 0 ? own : output;
}

static void
drop_input(struct billet_relay *relay)
{
    if (relay->own_input)
        billet_close_fd(&relay->input);
    relay->input = -1;
}

static void
drop_output(struct billet_relay *relay)
{
    if (relay->own_output)
        billet_close_fd(&relay->output);
    relay->output = -1;
    relay->out.start = relay->out.end = 0;
}

void
billet_relay_end(struct billet_relay *relay)
{
    drop_input(relay);
    drop_output(relay);
}

static bool
is_empty(const struct billet_relay_pipe *pipe)
{
    return pipe->start == pipe->end;
}

void
billet_relay_prepare(const struct billet_relay *relay, bool command_ended,
                     struct pollfd fds[BILLET_RELAY_FDS])
{
    short want = 0;
    if (!relay->master_ended) {
        if (is_empty(&relay->out))
            want |= POLLIN;
        if (!command_ended && (!is_empty(&relay->in) || relay->input_ended))
            want |= POLLOUT;
    }
    bool takes = !command_ended && relay->input >= 0 && is_empty(&relay->in);
    /* A terminal that nobody has open polls as hung up for ever; it is looked at by reading. */
    fds[0] = (struct pollfd){.fd = want != 0 ? relay->master : -1, .events = want};
    fds[1] = (struct pollfd){.fd = takes ? relay->input : -1, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = is_empty(&relay->out) ? -1 : relay->output, .events = POLLOUT};
}

static bool
try_again(int sys_errno)
{
    return sys_errno == EAGAIN || sys_errno == EWOULDBLOCK || sys_errno == EINTR;
}

/* From the caller into the buffer. */
static void
take_input(struct billet_relay *relay)
{
    ssize_t got = read(relay->input, relay->in.bytes, sizeof(relay->in.bytes));
    if (got > 0) {
        relay->in.start = 0;
        relay->in.end = (size_t)got;
    } else if (got == 0 || !try_again(errno)) {
        relay->input_ended = true;
        drop_input(relay);
    }
}

/* The end of the input is an end-of-file character for a command that reads lines; one in the
 * middle of a line only ends the line, so there it takes two. Nothing is sent to a raw terminal. */
static void
tell_end(struct billet_relay *relay)
{
    struct termios settings;
    relay->input_ended = false;
    if (tcgetattr(relay->master, &settings) < 0 || (settings.c_lflag & ICANON) == 0 ||
        settings.c_cc[VEOF] == 0)
        return;
    relay->in.start = 0;
    relay->in.end = relay->at_line_start ? 1 : 2;
    memset(relay->in.bytes, settings.c_cc[VEOF], relay->in.end);
    relay->at_line_start = true;
}

static void
give_input(struct billet_relay *relay)
{
    if (is_empty(&relay->in) && relay->input_ended)
        tell_end(relay);
    if (is_empty(&relay->in))
        return;
    ssize_t put =
        write(relay->master, relay->in.bytes + relay->in.start, relay->in.end - relay->in.start);
    if (put > 0) {
        relay->in.start += (size_t)put;
        char last = relay->in.bytes[relay->in.start - 1];
        relay->at_line_start = last == '\n' || last == '\r';
    } else if (put < 0 && !try_again(errno)) {
        relay->in.start = relay->in.end;
    }
}

static void
take_output(struct billet_relay *relay)
{
    ssize_t got = read(relay->master, relay->out.bytes, sizeof(relay->out.bytes));
    if (got > 0) {
        relay->out.start = 0;
        relay->out.end = relay->output >= 0 ? (size_t)got : 0;
    } else if (got == 0 || !try_again(errno)) {
        relay->master_ended = true;
    }
}

static void
give_output(struct billet_relay *relay)
{
    size_t size = relay->out.end - relay->out.start;
    const char *from = relay->out.bytes + relay->out.start;
    ssize_t put = -1;
    errno = ENOTSOCK;
    if (!relay->own_output) {
        put = send(relay->output, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == ENOTSOCK)
            put = write(relay->output, from, size < WRITE_CHUNK ? size : WRITE_CHUNK);
    } else {
        put = write(relay->output, from, size);
    }
    if (put > 0)
        relay->out.start += (size_t)put;
    else if (put < 0 && !try_again(errno))
        drop_output(relay); /* nobody reads: go on so that the command is not stuck */
}

void
billet_relay_step(struct billet_relay *relay, const struct pollfd fds[BILLET_RELAY_FDS])
{
    if (fds[1].revents != 0 && relay->input >= 0)
        take_input(relay);
    if (fds[0].revents & POLLOUT)
        give_input(relay);
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && is_empty(&relay->out) &&
        !relay->master_ended)
        take_output(relay);
    if (!is_empty(&relay->out) && relay->output < 0)
        relay->out.start = relay->out.end = 0;
    if (fds[2].revents != 0 && relay->output >= 0 && !is_empty(&relay->out))
        give_output(relay);
}

bool
billet_relay_is_drained(struct billet_relay *relay)
{
    /* Reading a terminal flushes what the other side has written before it says EAGAIN or EIO. */
    for (int i = 0; i < 4096 && is_empty(&relay->out) && !relay->master_ended; i++) {
        ssize_t got = read(relay->master, relay->out.bytes, sizeof(relay->out.bytes));
        if (got > 0 && relay->output >= 0) {
            relay->out.start = 0;
            relay->out.end = (size_t)got;
        } else if (got == 0 || (got < 0 && errno != EINTR)) {
            return true;
        }
    }
    return is_empty(&relay->out);
}
