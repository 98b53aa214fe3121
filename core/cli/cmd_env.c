/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_env.c - billet env list | show | create | edit | archive | drain | undrain | delete
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/command.h"
#include "cli/environment_form.h"
#include "cli/output.h"
#include "run/drain.h"
#include "run/resolve.h"
#include "run/secrets.h"
#include "run/status.h"

/* ---- list ---------------------------------------------------------------- */

struct list_state {
    struct cli *cli;
    struct cli_table table;
    json_t *list;
    bool all;
};

static json_t *
environment_json(const struct billet_environment *environment)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", environment->name, "driver",
                               environment->driver, "status", environment->status, "source",
                               environment->source, "tenant", environment->tenant);
    json_object_set_new(object, "description", billet_json_bytes(environment->description));
    json_object_set_new(object, "settings", billet_environment_settings_to_json(environment));
    if (environment->reason != NULL && environment->reason[0] != '\0')
        json_object_set_new(object, "reason", billet_json_bytes(environment->reason));
    if (environment->id[0] != '\0') {
        json_object_set_new(object, "id", json_string(environment->id));
        json_object_set_new(object, "revision", json_integer(environment->revision));
    }
    return object;
}

static int
list_visit(const struct billet_environment *environment, void *context)
{
    struct list_state *state = context;
    if (!state->all && strcmp(environment->status, BILLET_ENVIRONMENT_ARCHIVED) == 0)
        return 0;
    if (state->cli->json) {
        json_array_append_new(state->list, environment_json(environment));
        return 0;
    }
    cli_table_cell(&state->table, environment->name);
    cli_table_cell(&state->table, environment->driver);
    cli_table_cell(&state->table, environment->status);
    cli_table_cell(&state->table, environment->source);
    cli_table_cell(&state->table, environment->description);
    return 0;
}

static int
run_list(struct cli *cli)
{
    static const char *const headings[] = {"NAME",   "DRIVER",      "STATUS",
                                           "SOURCE", "DESCRIPTION", NULL};
    struct list_state state = {.cli = cli};
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        state.all = state.all || id == 'a';
    }
    if (cli->arguments.count > 0)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    cli_table_open(&state.table, headings);
    state.list = json_array();
    int result = billet_each_environment(cli->context, list_visit, &state, &cli->error);
    if (result == 0 && cli->json)
        cli_print_json(json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION,
                                 "environments", state.list));
    else if (result == 0)
        cli_table_print(&state.table, cli);
    json_decref(state.list);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- show ----------------------------------------------------------------- */

static int
run_show(struct cli *cli)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (billet_find_environment(cli->context, cli->arguments.items[0], &environment, &cli->error) <
        0)
        return cli_fail(cli);
    struct billet_store *store = NULL;
    if (billet_context_store(cli->context, &store, &cli->error) < 0 ||
        billet_drain_read(store, cli->context->tenant, &environment, &cli->error) < 0) {
        billet_environment_free(&environment);
        return cli_fail(cli);
    }
    if (cli->json) {
        json_t *object = environment_json(&environment);
        json_object_set_new(object, "format_version", json_string(BILLET_FORMAT_VERSION));
        cli_print_json(object);
    } else {
        char time[32];
        cli_print_field("Name:", environment.name);
        cli_print_field("Driver:", environment.driver);
        cli_print_field("Status:", environment.status);
        cli_print_field("Reason:", environment.reason);
        cli_print_field("Source:", environment.source);
        cli_print_field("Tenant:", environment.tenant);
        cli_print_field("Description:", environment.description);
        if (environment.created_ns > 0) {
            billet_time_format(time, sizeof(time), environment.created_ns);
            cli_print_field("Created:", time);
            billet_time_format(time, sizeof(time), environment.updated_ns);
            cli_print_field("Changed:", time);
        }
        printf("\n");
        billet_environment_to_snippet(stdout, &environment);
    }
    billet_environment_free(&environment);
    return BILLET_EXIT_OK;
}

/* ---- create, edit ------------------------------------------------------------ */

static int
note(struct cli *cli, const char *action, const struct billet_environment *environment,
     struct billet_activity *activity, char **details)
{
    json_t *object =
        json_pack("{s:s, s:s}", "driver", environment->driver, "status", environment->status);
    json_t *names = json_array();
    for (size_t i = 0; i < environment->settings.count; i++)
        json_array_append_new(names, json_string(environment->settings.items[i].name));
    json_object_set_new(object, "settings", names); /* names only: values may be private */
    *details = billet_json_text(object);
    json_decref(object);
    *activity = (struct billet_activity){.action = action,
                                         .tenant = cli->context->tenant,
                                         .environment = environment->name,
                                         .actor = cli->context->actor,
                                         .details = *details != NULL ? *details : "{}"};
    return 0;
}

