/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

void
die(const char *what)
{
    perror(what);
    exit(1);
}

int
fake_listen(const char *port_file, const char *log_file, FILE **record)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    char temporary[4096];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    alarm(300);
    *record = fopen(log_file, "we");
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*record == NULL || listener < 0 || bind(listener, (void *)&address, length) != 0 ||
        listen(listener, 16) != 0 || getsockname(listener, (void *)&address, &length) != 0)
        die("cannot listen");
    snprintf(temporary, sizeof(temporary), "%s.new", port_file);
    FILE *port = fopen(temporary, "we");
    if (port == NULL || fprintf(port, "%d\n", ntohs(address.sin_port)) < 0 || fclose(port) != 0 ||
        rename(temporary, port_file) != 0)
        die(port_file);
    return listener;
}

int
fake_accept(int listener)
{
    int client = accept(listener, NULL, NULL);
    if (client < 0)
        die("accept");
    return client;
}
