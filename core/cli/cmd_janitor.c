/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_janitor.c - billet lease reap | janitor: end what was left behind, once or again and again
 */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/janitor.h"
#include "run/signals.h"
#include "run/status.h"

#define INTERVAL_NS (10 * BILLET_NS_PER_SECOND)
#define SWEEP_INTERVAL_NS (60 * BILLET_NS_PER_SECOND)
#define INTERVAL_MAX_NS (24 * 3600 * BILLET_NS_PER_SECOND)

enum {
    OPTION_SWEEP = 500,
    OPTION_ALL_AT_ONCE,
    OPTION_ONCE,
    OPTION_INTERVAL,
    OPTION_SWEEP_INTERVAL,
};

struct state {
    struct cli *cli;
    struct billet_janitor_options pass;
    bool all; /* also what is kept */
    bool once;
    int64_t interval_ns;
    int64_t sweep_interval_ns;
    struct cli_table table;
    json_t *leases;
    json_t *findings;
};

/* ---- what a pass found ------------------------------------------------------------- */

static void
take_finding(const struct billet_janitor_finding *finding, void *context)
{
    struct state *state = context;
    if (finding->kept && !state->all)
        return;
    if (state->cli->json) {
        bool lease = strcmp(finding->kind, "lease") == 0;
        json_t *object = json_object();
        json_object_set_new(object, lease ? "lease" : "id", billet_json_bytes(finding->id));
        if (!lease)
            json_object_set_new(object, "kind", json_string(finding->kind));
        json_object_set_new(object, "environment", billet_json_bytes(finding->environment));
        json_object_set_new(object, "decision", json_string(finding->decision));
        json_object_set_new(object, "reason", billet_json_bytes(finding->reason));
        json_array_append_new(lease ? state->leases : state->findings, object);
        return;
    }
    cli_table_cell(&state->table, finding->id);
    cli_table_cell(&state->table, finding->environment);
    cli_table_cell(&state->table, finding->decision);
    cli_table_cell(&state->table, finding->reason);
}

static void
print_result(struct state *state, const struct billet_janitor_result *result, bool always)
{
    bool any = json_array_size(state->leases) + json_array_size(state->findings) > 0;
    if (state->cli->json && (any || always))
        cli_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O}", "format_version",
            BILLET_FORMAT_VERSION, "reaped", (json_int_t)result->leases.reaped, "failed",
            (json_int_t)(result->leases.failed + result->resources.failed), "kept",
            (json_int_t)result->leases.kept, "listed", (json_int_t)result->resources.listed,
            "removed", (json_int_t)result->resources.removed, "alarms", (json_int_t)result->alarms,
            "leases", state->leases, "findings", state->findings));
    else if (state->table.cells.count > 0)
        cli_table_print(&state->table, state->cli);
}

/* One pass, with its output. 0, or -1 with cli->error. */
static int
pass(struct state *state, bool always, struct billet_janitor_result *result)
{
    static const char *const headings[] = {"SUBJECT", "ENVIRONMENT", "DECISION", "REASON", NULL};
    cli_table_open(&state->table, headings);
    state->leases = json_array();
    state->findings = json_array();
    int failed = billet_janitor_pass(state->cli->context, &state->pass, take_finding, state, result,
                                     &state->cli->error);
    if (failed == 0 || state->table.cells.count > 0)
        print_result(state, result, always && failed == 0);
    fflush(stdout);
    json_decref(state->leases);
    json_decref(state->findings);
    billet_strings_free(&state->table.cells);
    return failed < 0 ? -1 : 0;
}

static int
once(struct state *state)
{
    struct billet_janitor_result result;
    if (pass(state, true, &result) < 0)
        return cli_fail(state->cli);
    return result.alarms > 0 ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

/* ---- options ------------------------------------------------------------------------- */

static int
take_interval(struct cli *cli, int64_t *to)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (billet_duration_parse(cli->value, to, &error) < 0)
        return cli_usage(cli, "%s", error.message);
    if (*to < BILLET_NS_PER_SECOND || *to > INTERVAL_MAX_NS)
        return cli_usage(cli, "an interval is between 1s and 1d, not '%s'", cli->value);
    return 0;
}

