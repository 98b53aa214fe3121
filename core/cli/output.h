/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what verbs print on stdout: tables for people, JSON for programs,
 * the same data in both.
 */
#ifndef BILLET_CLI_OUTPUT_H
#define BILLET_CLI_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/command.h"

/* One value and a newline; takes over object. */
void cli_print_json(json_t *object);
/* A JSON column of a row, or an empty object when it does not parse. */
json_t *cli_json_column(const char *text);

/* A table whose columns are as wide as their widest cell; cells are escaped and copied. */
#define CLI_TABLE_COLUMNS 12
struct cli_table {
    size_t columns;
    const char *headings[CLI_TABLE_COLUMNS];
    struct billet_strings cells;
};
void cli_table_open(struct cli_table *table, const char *const *headings); /* NULL-terminated */
void cli_table_cell(struct cli_table *table, const char *text);            /* "" prints as - */
void cli_table_print(struct cli_table *table, const struct cli *cli);      /* and frees */

/* "Name: value" lines. */
void cli_print_field(const char *name, const char *value);

/* "12s", "3m", "2h" ago or until; "-" for 0. */
void cli_format_age(char *to, size_t size, int64_t from_ns, int64_t now_ns);

/* Ask on the terminal; true for y or yes. False at once without a terminal. */
bool cli_confirm(const char *question);
/* A line from the terminal (free), or NULL at its end. */
char *cli_ask(const char *prompt);

#endif
