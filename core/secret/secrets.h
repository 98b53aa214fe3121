/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets.h - the stored secrets: made, given new versions, opened, wrapped under a
 * new key. Joins the store's rows, the keyring and the envelope; keeps the rule that
 * a use is on record before the value is seen.
 */
#ifndef BILLET_SECRET_SECRETS_H
#define BILLET_SECRET_SECRETS_H

#include "config/configuration.h"
#include "secret/keyring.h"
#include "store/store.h"

/* Ask for the passphrase of the keyring; code key_passphrase_missing when nobody can be asked. */
typedef int billet_passphrase_ask(struct billet_secret *passphrase, void *context,
                                  struct billet_error *error);

/* Whose secrets, where, and with which keys. */
struct billet_secrets {
    struct billet_store *store; /* the caller's */
    const char *tenant;
    const char *actor;
    const struct billet_configuration *configuration; /* of vaults; NULL: there are none */
    const char *module_directories;                   /* of vaults; colon-separated */
    const char *keyring_path; /* where it is unless a credential stands for it */
    bool require_mlock;
    billet_passphrase_ask *ask; /* NULL: nobody can be asked */
    void *ask_context;
    struct billet_keyring *ring;     /* once it was needed */
    struct billet_secret passphrase; /* of the ring, for when it is read again */
};

void billet_secrets_close(struct billet_secrets *secrets);
/* The store's functions for secrets; code secret_store_unsupported when it has none. */
int billet_secrets_table(const struct billet_store *store, const struct billet_secret_table **table,
                         struct billet_error *error);
/* secrets->ring, read when it is not there. Nothing is ever made. */
int billet_secrets_ring(struct billet_secrets *secrets, struct billet_error *error);

/* What a use is for: goes on record. Strings may be NULL. */
struct billet_secret_use {
    const char *environment;
    const char *option;
    const char *lease;
    const char *purpose; /* "run", "probe", "reveal", "verify" */
};

/* Store a new secret; code secret_exists. */
int billet_secrets_create(struct billet_secrets *secrets, const char *name, const char *description,
                          const struct billet_secret *value, struct billet_error *error);
/* A new version of one; *version says which. */
int billet_secrets_rotate(struct billet_secrets *secrets, const char *name,
                          const struct billet_secret *value, int64_t *version,
                          struct billet_error *error);
/* The record of a live one: codes secret_not_found, secret_deleted. */
int billet_secrets_find(struct billet_secrets *secrets, const char *name,
                        struct billet_secret_record *record, struct billet_error *error);
/* The value of a version (0: the current one), after the use is on record. Codes secret_disabled,
 * secret_version_missing, secret_version_inactive, key_unknown, secret_damaged besides. */
int billet_secrets_open(struct billet_secrets *secrets, const char *name, int64_t version,
                        const struct billet_secret_use *use, struct billet_secret *value,
                        struct billet_error *error);
/* The same checks up to the envelope, without opening it and without a record. */
int billet_secrets_check(struct billet_secrets *secrets, const char *name, int64_t version,
                         struct billet_error *error);
/* On record: outcome NULL means that it was allowed. */
int billet_secrets_record(struct billet_secrets *secrets, const char *name,
                          const struct billet_secret_record *record, int64_t version,
                          const struct billet_secret_use *use, const char *outcome,
                          struct billet_error *error);
/* Does every envelope open? What does not is named to the visitor; *good counts the others.
 * tenant NULL: all. */
typedef void billet_secrets_bad_visit(const struct billet_secret_version *version,
                                      const struct billet_error *why, void *context);
int billet_secrets_verify(struct billet_secrets *secrets, const char *tenant, const char *name,
                          int64_t *good, billet_secrets_bad_visit *visit, void *context,
                          struct billet_error *error);

/* ---- keys, rotate.c; secrets->ring is the new one afterwards ---- */

struct billet_rotation {
    bool resumed; /* it completed an earlier one */
    int64_t rewrapped;
    char key[BILLET_KEY_ID_TEXT]; /* the active one */
};
/* A new active key, every envelope of every tenant wrapped under it, the old key retired. When an
 * earlier rotation is incomplete, that one is completed instead. Readers never fail meanwhile: both
 * keys are in the ring from before the first envelope changes. Codes key_read_only besides. */
int billet_secrets_rotate_key(struct billet_secrets *secrets, struct billet_rotation *rotation,
                              struct billet_error *error);

#endif
