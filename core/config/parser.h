/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser.h - the text of one config file, turned into sections and settings
 * with the place of every token; and the way back, quoting.
 *
 * Knows the grammar only: not which sections and keys exist. Opens no file.
 */
#ifndef BILLET_CONFIG_PARSER_H
#define BILLET_CONFIG_PARSER_H

#include <stdio.h>

#include "config/configuration.h"
#include "config/setting.h"

#define BILLET_PARSER_FILE_MAX 1048576u   /* bytes of a file */
#define BILLET_PARSER_LINE_MAX 65536u     /* bytes of a line, joined ones together */
#define BILLET_PARSER_SETTINGS_MAX 10000u /* headers and settings, of one file and of all */
#define BILLET_PARSER_NAME_MAX 256u       /* bytes of a key or of a word in a header */

/* One file: a section for each header, in the order written, not merged. */
struct billet_document {
    struct billet_section *items;
    size_t count;
    size_t capacity;
};

#define BILLET_DOCUMENT_INIT \
    {                        \
        0                    \
    }

/* Read the bytes of a file of that name. Problems go to diagnostics; what could be read is in
 * *document. Returns 0, or negative when there was an error. */
int billet_parser_read(const char *file, const char *bytes, size_t length,
                       struct billet_document *document, struct billet_diagnostics *diagnostics);
void billet_document_free(struct billet_document *document);
void billet_section_free(struct billet_section *section);

/* Write a value so that reading gives the same bytes: bare when it can be, else in quotes. */
void billet_parser_write_value(FILE *to, const char *value);

/* A double-quoted string with C escapes at *text, which is moved past the closing quote. Appends
 * the bytes. On failure returns what is wrong and leaves *text where; NULL is success. */
struct billet_buffer;
const char *billet_parser_unquote(const char **text, const char *end, struct billet_buffer *to);

#endif
