/* SPDX-License-Identifier: Apache-2.0 */
#include "run/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

void
billet_terminal_raw(struct billet_terminal *terminal, int fd)
{
    struct termios raw;
    if (terminal->fd >= 0 || fd < 0 || !isatty(fd) || tcgetattr(fd, &terminal->saved) != 0)
        return;
    raw = terminal->saved;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0)
        terminal->fd = fd;
}

void
billet_terminal_restore(struct billet_terminal *terminal)
{
    if (terminal->fd >= 0)
        tcsetattr(terminal->fd, TCSADRAIN, &terminal->saved);
    terminal->fd = -1;
}

bool
billet_terminal_size(const int *fds, int count, int *rows, int *columns)
{
    for (int i = 0; i < count; i++) {
        struct winsize size;
        if (fds[i] >= 0 && ioctl(fds[i], TIOCGWINSZ, &size) == 0 && size.ws_row > 0 &&
            size.ws_col > 0) {
            *rows = size.ws_row;
            *columns = size.ws_col;
            return true;
        }
    }
    *rows = 24;
    *columns = 80;
    return false;
}
