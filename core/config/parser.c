/* SPDX-License-Identifier: Apache-2.0 */
#include "config/parser.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/text.h"

#define END (-1)

/* A place in the text. A backslash before a newline is stepped over, so that what reads through
 * step() sees joined lines as one, with the line and column of each byte still right. */
struct cursor {
    const char *at;
    const char *end;
    const char *line_start; /* of the physical line */
    int line;
};

struct parser {
    const char *file;
    struct cursor cursor;
    struct billet_document *document;
    struct billet_diagnostics *diagnostics;
    size_t entries; /* headers and settings */
    bool failed;
    bool skipping; /* the header was wrong: what follows belongs nowhere */
};

static int
column_of(const struct cursor *cursor)
{
    return (int)(cursor->at - cursor->line_start) + 1;
}

static void
join(struct cursor *cursor)
{
    while (cursor->end - cursor->at >= 2 && cursor->at[0] == '\\' && cursor->at[1] == '\n') {
        cursor->at += 2;
        cursor->line_start = cursor->at;
        cursor->line++;
    }
}

/* The byte here, END at the end of the line or the text. */
static int
peek(struct cursor *cursor)
{
    join(cursor);
    if (cursor->at == cursor->end || *cursor->at == '\n')
        return END;
    return (unsigned char)*cursor->at;
}

static void
step(struct cursor *cursor)
{
    cursor->at++;
}

static void
skip_blanks(struct cursor *cursor)
{
    for (int c = peek(cursor); c == ' ' || c == '\t'; c = peek(cursor))
        step(cursor);
}

#define FAIL_AT(parser, line, column, code, ...)                                               \
    do {                                                                                       \
        (parser)->failed = true;                                                               \
        billet_diagnostics_add((parser)->diagnostics, BILLET_DIAGNOSTIC_ERROR, (parser)->file, \
                               (line), (column), (code), __VA_ARGS__);                         \
    } while (0)
#define FAIL(parser, ...)                                                                 \
    FAIL_AT(parser, (parser)->cursor.line, column_of(&(parser)->cursor), "config_syntax", \
            __VA_ARGS__)

