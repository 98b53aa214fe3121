/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter_write.c - writes the system call filter down as the bytes of a C array,
 * while billet is built: libseccomp takes as long for it as the kernel for half a
 * sandbox, and the result is the same each time. Not installed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "filter.h"

int
main(void)
{
    struct billet_error error = BILLET_ERROR_INIT;
    unsigned char bytes[4096];
    size_t count = 0;
    ssize_t got;
    int fd = -1;

    if (sandbox_filter_make(&fd, &error) < 0) {
        fprintf(stderr, "filter_write: %s\n", error.message);
        return 1;
    }
    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < got; i++, count++)
            printf("0x%02x,%s", bytes[i], count % 16 == 15 ? "\n" : " ");
    if (got < 0 || count == 0 || count % 8 != 0) /* of struct sock_filter */
        return 1;
    putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}
