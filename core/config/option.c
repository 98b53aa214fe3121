/* SPDX-License-Identifier: Apache-2.0 */
#include "config/option.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "config/parser.h"

#define NAME_MAX_BYTES 48
#define OPTIONS_MAX 256
#define TEXT_MAX_BYTES 8192
#define CHOICES_MAX 256
#define PATTERN_MAX_BYTES 256
#define PATTERN_REPEAT_MAX 1024 /* product of all {N}: what the compiled automaton may grow to */
#define STRING_MAX_BYTES 65536
#define MATCHED_MAX_BYTES 4096 /* of a value that a pattern is run on */

/* A NULL-terminated list that points into the strings of its owner. */
struct list {
    struct list *next;
    const char *items[];
};

static const char *
add_memory(struct billet_strings *memory, const char *text)
{
    return billet_strings_add(memory, text) ? memory->items[memory->count - 1] : NULL;
}

const char **
billet_option_list_new(void **lists, size_t count)
{
    struct list *made = calloc(1, sizeof(*made) + (count + 1) * sizeof(made->items[0]));
    if (made == NULL)
        return NULL;
    made->next = *lists;
    *lists = made;
    return made->items;
}

void
billet_option_lists_free(void *lists)
{
    for (struct list *at = lists; at != NULL;) {
        struct list *next = at->next;
        free(at);
        at = next;
    }
}

