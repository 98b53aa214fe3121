/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_key.c - billet key init | list | rotate | export | import
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

#define PASSPHRASE_FD                                                                            \
    {                                                                                            \
        "passphrase-fd", CLI_OPTION_PASSPHRASE_FD, "FD", "read the keyring's passphrase from FD" \
    }

struct key_options {
    bool passphrase;
    int fd;     /* of the ring's passphrase */
    int new_fd; /* of the export's */
};

/* Reads every option; 0 or an exit status. */
static int
read_options(struct cli *cli, struct key_options *options, size_t arguments)
{
    *options = (struct key_options){.fd = -1, .new_fd = -1};
    for (int id; (id = cli_next(cli, false)) != 0;) {
        if (id < 0)
            return cli_usage_status(cli);
        if (id == 'p')
            options->passphrase = true;
        else if (id == CLI_OPTION_PASSPHRASE_FD) {
            if (!cli_secret_fd(cli, cli->value, &options->fd))
                return cli_usage_status(cli);
        } else if (id == 'x' && !cli_secret_fd(cli, cli->value, &options->new_fd)) {
            return cli_usage_status(cli);
        }
    }
    if (cli->arguments.count != arguments)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    return 0;
}

static void
print_key(struct cli *cli, const char *path, const struct billet_keyring *ring)
{
    char id[BILLET_KEY_ID_TEXT];
    billet_key_id_format(billet_keyring_active(ring).id, id);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:s}", "format_version", BILLET_FORMAT_VERSION,
                                 "keyring", path, "active", id));
    else
        printf("%s\n", id);
}

/* The file that can be changed: not a credential. Locked until *lock is closed. */
static int
hold_file(struct cli *cli, struct billet_secrets *secrets, char **path, int *lock)
{
    bool credential;
    int result = billet_keyring_locate(secrets->keyring_path, path, &credential, &cli->error);
    if (result == 0 && credential) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "key_read_only",
                         "the keyring is the credential %s and cannot be changed here", *path);
        result = billet_error_hint(&cli->error, "change it where the credential is made");
    }
    return result < 0 ? result : billet_keyring_lock(*path, lock, &cli->error);
}

static int
run_init(struct cli *cli)
{
    struct key_options options;
    struct billet_secrets *secrets = NULL;
    struct billet_keyring *ring = NULL;
    cleanup_secret struct billet_secret passphrase = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT;
    cleanup_free char *path = NULL;
    cleanup_fd int lock = -1;
    int status = read_options(cli, &options, 0);
    if (status == 0)
        status = cli_secrets(cli, -1, &secrets);
    if (status != 0)
        return status;
    bool closed = options.passphrase || options.fd >= 0;
    int result = hold_file(cli, secrets, &path, &lock);
    if (result == 0 && access(path, F_OK) == 0)
        result = billet_keyring_save_file(path, &file, false, &cli->error);
    if (result == 0 && closed)
        result = cli_secret_new_passphrase(cli, options.fd, &passphrase);
    if (result == 0)
        result = billet_keyring_make(&ring, &cli->error);
    if (result == 0)
        result = billet_keyring_write(ring, closed ? &passphrase : NULL, BILLET_KEYRING_COST_DAILY,
                                      &file, &cli->error);
    if (result == 0)
        result = billet_keyring_save_file(path, &file, false, &cli->error);
    if (result == 0) {
        print_key(cli, path, ring);
        billet_log(BILLET_LOG_WARNING,
                   "%s was made; without it no secret can ever be read again: keep a copy apart "
                   "from the database, with 'billet key export FILE'",
                   path);
    }
    billet_keyring_free(ring);
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

static int
run_list(struct cli *cli)
{
    static const char *const headings[] = {"KEY", "STATE", "CREATED", NULL};
    struct key_options options;
    struct billet_secrets *secrets = NULL;
    struct cli_table table;
    int status = read_options(cli, &options, 0);
    if (status == 0)
        status = cli_secrets(cli, options.fd, &secrets);
    if (status != 0)
        return status;
    if (billet_secrets_ring(secrets, &cli->error) < 0)
        return cli_fail(cli);
    cli_table_open(&table, headings);
    json_t *list = json_array();
    for (size_t i = 0; i < billet_keyring_count(secrets->ring); i++) {
        const struct billet_key key = billet_keyring_at(secrets->ring, i);
        char id[BILLET_KEY_ID_TEXT], time[32];
        billet_key_id_format(key.id, id);
        billet_time_format(time, sizeof(time), key.created_ns);
        if (cli->json) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s}", "id", id, "state",
                                            billet_key_state_name(key.state), "created", time));
            continue;
        }
        cli_table_cell(&table, id);
        cli_table_cell(&table, billet_key_state_name(key.state));
        cli_table_cell(&table, time);
    }
    if (cli->json)
        cli_print_json(
            json_pack("{s:s, s:O}", "format_version", BILLET_FORMAT_VERSION, "keys", list));
    else
        cli_table_print(&table, cli);
    json_decref(list);
    return BILLET_EXIT_OK;
}

