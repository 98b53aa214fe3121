/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.h - typed options (struct billet_option of <billet/option.h>): checks a
 * table, turns settings into values, and renders the table for people and
 * machines. Core's own options and every driver's go through here.
 */
#ifndef BILLET_CONFIG_OPTION_H
#define BILLET_CONFIG_OPTION_H

#include <billet/option.h>
#include <billet/types.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/json.h"
#include "base/strings.h"
#include "config/reference.h"
#include "config/setting.h"

/* Does a word of the name (small letters, words set apart by '_') say that the value is a secret?
 */
bool billet_option_looks_secret(const char *name);

/* Is the table itself sound? Names, types, bounds, defaults that parse, patterns that compile, no
 * duplicates, secret-looking names (key, token, secret, password) marked SECRET. code
 * driver_schema_invalid. */
int billet_options_check(const struct billet_option *options, size_t count,
                         struct billet_error *error);

/* One value for each option, in the table's order; owns its strings. */
struct billet_values {
    struct billet_value *items;
    size_t count;
    struct billet_strings memory;
    void *lists;
};

/* Turn settings into values with defaults. Problems go to diagnostics at the setting's place:
 * unknown name (with the nearest known one), wrong type, out of range, no such choice, pattern,
 * required and missing, a literal in a secret field. who names the section, "[environment build1]".
 * place is where a missing required one is reported. Returns 0, or the class of the first problem.
 */
int billet_options_resolve(const struct billet_option *options, size_t count,
                           const struct billet_settings *settings, const char *who,
                           const struct billet_origin *place, struct billet_values *values,
                           struct billet_diagnostics *diagnostics);
void billet_values_free(struct billet_values *values);

/* Check one value as text; message without place. Used by interactive entry. */
int billet_option_check_text(const struct billet_option *option, const char *text,
                             struct billet_error *error);

/* An option table as JSON (the frames) and back. The result of from_json is owned by the caller. */
struct billet_option_table {
    struct billet_option *items;
    size_t count;
    struct billet_strings memory;
    void *lists;
};
json_t *billet_options_to_json(const struct billet_option *options, size_t count);
int billet_options_from_json(const json_t *array, struct billet_option_table *table,
                             struct billet_error *error);
void billet_option_table_free(struct billet_option_table *table);
const struct billet_option *billet_option_find(const struct billet_option *options, size_t count,
                                               const char *name);

/* "string", "boolean" ... */
const char *billet_option_type_name(int32_t type);
/* "1 to 65535", "at least 10s", "" when unbounded. */
void billet_option_format_range(char *to, size_t size, const struct billet_option *option);

/* The messages that core's own sections share with resolve. */
void billet_options_report_unknown(const struct billet_option *options, size_t count,
                                   const char *who, const struct billet_setting *setting,
                                   struct billet_diagnostics *diagnostics);
void billet_options_report_twice(const struct billet_setting *first,
                                 const struct billet_setting *second,
                                 struct billet_diagnostics *diagnostics);
/* A NULL-terminated list of count pointers, kept in *lists (of values and tables). */
const char **billet_option_list_new(void **lists, size_t count);
void billet_option_lists_free(void *lists);

/* JSON Schema 2020-12; secrets carry format "secret-ref". */
json_t *billet_options_to_schema(const char *driver, const char *text,
                                 const struct billet_option *options, size_t count);
/* A commented [environment NAME] snippet. */
void billet_options_to_snippet(FILE *to, const char *driver, const struct billet_option *options,
                               size_t count);
/* The OPTIONS section as mdoc, without its .Sh: a list with .It Ic name = ... */
void billet_options_to_mdoc(FILE *to, const struct billet_option *options, size_t count);

#endif
