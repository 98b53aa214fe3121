/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_db.c - billet db status | check
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/status.h"

static int
open_store(struct cli *cli, struct billet_store **store)
{
    int status = cli_read_arguments(cli, 0, 0);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (billet_context_store(cli->context, store, &cli->error) < 0)
        return cli_fail(cli);
    return 0;
}

static int
run_status(struct cli *cli)
{
    struct billet_store *store = NULL;
    struct billet_store_info info = {0};
    int status = open_store(cli, &store);
    if (status != 0)
        return status;
    if (billet_store_of(store)->info(store, &info, &cli->error) < 0)
        return cli_fail(cli);
    if (cli->json) {
        cli_print_json(
            json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "format_version",
                      BILLET_FORMAT_VERSION, "engine", info.engine, "location", info.location,
                      "deployment", info.deployment, "schema", (json_int_t)info.schema,
                      "schema_wanted", (json_int_t)info.schema_wanted, "environments",
                      (json_int_t)info.environments, "leases_live", (json_int_t)info.leases_live,
                      "leases_total", (json_int_t)info.leases_total, "activities",
                      (json_int_t)info.activities, "size_bytes", (json_int_t)info.size_bytes));
        return BILLET_EXIT_OK;
    }
    char text[64];
    cli_print_field("Engine:", info.engine);
    cli_print_field("Location:", info.location);
    cli_print_field("Deployment:", info.deployment);
    snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64, info.schema, info.schema_wanted);
    cli_print_field("Schema:", text);
    snprintf(text, sizeof(text), "%" PRId64, info.environments);
    cli_print_field("Environments:", text);
    snprintf(text, sizeof(text), "%" PRId64 " live, %" PRId64 " in all", info.leases_live,
             info.leases_total);
    cli_print_field("Leases:", text);
    snprintf(text, sizeof(text), "%" PRId64, info.activities);
    cli_print_field("Activities:", text);
    if (info.size_bytes > 0) {
        snprintf(text, sizeof(text), "%" PRId64 " bytes", info.size_bytes);
        cli_print_field("Size:", text);
    }
    if (info.created_ns > 0) {
        billet_time_format(text, sizeof(text), info.created_ns);
        cli_print_field("Created:", text);
    }
    return BILLET_EXIT_OK;
}

static int
run_check(struct cli *cli)
{
    struct billet_store *store = NULL;
    cleanup_strings struct billet_strings found = BILLET_STRINGS_INIT;
    int status = open_store(cli, &store);
    if (status != 0)
        return status;
    if (billet_store_of(store)->check(store, &found, &cli->error) < 0)
        return cli_fail(cli);
    if (cli->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < found.count; i++)
            json_array_append_new(list, billet_json_bytes(found.items[i]));
        cli_print_json(json_pack("{s:s, s:b, s:o}", "format_version", BILLET_FORMAT_VERSION, "ok",
                                 found.count == 0, "findings", list));
    } else {
        for (size_t i = 0; i < found.count; i++)
            printf("%s\n", found.items[i]);
        if (found.count == 0)
            printf("no findings\n");
    }
    return found.count > 0 ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

static const char *const status_examples[] = {"billet db status", NULL};
const struct cli_command cli_db_status = {"db status",    "",   "Show the store and what is in it",
                                          "billet-db(1)", NULL, status_examples,
                                          run_status,     false};
static const char *const check_examples[] = {"billet db check", NULL};
const struct cli_command cli_db_check = {"db check",     "",   "Check the store's integrity",
                                         "billet-db(1)", NULL, check_examples,
                                         run_check,      false};
