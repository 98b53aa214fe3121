/* SPDX-License-Identifier: Apache-2.0 */
/*
 * install.h - brings billet-guest to the host, once for each content: ~/.cache/billet/guest-HASH.
 *
 * Never fails a lease: without a guest the driver works with the shell that the host has.
 */
#ifndef DRIVERS_SSH_INSTALL_H
#define DRIVERS_SSH_INSTALL_H

#include "keeper.h"

struct ssh_guest_place {
    char path[SSH_PATH_MAX]; /* on the host, it was run there; "": there is none */
    char why[256];           /* why there is none */
    bool missing;            /* it can be brought there and has not been yet */
};

/* Look for it over the connection. */
void ssh_guest_find(struct ssh_keeper *keeper, int64_t deadline_ns, struct ssh_guest_place *place);

/* The same, and bring it there when it is missing. The lease's directory must exist. */
void ssh_guest_install(const struct billet_call *call, struct billet_lease_handle *handle,
                       struct ssh_guest_place *place);

#endif
