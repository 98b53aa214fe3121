/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_gate.c - keeps commands on a held lease and the bringing back of its workspace apart.
 *
 * STATE/travel/LEASE.gate, two bytes with locks of an open file: a command holds ROOM shared to its
 * end, and passes DOOR for that; who brings back holds DOOR, so that no new ones come, ends those
 * that are there, and waits until ROOM is empty. A dead process holds neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "run/session_private.h"

#define DOOR 0
#define ROOM 1
#define PAUSE_NS 5000000
#define EMPTY_PATIENCE (BILLET_NS_PER_SECOND / 2)
#define ENTER_PATIENCE (600 * BILLET_NS_PER_SECOND)

static int
open_gate(struct billet_session *session, struct billet_error *error)
{
    cleanup_free char *directory = NULL;
    cleanup_free char *path = NULL;
    if (session->travel.gate_fd > 0)
        return 0;
    if (asprintf(&directory, "%s/travel", session->context->state_directory) < 0 ||
        asprintf(&path, "%s/%s.gate", directory, session->lease.lease.id) < 0)
        return billet_error_no_memory(error);
    int result = billet_io_make_directories(directory, 0700, error);
    if (result < 0)
        return result;
    session->travel.gate_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return session->travel.gate_fd >= 0
               ? 0
               : billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path);
}

/* 1 locked, 0 somebody has it, negative: failed. */
static int
try_lock(int fd, short type, off_t byte, struct billet_error *error)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &range) == 0)
        return 1;
    return errno == EAGAIN || errno == EACCES || errno == EINTR
               ? 0
               : billet_error_errno(error, 0, "io_failed", errno, "lock of the lease");
}

static int
lock_within(const struct billet_session *session, short type, off_t byte, int64_t patience_ns,
            struct billet_error *error)
{
    int64_t limit_ns = billet_clock_monotonic() + patience_ns;
    int result;
    while ((result = try_lock(session->travel.gate_fd, type, byte, error)) == 0 &&
           billet_clock_monotonic() < limit_ns && !billet_session_interrupted(session))
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return result;
}

int
billet_session_gate_enter(struct billet_session *session, struct billet_error *error)
{
    int result = open_gate(session, error);
    if (result == 0)
        result = lock_within(session, F_RDLCK, DOOR, ENTER_PATIENCE, error);
    if (result > 0)
        result = lock_within(session, F_RDLCK, ROOM, ENTER_PATIENCE, error);
    if (result > 0)
        result = try_lock(session->travel.gate_fd, F_UNLCK, DOOR, error);
    if (result == 0 && billet_session_interrupted(session))
        return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                "cancelled while the workspace of the lease was brought back");
    if (result == 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_busy",
                                "the workspace of lease %s is being brought back",
                                session->lease.lease.id);
    return result < 0 ? result : 0;
}

int
billet_session_gate_shut(struct billet_session *session, struct billet_error *error)
{
    int result = open_gate(session, error);
    if (result == 0)
        result = lock_within(session, F_WRLCK, DOOR, ENTER_PATIENCE, error);
    if (result == 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_busy",
                                "another process brings back the workspace of lease %s",
                                session->lease.lease.id);
    return result < 0 ? result : 0;
}

int
billet_session_gate_empty(struct billet_session *session, struct billet_error *error)
{
    return lock_within(session, F_WRLCK, ROOM, EMPTY_PATIENCE, error);
}

void
billet_session_gate_open(struct billet_session *session)
{
    if (session->travel.gate_fd > 0)
        billet_close(&session->travel.gate_fd);
    session->travel.gate_fd = 0;
}
