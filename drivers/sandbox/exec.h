/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.h - one command in the sandbox of its lease: its order, its streams, its
 * time limit, and how it ended. What it left running lives on with the sandbox. Owns
 * the conversation with the command's supervisor inside.
 */
#ifndef SANDBOX_EXEC_H
#define SANDBOX_EXEC_H

#include <billet/driver.h>

#include "lease.h"
#include "options.h"

/* missing (may be NULL): receives what the self-check inside found missing, "" when nothing. */
int sandbox_exec(const struct billet_host *host, const struct billet_call *call,
                 struct billet_lease_handle *lease, const struct sandbox_config *config,
                 const struct billet_exec *exec, struct billet_exec_result *result, char *missing,
                 size_t missing_size, struct billet_error *error);

/* Deliver to the command that runs on this handle, from another thread. */
int sandbox_exec_signal(struct billet_lease_handle *lease, const struct billet_signal *signal,
                        struct billet_error *error);

#endif
