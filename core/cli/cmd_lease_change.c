/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_lease_change.c - billet lease acquire | release | destroy
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/exchange.h"
#include "cli/output.h"
#include "cli/run_options.h"
#include "run/cleanup.h"

/* ---- acquire ---------------------------------------------------------------- */

static int
run_acquire(struct cli *cli)
{
    struct cli_run run = {
        .signals = BILLET_SIGNALS_INIT,
        .request = {.session = {.workspace_mode = -1, .policy = "keep", .no_command = true},
                    .exec = {.timeout_ns = -1, .status_fd = -1}},
    };
    struct billet_run_result result = {0};
    for (int id; (id = cli_next(cli, false)) != 0;) {
        int status = id < 0 ? cli_usage_status(cli) : cli_run_option(cli, &run, id);
        if (status != 0) {
            cli_run_free(&run);
            return status;
        }
    }
    int status = 0;
    if (cli->arguments.count > 0)
        status = cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[0]);
    if (status == 0)
        status = cli_open(cli, false);
    if (status == 0 && billet_signals_open(&run.signals, &cli->error) < 0)
        status = cli_fail(cli);
    run.request.session.signals = &run.signals;
    if (status == 0 && billet_run_hold(cli->context, &run.request.session, run.request.held_ttl_ns,
                                       &result, &cli->error) < 0) {
        status = cli_fail(cli);
        if (result.ending.outcome == BILLET_OUTCOME_CANCELLED)
            status = billet_ending_status(&result.ending);
    } else if (status == 0 && cli->json) {
        cli_print_json(json_pack("{s:s, s:s, s:O*}", "format_version", BILLET_FORMAT_VERSION,
                                 "lease", result.lease, "assets", result.assets));
    } else if (status == 0) {
        printf("%s\n", result.lease);
    }
    json_decref(result.assets);
    cli_run_free(&run);
    return status;
}

/* ---- release, destroy ---------------------------------------------------------- */

/* What changed there comes back before it is gone. A lease that has ended, or that somebody uses,
 * is judged by the release itself. */
static int
bring_back(struct cli *cli, const char *lease)
{
    struct billet_lease_session session = BILLET_LEASE_SESSION_INIT;
    struct billet_store *store = NULL;
    int result = billet_context_store(cli->context, &store, &cli->error);
    if (result == 0)
        result = billet_lease_attach(&session, store, cli->context->tenant, lease,
                                     cli->context->actor, &cli->error);
    bool held = result == 0 && session.lease.state == BILLET_LEASE_RETAINED &&
                billet_run_travels(&session.lease);
    billet_lease_session_free(&session);
    if (!held)
        return result;
    result = cli_bring_back(cli, lease);
    return result < 0 ? billet_error_hint(&cli->error, "'billet lease release --discard' ends the "
                                                       "lease and gives the changes up")
                      : 0;
}

/* Each lease on its own: one that fails does not keep the others from ending. */
static int
end_leases(struct cli *cli, bool force)
{
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    bool forget = false;
    bool discard = force;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        forget = forget || id == 'f';
        discard = discard || id == 'd';
    }
    if (cli->arguments.count == 0)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    /* A half-done end is recorded and can be repeated, but need not be made by a Ctrl-C. */
    billet_signals_open(&signals, &cli->error);
    for (size_t i = 0; i < cli->arguments.count; i++) {
        billet_error_clear(&cli->error);
        const char *lease = cli->arguments.items[i];
        if (!discard && bring_back(cli, lease) < 0) {
            status = cli_fail(cli);
            continue;
        }
        int result = forget ? billet_run_forget_lease(cli->context, lease, &cli->error)
                            : billet_run_end_lease(cli->context, lease, force, &cli->error);
        if (result < 0)
            status = cli_fail(cli);
    }
    billet_signals_close(&signals);
    return status;
}

static int
run_release(struct cli *cli)
{
    return end_leases(cli, false);
}

static int
run_destroy(struct cli *cli)
{
    return end_leases(cli, true);
}

/* ---- the table ---------------------------------------------------------------------- */

static const struct cli_option acquire_options[] = {
    {"environment", 'e', "NAME", "the environment (BILLET_ENVIRONMENT)"},
    {"workspace", 'w', "DIR", "the directory that commands work on"},
    {"workspace-mode", CLI_OPTION_WORKSPACE_MODE, "MODE", "in_place, bind, overlay or copy"},
    {"asset", CLI_OPTION_ASSET, "PATH[:NAME]", "let commands read this too (BILLET_ASSETS)"},
    {"ttl", CLI_OPTION_TTL, "DURATION", "how long it lives without use"},
    {"agent", CLI_OPTION_AGENT, "ID", "whom it is for"},
    {"issue", CLI_OPTION_ISSUE, "ID", "what it is for"},
    {"run-id", CLI_OPTION_RUN, "ID", "the caller's own id"},
    CLI_OPTION_END,
};
static const char *const acquire_examples[] = {
    "billet lease acquire -e sandbox -w . --ttl 2h",
    "lease=$(billet lease acquire) && billet exec \"$lease\" -- make check", NULL};
const struct cli_command cli_lease_acquire = {"lease acquire",
                                              "[-e NAME] [-w DIR] [--ttl DURATION]",
                                              "Lease an environment and hold it; prints the lease",
                                              "billet-lease(1)",
                                              acquire_options,
                                              acquire_examples,
                                              run_acquire,
                                              false};

static const char *const release_examples[] = {"billet lease release 0193c1f0", NULL};
static const struct cli_option release_options[] = {
    {"discard", 'd', NULL, "give up what changed in the workspace there"},
    CLI_OPTION_END,
};
const struct cli_command cli_lease_release = {"lease release",
                                              "[--discard] LEASE...",
                                              "End leases that no command is using",
                                              "billet-lease(1)",
                                              release_options,
                                              release_examples,
                                              run_release,
                                              false};
static const struct cli_option destroy_options[] = {
    {"forget", 'f', NULL, "end the record though the resource stays"},
    CLI_OPTION_END,
};
static const char *const destroy_examples[] = {"billet lease destroy 0193c1f0", NULL};
const struct cli_command cli_lease_destroy = {"lease destroy",
                                              "[--forget] LEASE...",
                                              "End leases and whatever still runs on them",
                                              "billet-lease(1)",
                                              destroy_options,
                                              destroy_examples,
                                              run_destroy,
                                              false};
