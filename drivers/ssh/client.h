/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - the OpenSSH client as a child: its arguments for the first connection and for a
 * further session over it, its environment, and what its words on standard error mean.
 *
 * Never a shell on our side but the one that OpenSSH starts for a ProxyCommand, whose words are
 * quoted here. A further session never opens a connection of its own.
 */
#ifndef DRIVERS_SSH_CLIENT_H
#define DRIVERS_SSH_CLIENT_H

#include <sys/types.h>

#include "settings.h"

/* Where the parts of one connection are; a private directory that is removed with it. */
struct ssh_place {
    char directory[96];
    char control[108]; /* the ControlPath */
    char agent[108];   /* socket of the agent of the lease, "": none */
};

/* Make the directory, short enough for a socket in it: 0 or negative class. */
int ssh_place_make(struct ssh_place *place, struct billet_error *error);
void ssh_place_remove(struct ssh_place *place);

/* Start the client; fds as in billet_launch. shared: a session over the connection at place that
 * exists; else the connection itself. terminal_fd -1: no terminal. term: TERM for a terminal. */
struct ssh_client {
    const struct ssh_settings *settings;
    const struct ssh_place *place;
    bool shared;
    const char *command;
    int fds[3];
    int terminal_fd;
    const char *term;
};
int ssh_client_start(const struct ssh_client *client, pid_t *pid, int *pidfd,
                     struct billet_error *error);

/* Start an agent at place->agent that holds settings->identity, which reaches it by a descriptor.
 */
int ssh_agent_start(const struct ssh_settings *settings, struct ssh_place *place, pid_t *pid,
                    int *pidfd, struct billet_error *error);

/* A program of OpenSSH with a few arguments, its standard output and error collected: its exit
 * status, or negative. */
int ssh_program_run(const char *const *argv, const char *agent_socket, int input_fd, char *said,
                    size_t size);

/* The same with the client itself, which connects to one host of the way as far as its key: that is
 * appended to file (of place, absolute), and nobody is authenticated there. The hosts before it are
 * proved and log in as for a run. */
struct ssh_look {
    int hop;           /* of settings->jumps; their number: the host itself */
    const char *file;  /* of known hosts */
    const char *types; /* to be preferred, commas between them; "": as the client does */
};
int ssh_client_look(const struct billet_call *call, const struct ssh_settings *settings,
                    const struct ssh_place *place, const struct ssh_look *look, char *said,
                    size_t size);

/* SIGKILL and reap. */
void ssh_child_end(pid_t *pid, int *pidfd);

/* Fill *error from what the client said before it ended with status; returns the negative class. */
int ssh_client_explain(const struct ssh_settings *settings, const char *said,
                       struct billet_error *error);

#endif
