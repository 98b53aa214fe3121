/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_env_trust.c - billet env trust: look at the keys of an environment's hosts, and keep the ones
 * that the user takes for right
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "run/resolve.h"
#include "run/secrets.h"
#include "run/status.h"

/* Hosts on a way, those with two keys included; more is a driver that does not come to an end. */
#define ROUNDS_MAX 16

static const char *const state_names[] = {"", "known", "unknown", "changed", "added", "removed"};

struct seen_key {
    struct billet_strings words; /* host, type, fingerprint, file */
    int state;
};

struct trust {
    struct cli *cli;
    bool yes;
    bool forget;
    struct billet_strings given;  /* fingerprints of the command line */
    struct billet_strings accept; /* those, and what was answered with yes */
    struct seen_key keys[ROUNDS_MAX];
    size_t count;
    bool failed; /* more keys, or no memory */
};

enum { HOST, TYPE, FINGERPRINT, FILE_NAME };

static void
see(const struct billet_host_key *key, void *context)
{
    struct trust *trust = context;
    const char *const words[] = {key->host, key->type, key->fingerprint, key->file};
    for (size_t i = 0; i < trust->count; i++) {
        struct seen_key *seen = &trust->keys[i];
        if (strcmp(seen->words.items[HOST], key->host) != 0 ||
            strcmp(seen->words.items[FINGERPRINT], key->fingerprint) != 0)
            continue;
        /* What was added a round ago is known now; it is still news. */
        if (key->state != BILLET_KEY_KNOWN)
            seen->state = key->state;
        return;
    }
    if (trust->count == ROUNDS_MAX) {
        trust->failed = true;
        return;
    }
    struct seen_key *seen = &trust->keys[trust->count];
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!billet_strings_add(&seen->words, words[i])) {
            trust->failed = true;
            return;
        }
    seen->state = key->state;
    trust->count++;
}

static void
free_trust(struct trust *trust)
{
    for (size_t i = 0; i < ROUNDS_MAX; i++)
        billet_strings_free(&trust->keys[i].words);
    billet_strings_free(&trust->given);
    billet_strings_free(&trust->accept);
}

/* ---- one key ------------------------------------------------------------------------------- */

static bool
is_given(const struct trust *trust, const char *fingerprint)
{
    for (size_t i = 0; i < trust->given.count; i++)
        if (strcmp(trust->given.items[i], fingerprint) == 0)
            return true;
    return false;
}

/* The key that stands in the way: 0 when it is accepted now. */
static int
decide(struct trust *trust, const char *environment, const struct seen_key *key)
{
    struct billet_error *error = &trust->cli->error;
    const char *host = key->words.items[HOST];
    const char *fingerprint = key->words.items[FINGERPRINT];
    bool changed = key->state == BILLET_KEY_CHANGED;
    if (trust->given.count > 0 && !is_given(trust, fingerprint)) {
        billet_error_set(error, BILLET_CLASS_AUTH, "host_key_mismatch",
                         "%s shows the %s key %s, which is none of those given", host,
                         key->words.items[TYPE], fingerprint);
        return billet_error_hint(error, "compare it on the host itself: ssh-keygen -l -f "
                                        "/etc/ssh/ssh_host_ed25519_key.pub");
    }
    if (trust->given.count == 0 && !(trust->yes && !changed)) {
        fprintf(stderr, "%s shows the %s key\n    %s\n", host, key->words.items[TYPE], fingerprint);
        fprintf(stderr,
                changed ? "It is known by ANOTHER key in %s: it was set up anew, or "
                          "somebody stands between.\n"
                        : "Nothing is known of it in %s.\n",
                key->words.items[FILE_NAME]);
        cleanup_free char *answer = cli_ask(changed ? "Take the new key instead? Write yes: "
                                                    : "Is it the right one? [y/N] ");
        bool agreed = answer != NULL &&
                      (strcmp(answer, "yes") == 0 || (!changed && strcmp(answer, "y") == 0));
        if (!agreed) {
            billet_error_set(error, BILLET_CLASS_AUTH, "not_confirmed",
                             "the %skey of %s was not taken", changed ? "changed " : "", host);
            return billet_error_hint(error,
                                     "compare it on the host, then 'billet env trust %s "
                                     "--fingerprint %s'",
                                     environment, fingerprint);
        }
    }
    return billet_strings_add(&trust->accept, fingerprint) ? 0 : billet_error_no_memory(error);
}

static const struct seen_key *
undecided(const struct trust *trust)
{
    for (size_t i = 0; i < trust->count; i++)
        if (trust->keys[i].state == BILLET_KEY_NEW || trust->keys[i].state == BILLET_KEY_CHANGED)
            return &trust->keys[i];
    return NULL;
}

/* Until nothing is undecided: each round gets one host further. */
static int
walk(struct trust *trust, struct billet_driver_client *client,
     const struct billet_driver_call *call, const char *environment)
{
    struct billet_error *error = &trust->cli->error;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int result = billet_driver_trust(client, call, trust->forget,
                                         billet_strings_list(&trust->accept), see, trust, error);
        if (result < 0)
            return result;
        const struct seen_key *key = undecided(trust);
        if (key == NULL && !trust->failed)
            return 0;
        if (key == NULL)
            break;
        if (is_given(trust, key->words.items[FINGERPRINT]))
            break; /* it was accepted, and still is not kept */
        result = decide(trust, environment, key);
        if (result < 0)
            return result;
    }
    return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_answer",
                            "the driver of environment '%s' shows keys without an end",
                            environment);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static json_t *
