/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_secret_import.c - billet secret import: literals of configuration files become
 * secrets, and references stand in their places
 *
 * First every secret is stored and bound, then each file is replaced. Killed between, the next call
 * finds the secrets with the same values, takes them, and goes on.
 */
#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "config/environment.h"
#include "config/option.h"
#include "config/rewrite.h"
#include "run/status.h"

struct literal {
    const struct billet_section *section;
    const struct billet_setting *setting;
    char name[65];             /* of the secret */
    char reference[80];        /* to it */
    bool stored;               /* under that name already, with that value */
    struct billet_error error; /* code "": it can be moved */
};

struct import {
    struct cli *cli;
    struct billet_secrets *secrets;
    const struct billet_secret_table *table;
    struct literal *items;
    size_t count;
};

/* ---- what is to be moved ------------------------------------------------------------- */

static void
name_it(struct literal *literal)
{
    const char *option = literal->setting->name;
    if (billet_text_starts(option, "env."))
        option += strlen("env.");
    snprintf(literal->name, sizeof(literal->name), "%.40s-%.23s", literal->section->name, option);
    snprintf(literal->reference, sizeof(literal->reference), "@secret:%s", literal->name);
}

static int
add_literal(struct import *import, const struct billet_section *section,
            const struct billet_setting *setting)
{
    struct literal *grown = reallocarray(import->items, import->count + 1, sizeof(*grown));
    if (grown == NULL)
        return billet_error_no_memory(&import->cli->error);
    import->items = grown;
    struct literal *literal = &import->items[import->count++];
    *literal = (struct literal){.section = section, .setting = setting};
    name_it(literal);
    return 0;
}

/* env.API_TOKEN: an ordinary variable by the grammar, a secret by its name. */
static bool
is_secret_variable(const char *name)
{
    char lower[128];
    size_t length = 0;
    if (!billet_text_starts(name, "env."))
        return false;
    for (name += strlen("env."); *name != '\0' && length + 1 < sizeof(lower); name++)
        lower[length++] = (char)tolower((unsigned char)*name);
    lower[length] = '\0';
    return billet_option_looks_secret(lower);
}

static bool
is_secret_option(const struct billet_driver_info *info, const char *name)
{
    const struct billet_option *option =
        billet_option_find(info->options.items, info->options.count, name);
    return option != NULL && (option->flags & BILLET_OPTION_SECRET) != 0;
}

/* The last of a name counts; the ones that it overrules may be literals as well. */
static int
find_in_section(struct import *import, const struct billet_section *section)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_driver_client *client = NULL;
    struct billet_error *error = &import->cli->error;
    int result = billet_environment_from_section(section, &environment, error);
    if (result == 0)
        result =
            billet_context_start_driver(import->cli->context, environment.driver, &client, error);
    if (result < 0)
        billet_error_wrap(error, "[environment %s]", section->name);
    for (size_t i = 0; result == 0 && i < section->settings.count; i++) {
        const struct billet_setting *setting = &section->settings.items[i];
        if (setting->origin.line > 0 && setting->value[0] != '\0' &&
            !billet_secret_is_reference(setting->value) &&
            (is_secret_variable(setting->name) ||
             is_secret_option(billet_driver_info(client), setting->name)))
            result = add_literal(import, section, setting);
    }
    billet_driver_stop(client);
    billet_environment_free(&environment);
    return result;
}

