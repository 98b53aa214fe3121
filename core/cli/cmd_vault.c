/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_vault.c - billet vault list | probe | import | discover
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "cli/vault_verbs.h"
#include "run/status.h"
#include "secret/vault.h"

#define NAMES_MAX 1000

int
cli_vault_find(const char *path, const char *note, void *context)
{
    struct cli_vault_found *found = context;
    if (found->paths.count >= NAMES_MAX)
        return 1;
    found->failed =
        !billet_strings_add(&found->paths, path) || !billet_strings_add(&found->notes, note);
    return found->failed ? 1 : 0;
}

void
cli_vault_found_free(struct cli_vault_found *found)
{
    billet_strings_free(&found->paths);
    billet_strings_free(&found->notes);
}

/* Names below prefix, or where the server has places for them. */
static int
look(const struct billet_vault *vault, const char *prefix, bool discover,
     struct cli_vault_found *found, struct billet_error *error)
{
    if ((discover ? (void *)vault->module->discover : (void *)vault->module->list) == NULL)
        return billet_vault_failed(vault, "vault_unsupported", error);
    int result = discover ? vault->module->discover(vault, cli_vault_find, found, error)
                          : vault->module->list(vault, prefix, cli_vault_find, found, error);
    if (found->failed)
        result = billet_error_no_memory(error);
    if (result > 0)
        billet_log(BILLET_LOG_WARNING, "only the first %d names are shown", NAMES_MAX);
    return result < 0 ? result : 0;
}

int
cli_vault_open(struct cli *cli, struct billet_secrets **secrets, struct billet_vault *vault)
{
    int status = cli_secrets(cli, -1, secrets);
    if (status != 0)
        return status;
    return billet_vault_open(*secrets, cli->arguments.items[0], vault, &cli->error) < 0
               ? cli_fail(cli)
               : 0;
}

/* Without the '/' at its end; of what the vault may be used for. */
static int
take_folder(const struct billet_vault *vault, const char *prefix, char **folder,
            struct billet_error *error)
{
    struct billet_vault_path path;
    size_t length = strlen(prefix);
    *folder = strndup(prefix, length > 0 && prefix[length - 1] == '/' ? length - 1 : length);
    if (*folder == NULL)
        return billet_error_no_memory(error);
    /* The vault's own prefix needs no check, however it was written. */
    if (length == 0 || (vault->prefix != NULL && strcmp(prefix, vault->prefix) == 0))
        return 0;
    return billet_vault_path_parse(vault, *folder, &path, error);
}

/* ---- list ------------------------------------------------------------------------------- */

static int
list_vaults(struct cli *cli)
{
    static const char *const headings[] = {"VAULT", "TYPE", "ADDRESS", NULL};
    const struct billet_configuration *configuration;
    struct cli_table table;
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    configuration = cli->context->configuration;
    json_t *list = json_array();
    cli_table_open(&table, headings);
    for (size_t i = 0; i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        const char *cells[3] = {section->name, "", ""};
        static const char *const keys[] = {"tenant", "type", "address"};
        const char *values[3];
        if (strcmp(section->kind, "vault") != 0)
            continue;
        for (int j = 0; j < 3; j++) {
            const struct billet_value *value =
                billet_configuration_value(configuration, "vault", section->name, keys[j]);
            values[j] = value != NULL && value->is_set ? value->string : "";
        }
        if (values[0][0] != '\0' && strcmp(values[0], cli->context->tenant) != 0)
            continue;
        cells[1] = values[1];
        cells[2] = values[2];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", section->name, "type",
                                              values[1], "address", values[2]));
        for (int j = 0; j < 3; j++)
            cli_table_cell(&table, cells[j]);
    }
    if (cli->json)
        cli_print_json(
            json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, "vaults", list));
    else
        cli_table_print(&table, cli);
    billet_strings_free(&table.cells);
    json_decref(list);
    return BILLET_EXIT_OK;
}

void
cli_vault_print(struct cli *cli, const struct cli_vault_found *found, const char *const headings[3],
                const char *list, const char *const keys[2])
{
    struct cli_table table;
    json_t *items = json_array();
    cli_table_open(&table, headings);
    for (size_t i = 0; i < found->paths.count; i++) {
        json_t *item = json_pack("{s:s}", keys[1], found->notes.items[i]);
        json_object_set_new(item, keys[0], billet_json_bytes(found->paths.items[i]));
        json_array_append_new(items, item);
        cli_table_cell(&table, found->paths.items[i]);
        cli_table_cell(&table, found->notes.items[i]);
    }
    if (cli->json)
        cli_print_json(
            json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, list, items));
    else
        cli_table_print(&table, cli);
    billet_strings_free(&table.cells);
    json_decref(items);
}