static bool
is_option_name(const char *name)
{
    size_t length = name != NULL ? strnlen(name, NAME_MAX_BYTES + 1) : 0;
    if (length == 0 || length > NAME_MAX_BYTES || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

/* A word of the name says that the value is a secret. */
static bool
looks_secret(const char *name)
{
    static const char *const words[] = {"key",        "token",       "secret",
                                        "password",   "passwd",      "passphrase",
                                        "credential", "credentials", "api_key"};
    while (*name != '\0') {
        size_t length = strcspn(name, "_");
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            if (strlen(words[i]) == length && strncmp(words[i], name, length) == 0)
                return true;
        name += length + (name[length] == '_');
    }
    return false;
}

/* Compile within bounds: a driver's pattern runs in this process. Returns what is wrong, or NULL.
 */
static const char *
compile_pattern(const char *pattern, regex_t *compiled)
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
    if (length > MATCHED_MAX_BYTES || compile_pattern(pattern, &compiled) != NULL)
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

static int
check_range(const struct billet_option *option, int64_t number, const char *what,
            struct billet_error *error)
{
    char range[160];
    if (in_range(option, number))
        return 0;
    billet_option_format_range(range, sizeof(range), option);
    return INVALID(error, "'%s' wants %s%s", option->name, range, what);
}

static const char *const reference_kinds[] = {"@secret:", "@cred:", "@file:", "@env:", "@vault:"};

static size_t
reference_kind(const char *text)
{
    size_t kind = 0;
    while (kind < 5 && !billet_text_starts(text, reference_kinds[kind]))
        kind++;
    return kind;
}

bool
billet_secret_is_reference(const char *text)
{
    return reference_kind(text) < 5;
}

int
billet_secret_check_reference(const char *name, const char *text, struct billet_error *error)
{
    size_t kind = reference_kind(text);
    if (kind == 5) {
        /* The text may be the secret itself: it is never repeated. */
        billet_error_set(error, BILLET_CLASS_CONFIG, "secret_literal",
                         "'%s' is a secret: write @secret:NAME, @cred:NAME, @file:PATH or "
                         "@env:NAME; 'billet secret set NAME' stores one",
                         name);
        return billet_error_hint(error, "billet secret set NAME");
    }
    const char *rest = text + strlen(reference_kinds[kind]);
    bool sound = false;
    const char *form = "";
    switch (kind) {
    case 0:
    case 1:
        sound = billet_text_is_name(rest);
        form = "a name: letters, digits, '.', '_' and '-', at most 64";
        break;
    case 2:
        sound = rest[0] == '/' && rest[1] != '\0' && strpbrk(rest, "\n\r") == NULL &&
                strlen(rest) < 4096;
        form = "an absolute path";
        break;
    case 3:
        sound = (isalpha((unsigned char)rest[0]) || rest[0] == '_') && strlen(rest) <= 128 &&
                strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
                    strlen(rest);
        form = "the name of an environment variable";
        break;
    default: {
        const char *slash = strchr(rest, '/');
        char vault[66];
        if (slash != NULL && (size_t)(slash - rest) < sizeof(vault) && slash[1] != '\0' &&
            strlen(slash) <= 1024 && strpbrk(rest, " \t\n\r") == NULL) {
            memcpy(vault, rest, (size_t)(slash - rest));
            vault[slash - rest] = '\0';
            sound = billet_text_is_name(vault);
        }
        form = "VAULT/PATH";
        break;
    }
    }
    if (sound)
        return 0;
    return billet_error_set(error, BILLET_CLASS_CONFIG, "secret_reference_invalid",
                            "'%s': what follows %s is not %s", name, reference_kinds[kind], form);
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

/* The number of a text and whether it fits, for every type but LIST (there: of one item). */
static int
parse_value(const struct billet_option *option, const char *text, int64_t *number,
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
        result = check_range(option, (int64_t)strlen(text), " bytes", error);
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
        result = check_range(option, *number, "", error);
    if (result == 0 && option->pattern != NULL && !matches(option->pattern, text))
        return INVALID(error, "'%s': '%.64s' does not match %s", option->name, text,
                       option->pattern);
    return result;
}

/* Items separated by blanks; an item with blanks is written in double quotes. */
static int
split_list(const struct billet_option *option, const char *text, struct billet_strings *items,
           struct billet_error *error)
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
        int result = parse_value(option, whole, &ignored, error);
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
        return parse_value(option, text, &number, error);
    int result = split_list(option, text, &items, error);
    return result < 0 ? result : check_range(option, (int64_t)items.count, " items", error);
}

const struct billet_option *
billet_option_find(const struct billet_option *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

#define UNSOUND(error, ...) \
    billet_error_set((error), BILLET_CLASS_DRIVER, "driver_schema_invalid", __VA_ARGS__)

static int
check_choices(const struct billet_option *option, struct billet_error *error)
{
    size_t count = 0;
    if ((option->type == BILLET_OPTION_CHOICE) != (option->choices != NULL))
        return UNSOUND(error, "option '%s': choices belong to type choice, and only there",
                       option->name);
    for (; option->choices != NULL && option->choices[count] != NULL; count++) {
        const char *choice = option->choices[count];
        if (count == CHOICES_MAX || !billet_text_is_id(choice))
            return UNSOUND(error, "option '%s': choice %zu is not a word", option->name, count + 1);
        for (size_t i = 0; i < count; i++)
            if (strcmp(option->choices[i], choice) == 0)
                return UNSOUND(error, "option '%s': choice '%s' twice", option->name, choice);
    }
    if (option->choices != NULL && count == 0)
        return UNSOUND(error, "option '%s' has no choices", option->name);
    return 0;
}

static int
check_option(const struct billet_option *option, struct billet_error *error)
{
    const uint32_t known = BILLET_OPTION_REQUIRED | BILLET_OPTION_SECRET | BILLET_OPTION_RELOAD;
    regex_t compiled;

    if (option->type < BILLET_OPTION_STRING || option->type > BILLET_OPTION_LIST)
        return UNSOUND(error, "option '%s' has the unknown type %d", option->name, option->type);
    if ((option->flags & ~known) != 0)
        return UNSOUND(error, "option '%s' has unknown flags 0x%x", option->name,
                       option->flags & ~known);
    if (option->text == NULL || option->text[0] == '\0' ||
        strnlen(option->text, TEXT_MAX_BYTES + 1) > TEXT_MAX_BYTES ||
        !billet_text_is_utf8(option->text, strlen(option->text)))
        return UNSOUND(error, "option '%s' has no text, or one that is not UTF-8 or over %d bytes",
                       option->name, TEXT_MAX_BYTES);
    bool secret = (option->flags & BILLET_OPTION_SECRET) != 0;
    if (secret && option->type != BILLET_OPTION_STRING)
        return UNSOUND(error, "option '%s': a secret has type string", option->name);
    if (!secret && option->type == BILLET_OPTION_STRING && looks_secret(option->name))
        return UNSOUND(error, "option '%s' looks like a secret but is not marked as one",
                       option->name);
    if ((option->minimum != 0 || option->maximum != 0) &&
        (option->type == BILLET_OPTION_BOOLEAN || option->type == BILLET_OPTION_CHOICE ||
         option->type == BILLET_OPTION_PATH))
        return UNSOUND(error, "option '%s': its type has no bounds", option->name);
    if (option->minimum > option->maximum && !(option->maximum == 0 && option->minimum > 0))
        return UNSOUND(error, "option '%s': its minimum is above its maximum", option->name);
    if (option->minimum < 0 && option->type != BILLET_OPTION_INTEGER)
        return UNSOUND(error, "option '%s': its minimum is negative", option->name);
    int result = check_choices(option, error);
    if (result < 0)
        return result;
    if (option->pattern != NULL) {
        if (option->type != BILLET_OPTION_STRING && option->type != BILLET_OPTION_PATH &&
            option->type != BILLET_OPTION_LIST)
            return UNSOUND(error, "option '%s': its type has no pattern", option->name);
        const char *wrong = compile_pattern(option->pattern, &compiled);
        if (wrong != NULL)
            return UNSOUND(error, "option '%s': its pattern %s", option->name, wrong);
        regfree(&compiled);
    }
    if (option->default_value != NULL) {
        struct billet_error inner = BILLET_ERROR_INIT;
        if ((option->flags & BILLET_OPTION_REQUIRED) != 0)
            return UNSOUND(error, "option '%s' is required and has a default", option->name);
        if (billet_option_check_text(option, option->default_value, &inner) < 0)
            return UNSOUND(error, "option '%s': its default is wrong: %s", option->name,
                           inner.message);
    }
    return 0;
}

int
billet_options_check(const struct billet_option *options, size_t count, struct billet_error *error)
{
    if (count > OPTIONS_MAX)
        return UNSOUND(error, "%zu options; there may be %d", count, OPTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        char shown[NAME_MAX_BYTES * 2];
        billet_text_escape(shown, sizeof(shown), options[i].name != NULL ? options[i].name : "");
        if (!is_option_name(options[i].name))
            return UNSOUND(error, "option %zu: '%s' is not a name of form [a-z][a-z0-9_]*", i + 1,
                           shown);
        if (billet_option_find(options, i, options[i].name) != NULL)
            return UNSOUND(error, "option '%s' is declared twice", options[i].name);
        int result = check_option(&options[i], error);
        if (result < 0)
            return result;
    }
    return 0;
}

static const char *
nearest_option(const struct billet_option *options, size_t count, const char *name)
{
    cleanup_strings struct billet_strings known = BILLET_STRINGS_INIT;
    for (size_t i = 0; i < count; i++)
        if (!billet_strings_add(&known, options[i].name))
            return NULL;
    const char *near = billet_text_nearest(name, billet_strings_list(&known));
    const struct billet_option *found =
        near != NULL ? billet_option_find(options, count, near) : NULL;
    return found != NULL ? found->name : NULL;
}

void
billet_options_report_unknown(const struct billet_option *options, size_t count, const char *who,
                              const struct billet_setting *setting,
                              struct billet_diagnostics *diagnostics)
{
    const char *near = nearest_option(options, count, setting->name);
    int column = setting->name_column != 0 ? setting->name_column : setting->origin.column;
    if (near != NULL)
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, setting->origin.text,
                               setting->origin.line, column, "config_unknown_key",
                               "%s unknown key '%s' (did you mean '%s'?)", who, setting->name,
                               near);
    else
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, setting->origin.text,
                               setting->origin.line, column, "config_unknown_key",
                               "%s unknown key '%s'", who, setting->name);
}

void
billet_options_report_twice(const struct billet_setting *first, const struct billet_setting *second,
                            struct billet_diagnostics *diagnostics)
{
    billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, second->origin.text,
                           second->origin.line, second->name_column, "config_duplicate",
                           "'%s' given twice (first in line %d)", second->name, first->origin.line);
}

