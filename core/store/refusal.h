/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.h - what a store says when it will not do something, in the same words
 * whatever the engine: each fills *error and returns its negative class.
 */
#ifndef BILLET_STORE_REFUSAL_H
#define BILLET_STORE_REFUSAL_H

#include "config/environment.h"
#include "store/record.h"

/* What a trigger of the schema said, "code: text"; and whose fault it is. */
int billet_refusal_guard(const char *message, struct billet_error *error);

/* A compare-and-set met no row: it is as given now; state NULL: it is not there. wanted 0: any. */
int billet_refusal_lease_lost(const char *id, const char *state, int64_t fence, int64_t wanted,
                              struct billet_error *error);
/* The id is another run's (found), or the run has another lease. */
int billet_refusal_lease_exists(const struct billet_lease *lease, bool found,
                                struct billet_error *error);
int billet_refusal_lease_not_found(const char *id, struct billet_error *error);
int billet_refusal_lease_ambiguous(const char *id, struct billet_error *error);
/* True for a whole id and for a prefix that is long enough to search for. */
bool billet_lease_id_is_searchable(const char *id, bool *whole);

int billet_refusal_environment_exists(const char *name, struct billet_error *error);
int billet_refusal_environment_changed(const struct billet_environment *environment,
                                       int64_t revision, struct billet_error *error);
int billet_refusal_environment_not_found(const char *name, struct billet_error *error);

int billet_refusal_secret_exists(const char *name, struct billet_error *error);
int billet_refusal_secret_not_found(const char *name, struct billet_error *error);
int billet_refusal_secret_changed(const char *name, struct billet_error *error);
int billet_refusal_secret_version_missing(const char *name, int64_t version,
                                          struct billet_error *error);

#define BILLET_META_MAX 4096
int billet_refusal_meta_too_large(const char *key, struct billet_error *error);

/* The schema of the database at location, which the engine calls its own. */
int billet_refusal_newer(const char *location, int64_t version, int64_t wanted,
                         struct billet_error *error);
int billet_refusal_outdated(const char *location, int64_t version, int64_t wanted,
                            struct billet_error *error);
int billet_refusal_no_deployment(const char *location, struct billet_error *error);
/* A table whose one row a new store has from its migrations: a copy brings its own. */
bool billet_store_is_seeded(const char *table);
/* The target of a copy holds something. */
int billet_refusal_not_empty(const char *location, const char *table, struct billet_error *error);

#endif
