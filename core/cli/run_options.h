/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_options.h - the options that run, exec, shell and lease acquire share, and
 * how a run's end becomes words and an exit status.
 */
#ifndef BILLET_CLI_RUN_OPTIONS_H
#define BILLET_CLI_RUN_OPTIONS_H

#include "cli/command.h"
#include "cli/report.h"
#include "run/run.h"

enum {
    CLI_OPTION_ENV = 400,
    CLI_OPTION_TIMEOUT,
    CLI_OPTION_KEEP,
    CLI_OPTION_REUSE,
    CLI_OPTION_NO_REUSE,
    CLI_OPTION_RETAIN,
    CLI_OPTION_STATUS_FD,
    CLI_OPTION_AGENT,
    CLI_OPTION_ISSUE,
    CLI_OPTION_RUN,
    CLI_OPTION_WORKSPACE_MODE,
    CLI_OPTION_TTL,
    CLI_OPTION_DIRECTORY,
    CLI_OPTION_ASSET,
};

struct cli_run {
    struct billet_run_request request;
    struct billet_strings variables;
    struct billet_strings assets;
    struct billet_signals signals;
    char *command_text;
    struct cli_progress progress;
    bool no_input;
};

/* One option of a running-type verb; 0, or an exit status. */
int cli_run_option(struct cli *cli, struct cli_run *run, int id);
/* argv from cli->arguments[first..]; checks it. 0 or an exit status. */
int cli_run_command(struct cli *cli, struct cli_run *run, size_t first);
/* Streams, signals, pty. 0 or an exit status. */
int cli_run_prepare(struct cli *cli, struct cli_run *run);
/* Say how it ended and give the exit status; frees the report. status: what billet_run returned. */
int cli_run_finish(struct cli *cli, struct cli_run *run, struct billet_run_result *result,
                   int status);
void cli_run_free(struct cli_run *run);

#endif
