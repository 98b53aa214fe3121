/* SPDX-License-Identifier: Apache-2.0 */
#include "run/drive.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "run/stream.h"
#include "run/terminal.h"

#define TICK_NS BILLET_NS_PER_SECOND
#define SIGNALS_UNTIL_KILL 3
/* What looks like the beginning of a secret waits this long for more. */
#define HELD_NS (BILLET_NS_PER_SECOND / 20)

/* A signal that comes before the command runs waits for it this long, then the start is cancelled.
 */
#define START_PATIENCE_NS (2 * BILLET_NS_PER_SECOND)

enum {
    SLOT_DRIVER,
    SLOT_ENDING,
    SLOT_SIZE,
    SLOT_STREAMS,
    SLOT_COUNT = SLOT_STREAMS + BILLET_STREAM_POLL_MAX
};

struct loop {
    struct billet_drive *drive;
    struct billet_streams streams;
    struct billet_driver_exec_state state;
    int64_t next_beat_ns;
    bool told_start;
    bool cancelled;
    int held[SIGNALS_UNTIL_KILL]; /* signals that came before the start */
    int held_count;
    int64_t held_since_ns;
    int lost; /* what the heartbeat returned */
    struct billet_error lost_error;
};

static void
cancel(struct loop *loop)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (loop->cancelled)
        return;
    loop->cancelled = true;
    if (billet_driver_exec_cancel(loop->drive->client, &error) < 0)
        billet_log(BILLET_LOG_DEBUG, "cannot cancel: %s", error.message);
}

/* Pass signals on; the third one ends the command's whole tree. */
static void
take_signals(struct loop *loop)
{
    struct billet_drive *drive = loop->drive;
    const struct billet_driver_info *info = billet_driver_info(drive->client);
    struct billet_error error = BILLET_ERROR_INIT;
    int rows;
    int columns;

    if (drive->signals == NULL)
        return;
    for (int number; (number = billet_signals_take(drive->signals)) != 0;) {
        if (drive->signals->count >= SIGNALS_UNTIL_KILL ||
            (info->capabilities & BILLET_CAN_SIGNAL) == 0) {
            cancel(loop);
        } else {
            loop->held[loop->held_count++] = number;
            loop->held_since_ns = billet_clock_monotonic();
        }
        /* A command that ignores it would go on for ever, on a terminal that nobody can reach. */
        if (number == SIGHUP && drive->pty && !isatty(drive->fds[0]))
            cancel(loop);
    }
    for (int i = 0; loop->state.started && i < loop->held_count; i++)
        if (billet_driver_exec_signal(drive->client, loop->held[i], 0, 0, &error) < 0)
            billet_log(BILLET_LOG_WARNING, "cannot pass on signal %d: %s", loop->held[i],
                       error.message);
    if (loop->state.started)
        loop->held_count = 0;
    else if (loop->held_count > 0 &&
             billet_clock_monotonic() - loop->held_since_ns > START_PATIENCE_NS)
        cancel(loop);
    if (billet_signals_resized(drive->signals) && drive->pty &&
        billet_terminal_size(drive->fds, 3, &rows, &columns))
        billet_driver_exec_signal(drive->client, SIGWINCH, rows, columns, &error);
}

static void
keep_lease(struct loop *loop)
{
    struct billet_drive *drive = loop->drive;
    int64_t now = billet_clock_monotonic();
    if (drive->beat == NULL || now < loop->next_beat_ns || loop->lost < 0)
        return;
    loop->next_beat_ns = now + drive->beat_every_ns;
    loop->lost = drive->beat(drive->beat_context, &loop->lost_error);
    if (loop->lost < 0)
        cancel(loop);
}

static int
poll_once(struct loop *loop)
{
    struct pollfd set[SLOT_COUNT] = {
        [SLOT_DRIVER] = {.fd = billet_driver_poll_fd(loop->drive->client), .events = POLLIN},
        [SLOT_ENDING] = {.fd = -1},
        [SLOT_SIZE] = {.fd = -1},
    };
    if (loop->drive->signals != NULL) {
        set[SLOT_ENDING] = (struct pollfd){.fd = loop->drive->signals->ending_fd, .events = POLLIN};
        set[SLOT_SIZE] = (struct pollfd){.fd = loop->drive->signals->size_fd, .events = POLLIN};
    }
    size_t used = billet_streams_poll(&loop->streams, set + SLOT_STREAMS);
    int64_t wait_ns = billet_streams_hold(&loop->streams) ? HELD_NS : TICK_NS;
    if (loop->drive->beat != NULL && loop->lost == 0) {
        int64_t until = loop->next_beat_ns - billet_clock_monotonic();
        wait_ns = until < wait_ns ? (until > 0 ? until : 0) : wait_ns;
    }
    int ready = poll(set, SLOT_STREAMS + used, (int)((wait_ns + 999999) / 1000000));
    if (ready < 0 && errno != EINTR)
        return -errno;
    if (ready > 0)
        billet_streams_step(&loop->streams, set + SLOT_STREAMS);
    else
        billet_streams_idle(&loop->streams);
    return 0;
}

