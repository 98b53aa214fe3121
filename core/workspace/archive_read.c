/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive_read.c - from a stream to entries. pax records and GNU's long names are in
 * archive_header.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "workspace/archive_header.h"
#include "workspace/path.h"

#define BUFFER_BYTES (256u << 10)
#define PADDING_MAX (10u << 20) /* zero bytes that may follow the end marker */

struct billet_archive_reader {
    billet_archive_source *source;
    void *context;
    struct billet_limits limits;
    unsigned flags;
    int fd;
    char *buffer;
    size_t start; /* of what is in the buffer and not read yet */
    size_t end;
    bool at_end;
    uint64_t left;    /* content of the current entry */
    uint64_t padding; /* behind it */
    uint64_t entries;
    uint64_t total_bytes;
    uint64_t name_bytes;
    struct billet_archive_header header;
};

static ssize_t
read_fd(void *context, void *to, size_t size)
{
    struct billet_archive_reader *reader = context;
    while (reader->limits.deadline_ns != 0) {
        struct pollfd item = {.fd = reader->fd, .events = POLLIN};
        int64_t left = reader->limits.deadline_ns - billet_clock_monotonic();
        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        int64_t milliseconds = left / 1000000 + 1;
        int ready = poll(&item, 1, milliseconds > 60000 ? 60000 : (int)milliseconds);
        if (ready > 0)
            break;
        if (ready < 0 && errno != EINTR)
            return -1;
    }
    return read(reader->fd, to, size);
}

int
billet_archive_reader_new(billet_archive_source *source, void *context,
                          const struct billet_limits *limits, unsigned flags,
                          struct billet_archive_reader **made, struct billet_error *error)
{
    struct billet_archive_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return billet_error_no_memory(error);
    reader->buffer = malloc(BUFFER_BYTES);
    if (reader->buffer == NULL) {
        free(reader);
        return billet_error_no_memory(error);
    }
    reader->source = source;
    reader->context = context;
    reader->limits = *limits;
    reader->flags = flags;
    reader->fd = -1;
    *made = reader;
    return 0;
}

int
billet_archive_reader_fd(int fd, const struct billet_limits *limits, unsigned flags,
                         struct billet_archive_reader **made, struct billet_error *error)
{
    int result = billet_archive_reader_new(read_fd, NULL, limits, flags, made, error);
    if (result == 0) {
        (*made)->context = *made;
        (*made)->fd = fd;
    }
    return result;
}

void
billet_archive_reader_free(struct billet_archive_reader *reader)
{
    if (reader == NULL)
        return;
    billet_archive_header_free(&reader->header);
    free(reader->buffer);
    free(reader);
}

static int
refused(struct billet_error *error, const char *why)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "archive_refused", "archive refused: %s",
                            why);
}

/* Have at least one byte in the buffer; 0 at the end of the stream. */
static int
fill(struct billet_archive_reader *reader, struct billet_error *error)
{
    if (reader->start < reader->end)
        return 1;
    if (reader->at_end)
        return 0;
    for (;;) {
        ssize_t got = reader->source(reader->context, reader->buffer, BUFFER_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == ETIMEDOUT)
            return billet_error_set(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                                    "the archive did not end within its time");
        if (got < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot read the archive");
        reader->start = 0;
        reader->end = (size_t)got;
        reader->at_end = got == 0;
        return got > 0;
    }
}

static int
read_exactly(struct billet_archive_reader *reader, void *to, size_t size,
             struct billet_error *error)
{
    char *at = to;
    while (size > 0) {
        int result = fill(reader, error);
        if (result < 0)
            return result;
        if (result == 0)
            return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "archive_truncated",
                                    "the archive ends too early");
        size_t piece = reader->end - reader->start;
        if (piece > size)
            piece = size;
        memcpy(at, reader->buffer + reader->start, piece);
        reader->start += piece;
        at += piece;
        size -= piece;
    }
    return 0;
}

static int
skip(struct billet_archive_reader *reader, uint64_t size, struct billet_error *error)
{
    while (size > 0) {
        int result = fill(reader, error);
        if (result < 0)
            return result;
        if (result == 0)
            return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "archive_truncated",
                                    "the archive ends too early");
        size_t piece = reader->end - reader->start;
        if (piece > size)
            piece = (size_t)size;
        reader->start += piece;
        size -= piece;
    }
    return 0;
}

static bool
is_zero(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != 0)
            return false;
    return true;
}

/* After a first block of zeros: a second one, then nothing but padding. */
static int
read_end(struct billet_archive_reader *reader, struct billet_error *error)
{
    unsigned char block[BILLET_ARCHIVE_BLOCK];
    int result = read_exactly(reader, block, sizeof(block), error);
    if (result < 0)
        return result;
    if (!is_zero(block, sizeof(block)))
        return refused(error, "an entry follows an empty block");
    for (size_t padding = 0;;) {
        result = fill(reader, error);
        if (result <= 0)
            return result;
        size_t size = reader->end - reader->start;
        padding += size;
        if (padding > PADDING_MAX ||
            !is_zero((const unsigned char *)reader->buffer + reader->start, size))
            return refused(error, "bytes follow its end");
        reader->start = reader->end;
    }
}

