/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/redact.h"
#include "base/text.h"

void
cli_print_json(json_t *object)
{
    cleanup_free char *text =
        object != NULL ? json_dumps(object, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    if (text != NULL)
        billet_redact_text(text);
    printf("%s\n", text != NULL ? text : "null");
    json_decref(object);
}

json_t *
cli_json_column(const char *text)
{
    json_t *value = NULL;
    if (text == NULL || text[0] == '\0' || billet_json_parse(text, strlen(text), &value, NULL) < 0)
        return json_object();
    return value;
}

void
cli_table_open(struct cli_table *table, const char *const *headings)
{
    *table = (struct cli_table){0};
    for (; headings[table->columns] != NULL && table->columns < CLI_TABLE_COLUMNS; table->columns++)
        table->headings[table->columns] = headings[table->columns];
}

void
cli_table_cell(struct cli_table *table, const char *text)
{
    char clean[512];
    billet_text_escape(clean, sizeof(clean), text != NULL && text[0] != '\0' ? text : "-");
    billet_strings_add(&table->cells, clean);
}

/* Columns a text takes: UTF-8 continuation bytes take none. */
static size_t
width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void
print_cell(const char *text, size_t width, bool last)
{
    fputs(text, stdout);
    if (last)
        fputc('\n', stdout);
    else
        printf("%*s", (int)(width - width_of(text) + 2), "");
}

void
cli_table_print(struct cli_table *table, const struct cli *cli)
{
    size_t widths[CLI_TABLE_COLUMNS] = {0};
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = cli->no_headings ? 0 : width_of(table->headings[i]);
    for (size_t i = 0; i < table->cells.count; i++) {
        size_t width = width_of(table->cells.items[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; !cli->no_headings && i < table->columns; i++)
        print_cell(table->headings[i], widths[i], i + 1 == table->columns);
    for (size_t i = 0; i < table->cells.count; i++)
        print_cell(table->cells.items[i], widths[i % table->columns],
                   i % table->columns + 1 == table->columns);
    billet_strings_free(&table->cells);
}

void
cli_print_field(const char *name, const char *value)
{
    char clean[2048];
    if (value == NULL || value[0] == '\0')
        return;
    billet_text_escape(clean, sizeof(clean), value);
    printf("%-14s %s\n", name, clean);
}

void
cli_format_age(char *to, size_t size, int64_t from_ns, int64_t now_ns)
{
    int64_t seconds = (now_ns - from_ns) / BILLET_NS_PER_SECOND;
    if (from_ns == 0) {
        snprintf(to, size, "-");
        return;
    }
    const char *sign = seconds < 0 ? "-" : "";
    seconds = seconds < 0 ? -seconds : seconds;
    if (seconds < 120)
        snprintf(to, size, "%s%" PRId64 "s", sign, seconds);
    else if (seconds < 7200)
        snprintf(to, size, "%s%" PRId64 "m", sign, seconds / 60);
    else if (seconds < 172800)
        snprintf(to, size, "%s%" PRId64 "h", sign, seconds / 3600);
    else
        snprintf(to, size, "%s%" PRId64 "d", sign, seconds / 86400);
}

char *
cli_ask(const char *prompt)
{
    char *line = NULL;
    size_t size = 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return NULL;
    fputs(prompt, stderr);
    fflush(stderr);
    ssize_t length = getline(&line, &size, stdin);
    if (length < 0) {
        free(line);
        return NULL;
    }
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = '\0';
    return line;
}

bool
cli_confirm(const char *question)
{
    cleanup_free char *answer = cli_ask(question);
    return answer != NULL && (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0);
}