/* 0 or an exit status. */
static int
read_options(struct cli *cli, struct state *state)
{
    int status = 0;
    for (int id; status == 0 && (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        state->pass.dry_run = state->pass.dry_run || id == 'n';
        state->pass.now = state->pass.now || id == 'f';
        state->pass.sweep = state->pass.sweep || id == OPTION_SWEEP;
        state->pass.all_at_once = state->pass.all_at_once || id == OPTION_ALL_AT_ONCE;
        state->all = state->all || id == 'a';
        state->once = state->once || id == OPTION_ONCE;
        if (id == OPTION_INTERVAL)
            status = take_interval(cli, &state->interval_ns);
        else if (id == OPTION_SWEEP_INTERVAL)
            status = take_interval(cli, &state->sweep_interval_ns);
    }
    if (status == 0 && cli->arguments.count > 0)
        status = cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    return status != 0 ? status : cli_open(cli, false);
}

/* ---- reap ------------------------------------------------------------------------------ */

static int
run_reap(struct cli *cli)
{
    struct state state = {.cli = cli, .pass = {.interrupt_fd = -1}};
    int status = read_options(cli, &state);
    return status != 0 ? status : once(&state);
}

/* ---- janitor ----------------------------------------------------------------------------- */

/* True: a signal asked to end. */
static bool
wait_for_next(struct billet_signals *signals, int64_t until_ns)
{
    for (;;) {
        int64_t left = until_ns - billet_clock_monotonic();
        if (billet_signals_take(signals) != 0)
            return true;
        if (left <= 0)
            return false;
        billet_signals_wait(signals, (int)(left / 1000000 + 1));
    }
}

static int
work(struct state *state, struct billet_signals *signals)
{
    int64_t sweep_due = 0;
    struct billet_janitor_result result;
    for (;;) {
        int64_t now = billet_clock_monotonic();
        state->pass.sweep = now >= sweep_due;
        if (state->pass.sweep)
            sweep_due = now + state->sweep_interval_ns;
        if (pass(state, false, &result) < 0) {
            /* The store may come back. */
            billet_log(BILLET_LOG_ERROR, "this pass failed: %s", state->cli->error.message);
            billet_error_clear(&state->cli->error);
        }
        if (wait_for_next(signals, now + state->interval_ns))
            return BILLET_EXIT_OK;
    }
}

static int
run_janitor(struct cli *cli)
{
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    struct state state = {.cli = cli,
                          .pass = {.sweep = true, .interrupt_fd = -1},
                          .interval_ns = INTERVAL_NS,
                          .sweep_interval_ns = SWEEP_INTERVAL_NS};
    int status = read_options(cli, &state);
    if (status != 0)
        return status;
    if (billet_signals_open(&signals, &cli->error) < 0)
        return cli_fail(cli);
    state.pass.interrupt_fd = signals.ending_fd;
    status = state.once ? once(&state) : work(&state, &signals);
    billet_signals_close(&signals);
    return status;
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct cli_option reap_options[] = {
    {"dry-run", 'n', NULL, "only say what would be ended"},
    {"all", 'a', NULL, "also say why leases are kept"},
    {"now", 'f', NULL, "try at once what an earlier failure put off"},
    {"sweep", OPTION_SWEEP, NULL, "also remove resources whose lease has ended"},
    {"all-at-once", OPTION_ALL_AT_ONCE, NULL, "remove them however many there are"},
    CLI_OPTION_END,
};
static const char *const reap_examples[] = {"billet lease reap --dry-run", "billet lease reap",
                                            "billet lease reap --sweep --dry-run --all", NULL};
const struct cli_command cli_lease_reap = {"lease reap",
                                           "[--dry-run] [--all] [--sweep]",
                                           "End what dead or expired leases left behind",
                                           "billet-lease(1)",
                                           reap_options,
                                           reap_examples,
                                           run_reap,
                                           false};

static const struct cli_option janitor_options[] = {
    {"once", OPTION_ONCE, NULL, "one pass, then exit"},
    {"interval", OPTION_INTERVAL, "DURATION", "time between two passes (10s)"},
    {"sweep-interval", OPTION_SWEEP_INTERVAL, "DURATION", "time between two sweeps (60s)"},
    {"dry-run", 'n', NULL, "only say what would be done"},
    {"all", 'a', NULL, "also say what is kept and why"},
    CLI_OPTION_END,
};
static const char *const janitor_examples[] = {"billet janitor --once",
                                               "billet janitor --once --dry-run --all", NULL};
const struct cli_command cli_janitor = {"janitor",
                                        "[--once] [--interval DURATION] [--dry-run]",
                                        "End what was left behind, again and again",
                                        "billet-janitor(1)",
                                        janitor_options,
                                        janitor_examples,
                                        run_janitor,
                                        false};