/* The state of one resolve. */
struct resolving {
    const struct billet_settings *settings;
    struct billet_values *values;
    struct billet_diagnostics *diagnostics;
    int result;
};

static void
report(struct resolving *state, const struct billet_origin *place, const struct billet_error *error)
{
    if (state->result == 0)
        state->result = -error->error_class;
    billet_diagnostics_add(state->diagnostics, BILLET_DIAGNOSTIC_ERROR, place->text, place->line,
                           place->column, error->code, "%s", error->message);
}

static void
report_no_memory(struct resolving *state, const struct billet_origin *place)
{
    struct billet_error error = BILLET_ERROR_INIT;
    billet_error_no_memory(&error);
    report(state, place, &error);
}

/* All items of all settings of the name. */
static void
resolve_list(struct resolving *state, const struct billet_option *option,
             const struct billet_setting *last, struct billet_value *value)
{
    static const struct billet_origin nowhere = {.text = (char *)(uintptr_t) "default"};
    const struct billet_origin *place = last != NULL ? &last->origin : &nowhere;
    cleanup_strings struct billet_strings items = BILLET_STRINGS_INIT;
    cleanup_buffer struct billet_buffer written = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;

    if (last == NULL) {
        billet_buffer_add(&written, option->default_value);
        if (split_list(option, option->default_value, &items, &error) < 0) {
            report(state, place, &error);
            return;
        }
    }
    for (size_t i = 0; last != NULL && i < state->settings->count; i++) {
        const struct billet_setting *setting = &state->settings->items[i];
        if (strcmp(setting->name, option->name) != 0)
            continue;
        if (written.length > 0)
            billet_buffer_add_char(&written, ' ');
        billet_buffer_add(&written, setting->value);
        if (split_list(option, setting->value, &items, &error) < 0) {
            report(state, &setting->origin, &error);
            return;
        }
    }
    if (check_range(option, (int64_t)items.count, " items", &error) < 0) {
        report(state, place, &error);
        return;
    }
    const char **list = billet_option_list_new(&state->values->lists, items.count);
    const char *whole = billet_buffer_text(&written);
    value->string = whole != NULL ? add_memory(&state->values->memory, whole) : NULL;
    if (list == NULL || value->string == NULL) {
        report_no_memory(state, place);
        return;
    }
    for (size_t i = 0; i < items.count; i++) {
        list[i] = add_memory(&state->values->memory, items.items[i]);
        if (list[i] == NULL) {
            report_no_memory(state, place);
            return;
        }
    }
    value->list = list;
    value->is_set = 1;
}

