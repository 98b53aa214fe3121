/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - the ways that the workspace of a held lease is brought up to date.
 */
#ifndef BILLET_CLI_EXCHANGE_H
#define BILLET_CLI_EXCHANGE_H

#include "cli/command.h"
#include "run/run.h"

enum cli_exchange {
    CLI_EXCHANGE_PUSH,
    CLI_EXCHANGE_PULL,
    CLI_EXCHANGE_LAST_PULL, /* before the lease is ended */
};

/* Merge what changed on a lease that is about to be ended, and say what met local changes. 0, or
 * negative with cli->error. */
int cli_bring_back(struct cli *cli, const char *lease);

#endif