static int
show_paths(struct cli *cli, bool discover)
{
    struct billet_secrets *secrets = NULL;
    struct billet_vault vault;
    struct cli_vault_found found = {0};
    static const char *const mounts[] = {"MOUNT", "KIND", NULL};
    static const char *const paths[] = {"PATH", "KIND", NULL};
    static const char *const keys[] = {"path", "kind"};
    const char *prefix = cli->arguments.count > 1 ? cli->arguments.items[1] : "";
    int status = cli_vault_open(cli, &secrets, &vault);
    if (status != 0)
        return status;
    if (prefix[0] == '\0' && vault.prefix != NULL && !discover)
        prefix = vault.prefix;
    cleanup_free char *trimmed = NULL;
    int result = take_folder(&vault, prefix, &trimmed, &cli->error);
    if (result == 0)
        result = look(&vault, trimmed, discover, &found, &cli->error);
    if (result == 0)
        cli_vault_print(cli, &found, discover ? mounts : paths, "paths", keys);
    cli_vault_found_free(&found);
    billet_vault_close(&vault);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_list(struct cli *cli)
{
    int status = cli_read_arguments(cli, 0, 2);
    if (status != 0)
        return status;
    return cli->arguments.count == 0 ? list_vaults(cli) : show_paths(cli, false);
}

static int
run_discover(struct cli *cli)
{
    int status = cli_read_arguments(cli, 1, 1);
    return status != 0 ? status : show_paths(cli, true);
}

/* ---- probe -------------------------------------------------------------------------------- */

static int
run_probe(struct cli *cli)
{
    struct billet_secrets *secrets = NULL;
    struct billet_vault vault;
    char found[256] = "";
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_vault_open(cli, &secrets, &vault);
    if (status != 0)
        return status;
    int result = vault.module->probe(&vault, found, sizeof(found), &cli->error);
    billet_vault_close(&vault);
    if (result < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:s, s:s}", "format_version", BILLET_FORMAT_VERSION,
                                 "name", vault.name, "type", vault.type, "found", found));
    else
        printf("%s\n", found);
    return BILLET_EXIT_OK;
}

/* ---- import ------------------------------------------------------------------------------- */

/* What it would be called here: the last part of its path, or all of it with '-' for '/'. */
static void
name_for(const char *path, char name[65])
{
    size_t length = 0;
    for (const char *at = path; *at != '\0' && length < 64; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '.';
        if (plain || length > 0)
            name[length++] = plain ? (char)c : '-';
    }
    name[length] = '\0';
}

static const char *
state_of(struct billet_secrets *secrets, const char *path, const char *name)
{
    struct billet_secret_record record;
    struct billet_error error = BILLET_ERROR_INIT;
    size_t length = strlen(path);
    if (length > 0 && path[length - 1] == '/')
        return "folder";
    if (!billet_text_is_name(name))
        return "unnamed";
    if (billet_secrets_find(secrets, name, &record, &error) == 0 ||
        strcmp(error.code, "secret_disabled") == 0)
        return "exists";
    return strcmp(error.code, "secret_not_found") == 0 || strcmp(error.code, "secret_deleted") == 0
               ? "ready"
           : error.code[0] != '\0' ? "failed"
                                   : "ready";
}

static int
import_one(struct billet_secrets *secrets, const struct billet_vault *vault, const char *text,
           const char *name, struct billet_error *error)
{
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    struct billet_vault_path path;
    const struct billet_secret_use use = {.purpose = "import"};
    char description[BILLET_VAULT_PATH_MAX + 80], reference[BILLET_VAULT_PATH_MAX + 80];
    snprintf(description, sizeof(description), "from vault %s: %.900s", vault->name, text);
    snprintf(reference, sizeof(reference), "@vault:%s/%s", vault->name, text);
    int result = billet_vault_path_parse(vault, text, &path, error);
    if (result == 0)
        result = vault->module->get(vault, &path, &value, error);
    if (result == 0)
        result = billet_secrets_record(secrets, reference, NULL, 0, &use, NULL, error);
    return result < 0 ? result : billet_secrets_create(secrets, name, description, &value, error);
}

