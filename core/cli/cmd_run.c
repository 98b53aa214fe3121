/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_run.c - billet run, exec, shell
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/run_options.h"

static void
open_run(struct cli_run *run)
{
    *run = (struct cli_run){
        .signals = BILLET_SIGNALS_INIT,
        .request = {.session = {.workspace_mode = -1, .policy = "ephemeral", .reuse = -1},
                    .exec = {.timeout_ns = -1, .status_fd = -1}},
    };
}

static int
read_options(struct cli *cli, struct cli_run *run)
{
    for (int id; (id = cli_next(cli, true)) != 0;) {
        int status = id < 0 ? cli_usage_status(cli) : cli_run_option(cli, run, id);
        if (status != 0)
            return status;
    }
    return 0;
}

static int
run_run(struct cli *cli)
{
    struct cli_run run;
    struct billet_run_result result;
    open_run(&run);
    int status = read_options(cli, &run);
    if (status == 0)
        status = cli_run_command(cli, &run, 0);
    if (status == 0)
        status = cli_open(cli, false);
    if (status == 0)
        status = cli_run_prepare(cli, &run);
    if (status == 0) {
        int outcome = billet_run(cli->context, &run.request, &result, &cli->error);
        status = cli_run_finish(cli, &run, &result, outcome);
    }
    cli_run_free(&run);
    return status;
}

static int
on_lease(struct cli *cli, struct cli_run *run, const char *lease)
{
    struct billet_run_result result;
    int status = cli_open(cli, false);
    if (status == 0)
        status = cli_run_prepare(cli, run);
    if (status != 0)
        return status;
    int outcome = billet_run_on_lease(cli->context, &run->request.session, lease,
                                      &run->request.exec, &result, &cli->error);
    return cli_run_finish(cli, run, &result, outcome);
}

static int
run_exec(struct cli *cli)
{
    struct cli_run run;
    open_run(&run);
    int status = read_options(cli, &run);
    if (status == 0 && cli->arguments.count == 0)
        status = cli_usage(cli, "no lease was given: billet exec %s", cli->command->synopsis);
    if (status == 0) {
        /* exec LEASE -- COMMAND: the -- after the lease is not part of the command */
        size_t first =
            cli->arguments.count > 1 && strcmp(cli->arguments.items[1], "--") == 0 ? 2 : 1;
        status = cli_run_command(cli, &run, first);
    }
    if (status == 0)
        status = on_lease(cli, &run, cli->arguments.items[0]);
    cli_run_free(&run);
    return status;
}

static int
run_shell(struct cli *cli)
{
    /* The environment's own shell, found by the environment itself. */
    static const char *const argv[] = {
        "sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi", NULL};
    struct cli_run run;
    open_run(&run);
    int status = read_options(cli, &run);
    if (status == 0 && cli->arguments.count != 1)
        status = cli_usage(cli, "usage: billet shell %s", cli->command->synopsis);
    if (status == 0) {
        run.request.exec.argv = argv;
        run.request.session.command = "shell";
        run.request.exec.pty = isatty(STDIN_FILENO) != 0;
        status = on_lease(cli, &run, cli->arguments.items[0]);
    }
    cli_run_free(&run);
    return status;
}

#define EXEC_OPTIONS                                                                            \
    {"env", CLI_OPTION_ENV, "NAME[=VALUE]", "set a variable, or pass the caller's own on"},     \
        {"directory", CLI_OPTION_DIRECTORY, "DIR", "working directory in the environment"},     \
        {"timeout", CLI_OPTION_TIMEOUT, "DURATION", "end the command's whole tree after this"}, \
        {"tty", 't', NULL, "give the command a terminal"},                                      \
        {"interactive", 'i', NULL, "accepted for habit: stdin is always passed on"},            \
        {"no-input", 'n', NULL, "give the command no stdin"},                                   \
    {                                                                                           \
        "status-fd", CLI_OPTION_STATUS_FD, "FD", "write JSON lines on what happens to FD"       \
    }

static const struct cli_option run_options[] = {
    {"environment", 'e', "NAME", "the environment (BILLET_ENVIRONMENT)"},
    {"workspace", 'w', "DIR", "the directory the command works on"},
    {"workspace-mode", CLI_OPTION_WORKSPACE_MODE, "MODE", "in_place, bind, overlay or copy"},
    {"asset", CLI_OPTION_ASSET, "PATH[:NAME]", "let the command read this too (BILLET_ASSETS)"},
    EXEC_OPTIONS,
    {"keep", CLI_OPTION_KEEP, NULL, "hold the lease afterwards"},
    {"reuse", CLI_OPTION_REUSE, NULL, "take up, and leave behind, the resource"},
    {"no-reuse", CLI_OPTION_NO_REUSE, NULL, "have a resource of its own"},
    {"retain-on-failure", CLI_OPTION_RETAIN, NULL, "hold it when the command fails"},
    {"ttl", CLI_OPTION_TTL, "DURATION", "how long a held lease lives without use"},
    {"agent", CLI_OPTION_AGENT, "ID", "whom the run works for"},
    {"issue", CLI_OPTION_ISSUE, "ID", "what it works on"},
    {"run-id", CLI_OPTION_RUN, "ID", "the caller's own id of the run"},
    CLI_OPTION_END,
};
static const char *const run_examples[] = {
    "billet run -- make check",
    "billet run -e sandbox -w . -- make check",
    "billet run -e sandbox -it -- sh",
    "billet run -e sandbox --asset ~/kit -- sh -c '$BILLET_ASSETS/kit/build'",
    "billet run --timeout 10m --env CI=yes -- ./test.sh",
    NULL};
const struct cli_command cli_run = {"run",
                                    "[OPTION...] -- COMMAND [ARGUMENT...]",
                                    "Lease an environment, run a command in it, end the lease",
                                    "billet-run(1)",
                                    run_options,
                                    run_examples,
                                    run_run,
                                    true};

static const struct cli_option exec_options[] = {EXEC_OPTIONS, CLI_OPTION_END};
static const char *const exec_examples[] = {"billet exec 0193c1f0 -- make check", NULL};
const struct cli_command cli_exec = {"exec",
                                     "[OPTION...] LEASE -- COMMAND [ARGUMENT...]",
                                     "Run a command on a live lease",
                                     "billet-exec(1)",
                                     exec_options,
                                     exec_examples,
                                     run_exec,
                                     true};

static const char *const shell_examples[] = {"billet shell 0193c1f0", NULL};
const struct cli_command cli_shell = {"shell",
                                      "[OPTION...] LEASE",
                                      "Open a shell on a live lease",
                                      "billet-exec(1)",
                                      exec_options,
                                      shell_examples,
                                      run_shell,
                                      true};
