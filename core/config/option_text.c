/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "config/option.h"
#include "config/parser.h"

#define COMMENT_WIDTH 88
#define MDOC_WIDTH 72

/* Write text as lines of at most width columns, each after prefix; put() writes one word. A word
 * after the end of a sentence begins a line when sentences is set, as mdoc wants it. */
static void
write_wrapped(FILE *to, const char *prefix, const char *text, size_t width, bool sentences,
              void (*put)(FILE *, const char *, size_t, bool))
{
    size_t used = 0;
    bool ended = false;
    while (*text != '\0') {
        text += strspn(text, " \t\r\n");
        size_t length = strcspn(text, " \t\r\n");
        if (length == 0)
            break;
        if (used > 0 && (used + 1 + length > width || (sentences && ended))) {
            fputc('\n', to);
            used = 0;
        }
        fputs(used == 0 ? prefix : " ", to);
        put(to, text, length, used == 0);
        used += length + 1;
        ended = strchr(".!?", text[length - 1]) != NULL;
        text += length;
    }
    if (used > 0)
        fputc('\n', to);
}

static void
put_plain(FILE *to, const char *word, size_t length, bool first)
{
    (void)first;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)word[i];
        if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else
            fputc(c, to);
    }
}

static void
write_comment(FILE *to, const char *text)
{
    write_wrapped(to, "# ", text, COMMENT_WIDTH, false, put_plain);
}

static void
write_choices(FILE *to, const struct billet_option *option, const char *separator)
{
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
        fprintf(to, "%s%s", i > 0 ? separator : "", option->choices[i]);
}

/* The example that stands for a value that has no default. */
static const char *
example(const struct billet_option *option)
{
    if ((option->flags & BILLET_OPTION_SECRET) != 0)
        return "@secret:NAME";
    switch (option->type) {
    case BILLET_OPTION_BOOLEAN:
        return "no";
    case BILLET_OPTION_INTEGER:
        return "0";
    case BILLET_OPTION_DURATION:
        return "30s";
    case BILLET_OPTION_SIZE:
        return "1GiB";
    case BILLET_OPTION_PATH:
        return "/path";
    case BILLET_OPTION_CHOICE:
        return option->choices[0];
    default:
        return "";
    }
}

void
billet_options_to_snippet(FILE *to, const char *driver, const struct billet_option *options,
                          size_t count)
{
    fprintf(to, "# An environment of driver %s; see billet.conf(5).\n[environment NAME]\ndriver = ",
            driver);
    billet_parser_write_value(to, driver);
    fputc('\n', to);
    for (size_t i = 0; i < count; i++) {
        const struct billet_option *option = &options[i];
        char range[160];
        fputc('\n', to);
        write_comment(to, option->text != NULL ? option->text : "");
        billet_option_format_range(range, sizeof(range), option);
        fprintf(to, "# %s",
                (option->flags & BILLET_OPTION_SECRET) != 0
                    ? "secret"
                    : billet_option_type_name(option->type));
        if (option->choices != NULL) {
            fputs(": ", to);
            write_choices(to, option, ", ");
        }
        if (range[0] != '\0')
            fprintf(to, ", %s", range);
        bool required = (option->flags & BILLET_OPTION_REQUIRED) != 0;
        fprintf(to, "%s\n%s%s = ", required ? "; required" : "", required ? "" : "#", option->name);
        billet_parser_write_value(to, option->default_value != NULL ? option->default_value
                                                                    : example(option));
        fputc('\n', to);
    }
}

/* One code point of well-formed UTF-8, or the byte itself. */
static uint32_t
decode(const unsigned char *at, size_t left, size_t *length)
{
    size_t wanted = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc0 ? 2 : 1;
    *length = 1;
    if (wanted == 1 || wanted > left || !billet_text_is_utf8((const char *)at, wanted))
        return at[0];
    uint32_t point = at[0] & (0xffu >> (wanted + 1));
    for (size_t i = 1; i < wanted; i++)
        point = point << 6 | (at[i] & 0x3fu);
    *length = wanted;
    return point;
}

/* Text of roff: no byte of it may be taken for a request, a macro or an escape. */
static void
put_roff(FILE *to, const char *word, size_t length, bool first)
{
    const unsigned char *at = (const unsigned char *)word;
    if (first && (word[0] == '.' || word[0] == '\''))
        fputs("\\&", to);
    while (length > 0) {
        size_t taken;
        uint32_t point = decode(at, length, &taken);
        if (point >= 0x80)
            fprintf(to, "\\[u%04X]", point);
        else if (point == '\\')
            fputs("\\e", to);
        else if (point == '"')
            fputs("\\(dq", to);
        else if (point == '\'')
            fputs("\\(aq", to);
        else if (point == '`')
            fputs("\\(ga", to);
        else if (point == '^')
            fputs("\\(ha", to);
        else if (point == '~')
            fputs("\\(ti", to);
        else if (point == '-')
            fputs("\\-", to);
        else if (point < 0x20 || point == 0x7f)
            fputc('?', to);
        else
            fputc((int)point, to);
        at += taken;
        length -= taken;
    }
}

/* As an argument of a macro: quoted, and never itself a macro's name or punctuation. */
static void
put_argument(FILE *to, const char *text)
{
    fputs(" \"\\&", to);
    put_roff(to, text, strlen(text), false);
    fputc('"', to);
}

static void
write_mdoc_facts(FILE *to, const struct billet_option *option)
{
    char range[160];
    billet_option_format_range(range, sizeof(range), option);
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++) {
        if (i == 0)
            fputs("One of\n", to);
        fputs(".Cm", to);
        put_argument(to, option->choices[i]);
        fputs(option->choices[i + 1] != NULL ? " ,\n" : " .\n", to);
    }
    if (range[0] != '\0') {
        const char *unit = option->type == BILLET_OPTION_STRING ? " bytes"
                           : option->type == BILLET_OPTION_LIST ? " items"
                                                                : "";
        fprintf(to, "Allowed: %s%s.\n", range, unit);
    }
    if ((option->flags & BILLET_OPTION_SECRET) != 0)
        fputs("A secret: the value is a reference such as\n.Ql @secret:NAME .\n", to);
    if ((option->flags & BILLET_OPTION_RELOAD) != 0)
        fputs("A change takes effect on leases that exist.\n", to);
    if ((option->flags & BILLET_OPTION_REQUIRED) != 0)
        fputs("Required.\n", to);
    if (option->default_value != NULL && option->default_value[0] != '\0') {
        fputs("The default is\n.Ql", to);
        put_argument(to, option->default_value);
        fputs(" .\n", to);
    }
}

void
billet_options_to_mdoc(FILE *to, const struct billet_option *options, size_t count)
{
    if (count == 0) {
        fputs("There are none.\n", to);
        return;
    }
    fputs(".Bl -tag -width Ds\n", to);
    for (size_t i = 0; i < count; i++) {
        const struct billet_option *option = &options[i];
        fputs(".It Ic", to);
        put_argument(to, option->name);
        fprintf(to, " No = Ar %s\n",
                (option->flags & BILLET_OPTION_SECRET) != 0
                    ? "reference"
                    : billet_option_type_name(option->type));
        write_wrapped(to, "", option->text != NULL ? option->text : "", MDOC_WIDTH, true, put_roff);
        write_mdoc_facts(to, option);
    }
    fputs(".El\n", to);
}