static int
refuse_file_or_builtin(struct cli *cli, const struct billet_environment *environment)
{
    if (strcmp(environment->source, "store") == 0)
        return 0;
    bool file = strcmp(environment->source, "file") == 0;
    const struct billet_section *section =
        file ? billet_configuration_find(cli->context->configuration, "environment",
                                         environment->name)
             : NULL;
    billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "environment_read_only",
                     "environment '%s' is %s%s%s", environment->name,
                     file ? "defined in " : "built in", section != NULL ? section->origin.text : "",
                     file ? " and changed there" : "");
    return billet_error_hint(&cli->error, "'billet env create NAME' makes one in the store");
}

static int
run_create(struct cli *cli)
{
    struct cli_environment_form form = {0};
    int status = cli_environment_form_read(cli, &form);
    if (status != 0)
        return status;
    if (cli->arguments.count != 1) {
        cli_environment_form_free(&form);
        return cli_usage(cli, "usage: billet env create %s", cli->command->synopsis);
    }
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_store *store = NULL;
    struct billet_activity activity;
    cleanup_free char *details = NULL;
    const char *name = cli->arguments.items[0];

    status = cli_open(cli, false);
    if (status != 0) {
        cli_environment_form_free(&form);
        return status;
    }
    int result = 0;
    struct billet_environment builtin = BILLET_ENVIRONMENT_INIT;
    bool taken = billet_environment_builtin(name, &builtin);
    billet_environment_free(&builtin);
    if (!billet_text_is_name(name)) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                         "'%s' is not a name for an environment", name);
        result = billet_error_hint(&cli->error, "letters, digits, '.', '_' and '-', at most 64");
    } else if (taken || billet_configuration_find(cli->context->configuration, "environment",
                                                  name) != NULL) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "environment_exists",
                         "environment '%s' is %s", name,
                         taken ? "built in" : "already defined in a config file");
        result = billet_error_hint(&cli->error, "choose another name");
    }
    if (result == 0)
        result = cli_environment_form_make(cli, &form, name, &environment);
    if (result == 0)
        result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = note(cli, "environment.created", &environment, &activity, &details);
    if (result == 0)
        result =
            billet_store_of(store)->environment_insert(store, &environment, &activity, &cli->error);
    if (result == 0)
        result = billet_run_secrets_bind(cli->context, &environment, &cli->error);
    struct billet_environment saved = BILLET_ENVIRONMENT_INIT;
    if (result == 0 && cli->json)
        result = billet_store_of(store)->environment_get(store, environment.tenant, name, &saved,
                                                         &cli->error);
    if (result == 0 && cli->json) {
        json_t *object = environment_json(&saved);
        json_object_set_new(object, "format_version", json_string(BILLET_FORMAT_VERSION));
        cli_print_json(object);
    } else if (result == 0) {
        printf("%s\n", environment.name);
    }
    billet_environment_free(&saved);
    billet_environment_free(&environment);
    cli_environment_form_free(&form);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_edit(struct cli *cli)
{
    struct cli_environment_form form = {0};
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_store *store = NULL;
    struct billet_activity activity;
    cleanup_free char *details = NULL;
    int status = cli_environment_form_read(cli, &form);
    if (status != 0)
        return status;
    if (cli->arguments.count != 1) {
        cli_environment_form_free(&form);
        return cli_usage(cli, "usage: billet env edit %s", cli->command->synopsis);
    }
    status = cli_open(cli, false);
    if (status != 0) {
        cli_environment_form_free(&form);
        return status;
    }
    int result =
        billet_find_environment(cli->context, cli->arguments.items[0], &environment, &cli->error);
    if (result == 0)
        result = refuse_file_or_builtin(cli, &environment);
    if (result == 0)
        result = cli_environment_form_apply(cli, &form, &environment);
    if (result == 0)
        result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = note(cli, "environment.changed", &environment, &activity, &details);
    if (result == 0)
        result =
            billet_store_of(store)->environment_update(store, &environment, &activity, &cli->error);
    if (result == 0)
        result = billet_run_secrets_bind(cli->context, &environment, &cli->error);
    billet_environment_free(&environment);
    cli_environment_form_free(&form);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- archive, drain, delete ----------------------------------------------------------- */

/* To that status, with a reason; one that is active already is not made so again. */
static int
change_status(struct cli *cli, const char *wanted, const char *action)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_store *store = NULL;
    struct billet_activity activity;
    cleanup_free char *details = NULL;
    const char *reason = "";
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'r')
            reason = cli->value;
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    int result =
        billet_find_environment(cli->context, cli->arguments.items[0], &environment, &cli->error);
    if (result == 0 && strcmp(wanted, BILLET_ENVIRONMENT_ARCHIVED) == 0)
        result = refuse_file_or_builtin(cli, &environment);
    if (result == 0)
        result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = billet_drain_read(store, cli->context->tenant, &environment, &cli->error);
    bool archived = result == 0 && strcmp(environment.status, BILLET_ENVIRONMENT_ARCHIVED) == 0;
    if (archived && strcmp(wanted, BILLET_ENVIRONMENT_ARCHIVED) != 0) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "environment_inactive",
                         "environment '%s' is archived", environment.name);
        result = billet_error_hint(
            &cli->error, "'billet env edit %s --status active' brings it back", environment.name);
    }
    if (result == 0 && strcmp(wanted, BILLET_ENVIRONMENT_ACTIVE) == 0 &&
        strcmp(environment.status, wanted) == 0) {
        billet_environment_free(&environment);
        return BILLET_EXIT_OK;
    }
    if (result == 0) {
        free(environment.status);
        free(environment.reason);
        environment.status = strdup(wanted);
        environment.reason = strdup(reason);
        if (environment.status == NULL || environment.reason == NULL)
            result = billet_error_no_memory(&cli->error);
    }
    if (result == 0)
        result = note(cli, action, &environment, &activity, &details);
    if (result == 0)
        result =
            billet_drain_write(store, cli->context->tenant, &environment, &activity, &cli->error);
    billet_environment_free(&environment);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_archive(struct cli *cli)
{
    return change_status(cli, BILLET_ENVIRONMENT_ARCHIVED, "environment.archived");
}

