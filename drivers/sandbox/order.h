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

/* Sealed memfds; the caller's. */
int sandbox_setup_make(const struct billet_lease_handle *lease, const struct sandbox_config *config,
                       const struct sandbox_profile *profile, int *fd, struct billet_error *error);
int sandbox_order_make(const struct billet_lease_handle *lease, const struct billet_exec *exec,
                       int *fd, struct billet_error *error);

#endif
