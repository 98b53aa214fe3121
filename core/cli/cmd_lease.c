/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_lease.c - billet lease list | show
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/activity.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/status.h"

struct list_state {
    struct cli *cli;
    struct cli_table table;
    json_t *list;
    int64_t now_ns;
};

static json_t *
lease_json(const struct billet_lease *lease)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "id", lease->id, "tenant",
        lease->tenant, "environment", lease->environment, "driver", lease->driver, "state",
        billet_lease_state_name(lease->state), "fence", (json_int_t)lease->fence, "generation",
        (json_int_t)lease->generation, "run", lease->run, "agent", lease->agent, "issue",
        lease->issue, "policy", lease->policy, "owner", lease->owner);
    json_object_set_new(object, "workspace", billet_json_bytes(lease->workspace));
    json_object_set_new(object, "directory", billet_json_bytes(lease->directory));
    json_object_set_new(object, "ref", billet_json_bytes(lease->ref));
    json_object_set_new(object, "command", billet_json_bytes(lease->command));
    json_object_set_new(object, "outcome", cli_json_column(lease->outcome));
    json_object_set_new(object, "reason", billet_json_bytes(lease->reason));
    json_object_set_new(object, "cleanup_attempts", json_integer(lease->cleanup_attempts));
    const struct {
        const char *key;
        int64_t ns;
    } times[] = {{"created", lease->created_ns},
                 {"updated", lease->updated_ns},
                 {"expires", lease->expires_ns},
                 {"ended", lease->ended_ns}};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[32];
        billet_time_format(text, sizeof(text), times[i].ns);
        json_object_set_new(object, times[i].key,
                            times[i].ns > 0 ? json_string(text) : json_null());
    }
    return object;
}

/* "exit 0", "signal 9", "timed out", or the reason it failed. */
static void
outcome_text(char *to, size_t size, const struct billet_lease *lease)
{
    cleanup_json json_t *outcome = cli_json_column(lease->outcome);
    if (json_object_get(outcome, "signal") != NULL)
        snprintf(to, size, "signal %d", (int)billet_json_integer(outcome, "signal", 0));
    else if (billet_json_boolean(outcome, "timed_out", false))
        snprintf(to, size, "timed out");
    else if (json_object_get(outcome, "status") != NULL)
        snprintf(to, size, "exit %d", (int)billet_json_integer(outcome, "status", 0));
    else
        snprintf(to, size, "%s", lease->reason);
}

static int
list_visit(const struct billet_lease *lease, void *context)
{
    struct list_state *state = context;
    char text[256];
    if (state->cli->json) {
        json_array_append_new(state->list, lease_json(lease));
        return 0;
    }
    cli_table_cell(&state->table, lease->id);
    cli_table_cell(&state->table, lease->environment);
    cli_table_cell(&state->table, billet_lease_state_name(lease->state));
    cli_format_age(text, sizeof(text), lease->created_ns, state->now_ns);
    cli_table_cell(&state->table, text);
    if (billet_lease_state_is_final(lease->state))
        snprintf(text, sizeof(text), "-");
    else
        cli_format_age(text, sizeof(text), state->now_ns, lease->expires_ns);
    cli_table_cell(&state->table, text);
    outcome_text(text, sizeof(text), lease);
    cli_table_cell(&state->table, text);
    cli_table_cell(&state->table, lease->command);
    return 0;
}

static int
run_list(struct cli *cli)
{
    static const char *const headings[] = {"LEASE",   "ENVIRONMENT", "STATE",   "AGE",
                                           "EXPIRES", "OUTCOME",     "COMMAND", NULL};
    struct list_state state = {.cli = cli};
    struct billet_lease_filter filter = {.live_only = true};
    struct billet_store *store = NULL;
    bool every_tenant = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        switch (id) {
        case 'a':
            filter.live_only = false;
            break;
        case 'e':
            filter.environment = cli->value;
            break;
        case 'r':
            filter.run = cli->value;
            break;
        case 'T':
            every_tenant = true;
            break;
        default:
            return cli_usage_status(cli);
        }
    }
    if (cli->arguments.count > 0)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    filter.tenant = every_tenant ? NULL : cli->context->tenant;
    cli_table_open(&state.table, headings);
    state.list = json_array();
    int result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = billet_store_of(store)->now(store, &state.now_ns, &cli->error);
    if (result == 0)
        result =
            billet_store_of(store)->lease_list(store, &filter, list_visit, &state, &cli->error);
    if (result == 0 && cli->json)
        cli_print_json(
            json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, "leases", state.list));
    else if (result == 0)
        cli_table_print(&state.table, cli);
    json_decref(state.list);
    billet_strings_free(&state.table.cells);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- show ------------------------------------------------------------------- */

