/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_driver.c - billet driver list | show | schema | probe
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/checks.h"
#include "cli/command.h"
#include "cli/output.h"
#include "driver/registry.h"
#include "run/status.h"

static const char *
state_name(int state)
{
    switch (state) {
    case BILLET_DRIVER_READY:
        return "ready";
    case BILLET_DRIVER_DISABLED:
        return "disabled";
    case BILLET_DRIVER_BROKEN:
        return "broken";
    default:
        return "missing";
    }
}

static void
features_text(uint64_t capabilities, struct billet_buffer *to)
{
    for (const struct billet_capability *c = billet_capabilities; c->name != NULL; c++)
        if ((capabilities & c->bit) != 0)
            billet_buffer_format(to, "%s%s", to->length > 0 ? " " : "", c->name);
}

static json_t *
features_json(uint64_t capabilities)
{
    json_t *object = json_object();
    for (const struct billet_capability *c = billet_capabilities; c->name != NULL; c++)
        json_object_set_new(object, c->name, json_boolean((capabilities & c->bit) != 0));
    return object;
}

static void
modes_text(uint64_t modes, struct billet_buffer *to)
{
    for (int mode = 0; mode < 63; mode++)
        if ((modes & (UINT64_C(1) << mode)) != 0 && billet_workspace_mode_name(mode) != NULL)
            billet_buffer_format(to, "%s%s", to->length > 0 ? " " : "",
                                 billet_workspace_mode_name(mode));
}

static int
print_features(struct cli *cli, const struct billet_registry *registry)
{
    struct cli_table table = {0};
    json_t *list = json_array();
    size_t drivers = 0;
    const char *headings[CLI_TABLE_COLUMNS] = {"FEATURE"};
    uint64_t capabilities[CLI_TABLE_COLUMNS] = {0};

    for (size_t i = 0; i < billet_registry_count(registry) && drivers + 2 < CLI_TABLE_COLUMNS;
         i++) {
        const struct billet_driver_entry *entry = billet_registry_at(registry, i);
        struct billet_driver_client *client = NULL;
        if (entry->state != BILLET_DRIVER_READY)
            continue;
        if (billet_context_start_driver(cli->context, entry->name, &client, &cli->error) == 0) {
            const struct billet_driver_info *info = billet_driver_info(client);
            capabilities[drivers] = info->capabilities;
            headings[++drivers] = entry->name;
            json_array_append_new(list, json_pack("{s:s, s:o}", "name", entry->name, "features",
                                                  features_json(info->capabilities)));
        } else {
            billet_log_error(&cli->error);
        }
        billet_driver_stop(client);
    }
    if (cli->json) {
        cli_print_json(
            json_pack("{s:s, s:o}", "format_version", BILLET_FORMAT_VERSION, "drivers", list));
        return BILLET_EXIT_OK;
    }
    json_decref(list);
    cli_table_open(&table, headings);
    for (const struct billet_capability *c = billet_capabilities; c->name != NULL; c++) {
        cli_table_cell(&table, c->name);
        for (size_t i = 0; i < drivers; i++)
            cli_table_cell(&table, (capabilities[i] & c->bit) != 0 ? "yes" : "no");
    }
    cli_table_print(&table, cli);
    return BILLET_EXIT_OK;
}

static int
print_list(struct cli *cli, const struct billet_registry *registry, bool all)
{
    static const char *const headings[] = {"NAME", "VERSION", "STATE", "REASON", NULL};
    struct cli_table table;
    json_t *list = json_array();

    cli_table_open(&table, headings);
    for (size_t i = 0; i < billet_registry_count(registry); i++) {
        const struct billet_driver_entry *entry = billet_registry_at(registry, i);
        const char *version = entry->has_note ? entry->note.version : "";
        if (!all && entry->state != BILLET_DRIVER_READY && entry->state != BILLET_DRIVER_BROKEN &&
            entry->state != BILLET_DRIVER_MISSING)
            continue;
        cli_table_cell(&table, entry->name);
        cli_table_cell(&table, version);
        cli_table_cell(&table, state_name(entry->state));
        cli_table_cell(&table, entry->reason);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", entry->name,
                                              "version", version, "state", state_name(entry->state),
                                              "code", entry->code, "reason", entry->reason, "path",
                                              entry->path));
    }
    if (cli->json) {
        billet_strings_free(&table.cells);
        cli_print_json(
            json_pack("{s:s, s:o}", "format_version", BILLET_FORMAT_VERSION, "drivers", list));
        return BILLET_EXIT_OK;
    }
    json_decref(list);
    cli_table_print(&table, cli);
    return BILLET_EXIT_OK;
}

static int
run_list(struct cli *cli)
{
    bool all = false;
    bool features = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        all = all || id == 'a';
        features = features || id == 'f';
    }
    if (cli->arguments.count > 0)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    int status = cli_open(cli, true);
    if (status != 0)
        return status;
    struct billet_registry *registry = NULL;
    if (billet_registry_open(billet_strings_list(&cli->context->driver_directories),
                             cli->context->configuration, &registry, &cli->error) < 0)
        return cli_fail(cli);
    status = features ? print_features(cli, registry) : print_list(cli, registry, all);
    billet_registry_free(registry);
    return status;
}

