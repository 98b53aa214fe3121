/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_config.c - billet config check | show
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/resolve.h"
#include "run/secrets.h"
#include "run/status.h"

struct refusals {
    struct billet_diagnostics *found;
    const struct billet_origin *place;
    const char *who;
    const struct billet_environment *environment;
};

/* A reference that would not resolve, at the line where it is written. */
static void
add_refusal(const char *option, const struct billet_error *error, void *context)
{
    const struct refusals *refusals = context;
    const struct billet_setting *setting =
        billet_settings_get(&refusals->environment->settings, option);
    const struct billet_origin *place = setting != NULL ? &setting->origin : refusals->place;
    billet_diagnostics_add(
        refusals->found, BILLET_DIAGNOSTIC_ERROR, place != NULL ? place->text : "the store",
        place != NULL ? place->line : 0, place != NULL ? place->column : 0, error->code, "%s%s%s",
        error->message, error->hint[0] != '\0' ? ": " : "", error->hint);
}

/* Values of one environment against its driver's table; a driver that cannot be asked is a finding.
 */
static void
check_environment(struct cli *cli, struct billet_environment *environment,
                  struct billet_diagnostics *found)
{
    struct billet_driver_client *client = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_values values = {0};
    const struct billet_origin *place = NULL;
    char who[128];
    const struct billet_section *section =
        billet_configuration_find(cli->context->configuration, "environment", environment->name);

    if (section != NULL)
        place = &section->origin;
    snprintf(who, sizeof(who), "[environment %.64s]", environment->name);
    if (billet_environment_resolve(environment, found) < 0 ||
        billet_environment_apply_defaults(cli->context->configuration, environment) < 0)
        return;
    int result = billet_context_start_driver(cli->context, environment->driver, &client, &error);
    if (result == 0) {
        const struct billet_driver_info *info = billet_driver_info(client);
        result = billet_options_resolve(info->options.items, info->options.count,
                                        &environment->driver_settings, who, place, &values, found);
        struct billet_driver_call call = {.settings = &environment->driver_settings};
        if (result < 0)
            result = 0; /* already among the findings */
        else
            result = billet_driver_check_config(client, &call, &error);
        struct refusals refusals = {
            .found = found, .place = place, .who = who, .environment = environment};
        const struct billet_run_secrets_for wanted = {
            .environment = environment, .info = info, .purpose = "check", .command = true};
        if (result == 0)
            result =
                billet_run_secrets_check(cli->context, &wanted, add_refusal, &refusals, &error);
    }
    const char *where = place != NULL ? place->text : "the store";
    if (result < 0)
        billet_diagnostics_add(found, BILLET_DIAGNOSTIC_ERROR, where,
                               place != NULL ? place->line : 0, place != NULL ? 1 : 0, error.code,
                               "%s %s%s%s", who, error.message, error.hint[0] != '\0' ? ": " : "",
                               error.hint);
    billet_values_free(&values);
    billet_driver_stop(client);
}

static void
check_environments(struct cli *cli, struct billet_diagnostics *found)
{
    const struct billet_configuration *configuration = cli->context->configuration;
    for (size_t i = 0; i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
        if (strcmp(section->kind, "environment") != 0)
            continue;
        if (billet_environment_from_section(section, &environment, &cli->error) == 0)
            check_environment(cli, &environment, found);
        else
            billet_diagnostics_add(found, BILLET_DIAGNOSTIC_ERROR, section->origin.text,
                                   section->origin.line, section->origin.column, cli->error.code,
                                   "%s", cli->error.message);
        billet_environment_free(&environment);
    }
}

static int
by_place(const void *a, const void *b)
{
    const struct billet_diagnostic *x = a;
    const struct billet_diagnostic *y = b;
    int order = strcmp(x->file, y->file);
    if (order == 0)
        order = x->line != y->line ? x->line - y->line : x->column - y->column;
    return order;
}

static void
print_findings(struct cli *cli, const struct billet_diagnostics *found)
{
    if (!cli->json) {
        billet_diagnostics_print(stdout, found);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < found->count; i++) {
        const struct billet_diagnostic *item = &found->items[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "severity",
                            item->severity == BILLET_DIAGNOSTIC_ERROR ? "error" : "warning", "file",
                            item->file, "line", item->line, "column", item->column, "code",
                            item->code, "message", item->message));
    }
    cli_print_json(json_pack("{s:s, s:b, s:o}", "format_version", BILLET_FORMAT_VERSION, "ok",
                             found->errors == 0, "findings", list));
}

