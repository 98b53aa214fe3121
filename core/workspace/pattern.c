/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define LINES_MAX 10000u

struct billet_pattern {
    char *text;
    bool negated;
    bool directories_only;
    bool anchored; /* compared with the whole path, else with the last component */
};

int
billet_patterns_add(struct billet_patterns *patterns, const char *line, size_t length,
                    struct billet_error *error)
{
    struct billet_pattern pattern = {0};
    if (length > 0 && line[length - 1] == '\r')
        length--;
    while (length > 0 && line[length - 1] == ' ' && (length < 2 || line[length - 2] != '\\'))
        length--;
    if (length == 0 || line[0] == '#' || memchr(line, '\0', length) != NULL)
        return 0;
    if (line[0] == '!') {
        pattern.negated = true;
        line++;
        length--;
    }
    if (length > 0 && line[length - 1] == '/') {
        pattern.directories_only = true;
        length--;
    }
    pattern.anchored = memchr(line, '/', length) != NULL;
    if (length > 0 && line[0] == '/') {
        line++;
        length--;
    }
    if (length == 0)
        return 0;
    if (patterns->count >= LINES_MAX)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "more than %u patterns in one list", LINES_MAX);
    if (patterns->count == patterns->capacity) {
        size_t capacity = patterns->capacity * 2 + 8;
        struct billet_pattern *items = reallocarray(patterns->items, capacity, sizeof(*items));
        if (items == NULL)
            return billet_error_no_memory(error);
        patterns->items = items;
        patterns->capacity = capacity;
    }
    pattern.text = strndup(line, length);
    if (pattern.text == NULL)
        return billet_error_no_memory(error);
    patterns->items[patterns->count++] = pattern;
    return 0;
}

int
billet_patterns_add_text(struct billet_patterns *patterns, const char *text, size_t length,
                         struct billet_error *error)
{
    int result = 0;
    while (length > 0 && result == 0) {
        const char *newline = memchr(text, '\n', length);
        size_t size = newline != NULL ? (size_t)(newline - text) : length;
        result = billet_patterns_add(patterns, text, size, error);
        size += newline != NULL;
        text += size;
        length -= size;
    }
    return result;
}

/* "[...]" at *at: does it hold c? *at moves behind it. A class without end matches nothing. */
static bool
class_holds(const char **at, unsigned char c)
{
    const char *p = *at + 1;
    bool negated = *p == '!' || *p == '^';
    bool found = false;
    p += negated;
    for (const char *first = p; *p != '\0' && (*p != ']' || p == first);) {
        unsigned char low = (unsigned char)(*p == '\\' && p[1] != '\0' ? *++p : *p);
        unsigned char high = low;
        p++;
        if (p[0] == '-' && p[1] != ']' && p[1] != '\0') {
            p++;
            high = (unsigned char)(*p == '\\' && p[1] != '\0' ? *++p : *p);
            p++;
        }
        if (low <= c && c <= high)
            found = true;
    }
    if (*p != ']') {
        *at = p;
        return false;
    }
    *at = p + 1;
    return found != negated;
}

/* One byte of text against what stands at *p; moves *p on when it fits. */
static bool
one_fits(const char **p, char c)
{
    const char *at = *p;
    bool fits;
    switch (*at) {
    case '\0':
        return false;
    case '?':
        fits = c != '/';
        at++;
        break;
    case '[':
        fits = class_holds(&at, (unsigned char)c) && c != '/';
        break;
    case '\\':
        if (at[1] != '\0')
            at++;
        __attribute__((fallthrough));
    default:
        fits = *at == c;
        at++;
        break;
    }
    if (fits)
        *p = at;
    return fits;
}

/* Two places to come back to are enough: a later '*' (or '**') makes an earlier one settled. */
static bool
glob_matches(const char *pattern, const char *text)
{
    const char *p = pattern;
    const char *star = NULL;
    const char *star_text = NULL;
    const char *deep = NULL;
    const char *deep_text = NULL;
    for (;;) {
        if (p[0] == '*' && p[1] == '*' && (p == pattern || p[-1] == '/') &&
            (p[2] == '/' || p[2] == '\0')) {
            if (p[2] == '\0')
                return *text != '\0';
            p += 3;
            deep = p;
            deep_text = text;
            star = NULL;
            continue;
        }
        if (*p == '*') {
            while (*p == '*')
                p++;
            star = p;
            star_text = text;
            continue;
        }
        if (*text == '\0')
            return *p == '\0';
        if (one_fits(&p, *text)) {
            text++;
            continue;
        }
        if (star != NULL && *star_text != '/' && *star_text != '\0') {
            text = ++star_text;
            p = star;
            continue;
        }
        const char *slash = deep != NULL ? strchr(deep_text, '/') : NULL;
        if (slash == NULL)
            return false;
        text = deep_text = slash + 1;
        p = deep;
        star = NULL;
    }
}

int
billet_patterns_match(const struct billet_patterns *patterns, const char *path, bool directory)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    for (size_t i = patterns->count; i > 0; i--) {
        const struct billet_pattern *pattern = &patterns->items[i - 1];
        if (pattern->directories_only && !directory)
            continue;
        if (glob_matches(pattern->text, pattern->anchored ? path : name))
            return pattern->negated ? -1 : 1;
    }
    return 0;
}

void
billet_patterns_free(struct billet_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->items[i].text);
    free(patterns->items);
    *patterns = (struct billet_patterns)BILLET_PATTERNS_INIT;
}