static int
import_all(struct cli *cli, struct billet_secrets *secrets, const struct billet_vault *vault,
           const struct cli_vault_found *found, bool apply, bool *failed)
{
    static const char *const headings[] = {"PATH", "SECRET", "STATE", NULL};
    struct cli_table table;
    json_t *list = json_array();
    cli_table_open(&table, headings);
    for (size_t i = 0; i < found->paths.count; i++) {
        const char *path = found->paths.items[i];
        char name[65];
        struct billet_error error = BILLET_ERROR_INIT;
        name_for(path, name);
        const char *state = state_of(secrets, path, name);
        if (apply && strcmp(state, "ready") == 0) {
            state = "imported";
            if (import_one(secrets, vault, path, name, &error) < 0) {
                state = error.code;
                *failed = true;
            }
        }
        json_t *item = json_pack("{s:s, s:s}", "secret", name, "state", state);
        json_object_set_new(item, "path", billet_json_bytes(path));
        json_array_append_new(list, item);
        const char *const cells[] = {path, name, state};
        for (int j = 0; j < 3; j++)
            cli_table_cell(&table, cells[j]);
    }
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:b, s:O}", "format_version", BILLET_FORMAT_VERSION,
                                 "applied", apply, "paths", list));
    else
        cli_table_print(&table, cli);
    billet_strings_free(&table.cells);
    json_decref(list);
    return 0;
}

static int
run_import(struct cli *cli)
{
    struct billet_secrets *secrets = NULL;
    struct billet_vault vault;
    struct cli_vault_found found = {0};
    bool apply = false, failed = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        apply = apply || id == 'a';
    }
    if (cli->arguments.count < 1 || cli->arguments.count > 2)
        return cli_usage(cli, "usage: billet vault import %s", cli->command->synopsis);
    int status = cli_vault_open(cli, &secrets, &vault);
    if (status != 0)
        return status;
    const char *prefix = cli->arguments.count > 1 ? cli->arguments.items[1]
                         : vault.prefix != NULL   ? vault.prefix
                                                  : "";
    cleanup_free char *trimmed = NULL;
    int result = take_folder(&vault, prefix, &trimmed, &cli->error);
    if (result == 0 && apply)
        result = billet_secrets_ring(secrets, &cli->error);
    if (result == 0)
        result = look(&vault, trimmed, false, &found, &cli->error);
    if (result == 0)
        result = import_all(cli, secrets, &vault, &found, apply, &failed);
    cli_vault_found_free(&found);
    billet_vault_close(&vault);
    if (result < 0)
        return cli_fail(cli);
    if (!apply && found.paths.count == 0)
        return BILLET_EXIT_OK;
    if (!apply)
        billet_log(BILLET_LOG_WARNING, "no value was read and nothing was stored; --apply does it");
    return failed ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

static const char *const list_examples[] = {"billet vault list", "billet vault list corp team",
                                            NULL};
const struct cli_command cli_vault_list = {"vault list",
                                           "[VAULT [PATH]]",
                                           "List vaults, or the names in one",
                                           "billet-vault(1)",
                                           NULL,
                                           list_examples,
                                           run_list,
                                           false};

static const char *const probe_examples[] = {"billet vault probe corp", NULL};
const struct cli_command cli_vault_probe = {
    "vault probe", "VAULT", "See whether a vault answers", "billet-vault(1)", NULL, probe_examples,
    run_probe,     false};

static const char *const discover_examples[] = {"billet vault discover corp", NULL};
const struct cli_command cli_vault_discover = {
    "vault discover",  "VAULT", "List the engines or prefixes that a vault offers",
    "billet-vault(1)", NULL,    discover_examples,
    run_discover,      false};

static const struct cli_option import_options[] = {
    {"apply", 'a', NULL, "read the values and store them"},
    CLI_OPTION_END,
};
static const char *const import_examples[] = {"billet vault import corp team",
                                              "billet vault import --apply corp team", NULL};
const struct cli_command cli_vault_import = {"vault import",
                                             "[--apply] VAULT [PATH]",
                                             "Copy values of a vault into billet's own secrets",
                                             "billet-vault(1)",
                                             import_options,
                                             import_examples,
                                             run_import,
                                             false};
