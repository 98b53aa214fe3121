/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_audit.c - billet audit list: everything that happened, of every lease and environment
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/activity.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/status.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 1000000
#define SINCE_DEFAULT_NS (24 * 3600 * BILLET_NS_PER_SECOND)

enum { OPTION_AFTER = 500, OPTION_LIMIT, OPTION_SINCE };

struct state {
    struct cli *cli;
    struct cli_table table;
    json_t *list;
    int64_t count;
    int64_t last; /* sequence */
};

static int
visit(const struct billet_activity *activity, void *context)
{
    struct state *state = context;
    char text[32];
    state->count++;
    state->last = activity->sequence;
    if (state->cli->json) {
        json_array_append_new(state->list, cli_activity_json(activity));
        return 0;
    }
    snprintf(text, sizeof(text), "%" PRId64, activity->sequence);
    cli_table_cell(&state->table, text);
    cli_activity_cells(activity, &state->table);
    cli_table_cell(&state->table, activity->environment);
    cli_table_cell(&state->table, activity->lease);
    return 0;
}

/* A count between 0 and most; 0 or an exit status. */
static int
take_number(struct cli *cli, const char *option, int64_t most, int64_t *to)
{
    char *end = NULL;
    *to = strtoll(cli->value, &end, 10);
    if (cli->value[0] < '0' || cli->value[0] > '9' || *end != '\0' || *to > most)
        return cli_usage(cli, "%s is a number up to %" PRId64 ", not '%s'", option, most,
                         cli->value);
    return 0;
}

struct wanted {
    struct billet_activity_filter filter;
    int64_t since_ns; /* before now; 0: from the beginning */
    const char *lease;
    bool every_tenant;
};

/* 0 or an exit status. */
static int
read_options(struct cli *cli, struct wanted *wanted)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int status = 0;
    for (int id; status == 0 && (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'e')
            wanted->filter.environment = cli->value;
        else if (id == 'l')
            wanted->lease = cli->value;
        else if (id == 'T')
            wanted->every_tenant = true;
        else if (id == OPTION_AFTER)
            status = take_number(cli, "--after", INT64_MAX, &wanted->filter.after_sequence);
        else if (id == OPTION_LIMIT)
            status = take_number(cli, "--limit", LIMIT_MAX, &wanted->filter.limit);
        else if (id == OPTION_SINCE &&
                 billet_duration_parse(cli->value, &wanted->since_ns, &error) < 0)
            status = cli_usage(cli, "%s", error.message);
        if (status == 0 && id == OPTION_LIMIT && wanted->filter.limit == 0)
            status = cli_usage(cli, "--limit is 1 or more");
        if (id == OPTION_AFTER)
            wanted->since_ns = 0;
    }
    if (status == 0 && cli->arguments.count > 0)
        status = cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    return status != 0 ? status : cli_open(cli, false);
}

static int
list(struct cli *cli, struct wanted *wanted, struct state *state)
{
    struct billet_store *store = NULL;
    struct billet_lease lease = {0};
    int64_t now = 0;
    wanted->filter.tenant = wanted->every_tenant ? NULL : cli->context->tenant;
    int result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0 && wanted->lease != NULL)
        result = billet_store_of(store)->lease_get(store, wanted->filter.tenant, wanted->lease,
                                                   &lease, &cli->error);
    /* Of one lease everything is meant. */
    if (result == 0 && wanted->lease != NULL)
        wanted->filter.lease = lease.id;
    else if (result == 0 && wanted->since_ns > 0)
        result = billet_store_of(store)->now(store, &now, &cli->error);
    if (now > 0)
        wanted->filter.since_ns = now - wanted->since_ns;
    if (result == 0)
        result = billet_store_of(store)->activity_list(store, &wanted->filter, visit, state,
                                                       &cli->error);
    billet_lease_free(&lease);
    return result;
}

static int
run_list(struct cli *cli)
{
    static const char *const headings[] = {"SEQUENCE", "TIME",        "ACTION", "ACTOR", "FENCE",
                                           "DETAILS",  "ENVIRONMENT", "LEASE",  NULL};
    struct state state = {.cli = cli};
    struct wanted wanted = {.filter = {.limit = LIMIT_DEFAULT}, .since_ns = SINCE_DEFAULT_NS};
    int status = read_options(cli, &wanted);
    if (status != 0)
        return status;
    cli_table_open(&state.table, headings);
    state.list = json_array();
    int result = list(cli, &wanted, &state);
    bool more = state.count > 0 && state.count == wanted.filter.limit;
    if (result == 0 && cli->json)
        cli_print_json(json_pack("{s:s, s:O, s:b, s:I}", "format_version", BILLET_FORMAT_VERSION,
                                 "activities", state.list, "more", more, "last",
                                 (json_int_t)state.last));
    else if (result == 0)
        cli_table_print(&state.table, cli);
    if (result == 0 && more && !cli->json)
        fprintf(stderr, "billet: there may be more: --after %" PRId64 " goes on\n", state.last);
    json_decref(state.list);
    billet_strings_free(&state.table.cells);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static const struct cli_option list_options[] = {
    {"environment", 'e', "NAME", "only of this environment"},
    {"lease", 'l', "LEASE", "only of this lease, from its beginning"},
    {"since", OPTION_SINCE, "DURATION", "only what is younger (1d; 0: everything)"},
    {"after", OPTION_AFTER, "SEQUENCE", "only what came after that row, however old"},
    {"limit", OPTION_LIMIT, "COUNT", "at most so many rows, the oldest first (1000)"},
    {"every-tenant", 'T', NULL, "of every tenant"},
    CLI_OPTION_END,
};
static const char *const list_examples[] = {"billet audit list --since 1h",
                                            "billet audit list --lease 0193c1f0 --json", NULL};
const struct cli_command cli_audit_list = {"audit list",
                                           "[--lease LEASE] [-e NAME] [--since DURATION]",
                                           "List what happened, the oldest first",
                                           "billet-audit(1)",
                                           list_options,
                                           list_examples,
                                           run_list,
                                           false};
