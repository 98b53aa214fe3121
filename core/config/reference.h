/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h - how a setting names a secret: @secret:NAME[@VERSION], @cred:NAME,
 * @file:PATH, @env:NAME, @vault:VAULT/PATH. Parses; never looks anything up.
 */
#ifndef BILLET_CONFIG_REFERENCE_H
#define BILLET_CONFIG_REFERENCE_H

#include <billet/types.h>
#include <stdbool.h>

enum billet_reference_kind {
    BILLET_REFERENCE_SECRET = 1, /* billet's own store */
    BILLET_REFERENCE_CRED = 2,   /* a file in $CREDENTIALS_DIRECTORY */
    BILLET_REFERENCE_FILE = 3,
    BILLET_REFERENCE_ENV = 4, /* billet's own environment */
    BILLET_REFERENCE_VAULT = 5,
};

struct billet_reference {
    enum billet_reference_kind kind;
    char name[66];      /* of the secret, the credential or the vault */
    const char *target; /* path, variable, path in the vault: points into the text; else "" */
    int64_t version;    /* of @secret:NAME@VERSION; 0: the current one */
};

/* Does the text begin as a reference does? And is it a well-formed one? option is the option or
 * key for the message, which never repeats the text: it may be the secret itself. Codes
 * secret_literal, secret_reference_invalid. */
bool billet_secret_is_reference(const char *text);
int billet_secret_check_reference(const char *option, const char *text, struct billet_error *error);
/* The same, with its parts. */
int billet_reference_parse(const char *option, const char *text, struct billet_reference *reference,
                           struct billet_error *error);

#endif
