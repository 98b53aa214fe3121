/* SPDX-License-Identifier: Apache-2.0 */
#include "config/reference.h"

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define VERSION_DIGITS 9
#define PATH_MAX_BYTES 4096
#define VAULT_PATH_MAX 1024
#define VARIABLE_MAX 128

static const struct {
    const char *prefix;
    const char *form;
} kinds[] = {
    [BILLET_REFERENCE_SECRET] = {"@secret:", "a name, or NAME@VERSION: letters, "
                                             "digits, '.', '_' and '-', at most 64"},
    [BILLET_REFERENCE_CRED] = {"@cred:", "a name: letters, digits, '.', '_' and '-', at most 64"},
    [BILLET_REFERENCE_FILE] = {"@file:", "an absolute path"},
    [BILLET_REFERENCE_ENV] = {"@env:", "the name of an environment variable"},
    [BILLET_REFERENCE_VAULT] = {"@vault:", "VAULT/PATH"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t
kind_of(const char *text)
{
    size_t kind = 1;
    while (kind < KINDS && !billet_text_starts(text, kinds[kind].prefix))
        kind++;
    return kind;
}

bool
billet_secret_is_reference(const char *text)
{
    return kind_of(text) < KINDS;
}

/* The first length bytes as the name. */
static bool
take_name(struct billet_reference *reference, const char *text, size_t length)
{
    if (length >= sizeof(reference->name))
        return false;
    memcpy(reference->name, text, length);
    reference->name[length] = '\0';
    return billet_text_is_name(reference->name);
}

/* Plain digits without a leading zero. */
static bool
take_version(struct billet_reference *reference, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > VERSION_DIGITS || text[digits] != '\0' || text[0] == '0')
        return false;
    for (; *text != '\0'; text++)
        reference->version = reference->version * 10 + (*text - '0');
    return true;
}

static bool
is_variable(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return length > 0 && length <= VARIABLE_MAX && text[length] == '\0' &&
           !isdigit((unsigned char)text[0]);
}

static bool
take_rest(struct billet_reference *reference, const char *rest)
{
    const char *mark = strchr(rest, reference->kind == BILLET_REFERENCE_VAULT ? '/' : '@');
    switch (reference->kind) {
    case BILLET_REFERENCE_SECRET:
        return take_name(reference, rest, mark != NULL ? (size_t)(mark - rest) : strlen(rest)) &&
               (mark == NULL || take_version(reference, mark + 1));
    case BILLET_REFERENCE_CRED:
        return take_name(reference, rest, strlen(rest));
    case BILLET_REFERENCE_FILE:
        reference->target = rest;
        return rest[0] == '/' && rest[1] != '\0' && strpbrk(rest, "\n\r") == NULL &&
               strlen(rest) < PATH_MAX_BYTES;
    case BILLET_REFERENCE_ENV:
        reference->target = rest;
        return is_variable(rest);
    case BILLET_REFERENCE_VAULT:
        if (mark == NULL || mark[1] == '\0' || strlen(mark) > VAULT_PATH_MAX ||
            strpbrk(rest, " \t\n\r") != NULL)
            return false;
        reference->target = mark + 1;
        return take_name(reference, rest, (size_t)(mark - rest));
    }
    return false;
}

int
billet_reference_parse(const char *option, const char *text, struct billet_reference *reference,
                       struct billet_error *error)
{
    size_t kind = kind_of(text);
    if (kind == KINDS) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_literal",
                         "'%s' is a secret: write @secret:NAME, @cred:NAME, @file:PATH or "
                         "@env:NAME; 'billet secret set NAME' stores one",
                         option);
        return billet_error_hint(error, "billet secret set NAME");
    }
    struct billet_reference parsed = {.kind = (enum billet_reference_kind)kind, .target = ""};
    if (!take_rest(&parsed, text + strlen(kinds[kind].prefix)))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_reference_invalid",
                                "'%s': what follows %s is not %s", option, kinds[kind].prefix,
                                kinds[kind].form);
    *reference = parsed;
    return 0;
}

int
billet_secret_check_reference(const char *option, const char *text, struct billet_error *error)
{
    struct billet_reference ignored;
    return billet_reference_parse(option, text, &ignored, error);
}
