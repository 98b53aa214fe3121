/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive_header.h - the bytes of tar headers: ustar blocks, pax records, GNU long
 * names, and what they say together about one entry. Private to the archive.
 */
#ifndef BILLET_WORKSPACE_ARCHIVE_HEADER_H
#define BILLET_WORKSPACE_ARCHIVE_HEADER_H

#include "workspace/archive.h"

#define BILLET_ARCHIVE_BLOCK 512u
#define BILLET_ARCHIVE_META_MAX (1u << 20)
#define BILLET_ARCHIVE_OCTAL_MAX UINT64_C(077777777777)

/* One block, its fields taken apart. */
struct billet_archive_block {
    char type;
    char name[257]; /* with the prefix of ustar */
    char link[101];
    uint64_t size;
    uint64_t mode;
    uint64_t mtime;
};

/* What extended headers said about the entry to come. */
struct billet_archive_header {
    char *path;
    char *target;
    size_t path_length;
    size_t target_length;
    uint64_t size;
    int64_t mtime_ns;
    bool has_size;
    bool has_mtime;
    bool seen_pax;
    bool seen_global;
    bool long_path; /* GNU's */
    bool long_target;
    /* What the entry handed out points to. */
    char *entry_path;
    char *entry_target;
};

int billet_archive_block_parse(struct billet_archive_block *block,
                               const unsigned char bytes[BILLET_ARCHIVE_BLOCK],
                               struct billet_error *error);
bool billet_archive_type_is_meta(char type);
/* Take in the body (NUL-terminated besides) of a header of such a type. */
int billet_archive_header_meta(struct billet_archive_header *header, char type, const char *body,
                               size_t length, struct billet_error *error);
bool billet_archive_header_pending(const struct billet_archive_header *header);
/* Put block and extended headers together; 1, 0 for the root of a dot archive, negative. */
int billet_archive_header_finish(struct billet_archive_header *header,
                                 const struct billet_archive_block *block, bool dot,
                                 struct billet_archive_entry *entry, struct billet_error *error);
void billet_archive_header_free(struct billet_archive_header *header);

#endif
