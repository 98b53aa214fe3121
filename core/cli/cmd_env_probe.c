/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_env_probe.c - billet env probe: the driver's checks, then the way a run goes
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/checks.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/resolve.h"
#include "run/run.h"

static int
read_draft(struct cli *cli, const char *file, struct billet_environment *environment)
{
    struct billet_diagnostics found = BILLET_DIAGNOSTICS_INIT;
    int result = billet_environment_from_file(file, environment, &found, &cli->error);
    int first = billet_diagnostics_error(&found, &cli->error);
    billet_diagnostics_free(&found);
    /* Nothing is bound to what nobody saved, whatever name it takes. */
    free(environment->source);
    environment->source = strdup("draft");
    if (result == 0 && environment->source == NULL)
        result = billet_error_no_memory(&cli->error);
    return first < 0 ? first : result;
}

static void
record(struct cli *cli, const struct billet_environment *environment, bool draft, bool ok)
{
    struct billet_store *store = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    const struct billet_activity row = {.action = ok ? "probe.passed" : "probe.failed",
                                        .tenant = cli->context->tenant,
                                        .environment = environment->name,
                                        .actor = cli->context->actor,
                                        .details = draft ? "{\"draft\":true}" : "{}"};
    if (billet_context_store(cli->context, &store, &error) < 0 ||
        billet_store_of(store)->activity_add(store, &row, 1, &error) < 0)
        billet_log(BILLET_LOG_WARNING, "the probe was not recorded: %s", error.message);
}

static int
run_probe(struct cli *cli)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_run_result ran = {0};
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    bool cancelled = false;
    struct cli_checks checks;
    const char *draft = NULL;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'd')
            draft = cli->value;
    }
    if (cli->arguments.count != (draft == NULL ? 1U : 0U))
        return cli_usage(cli, "usage: billet env probe %s", cli->command->synopsis);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    int result = draft != NULL ? read_draft(cli, draft, &environment)
                               : billet_find_environment(cli->context, cli->arguments.items[0],
                                                         &environment, &cli->error);
    if (result == 0)
        result = billet_prepare_environment(cli->context, &environment, &cli->error);
    if (result < 0) {
        billet_environment_free(&environment);
        return cli_fail(cli);
    }
    cli_checks_open(&checks, cli);
    cli_checks_environment(&checks, &environment);
    if (checks.failures == 0) {
        if (billet_signals_open(&signals, &cli->error) < 0 ||
            billet_run_probe(cli->context, &environment, &signals, &ran, &cli->error) < 0) {
            cli_checks_error(&checks, "run", &cli->error);
            cancelled = ran.ending.outcome == BILLET_OUTCOME_CANCELLED;
        } else {
            char message[128];
            int64_t total = 0;
            for (int i = 0; i < BILLET_STEP_COUNT; i++)
                total += ran.step_ns[i];
            snprintf(message, sizeof(message), "'true' ran and the lease ended, in %" PRId64 " ms",
                     total / 1000000);
            cli_checks_add(&checks, BILLET_CHECK_PASS, "run", message, "");
        }
    }
    record(cli, &environment, draft != NULL, checks.failures == 0);
    billet_environment_free(&environment);
    billet_signals_close(&signals);
    status = cli_checks_finish(&checks);
    return cancelled ? billet_ending_status(&ran.ending) : status;
}

static const struct cli_option options[] = {
    {"draft", 'd', "FILE", "probe what the file defines, without saving it"},
    CLI_OPTION_END,
};
static const char *const examples[] = {"billet env probe sandbox",
                                       "billet env probe --draft build1.conf", NULL};
const struct cli_command cli_env_probe = {"env probe",
                                          "NAME | --draft FILE",
                                          "Check an environment the way a run would use it",
                                          "billet-env(1)",
                                          options,
                                          examples,
                                          run_probe,
                                          false};
