/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_secret.c - billet secret set | rotate | list | show | verify
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "run/status.h"

static void
print_version(struct cli *cli, const char *name, int64_t version)
{
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:I}", "format_version", BILLET_FORMAT_VERSION, "name",
                                 name, "version", (json_int_t)version));
    else
        printf("@secret:%s\n", name);
}

/* set and rotate differ only in what must be there before. */
static int
store_value(struct cli *cli, bool rotate)
{
    struct cli_secret_input input = CLI_SECRET_INPUT_INIT;
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    const char *description = "";
    int64_t version = 1;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == CLI_OPTION_VALUE)
            return cli_usage(cli, "a value on the command line can be seen by every user: give it "
                                  "by prompt, stdin, --from-file or --from-fd");
        if (id == 'd')
            description = cli->value;
        int wrong = cli_secret_input_option(cli, &input, id);
        if (wrong != 0)
            return wrong;
    }
    if (cli->arguments.count > 1)
        return cli_usage(cli, "a value on the command line can be seen by every user: give it by "
                              "prompt, stdin, --from-file or --from-fd");
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    const char *name = cli->arguments.items[0];
    if (strlen(description) > 1024)
        return cli_usage(cli, "--description has at most 1024 bytes");
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    /* Without a key nobody needs to type the value. */
    int result = billet_secrets_ring(secrets, &cli->error);
    if (result == 0 && rotate)
        result = billet_secrets_find(secrets, name, &record, &cli->error);
    if (result == 0)
        result = cli_secret_input_read(cli, &input, name, &value);
    if (result == 0)
        result = rotate ? billet_secrets_rotate(secrets, name, &value, &version, &cli->error)
                        : billet_secrets_create(secrets, name, description, &value, &cli->error);
    if (result < 0 && strcmp(cli->error.code, "secret_exists") == 0)
        billet_error_hint(&cli->error, "'billet secret rotate %s' gives it a new version", name);
    if (result < 0)
        return cli_fail(cli);
    if (value.length < 8)
        billet_log(BILLET_LOG_WARNING, "the value has fewer than 8 bytes: too short to be masked "
                                       "in output");
    print_version(cli, name, version);
    return BILLET_EXIT_OK;
}

static int
run_set(struct cli *cli)
{
    return store_value(cli, false);
}

static int
run_rotate(struct cli *cli)
{
    return store_value(cli, true);
}

/* ---- list, show --------------------------------------------------------------------- */

struct listing {
    struct cli *cli;
    struct cli_table table;
    json_t *list;
};

static json_t *
record_json(const struct billet_secret_record *record)
{
    char created[32], updated[32];
    billet_time_format(created, sizeof(created), record->created_ns);
    billet_time_format(updated, sizeof(updated), record->updated_ns);
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "name", record->name, "tenant",
                               record->tenant, "state", record->state, "version",
                               (json_int_t)record->current, "created", created, "changed", updated);
    json_object_set_new(object, "description", billet_json_bytes(record->description));
    return object;
}

static int
list_one(const struct billet_secret_record *record, void *context)
{
    struct listing *listing = context;
    char text[32];
    if (listing->cli->json) {
        json_array_append_new(listing->list, record_json(record));
        return 0;
    }
    cli_table_cell(&listing->table, record->name);
    snprintf(text, sizeof(text), "%" PRId64, record->current);
    cli_table_cell(&listing->table, text);
    cli_table_cell(&listing->table, record->state);
    billet_time_format(text, sizeof(text), record->updated_ns);
    cli_table_cell(&listing->table, text);
    cli_table_cell(&listing->table, record->description);
    return 0;
}

static int
run_list(struct cli *cli)
{
    static const char *const headings[] = {"NAME",    "VERSION",     "STATE",
                                           "CHANGED", "DESCRIPTION", NULL};
    struct listing listing = {.cli = cli};
    struct billet_secrets *secrets = NULL;
    const struct billet_secret_table *table;
    int status = cli_read_arguments(cli, 0, 0);
    if (status == 0)
        status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    cli_table_open(&listing.table, headings);
    listing.list = json_array();
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0)
        result = table->list(secrets->store, secrets->tenant, list_one, &listing, &cli->error);
    if (result == 0 && cli->json)
        cli_print_json(json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, "secrets",
                                 listing.list));
    else if (result == 0)
        cli_table_print(&listing.table, cli);
    json_decref(listing.list);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
