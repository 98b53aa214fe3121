/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - exec and signal of the ssh driver: one session over the lease's connection for each
 * command.
 *
 * The command line that the login shell sees is the same for all commands; arguments and
 * environment travel as one line of quoted words in front of the command's input. What a command
 * leaves in the background lives until the lease is released; on time-out, cancel and loss of the
 * connection it dies with the command. A command that ends with exit code 130 or 141 is reported as
 * ended by SIGINT or SIGPIPE, which sh cannot tell apart.
 */
#ifndef DRIVERS_SSH_COMMAND_H
#define DRIVERS_SSH_COMMAND_H

#include "ssh.h"

int32_t ssh_exec(const struct billet_call *call, struct billet_lease_handle *handle,
                 const struct billet_exec *args, struct billet_exec_result *result,
                 struct billet_error *error);
/* As a part of another operation, by the host's shell alone: the core is not told of a start. */
int32_t ssh_exec_quietly(const struct billet_call *call, struct billet_lease_handle *handle,
                         const struct billet_exec *args, struct billet_exec_result *result,
                         struct billet_error *error);
/* TERM of a terminal for the command. */
const char *ssh_wanted_term(const struct billet_exec *args);
/* While a command runs signals reach it. */
void ssh_command_enter(struct billet_lease_handle *handle, struct ssh_command *command);
void ssh_command_leave(struct billet_lease_handle *handle, const struct ssh_command *command);
int32_t ssh_signal(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_signal *args, struct billet_error *error);

#endif
