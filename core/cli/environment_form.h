/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment_form.h - how an environment is written on the command line, in a
 * draft file, or answer by answer: create and edit.
 */
#ifndef BILLET_CLI_ENVIRONMENT_FORM_H
#define BILLET_CLI_ENVIRONMENT_FORM_H

#include "cli/command.h"
#include "config/environment.h"

struct cli_environment_form {
    const char *driver;
    const char *description;
    const char *file;
    const char *status;
    const char *reason;
    bool interactive;
    bool everyone;               /* usable by every tenant */
    struct billet_strings set;   /* KEY=VALUE */
    struct billet_strings unset; /* KEY */
};

extern const struct cli_option cli_environment_form_options[];

/* Read the options; 0 or an exit status. */
int cli_environment_form_read(struct cli *cli, struct cli_environment_form *form);
void cli_environment_form_free(struct cli_environment_form *form);
/* A new environment, checked against its driver; failures in cli->error. */
int cli_environment_form_make(struct cli *cli, const struct cli_environment_form *form,
                              const char *name, struct billet_environment *environment);
/* Change one in place, checked likewise. */
int cli_environment_form_apply(struct cli *cli, const struct cli_environment_form *form,
                               struct billet_environment *environment);
/* Are all values right for the driver? The first problem in cli->error. */
int cli_environment_check(struct cli *cli, const struct billet_environment *environment);

#endif
