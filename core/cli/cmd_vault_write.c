/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_vault_write.c - billet vault versions | put | promote | rollback
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "cli/vault_verbs.h"
#include "run/status.h"

/* A path of a vault, as the first two arguments name it. */
struct target {
    struct billet_secrets *secrets;
    struct billet_vault vault;
    struct billet_vault_path path;
    char reference[BILLET_VAULT_PATH_MAX + 80];
};

/* 0, and the vault is open; else an exit status. label: a version may be named. */
static int
open_target(struct cli *cli, struct target *target, bool label)
{
    const char *text = cli->arguments.items[1];
    int status = cli_vault_open(cli, &target->secrets, &target->vault);
    if (status != 0)
        return status;
    int result = billet_vault_path_parse(&target->vault, text, &target->path, &cli->error);
    if (result == 0 && (target->path.field[0] != '\0' || target->path.version > 0 ||
                        (!label && target->path.label[0] != '\0'))) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "vault_path_invalid",
                         label ? "a field, or a version by number, cannot be named here"
                               : "a field or a version cannot be named here");
        result = -BILLET_CLASS_CONFIG;
    }
    if (result < 0) {
        billet_vault_close(&target->vault);
        return cli_fail(cli);
    }
    snprintf(target->reference, sizeof(target->reference), "@vault:%s/%s", target->vault.name,
             text);
    return 0;
}

static int
unsupported(struct target *target, struct billet_error *error)
{
    return billet_vault_failed(&target->vault, "vault_unsupported", error);
}

/* On record before it is done, and once more when it was refused. */
static int
record(struct target *target, const char *purpose, const char *outcome, struct billet_error *error)
{
    const struct billet_secret_use use = {.purpose = purpose};
    return billet_secrets_record(target->secrets, target->reference, NULL, 0, &use, outcome, error);
}

/* What was done, or why not. */
static int
finish(struct cli *cli, struct target *target, const char *purpose, const char *version, int result)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    if (result < 0)
        record(target, purpose, cli->error.code, &ignored);
    else if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:s, s:s}", "format_version", BILLET_FORMAT_VERSION,
                                 "vault", target->vault.name, "path", target->path.path, "version",
                                 version));
    else
        printf("%s\n", version);
    billet_vault_close(&target->vault);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- versions ------------------------------------------------------------------------------- */

static int
run_versions(struct cli *cli)
{
    static const char *const headings[] = {"VERSION", "STAGES", NULL};
    static const char *const keys[] = {"version", "stages"};
    struct target target;
    struct cli_vault_found found = {0};
    int status = cli_read_arguments(cli, 2, 2);
    if (status == 0)
        status = open_target(cli, &target, false);
    if (status != 0)
        return status;
    int result = target.vault.module->versions == NULL
                     ? unsupported(&target, &cli->error)
                     : target.vault.module->versions(&target.vault, &target.path, cli_vault_find,
                                                     &found, &cli->error);
    if (found.failed)
        result = billet_error_no_memory(&cli->error);
    if (result >= 0)
        cli_vault_print(cli, &found, headings, "versions", keys);
    cli_vault_found_free(&found);
    billet_vault_close(&target.vault);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* ---- put ---------------------------------------------------------------------------------------
 */

static int
put(struct cli *cli, struct target *target, enum billet_vault_put how,
    const struct cli_secret_input *input)
{
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    char version[BILLET_VAULT_VERSION_MAX + 1] = "";
    int result = target->vault.module->put == NULL
                     ? unsupported(target, &cli->error)
                     : cli_secret_input_read(cli, input, target->path.path, &value);
    if (result == 0 && value.length == 0)
        result = billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                                  "an empty value is not stored");
    if (result == 0)
        result = record(target, "put", NULL, &cli->error);
    if (result == 0)
        result = target->vault.module->put(&target->vault, &target->path, how, &value, version,
                                           &cli->error);
    return finish(cli, target, "put", version, result);
}

static int
run_put(struct cli *cli)
{
    struct cli_secret_input input = CLI_SECRET_INPUT_INIT;
    struct target target;
    bool create = false, pending = false;
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        create = create || id == 'c';
        pending = pending || id == 'p';
        int wrong = cli_secret_input_option(cli, &input, id);
        if (wrong != 0)
            return wrong;
    }
    if (cli->arguments.count > 2)
        return cli_usage(cli, "a value on the command line can be seen by every user: give it by "
                              "prompt, stdin, --from-file or --from-fd");
    if (cli->arguments.count != 2)
        return cli_usage(cli, "usage: billet vault put %s", cli->command->synopsis);
    if (create && pending)
        return cli_usage(cli, "the first version of a new one is current: give --create or "
                              "--pending, not both");
    int status = open_target(cli, &target, false);
    return status != 0 ? status
                       : put(cli, &target,
                             create    ? BILLET_VAULT_CREATE
                             : pending ? BILLET_VAULT_PENDING
                                       : BILLET_VAULT_CURRENT,
                             &input);
}

/* ---- promote and rollback
 * ------------------------------------------------------------------------ */

static int
promote(struct cli *cli, bool back)
{
    struct target target;
    char version[BILLET_VAULT_VERSION_MAX + 1] = "";
    const char *purpose = back ? "rollback" : "promote";
    int status = cli_read_arguments(cli, 2, 2);
    if (status == 0)
        status = open_target(cli, &target, !back);
    if (status != 0)
        return status;
    int result = target.vault.module->promote == NULL ? unsupported(&target, &cli->error)
                                                      : record(&target, purpose, NULL, &cli->error);
    if (result == 0)
        result =
            target.vault.module->promote(&target.vault, &target.path, back, version, &cli->error);
    return finish(cli, &target, purpose, version, result);
}

static int
run_promote(struct cli *cli)
{
    return promote(cli, false);
}

static int
run_rollback(struct cli *cli)
{
    return promote(cli, true);
}

static const char *const versions_examples[] = {"billet vault versions cloud team/key", NULL};
const struct cli_command cli_vault_versions = {
    "vault versions",  "VAULT PATH", "List the versions of a value in a vault",
    "billet-vault(1)", NULL,         versions_examples,
    run_versions,      false};

static const struct cli_option put_options[] = {
    {"create", 'c', NULL, "it is new; without, it gets a new version"},
    {"pending", 'p', NULL, "the version waits for vault promote"},
    CLI_SECRET_INPUT_OPTIONS,
    CLI_OPTION_END,
};
static const char *const put_examples[] = {
    "billet vault put --create cloud team/deploy --from-file key.pem",
    "billet vault put --pending cloud team/key", NULL};
const struct cli_command cli_vault_put = {"vault put",
                                          "[OPTION...] VAULT PATH",
                                          "Store a value in a vault",
                                          "billet-vault(1)",
                                          put_options,
                                          put_examples,
                                          run_put,
                                          false};

static const char *const promote_examples[] = {"billet vault promote cloud team/key", NULL};
const struct cli_command cli_vault_promote = {"vault promote",
                                              "VAULT PATH[@VERSION]",
                                              "Make a version of a value the current one",
                                              "billet-vault(1)",
                                              NULL,
                                              promote_examples,
                                              run_promote,
                                              false};

static const char *const rollback_examples[] = {"billet vault rollback cloud team/key", NULL};
const struct cli_command cli_vault_rollback = {
    "vault rollback",  "VAULT PATH", "Make the version before the current one",
    "billet-vault(1)", NULL,         rollback_examples,
    run_rollback,      false};