keys_json(const struct trust *trust, bool changes_only)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trust->count; i++) {
        const struct seen_key *key = &trust->keys[i];
        if (changes_only && key->state != BILLET_KEY_ADDED && key->state != BILLET_KEY_REMOVED)
            continue;
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o, s:s}", "host", key->words.items[HOST], "type",
                            key->words.items[TYPE], "fingerprint", key->words.items[FINGERPRINT],
                            "file", billet_json_bytes(key->words.items[FILE_NAME]), "state",
                            state_names[key->state]));
    }
    return list;
}

/* Also of what was kept before a later host failed. */
static void
record(const struct trust *trust, const struct billet_environment *environment)
{
    struct billet_store *store = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    json_t *changes = keys_json(trust, true);
    bool any = json_array_size(changes) > 0;
    cleanup_json json_t *details = json_pack("{s:o}", "keys", changes);
    cleanup_free char *text = details != NULL ? billet_json_text(details) : NULL;
    struct billet_context *context = trust->cli->context;
    const struct billet_activity row = {.action = trust->forget ? "environment.untrusted"
                                                                : "environment.trusted",
                                        .tenant = context->tenant,
                                        .environment = environment->name,
                                        .actor = context->actor,
                                        .details = text != NULL ? text : "{}"};
    if (any && (billet_context_store(context, &store, &error) < 0 ||
                billet_store_of(store)->activity_add(store, &row, 1, &error) < 0))
        billet_log(BILLET_LOG_WARNING, "the change was not recorded: %s", error.message);
}

static void
print(const struct trust *trust, const struct billet_environment *environment)
{
    static const char *const headings[] = {"HOST", "TYPE", "FINGERPRINT", "STATE", NULL};
    struct cli_table table;
    if (trust->cli->json) {
        cli_print_json(json_pack("{s:s, s:s, s:o}", "format_version", BILLET_FORMAT_VERSION,
                                 "environment", environment->name, "keys",
                                 keys_json(trust, false)));
        return;
    }
    if (trust->count == 0) {
        fprintf(stderr, "no key was known of the hosts of environment %s\n", environment->name);
        return;
    }
    cli_table_open(&table, headings);
    for (size_t i = 0; i < trust->count; i++) {
        cli_table_cell(&table, trust->keys[i].words.items[HOST]);
        cli_table_cell(&table, trust->keys[i].words.items[TYPE]);
        cli_table_cell(&table, trust->keys[i].words.items[FINGERPRINT]);
        cli_table_cell(&table, state_names[trust->keys[i].state]);
    }
    cli_table_print(&table, trust->cli);
}

static int
trust_with_driver(struct trust *trust, const struct billet_environment *environment)
{
    struct cli *cli = trust->cli;
    struct billet_driver_client *client = NULL;
    struct billet_run_secrets secrets = {0};
    struct billet_driver_call call = {.settings = &environment->driver_settings};
    /* Signals end this process as they end any other: the host follows, and leaves nothing. */
    int result =
        billet_context_start_driver(cli->context, environment->driver, &client, &cli->error);
    if (result == 0)
        result = billet_driver_check_config(client, &call, &cli->error);
    if (result == 0) {
        struct billet_run_secrets_for wanted = {
            .environment = environment, .info = billet_driver_info(client), .purpose = "trust"};
        if (billet_run_secrets_any(&wanted))
            result = billet_run_secrets_resolve(cli->context, &wanted, &secrets, &cli->error);
        billet_run_secrets_give(&secrets, &call);
    }
    if (result == 0)
        result = walk(trust, client, &call, environment->name);
    billet_driver_stop(client);
    billet_run_secrets_free(&secrets);
    return result;
}

static int
read_options(struct cli *cli, struct trust *trust)
{
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        trust->yes = trust->yes || id == 'y';
        trust->forget = trust->forget || id == 'r';
        if (id != 'F')
            continue;
        if (strncmp(cli->value, "SHA256:", 7) != 0 || strlen(cli->value) != 50)
            return cli_usage(cli, "--fingerprint is SHA256: and 43 characters, not '%s'",
                             cli->value);
        if (!billet_strings_add(&trust->given, cli->value) ||
            !billet_strings_add(&trust->accept, cli->value)) {
            billet_error_no_memory(&cli->error);
            return cli_fail(cli);
        }
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet env trust %s", cli->command->synopsis);
    if (trust->forget && (trust->yes || trust->given.count > 0))
        return cli_usage(cli, "--remove goes with neither --fingerprint nor --yes");
    return 0;
}

static int
run_trust(struct cli *cli)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    __attribute__((cleanup(free_trust))) struct trust trust = {.cli = cli};
    int status = read_options(cli, &trust);
    if (status == 0)
        status = cli_open(cli, false);
    if (status != 0)
        return status;
    int result =
        billet_find_environment(cli->context, cli->arguments.items[0], &environment, &cli->error);
    if (result == 0)
        result = billet_prepare_environment(cli->context, &environment, &cli->error);
    if (result == 0) {
        result = trust_with_driver(&trust, &environment);
        record(&trust, &environment);
    }
    if (result == 0)
        print(&trust, &environment);
    billet_environment_free(&environment);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static const struct cli_option options[] = {
    {"fingerprint", 'F', "FINGERPRINT", "the key to take (SHA256:...); may be repeated"},
    {"yes", 'y', NULL, "take what is not known yet without being asked"},
    {"remove", 'r', NULL, "forget the keys of its hosts"},
    CLI_OPTION_END,
};
static const char *const examples[] = {"billet env trust build1",
                                       "billet env trust build1 --yes --json",
                                       "billet env trust build1 --remove", NULL};
const struct cli_command cli_env_trust = {"env trust",
                                          "NAME [--fingerprint FINGERPRINT] [--yes] [--remove]",
                                          "Look at the keys of an environment's hosts, keep them",
                                          "billet-env(1)",
                                          options,
                                          examples,
                                          run_trust,
                                          false};
