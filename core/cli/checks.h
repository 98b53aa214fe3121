/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks.h - PASS, WARN and FAIL lines with a remedy each: doctor and the probes.
 */
#ifndef BILLET_CLI_CHECKS_H
#define BILLET_CLI_CHECKS_H

#include "cli/command.h"
#include "config/environment.h"

struct cli_checks {
    struct cli *cli;
    bool quiet; /* only what is not PASS */
    size_t failures;
    size_t warnings;
    json_t *list;
};

void cli_checks_open(struct cli_checks *checks, struct cli *cli);
/* outcome: BILLET_CHECK_* */
void cli_checks_add(struct cli_checks *checks, int outcome, const char *name, const char *message,
                    const char *hint);
void cli_checks_error(struct cli_checks *checks, const char *name,
                      const struct billet_error *error);
/* What the driver's own probe says, with an environment of nothing but defaults. */
void cli_checks_driver(struct cli_checks *checks, const char *driver);
/* The driver's probe with this environment's settings. */
void cli_checks_environment(struct cli_checks *checks,
                            const struct billet_environment *environment);
/* Print the JSON if asked for; 0, or FINDINGS when something failed. */
int cli_checks_finish(struct cli_checks *checks);

#endif
