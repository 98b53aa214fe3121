/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - remove the resource of a lease whose own process is gone or gave up: destroy by ref
 * and lease id in a driver host of its own, with the configuration recorded at acquire.
 */
#ifndef BILLET_RUN_CLEANUP_H
#define BILLET_RUN_CLEANUP_H

#include "run/context.h"

/* A driver host for one lease after another: the same while driver and tenant stay the same, no
 * call failed and none was given a secret. */
struct billet_cleanup_host {
    struct billet_driver_client *client; /* NULL: none is up */
    char *driver;
    char *tenant;
};
#define BILLET_CLEANUP_HOST_INIT \
    {                            \
        0                        \
    }

/* Idempotent. host: NULL for one that ends with the call. Codes lease_cleanup_failed around the
 * driver's. */
int billet_cleanup_resource(struct billet_context *context, struct billet_cleanup_host *host,
                            const struct billet_lease *lease, struct billet_error *error);
void billet_cleanup_host_stop(struct billet_cleanup_host *host);

/* The driver settings recorded with a lease. */
int billet_cleanup_settings(const struct billet_lease *lease, struct billet_settings *settings,
                            struct billet_error *error);

#endif
