/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive_write.c - from entries to a stream: ustar blocks, with a pax header where a name, a size
 * or the nanoseconds of a time do not fit into one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "workspace/archive_header.h"

#define BUFFER_BYTES (512u << 10)
#define RECORD_BYTES 10240u

struct billet_archive_writer {
    int fd;
    char *buffer;
    size_t used;
    uint64_t written; /* with what is still in the buffer */
    uint64_t left;    /* content the current entry still owes */
    uint64_t padding;
};

int
billet_archive_writer_new(int fd, struct billet_archive_writer **made, struct billet_error *error)
{
    struct billet_archive_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return billet_error_no_memory(error);
    writer->buffer = malloc(BUFFER_BYTES);
    writer->fd = fd;
    if (writer->buffer == NULL) {
        free(writer);
        return billet_error_no_memory(error);
    }
    *made = writer;
    return 0;
}

void
billet_archive_writer_free(struct billet_archive_writer *writer)
{
    if (writer == NULL)
        return;
    free(writer->buffer);
    free(writer);
}

uint64_t
billet_archive_written(const struct billet_archive_writer *writer)
{
    return writer->written;
}

static int
flush(struct billet_archive_writer *writer, struct billet_error *error)
{
    int result = billet_io_write_all(writer->fd, writer->buffer, writer->used, error);
    writer->used = 0;
    return result < 0 ? billet_error_wrap(error, "archive") : 0;
}

static int
put(struct billet_archive_writer *writer, const void *bytes, size_t length,
    struct billet_error *error)
{
    const char *at = bytes;
    writer->written += length;
    while (length > 0) {
        size_t room = BUFFER_BYTES - writer->used;
        size_t piece = length < room ? length : room;
        if (at != NULL)
            memcpy(writer->buffer + writer->used, at, piece);
        else
            memset(writer->buffer + writer->used, 0, piece);
        writer->used += piece;
        length -= piece;
        if (at != NULL)
            at += piece;
        if (writer->used == BUFFER_BYTES && flush(writer, error) < 0)
            return -(error != NULL ? error->error_class : BILLET_CLASS_INTERNAL);
    }
    return 0;
}

static void
put_octal(char *field, size_t size, uint64_t value)
{
    for (size_t i = size - 1; i > 0; i--) {
        field[i - 1] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static int
put_block(struct billet_archive_writer *writer, const char *name, size_t name_length,
          const struct billet_entry *entry, char type, uint64_t size, struct billet_error *error)
{
    char block[BILLET_ARCHIVE_BLOCK] = {0};
    memcpy(block, name, name_length < 100 ? name_length : 100);
    if (type == '5' && name_length < 100)
        block[name_length] = '/';
    put_octal(block + 100, 8, entry->mode & 0777);
    put_octal(block + 108, 8, 0);
    put_octal(block + 116, 8, 0);
    put_octal(block + 124, 12, size <= BILLET_ARCHIVE_OCTAL_MAX ? size : 0);
    int64_t seconds = entry->mtime_ns / 1000000000;
    put_octal(block + 136, 12,
              seconds >= 0 && (uint64_t)seconds <= BILLET_ARCHIVE_OCTAL_MAX ? (uint64_t)seconds
                                                                            : 0);
    block[156] = type;
    if (entry->target != NULL && type == '2')
        memcpy(block + 157, entry->target, entry->target_length < 100 ? entry->target_length : 100);
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < sizeof(block); i++)
        sum += (unsigned char)block[i];
    put_octal(block + 148, 7, sum);
    block[154] = '\0';
    block[155] = ' ';
    return put(writer, block, sizeof(block), error);
}

/* The length of a record counts its own digits. */
static void
add_record(struct billet_buffer *to, const char *key, const char *value, size_t length)
{
    size_t rest = strlen(key) + length + 3;
    size_t whole = rest + 1;
    for (int i = 0; i < 3; i++)
        whole = rest + (size_t)snprintf(NULL, 0, "%zu", whole);
    billet_buffer_format(to, "%zu %s=", whole, key);
    billet_buffer_append(to, value, length);
    billet_buffer_add_char(to, '\n');
}

static int
put_pax(struct billet_archive_writer *writer, const struct billet_entry *entry, uint64_t size,
        struct billet_error *error)
{
    char number[48];
    cleanup_buffer struct billet_buffer records = BILLET_BUFFER_INIT;
    size_t name_room = entry->type == BILLET_ENTRY_DIRECTORY ? 99 : 100;
    if (entry->path_length > name_room)
        add_record(&records, "path", entry->path, entry->path_length);
    if (entry->target != NULL && entry->target_length > 100)
        add_record(&records, "linkpath", entry->target, entry->target_length);
    if (size > BILLET_ARCHIVE_OCTAL_MAX)
        add_record(&records, "size", number,
                   (size_t)snprintf(number, sizeof(number), "%" PRIu64, size));
    if (entry->type == BILLET_ENTRY_FILE || entry->mtime_ns < 0) {
        uint64_t ns = entry->mtime_ns < 0 ? -(uint64_t)entry->mtime_ns : (uint64_t)entry->mtime_ns;
        add_record(&records, "mtime", number,
                   (size_t)snprintf(number, sizeof(number), "%s%" PRIu64 ".%09" PRIu64,
                                    entry->mtime_ns < 0 ? "-" : "", ns / 1000000000,
                                    ns % 1000000000));
    }
    if (records.failed)
        return billet_error_no_memory(error);
    if (records.length == 0)
        return 0;
    struct billet_entry head = {.mode = 0644};
    int result = put_block(writer, "pax", 3, &head, 'x', records.length, error);
    if (result == 0)
        result = put(writer, records.data, records.length, error);
    if (result == 0)
        result = put(writer, NULL, -records.length % BILLET_ARCHIVE_BLOCK, error);
    return result;
}

int
billet_archive_begin(struct billet_archive_writer *writer, const struct billet_entry *entry,
                     struct billet_error *error)
{
    char type = entry->type == BILLET_ENTRY_DIRECTORY ? '5'
                : entry->type == BILLET_ENTRY_LINK    ? '2'
                                                      : '0';
    uint64_t size = entry->type == BILLET_ENTRY_FILE ? entry->size : 0;
    if (writer->left != 0 || entry->type == BILLET_ENTRY_OTHER)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "archive: the entry before %s is not complete", entry->path);
    int result = put_pax(writer, entry, size, error);
    if (result == 0)
        result = put_block(writer, entry->path, entry->path_length, entry, type, size, error);
    writer->left = size;
    writer->padding = -size % BILLET_ARCHIVE_BLOCK;
    return result;
}

