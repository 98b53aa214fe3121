/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret_input.h - where a value or a passphrase comes from, and where a value may
 * go: a terminal without echo, a file, a descriptor, stdin; never the command line.
 */
#ifndef BILLET_CLI_SECRET_INPUT_H
#define BILLET_CLI_SECRET_INPUT_H

#include "cli/command.h"
#include "run/secrets.h"

enum {
    CLI_OPTION_FROM_FILE = 2000,
    CLI_OPTION_FROM_FD,
    CLI_OPTION_VALUE,
    CLI_OPTION_PASSPHRASE_FD,
};

#define CLI_SECRET_INPUT_OPTIONS                                                         \
    {"from-file", CLI_OPTION_FROM_FILE, "FILE", "read the value from FILE, - is stdin"}, \
    {                                                                                    \
        "from-fd", CLI_OPTION_FROM_FD, "FD", "read the value from descriptor FD"         \
    }

struct cli_secret_input {
    const char *file;
    int fd; /* -1: none */
};

#define CLI_SECRET_INPUT_INIT \
    {                         \
        .fd = -1              \
    }

/* One of the options above; an exit status, 0 when it was good. */
int cli_secret_input_option(struct cli *cli, struct cli_secret_input *input, int id);
/* An open descriptor's number; false after a usage error. */
bool cli_secret_fd(struct cli *cli, const char *text, int *fd);
/* The value: from what the options say, else asked for twice on a terminal, else stdin. */
int cli_secret_input_read(struct cli *cli, const struct cli_secret_input *input, const char *name,
                          struct billet_secret *value);

/* A line from /dev/tty without echo; code key_passphrase_missing without one. */
int cli_secret_ask(const char *prompt, struct billet_secret *value, struct billet_error *error);
/* context->secrets, with a way to ask for the passphrase: fd, BILLET_PASSPHRASE_FD, terminal. fd
 * -1: not given. */
int cli_secrets(struct cli *cli, int passphrase_fd, struct billet_secrets **secrets);
void cli_secrets_can_ask(struct billet_context *context, int passphrase_fd);
/* A new passphrase, asked for twice, or read from fd. */
int cli_secret_new_passphrase(struct cli *cli, int fd, struct billet_secret *passphrase);

#endif