static void
resolve_single(struct resolving *state, const struct billet_option *option,
               const struct billet_setting *last, struct billet_value *value)
{
    static const struct billet_origin nowhere = {.text = (char *)(uintptr_t) "default"};
    const struct billet_origin *place = last != NULL ? &last->origin : &nowhere;
    const char *text = last != NULL ? last->value : option->default_value;
    struct billet_error error = BILLET_ERROR_INIT;
    int64_t number = 0;

    if (parse_value(option, text, &number, &error) < 0) {
        report(state, place, &error);
        return;
    }
    value->string = add_memory(&state->values->memory, text);
    if (value->string == NULL) {
        report_no_memory(state, place);
        return;
    }
    value->number = number;
    value->is_set = 1;
}

/* The same key twice in one file is a slip; from two places, the later one wins. */
static void
find_repeats(struct resolving *state, const char *name)
{
    const struct billet_settings *settings = state->settings;
    for (size_t i = 0; i < settings->count; i++) {
        const struct billet_setting *second = &settings->items[i];
        if (strcmp(second->name, name) != 0 || second->origin.line == 0)
            continue;
        for (size_t j = 0; j < i; j++) {
            const struct billet_setting *first = &settings->items[j];
            if (strcmp(first->name, name) != 0 || first->origin.line == 0 ||
                strcmp(first->origin.text, second->origin.text) != 0)
                continue;
            billet_options_report_twice(first, second, state->diagnostics);
            if (state->result == 0)
                state->result = -BILLET_CLASS_CONFIG;
            break;
        }
    }
}

int
billet_options_resolve(const struct billet_option *options, size_t count,
                       const struct billet_settings *settings, const char *who,
                       const struct billet_origin *place, struct billet_values *values,
                       struct billet_diagnostics *diagnostics)
{
    struct billet_values made = {.items = calloc(count + 1, sizeof(*made.items)), .count = count};
    struct resolving state = {.settings = settings, .values = &made, .diagnostics = diagnostics};
    static const struct billet_origin nowhere = {.text = (char *)(uintptr_t) ""};

    if (place == NULL || place->text == NULL)
        place = &nowhere;
    if (made.items == NULL) {
        report_no_memory(&state, place);
        return state.result;
    }
    for (size_t i = 0; i < settings->count; i++) {
        if (billet_option_find(options, count, settings->items[i].name) != NULL)
            continue;
        billet_options_report_unknown(options, count, who, &settings->items[i], diagnostics);
        if (state.result == 0)
            state.result = -BILLET_CLASS_CONFIG;
    }
    for (size_t i = 0; i < count; i++) {
        const struct billet_option *option = &options[i];
        const struct billet_setting *last = billet_settings_get(settings, option->name);
        struct billet_value *value = &made.items[i];
        value->name = add_memory(&made.memory, option->name);
        value->type = option->type;
        if (value->name == NULL)
            report_no_memory(&state, place);
        if (last == NULL && option->default_value == NULL) {
            if ((option->flags & BILLET_OPTION_REQUIRED) == 0)
                continue;
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, place->text, place->line,
                                   place->column, "value_missing", "%s '%s' is missing", who,
                                   option->name);
            if (state.result == 0)
                state.result = -BILLET_CLASS_CONFIG;
            continue;
        }
        if (option->type == BILLET_OPTION_LIST) {
            resolve_list(&state, option, last, value);
            continue;
        }
        find_repeats(&state, option->name);
        resolve_single(&state, option, last, value);
    }
    *values = made;
    return state.result;
}

void
billet_values_free(struct billet_values *values)
{
    if (values == NULL)
        return;
    free(values->items);
    billet_strings_free(&values->memory);
    billet_option_lists_free(values->lists);
    *values = (struct billet_values){0};
}
