/* SPDX-License-Identifier: Apache-2.0 */
/* What a vault's failure is called, for core and for the modules alike. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "secret/vault.h"

int
billet_vault_invalid(const struct billet_vault *vault, struct billet_error *error,
                     const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    billet_error_set(error, BILLET_CLASS_CONFIG, "vault_config_invalid", "[vault %s]: %s",
                     vault->name, text);
    return billet_error_hint(error, "see billet.conf(5)");
}

int
billet_vault_failed(const struct billet_vault *vault, const char *code, struct billet_error *error)
{
    static const struct {
        const char *code;
        int error_class;
        int retryable;
        const char *text, *hint;
    } known[] = {
        {"vault_denied", BILLET_CLASS_AUTH, 0, "refuses what billet asks for",
         "see that its credentials are right and may read that path"},
        {"vault_entry_missing", BILLET_CLASS_CONFIG, 0, "has nothing at that path",
         "'billet vault list' shows what is there"},
        {"vault_version_missing", BILLET_CLASS_CONFIG, 0, "has that version no more, or not yet",
         "name another version, or none"},
        {"vault_field_missing", BILLET_CLASS_CONFIG, 0,
         "has no such field there, or several and none was named",
         "name one: @vault:VAULT/PATH#FIELD"},
        {"vault_throttled", BILLET_CLASS_CAPACITY, 1, "asks for fewer requests", "repeat it later"},
        {"vault_unreachable", BILLET_CLASS_UNAVAILABLE, 1, "does not answer",
         "'billet vault probe' tries it; check its address and certificates"},
        {"vault_sealed", BILLET_CLASS_UNAVAILABLE, 1, "is sealed or a standby",
         "unseal it, or name the active server as address"},
        {"vault_timeout", BILLET_CLASS_TIMEOUT, 1, "did not answer in time",
         "see whether it works; or raise timeout in [vault]"},
        {"vault_answer_invalid", BILLET_CLASS_UNAVAILABLE, 0,
         "gives an answer that is not understood", "see that it is a vault of that type"},
        {"vault_unsupported", BILLET_CLASS_CONFIG, 0, "cannot do that: its type has no way to",
         "see billet-vault(1)"},
        {"vault_entry_exists", BILLET_CLASS_CONFIG, 0, "has that already",
         "leave out --create to give it a new version"},
        {"vault_request_refused", BILLET_CLASS_CONFIG, 0,
         "knows the credentials, but does not do that",
         "see what the name of its error means; it may be about to be deleted"},
        {"vault_credentials_missing", BILLET_CLASS_AUTH, 0, "has no credentials to use",
         "see 'CREDENTIALS OF AWS' in billet-vault(1)"},
        {"vault_value_too_large", BILLET_CLASS_CAPACITY, 0, "gives more than 64 KiB",
         "a secret has at most 64 KiB"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].code, code) != 0)
            continue;
        billet_error_set(error, known[i].error_class, known[i].code, "vault '%s' %s", vault->name,
                         known[i].text);
        if (error != NULL)
            error->retryable = known[i].retryable;
        return billet_error_hint(error, "%s", known[i].hint);
    }
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "vault '%s' failed",
                            vault->name);
}