static int
run_drain(struct cli *cli)
{
    return change_status(cli, BILLET_ENVIRONMENT_DRAINED, "environment.drained");
}

static int
run_undrain(struct cli *cli)
{
    return change_status(cli, BILLET_ENVIRONMENT_ACTIVE, "environment.undrained");
}

struct dependents {
    size_t live;
    size_t ended;
    struct cli_table table;
};

static int
count_dependent(const struct billet_lease *lease, void *context)
{
    struct dependents *dependents = context;
    if (billet_lease_state_is_final(lease->state)) {
        dependents->ended++;
        return 0;
    }
    dependents->live++;
    cli_table_cell(&dependents->table, lease->id);
    cli_table_cell(&dependents->table, billet_lease_state_name(lease->state));
    cli_table_cell(&dependents->table, lease->command);
    return 0;
}

static int
run_delete(struct cli *cli)
{
    static const char *const headings[] = {"LEASE", "STATE", "COMMAND", NULL};
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct dependents dependents = {0};
    struct billet_store *store = NULL;
    struct billet_activity activity;
    cleanup_free char *details = NULL;
    bool yes = false;
    bool dry_run = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        yes = yes || id == 'y';
        dry_run = dry_run || id == 'n';
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet env delete %s", cli->command->synopsis);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    const char *name = cli->arguments.items[0];
    int result = billet_find_environment(cli->context, name, &environment, &cli->error);
    if (result == 0)
        result = refuse_file_or_builtin(cli, &environment);
    if (result == 0)
        result = billet_context_store(cli->context, &store, &cli->error);
    /* One that every tenant may use has leases of all of them. */
    bool everyone = environment.tenant != NULL && environment.tenant[0] == '\0';
    struct billet_lease_filter filter = {
        .tenant = everyone ? NULL : cli->context->tenant, .environment = name, .limit = INT64_MAX};
    cli_table_open(&dependents.table, headings);
    if (result == 0)
        result = billet_store_of(store)->lease_list(store, &filter, count_dependent, &dependents,
                                                    &cli->error);
    if (result == 0) {
        fprintf(stderr, "environment %s: %zu live leases, %zu ended\n", name, dependents.live,
                dependents.ended);
        if (dependents.live > 0)
            cli_table_print(&dependents.table, cli);
        if (dependents.live > 0) {
            billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "environment_in_use",
                             "environment '%s' has %zu live leases", name, dependents.live);
            result = billet_error_hint(&cli->error, "end them with 'billet lease release' or "
                                                    "'destroy', or archive the environment");
        }
    }
    if (result == 0 && !dry_run && !yes && !cli_confirm("Delete it? [y/N] ")) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "not_confirmed", "nothing was deleted");
        result = billet_error_hint(&cli->error, "give --yes to delete without being asked");
    }
    if (result == 0 && !dry_run) {
        note(cli, "environment.removed", &environment, &activity, &details);
        result = billet_store_of(store)->environment_remove(store, environment.tenant, name,
                                                            &activity, &cli->error);
        /* Another one of that name begins with no secrets. */
        const struct billet_secret_table *table = billet_store_of(store)->secrets;
        if (result == 0 && table != NULL)
            result =
                table->unbind(store, cli->context->tenant, name, NULL, NULL, NULL, &cli->error);
    }
    billet_strings_free(&dependents.table.cells);
    billet_environment_free(&environment);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- the table -------------------------------------------------------------------- */

