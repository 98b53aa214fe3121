/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.h - a tree as a stream that any tar can read and make (POSIX.1-2001 pax
 * interchange format; on the way in also GNU's long names). Bounded: memory does
 * not grow with the stream. Refuses, never repairs. Touches no tree; see stage.h.
 *
 * Accepted: files, directories, symbolic links that stay inside, hard links to a file of the same
 * archive. Refused: every other type, every malformed, unknown or contradictory header, names that
 * path.h refuses, content beyond the limits. Owner, extended attributes, ACLs and flags are read
 * over; of the mode only 0755 is kept.
 */
#ifndef BILLET_WORKSPACE_ARCHIVE_H
#define BILLET_WORKSPACE_ARCHIVE_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "workspace/limits.h"
#include "workspace/manifest.h"
#include "workspace/root.h"

/* Names begin with "./" and the first entry may be "./" itself, as `tar -c .` writes them. */
#define BILLET_ARCHIVE_DOT 0x1u

#define BILLET_ARCHIVE_HARD_LINK                                    \
    5 /* a type beside BILLET_ENTRY_*: target names an earlier file \
       */

struct billet_archive_entry {
    const char *path; /* NUL-terminated, checked; valid until the next call */
    size_t path_length;
    const char *target; /* of links, else NULL */
    size_t target_length;
    int type; /* BILLET_ENTRY_FILE, _DIRECTORY, _LINK or BILLET_ARCHIVE_HARD_LINK */
    uint32_t mode;
    uint64_t size;
    int64_t mtime_ns;
    bool mtime_exact; /* a pax record said it, in nanoseconds */
};

/* As read(2). */
typedef ssize_t billet_archive_source(void *context, void *to, size_t size);

struct billet_archive_reader;

/* limits are copied. */
int billet_archive_reader_new(billet_archive_source *source, void *context,
                              const struct billet_limits *limits, unsigned flags,
                              struct billet_archive_reader **reader, struct billet_error *error);
/* The same from a descriptor, which stays the caller's; waits no longer than the deadline. */
int billet_archive_reader_fd(int fd, const struct billet_limits *limits, unsigned flags,
                             struct billet_archive_reader **reader, struct billet_error *error);
/* 1 with the next entry, 0 at the proper end of the archive (all of the stream has been read and
 * what followed was padding), negative otherwise. Skips what was not read of the last content. */
int billet_archive_next(struct billet_archive_reader *reader, struct billet_archive_entry *entry,
                        struct billet_error *error);
/* The next piece of the entry's content, *length 0 at its end; valid until the next call. */
int billet_archive_content(struct billet_archive_reader *reader, const char **bytes, size_t *length,
                           struct billet_error *error);
void billet_archive_reader_free(struct billet_archive_reader *reader);

/* Called now and then with the bytes so far; negative stops with class CANCELLED. */
typedef int billet_progress(void *context, uint64_t done_bytes, uint64_t total_bytes);

struct billet_archive_writer;

/* fd stays the caller's. */
int billet_archive_writer_new(int fd, struct billet_archive_writer **writer,
                              struct billet_error *error);
/* A directory, a link, or a file whose content follows by billet_archive_put. */
int billet_archive_begin(struct billet_archive_writer *writer, const struct billet_entry *entry,
                         struct billet_error *error);
int billet_archive_put(struct billet_archive_writer *writer, const void *bytes, size_t length,
                       struct billet_error *error);
/* The file at entry->path of the tree: opened without following links, with the size it has then.
 * Gone or no longer a plain file: class UNAVAILABLE, code workspace_changed, nothing written. */
int billet_archive_put_file(struct billet_archive_writer *writer, const struct billet_root *root,
                            const struct billet_entry *entry, struct billet_error *error);
/* End marker and padding to a full record; everything is written out. */
int billet_archive_finish(struct billet_archive_writer *writer, struct billet_error *error);
uint64_t billet_archive_written(const struct billet_archive_writer *writer);
void billet_archive_writer_free(struct billet_archive_writer *writer);

#endif