static int
run_rotate(struct cli *cli)
{
    struct key_options options;
    struct billet_secrets *secrets = NULL;
    struct billet_rotation rotation;
    char details[128];
    int status = read_options(cli, &options, 0);
    if (status == 0)
        status = cli_secrets(cli, options.fd, &secrets);
    if (status != 0)
        return status;
    if (billet_secrets_rotate_key(secrets, &rotation, &cli->error) < 0)
        return cli_fail(cli);
    snprintf(details, sizeof(details), "{\"key\":\"%s\",\"rewrapped\":%" PRId64 "}", rotation.key,
             rotation.rewrapped);
    const struct billet_activity row = {.action = "key.rotated",
                                        .tenant = cli->context->tenant,
                                        .actor = cli->context->actor,
                                        .details = details};
    if (billet_store_of(secrets->store)->activity_add(secrets->store, &row, 1, &cli->error) < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:b, s:I}", "format_version", BILLET_FORMAT_VERSION,
                                 "active", rotation.key, "resumed", rotation.resumed, "rewrapped",
                                 (json_int_t)rotation.rewrapped));
    else
        printf("%s\n", rotation.key);
    if (rotation.resumed)
        billet_log(BILLET_LOG_WARNING, "an earlier rotation was incomplete and is complete now; "
                                       "repeat the command for another new key");
    return BILLET_EXIT_OK;
}

/* A new file, 0400; never one that is there. */
static int
write_new(struct cli *cli, const char *name, const struct billet_secret *file)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    if (fd < 0)
        return billet_error_errno(&cli->error, 0, "io_failed", errno, "cannot create %s", name);
    int result = billet_io_write_all(fd, file->bytes, file->length, &cli->error);
    if (result == 0 && fsync(fd) != 0)
        result = billet_error_errno(&cli->error, 0, "io_failed", errno, "cannot sync %s", name);
    close(fd);
    if (result < 0)
        unlink(name);
    return result;
}

static int
run_export(struct cli *cli)
{
    struct key_options options;
    struct billet_secrets *secrets = NULL;
    cleanup_secret struct billet_secret passphrase = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT;
    int status = read_options(cli, &options, 1);
    if (status == 0)
        status = cli_secrets(cli, options.fd, &secrets);
    if (status != 0)
        return status;
    int result = billet_secrets_ring(secrets, &cli->error);
    if (result == 0)
        result = cli_secret_new_passphrase(cli, options.new_fd, &passphrase);
    if (result == 0)
        result = billet_keyring_write(secrets->ring, &passphrase, BILLET_KEYRING_COST_EXPORT, &file,
                                      &cli->error);
    if (result == 0)
        result = write_new(cli, cli->arguments.items[0], &file);
    if (result == 0 && cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:I}", "format_version", BILLET_FORMAT_VERSION, "file",
                                 cli->arguments.items[0], "keys",
                                 (json_int_t)billet_keyring_count(secrets->ring)));
    return result < 0 ? cli_fail(cli) : BILLET_EXIT_OK;
}

