/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.h - which environment a run gets (design section 6, step 1): the one
 * named, else the workspace's .billet file, else the user's or system's default,
 * else the built-in local. Never another one than the one resolved.
 */
#ifndef BILLET_RUN_RESOLVE_H
#define BILLET_RUN_RESOLVE_H

#include "config/environment.h"
#include "run/context.h"

/* name NULL: choose. workspace NULL: the current directory's .billet file counts. The result is
 * resolved (billet_environment_resolve) and active, as far as its definition says: what the store
 * says of one that is not its own is billet_drain_read's. how (may be NULL) says where the choice
 * came from. Codes environment_not_found (also for another tenant's, with the nearest name),
 * environment_inactive, config_invalid. */
int billet_resolve_environment(struct billet_context *context, const char *name,
                               const char *workspace, struct billet_environment *environment,
                               const char **how, struct billet_error *error);

/* The one of that name whatever its status, not resolved: show, edit, delete. */
int billet_find_environment(struct billet_context *context, const char *name,
                            struct billet_environment *environment, struct billet_error *error);

/* Every environment the tenant may use: files, store, built-in ones that nobody redefined; by name.
 */
int billet_each_environment(struct billet_context *context, billet_environment_visit *visit,
                            void *visit_context, struct billet_error *error);

/* The driver's defaults under the environment's settings, and types for core's keys; the first
 * problem as the error. */
int billet_prepare_environment(struct billet_context *context,
                               struct billet_environment *environment, struct billet_error *error);

#endif
