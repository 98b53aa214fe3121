/* SPDX-License-Identifier: Apache-2.0 */
#include "config/option_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "config/configuration_private.h"

#define NAME_MAX_BYTES 48
#define OPTIONS_MAX 256
#define TEXT_MAX_BYTES 8192
#define CHOICES_MAX 256

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

bool
billet_option_looks_secret(const char *name)
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
    if (!secret && option->type == BILLET_OPTION_STRING && billet_option_looks_secret(option->name))
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
        const char *wrong = billet_option_compile_pattern(option->pattern, &compiled);
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

/* The nearest of the driver's options, and in an environment's section of core's own keys too; ""
 * when none is near. The text stays while names lives. */
static const char *
nearest_name(const struct billet_option *options, size_t count, const char *who, const char *name,
             struct billet_strings *names)
{
    for (size_t i = 0; i < count; i++)
        if (!billet_strings_add(names, options[i].name))
            return NULL;
    if (billet_text_starts(who, "[environment ") &&
        !billet_configuration_core_keys("environment", names))
        return NULL;
    return billet_text_nearest(name, billet_strings_list(names));
}

void
billet_options_report_unknown(const struct billet_option *options, size_t count, const char *who,
                              const struct billet_setting *setting,
                              struct billet_diagnostics *diagnostics)
{
    cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
    const char *near = nearest_name(options, count, who, setting->name, &names);
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
        if (billet_option_split(option, option->default_value, &items, &error) < 0) {
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
        if (billet_option_split(option, setting->value, &items, &error) < 0) {
            report(state, &setting->origin, &error);
            return;
        }
    }
    if (billet_option_check_range(option, (int64_t)items.count, " items", &error) < 0) {
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

    /* A pattern costs its compilation, and the check of the table has run it on the default. */
    bool proved = last == NULL && option->pattern != NULL;
    if (!proved && billet_option_parse(option, text, &number, &error) < 0) {
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
        if (value->name == NULL) {
            report_no_memory(&state, place);
            billet_values_free(&made); /* readers compare names */
            return state.result;
        }
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