static int
history_visit(const struct billet_activity *activity, void *context)
{
    struct list_state *state = context;
    if (state->cli->json)
        json_array_append_new(state->list, cli_activity_json(activity));
    else
        cli_activity_cells(activity, &state->table);
    return 0;
}

static void
print_lease(const struct billet_lease *lease)
{
    char text[256];
    cli_print_field("Lease:", lease->id);
    cli_print_field("Environment:", lease->environment);
    cli_print_field("Driver:", lease->driver);
    snprintf(text, sizeof(text), "%s (fence %" PRId64 ", generation %" PRId64 ")",
             billet_lease_state_name(lease->state), lease->fence, lease->generation);
    cli_print_field("State:", text);
    cli_print_field("Reason:", lease->reason);
    cli_print_field("Tenant:", lease->tenant);
    cli_print_field("Run:", lease->run);
    cli_print_field("Agent:", lease->agent);
    cli_print_field("Issue:", lease->issue);
    cli_print_field("Policy:", lease->policy);
    cli_print_field("Workspace:", lease->workspace);
    cli_print_field("Directory:", lease->directory);
    cli_print_field("Resource:", lease->ref);
    cli_print_field("Owner:", lease->owner);
    cli_print_field("Command:", lease->command);
    outcome_text(text, sizeof(text), lease);
    cli_print_field("Outcome:", text);
    billet_time_format(text, sizeof(text), lease->created_ns);
    cli_print_field("Created:", text);
    if (lease->ended_ns > 0) {
        billet_time_format(text, sizeof(text), lease->ended_ns);
        cli_print_field("Ended:", text);
    } else {
        billet_time_format(text, sizeof(text), lease->expires_ns);
        cli_print_field("Expires:", text);
    }
    printf("\n");
}

static int
run_show(struct cli *cli)
{
    static const char *const headings[] = {"TIME", "ACTION", "ACTOR", "FENCE", "DETAILS", NULL};
    struct list_state state = {.cli = cli};
    struct billet_store *store = NULL;
    struct billet_lease lease = {0};
    int status = cli_read_arguments(cli, 1, 1);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    cli_table_open(&state.table, headings);
    state.list = json_array();
    int result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = billet_store_of(store)->lease_get(store, cli->context->tenant,
                                                   cli->arguments.items[0], &lease, &cli->error);
    if (result == 0) {
        struct billet_activity_filter filter = {.lease = lease.id};
        result = billet_store_of(store)->activity_list(store, &filter, history_visit, &state,
                                                       &cli->error);
    }
    if (result == 0 && cli->json) {
        json_t *object = lease_json(&lease);
        json_object_set_new(object, "format_version", json_string(BILLET_FORMAT_VERSION));
        json_object_set_new(object, "facts", cli_json_column(lease.facts));
        json_object_set_new(object, "configuration", cli_json_column(lease.configuration));
        json_object_set(object, "history", state.list);
        cli_print_json(object);
    } else if (result == 0) {
        print_lease(&lease);
        cli_table_print(&state.table, cli);
    }
    json_decref(state.list);
    billet_strings_free(&state.table.cells);
    billet_lease_free(&lease);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static const struct cli_option list_options[] = {
    {"all", 'a', NULL, "also those that have ended"},
    {"environment", 'e', "NAME", "only of this environment"},
    {"run", 'r', "ID", "only of this run"},
    {"every-tenant", 'T', NULL, "of every tenant"},
    CLI_OPTION_END,
};
static const char *const list_examples[] = {"billet lease list", "billet lease list --all --json",
                                            NULL};
const struct cli_command cli_lease_list = {"lease list",
                                           "[--all] [--environment NAME] [--run ID]",
                                           "List leases, newest first",
                                           "billet-lease(1)",
                                           list_options,
                                           list_examples,
                                           run_list,
                                           false};
static const char *const show_examples[] = {"billet lease show 0193c1f0", NULL};
const struct cli_command cli_lease_show = {
    "lease show",      "LEASE", "Show one lease and everything that happened to it",
    "billet-lease(1)", NULL,    show_examples,
    run_show,          false};
