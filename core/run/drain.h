/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain.h - environments that take no new leases. One of the store has that in its row; for one
 * that a file defines, or that is built in, the store keeps a mark, one for each tenant.
 */
#ifndef BILLET_RUN_DRAIN_H
#define BILLET_RUN_DRAIN_H

#include "run/context.h"

/* Whether the store keeps the row of the environment. */
bool billet_drain_is_stored(const struct billet_environment *environment);

/* Status and reason of an environment that is not the store's, as the mark says; of the store's
 * nothing is changed. */
int billet_drain_read(struct billet_store *store, const char *tenant,
                      struct billet_environment *environment, struct billet_error *error);

/* Keep the status and reason of the environment: in its row with the activity, or as the mark,
 * before which the activity is recorded. */
int billet_drain_write(struct billet_store *store, const char *tenant,
                       const struct billet_environment *environment,
                       const struct billet_activity *activity, struct billet_error *error);

/* UNAVAILABLE, environment_inactive unless it is active. */
int billet_drain_refuse(const struct billet_environment *environment, struct billet_error *error);

#endif