/* The body of a header that describes the next one. */
static int
read_meta(struct billet_archive_reader *reader, const struct billet_archive_block *block,
          struct billet_error *error)
{
    if (block->size > BILLET_ARCHIVE_META_MAX)
        return refused(error, "an extended header is too large");
    size_t size = (size_t)block->size;
    char *body = malloc(size + 1);
    if (body == NULL)
        return billet_error_no_memory(error);
    int result = read_exactly(reader, body, size, error);
    if (result == 0)
        result = skip(reader, -block->size % BILLET_ARCHIVE_BLOCK, error);
    body[size] = '\0';
    if (result == 0)
        result = billet_archive_header_meta(&reader->header, block->type, body, size, error);
    free(body);
    return result;
}

static int
count_entry(struct billet_archive_reader *reader, const struct billet_archive_entry *entry,
            struct billet_error *error)
{
    const struct billet_limits *limits = &reader->limits;
    const char *what = NULL;
    if (++reader->entries > limits->entries)
        what = "entries";
    else if (entry->size > limits->file_bytes)
        what = "bytes in one file";
    else if (__builtin_add_overflow(reader->total_bytes, entry->size, &reader->total_bytes) ||
             reader->total_bytes > limits->total_bytes)
        what = "bytes";
    reader->name_bytes += entry->path_length + entry->target_length + 2;
    if (what == NULL && reader->name_bytes > limits->name_bytes)
        what = "bytes of names";
    if (what == NULL)
        return 0;
    billet_error_set(error, BILLET_CLASS_CAPACITY, "archive_limit",
                     "archive refused: more %s than the limit allows, at %s", what, entry->path);
    return billet_error_hint(error, "leave directories out with an exclude pattern");
}

static int
check_names(const struct billet_archive_reader *reader, const struct billet_archive_entry *entry,
            struct billet_error *error)
{
    int result = billet_path_check(entry->path, entry->path_length, &reader->limits, error);
    if (result < 0)
        return result;
    if (entry->type == BILLET_ENTRY_LINK) {
        if ((reader->limits.flags & BILLET_LIMIT_NO_LINKS) != 0)
            return billet_error_set(error, BILLET_CLASS_AUTH, "link_refused",
                                    "link %s refused: links are not allowed here", entry->path);
        if (!billet_path_target_inside(entry->path, entry->path_length, entry->target,
                                       entry->target_length))
            return billet_error_set(error, BILLET_CLASS_AUTH, "link_refused",
                                    "link %s refused: its target may lead out of the tree",
                                    entry->path);
    }
    if (entry->type == BILLET_ARCHIVE_HARD_LINK) {
        result = billet_path_check(entry->target, entry->target_length, &reader->limits, error);
        if (result < 0)
            return billet_error_wrap(error, "hard link %s", entry->path);
    }
    return 0;
}

int
billet_archive_next(struct billet_archive_reader *reader, struct billet_archive_entry *entry,
                    struct billet_error *error)
{
    unsigned char bytes[BILLET_ARCHIVE_BLOCK];
    struct billet_archive_block block;
    for (;;) {
        int result = skip(reader, reader->left + reader->padding, error);
        reader->left = reader->padding = 0;
        if (result == 0)
            result = read_exactly(reader, bytes, sizeof(bytes), error);
        if (result < 0)
            return result;
        if (is_zero(bytes, sizeof(bytes)))
            return billet_archive_header_pending(&reader->header)
                       ? refused(error, "an extended header describes nothing")
                       : read_end(reader, error);
        result = billet_archive_block_parse(&block, bytes, error);
        if (result < 0)
            return result;
        if (billet_archive_type_is_meta(block.type)) {
            result = read_meta(reader, &block, error);
            if (result < 0)
                return result;
            continue;
        }
        result = billet_archive_header_finish(
            &reader->header, &block, (reader->flags & BILLET_ARCHIVE_DOT) != 0, entry, error);
        if (result < 0)
            return result;
        if (result == 0) { /* the root of a `tar -c .` */
            if (++reader->entries > 1)
                return refused(error, "the root comes after other entries");
            continue;
        }
        result = check_names(reader, entry, error);
        if (result == 0)
            result = count_entry(reader, entry, error);
        if (result < 0)
            return result;
        reader->left = entry->size;
        reader->padding = -entry->size % BILLET_ARCHIVE_BLOCK;
        return 1;
    }
}

int
billet_archive_content(struct billet_archive_reader *reader, const char **bytes, size_t *length,
                       struct billet_error *error)
{
    *length = 0;
    if (reader->left == 0)
        return 0;
    int result = fill(reader, error);
    if (result < 0)
        return result;
    if (result == 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "archive_truncated",
                                "the archive ends too early");
    size_t size = reader->end - reader->start;
    if (size > reader->left)
        size = (size_t)reader->left;
    *bytes = reader->buffer + reader->start;
    *length = size;
    reader->start += size;
    reader->left -= size;
    return 0;
}