/* Is the name free, or has it that very value? */
static int
judge(struct import *import, struct literal *literal)
{
    struct billet_secret_record record;
    struct billet_error found = BILLET_ERROR_INIT;
    const struct billet_secret_use use = {.environment = literal->section->name,
                                          .option = literal->setting->name,
                                          .purpose = "import"};
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    const struct billet_setting *tenant =
        billet_settings_get(&literal->section->settings, "tenant");
    if (tenant != NULL && strcmp(tenant->value, import->secrets->tenant) != 0) {
        billet_error_set(&literal->error, BILLET_CLASS_CONFIG, "secret_other_tenant",
                         "environment '%s' belongs to tenant %s", literal->section->name,
                         tenant->value);
        billet_error_hint(&literal->error, "import with --tenant %s", tenant->value);
        return 0;
    }
    int result = billet_secrets_find(import->secrets, literal->name, &record, &found);
    if (result < 0 && strcmp(found.code, "secret_not_found") == 0)
        return 0;
    if (result < 0 && strcmp(found.code, "secret_deleted") == 0)
        return 0;
    if (result == 0)
        result = billet_secrets_open(import->secrets, literal->name, 0, &use, &value, &found);
    if (result < 0) {
        literal->error = found;
        return 0;
    }
    size_t length = strlen(literal->setting->value);
    literal->stored =
        value.length == length && sodium_memcmp(value.bytes, literal->setting->value, length) == 0;
    if (!literal->stored) {
        billet_error_set(&literal->error, BILLET_CLASS_CONFIG, "secret_exists",
                         "there is a secret '%s' already, with another value", literal->name);
        billet_error_hint(&literal->error, "write the reference that is meant into the file");
    }
    return 0;
}

static int
find_all(struct import *import)
{
    const struct billet_configuration *configuration = import->cli->context->configuration;
    int result = 0;
    for (size_t i = 0; result == 0 && i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        if (strcmp(section->kind, "environment") == 0)
            result = find_in_section(import, section);
    }
    for (size_t i = 0; result == 0 && i < import->count; i++) {
        struct literal *literal = &import->items[i];
        result = judge(import, literal);
        for (size_t j = 0; j < i && literal->error.code[0] == '\0'; j++)
            if (strcmp(import->items[j].name, literal->name) == 0 &&
                strcmp(import->items[j].setting->value, literal->setting->value) != 0)
                billet_error_set(&literal->error, BILLET_CLASS_CONFIG, "secret_exists",
                                 "two values would be called '%s'", literal->name);
    }
    return result;
}

/* ---- moving --------------------------------------------------------------------------- */

static int
store_one(struct import *import, const struct literal *literal)
{
    struct billet_secrets *secrets = import->secrets;
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    struct billet_error *error = &import->cli->error;
    struct billet_secret_record record;
    struct billet_error ignored = BILLET_ERROR_INIT;
    const char *text = literal->setting->value;
    const struct billet_secret_binding binding = {.tenant = secrets->tenant,
                                                  .environment = literal->section->name,
                                                  .option = literal->setting->name,
                                                  .name = literal->name,
                                                  .created_by = secrets->actor};
    const struct billet_activity row = {.action = "secret.bound",
                                        .tenant = secrets->tenant,
                                        .environment = literal->section->name,
                                        .actor = secrets->actor,
                                        .details = "{}"};
    int result = billet_secret_copy(&value, text, strlen(text), error);
    /* Twice in the files with one value: the second finds it. */
    if (result == 0 && !literal->stored &&
        billet_secrets_find(secrets, literal->name, &record, &ignored) < 0)
        result = billet_secrets_create(secrets, literal->name, "", &value, error);
    return result < 0 ? result : import->table->bind(secrets->store, &binding, &row, error);
}

/* All that stand in the file of the first that was not replaced yet. */
static int
rewrite_file(struct import *import, const char *path)
{
    cleanup_free struct billet_rewrite *items = calloc(import->count, sizeof(*items));
    size_t count = 0;
    if (items == NULL)
        return billet_error_no_memory(&import->cli->error);
    for (size_t i = 0; i < import->count; i++) {
        const struct billet_setting *setting = import->items[i].setting;
        if (strcmp(setting->origin.text, path) == 0)
            items[count++] = (struct billet_rewrite){.line = setting->origin.line,
                                                     .column = setting->origin.column,
                                                     .value = setting->value,
                                                     .text = import->items[i].reference};
    }
    return billet_configuration_rewrite(path, items, count, &import->cli->error);
}

