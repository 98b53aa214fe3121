/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_db.c - billet db status | check | migrate | copy
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/status.h"
#include "store/copy.h"

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

/* Open the configured store in another way than runs do. */
static int
open_store_as(struct cli *cli, enum billet_store_mode mode, struct billet_store **store)
{
    struct billet_context *context = cli->context;
    int result = billet_context_store_url(context, &cli->error);
    if (result == 0)
        result = billet_store_open(context->store_directories, context->store_url, mode, store,
                                   &cli->error);
    return result;
}

/* An old schema is shown as it is. Only what is a file is made when it is not there. */
static int
look(struct cli *cli, struct billet_store_info *info)
{
    struct billet_store *store = NULL;
    int result = open_store_as(cli, BILLET_STORE_LOOK, &store);
    if (result < 0 && strcmp(cli->error.code, "store_missing") == 0 &&
        billet_text_starts(cli->context->store_url, "sqlite:")) {
        billet_error_clear(&cli->error);
        result = open_store_as(cli, BILLET_STORE_CREATE, &store);
    }
    if (result == 0)
        result = billet_store_of(store)->info(store, info, &cli->error);
    billet_store_close(store);
    return result;
}

static int
run_status(struct cli *cli)
{
    struct billet_store_info info = {0};
    int status = cli_read_arguments(cli, 0, 0);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (look(cli, &info) < 0)
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
    snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64 "%s", info.schema, info.schema_wanted,
             info.schema < info.schema_wanted ? ", the rest pending: billet db migrate" : "");
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

/* ---- migrate ------------------------------------------------------------------ */

static const struct cli_option migrate_options[] = {
    {"grant", 'g', "ROLE", "let this role of the database use the store"},
    {"only-tenant", 'o', "TENANT", "with --grant: only this tenant's rows"},
    CLI_OPTION_END,
};

static int
run_migrate(struct cli *cli)
{
    const char *role = NULL, *tenant = "";
    struct billet_store *store = NULL;
    struct billet_store_info info;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        *(id == 'g' ? &role : &tenant) = cli->value;
    }
    if (cli->arguments.count > 0)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    if (*tenant != '\0' && role == NULL)
        return cli_usage(cli, "--only-tenant says for whom with --grant ROLE");
    if (*tenant != '\0' && !billet_text_is_name(tenant))
        return cli_usage(cli, "'%s' is no name of a tenant", tenant);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    int result = open_store_as(cli, BILLET_STORE_CREATE, &store);
    if (result == 0 && role != NULL)
        result = billet_store_of(store)->grant(store, role, tenant, &cli->error);
    if (result == 0)
        result = billet_store_of(store)->info(store, &info, &cli->error);
    billet_store_close(store);
    if (result < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:I}", "format_version", BILLET_FORMAT_VERSION, "schema",
                                 (json_int_t)info.schema));
    else
        printf("the database %s has schema %" PRId64 "\n", info.location, info.schema);
    return BILLET_EXIT_OK;
}

/* ---- copy ---------------------------------------------------------------------- */

static int
copy_stores(struct cli *cli, const char *from_url, const char *to_url,
            struct billet_copy_count *count)
{
    const char *directories = cli->context->store_directories;
    struct billet_store *from = NULL, *to = NULL;
    int result = billet_store_open(directories, from_url, BILLET_STORE_USE, &from, &cli->error);
    if (result == 0)
        result = billet_store_open(directories, to_url, BILLET_STORE_CREATE, &to, &cli->error);
    if (result == 0)
        result = billet_store_copy(from, to, count, &cli->error);
    billet_store_close(from);
    billet_store_close(to);
    return result;
}

static int
run_copy(struct cli *cli)
{
    struct billet_copy_count count = {0};
    int status = cli_read_arguments(cli, 2, 2);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (copy_stores(cli, cli->arguments.items[0], cli->arguments.items[1], &count) < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:I, s:s}", "format_version", BILLET_FORMAT_VERSION, "rows",
                                 (json_int_t)count.rows, "hash", count.hash));
    else
        printf("copied %" PRId64 " rows; both stores have hash %s\n", count.rows, count.hash);
    return BILLET_EXIT_OK;
}

static const char *const status_examples[] = {"billet db status", NULL};
const struct cli_command cli_db_status = {"db status",    "",   "Show the store and what is in it",
                                          "billet-db(1)", NULL, status_examples,
                                          run_status,     false};
static const char *const check_examples[] = {"billet db check", NULL};
const struct cli_command cli_db_check = {"db check",     "",   "Check the store's integrity",
                                         "billet-db(1)", NULL, check_examples,
                                         run_check,      false};
static const char *const migrate_examples[] = {
    "billet db migrate", "billet db migrate --store postgresql:///billet --grant billet_user",
    NULL};
const struct cli_command cli_db_migrate = {"db migrate",
                                           "[--grant ROLE [--only-tenant TENANT]]",
                                           "Make the tables of the store or bring them up to date",
                                           "billet-db(1)",
                                           migrate_options,
                                           migrate_examples,
                                           run_migrate,
                                           false};
static const char *const copy_examples[] = {
    "billet db copy sqlite:/var/lib/billet/billet.db postgresql:///billet", NULL};
const struct cli_command cli_db_copy = {
    "db copy",      "FROM TO", "Copy a whole store into an empty one",
    "billet-db(1)", NULL,      copy_examples,
    run_copy,       false};
