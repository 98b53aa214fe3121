/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_private.h - one value of one option, which option_value.c judges for
 * the tables and settings of option.c. Nobody outside includes it.
 */
#ifndef BILLET_CONFIG_OPTION_PRIVATE_H
#define BILLET_CONFIG_OPTION_PRIVATE_H

#include <regex.h>

#include "config/option.h"

/* Compile within bounds: a driver's pattern runs in this process. Returns what is wrong, or NULL;
 * then the caller frees *compiled. */
const char *billet_option_compile_pattern(const char *pattern, regex_t *compiled);

/* The number of a text and whether it fits, for every type but LIST (there: of one item). */
int billet_option_parse(const struct billet_option *option, const char *text, int64_t *number,
                        struct billet_error *error);
/* Items separated by blanks; an item with blanks is written in double quotes. Appends. */
int billet_option_split(const struct billet_option *option, const char *text,
                        struct billet_strings *items, struct billet_error *error);
/* Is the number (a length, a count) within the option's bounds? what is its unit, " bytes". */
int billet_option_check_range(const struct billet_option *option, int64_t number, const char *what,
                              struct billet_error *error);

#endif