static int
end_content(struct billet_archive_writer *writer, uint64_t length, struct billet_error *error)
{
    writer->left -= length;
    if (writer->left > 0)
        return 0;
    uint64_t padding = writer->padding;
    writer->padding = 0;
    return put(writer, NULL, (size_t)padding, error);
}

int
billet_archive_put(struct billet_archive_writer *writer, const void *bytes, size_t length,
                   struct billet_error *error)
{
    if (length > writer->left)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "archive: more content than the header said");
    int result = put(writer, bytes, length, error);
    return result < 0 ? result : end_content(writer, length, error);
}

/* Straight into the buffer, so that content is copied once. */
static int
put_content(struct billet_archive_writer *writer, int fd, const char *path,
            struct billet_error *error)
{
    while (writer->left > 0) {
        if (writer->used == BUFFER_BYTES) {
            int result = flush(writer, error);
            if (result < 0)
                return result;
        }
        size_t room = BUFFER_BYTES - writer->used;
        if (room > writer->left)
            room = (size_t)writer->left;
        ssize_t got = read(fd, writer->buffer + writer->used, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot read %s", path);
        if (got == 0)
            return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_changed",
                                    "%s became shorter while it was read", path);
        writer->used += (size_t)got;
        writer->written += (uint64_t)got;
        int result = end_content(writer, (uint64_t)got, error);
        if (result < 0)
            return result;
    }
    return 0;
}

int
billet_archive_put_file(struct billet_archive_writer *writer, const struct billet_root *root,
                        const struct billet_entry *entry, struct billet_error *error)
{
    struct stat status;
    cleanup_fd int fd = billet_root_openat(root, entry->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot read %s", entry->path);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_changed",
                                "%s went away while the workspace was read", entry->path);
    struct billet_entry now = *entry;
    now.size = (uint64_t)status.st_size;
    now.mode = status.st_mode & 07777;
    now.mtime_ns = billet_stat_mtime(&status);
    int result = billet_archive_begin(writer, &now, error);
    return result < 0 ? result : put_content(writer, fd, entry->path, error);
}

int
billet_archive_finish(struct billet_archive_writer *writer, struct billet_error *error)
{
    int result = put(writer, NULL, 2 * BILLET_ARCHIVE_BLOCK, error);
    if (result == 0)
        result =
            put(writer, NULL,
                (size_t)((RECORD_BYTES - writer->written % RECORD_BYTES) % RECORD_BYTES), error);
    return result < 0 ? result : flush(writer, error);
}
