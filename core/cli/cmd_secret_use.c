/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_secret_use.c - billet secret usage | bind | unbind | enable | disable | rm, and
 * billet audit verify: where secrets may be used, and were
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "run/resolve.h"
#include "run/status.h"
#include "secret/audit.h"

/* ---- what uses a secret: bindings, and settings that name it -------------------------- */

struct usage {
    struct cli *cli;
    const char *name;
    json_t *list;
};

static json_t *
find_use(const struct usage *usage, const char *environment, const char *option)
{
    size_t index;
    json_t *item;
    json_array_foreach (usage->list, index, item)
        if (strcmp(billet_json_string(item, "environment", ""), environment) == 0 &&
            strcmp(billet_json_string(item, "option", ""), option) == 0)
            return item;
    item = json_pack("{s:s, s:s, s:b, s:b}", "environment", environment, "option", option, "bound",
                     0, "named", 0);
    json_array_append_new(usage->list, item);
    return item;
}

static int
add_binding(const struct billet_secret_binding *binding, void *context)
{
    json_object_set_new(find_use(context, binding->environment, binding->option), "bound",
                        json_true());
    return 0;
}

static int
add_named(const struct billet_environment *environment, void *context)
{
    const struct usage *usage = context;
    for (size_t i = 0; i < environment->settings.count; i++) {
        const struct billet_setting *setting = &environment->settings.items[i];
        struct billet_reference reference;
        struct billet_error ignored = BILLET_ERROR_INIT;
        if (billet_text_starts(setting->value, "@secret:") &&
            billet_reference_parse(setting->name, setting->value, &reference, &ignored) == 0 &&
            strcmp(reference.name, usage->name) == 0)
            json_object_set_new(find_use(usage, environment->name, setting->name), "named",
                                json_true());
    }
    return 0;
}

/* usage->list: the caller's (json_decref), also after a failure. */
static int
find_usage(struct cli *cli, struct billet_secrets *secrets, struct usage *usage)
{
    const struct billet_secret_table *table;
    usage->list = json_array();
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0)
        result = table->bindings(secrets->store, secrets->tenant, NULL, NULL, usage->name,
                                 add_binding, usage, &cli->error);
    return result < 0 ? result
                      : billet_each_environment(cli->context, add_named, usage, &cli->error);
}

static int
run_usage(struct cli *cli)
{
    static const char *const headings[] = {"ENVIRONMENT", "OPTION", "BOUND", "NAMED", NULL};
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    struct cli_table table;
    size_t index;
    json_t *item;
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    struct usage usage = {.cli = cli, .name = cli->arguments.items[0]};
    int result = billet_secrets_find(secrets, usage.name, &record, &cli->error);
    if (result == 0)
        result = find_usage(cli, secrets, &usage);
    if (result == 0 && cli->json) {
        cli_print_json(
            json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, "usage", usage.list));
    } else if (result == 0) {
        cli_table_open(&table, headings);
        json_array_foreach (usage.list, index, item) {
            cli_table_cell(&table, billet_json_string(item, "environment", ""));
            cli_table_cell(&table, billet_json_string(item, "option", ""));
            cli_table_cell(&table, billet_json_boolean(item, "bound", false) ? "yes" : "no");
            cli_table_cell(&table, billet_json_boolean(item, "named", false) ? "yes" : "no");
        }
        cli_table_print(&table, cli);
    }
    json_decref(usage.list);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
refuse_used(struct cli *cli, const struct usage *usage)
{
    const json_t *first = json_array_get(usage->list, 0);
    billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "secret_in_use",
                     "secret '%s' is used by environment '%s', option '%s'%s", usage->name,
                     billet_json_string(first, "environment", ""),
                     billet_json_string(first, "option", ""),
                     json_array_size(usage->list) > 1 ? " and others" : "");
    return billet_error_hint(&cli->error,
                             "'billet secret usage %s' lists all; --force deletes it all the same",
                             usage->name);
}

