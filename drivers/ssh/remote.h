/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h - exec through billet-guest: one channel of it for each command, no process here.
 */
#ifndef DRIVERS_SSH_REMOTE_H
#define DRIVERS_SSH_REMOTE_H

#include "guest.h"

/* As ssh_exec, over a guest that the caller holds. id: CONNECTION-NUMBER, the value of
 * BILLET_EXEC_ID without "ssh-". retry is set when the command did not reach the guest. */
int ssh_exec_remotely(const struct billet_call *call, struct billet_lease_handle *handle,
                      struct ssh_keeper *keeper, struct ssh_guest *guest, const char *id,
                      const struct billet_exec *args, struct billet_exec_result *result,
                      bool *retry, struct billet_error *error);

#endif