static int
run_check(struct cli *cli)
{
    int status = cli_read_arguments(cli, 0, 1);
    if (status != 0)
        return status;
    if (cli->arguments.count == 1)
        cli->request.config = cli->arguments.items[0];
    cli->request.set = &cli->set;
    if (billet_context_open(&cli->request, true, &cli->context, &cli->error) < 0) {
        cli_fail(cli);
        return BILLET_EXIT_USAGE;
    }
    struct billet_diagnostics *found = &cli->context->diagnostics;
    check_environments(cli, found);
    if (found->count > 1)
        qsort(found->items, found->count, sizeof(*found->items), by_place);
    print_findings(cli, found);
    return found->errors > 0 ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

static void
show_value(struct cli *cli, const struct billet_setting *setting, bool origin, json_t *list)
{
    if (cli->json) {
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:i, s:i}", "key", setting->name,
                                              "value", billet_json_bytes(setting->value), "file",
                                              setting->origin.text, "line", setting->origin.line,
                                              "column", setting->origin.column));
        return;
    }
    char value[4096];
    billet_text_escape(value, sizeof(value), setting->value);
    if (!origin)
        printf("%s = %s\n", setting->name, value);
    else if (setting->origin.line > 0)
        printf("%s = %s\t# %s:%d\n", setting->name, value, setting->origin.text,
               setting->origin.line);
    else
        printf("%s = %s\t# %s\n", setting->name, value, setting->origin.text);
}

/* Core's own keys that nobody set, with their defaults. */
static void
show_defaults(struct cli *cli, const char *kind, const struct billet_section *section, bool origin,
              json_t *list)
{
    size_t count = 0;
    const struct billet_option *options = billet_configuration_options(kind, &count);
    for (size_t i = 0; i < count; i++) {
        if (options[i].default_value == NULL ||
            (section != NULL && billet_settings_get(&section->settings, options[i].name) != NULL))
            continue;
        struct billet_setting setting = {.name = (char *)(uintptr_t)options[i].name,
                                         .value = (char *)(uintptr_t)options[i].default_value,
                                         .origin = {.text = (char *)(uintptr_t) "default"}};
        show_value(cli, &setting, origin, list);
    }
}

static void
show_section(struct cli *cli, const char *kind, const char *name,
             const struct billet_section *section, bool origin, json_t *sections)
{
    json_t *list = json_array();
    if (!cli->json)
        printf("[%s%s%s]\n", kind, name[0] != '\0' ? " " : "", name);
    for (size_t i = 0; section != NULL && i < section->settings.count; i++)
        show_value(cli, &section->settings.items[i], origin, list);
    if (name[0] == '\0')
        show_defaults(cli, kind, section, origin, list);
    if (!cli->json)
        printf("\n");
    json_array_append_new(
        sections, json_pack("{s:s, s:s, s:o}", "kind", kind, "name", name, "settings", list));
}

static int
run_show(struct cli *cli)
{
    static const char *const always[] = {"billet", "secrets", "store", NULL};
    bool origin = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        origin = origin || id == 'o';
    }
    if (cli->arguments.count > 2)
        return cli_usage(cli, "usage: billet config show %s", cli->command->synopsis);
    const char *want_kind = cli->arguments.count > 0 ? cli->arguments.items[0] : NULL;
    const char *want_name = cli->arguments.count > 1 ? cli->arguments.items[1] : NULL;
    int status = cli_open(cli, true);
    if (status != 0)
        return status;
    const struct billet_configuration *configuration = cli->context->configuration;
    json_t *sections = json_array();
    bool shown = false;
    for (size_t i = 0; always[i] != NULL; i++) {
        if (want_kind != NULL && (strcmp(want_kind, always[i]) != 0 || want_name != NULL))
            continue;
        show_section(cli, always[i], "", billet_configuration_find(configuration, always[i], ""),
                     origin, sections);
        shown = true;
    }
    for (size_t i = 0; i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        if (section->name[0] == '\0' ||
            (want_kind != NULL && strcmp(want_kind, section->kind) != 0) ||
            (want_name != NULL && strcmp(want_name, section->name) != 0))
            continue;
        show_section(cli, section->kind, section->name, section, origin, sections);
        shown = true;
    }
    if (cli->json)
        cli_print_json(
            json_pack("{s:s, s:o}", "format_version", BILLET_FORMAT_VERSION, "sections", sections));
    else
        json_decref(sections);
    if (!shown && want_kind != NULL) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "config_invalid",
                         "no section [%s%s%s] is configured", want_kind,
                         want_name != NULL ? " " : "", want_name != NULL ? want_name : "");
        return cli_fail(cli);
    }
    if (cli->context->diagnostics.errors > 0) {
        billet_log(BILLET_LOG_WARNING,
                   "the configuration has %zu errors; see 'billet config check'",
                   cli->context->diagnostics.errors);
        return BILLET_EXIT_FINDINGS;
    }
    return BILLET_EXIT_OK;
}

static const char *const check_examples[] = {"billet config check",
                                             "billet config check /etc/billet/billet.conf", NULL};
const struct cli_command cli_config_check = {
    "config check",     "[FILE]", "Check the configuration and every environment in it",
    "billet-config(1)", NULL,     check_examples,
    run_check,          false};

static const struct cli_option show_options[] = {
    {"origin", 'o', NULL, "say which file and line each value is from"},
    CLI_OPTION_END,
};
static const char *const show_examples[] = {"billet config show --origin",
                                            "billet config show environment build1", NULL};
const struct cli_command cli_config_show = {"config show",
                                            "[--origin] [SECTION [NAME]]",
                                            "Show the merged configuration",
                                            "billet-config(1)",
                                            show_options,
                                            show_examples,
                                            run_show,
                                            false};
