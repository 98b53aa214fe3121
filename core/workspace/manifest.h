/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - what a tree holds at one moment: entries sorted by path, found by
 * path, compared, and written as bytes. Owns its strings; never touches a file.
 *
 * Bytes (version 1, integers as LEB128 unless said, signed ones zigzag):
 *   "BILMAN" 0 1 | flags u8 (1: stat fields of this machine present) | taken_ns | count |
 *   count entries | BLAKE2b-256 of all before
 *   entry: shared (bytes of the previous path that this one begins with) | length | rest of path |
 *     type u8 | bits u8 (1 hashed, 2 racy) | reason u8 | mode |
 *     file: size, mtime_ns, [hash 32] | link: length, target | directory: mtime_ns |
 *     with flag 1: ctime_ns, inode, device
 * Paths rise strictly in the order of billet_path_compare, so none comes twice.
 */
#ifndef BILLET_WORKSPACE_MANIFEST_H
#define BILLET_WORKSPACE_MANIFEST_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "workspace/limits.h"

#define BILLET_ENTRY_FILE 1
#define BILLET_ENTRY_DIRECTORY 2
#define BILLET_ENTRY_LINK 3
#define BILLET_ENTRY_OTHER 4 /* it is there and does not travel; .reason says why */

/* Why something does not travel. */
#define BILLET_REASON_NONE 0
#define BILLET_REASON_EXCLUDED 1 /* a pattern of the caller */
#define BILLET_REASON_IGNORED 2  /* .gitignore */
#define BILLET_REASON_HEAVY 3    /* node_modules and its like */
#define BILLET_REASON_GIT 4      /* the repository itself: it travels as git wants it */
#define BILLET_REASON_SPECIAL 5  /* device, FIFO, socket */
#define BILLET_REASON_LINK 6     /* a link that leads, or may lead, out of the tree */
#define BILLET_REASON_NAME 7     /* a name that cannot travel */
#define BILLET_REASON_MOUNT 8    /* another file system */
#define BILLET_REASON_UNREADABLE 9
#define BILLET_REASON_COUNT 10

#define BILLET_HASH_BYTES 32

struct billet_entry {
    const char *path;   /* NUL-terminated, owned by the manifest */
    const char *target; /* of a link, else NULL */
    uint32_t path_length;
    uint32_t target_length;
    uint8_t type;
    bool hashed; /* hash is the BLAKE2b-256 of the content */
    bool racy;   /* written so shortly before it was looked at that a later write may not show */
    uint8_t reason;
    uint32_t mode; /* the twelve low bits */
    uint64_t size; /* of a file */
    int64_t mtime_ns;
    int64_t ctime_ns; /* 0 with inode and device when it is not of this machine */
    uint64_t inode;
    uint64_t device;
    uint8_t hash[BILLET_HASH_BYTES];
};

struct billet_chunk;

struct billet_manifest {
    struct billet_entry *entries;
    size_t count;
    size_t capacity;
    struct billet_chunk *chunks;
    uint32_t *slots; /* of the index, NULL without one */
    size_t slot_count;
    uint64_t name_bytes;
    int64_t taken_ns; /* wall clock of the file system when the look began */
    bool sorted;
};

#define BILLET_MANIFEST_INIT \
    {                        \
        0                    \
    }

/* Add a copy (strings too). Unknown whether the path is there already unless there is an index. */
int billet_manifest_add(struct billet_manifest *manifest, const struct billet_entry *entry,
                        struct billet_error *error);
/* A copy of the bytes that lives as long as the manifest, NUL-terminated; NULL without memory. */
char *billet_manifest_text(struct billet_manifest *manifest, const char *bytes, size_t length);
/* Move all entries of from to the end of manifest; from is empty afterwards. */
int billet_manifest_join(struct billet_manifest *manifest, struct billet_manifest *from,
                         struct billet_error *error);
void billet_manifest_sort(struct billet_manifest *manifest);
/* Keep an index by path from now on: find works while entries are still added. */
int billet_manifest_index(struct billet_manifest *manifest, struct billet_error *error);
/* NULL when absent. Valid until the next add. The manifest is sorted or has an index. */
struct billet_entry *billet_manifest_find(const struct billet_manifest *manifest, const char *path,
                                          size_t length);
/* The same of a sorted manifest for one who asks in the order of paths: *at is where he is, 0 at
 * first, and the whole walk looks at each entry once. */
const struct billet_entry *billet_manifest_follow(const struct billet_manifest *manifest,
                                                  size_t *at, const struct billet_entry *entry);
/* Position of the first entry not below path (sorted manifests). */
size_t billet_manifest_lower_bound(const struct billet_manifest *manifest, const char *path,
                                   size_t length);
void billet_manifest_free(struct billet_manifest *manifest);
#define cleanup_manifest __attribute__((cleanup(billet_manifest_free)))

/* The stat fields prove that nobody wrote to it in between. */
bool billet_entry_same_stat(const struct billet_entry *earlier, const struct billet_entry *now);
/* Same type, content and permission: by stat fields, else by hash; what neither shows differs. */
bool billet_entry_same(const struct billet_entry *earlier, const struct billet_entry *now);

#define BILLET_MANIFEST_LOCAL 0x1u /* with ctime, inode and device */

int billet_manifest_encode(const struct billet_manifest *manifest, unsigned flags,
                           struct billet_buffer *to, struct billet_error *error);
/* Refuses (class AUTH, manifest_invalid) whatever encode would not have written, and what exceeds
 * limits. *manifest is empty before and on failure. */
int billet_manifest_decode(const void *bytes, size_t length, const struct billet_limits *limits,
                           struct billet_manifest *manifest, struct billet_error *error);

#endif