static bool
is_word(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static void
no_memory(struct parser *parser)
{
    FAIL_AT(parser, parser->cursor.line, 1, "out_of_memory", "out of memory");
}

/* Append a run of word bytes; false (reported) when it is too long. */
static bool
read_word(struct parser *parser, struct billet_buffer *to)
{
    int line = parser->cursor.line;
    int column = column_of(&parser->cursor);
    for (int c = peek(&parser->cursor); is_word(c); c = peek(&parser->cursor)) {
        if (to->length == BILLET_PARSER_NAME_MAX) {
            FAIL_AT(parser, line, column, "too_large", "a name is at most %u bytes",
                    BILLET_PARSER_NAME_MAX);
            return false;
        }
        billet_buffer_add_char(to, (char)c);
        step(&parser->cursor);
    }
    if (to->failed)
        no_memory(parser);
    return !to->failed;
}

static struct billet_section *
add_section(struct parser *parser, const char *kind, const char *name, int line, int column)
{
    struct billet_document *document = parser->document;
    if (document->count == document->capacity) {
        size_t capacity = document->capacity != 0 ? document->capacity * 2 : 8;
        struct billet_section *grown = reallocarray(document->items, capacity, sizeof(*grown));
        if (grown == NULL)
            return NULL;
        document->items = grown;
        document->capacity = capacity;
    }
    struct billet_section added = {
        .kind = strdup(kind),
        .name = strdup(name),
        .origin = {.text = strdup(parser->file), .line = line, .column = column},
    };
    if (added.kind == NULL || added.name == NULL || added.origin.text == NULL) {
        billet_section_free(&added);
        return NULL;
    }
    document->items[document->count] = added;
    return &document->items[document->count++];
}

/* One more header or setting; false, and no further, when there are too many. */
static bool
count_entry(struct parser *parser, int line, int column)
{
    if (parser->entries++ < BILLET_PARSER_SETTINGS_MAX)
        return true;
    FAIL_AT(parser, line, column, "too_large", "more than %u settings in one file",
            BILLET_PARSER_SETTINGS_MAX);
    parser->cursor.at = parser->cursor.end;
    return false;
}

/* [kind] or [kind name] */
static void
read_header(struct parser *parser)
{
    cleanup_buffer struct billet_buffer kind = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer name = BILLET_BUFFER_INIT;
    struct cursor *cursor = &parser->cursor;
    int line = cursor->line;
    int column = column_of(cursor);

    parser->skipping = true;
    step(cursor);
    skip_blanks(cursor);
    if (!read_word(parser, &kind))
        return;
    if (kind.length == 0) {
        FAIL(parser, "a section's kind is missing: write [kind name]");
        return;
    }
    skip_blanks(cursor);
    if (!read_word(parser, &name))
        return;
    skip_blanks(cursor);
    if (peek(cursor) != ']') {
        FAIL(parser, "']' is missing at the end of the section header");
        return;
    }
    step(cursor);
    skip_blanks(cursor);
    if (peek(cursor) != END) {
        FAIL(parser, "nothing may follow a section header; comments go on their own line");
        return;
    }
    if (!count_entry(parser, line, column))
        return;
    if (kind.failed || name.failed ||
        add_section(parser, billet_buffer_text(&kind), billet_buffer_text(&name), line, column) ==
            NULL) {
        no_memory(parser);
        return;
    }
    parser->skipping = false;
}

static int
hexadecimal(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static const char *
read_escape(struct cursor *cursor, struct billet_buffer *to)
{
    static const char names[] = "nt\\\"";
    static const char bytes[] = "\n\t\\\"";
    struct cursor start = *cursor;
    step(cursor);
    int c = peek(cursor);
    const char *found = c != END ? strchr(names, c) : NULL;
    if (found != NULL) {
        billet_buffer_add_char(to, bytes[found - names]);
        step(cursor);
        return NULL;
    }
    if (c == 'x') {
        step(cursor);
        int high = hexadecimal(peek(cursor));
        if (high >= 0)
            step(cursor);
        int low = high >= 0 ? hexadecimal(peek(cursor)) : -1;
        if (low >= 0 && (high != 0 || low != 0)) {
            step(cursor);
            billet_buffer_add_char(to, (char)(high * 16 + low));
            return NULL;
        }
        *cursor = start;
        return low < 0 ? "\\x wants two hexadecimal digits" : "a value holds no NUL byte";
    }
    *cursor = start;
    return "unknown escape: there are \\n \\t \\\\ \\\" and \\xNN";
}

/* At a quote. Leaves the cursor behind the closing one, or at what is wrong. */
static const char *
read_quoted(struct cursor *cursor, struct billet_buffer *to)
{
    struct cursor start = *cursor;
    step(cursor);
    for (;;) {
        int c = peek(cursor);
        if (c == END) {
            *cursor = start;
            return "the closing quote is missing";
        }
        if (c == '"') {
            step(cursor);
            return NULL;
        }
        if (c == '\\') {
            const char *wrong = read_escape(cursor, to);
            if (wrong != NULL)
                return wrong;
            continue;
        }
        billet_buffer_add_char(to, (char)c);
        step(cursor);
    }
}

const char *
billet_parser_unquote(const char **text, const char *end, struct billet_buffer *to)
{
    struct cursor cursor = {.at = *text, .end = end, .line_start = *text, .line = 1};
    const char *wrong = read_quoted(&cursor, to);
    *text = cursor.at;
    return wrong;
}

/* The rest of the line, without the blanks at its end. */
static void
read_bare(struct cursor *cursor, struct billet_buffer *to)
{
    size_t kept = to->length;
    for (int c = peek(cursor); c != END; c = peek(cursor)) {
        billet_buffer_add_char(to, (char)c);
        if (c != ' ' && c != '\t')
            kept = to->length;
        step(cursor);
    }
    if (to->data != NULL) {
        to->length = kept;
        to->data[kept] = '\0';
    }
}

static bool
starts_key(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* key = value */
static void
read_setting(struct parser *parser)
{
    cleanup_buffer struct billet_buffer key = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer value = BILLET_BUFFER_INIT;
    struct cursor *cursor = &parser->cursor;
    int line = cursor->line;
    int name_column = column_of(cursor);

    if (parser->skipping)
        return;
    if (!starts_key(peek(cursor))) {
        FAIL(parser, "expected [kind name], key = value or a comment");
        return;
    }
    if (!read_word(parser, &key))
        return;
    skip_blanks(cursor);
    if (peek(cursor) != '=') {
        FAIL(parser, "'=' is missing after '%s'", billet_buffer_text(&key));
        return;
    }
    if (parser->document->count == 0) {
        parser->skipping = true;
        FAIL_AT(parser, line, name_column, "config_syntax",
                "'%s' stands before any section: write [kind name] above it",
                billet_buffer_text(&key));
        return;
    }
    step(cursor);
    skip_blanks(cursor);
    int value_line = cursor->line;
    int column = column_of(cursor);
    if (peek(cursor) == '"') {
        const char *wrong = read_quoted(cursor, &value);
        if (wrong == NULL) {
            skip_blanks(cursor);
            wrong = peek(cursor) == END ? NULL : "nothing may follow the closing quote";
        }
        if (wrong != NULL) {
            FAIL(parser, "%s", wrong);
            return;
        }
    } else {
        read_bare(cursor, &value);
    }
    if (!count_entry(parser, line, name_column))
        return;
    struct billet_section *section = &parser->document->items[parser->document->count - 1];
    if (key.failed || value.failed ||
        !billet_settings_add(&section->settings, billet_buffer_text(&key),
                             billet_buffer_text(&value), parser->file, value_line, column,
                             name_column))
        no_memory(parser);
}

/* The length of the line at the cursor, joined ones together, and whether its last byte before the
 * end of the file is a backslash that joins nothing. */
static size_t
line_length(const struct cursor *cursor)
{
    const char *at = cursor->at;
    while (at < cursor->end) {
        const char *newline = memchr(at, '\n', (size_t)(cursor->end - at));
        if (newline == NULL)
            return (size_t)(cursor->end - cursor->at);
        if (newline == at || newline[-1] != '\\')
            return (size_t)(newline - cursor->at);
        at = newline + 1;
    }
    return (size_t)(at - cursor->at);
}

/* To the end of the physical line (comments do not join) or of the joined ones. */
static void
skip_line(struct cursor *cursor, bool joined)
{
    if (joined)
        while (peek(cursor) != END)
            step(cursor);
    const char *newline = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    cursor->at = newline != NULL ? newline + 1 : cursor->end;
    cursor->line_start = cursor->at;
    cursor->line++;
}

static void
read_line(struct parser *parser)
{
    struct cursor *cursor = &parser->cursor;
    struct cursor start = *cursor;
    while (start.at < start.end && (*start.at == ' ' || *start.at == '\t'))
        start.at++;
    if (start.at < start.end && (*start.at == '#' || *start.at == ';')) {
        skip_line(cursor, false);
        return;
    }
    if (line_length(cursor) > BILLET_PARSER_LINE_MAX) {
        FAIL_AT(parser, cursor->line, 1, "too_large", "a line is at most %u bytes",
                BILLET_PARSER_LINE_MAX);
        skip_line(cursor, true);
        return;
    }
    skip_blanks(cursor);
    int c = peek(cursor);
    if (c == '[')
        read_header(parser);
    else if (c != END)
        read_setting(parser);
    skip_line(cursor, true);
}

/* Well-formed UTF-8, no control bytes but tab and newline; else reported at the place. */
static bool
check_bytes(struct parser *parser)
{
    struct cursor at = parser->cursor;
    while (at.at < at.end) {
        unsigned char c = (unsigned char)*at.at;
        size_t left = (size_t)(at.end - at.at);
        size_t length = 1;
        if (c == '\n') {
            at.at++;
            at.line_start = at.at;
            at.line++;
            continue;
        }
        while (c >= 0x80 && length <= 4 && length <= left && !billet_text_is_utf8(at.at, length))
            length++;
        if (length > 4 || length > left) {
            FAIL_AT(parser, at.line, column_of(&at), "config_syntax",
                    "byte \\x%02x is not UTF-8; in quotes it can be written so", c);
            return false;
        }
        if (c == '\r' && left > 1 && at.at[1] == '\n') {
            FAIL_AT(parser, at.line, column_of(&at), "config_syntax",
                    "the line ends in a carriage return: save the file with UNIX line ends");
            return false;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            if (c == 0)
                FAIL_AT(parser, at.line, column_of(&at), "config_syntax",
                        "a config file holds no NUL byte");
            else
                FAIL_AT(parser, at.line, column_of(&at), "config_syntax",
                        "control byte \\x%02x; in quotes it can be written so", c);
            return false;
        }
        at.at += length;
    }
    if (at.at != parser->cursor.at && at.at[-1] == '\\') {
        at.at--;
        FAIL_AT(parser, at.line, column_of(&at), "config_syntax",
                "the last line ends in a backslash, but no line follows");
        return false;
    }
    return true;
}

int
billet_parser_read(const char *file, const char *bytes, size_t length,
                   struct billet_document *document, struct billet_diagnostics *diagnostics)
{
    struct parser parser = {
        .file = file,
        .cursor = {.at = bytes, .end = bytes + length, .line_start = bytes, .line = 1},
        .document = document,
        .diagnostics = diagnostics,
    };
    if (length > BILLET_PARSER_FILE_MAX) {
        FAIL_AT(&parser, 0, 0, "too_large", "a config file is at most %u bytes",
                BILLET_PARSER_FILE_MAX);
    } else if (length > 0 && check_bytes(&parser)) {
        while (parser.cursor.at < parser.cursor.end)
            read_line(&parser);
    }
    return parser.failed ? -BILLET_CLASS_CONFIG : 0;
}

void
billet_section_free(struct billet_section *section)
{
    free(section->kind);
    free(section->name);
    free(section->origin.text);
    billet_settings_free(&section->settings);
    *section = (struct billet_section){0};
}

void
billet_document_free(struct billet_document *document)
{
    for (size_t i = 0; i < document->count; i++)
        billet_section_free(&document->items[i]);
    free(document->items);
    *document = (struct billet_document)BILLET_DOCUMENT_INIT;
}

static bool
is_bare(const char *value)
{
    size_t length = strlen(value);
    if (length == 0)
        return true;
    if (value[0] == '"' || value[0] == ' ' || value[length - 1] == ' ' ||
        value[length - 1] == '\\' || !billet_text_is_utf8(value, length))
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
            return false;
    return true;
}

void
billet_parser_write_value(FILE *to, const char *value)
{
    if (is_bare(value)) {
        fputs(value, to);
        return;
    }
    /* In a text that is UTF-8 the other bytes stay readable; else every byte above ASCII is \x. */
    bool utf8 = billet_text_is_utf8(value, strlen(value));
    fputc('"', to);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '\n')
            fputs("\\n", to);
        else if (c == '\t')
            fputs("\\t", to);
        else if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            fprintf(to, "\\x%02x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}
