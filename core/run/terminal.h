/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal.h - the caller's own terminal while a command has a pty: raw mode and
 * its restoration at every end, and the size to pass on.
 */
#ifndef BILLET_RUN_TERMINAL_H
#define BILLET_RUN_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

struct billet_terminal {
    int fd; /* -1: not raw */
    struct termios saved;
};

#define BILLET_TERMINAL_INIT \
    {                        \
        .fd = -1             \
    }

/* Raw mode when fd is a terminal; nothing otherwise. */
void billet_terminal_raw(struct billet_terminal *terminal, int fd);
void billet_terminal_restore(struct billet_terminal *terminal);
/* Size of the first of the descriptors that is a terminal; false (24 x 80) when none is. */
bool billet_terminal_size(const int *fds, int count, int *rows, int *columns);

#endif
