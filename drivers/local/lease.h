/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - a lease of the local driver: label, control group, and the end of
 * everything that ran in it. Callbacks of the driver table.
 */
#ifndef DRIVERS_LOCAL_LEASE_H
#define DRIVERS_LOCAL_LEASE_H

#include "local.h"

int32_t local_acquire(const struct billet_call *call, const struct billet_acquire *args,
                      struct billet_acquired *result, struct billet_error *error);
int32_t local_resume(const struct billet_call *call, const struct billet_resume *args,
                     struct billet_acquired *result, struct billet_error *error);
int32_t local_release(const struct billet_call *call, struct billet_lease_handle *handle,
                      int32_t disposition, struct billet_error *error);
int32_t local_destroy(const struct billet_call *call, const struct billet_destroy *args,
                      struct billet_error *error);
int32_t local_list(const struct billet_call *call, struct billet_error *error);
int32_t local_realize(const struct billet_call *call, struct billet_lease_handle *handle,
                      const struct billet_realize *args, struct billet_realized *result,
                      struct billet_error *error);

/* True while this is the only lease of the process, so that every orphan is its own. */
bool local_lease_is_alone(void);

#endif
