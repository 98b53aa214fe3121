/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_verbs.h - what the verbs of vaults share: opening the one that is named, and a
 * bounded list of what was found in it.
 */
#ifndef BILLET_CLI_VAULT_VERBS_H
#define BILLET_CLI_VAULT_VERBS_H

#include "base/strings.h"
#include "cli/command.h"
#include "secret/vault.h"

struct cli_vault_found {
    struct billet_strings paths;
    struct billet_strings notes;
    bool failed;
};

/* The vault that the first argument names; an exit status. */
int cli_vault_open(struct cli *cli, struct billet_secrets **secrets, struct billet_vault *vault);
/* A billet_vault_visit into a struct cli_vault_found; ends after the first thousand. */
int cli_vault_find(const char *path, const char *note, void *context);
void cli_vault_found_free(struct cli_vault_found *found);
/* As a table under the two headings, or as JSON: list, of objects with the keys. */
void cli_vault_print(struct cli *cli, const struct cli_vault_found *found,
                     const char *const headings[3], const char *list, const char *const keys[2]);

#endif