show_version(const struct billet_secret_version *version, void *context)
{
    struct listing *listing = context;
    char number[32], time[32];
    billet_time_format(time, sizeof(time), version->created_ns);
    if (listing->cli->json) {
        json_array_append_new(listing->list,
                              json_pack("{s:I, s:s, s:s, s:s, s:s}", "version",
                                        (json_int_t)version->version, "state", version->state,
                                        "key", version->key, "created", time, "created_by",
                                        version->created_by));
        return 0;
    }
    snprintf(number, sizeof(number), "%" PRId64, version->version);
    const char *const cells[] = {number, version->state, version->key, time, version->created_by};
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
        cli_table_cell(&listing->table, cells[i]);
    return 0;
}

static int
show_metadata(struct cli *cli, struct billet_secrets *secrets, const char *name)
{
    static const char *const headings[] = {"VERSION", "STATE", "KEY", "CREATED", "BY", NULL};
    struct listing listing = {.cli = cli};
    struct billet_secret_record record;
    const struct billet_secret_table *table;
    char text[32];
    int result = billet_secrets_table(secrets->store, &table, &cli->error);
    if (result == 0)
        result = billet_secrets_find(secrets, name, &record, &cli->error);
    if (result < 0)
        return result;
    const struct billet_secret_version_filter filter = {.secret = record.id};
    cli_table_open(&listing.table, headings);
    listing.list = json_array();
    result = table->versions(secrets->store, &filter, show_version, &listing, &cli->error);
    if (result == 0 && cli->json) {
        json_t *object = record_json(&record);
        json_object_set_new(object, "format_version", json_string(BILLET_FORMAT_VERSION));
        json_object_set(object, "versions", listing.list);
        cli_print_json(object);
    } else if (result == 0) {
        cli_print_field("Name:", record.name);
        cli_print_field("Tenant:", record.tenant);
        cli_print_field("State:", record.state);
        cli_print_field("Description:", record.description);
        billet_time_format(text, sizeof(text), record.created_ns);
        cli_print_field("Created:", text);
        printf("\n");
        cli_table_print(&listing.table, cli);
    }
    json_decref(listing.list);
    return result;
}

static int
reveal(struct cli *cli, struct billet_secrets *secrets, const char *name, int64_t version, int fd)
{
    const struct billet_secret_use use = {.purpose = "reveal"};
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    int result = billet_secrets_open(secrets, name, version, &use, &value, &cli->error);
    if (result == 0)
        result = billet_io_write_all(fd, value.bytes, value.length, &cli->error);
    if (result == 0 && isatty(fd))
        result = billet_io_write_all(fd, "\n", 1, &cli->error);
    return result;
}

static int
run_show(struct cli *cli)
{
    struct billet_secrets *secrets = NULL;
    bool shown = false;
    int fd = -1;
    long version = 0;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'r')
            shown = true;
        else if (id == 't' && !cli_secret_fd(cli, cli->value, &fd))
            return cli_usage_status(cli);
        else if (id == 'n')
            version = strtol(cli->value, NULL, 10);
    }
    if (cli->arguments.count != 1)
        return cli_usage(cli, "usage: billet secret show %s", cli->command->synopsis);
    if (version < 0)
        return cli_usage(cli, "--version wants the number of a version");
    if (shown && fd < 0 && !isatty(STDOUT_FILENO))
        return cli_usage(cli, "--reveal shows a value on a terminal only; --to-fd gives it to a "
                              "program");
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    const char *name = cli->arguments.items[0];
    int result = shown || fd >= 0
                     ? reveal(cli, secrets, name, version, fd >= 0 ? fd : STDOUT_FILENO)
                     : show_metadata(cli, secrets, name);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- verify ------------------------------------------------------------------------------ */

