/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_run.h - a program that writes a secret to its standard output: run without a shell, in a
 * session of its own that ends with it, its output in guarded memory and never in an error.
 */
#ifndef BILLET_SECRET_VAULT_RUN_H
#define BILLET_SECRET_VAULT_RUN_H

#include "base/strings.h"
#include "secret/vault.h"

/* A program, by its whole path, that nobody else could have put there: code path_untrusted, or
 * vault_config_invalid. setting: where it is named, for the message. */
int billet_vault_check_program(const struct billet_vault *vault, const char *program,
                               const char *setting, struct billet_error *error);
/* Add what such a program gets of this process's environment: a few names, and those of a
 * NULL-terminated list (NULL: none). false: no memory. */
bool billet_vault_environment(struct billet_strings *environment, const char *const *names);
/* Run argv[0] until the deadline (monotonic); output is made. Codes vault_command_failed,
 * vault_timeout, vault_value_too_large. */
int billet_vault_run(const struct billet_vault *vault, const char *const *argv,
                     const char *const *environment, int64_t deadline_ns,
                     struct billet_secret *output, struct billet_error *error);

#endif
