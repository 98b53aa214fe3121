/* SPDX-License-Identifier: Apache-2.0 */
#include "config/rewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "config/parser.h"

/* Where the text of a value begins and ends: at the end of its line, joined ones together. */
static bool
find_value(const struct billet_buffer *file, int line, int column, size_t *from, size_t *to)
{
    const char *at = file->data, *end = file->data + file->length;
    for (int i = 1; i < line; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            return false;
        at = newline + 1;
    }
    if (column < 1 || column - 1 >= end - at)
        return false;
    at += column - 1;
    *from = (size_t)(at - file->data);
    while (at < end && (*at != '\n' || at[-1] == '\\'))
        at++;
    *to = (size_t)(at - file->data);
    return true;
}

static int
changed(const char *path, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "config_changed",
                     "%s was changed by somebody else meanwhile", path);
    return billet_error_hint(error, "look at it and repeat");
}

static int
parse(const char *path, const struct billet_buffer *file, struct billet_document *document,
      struct billet_error *error)
{
    struct billet_diagnostics diagnostics = BILLET_DIAGNOSTICS_INIT;
    int result = billet_parser_read(path, file->data, file->length, document, &diagnostics);
    if (result < 0)
        result = billet_diagnostics_error(&diagnostics, error);
    billet_diagnostics_free(&diagnostics);
    return result;
}

/* The replacement for the setting, when there is one. */
static const struct billet_rewrite *
rewrite_of(const struct billet_setting *setting, const struct billet_rewrite *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].line == setting->origin.line && items[i].column == setting->origin.column)
            return &items[i];
    return NULL;
}

static bool
same_section(const struct billet_section *before, const struct billet_section *after,
             const struct billet_rewrite *items, size_t count, size_t *met)
{
    if (strcmp(before->kind, after->kind) != 0 || strcmp(before->name, after->name) != 0 ||
        before->settings.count != after->settings.count)
        return false;
    for (size_t i = 0; i < before->settings.count; i++) {
        const struct billet_setting *one = &before->settings.items[i];
        const struct billet_setting *two = &after->settings.items[i];
        const struct billet_rewrite *item = rewrite_of(one, items, count);
        if (item != NULL && strcmp(one->value, item->value) != 0)
            return false;
        *met += item != NULL;
        if (strcmp(one->name, two->name) != 0 ||
            strcmp(two->value, item != NULL ? item->text : one->value) != 0)
            return false;
    }
    return true;
}

/* Everything that was meant, and nothing else. */
static int
compare(const char *path, const struct billet_buffer *before, const struct billet_buffer *after,
        const struct billet_rewrite *items, size_t count, struct billet_error *error)
{
    struct billet_document one = BILLET_DOCUMENT_INIT, two = BILLET_DOCUMENT_INIT;
    size_t met = 0;
    int result = parse(path, before, &one, error);
    if (result == 0)
        result = parse(path, after, &two, error);
    bool same = result == 0 && one.count == two.count;
    for (size_t i = 0; same && i < one.count; i++)
        same = same_section(&one.items[i], &two.items[i], items, count, &met);
    if (result == 0 && (!same || met != count))
        result = changed(path, error);
    billet_document_free(&one);
    billet_document_free(&two);
    return result;
}

static int
by_place_backwards(const void *a, const void *b)
{
    const struct billet_rewrite *x = a, *y = b;
    return x->line != y->line ? y->line - x->line : y->column - x->column;
}

/* From the last to the first, so that places before stay right. */
static int
make(const char *path, const struct billet_buffer *before, const struct billet_rewrite *items,
     size_t count, struct billet_buffer *after, struct billet_error *error)
{
    cleanup_free struct billet_rewrite *sorted = calloc(count, sizeof(*sorted));
    if (sorted == NULL)
        return billet_error_no_memory(error);
    memcpy(sorted, items, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_place_backwards);
    billet_buffer_append(after, before->data, before->length);
    for (size_t i = 0; i < count; i++) {
        size_t from, to;
        cleanup_buffer struct billet_buffer tail = BILLET_BUFFER_INIT;
        if (after->failed || !find_value(after, sorted[i].line, sorted[i].column, &from, &to))
            return after->failed ? billet_error_no_memory(error) : changed(path, error);
        billet_buffer_append(&tail, after->data + to, after->length - to);
        after->length = from;
        billet_buffer_add(after, sorted[i].text);
        billet_buffer_append(after, tail.data, tail.length);
        if (tail.failed)
            return billet_error_no_memory(error);
    }
    return after->failed ? billet_error_no_memory(error) : 0;
}

int
billet_configuration_rewrite(const char *path, const struct billet_rewrite *items, size_t count,
                             struct billet_error *error)
{
    cleanup_buffer struct billet_buffer before = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer after = BILLET_BUFFER_INIT;
    cleanup_fd int fd = -1;
    struct stat status;
    int result = billet_io_open_trusted(path, 0, &fd, error);
    if (result == 0)
        result = billet_io_read_all(fd, &before, BILLET_PARSER_FILE_MAX, error);
    if (result == 0 && fstat(fd, &status) != 0)
        result = billet_error_errno(error, 0, "io_failed", errno, "cannot look at %s", path);
    if (result == 0 && before.length == 0)
        result = changed(path, error);
    if (result == 0)
        result = make(path, &before, items, count, &after, error);
    if (result == 0)
        result = compare(path, &before, &after, items, count, error);
    if (result == 0)
        result =
            billet_io_replace_file(path, after.data, after.length, status.st_mode & 0777, error);
    return result;
}
