/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_exchange.c - billet push | pull
 */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/exchange.h"
#include "cli/output.h"
#include "cli/report.h"

/* Under the lock of the workspace; --no-wait does not wait for it. */
static int
exchange(struct cli *cli, const char *lease, enum cli_exchange kind, bool no_wait,
         struct billet_run_result *result)
{
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    struct cli_progress progress = {0};
    struct billet_session_request request = {.workspace_mode = -1,
                                             .exchange = true,
                                             .no_wait = no_wait,
                                             .progress = cli_progress_tell,
                                             .progress_context = &progress,
                                             .signals = &signals};
    int status = billet_signals_open(&signals, &cli->error);
    if (status == 0)
        status = kind == CLI_EXCHANGE_PUSH
                     ? billet_run_push(cli->context, &request, lease, result, &cli->error)
                     : billet_run_pull(cli->context, &request, lease, kind == CLI_EXCHANGE_PULL,
                                       result, &cli->error);
    billet_signals_close(&signals);
    cli_progress_end(&progress);
    return status;
}

int
cli_bring_back(struct cli *cli, const char *lease)
{
    struct billet_run_result result = {0};
    int status = exchange(cli, lease, CLI_EXCHANGE_LAST_PULL, false, &result);
    if (status == 0) {
        cli_report_tell(&result.report);
        cli_git_tell(&result.git);
    }
    billet_report_free(&result.report);
    billet_git_report_free(&result.git.report);
    return status;
}

static int
print(const struct cli *cli, const struct billet_run_result *result)
{
    if (cli->json) {
        json_t *object = json_pack(
            "{s:s, s:s, s:s, s:I, s:I}", "format_version", BILLET_FORMAT_VERSION, "lease",
            result->lease, "mode", billet_workspace_mode_name(result->workspace_mode), "sent_files",
            (json_int_t)result->sent_files, "sent_bytes", (json_int_t)result->sent_bytes);
        json_object_set_new(object, "changes", cli_report_json(&result->report));
        json_t *git = cli_git_json(&result->git);
        if (git != NULL)
            json_object_set_new(object, "git", git);
        cli_print_json(object);
    } else {
        cli_report_tell(&result->report);
        cli_git_tell(&result->git);
        if (result->git.note[0] != '\0')
            billet_log(BILLET_LOG_WARNING, "git: %s", result->git.note);
        printf("%zu written, %zu deleted, %zu conflicts\n",
               result->report.totals[BILLET_REPORT_WRITTEN],
               result->report.totals[BILLET_REPORT_DELETED],
               result->report.totals[BILLET_REPORT_CONFLICT] +
                   result->report.totals[BILLET_REPORT_KEPT]);
    }
    return billet_report_has_conflicts(&result->report) || cli_git_needs_care(&result->git)
               ? BILLET_EXIT_FINDINGS
               : BILLET_EXIT_OK;
}

static int
run_exchange(struct cli *cli, enum cli_exchange kind)
{
    struct billet_run_result result = {0};
    bool no_wait = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        no_wait = no_wait || id == 'n';
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (exchange(cli, cli->arguments.items[0], kind, no_wait, &result) < 0)
        status = cli_fail(cli);
    else
        status = print(cli, &result);
    billet_report_free(&result.report);
    billet_git_report_free(&result.git.report);
    return status;
}

static int
run_push(struct cli *cli)
{
    return run_exchange(cli, CLI_EXCHANGE_PUSH);
}

static int
run_pull(struct cli *cli)
{
    return run_exchange(cli, CLI_EXCHANGE_PULL);
}

static const struct cli_option options[] = {
    {"no-wait", 'n', NULL, "fail while another run works on the workspace"},
    CLI_OPTION_END,
};
static const char *const push_examples[] = {"billet push 0193c1f0", NULL};
const struct cli_command cli_push = {"push",
                                     "[--no-wait] LEASE",
                                     "Send local changes to the workspace of a held lease",
                                     "billet-push(1)",
                                     options,
                                     push_examples,
                                     run_push,
                                     false};
static const char *const pull_examples[] = {"billet pull 0193c1f0", NULL};
const struct cli_command cli_pull = {"pull",
                                     "[--no-wait] LEASE",
                                     "Merge what changed on a held lease into the workspace",
                                     "billet-push(1)",
                                     options,
                                     pull_examples,
                                     run_pull,
                                     false};
