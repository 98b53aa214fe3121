/* SPDX-License-Identifier: Apache-2.0 */
#include "quote.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
ssh_text_free(struct ssh_text *text)
{
    /* It may hold values of the environment, which may be secrets. */
    if (text->bytes != NULL)
        explicit_bzero(text->bytes, text->capacity);
    free(text->bytes);
    *text = (struct ssh_text){0};
}

static bool
reserve(struct ssh_text *text, size_t more)
{
    if (text->failed || more > SIZE_MAX / 4 - text->length) {
        text->failed = true;
        return false;
    }
    if (text->length + more < text->capacity)
        return true;
    size_t capacity = (text->length + more + 1) * 2;
    char *bytes = malloc(capacity);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    if (text->length > 0)
        memcpy(bytes, text->bytes, text->length);
    size_t length = text->length;
    ssh_text_free(text);
    *text = (struct ssh_text){.bytes = bytes, .length = length, .capacity = capacity};
    return true;
}

void
ssh_text_bytes(struct ssh_text *text, const void *bytes, size_t length)
{
    if (!reserve(text, length))
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void
ssh_text_add(struct ssh_text *text, const char *string)
{
    ssh_text_bytes(text, string, strlen(string));
}

void
ssh_text_format(struct ssh_text *text, const char *format, ...)
{
    char *made = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&made, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->failed = true;
        return;
    }
    ssh_text_bytes(text, made, (size_t)length);
    free(made);
}

static void
quote(struct ssh_text *text, const char *string, const char *newline)
{
    ssh_text_add(text, "'");
    while (*string != '\0') {
        size_t plain = strcspn(string, "'\n");
        ssh_text_bytes(text, string, plain);
        string += plain;
        if (*string == '\'')
            ssh_text_add(text, "'\\''");
        else if (*string == '\n')
            ssh_text_add(text, newline);
        else
            break;
        string++;
    }
    ssh_text_add(text, "'");
}

void
ssh_text_word(struct ssh_text *text, const char *string)
{
    quote(text, string, "'\"$billet_n\"'");
}

void
ssh_text_quote(struct ssh_text *text, const char *string)
{
    quote(text, string, "\n");
}