static const struct cli_option list_options[] = {
    {"all", 'a', NULL, "also archived ones"},
    CLI_OPTION_END,
};
static const char *const list_examples[] = {"billet env list", "billet env list --all --json",
                                            NULL};
const struct cli_command cli_env_list = {"env list",      "[--all]",    "List environments",
                                         "billet-env(1)", list_options, list_examples,
                                         run_list,        false};

static const char *const show_examples[] = {"billet env show sandbox", NULL};
const struct cli_command cli_env_show = {"env show",      "NAME", "Show one environment",
                                         "billet-env(1)", NULL,   show_examples,
                                         run_show,        false};

static const char *const create_examples[] = {
    "billet env create tests -d sandbox -o memory_max=1GiB -o env.CI=yes",
    "billet env create tests --file tests.conf", "billet env create build1 --interactive", NULL};
const struct cli_command cli_env_create = {"env create",
                                           "NAME -d DRIVER | -f FILE | -i [OPTION...]",
                                           "Save a new environment in the store",
                                           "billet-env(1)",
                                           cli_environment_form_options,
                                           create_examples,
                                           run_create,
                                           false};

static const char *const edit_examples[] = {
    "billet env edit tests --option memory_max=4GiB --unset env.CI",
    "billet env edit tests --status active", NULL};
const struct cli_command cli_env_edit = {"env edit",
                                         "NAME [-o KEY=VALUE] [-u KEY] [-s STATUS] [OPTION...]",
                                         "Change a stored environment",
                                         "billet-env(1)",
                                         cli_environment_form_options,
                                         edit_examples,
                                         run_edit,
                                         false};

static const struct cli_option archive_options[] = {
    {"reason", 'r', "TEXT", "why; shown to whoever tries to use it"},
    CLI_OPTION_END,
};
static const char *const archive_examples[] = {
    "billet env archive tests --reason 'moved to build2'", NULL};
const struct cli_command cli_env_archive = {"env archive",
                                            "NAME [--reason TEXT]",
                                            "Take an environment out of use, keeping it",
                                            "billet-env(1)",
                                            archive_options,
                                            archive_examples,
                                            run_archive,
                                            false};

static const char *const drain_examples[] = {
    "billet env drain tests --reason 'the disk is being replaced'", NULL};
const struct cli_command cli_env_drain = {"env drain",
                                          "NAME [--reason TEXT]",
                                          "Let an environment take no new leases",
                                          "billet-env(1)",
                                          archive_options,
                                          drain_examples,
                                          run_drain,
                                          false};

static const char *const undrain_examples[] = {"billet env undrain tests", NULL};
const struct cli_command cli_env_undrain = {
    "env undrain",   "NAME", "Let an environment take leases again",
    "billet-env(1)", NULL,   undrain_examples,
    run_undrain,     false};

static const struct cli_option delete_options[] = {
    {"yes", 'y', NULL, "do not ask"},
    {"dry-run", 'n', NULL, "only show what hangs on it"},
    CLI_OPTION_END,
};
static const char *const delete_examples[] = {"billet env delete tests --dry-run",
                                              "billet env delete tests --yes", NULL};
const struct cli_command cli_env_delete = {"env delete",
                                           "NAME [--yes] [--dry-run]",
                                           "Delete a stored environment that nothing uses",
                                           "billet-env(1)",
                                           delete_options,
                                           delete_examples,
                                           run_delete,
                                           false};