static int
run_rm(struct cli *cli)
{
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    const struct billet_secret_table *table;
    bool force = false;
    char details[128];
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        force = force || id == 'f';
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet secret rm %s", cli->command->synopsis);
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    struct usage usage = {.cli = cli, .name = cli->arguments.items[0]};
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0)
        result = billet_secrets_find(secrets, usage.name, &record, &cli->error);
    if (result == 0)
        result = find_usage(cli, secrets, &usage);
    if (result == 0 && json_array_size(usage.list) > 0 && !force)
        result = refuse_used(cli, &usage);
    json_decref(usage.list);
    snprintf(details, sizeof(details), "{\"name\":\"%.64s\"}", usage.name);
    const struct billet_activity row = {.action = "secret.deleted",
                                        .tenant = secrets->tenant,
                                        .actor = secrets->actor,
                                        .details = details};
    if (result == 0)
        result =
            table->set_state(secrets->store, &record, BILLET_SECRET_DELETED, &row, &cli->error);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- enable, disable --------------------------------------------------------------------- */

static int
change_state(struct cli *cli, const char *state)
{
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    const struct billet_secret_table *table;
    char details[160];
    long version = 0;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'n' && (version = strtol(cli->value, NULL, 10)) < 1)
            return cli_usage(cli, "--version wants the number of a version");
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    const char *name = cli->arguments.items[0];
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0)
        result = billet_secrets_find(secrets, name, &record, &cli->error);
    snprintf(details, sizeof(details), "{\"name\":\"%.64s\",\"version\":%ld,\"state\":\"%s\"}",
             name, version, state);
    const struct billet_activity row = {.action = "secret.changed",
                                        .tenant = secrets->tenant,
                                        .actor = secrets->actor,
                                        .details = details};
    if (result == 0)
        result = version > 0 ? table->set_version_state(secrets->store, &record, version, state,
                                                        &row, &cli->error)
                             : table->set_state(secrets->store, &record, state, &row, &cli->error);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_enable(struct cli *cli)
{
    return change_state(cli, BILLET_SECRET_ACTIVE);
}

static int
run_disable(struct cli *cli)
{
    return change_state(cli, BILLET_SECRET_DISABLED);
}

/* ---- bind, unbind -------------------------------------------------------------------------- */

static int
change_binding(struct cli *cli, bool bind)
{
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    const struct billet_secret_table *table;
    const char *where = NULL;
    const char *option = NULL;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'e')
            where = cli->value;
        else if (id == 'o')
            option = cli->value;
    }
    if (cli->arguments.count != 1 || where == NULL || option == NULL || option[0] == '\0' ||
        strlen(option) > 128)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    const char *name = cli->arguments.items[0];
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0 && bind)
        result = billet_secrets_find(secrets, name, &record, &cli->error);
    if (result == 0 && bind)
        result = billet_find_environment(cli->context, where, &environment, &cli->error);
    const struct billet_activity row = {.action = bind ? "secret.bound" : "secret.unbound",
                                        .tenant = secrets->tenant,
                                        .environment = where,
                                        .actor = secrets->actor,
                                        .details = "{}"};
    const struct billet_secret_binding binding = {.tenant = secrets->tenant,
                                                  .environment = where,
                                                  .option = option,
                                                  .name = name,
                                                  .created_by = secrets->actor};
    if (result == 0 && bind)
        result = table->bind(secrets->store, &binding, &row, &cli->error);
    else if (result == 0)
        result =
            table->unbind(secrets->store, secrets->tenant, where, option, name, &row, &cli->error);
    billet_environment_free(&environment);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_bind(struct cli *cli)
{
    return change_binding(cli, true);
}

static int
run_unbind(struct cli *cli)
{
    return change_binding(cli, false);
}

/* ---- the chain of uses ------------------------------------------------------------------------
 */

