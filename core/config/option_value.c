/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "config/option_private.h"
#include "config/parser.h"

#define PATTERN_MAX_BYTES 256
#define PATTERN_REPEAT_MAX 1024 /* product of all {N}: what the compiled automaton may grow to */
#define STRING_MAX_BYTES 65536
#define MATCHED_MAX_BYTES 4096 /* of a value that a pattern is run on */

const char *
billet_option_compile_pattern(const char *pattern, regex_t *compiled)
{
    long product = 1;
    if (strnlen(pattern, PATTERN_MAX_BYTES + 1) > PATTERN_MAX_BYTES)
        return "is longer than 256 bytes";
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '\\' && isdigit((unsigned char)at[1]))
            return "has a back reference";
        if (*at == '\\' && at[1] != '\0') {
            at++;
            continue;
        }
        if (*at != '{')
            continue;
        for (const char *number = at + 1; isdigit((unsigned char)*number) || *number == ',';) {
            char *end = NULL;
            long value = *number == ',' ? 1 : strtol(number, &end, 10);
            if (value > PATTERN_REPEAT_MAX)
                return "repeats too often";
            product *= value > 0 ? value : 1;
            if (product > PATTERN_REPEAT_MAX)
                return "repeats too often";
            number = end != NULL ? end : number + 1;
        }
    }
    return regcomp(compiled, pattern, REG_EXTENDED) == 0 ? NULL : "is not a regular expression";
}

static bool
matches(const char *pattern, const char *text)
{
    regex_t compiled;
    regmatch_t whole;
    size_t length = strlen(text);
    if (length > MATCHED_MAX_BYTES || billet_option_compile_pattern(pattern, &compiled) != NULL)
        return false;
    /* The longest of the leftmost matches (POSIX): a match of everything is found if there is one.
     */
    bool found = regexec(&compiled, text, 1, &whole, 0) == 0 && whole.rm_so == 0 &&
                 (size_t)whole.rm_eo == length;
    regfree(&compiled);
    return found;
}

static bool
in_range(const struct billet_option *option, int64_t number)
{
    if (option->minimum == 0 && option->maximum == 0)
        return true;
    /* A minimum alone is written with maximum 0. */
    if (option->maximum == 0 && option->minimum > 0)
        return number >= option->minimum;
    return number >= option->minimum && number <= option->maximum;
}

static void
format_number(char *to, size_t size, const struct billet_option *option, int64_t number)
{
    if (option->type == BILLET_OPTION_DURATION)
        billet_duration_format(to, size, number);
    else if (option->type == BILLET_OPTION_SIZE)
        billet_size_format(to, size, number);
    else
        snprintf(to, size, "%" PRId64, number);
}

void
billet_option_format_range(char *to, size_t size, const struct billet_option *option)
{
    char low[64];
    char high[64];
    format_number(low, sizeof(low), option, option->minimum);
    format_number(high, sizeof(high), option, option->maximum);
    if (option->minimum == 0 && option->maximum == 0)
        to[0] = '\0';
    else if (option->maximum == 0 && option->minimum > 0)
        snprintf(to, size, "at least %s", low);
    else
        snprintf(to, size, "%s to %s", low, high);
}

#define INVALID(error, ...) \
    billet_error_set((error), BILLET_CLASS_CONFIG, "value_invalid", __VA_ARGS__)

int
billet_option_check_range(const struct billet_option *option, int64_t number, const char *what,
                          struct billet_error *error)
{
    char range[160];
    if (in_range(option, number))
        return 0;
    billet_option_format_range(range, sizeof(range), option);
    return INVALID(error, "'%s' wants %s%s", option->name, range, what);
}

static int
parse_integer(const struct billet_option *option, const char *text, int64_t *number,
              struct billet_error *error)
{
    char *end = NULL;
    bool digits =
        isdigit((unsigned char)text[0]) || (text[0] == '-' && isdigit((unsigned char)text[1]));
    errno = 0;
    long long value = digits ? strtoll(text, &end, 10) : 0;
    if (!digits || *end != '\0')
        return INVALID(error, "'%s' wants a whole number, not '%.64s'", option->name, text);
    if (errno == ERANGE)
        return INVALID(error, "'%s': %.64s is too large a number", option->name, text);
    *number = value;
    return 0;
}

