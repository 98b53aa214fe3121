/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/checks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/output.h"
#include "run/resolve.h"
#include "run/secrets.h"
#include "run/status.h"

void
cli_checks_open(struct cli_checks *checks, struct cli *cli)
{
    *checks = (struct cli_checks){.cli = cli, .list = json_array()};
    checks->quiet = !billet_log_wants(BILLET_LOG_WARNING);
}

void
cli_checks_add(struct cli_checks *checks, int outcome, const char *name, const char *message,
               const char *hint)
{
    static const char *const words[] = {"?", "PASS", "WARN", "FAIL"};
    const char *word =
        outcome >= BILLET_CHECK_PASS && outcome <= BILLET_CHECK_FAIL ? words[outcome] : words[3];
    checks->failures += outcome == BILLET_CHECK_FAIL;
    checks->warnings += outcome == BILLET_CHECK_WARN;
    json_array_append_new(checks->list, json_pack("{s:s, s:s, s:s, s:s}", "outcome", word, "name",
                                                  name, "message", message, "hint", hint));
    if (checks->cli->json || (checks->quiet && outcome == BILLET_CHECK_PASS))
        return;
    char clean_message[BILLET_MESSAGE_MAX];
    char clean_hint[BILLET_HINT_MAX];
    billet_text_escape(clean_message, sizeof(clean_message), message);
    billet_text_escape(clean_hint, sizeof(clean_hint), hint);
    printf("%s  %-22s %s\n", word, name, clean_message);
    if (hint[0] != '\0')
        printf("      %-22s %s\n", "", clean_hint);
    fflush(stdout);
}

void
cli_checks_error(struct cli_checks *checks, const char *name, const struct billet_error *error)
{
    cli_checks_add(checks, BILLET_CHECK_FAIL, name, error->message, error->hint);
}

static void
visit_check(int outcome, const char *name, const char *message, const char *hint, void *context)
{
    cli_checks_add(context, outcome, name, message, hint);
}

static void
refused_secret(const char *option, const struct billet_error *error, void *context)
{
    char name[128];
    snprintf(name, sizeof(name), "secret %.100s", option);
    cli_checks_error(context, name, error);
}

/* What its secrets can be refused for; then the values that the driver's probe needs. */
static int
resolve_secrets(struct cli_checks *checks, const struct billet_environment *environment,
                const struct billet_driver_info *info, struct billet_run_secrets *secrets,
                struct billet_error *error)
{
    struct billet_run_secrets_for wanted = {
        .environment = environment, .info = info, .purpose = "probe", .command = true};
    size_t before = checks->failures;
    if (!billet_run_secrets_any(&wanted))
        return 0;
    int result =
        billet_run_secrets_check(checks->cli->context, &wanted, refused_secret, checks, error);
    if (result == 0 && checks->failures > before)
        return 1;
    if (result == 0)
        cli_checks_add(checks, BILLET_CHECK_PASS, "secrets", "every reference resolves here", "");
    wanted.command = false;
    return result < 0 ? result
                      : billet_run_secrets_resolve(checks->cli->context, &wanted, secrets, error);
}

static void
probe_with(struct cli_checks *checks, const struct billet_environment *environment)
{
    struct cli *cli = checks->cli;
    const char *driver = environment->driver;
    struct billet_driver_client *client = NULL;
    struct billet_driver_call call = {.settings = &environment->driver_settings};
    struct billet_run_secrets secrets = {0};
    char what[512];

    billet_error_clear(&cli->error);
    int result = billet_context_start_driver(cli->context, driver, &client, &cli->error);
    if (result == 0) {
        const struct billet_driver_info *info = billet_driver_info(client);
        snprintf(what, sizeof(what), "%.31s loads from %.400s", info->version, info->path);
        cli_checks_add(checks, BILLET_CHECK_PASS, driver, what, "");
        result = billet_driver_check_config(client, &call, &cli->error);
    }
    if (result == 0)
        result =
            resolve_secrets(checks, environment, billet_driver_info(client), &secrets, &cli->error);
    billet_run_secrets_give(&secrets, &call);
    if (result == 0)
        result = billet_driver_probe(client, &call, visit_check, checks, &cli->error);
    if (result < 0)
        cli_checks_error(checks, driver, &cli->error);
    billet_driver_stop(client);
    billet_run_secrets_free(&secrets);
}

void
cli_checks_driver(struct cli_checks *checks, const char *driver)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    environment.name = strdup(driver);
    environment.driver = strdup(driver);
    environment.status = strdup(BILLET_ENVIRONMENT_ACTIVE);
    environment.source = strdup("builtin");
    environment.tenant = strdup("");
    environment.description = strdup("");
    if (billet_prepare_environment(checks->cli->context, &environment, &checks->cli->error) < 0)
        cli_checks_error(checks, driver, &checks->cli->error);
    else
        probe_with(checks, &environment);
    billet_environment_free(&environment);
}

void
cli_checks_environment(struct cli_checks *checks, const struct billet_environment *environment)
{
    probe_with(checks, environment);
}

int
cli_checks_finish(struct cli_checks *checks)
{
    if (checks->cli->json)
        cli_print_json(json_pack("{s:s, s:b, s:O}", "format_version", BILLET_FORMAT_VERSION, "ok",
                                 checks->failures == 0, "checks", checks->list));
    json_decref(checks->list);
    checks->list = NULL;
    return checks->failures > 0 ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}
