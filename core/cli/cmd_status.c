/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_status.c - billet status: what is in use, what waits to be cleaned up, what takes no leases
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/output.h"
#include "lease/owner.h"
#include "run/drain.h"
#include "run/resolve.h"
#include "run/status.h"

/* Leases of one environment that live. */
struct row {
    char *environment;
    int64_t active; /* acquiring ones, too */
    int64_t retained;
    int64_t releasing;
    int64_t abandoned; /* of the others: the owner is gone, or the time is over */
    int64_t failing;   /* of those being released: a cleanup has failed */
};

struct state {
    struct cli *cli;
    struct row *rows;
    size_t count;
    size_t capacity;
    int64_t now_ns;
    json_t *closed; /* environments that take no leases */
    struct cli_table closed_table;
};

static struct row *
row_of(struct state *state, const char *environment)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->rows[i].environment, environment) == 0)
            return &state->rows[i];
    if (state->count == state->capacity) {
        size_t capacity = state->capacity * 2 + 16;
        struct row *rows = realloc(state->rows, capacity * sizeof(*rows));
        if (rows == NULL)
            return NULL;
        state->rows = rows;
        state->capacity = capacity;
    }
    struct row *row = &state->rows[state->count];
    *row = (struct row){.environment = strdup(environment)};
    if (row->environment == NULL)
        return NULL;
    state->count++;
    return row;
}

static int
count_lease(const struct billet_lease *lease, void *context)
{
    struct state *state = context;
    struct row *row = row_of(state, lease->environment);
    if (row == NULL)
        return billet_error_no_memory(&state->cli->error);
    enum billet_owner_state owner = billet_owner_judge(lease->owner);
    bool abandoned = owner == BILLET_OWNER_DEAD ||
                     (owner != BILLET_OWNER_ALIVE && lease->expires_ns <= state->now_ns);
    if (lease->state == BILLET_LEASE_RELEASING) {
        row->releasing++;
        row->failing += lease->cleanup_attempts > 0;
        return 0;
    }
    *(lease->state == BILLET_LEASE_RETAINED ? &row->retained : &row->active) += 1;
    row->abandoned += abandoned;
    return 0;
}

static int
note_closed(const struct billet_environment *environment, void *context)
{
    struct state *state = context;
    if (strcmp(environment->status, BILLET_ENVIRONMENT_DRAINED) != 0)
        return 0;
    if (state->cli->json) {
        json_t *object = json_pack("{s:s}", "environment", environment->name);
        json_object_set_new(object, "reason", billet_json_bytes(environment->reason));
        json_array_append_new(state->closed, object);
        return 0;
    }
    cli_table_cell(&state->closed_table, environment->name);
    cli_table_cell(&state->closed_table, environment->reason);
    return 0;
}

static int
note_closed_here(const struct billet_environment *environment, void *context)
{
    return billet_drain_is_stored(environment) ? 0 : note_closed(environment, context);
}

static int
look(struct state *state, bool every_tenant)
{
    struct cli *cli = state->cli;
    struct billet_store *store = NULL;
    const struct billet_lease_filter filter = {.tenant = every_tenant ? NULL : cli->context->tenant,
                                               .live_only = true,
                                               .limit = INT64_MAX};
    int result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = billet_store_of(store)->now(store, &state->now_ns, &cli->error);
    if (result == 0)
        result =
            billet_store_of(store)->lease_list(store, &filter, count_lease, state, &cli->error);
    if (result == 0)
        result = billet_store_of(store)->environment_list(store, filter.tenant, note_closed, state,
                                                          &cli->error);
    if (result == 0)
        result = billet_each_environment(cli->context, note_closed_here, state, &cli->error);
    return result;
}

static void
print_json(struct state *state)
{
    json_t *list = json_array();
    for (size_t i = 0; i < state->count; i++) {
        const struct row *row = &state->rows[i];
        json_t *object =
            json_pack("{s:I, s:I, s:I, s:I, s:I}", "active", (json_int_t)row->active, "retained",
                      (json_int_t)row->retained, "releasing", (json_int_t)row->releasing,
                      "abandoned", (json_int_t)row->abandoned, "failing", (json_int_t)row->failing);
        json_object_set_new(object, "environment", billet_json_bytes(row->environment));
        json_array_append_new(list, object);
    }
    cli_print_json(json_pack("{s:s, s:o, s:O}", "format_version", BILLET_FORMAT_VERSION,
                             "environments", list, "drained", state->closed));
}

static void
print_tables(struct state *state)
{
    static const char *const headings[] = {"ENVIRONMENT", "ACTIVE",  "RETAINED", "RELEASING",
                                           "ABANDONED",   "FAILING", NULL};
    struct cli_table table;
    cli_table_open(&table, headings);
    for (size_t i = 0; i < state->count; i++) {
        const struct row *row = &state->rows[i];
        const int64_t counts[] = {row->active, row->retained, row->releasing, row->abandoned,
                                  row->failing};
        cli_table_cell(&table, row->environment);
        for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
            char text[32];
            snprintf(text, sizeof(text), "%" PRId64, counts[j]);
            cli_table_cell(&table, text);
        }
    }
    if (state->count > 0)
        cli_table_print(&table, state->cli);
    else
        printf("no lease lives\n");
    billet_strings_free(&table.cells);
    if (state->closed_table.cells.count > 0) {
        printf("\n");
        cli_table_print(&state->closed_table, state->cli);
    }
}

static int
run_status(struct cli *cli)
{
    static const char *const headings[] = {"DRAINED", "REASON", NULL};
    struct state state = {.cli = cli};
    bool every_tenant = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        every_tenant = every_tenant || id == 'T';
    }
    if (cli->arguments.count > 0)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    cli_table_open(&state.closed_table, headings);
    state.closed = json_array();
    int result = look(&state, every_tenant);
    bool findings = json_array_size(state.closed) > 0 || state.closed_table.cells.count > 0;
    for (size_t i = 0; i < state.count; i++)
        findings = findings || state.rows[i].abandoned > 0 || state.rows[i].failing > 0;
    if (result == 0 && cli->json)
        print_json(&state);
    else if (result == 0)
        print_tables(&state);
    for (size_t i = 0; i < state.count; i++)
        free(state.rows[i].environment);
    free(state.rows);
    json_decref(state.closed);
    billet_strings_free(&state.closed_table.cells);
    return result < 0 ? cli_fail(cli) : findings ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

static const struct cli_option options[] = {
    {"every-tenant", 'T', NULL, "leases and environments of every tenant"},
    CLI_OPTION_END,
};
static const char *const examples[] = {"billet status", "billet status --every-tenant --json",
                                       NULL};
const struct cli_command cli_status = {"status",
                                       "[--every-tenant]",
                                       "Count what lives, and what somebody should look at",
                                       "billet-status(1)",
                                       options,
                                       examples,
                                       run_status,
                                       false};
