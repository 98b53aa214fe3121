/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "config/option.h"

#define OPTIONS_MAX 256

static const char *const type_names[] = {
    [BILLET_OPTION_STRING] = "string",   [BILLET_OPTION_BOOLEAN] = "boolean",
    [BILLET_OPTION_INTEGER] = "integer", [BILLET_OPTION_DURATION] = "duration",
    [BILLET_OPTION_SIZE] = "size",       [BILLET_OPTION_PATH] = "path",
    [BILLET_OPTION_CHOICE] = "choice",   [BILLET_OPTION_LIST] = "list",
};

#define TYPE_COUNT ((int32_t)(sizeof(type_names) / sizeof(type_names[0])))

const char *
billet_option_type_name(int32_t type)
{
    return type > 0 && type < TYPE_COUNT ? type_names[type] : "unknown";
}

static int32_t
type_by_name(const char *name)
{
    for (int32_t i = 1; i < TYPE_COUNT; i++)
        if (strcmp(type_names[i], name) == 0)
            return i;
    return 0;
}

static json_t *
option_to_json(const struct billet_option *option)
{
    json_t *object = json_object();
    bool good =
        object != NULL && billet_json_set_bytes(object, "name", option->name) &&
        billet_json_set_bytes(object, "type", billet_option_type_name(option->type)) &&
        billet_json_set_integer(object, "flags", option->flags) &&
        billet_json_set_integer(object, "minimum", option->minimum) &&
        billet_json_set_integer(object, "maximum", option->maximum) &&
        (option->default_value == NULL ||
         billet_json_set_bytes(object, "default", option->default_value)) &&
        (option->choices == NULL || billet_json_set_list(object, "choices", option->choices)) &&
        (option->pattern == NULL || billet_json_set_bytes(object, "pattern", option->pattern)) &&
        billet_json_set_bytes(object, "text", option->text != NULL ? option->text : "");
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

json_t *
billet_options_to_json(const struct billet_option *options, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < count; i++) {
        if (json_array_append_new(array, option_to_json(&options[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

#define UNSOUND(error, ...) \
    billet_error_set((error), BILLET_CLASS_DRIVER, "driver_schema_invalid", __VA_ARGS__)

/* A member that is a byte string, copied into the table; *to NULL when absent. */
static int
take_bytes(const json_t *object, const char *key, struct billet_option_table *table,
           const char **to, struct billet_error *error)
{
    const json_t *member = json_object_get(object, key);
    *to = NULL;
    if (member == NULL)
        return 0;
    char *text = billet_json_get_bytes(member);
    if (text == NULL)
        return UNSOUND(error, "an option's '%s' is not a string", key);
    if (!billet_strings_take(&table->memory, text))
        return billet_error_no_memory(error);
    *to = table->memory.items[table->memory.count - 1];
    return 0;
}

static int
take_integer(const json_t *object, const char *key, int64_t *to, struct billet_error *error)
{
    const json_t *member = json_object_get(object, key);
    *to = 0;
    if (member == NULL)
        return 0;
    if (!json_is_integer(member))
        return UNSOUND(error, "an option's '%s' is not a whole number", key);
    *to = json_integer_value(member);
    return 0;
}

static int
take_choices(const json_t *object, struct billet_option_table *table, struct billet_option *option,
             struct billet_error *error)
{
    cleanup_strings struct billet_strings found = BILLET_STRINGS_INIT;
    if (json_object_get(object, "choices") == NULL)
        return 0;
    if (!billet_json_list(object, "choices", &found))
        return UNSOUND(error, "an option's 'choices' is not a list of strings");
    const char **list = billet_option_list_new(&table->lists, found.count);
    if (list == NULL)
        return billet_error_no_memory(error);
    for (size_t i = 0; i < found.count; i++) {
        if (!billet_strings_add(&table->memory, found.items[i]))
            return billet_error_no_memory(error);
        list[i] = table->memory.items[table->memory.count - 1];
    }
    option->choices = list;
    return 0;
}

static int
take_option(const json_t *object, struct billet_option_table *table, struct billet_option *option,
            struct billet_error *error)
{
    const char *type = NULL;
    int64_t flags = 0;
    if (!json_is_object(object))
        return UNSOUND(error, "an option is not an object");
    int result = take_bytes(object, "name", table, &option->name, error);
    if (result == 0)
        result = take_bytes(object, "type", table, &type, error);
    if (result == 0)
        result = take_bytes(object, "default", table, &option->default_value, error);
    if (result == 0)
        result = take_bytes(object, "pattern", table, &option->pattern, error);
    if (result == 0)
        result = take_bytes(object, "text", table, &option->text, error);
    if (result == 0)
        result = take_integer(object, "flags", &flags, error);
    if (result == 0)
        result = take_integer(object, "minimum", &option->minimum, error);
    if (result == 0)
        result = take_integer(object, "maximum", &option->maximum, error);
    if (result == 0)
        result = take_choices(object, table, option, error);
    if (result < 0)
        return result;
    option->type = type != NULL ? type_by_name(type) : 0;
    if (option->name == NULL || option->type == 0 || flags < 0 || flags > UINT32_MAX)
        return UNSOUND(error, "option '%s' has no name, no known type or odd flags",
                       option->name != NULL ? option->name : "");
    option->flags = (uint32_t)flags;
    return 0;
}

int
billet_options_from_json(const json_t *array, struct billet_option_table *table,
                         struct billet_error *error)
{
    struct billet_option_table made = {0};
    int result = 0;
    if (!json_is_array(array) || json_array_size(array) > OPTIONS_MAX)
        return UNSOUND(error, "the options are not a list of at most %d", OPTIONS_MAX);
    made.count = json_array_size(array);
    made.items = calloc(made.count + 1, sizeof(*made.items));
    if (made.items == NULL)
        return billet_error_no_memory(error);
    for (size_t i = 0; result == 0 && i < made.count; i++)
        result = take_option(json_array_get(array, i), &made, &made.items[i], error);
    if (result == 0)
        result = billet_options_check(made.items, made.count, error);
    if (result < 0) {
        billet_option_table_free(&made);
        return result;
    }
    *table = made;
    return 0;
}

void
billet_option_table_free(struct billet_option_table *table)
{
    if (table == NULL)
        return;
    free(table->items);
    billet_strings_free(&table->memory);
    billet_option_lists_free(table->lists);
    *table = (struct billet_option_table){0};
}

/* The whole value: what a schema's reader would search for anywhere in it. */
static bool
set_pattern(json_t *object, const char *pattern)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    billet_buffer_format(&text, "^(%s)$", pattern);
    return billet_buffer_text(&text) != NULL &&
           billet_json_set_bytes(object, "pattern", billet_buffer_text(&text));
}

static bool
set_default(json_t *object, const struct billet_option *option)
{
    const char *text = option->default_value;
    if (text == NULL)
        return true;
    if (option->type == BILLET_OPTION_BOOLEAN)
        return json_object_set_new(object, "default", json_boolean(strcmp(text, "yes") == 0)) == 0;
    if (option->type == BILLET_OPTION_INTEGER)
        return billet_json_set_integer(object, "default", strtoll(text, NULL, 10));
    if (option->type != BILLET_OPTION_LIST)
        return billet_json_set_bytes(object, "default", text);

    struct billet_diagnostics ignored = BILLET_DIAGNOSTICS_INIT;
    struct billet_settings none = BILLET_SETTINGS_INIT;
    struct billet_values values = {0};
    bool good = billet_options_resolve(option, 1, &none, "", NULL, &values, &ignored) == 0 &&
                billet_json_set_list(object, "default", values.items[0].list);
    billet_values_free(&values);
    billet_diagnostics_free(&ignored);
    return good;
}

static bool
set_bounds(json_t *object, const struct billet_option *option, const char *low, const char *high)
{
    if (option->minimum == 0 && option->maximum == 0)
        return true;
    bool only_low = option->maximum == 0 && option->minimum > 0;
    return billet_json_set_integer(object, low, option->minimum) &&
           (only_low || billet_json_set_integer(object, high, option->maximum));
}

/* What the type means to a schema's reader. Durations and sizes are strings there, as written. */
static bool
set_type(json_t *object, const struct billet_option *option)
{
    if ((option->flags & BILLET_OPTION_SECRET) != 0)
        return billet_json_set_bytes(object, "type", "string") &&
               billet_json_set_bytes(object, "format", "secret-ref") &&
               billet_json_set_bytes(object, "pattern", "^@(secret|cred|file|env|vault):.+$");
    switch (option->type) {
    case BILLET_OPTION_BOOLEAN:
        return billet_json_set_bytes(object, "type", "boolean");
    case BILLET_OPTION_INTEGER:
        return billet_json_set_bytes(object, "type", "integer") &&
               set_bounds(object, option, "minimum", "maximum");
    case BILLET_OPTION_DURATION:
        return billet_json_set_bytes(object, "type", "string") &&
               billet_json_set_bytes(object, "format", "billet-duration") &&
               billet_json_set_bytes(object, "pattern", "^(0|([0-9]+(d|h|m|s|ms|us|ns))+)$") &&
               set_bounds(object, option, "x-minimum-ns", "x-maximum-ns");
    case BILLET_OPTION_SIZE:
        return billet_json_set_bytes(object, "type", "string") &&
               billet_json_set_bytes(object, "format", "billet-size") &&
               billet_json_set_bytes(object, "pattern", "^[0-9]+([KMGT](iB)?|B)?$") &&
               set_bounds(object, option, "x-minimum-bytes", "x-maximum-bytes");
    case BILLET_OPTION_PATH:
        return billet_json_set_bytes(object, "type", "string") &&
               billet_json_set_bytes(object, "format", "billet-path") &&
               (option->pattern != NULL ? set_pattern(object, option->pattern)
                                        : billet_json_set_bytes(object, "pattern", "^/"));
    case BILLET_OPTION_CHOICE:
        return billet_json_set_bytes(object, "type", "string") &&
               billet_json_set_list(object, "enum", option->choices);
    case BILLET_OPTION_LIST: {
        json_t *items = json_pack("{s:s}", "type", "string");
        if (items != NULL && option->pattern != NULL && !set_pattern(items, option->pattern)) {
            json_decref(items);
            return false;
        }
        return json_object_set_new(object, "items", items) == 0 &&
               billet_json_set_bytes(object, "type", "array") &&
               set_bounds(object, option, "minItems", "maxItems");
    }
    default:
        return billet_json_set_bytes(object, "type", "string") &&
               set_bounds(object, option, "minLength", "maxLength") &&
               (option->pattern == NULL || set_pattern(object, option->pattern));
    }
}

json_t *
billet_options_to_schema(const char *driver, const char *text, const struct billet_option *options,
                         size_t count)
{
    cleanup_json json_t *schema = json_object();
    json_t *properties = json_object();
    json_t *required = json_array();
    if (schema == NULL ||
        !billet_json_set_bytes(schema, "$schema", "https://json-schema.org/draft/2020-12/schema") ||
        !billet_json_set_bytes(schema, "title", driver) ||
        !billet_json_set_bytes(schema, "description", text != NULL ? text : "") ||
        !billet_json_set_bytes(schema, "type", "object") ||
        json_object_set_new(schema, "additionalProperties", json_false()) != 0) {
        json_decref(properties);
        json_decref(required);
        return NULL;
    }
    bool good = json_object_set_new(schema, "properties", properties) == 0;
    good = json_object_set_new(schema, "required", required) == 0 && good;
    for (size_t i = 0; good && i < count; i++) {
        json_t *property = json_object();
        good = json_object_set_new(properties, options[i].name, property) == 0 &&
               set_type(property, &options[i]) && set_default(property, &options[i]) &&
               billet_json_set_bytes(property, "description",
                                     options[i].text != NULL ? options[i].text : "") &&
               ((options[i].flags & BILLET_OPTION_REQUIRED) == 0 ||
                json_array_append_new(required, json_string(options[i].name)) == 0);
    }
    return good ? billet_steal(schema) : NULL;
}
