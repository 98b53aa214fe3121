/* SPDX-License-Identifier: Apache-2.0 */
/* Durable commits without a database: as many bytes as SQLite logs for each commit of a run (8, 6,
 * 5 and 5 pages, each with its header), appended and flushed. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "floor.h"

#define PAGE (4096 + 24)
/* The log of a store does not grow for ever either. */
#define LOG_MAX (200 * PAGE)

static int file = -1;

void
floor_open(const char *path)
{
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        floor_die(path);
    if (lseek(file, 0, SEEK_END) > LOG_MAX)
        lseek(file, 0, SEEK_SET);
}

void
floor_commit(int at)
{
    static const int pages[FLOOR_COMMITS] = {8, 6, 5, 5};
    char bytes[PAGE];
    memset(bytes, at + 1, sizeof(bytes));
    for (int i = 0; i < pages[at]; i++)
        if (write(file, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            floor_die("write");
    if (fdatasync(file) != 0)
        floor_die("fdatasync");
}

void
floor_close(void)
{
    close(file);
}
