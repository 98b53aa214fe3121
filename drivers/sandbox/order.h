/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.h - writes the order for billet-sandbox-init: the command, its
 * environment, and what the self-check is to find.
 */
#ifndef SANDBOX_ORDER_H
#define SANDBOX_ORDER_H

#include <billet/driver.h>

#include "lease.h"
#include "options.h"
#include "profile.h"

/* A sealed memfd; the caller's. */
int sandbox_order_make(const struct billet_lease_handle *lease, const struct sandbox_config *config,
                       const struct sandbox_profile *profile, const struct billet_exec *exec,
                       int *fd, struct billet_error *error);

#endif