static void
bad_version(const struct billet_secret_version *version, const struct billet_error *why,
            void *context)
{
    struct listing *listing = context;
    json_array_append_new(listing->list,
                          json_pack("{s:s, s:s, s:I, s:s, s:s}", "tenant", version->tenant, "name",
                                    version->name, "version", (json_int_t)version->version, "code",
                                    why->code, "message", why->message));
    if (!listing->cli->json)
        printf("%s@%" PRId64 " of %s: %s [%s]\n", version->name, version->version, version->tenant,
               why->message, why->code);
}

static int
run_verify(struct cli *cli)
{
    struct listing listing = {.cli = cli};
    struct billet_secrets *secrets = NULL;
    struct billet_secret_record record;
    int64_t good = 0;
    bool all = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        all = all || id == 'a';
    }
    if (cli->arguments.count > 1)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[1]);
    const char *name = cli->arguments.count == 1 ? cli->arguments.items[0] : NULL;
    int status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    if (name != NULL && billet_secrets_find(secrets, name, &record, &cli->error) < 0)
        return cli_fail(cli);
    listing.list = json_array();
    int result = billet_secrets_verify(secrets, all ? NULL : secrets->tenant, name, &good,
                                       bad_version, &listing, &cli->error);
    size_t bad = json_array_size(listing.list);
    if (result == 0 && cli->json)
        cli_print_json(json_pack("{s:s, s:b, s:I, s:O}", "format_version", BILLET_FORMAT_VERSION,
                                 "ok", bad == 0, "good", (json_int_t)good, "bad", listing.list));
    else if (result == 0)
        printf("%" PRId64 " open, %zu do not\n", good, bad);
    json_decref(listing.list);
    if (result < 0)
        return cli_fail(cli);
    return bad > 0 ? BILLET_EXIT_FINDINGS : BILLET_EXIT_OK;
}

#define REFUSED_VALUE                                                            \
    {                                                                            \
        "value", CLI_OPTION_VALUE, "VALUE", "refused: other users could read it" \
    }

static const struct cli_option set_options[] = {
    {"description", 'd', "TEXT", "a line for people"},
    CLI_SECRET_INPUT_OPTIONS,
    REFUSED_VALUE,
    CLI_OPTION_END,
};
static const char *const set_examples[] = {"billet secret set build1-key --from-file key.pem",
                                           "billet secret set api-token", NULL};
const struct cli_command cli_secret_set = {
    "secret set", "[OPTION...] NAME", "Store a secret", "billet-secret(1)",
    set_options,  set_examples,       run_set,          false};

static const struct cli_option rotate_options[] = {CLI_SECRET_INPUT_OPTIONS, REFUSED_VALUE,
                                                   CLI_OPTION_END};
static const char *const rotate_examples[] = {"billet secret rotate api-token", NULL};
const struct cli_command cli_secret_rotate = {"secret rotate",
                                              "[OPTION...] NAME",
                                              "Give a secret a new value, its next version",
                                              "billet-secret(1)",
                                              rotate_options,
                                              rotate_examples,
                                              run_rotate,
                                              false};

static const char *const list_examples[] = {"billet secret list", NULL};
const struct cli_command cli_secret_list = {
    "secret list", "",   "List secrets, without values", "billet-secret(1)", NULL, list_examples,
    run_list,      false};

static const struct cli_option show_options[] = {
    {"reveal", 'r', NULL, "print the value on a terminal; goes on record"},
    {"to-fd", 't', "FD", "write the value to descriptor FD; goes on record"},
    {"version", 'n', "NUMBER", "the value of that version"},
    CLI_OPTION_END,
};
static const char *const show_examples[] = {"billet secret show api-token", NULL};
const struct cli_command cli_secret_show = {"secret show",
                                            "[OPTION...] NAME",
                                            "Show a secret and its versions, without values",
                                            "billet-secret(1)",
                                            show_options,
                                            show_examples,
                                            run_show,
                                            false};

static const struct cli_option verify_options[] = {
    {"all", 'a', NULL, "those of every tenant"},
    CLI_OPTION_END,
};
static const char *const verify_examples[] = {"billet secret verify --all", NULL};
const struct cli_command cli_secret_verify = {"secret verify",
                                              "[--all] [NAME]",
                                              "Check that every sealed secret opens",
                                              "billet-secret(1)",
                                              verify_options,
                                              verify_examples,
                                              run_verify,
                                              false};
