/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
billet_strings_take(struct billet_strings *list, char *text)
{
    if (text == NULL)
        return false;
    if (list->count + 2 > list->capacity) {
        size_t capacity = list->capacity != 0 ? list->capacity * 2 : 8;
        char **grown = reallocarray(list->items, capacity, sizeof(*grown));
        if (grown == NULL) {
            free(text);
            return false;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return true;
}

bool
billet_strings_add(struct billet_strings *list, const char *text)
{
    return billet_strings_take(list, strdup(text));
}

bool
billet_strings_format(struct billet_strings *list, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length >= 0 && billet_strings_take(list, text);
}

static char **
find_name(const struct billet_strings *list, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < list->count; i++)
        if (strncmp(list->items[i], name, length) == 0 && list->items[i][length] == '=')
            return &list->items[i];
    return NULL;
}

bool
billet_strings_set(struct billet_strings *list, const char *name, const char *value)
{
    size_t length = strlen(name), size = strlen(value) + 1;
    char *text = malloc(length + 1 + size);
    if (text == NULL)
        return false;
    memcpy(text, name, length);
    text[length] = '=';
    memcpy(text + length + 1, value, size);
    char **found = find_name(list, name);
    if (found == NULL)
        return billet_strings_take(list, text);
    free(*found);
    *found = text;
    return true;
}

const char *
billet_strings_value(const struct billet_strings *list, const char *name)
{
    char **found = find_name(list, name);
    return found != NULL ? *found + strlen(name) + 1 : NULL;
}

bool
billet_strings_contains(const struct billet_strings *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void
billet_strings_sort(struct billet_strings *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

const char *const *
billet_strings_list(const struct billet_strings *list)
{
    static const char *const none[] = {NULL};
    return list->items != NULL ? (const char *const *)list->items : none;
}

void
billet_strings_free(struct billet_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct billet_strings){0};
}
