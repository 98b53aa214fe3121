/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.h - writes what billet-sandbox-init is given: the setup, with what the
 * self-check is to find, and the order for each command.
 */
#ifndef SANDBOX_ORDER_H
#define SANDBOX_ORDER_H

#include <billet/driver.h>

#include "lease.h"
#include "options.h"
#include "profile.h"
#include "protocol.h"

/* A sealed memfd; the caller's. */
int sandbox_setup_make(const struct billet_lease_handle *lease, const struct sandbox_config *config,
                       const struct sandbox_profile *profile, int *fd, struct billet_error *error);
/* The message that begins a command, with its order; where that is too long, *fd holds it, the
 * caller's to close, else -1. May hold secrets: to be wiped once it is sent. */
int sandbox_order_make(const struct billet_lease_handle *lease, const struct billet_exec *exec,
                       struct sandbox_begin *begin, int *fd, struct billet_error *error);

#endif