/* The keys of an export into the ring that is there, or as the ring when there is none. */
static int
run_import(struct cli *cli)
{
    struct key_options options;
    struct billet_secrets *secrets = NULL;
    struct billet_keyring *from = NULL;
    cleanup_secret struct billet_secret passphrase = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret saved = BILLET_SECRET_INIT;
    cleanup_free char *path = NULL;
    cleanup_fd int lock = -1;
    cleanup_fd int fd = -1;
    size_t added = 0;
    int status = read_options(cli, &options, 1);
    if (status == 0)
        status = cli_secrets(cli, options.fd, &secrets);
    if (status != 0)
        return status;
    int result = hold_file(cli, secrets, &path, &lock);
    if (result == 0 && (fd = open(cli->arguments.items[0], O_RDONLY | O_CLOEXEC | O_NOCTTY)) < 0)
        result = billet_error_errno(&cli->error, 0, "io_failed", errno, "cannot open %s",
                                    cli->arguments.items[0]);
    if (result == 0)
        result = billet_secret_read(&file, fd, &cli->error);
    bool closed = result == 0 && billet_keyring_wants_passphrase(file.bytes, file.length);
    if (closed)
        result = options.new_fd >= 0
                     ? billet_secret_read(&passphrase, options.new_fd, &cli->error)
                     : cli_secret_ask("passphrase of the export: ", &passphrase, &cli->error);
    if (closed && result == 0)
        billet_secret_trim(&passphrase);
    if (result == 0)
        result = billet_keyring_read(file.bytes, file.length, closed ? &passphrase : NULL, &from,
                                     &cli->error);
    if (result == 0 && access(path, F_OK) != 0 && errno == ENOENT) {
        secrets->ring = from;
        from = NULL;
        added = billet_keyring_count(secrets->ring);
    } else if (result == 0) {
        result = billet_secrets_ring(secrets, &cli->error);
        if (result == 0)
            result = billet_keyring_merge(secrets->ring, from, &added, &cli->error);
    }
    if (result == 0 && added > 0)
        result = billet_keyring_write(
            secrets->ring, secrets->passphrase.bytes != NULL ? &secrets->passphrase : NULL,
            BILLET_KEYRING_COST_DAILY, &saved, &cli->error);
    if (result == 0 && added > 0)
        result = billet_keyring_save_file(path, &saved, true, &cli->error);
    billet_keyring_free(from);
    if (result < 0)
        return cli_fail(cli);
    if (cli->json)
        cli_print_json(json_pack("{s:s, s:s, s:I}", "format_version", BILLET_FORMAT_VERSION,
                                 "keyring", path, "added", (json_int_t)added));
    else
        printf("%zu\n", added);
    return BILLET_EXIT_OK;
}

static const struct cli_option init_options[] = {
    {"passphrase", 'p', NULL, "close it with a passphrase from the terminal"},
    {"passphrase-fd", CLI_OPTION_PASSPHRASE_FD, "FD", "the same, read from FD"},
    CLI_OPTION_END,
};
static const char *const init_examples[] = {"billet key init", "billet key init --passphrase",
                                            NULL};
const struct cli_command cli_key_init = {
    "key init",      "[OPTION...]", "Make the keyring that seals secrets",
    "billet-key(1)", init_options,  init_examples,
    run_init,        false};

static const struct cli_option ring_options[] = {PASSPHRASE_FD, CLI_OPTION_END};
static const char *const list_examples[] = {"billet key list", NULL};
const struct cli_command cli_key_list = {
    "key list",      "[OPTION...]", "List the keys of the keyring",
    "billet-key(1)", ring_options,  list_examples,
    run_list,        false};
static const char *const rotate_examples[] = {"billet key rotate", NULL};
const struct cli_command cli_key_rotate = {
    "key rotate",    "[OPTION...]", "Wrap every secret under a new key",
    "billet-key(1)", ring_options,  rotate_examples,
    run_rotate,      false};

static const struct cli_option export_options[] = {
    {"export-passphrase-fd", 'x', "FD", "read the passphrase of the export from FD"},
    PASSPHRASE_FD,
    CLI_OPTION_END,
};
static const char *const export_examples[] = {"billet key export /mnt/safe/billet-keyring", NULL};
const struct cli_command cli_key_export = {"key export",
                                           "[OPTION...] FILE",
                                           "Write a copy of the keyring, closed with a passphrase",
                                           "billet-key(1)",
                                           export_options,
                                           export_examples,
                                           run_export,
                                           false};
static const char *const import_examples[] = {"billet key import /mnt/safe/billet-keyring", NULL};
const struct cli_command cli_key_import = {"key import",
                                           "[OPTION...] FILE",
                                           "Bring the keys of an export into the keyring",
                                           "billet-key(1)",
                                           export_options,
                                           import_examples,
                                           run_import,
                                           false};
