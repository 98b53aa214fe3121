/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_aws_process.c - an access key from a program that a profile names: "Process credential
 * provider" of the AWS SDKs and Tools Reference Guide.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "secret/vault_aws.h"
#include "secret/vault_run.h"

#define ARGUMENTS_MAX 64

/* The next word of a command line as AWS's tools split it: spaces between words, quotes of both
 * kinds, a backslash before a character, except within single quotes. to: as long as the line.
 * 1, 0 at the end of the line, or -1: a quote is open. */
static int
next_word(const char **line, char *to)
{
    const char *at = *line;
    char quote = '\0';
    while (isspace((unsigned char)*at))
        at++;
    if (*at == '\0')
        return 0;
    for (; *at != '\0' && (quote != '\0' || !isspace((unsigned char)*at)); at++) {
        if (*at == quote)
            quote = '\0';
        else if (quote == '\0' && (*at == '"' || *at == '\''))
            quote = *at;
        else if (*at == '\\' && at[1] != '\0' &&
                 (quote == '\0' || (quote == '"' && strchr("\"\\", at[1]) != NULL)))
            *to++ = *++at;
        else
            *to++ = *at;
    }
    *to = '\0';
    *line = at;
    return quote == '\0' ? 1 : -1;
}

static int
split(const struct billet_vault *vault, const char *line, struct billet_strings *arguments,
      struct billet_error *error)
{
    cleanup_free char *word = malloc(strlen(line) + 1);
    if (word == NULL)
        return billet_error_no_memory(error);
    for (;;) {
        int got = next_word(&line, word);
        if (got < 0)
            return billet_vault_invalid(vault, error, "credential_process has an open quote");
        if (got == 0)
            break;
        if (arguments->count == ARGUMENTS_MAX)
            return billet_vault_invalid(vault, error, "credential_process has too many words");
        if (!billet_strings_add(arguments, word))
            return billet_error_no_memory(error);
    }
    if (arguments->count == 0 || arguments->items[0][0] != '/')
        return billet_vault_invalid(
            vault, error, "credential_process does not begin with the whole path of a program");
    return 0;
}

int
billet_aws_from_process(const struct billet_vault *vault, const char *line, int64_t deadline_ns,
                        struct billet_aws_key *key, struct billet_error *error)
{
    static const char *const names[] = {"AWS_CA_BUNDLE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "HTTPS_PROXY",
                                        "HTTP_PROXY",
                                        "NO_PROXY",
                                        "https_proxy",
                                        "http_proxy",
                                        "no_proxy",
                                        NULL};
    cleanup_strings struct billet_strings arguments = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    cleanup_secret struct billet_secret output = BILLET_SECRET_INIT;
    key->source = "credential_process";
    int result = split(vault, line, &arguments, error);
    if (result == 0)
        result = billet_vault_check_program(vault, arguments.items[0], key->source, error);
    if (result == 0 && !billet_vault_environment(&environment, names))
        result = billet_error_no_memory(error);
    if (result == 0)
        result = billet_vault_run(vault, billet_strings_list(&arguments),
                                  billet_strings_list(&environment), deadline_ns, &output, error);
    return result < 0 ? result : billet_aws_take_json(vault, &output, "SessionToken", key, error);
}
