/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - remove the resource of a lease whose own process is gone or gave up: a fresh driver
 * host, destroy by ref and lease id, with the configuration recorded at acquire.
 */
#ifndef BILLET_RUN_CLEANUP_H
#define BILLET_RUN_CLEANUP_H

#include "run/context.h"

/* Idempotent. Codes lease_cleanup_failed around the driver's. */
int billet_cleanup_resource(struct billet_context *context, const struct billet_lease *lease,
                            struct billet_error *error);

/* The driver settings recorded with a lease. */
int billet_cleanup_settings(const struct billet_lease *lease, struct billet_settings *settings,
                            struct billet_error *error);

#endif
