/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_doctor.c - billet doctor [DRIVER|ENVIRONMENT]
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/checks.h"
#include "cli/command.h"
#include "cli/output.h"
#include "driver/registry.h"
#include "run/resolve.h"

static void
check_configuration(struct cli_checks *checks)
{
    const struct billet_diagnostics *found = &checks->cli->context->diagnostics;
    char message[BILLET_MESSAGE_MAX];
    for (size_t i = 0; i < found->count; i++) {
        snprintf(message, sizeof(message), "%s:%d:%d: %s", found->items[i].file,
                 found->items[i].line, found->items[i].column, found->items[i].message);
        cli_checks_add(checks,
                       found->items[i].severity == BILLET_DIAGNOSTIC_ERROR ? BILLET_CHECK_FAIL
                                                                           : BILLET_CHECK_WARN,
                       "configuration", message, "correct the line");
    }
    if (found->count == 0)
        cli_checks_add(checks, BILLET_CHECK_PASS, "configuration", "no errors", "");
}

static void
check_programs(struct cli_checks *checks)
{
    const char *program = checks->cli->context->host_program;
    if (access(program, X_OK) == 0)
        cli_checks_add(checks, BILLET_CHECK_PASS, "driver host", program, "");
    else
        cli_checks_add(checks, BILLET_CHECK_FAIL, "driver host", "cannot be run",
                       "reinstall billet, or set BILLET_LIBEXEC_DIR");
}

static void
check_store(struct cli_checks *checks)
{
    struct cli *cli = checks->cli;
    struct billet_store *store = NULL;
    struct billet_store_info info = {0};
    char message[640];
    billet_error_clear(&cli->error);
    if (billet_context_store(cli->context, &store, &cli->error) < 0 ||
        billet_store_of(store)->info(store, &info, &cli->error) < 0) {
        cli_checks_error(checks, "store", &cli->error);
        return;
    }
    snprintf(message, sizeof(message), "%s, %s", info.engine, info.location);
    cli_checks_add(checks, BILLET_CHECK_PASS, "store", message, "");
}

static void
check_drivers(struct cli_checks *checks)
{
    struct cli *cli = checks->cli;
    struct billet_registry *registry = NULL;
    if (billet_registry_open(billet_strings_list(&cli->context->driver_directories),
                             cli->context->configuration, &registry, &cli->error) < 0) {
        cli_checks_error(checks, "drivers", &cli->error);
        return;
    }
    for (size_t i = 0; i < billet_registry_count(registry); i++) {
        const struct billet_driver_entry *entry = billet_registry_at(registry, i);
        if (entry->state == BILLET_DRIVER_READY)
            cli_checks_driver(checks, entry->name);
        else if (entry->state != BILLET_DRIVER_DISABLED)
            cli_checks_add(checks, BILLET_CHECK_FAIL, entry->name, entry->reason,
                           "billet driver show names file and cause");
    }
    billet_registry_free(registry);
}

static int
run_doctor(struct cli *cli)
{
    struct cli_checks checks;
    int status = cli_read_arguments(cli, 0, 1);
    if (status == 0)
        status = cli_open(cli, true);
    if (status != 0)
        return status;
    cli_checks_open(&checks, cli);
    if (cli->arguments.count == 0) {
        check_configuration(&checks);
        check_programs(&checks);
        check_store(&checks);
        check_drivers(&checks);
        return cli_checks_finish(&checks);
    }
    /* An environment's own settings tell more than its driver alone. */
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    const char *name = cli->arguments.items[0];
    int result = billet_find_environment(cli->context, name, &environment, &error);
    if (result == 0)
        result = billet_prepare_environment(cli->context, &environment, &error);
    if (result == 0)
        cli_checks_environment(&checks, &environment);
    else if (strcmp(error.code, "environment_not_found") == 0)
        cli_checks_driver(&checks, name);
    else
        cli_checks_error(&checks, name, &error);
    billet_environment_free(&environment);
    return cli_checks_finish(&checks);
}

static const char *const examples[] = {"billet doctor", "billet doctor sandbox", NULL};
const struct cli_command cli_doctor = {"doctor",
                                       "[DRIVER|ENVIRONMENT]",
                                       "Check this installation and say what to mend",
                                       "billet-doctor(1)",
                                       NULL,
                                       examples,
                                       run_doctor,
                                       false};
