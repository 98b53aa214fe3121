/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - a lease of the ssh driver: the directory ROOT/LEASE on the host with its label, the
 * connection to it, and the end of everything that ran in it. Callbacks of the driver table.
 */
#ifndef DRIVERS_SSH_LEASE_H
#define DRIVERS_SSH_LEASE_H

#include "settings.h"

int32_t ssh_acquire(const struct billet_call *call, const struct billet_acquire *args,
                    struct billet_acquired *result, struct billet_error *error);
int32_t ssh_resume(const struct billet_call *call, const struct billet_resume *args,
                   struct billet_acquired *result, struct billet_error *error);
int32_t ssh_release(const struct billet_call *call, struct billet_lease_handle *handle,
                    int32_t disposition, struct billet_error *error);
int32_t ssh_destroy(const struct billet_call *call, const struct billet_destroy *args,
                    struct billet_error *error);
int32_t ssh_list(const struct billet_call *call, struct billet_error *error);
int32_t ssh_realize(const struct billet_call *call, struct billet_lease_handle *handle,
                    const struct billet_realize *args, struct billet_realized *result,
                    struct billet_error *error);

/* The connection, made anew once when it was lost and nothing runs over it. Each success is paired
 * with ssh_lease_leave. */
int ssh_lease_enter(const struct billet_call *call, struct billet_lease_handle *handle,
                    struct ssh_keeper **keeper, struct billet_error *error);
/* The guest over that connection, started when it does not run; held for the caller. NULL: there is
 * none, or it cannot be started, and the lease goes on without. Between enter and leave. */
struct ssh_guest *ssh_lease_guest(const struct billet_call *call,
                                  struct billet_lease_handle *handle);
void ssh_lease_leave(struct billet_lease_handle *handle);

/* Unknown flags and a missing identity are CONFIG. */
int ssh_check_call(const struct billet_call *call, uint64_t known, struct billet_error *error);

#endif
