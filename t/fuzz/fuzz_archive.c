/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_archive.c - any bytes as an archive: what the reader lets through keeps every rule, judged
 * by a slow checker of its own; and as a manifest, a journal, a git index and a list of patterns.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "workspace/archive.h"
#include "workspace/index.h"
#include "workspace/journal.h"
#include "workspace/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct source {
    const uint8_t *bytes;
    size_t length;
    size_t at;
};

static ssize_t
read_some(void *context, void *to, size_t size)
{
    struct source *source = context;
    size_t left = source->length - source->at;
    if (size > left)
        size = left;
    if (size > 700) /* pieces that do not fit the blocks */
        size = 700;
    memcpy(to, source->bytes + source->at, size);
    source->at += size;
    return (ssize_t)size;
}

static void
check_path(const char *path, size_t length)
{
    char copy[5000];
    if (length == 0 || length > 4095 || strlen(path) != length || path[0] == '/')
        abort();
    memcpy(copy, path, length + 1);
    size_t components = 1;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)copy[i] < 32 || copy[i] == 127)
            abort();
        components += copy[i] == '/';
    }
    size_t found = 0;
    char *state;
    for (char *name = strtok_r(copy, "/", &state); name != NULL;
         name = strtok_r(NULL, "/", &state)) {
        found++;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 255)
            abort();
    }
    if (found != components || components > 128)
        abort();
}

/* Follow the target on paper: no step may stand above the root, even when the names before a ".."
 * are links to the root itself. */
static void
check_target(const char *path, const char *target)
{
    long depth = 0;
    bool named = false;
    for (const char *c = path; *c != '\0'; c++)
        depth += *c == '/';
    if (target[0] == '/' || target[0] == '\0')
        abort();
    char *copy = strdup(target);
    char *state;
    for (char *name = strtok_r(copy, "/", &state); name != NULL;
         name = strtok_r(NULL, "/", &state)) {
        if (strcmp(name, "..") == 0) {
            if (named || --depth < 0)
                abort();
        } else if (strcmp(name, ".") != 0) {
            named = true;
        }
    }
    free(copy);
}

static void
read_archive(const uint8_t *bytes, size_t length, unsigned flags)
{
    struct billet_limits limits = billet_limits_default;
    struct source source = {bytes, length, 0};
    struct billet_archive_reader *reader;
    struct billet_archive_entry entry;
    struct billet_error error = BILLET_ERROR_INIT;
    uint64_t total = 0;
    limits.total_bytes = 1 << 20;
    limits.entries = 100;
    if (billet_archive_reader_new(read_some, &source, &limits, flags, &reader, &error) < 0)
        abort();
    int result;
    size_t entries = 0;
    while ((result = billet_archive_next(reader, &entry, &error)) > 0) {
        check_path(entry.path, entry.path_length);
        if ((entry.mode & ~0755u) != 0 || ++entries > 100)
            abort();
        if (entry.type == BILLET_ENTRY_LINK)
            check_target(entry.path, entry.target);
        if (entry.type != BILLET_ENTRY_FILE && entry.size != 0)
            abort();
        size_t piece = 1;
        const char *content;
        while (piece > 0 && billet_archive_content(reader, &content, &piece, &error) == 0)
            total += piece;
        if (total > limits.total_bytes || total > length)
            abort();
    }
    if (result < 0 && (error.error_class != -result || error.message[0] == '\0'))
        abort();
    if (result == 0 && source.at != length)
        abort();
    billet_archive_reader_free(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    read_archive(bytes, length, 0);
    read_archive(bytes, length, BILLET_ARCHIVE_DOT);

    struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    struct billet_buffer again = BILLET_BUFFER_INIT;
    /* What decodes is written again byte for byte: there is one form only. */
    if (billet_manifest_decode(bytes, length, &billet_limits_default, &manifest, NULL) == 0) {
        unsigned flags = length > 8 ? bytes[8] : 0;
        if (billet_manifest_encode(&manifest, flags, &again, NULL) < 0 || again.length != length ||
            memcmp(again.data, bytes, length) != 0)
            abort();
    }
    billet_buffer_free(&again);
    billet_manifest_free(&manifest);

    struct billet_journal journal;
    struct billet_plan plan = BILLET_PLAN_INIT;
    billet_journal_decode(bytes, length, &journal, &plan, NULL);
    billet_plan_free(&plan);

    billet_index_parse(bytes, length, &manifest, NULL);
    billet_manifest_free(&manifest);

    struct billet_patterns patterns = BILLET_PATTERNS_INIT;
    billet_patterns_add_text(&patterns, (const char *)bytes, length < 4096 ? length : 4096, NULL);
    billet_patterns_match(&patterns, "some/path/with/names.o", false);
    billet_patterns_free(&patterns);
    return 0;
}