static int
parse_choice(const struct billet_option *option, const char *text, int64_t *number,
             struct billet_error *error)
{
    cleanup_buffer struct billet_buffer known = BILLET_BUFFER_INIT;
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *number = (int64_t)i;
            return 0;
        }
        if (i > 0)
            billet_buffer_add(&known, option->choices[i + 1] != NULL ? ", " : " or ");
        billet_buffer_add(&known, option->choices[i]);
    }
    const char *list = billet_buffer_text(&known);
    const char *near = billet_text_nearest(text, option->choices);
    if (near != NULL)
        return INVALID(error, "'%s' wants %.600s, not '%.64s' (did you mean '%s'?)", option->name,
                       list != NULL ? list : "", text, near);
    return INVALID(error, "'%s' wants %.600s, not '%.64s'", option->name, list != NULL ? list : "",
                   text);
}

static int
parse_length(const struct billet_option *option, const char *text, struct billet_error *error)
{
    size_t length = strlen(text);
    if (strchr(text, '\n') != NULL)
        return INVALID(error, "'%s' wants one line", option->name);
    if (length > STRING_MAX_BYTES)
        return INVALID(error, "'%s' wants at most %d bytes", option->name, STRING_MAX_BYTES);
    return 0;
}

int
billet_option_parse(const struct billet_option *option, const char *text, int64_t *number,
                    struct billet_error *error)
{
    struct billet_error inner = BILLET_ERROR_INIT;
    int result = parse_length(option, text, error);
    if (result < 0)
        return result;
    *number = 0;
    if ((option->flags & BILLET_OPTION_SECRET) != 0)
        return billet_secret_check_reference(option->name, text, error);
    switch (option->type) {
    case BILLET_OPTION_STRING:
        result = billet_option_check_range(option, (int64_t)strlen(text), " bytes", error);
        break;
    case BILLET_OPTION_BOOLEAN:
        *number = strcmp(text, "yes") == 0;
        if (*number == 0 && strcmp(text, "no") != 0)
            return INVALID(error, "'%s' wants yes or no, not '%.64s'", option->name, text);
        break;
    case BILLET_OPTION_INTEGER:
        result = parse_integer(option, text, number, error);
        break;
    case BILLET_OPTION_DURATION:
        if (billet_duration_parse(text, number, &inner) < 0)
            return INVALID(error, "'%s': %s", option->name, inner.message);
        break;
    case BILLET_OPTION_SIZE:
        if (billet_size_parse(text, number, &inner) < 0)
            return INVALID(error, "'%s': %s", option->name, inner.message);
        break;
    case BILLET_OPTION_PATH:
        if (text[0] != '/' || strlen(text) >= 4096)
            return INVALID(error, "'%s' wants an absolute path, not '%.64s'", option->name, text);
        break;
    case BILLET_OPTION_CHOICE:
        return parse_choice(option, text, number, error);
    default:
        break;
    }
    if (result == 0 &&
        (option->type == BILLET_OPTION_INTEGER || option->type == BILLET_OPTION_DURATION ||
         option->type == BILLET_OPTION_SIZE))
        result = billet_option_check_range(option, *number, "", error);
    if (result == 0 && option->pattern != NULL && !matches(option->pattern, text))
        return INVALID(error, "'%s': '%.64s' does not match %s", option->name, text,
                       option->pattern);
    return result;
}

int
billet_option_split(const struct billet_option *option, const char *text,
                    struct billet_strings *items, struct billet_error *error)
{
    const char *end = text + strlen(text);
    int64_t ignored;
    while (text < end) {
        cleanup_buffer struct billet_buffer item = BILLET_BUFFER_INIT;
        size_t blanks = strspn(text, " \t");
        text += blanks;
        if (text == end)
            break;
        if (*text == '"') {
            const char *wrong = billet_parser_unquote(&text, end, &item);
            if (wrong == NULL && text < end && *text != ' ' && *text != '\t')
                wrong = "a blank is missing behind the closing quote";
            if (wrong != NULL)
                return INVALID(error, "'%s': %s", option->name, wrong);
        } else {
            size_t length = strcspn(text, " \t");
            billet_buffer_append(&item, text, length);
            text += length;
        }
        const char *whole = billet_buffer_text(&item);
        if (whole == NULL)
            return billet_error_no_memory(error);
        int result = billet_option_parse(option, whole, &ignored, error);
        if (result < 0)
            return result;
        if (!billet_strings_add(items, whole))
            return billet_error_no_memory(error);
    }
    return 0;
}

int
billet_option_check_text(const struct billet_option *option, const char *text,
                         struct billet_error *error)
{
    cleanup_strings struct billet_strings items = BILLET_STRINGS_INIT;
    int64_t number;
    if (option->type != BILLET_OPTION_LIST)
        return billet_option_parse(option, text, &number, error);
    int result = billet_option_split(option, text, &items, error);
    return result < 0 ? result
                      : billet_option_check_range(option, (int64_t)items.count, " items", error);
}
