/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.h - from the reference in a setting to the value: where it may be used, on
 * record before it is seen, masked in all output from then on.
 */
#ifndef BILLET_SECRET_RESOLVE_H
#define BILLET_SECRET_RESOLVE_H

#include "config/reference.h"
#include "secret/secrets.h"

/* Where the reference stands. */
struct billet_reference_place {
    const char *environment;
    const char *option; /* "identity", "env.TOKEN" */
    const char *lease;  /* id; NULL: none */
    const char *purpose;
    bool draft; /* of an environment that nobody saved: nothing is bound to it */
};

/* Codes, besides those of billet_secrets_open: secret_literal, secret_reference_invalid;
 * secret_unbound (@secret: elsewhere than where an administrator put it);
 * secret_credential_missing; secret_file_unusable; secret_variable_missing;
 * those of vaults (secret/vault.h); secret_empty; secret_not_text (a NUL byte).
 * *masked: later output hides the value; false when it is too short for that. */
int billet_reference_resolve(struct billet_secrets *secrets, const char *text,
                             const struct billet_reference_place *place,
                             struct billet_secret *value, bool *masked, struct billet_error *error);
/* The same refusals without the value, as far as they can be told without it; leaves no record. */
int billet_reference_check(struct billet_secrets *secrets, const char *text,
                           const struct billet_reference_place *place, struct billet_error *error);

/* The value of @cred:, @file: or @env:, which no binding guards; leaves no record. value NULL: see
 * only whether it is there. */
int billet_reference_read(const struct billet_reference *reference, struct billet_secret *value,
                          struct billet_error *error);

/* One newline at the end of a value of one line is not part of it: editors and echo put it there.
 */
void billet_secret_trim(struct billet_secret *value);

#endif
