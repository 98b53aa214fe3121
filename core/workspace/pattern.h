/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - name patterns in the grammar of gitignore(5): '*' '?' '[a-z]' within a
 * component, '**' across components, a leading '!' takes back, a trailing '/' means
 * directories only, a '/' elsewhere anchors at the base. Matching takes time
 * proportional to pattern times path, whatever the pattern.
 */
#ifndef BILLET_WORKSPACE_PATTERN_H
#define BILLET_WORKSPACE_PATTERN_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

struct billet_pattern;

struct billet_patterns {
    struct billet_pattern *items;
    size_t count;
    size_t capacity;
};

#define BILLET_PATTERNS_INIT \
    {                        \
        0                    \
    }

/* One line; comments and empty lines add nothing. */
int billet_patterns_add(struct billet_patterns *patterns, const char *line, size_t length,
                        struct billet_error *error);
/* All lines of a text, at most 10,000. */
int billet_patterns_add_text(struct billet_patterns *patterns, const char *text, size_t length,
                             struct billet_error *error);
/* Path is relative to the patterns' base. 1 matched, -1 taken back by a '!', 0 nothing said; the
 * last pattern that matches decides. */
int billet_patterns_match(const struct billet_patterns *patterns, const char *path, bool directory);
void billet_patterns_free(struct billet_patterns *patterns);

#endif
