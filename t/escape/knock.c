/* SPDX-License-Identifier: Apache-2.0 */
/*
 * knock DOOR - a driver that says nothing: connects to the door of a sandbox and stays until its
 * standard input ends. Writes a line once it is connected.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (argc != 2 || socket_fd < 0)
        return 125;
    /* The path may be longer than an address has room for. */
    char *name = strrchr(argv[1], '/');
    if (name == NULL)
        return 125;
    *name++ = '\0';
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    if (chdir(argv[1]) < 0 ||
        connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        fprintf(stderr, "knock: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    puts("connected");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}
