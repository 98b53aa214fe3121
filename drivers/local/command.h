/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - exec and signal of the local driver.
 *
 * A command begins a session of its own. Without PTY it has no controlling
 * terminal, even when its stdin is one: it can read and write it, but /dev/tty
 * and job control are not there. What it leaves in the background lives until
 * the lease is released; on time-out and cancel it dies with the command.
 */
#ifndef DRIVERS_LOCAL_COMMAND_H
#define DRIVERS_LOCAL_COMMAND_H

#include "local.h"

int32_t local_exec(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_exec *args, struct billet_exec_result *result,
                   struct billet_error *error);
int32_t local_signal(const struct billet_call *call, struct billet_lease_handle *handle,
                     const struct billet_signal *args, struct billet_error *error);

#endif