static int
run_show(struct cli *cli)
{
    struct billet_driver_entry entry = {0};
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_open(cli, true);
    if (status != 0)
        return status;
    /* Read from the file alone: nothing of the driver runs. */
    if (billet_registry_find(billet_strings_list(&cli->context->driver_directories),
                             cli->context->configuration, cli->arguments.items[0], &entry,
                             &cli->error) < 0 &&
        !entry.has_note)
        return cli_fail(cli);
    cleanup_free char *abi = NULL;
    if (asprintf(&abi, "%" PRIu32 ".%" PRIu32 " (needs a host of %" PRIu32 ".%" PRIu32 ")",
                 entry.note.abi_major, entry.note.abi_minor, entry.note.abi_major,
                 entry.note.host_minor) < 0)
        return BILLET_EXIT_FAILED;
    struct billet_driver_client *client = NULL;
    cleanup_json json_t *facts = NULL;
    const struct billet_driver_info *info = NULL;
    struct billet_driver_call call = {0};
    if (entry.state == BILLET_DRIVER_READY &&
        billet_context_start_driver(cli->context, entry.name, &client, &cli->error) == 0) {
        info = billet_driver_info(client);
        billet_driver_dump(client, &call, &facts, &cli->error);
    }
    cleanup_buffer struct billet_buffer features = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer modes = BILLET_BUFFER_INIT;
    if (info != NULL) {
        features_text(info->capabilities, &features);
        modes_text(info->workspace_modes, &modes);
    }
    if (cli->json) {
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "format_version",
                      BILLET_FORMAT_VERSION, "name", entry.name, "version", entry.note.version,
                      "path", entry.path, "state", state_name(entry.state), "reason", entry.reason,
                      "abi_major", (int)entry.note.abi_major, "abi_minor",
                      (int)entry.note.abi_minor, "host_minor", (int)entry.note.host_minor);
        if (info != NULL) {
            json_object_set_new(object, "text", json_string(info->text));
            json_object_set_new(object, "features", features_json(info->capabilities));
            json_object_set_new(object, "workspace_modes", json_string(billet_buffer_text(&modes)));
            json_object_set_new(object, "thread_model", json_integer(info->thread_model));
        }
        if (facts != NULL)
            json_object_set(object, "facts", facts);
        cli_print_json(object);
    } else {
        cli_print_field("Name:", entry.name);
        cli_print_field("Version:", entry.note.version);
        cli_print_field("ABI:", abi);
        cli_print_field("Path:", entry.path);
        cli_print_field("State:", state_name(entry.state));
        cli_print_field("Reason:", entry.reason);
        if (info != NULL) {
            cli_print_field("Provides:", info->text);
            cli_print_field("Features:", billet_buffer_text(&features));
            cli_print_field("Workspaces:", billet_buffer_text(&modes));
        }
        const char *key;
        json_t *value;
        json_object_foreach (facts, key, value) {
            cleanup_free char *name = NULL;
            if (asprintf(&name, "%s:", key) >= 0)
                cli_print_field(name, json_string_value(value));
        }
    }
    billet_driver_stop(client);
    return entry.state == BILLET_DRIVER_BROKEN ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

static int
run_schema(struct cli *cli)
{
    const char *format = "json-schema";
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'f')
            format = cli->value;
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet driver schema %s", cli->command->synopsis);
    if (strcmp(format, "json-schema") != 0 && strcmp(format, "conf") != 0 &&
        strcmp(format, "man") != 0)
        return cli_usage(cli, "--format is json-schema, conf or man, not '%s'", format);
    int status = cli_open(cli, true);
    if (status != 0)
        return status;
    struct billet_driver_client *client = NULL;
    if (billet_context_start_driver(cli->context, cli->arguments.items[0], &client, &cli->error) <
        0) {
        billet_driver_stop(client);
        return cli_fail(cli);
    }
    const struct billet_driver_info *info = billet_driver_info(client);
    if (strcmp(format, "conf") == 0)
        billet_options_to_snippet(stdout, info->name, info->options.items, info->options.count);
    else if (strcmp(format, "man") == 0)
        billet_options_to_mdoc(stdout, info->options.items, info->options.count);
    else
        cli_print_json(billet_options_to_schema(info->name, info->text, info->options.items,
                                                info->options.count));
    billet_driver_stop(client);
    return BILLET_EXIT_OK;
}

static int
run_probe(struct cli *cli)
{
    struct cli_checks checks;
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    const char *name = cli->arguments.items[0];
    cli_checks_open(&checks, cli);
    cli_checks_driver(&checks, name);
    return cli_checks_finish(&checks);
}

static const struct cli_option list_options[] = {
    {"all", 'a', NULL, "also those that are installed and not enabled"},
    {"features", 'f', NULL, "what each one can do"},
    CLI_OPTION_END,
};
static const char *const list_examples[] = {"billet driver list --all",
                                            "billet driver list --features", NULL};
const struct cli_command cli_driver_list = {"driver list",
                                            "[--all] [--features]",
                                            "List drivers, their state and why",
                                            "billet-driver(1)",
                                            list_options,
                                            list_examples,
                                            run_list,
                                            false};

static const char *const show_examples[] = {"billet driver show sandbox", NULL};
const struct cli_command cli_driver_show = {
    "driver show",      "NAME", "Show a driver's version, ABI, path and features",
    "billet-driver(1)", NULL,   show_examples,
    run_show,           false};

static const struct cli_option schema_options[] = {
    {"format", 'f', "FORMAT", "json-schema (default), conf or man"},
    CLI_OPTION_END,
};
static const char *const schema_examples[] = {"billet driver schema sandbox",
                                              "billet driver schema local --format conf", NULL};
const struct cli_command cli_driver_schema = {"driver schema",
                                              "NAME [--format FORMAT]",
                                              "Print the options of a driver",
                                              "billet-driver(1)",
                                              schema_options,
                                              schema_examples,
                                              run_schema,
                                              false};

static const char *const probe_examples[] = {"billet driver probe sandbox", NULL};
const struct cli_command cli_driver_probe = {
    "driver probe",     "NAME", "Check whether a driver can work here",
    "billet-driver(1)", NULL,   probe_examples,
    run_probe,          false};