static int
apply(struct import *import)
{
    int result = billet_secrets_ring(import->secrets, &import->cli->error);
    for (size_t i = 0; result == 0 && i < import->count; i++)
        result = store_one(import, &import->items[i]);
    for (size_t i = 0; result == 0 && i < import->count; i++) {
        const char *path = import->items[i].setting->origin.text;
        bool done = false;
        for (size_t j = 0; j < i; j++)
            done = done || strcmp(import->items[j].setting->origin.text, path) == 0;
        if (!done)
            result = rewrite_file(import, path);
    }
    return result;
}

/* ---- the verb --------------------------------------------------------------------------- */

static const char *
action_of(const struct literal *literal)
{
    return literal->error.code[0] != '\0' ? literal->error.code
           : literal->stored              ? "reuse"
                                          : "store";
}

static void
print(struct import *import, bool applied)
{
    static const char *const headings[] = {"PLACE",  "ENVIRONMENT", "OPTION",
                                           "SECRET", "ACTION",      NULL};
    struct cli_table table;
    json_t *list = json_array();
    cli_table_open(&table, headings);
    for (size_t i = 0; i < import->count; i++) {
        const struct literal *literal = &import->items[i];
        const struct billet_origin *origin = &literal->setting->origin;
        char place[4352];
        snprintf(place, sizeof(place), "%s:%d", origin->text, origin->line);
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "file", origin->text,
                                        "line", origin->line, "environment", literal->section->name,
                                        "option", literal->setting->name, "secret", literal->name,
                                        "action", action_of(literal)));
        const char *const cells[] = {place, literal->section->name, literal->setting->name,
                                     literal->name, action_of(literal)};
        for (size_t j = 0; j < sizeof(cells) / sizeof(cells[0]); j++)
            cli_table_cell(&table, cells[j]);
    }
    if (import->cli->json)
        cli_print_json(json_pack("{s:s, s:b, s:O}", "format_version", BILLET_FORMAT_VERSION,
                                 "applied", applied, "literals", list));
    else
        cli_table_print(&table, import->cli);
    json_decref(list);
}

static int
run_import(struct cli *cli)
{
    struct import import = {.cli = cli};
    bool from_config = false, applied = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        from_config = from_config || id == 'c';
        applied = applied || id == 'a';
    }
    if (!from_config || cli->arguments.count != 0)
        return cli_usage(cli, "usage: billet secret import %s", cli->command->synopsis);
    int status = cli_secrets(cli, -1, &import.secrets);
    if (status != 0)
        return status;
    int result = billet_secrets_table(import.secrets->store, &import.table, &cli->error);
    if (result == 0)
        result = find_all(&import);
    /* What cannot be moved keeps all from being moved: a file is replaced once. */
    for (size_t i = 0; result == 0 && applied && i < import.count; i++)
        if (import.items[i].error.code[0] != '\0') {
            const struct billet_setting *setting = import.items[i].setting;
            cli->error = import.items[i].error;
            result =
                billet_error_wrap(&cli->error, "%s:%d", setting->origin.text, setting->origin.line);
        }
    if (result == 0 && applied)
        result = apply(&import);
    if (result == 0)
        print(&import, applied);
    if (result == 0 && !applied && import.count > 0)
        billet_log(BILLET_LOG_WARNING, "nothing was changed; --apply does it");
    if (result == 0 && applied && import.count > 0)
        billet_log(BILLET_LOG_WARNING,
                   "copies of the files, as in backups, hold the values still: rotate them");
    free(import.items);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static const struct cli_option import_options[] = {
    {"from-config", 'c', NULL, "literals in the files of the configuration"},
    {"apply", 'a', NULL, "store them and write references in their places"},
    CLI_OPTION_END,
};
static const char *const import_examples[] = {"billet secret import --from-config",
                                              "billet secret import --from-config --apply", NULL};
const struct cli_command cli_secret_import = {"secret import",
                                              "--from-config [--apply]",
                                              "Move literals of configuration files into secrets",
                                              "billet-secret(1)",
                                              import_options,
                                              import_examples,
                                              run_import,
                                              false};
