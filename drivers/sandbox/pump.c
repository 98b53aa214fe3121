/* SPDX-License-Identifier: Apache-2.0 */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/cleanup.h"

/* A terminal that says it is writable takes this much without blocking. */
#define TERMINAL_CHUNK 256

/* Not a FIFO with a name: its owner could change the mode of that file through the descriptor. */
static bool
is_nameless_pipe(int fd, const struct stat *status)
{
    struct statfs about;
    return S_ISFIFO(status->st_mode) && fstatfs(fd, &about) == 0 &&
           (unsigned long)about.f_type == PIPEFS_MAGIC;
}

int
sandbox_pump_spare(int fd, bool inward)
{
    struct stat status;
    char path[64];
    if (fstat(fd, &status) < 0)
        return -1;
    /* null, zero and full of the memory devices (Documentation/admin-guide/devices.txt) */
    bool memory =
        S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 &&
        (minor(status.st_rdev) == 3 || minor(status.st_rdev) == 5 || minor(status.st_rdev) == 7);
    if (!memory && !is_nameless_pipe(fd, &status))
        return -1;
    int has = fcntl(fd, F_GETFL) & O_ACCMODE;
    if (has != O_RDWR && has != (inward ? O_RDONLY : O_WRONLY))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, (inward ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NOCTTY);
}

int
sandbox_pump_begin(struct sandbox_pump *pump, int outside, bool inward, int *inside)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int ours = inward ? ends[1] : ends[0];
    char *bytes = malloc(SANDBOX_PUMP_BUFFER);
    if (bytes == NULL || fcntl(ours, F_SETFL, O_NONBLOCK) < 0) {
        int failure = errno;
        close(ends[0]);
        close(ends[1]);
        free(bytes);
        return -failure;
    }
    pump->bytes = bytes;
    pump->from = inward ? outside : ours;
    pump->to = inward ? ours : outside;
    pump->inward = inward;
    pump->ended = false;
    pump->start = pump->end = 0;
    *inside = inward ? ends[0] : ends[1];
    return 0;
}

void
sandbox_pump_end(struct sandbox_pump *pump)
{
    int *ours = pump->inward ? &pump->to : &pump->from;
    billet_close_fd(ours);
    pump->from = pump->to = -1;
    free(pump->bytes);
    pump->bytes = NULL;
}

static bool
is_empty(const struct sandbox_pump *pump)
{
    return pump->start == pump->end;
}

void
sandbox_pump_prepare(const struct sandbox_pump *pump, struct pollfd *entry)
{
    *entry = (struct pollfd){.fd = -1};
    if (pump->to < 0)
        return;
    if (!is_empty(pump))
        *entry = (struct pollfd){.fd = pump->to, .events = POLLOUT};
    else if (!pump->ended)
        *entry = (struct pollfd){.fd = pump->from, .events = POLLIN};
}

static bool
try_again(int sys_errno)
{
    return sys_errno == EAGAIN || sys_errno == EWOULDBLOCK || sys_errno == EINTR;
}

static ssize_t
put(const struct sandbox_pump *pump)
{
    const char *bytes = pump->bytes + pump->start;
    size_t size = pump->end - pump->start;
    if (pump->inward)
        return write(pump->to, bytes, size);
    ssize_t sent = send(pump->to, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || errno != ENOTSOCK)
        return sent;
    struct stat status;
    if (fstat(pump->to, &status) == 0 && !S_ISREG(status.st_mode) && size > TERMINAL_CHUNK)
        size = TERMINAL_CHUNK;
    return write(pump->to, bytes, size);
}

void
sandbox_pump_step(struct sandbox_pump *pump, const struct pollfd *entry)
{
    if (entry->fd < 0 || entry->revents == 0 || pump->to < 0)
        return;
    if (is_empty(pump)) {
        ssize_t got = read(pump->from, pump->bytes, SANDBOX_PUMP_BUFFER);
        pump->start = 0;
        pump->end = got > 0 ? (size_t)got : 0;
        if (got == 0 || (got < 0 && !try_again(errno)))
            pump->ended = true;
        if (pump->ended && pump->inward)
            billet_close_fd(&pump->to); /* the command reads the end of its input */
        return;
    }
    ssize_t done = put(pump);
    if (done > 0) {
        pump->start += (size_t)done;
    } else if (done < 0 && !try_again(errno)) {
        /* Nobody reads any more: the command learns it by the closed pipe. */
        pump->start = pump->end = 0;
        pump->ended = true;
        if (pump->inward)
            billet_close_fd(&pump->to);
        else
            billet_close_fd(&pump->from);
    }
}

bool
sandbox_pump_is_done(const struct sandbox_pump *pump)
{
    if (pump->to < 0)
        return true;
    if (!is_empty(pump))
        return false;
    struct pollfd entry = {.fd = pump->from, .events = POLLIN};
    return pump->ended || poll(&entry, 1, 0) == 0;
}