static void
tell_start(struct loop *loop)
{
    if (loop->told_start || !loop->state.started)
        return;
    loop->told_start = true;
    billet_status_write(loop->drive->status_fd, "started",
                        json_pack("{s:I}", "pid", (json_int_t)loop->state.pid));
}

static int
run_loop(struct loop *loop, struct billet_error *error)
{
    do {
        take_signals(loop);
        keep_lease(loop);
        int result = poll_once(loop);
        if (result < 0)
            return billet_error_errno(error, 0, "internal", -result, "cannot wait for events");
        result = billet_driver_exec_step(loop->drive->client, &loop->state, error);
        if (result < 0)
            return result;
        tell_start(loop);
    } while (!loop->state.ended);
    return 0;
}

/* What the command wrote last still goes out; an ending signal stops the waiting. */
static void
drain(struct loop *loop)
{
    while (!billet_streams_drain(&loop->streams, billet_clock_monotonic() + TICK_NS)) {
        keep_lease(loop);
        if (loop->drive->signals != NULL && billet_signals_take(loop->drive->signals) != 0)
            return;
    }
}

int
billet_drive(struct billet_drive *drive, struct billet_ending *ending, struct billet_error *error)
{
    const struct billet_driver_info *info = billet_driver_info(drive->client);
    struct billet_terminal terminal = BILLET_TERMINAL_INIT;
    struct loop loop = {.drive = drive, .lost_error = BILLET_ERROR_INIT};
    bool confined = (info->capabilities & BILLET_CAN_CONFINE) != 0;
    struct billet_driver_exec exec = {
        .argv = drive->argv,
        .environment = drive->environment,
        .directory = drive->directory,
        .pty = drive->pty,
        .timeout_ns = drive->timeout_ns,
        .kill_after_ns = drive->kill_after_ns,
        .hints = drive->last ? BILLET_HINT_LAST : 0,
    };

    *ending = (struct billet_ending){.origin = "billet"};
    if (drive->pty && (info->capabilities & BILLET_CAN_PTY) == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_adapter_environment",
                                "driver %s has no terminals", info->name);
    /* With a pty the driver itself relays, and the command never sees these descriptors. */
    int result = billet_streams_open(&loop.streams, drive->fds, confined && !drive->pty,
                                     drive->redact, error);
    if (result < 0)
        return result;
    memcpy(exec.fds, loop.streams.command, sizeof(exec.fds));
    if (drive->pty) {
        billet_terminal_size(drive->fds, 3, &exec.rows, &exec.columns);
        billet_terminal_raw(&terminal, drive->fds[0]);
    }
    loop.next_beat_ns = billet_clock_monotonic() + drive->beat_every_ns;
    result = billet_driver_exec_begin(drive->client, drive->call, &exec, error);
    billet_streams_handed_over(&loop.streams);
    if (result == 0)
        result = run_loop(&loop, error);
    if (result == 0)
        drain(&loop);
    billet_streams_close(&loop.streams);
    billet_terminal_restore(&terminal);
    if (loop.lost < 0) {
        *error = loop.lost_error;
        return loop.lost;
    }
    if (result < 0) {
        ending->origin = "driver";
        ending->retryable = error->retryable != 0;
        return result;
    }
    ending->outcome = loop.state.result.outcome;
    ending->value = loop.state.result.value;
    ending->origin =
        ending->outcome == BILLET_OUTCOME_TIMED_OUT || ending->outcome == BILLET_OUTCOME_CANCELLED
            ? "billet"
            : "command";
    if (ending->outcome == BILLET_OUTCOME_CANCELLED && drive->signals != NULL)
        ending->value = drive->signals->last;
    return 0;
}
