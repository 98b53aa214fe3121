/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define DIAGNOSTICS_MAX 1000

static void
setting_free(struct billet_setting *setting)
{
    free(setting->name);
    free(setting->value);
    free(setting->origin.text);
}

bool
billet_settings_add(struct billet_settings *settings, const char *name, const char *value,
                    const char *origin, int line, int column, int name_column)
{
    if (settings->count == settings->capacity) {
        size_t capacity = settings->capacity != 0 ? settings->capacity * 2 : 8;
        struct billet_setting *grown = reallocarray(settings->items, capacity, sizeof(*grown));
        if (grown == NULL)
            return false;
        settings->items = grown;
        settings->capacity = capacity;
    }
    struct billet_setting added = {
        .name = strdup(name),
        .value = strdup(value),
        .origin = {.text = strdup(origin), .line = line, .column = column},
        .name_column = name_column,
    };
    if (added.name == NULL || added.value == NULL || added.origin.text == NULL) {
        setting_free(&added);
        return false;
    }
    settings->items[settings->count++] = added;
    return true;
}

const struct billet_setting *
billet_settings_get(const struct billet_settings *settings, const char *name)
{
    for (size_t i = settings->count; i > 0; i--)
        if (strcmp(settings->items[i - 1].name, name) == 0)
            return &settings->items[i - 1];
    return NULL;
}

bool
billet_settings_append(struct billet_settings *settings, const struct billet_setting *setting)
{
    return billet_settings_add(settings, setting->name, setting->value, setting->origin.text,
                               setting->origin.line, setting->origin.column, setting->name_column);
}

void
billet_settings_remove(struct billet_settings *settings, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->items[i].name, name) == 0)
            setting_free(&settings->items[i]);
        else
            settings->items[kept++] = settings->items[i];
    }
    settings->count = kept;
}

bool
billet_settings_copy(struct billet_settings *to, const struct billet_settings *from)
{
    struct billet_settings copy = BILLET_SETTINGS_INIT;
    for (size_t i = 0; i < from->count; i++) {
        if (!billet_settings_append(&copy, &from->items[i])) {
            billet_settings_free(&copy);
            return false;
        }
    }
    *to = copy;
    return true;
}

void
billet_settings_free(struct billet_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++)
        setting_free(&settings->items[i]);
    free(settings->items);
    *settings = (struct billet_settings)BILLET_SETTINGS_INIT;
}

static void
diagnostic_free(struct billet_diagnostic *diagnostic)
{
    free(diagnostic->file);
    free(diagnostic->code);
    free(diagnostic->message);
}

void
billet_diagnostics_add(struct billet_diagnostics *list, int severity, const char *file, int line,
                       int column, const char *code, const char *format, ...)
{
    /* Counted even when it cannot be kept: an error must never pass for success. */
    if (severity == BILLET_DIAGNOSTIC_ERROR)
        list->errors++;
    if (list->count >= DIAGNOSTICS_MAX) {
        list->overflow = true;
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity != 0 ? list->capacity * 2 : 8;
        struct billet_diagnostic *grown = reallocarray(list->items, capacity, sizeof(*grown));
        if (grown == NULL) {
            list->overflow = true;
            return;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    struct billet_diagnostic added = {
        .severity = severity,
        .file = strdup(file),
        .line = line,
        .column = column,
        .code = strdup(code),
    };
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&added.message, format, arguments) < 0)
        added.message = NULL;
    va_end(arguments);
    if (added.file == NULL || added.code == NULL || added.message == NULL) {
        diagnostic_free(&added);
        list->overflow = true;
        return;
    }
    list->items[list->count++] = added;
}

/* "file:line:column: ", shorter where there is no line, "" where there is no file. */
static void
format_place(char *to, size_t size, const struct billet_diagnostic *diagnostic)
{
    char file[BILLET_MESSAGE_MAX / 2];
    billet_text_escape(file, sizeof(file), diagnostic->file);
    if (file[0] == '\0')
        snprintf(to, size, "%s", "");
    else if (diagnostic->line == 0)
        snprintf(to, size, "%s: ", file);
    else
        snprintf(to, size, "%s:%d:%d: ", file, diagnostic->line, diagnostic->column);
}

int
billet_diagnostics_error(const struct billet_diagnostics *list, struct billet_error *error)
{
    if (list->errors == 0)
        return 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct billet_diagnostic *found = &list->items[i];
        char place[BILLET_MESSAGE_MAX];
        if (found->severity != BILLET_DIAGNOSTIC_ERROR)
            continue;
        if (strcmp(found->code, "out_of_memory") == 0)
            return billet_error_no_memory(error);
        format_place(place, sizeof(place), found);
        int error_class =
            strcmp(found->code, "path_untrusted") == 0 ? BILLET_CLASS_AUTH : BILLET_CLASS_CONFIG;
        int result =
            billet_error_set(error, error_class, found->code, "%s%s", place, found->message);
        if (list->errors > 1)
            result =
                billet_error_hint(error, "%zu more; see billet config check", list->errors - 1);
        return result;
    }
    return billet_error_no_memory(error);
}

void
billet_diagnostics_print(FILE *to, const struct billet_diagnostics *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct billet_diagnostic *item = &list->items[i];
        char place[BILLET_MESSAGE_MAX];
        char message[BILLET_MESSAGE_MAX * 2];
        format_place(place, sizeof(place), item);
        billet_text_escape(message, sizeof(message), item->message);
        fprintf(to, "%s%s: %s\n", place,
                item->severity == BILLET_DIAGNOSTIC_ERROR ? "error" : "warning", message);
    }
    if (list->overflow)
        fprintf(to, "error: there are more problems than are shown\n");
}

void
billet_diagnostics_free(struct billet_diagnostics *list)
{
    for (size_t i = 0; i < list->count; i++)
        diagnostic_free(&list->items[i]);
    free(list->items);
    *list = (struct billet_diagnostics)BILLET_DIAGNOSTICS_INIT;
}
