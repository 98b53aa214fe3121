/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strings.h - a growing, always NULL-terminated list of owned strings; the shape
 * of argv and environ.
 */
#ifndef BILLET_BASE_STRINGS_H
#define BILLET_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

struct billet_strings {
    char **items; /* NULL while empty; else items[count] is NULL */
    size_t count;
    size_t capacity;
};

#define BILLET_STRINGS_INIT \
    {                       \
        0                   \
    }

/* Each returns false when memory ran out, with the list as it was. */
bool billet_strings_add(struct billet_strings *list, const char *text);
bool billet_strings_take(struct billet_strings *list,
                         char *text); /* owns text, also on failure; NULL fails */
bool billet_strings_format(struct billet_strings *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* NAME=VALUE: replaces the entry of that name or adds one. */
bool billet_strings_set(struct billet_strings *list, const char *name, const char *value);
/* The value of NAME in a NAME=VALUE list, or NULL. */
const char *billet_strings_value(const struct billet_strings *list, const char *name);
bool billet_strings_contains(const struct billet_strings *list, const char *text);
void billet_strings_sort(struct billet_strings *list); /* by bytes */
/* Never NULL: an empty list gives a list of only the terminator. */
const char *const *billet_strings_list(const struct billet_strings *list);
void billet_strings_free(struct billet_strings *list);

#define cleanup_strings __attribute__((cleanup(billet_strings_free)))

#endif
