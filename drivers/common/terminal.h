/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - a pseudo-terminal for a command, and the relay between its master
 * and the caller's streams: bounded buffers, back pressure, no thread.
 *
 * The caller's descriptors are never made non-blocking (they are shared with
 * others) and never closed. The maker keeps the slave open while the command runs, so that a
 * command which closes its terminal and opens it again is not cut off. A hang-up of the terminal is
 * not the end: output is drained after the command ended, not before.
 */
#ifndef DRIVERS_COMMON_TERMINAL_H
#define DRIVERS_COMMON_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* Make one of rows x columns (0: 24 x 80). *master is non-blocking; both O_CLOEXEC: 0 or -errno. */
int billet_terminal_open(int rows, int columns, int *master, int *slave);
/* The kernel sends SIGWINCH to the foreground group: 0 or -errno. */
int billet_terminal_resize(int master, int rows, int columns);

#define BILLET_RELAY_BUFFER 16384
#define BILLET_RELAY_FDS 3 /* entries that billet_relay_prepare fills */

struct billet_relay_pipe {
    size_t start;
    size_t end;
    char bytes[BILLET_RELAY_BUFFER];
};

struct billet_relay {
    int master;
    int input;  /* read from, -1 once it ended */
    int output; /* written to, -1 once nobody reads */
    bool own_input;
    bool own_output;
    bool input_ended; /* the terminal is still to be told */
    bool at_line_start;
    bool master_ended; /* hang-up seen: no process has the terminal open */
    struct billet_relay_pipe in;
    struct billet_relay_pipe out;
};

void billet_relay_begin(struct billet_relay *relay, int master, int input, int output);
void billet_relay_end(struct billet_relay *relay);
/* What to wait for now; fds without interest are -1. */
void billet_relay_prepare(const struct billet_relay *relay, bool command_ended,
                          struct pollfd fds[BILLET_RELAY_FDS]);
/* Move what can be moved without blocking. */
void billet_relay_step(struct billet_relay *relay, const struct pollfd fds[BILLET_RELAY_FDS]);
/* After the end of the command: true once all that it wrote has been passed on. */
bool billet_relay_is_drained(struct billet_relay *relay);

#endif