static int
run_audit_verify(struct cli *cli)
{
    struct billet_audit_result found;
    struct billet_store *store = NULL;
    int status = cli_read_arguments(cli, 0, 0);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (billet_context_store(cli->context, &store, &cli->error) < 0 ||
        billet_audit_verify(store, &found, &cli->error) < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack(
            "{s:s, s:b, s:I, s:I, s:s, s:I, s:s}", "format_version", BILLET_FORMAT_VERSION, "ok",
            found.broken == 0, "rows", (json_int_t)found.rows, "head", (json_int_t)found.head,
            "head_hash", found.head_hash, "broken", (json_int_t)found.broken, "why", found.why));
    else
        printf("%" PRId64 " uses, head %s\n", found.rows,
               found.head > 0 ? found.head_hash : "none");
    if (found.broken == 0)
        return BILLET_EXIT_OK;
    billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "audit_broken",
                     "the chain of uses breaks at row %" PRId64 ": %s", found.broken, found.why);
    billet_log_error(&cli->error);
    return BILLET_EXIT_FINDINGS;
}

static const char *const usage_examples[] = {"billet secret usage api-token", NULL};
const struct cli_command cli_secret_usage = {
    "secret usage",     "NAME", "List where a secret is named and where it may be used",
    "billet-secret(1)", NULL,   usage_examples,
    run_usage,          false};

static const struct cli_option bind_options[] = {
    {"environment", 'e', "NAME", "the environment"},
    {"option", 'o', "OPTION", "its option, or env.NAME"},
    CLI_OPTION_END,
};
static const char *const bind_examples[] = {
    "billet secret bind build1-key --environment build1 --option identity", NULL};
const struct cli_command cli_secret_bind = {"secret bind",
                                            "NAME --environment ENV --option OPTION",
                                            "Allow a secret in an option of an environment",
                                            "billet-secret(1)",
                                            bind_options,
                                            bind_examples,
                                            run_bind,
                                            false};
static const char *const unbind_examples[] = {
    "billet secret unbind build1-key --environment build1 --option identity", NULL};
const struct cli_command cli_secret_unbind = {"secret unbind",
                                              "NAME --environment ENV --option OPTION",
                                              "Allow it there no more",
                                              "billet-secret(1)",
                                              bind_options,
                                              unbind_examples,
                                              run_unbind,
                                              false};

static const struct cli_option state_options[] = {
    {"version", 'n', "NUMBER", "only that version"},
    CLI_OPTION_END,
};
static const char *const enable_examples[] = {"billet secret enable api-token", NULL};
const struct cli_command cli_secret_enable = {"secret enable",
                                              "[--version NUMBER] NAME",
                                              "Let a disabled secret resolve again",
                                              "billet-secret(1)",
                                              state_options,
                                              enable_examples,
                                              run_enable,
                                              false};
static const char *const disable_examples[] = {"billet secret disable api-token", NULL};
const struct cli_command cli_secret_disable = {"secret disable",
                                               "[--version NUMBER] NAME",
                                               "Keep a secret, but let nothing resolve it",
                                               "billet-secret(1)",
                                               state_options,
                                               disable_examples,
                                               run_disable,
                                               false};

static const struct cli_option rm_options[] = {
    {"force", 'f', NULL, "also when environments use it"},
    CLI_OPTION_END,
};
static const char *const rm_examples[] = {"billet secret rm old-token", NULL};
const struct cli_command cli_secret_rm = {"secret rm",
                                          "[--force] NAME",
                                          "Delete a secret and destroy its versions",
                                          "billet-secret(1)",
                                          rm_options,
                                          rm_examples,
                                          run_rm,
                                          false};

static const char *const audit_examples[] = {"billet audit verify", NULL};
const struct cli_command cli_audit_verify = {
    "audit verify",     "",   "Check the chain of uses of secrets",
    "billet-secret(1)", NULL, audit_examples,
    run_audit_verify,   false};
