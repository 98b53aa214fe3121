/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/secret_input.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"

bool
cli_secret_fd(struct cli *cli, const char *text, int *fd)
{
    char *end = NULL;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > INT_MAX ||
        fcntl((int)number, F_GETFD) < 0) {
        cli_usage(cli, "that is not the number of an open descriptor");
        return false;
    }
    if (number > STDERR_FILENO)
        fcntl((int)number, F_SETFD, FD_CLOEXEC);
    *fd = (int)number;
    return true;
}

int
cli_secret_input_option(struct cli *cli, struct cli_secret_input *input, int id)
{
    if (id == CLI_OPTION_FROM_FILE)
        input->file = cli->value;
    else if (id == CLI_OPTION_FROM_FD && !cli_secret_fd(cli, cli->value, &input->fd))
        return cli_usage_status(cli);
    if (input->file != NULL && input->fd >= 0)
        return cli_usage(cli, "give --from-file or --from-fd, not both");
    return 0;
}

/* One line of the terminal into guarded memory, byte by byte: no buffer of stdio sees it. */
static int
read_line(int fd, struct billet_secret *value, struct billet_error *error)
{
    cleanup_secret struct billet_secret line = BILLET_SECRET_INIT;
    int result = billet_secret_make(&line, BILLET_SECRET_MAX, error);
    if (result < 0)
        return result;
    for (;;) {
        ssize_t got = read(fd, line.bytes + line.length, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || line.bytes[line.length] == '\n' || line.length + 1 >= line.size)
            break;
        line.length++;
    }
    line.bytes[line.length] = '\0';
    return billet_secret_copy(value, line.bytes, line.length, error);
}

int
cli_secret_ask(const char *prompt, struct billet_secret *value, struct billet_error *error)
{
    struct termios before, silent;
    cleanup_fd int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0 || tcgetattr(tty, &before) != 0) {
        billet_error_set(error, BILLET_CLASS_AUTH, "key_passphrase_missing",
                         "nobody can be asked: there is no terminal");
        return billet_error_hint(error, "give it by a descriptor; see billet-secrets(7)");
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    silent.c_lflag |= ICANON;
    tcsetattr(tty, TCSAFLUSH, &silent);
    int result = billet_io_write_all(tty, prompt, strlen(prompt), error);
    if (result == 0)
        result = read_line(tty, value, error);
    tcsetattr(tty, TCSAFLUSH, &before);
    billet_io_write_all(tty, "\n", 1, NULL);
    return result;
}

static int
ask_twice(const char *prompt, const char *again, struct billet_secret *value,
          struct billet_error *error)
{
    cleanup_secret struct billet_secret first = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret second = BILLET_SECRET_INIT;
    int result = cli_secret_ask(prompt, &first, error);
    if (result == 0)
        result = cli_secret_ask(again, &second, error);
    if (result < 0)
        return result;
    if (first.length != second.length ||
        sodium_memcmp(first.bytes, second.bytes, first.length) != 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "the two answers differ; nothing was changed");
    *value = first;
    first = (struct billet_secret)BILLET_SECRET_INIT;
    return 0;
}

int
cli_secret_input_read(struct cli *cli, const struct cli_secret_input *input, const char *name,
                      struct billet_secret *value)
{
    cleanup_fd int opened = -1;
    char prompt[128];
    int fd = input->fd;
    if (input->file != NULL && strcmp(input->file, "-") == 0)
        fd = STDIN_FILENO;
    else if (input->file != NULL) {
        opened = open(input->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (opened < 0)
            return billet_error_errno(&cli->error, 0, "io_failed", errno, "cannot open %s",
                                      input->file);
        fd = opened;
    } else if (fd < 0 && !isatty(STDIN_FILENO)) {
        fd = STDIN_FILENO;
    }
    if (fd < 0) {
        snprintf(prompt, sizeof(prompt), "value of %.64s: ", name);
        return ask_twice(prompt, "again: ", value, &cli->error);
    }
    int result = billet_secret_read(value, fd, &cli->error);
    if (result == 0)
        billet_secret_trim(value);
    return result;
}

/* ---- passphrases ------------------------------------------------------------------ */

static int
read_passphrase(int fd, struct billet_secret *passphrase, struct billet_error *error)
{
    int result = billet_secret_read(passphrase, fd, error);
    if (result == 0)
        billet_secret_trim(passphrase);
    if (result == 0 && passphrase->length == 0) {
        billet_secret_free(passphrase);
        return billet_error_set(error, BILLET_CLASS_AUTH, "key_passphrase_missing",
                                "the descriptor of the passphrase gives nothing");
    }
    return result;
}

/* context: the descriptor and one, so that NULL means none. */
static int
ask_for_ring(struct billet_secret *passphrase, void *context, struct billet_error *error)
{
    int fd = (int)(intptr_t)context - 1;
    return fd >= 0 ? read_passphrase(fd, passphrase, error)
                   : cli_secret_ask("passphrase of the keyring: ", passphrase, error);
}

void
cli_secrets_can_ask(struct billet_context *context, int passphrase_fd)
{
    const char *named = secure_getenv("BILLET_PASSPHRASE_FD");
    int fd = passphrase_fd;
    if (fd < 0 && named != NULL && named[0] >= '0' && named[0] <= '9')
        fd = atoi(named);
    if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        fd = -1;
    context->secrets.ask = ask_for_ring;
    context->secrets.ask_context = (void *)(intptr_t)(fd + 1);
}

int
cli_secrets(struct cli *cli, int passphrase_fd, struct billet_secrets **secrets)
{
    int status = cli_open(cli, false);
    if (status != 0)
        return status;
    if (passphrase_fd >= 0)
        cli_secrets_can_ask(cli->context, passphrase_fd);
    return billet_context_secrets(cli->context, secrets, &cli->error) < 0 ? cli_fail(cli) : 0;
}

int
cli_secret_new_passphrase(struct cli *cli, int fd, struct billet_secret *passphrase)
{
    int result = fd >= 0 ? read_passphrase(fd, passphrase, &cli->error)
                         : ask_twice("new passphrase: ", "again: ", passphrase, &cli->error);
    if (result == 0 && passphrase->length < 8)
        result = billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                                  "a passphrase has at least 8 bytes");
    return result;
}
