/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_bytes.c - a manifest as bytes and back; the form is described in manifest.h.
 */
#include <sodium.h>
#include <string.h>

#include "base/error.h"
#include "workspace/bytes.h"
#include "workspace/manifest.h"
#include "workspace/path.h"

static const unsigned char magic[8] = {'B', 'I', 'L', 'M', 'A', 'N', 0, 1};

#define BIT_HASHED 0x1u
#define BIT_RACY 0x2u

static void
put_entry(struct billet_buffer *to, const struct billet_entry *entry,
          const struct billet_entry *before, bool local)
{
    size_t shared = 0;
    if (before != NULL)
        while (shared < before->path_length && shared < entry->path_length &&
               before->path[shared] == entry->path[shared])
            shared++;
    billet_bytes_put_number(to, shared);
    billet_bytes_put_number(to, entry->path_length - shared);
    billet_buffer_append(to, entry->path + shared, entry->path_length - shared);
    billet_buffer_add_char(to, (char)entry->type);
    billet_buffer_add_char(
        to, (char)((entry->hashed ? BIT_HASHED : 0u) | (entry->racy ? BIT_RACY : 0u)));
    billet_buffer_add_char(to, (char)entry->reason);
    billet_bytes_put_number(to, entry->mode);
    if (entry->type == BILLET_ENTRY_FILE)
        billet_bytes_put_number(to, entry->size);
    if (entry->type == BILLET_ENTRY_FILE || entry->type == BILLET_ENTRY_DIRECTORY)
        billet_bytes_put_signed(to, entry->mtime_ns);
    if (entry->hashed)
        billet_buffer_append(to, entry->hash, sizeof(entry->hash));
    if (entry->type == BILLET_ENTRY_LINK) {
        billet_bytes_put_number(to, entry->target_length);
        billet_buffer_append(to, entry->target, entry->target_length);
    }
    if (local) {
        billet_bytes_put_signed(to, entry->ctime_ns);
        billet_bytes_put_number(to, entry->inode);
        billet_bytes_put_number(to, entry->device);
    }
}

int
billet_manifest_encode(const struct billet_manifest *manifest, unsigned flags,
                       struct billet_buffer *to, struct billet_error *error)
{
    size_t start = to->length;
    billet_buffer_append(to, magic, sizeof(magic));
    billet_buffer_add_char(to, (char)flags);
    billet_bytes_put_signed(to, manifest->taken_ns);
    billet_bytes_put_number(to, manifest->count);
    for (size_t i = 0; i < manifest->count; i++)
        put_entry(to, &manifest->entries[i], i > 0 ? &manifest->entries[i - 1] : NULL,
                  (flags & BILLET_MANIFEST_LOCAL) != 0);
    unsigned char sum[BILLET_HASH_BYTES];
    if (to->failed)
        return billet_error_no_memory(error);
    crypto_generichash(sum, sizeof(sum), (const unsigned char *)to->data + start,
                       to->length - start, NULL, 0);
    billet_buffer_append(to, sum, sizeof(sum));
    return to->failed ? billet_error_no_memory(error) : 0;
}

static int
invalid(struct billet_error *error, const char *what)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "manifest_invalid", "manifest refused: %s",
                            what);
}

/* Path of the entry into path[4096]. */
static int
get_path(struct billet_bytes *from, char *path, struct billet_entry *entry,
         const struct billet_entry *before, const struct billet_limits *limits,
         struct billet_error *error)
{
    uint64_t shared = billet_bytes_get_number(from);
    uint64_t rest = billet_bytes_get_number(from);
    const unsigned char *bytes = billet_bytes_get_bytes(from, rest);
    uint64_t before_length = before != NULL ? before->path_length : 0;
    if (bytes == NULL || shared > before_length || rest > 4095 || shared + rest > 4095)
        return invalid(error, "it ends early or a path is too long");
    if (shared > 0)
        memcpy(path, before->path, shared);
    memcpy(path + shared, bytes, rest);
    entry->path = path;
    entry->path_length = (uint32_t)(shared + rest);
    path[entry->path_length] = '\0';
    if (billet_path_check(path, entry->path_length, limits, error) < 0)
        return billet_error_wrap(error, "manifest");
    if (before != NULL &&
        billet_path_compare(before->path, before->path_length, path, entry->path_length) >= 0)
        return invalid(error, "paths do not rise");
    if (before != NULL && shared < before->path_length && rest > 0 &&
        before->path[shared] == path[shared])
        return invalid(error, "a path is not in its shortest form");
    return 0;
}

static int
get_entry(struct billet_bytes *from, char *path, bool local, struct billet_entry *entry,
          const struct billet_entry *before, const struct billet_limits *limits,
          struct billet_error *error)
{
    int result = get_path(from, path, entry, before, limits, error);
    if (result < 0)
        return result;
    entry->type = billet_bytes_get_byte(from);
    uint8_t bits = billet_bytes_get_byte(from);
    entry->reason = billet_bytes_get_byte(from);
    uint64_t mode = billet_bytes_get_number(from);
    if (from->bad || entry->type < BILLET_ENTRY_FILE || entry->type > BILLET_ENTRY_OTHER ||
        (bits & ~(BIT_HASHED | BIT_RACY)) != 0 || mode > 07777 ||
        entry->reason >= BILLET_REASON_COUNT ||
        ((bits & BIT_HASHED) != 0 && entry->type != BILLET_ENTRY_FILE) ||
        (entry->type == BILLET_ENTRY_OTHER) != (entry->reason != BILLET_REASON_NONE))
        return invalid(error, "an entry is malformed");
    entry->mode = (uint32_t)mode;
    entry->hashed = (bits & BIT_HASHED) != 0;
    entry->racy = (bits & BIT_RACY) != 0;
    if (entry->type == BILLET_ENTRY_FILE)
        entry->size = billet_bytes_get_number(from);
    if (entry->size > limits->file_bytes)
        return invalid(error, "a file is larger than the limit");
    if (entry->type == BILLET_ENTRY_FILE || entry->type == BILLET_ENTRY_DIRECTORY)
        entry->mtime_ns = billet_bytes_get_signed(from);
    if (entry->hashed) {
        const unsigned char *hash = billet_bytes_get_bytes(from, sizeof(entry->hash));
        if (hash != NULL)
            memcpy(entry->hash, hash, sizeof(entry->hash));
    }
    if (entry->type == BILLET_ENTRY_LINK) {
        uint64_t length = billet_bytes_get_number(from);
        const unsigned char *target = billet_bytes_get_bytes(from, length);
        if (target == NULL || !billet_path_target_inside(path, entry->path_length,
                                                         (const char *)target, (size_t)length))
            return invalid(error, "a link may lead out of the tree");
        entry->target = (const char *)target;
        entry->target_length = (uint32_t)length;
    }
    if (local) {
        entry->ctime_ns = billet_bytes_get_signed(from);
        entry->inode = billet_bytes_get_number(from);
        entry->device = billet_bytes_get_number(from);
    }
    return from->bad ? invalid(error, "it ends within an entry") : 0;
}

int
billet_manifest_decode(const void *bytes, size_t length, const struct billet_limits *limits,
                       struct billet_manifest *manifest, struct billet_error *error)
{
    unsigned char sum[BILLET_HASH_BYTES];
    const unsigned char *start = bytes;
    if (length < sizeof(magic) + 1 + sizeof(sum) || memcmp(start, magic, 7) != 0)
        return invalid(error, "not a manifest");
    if (start[7] != magic[7])
        return invalid(error, "written by another version of billet");
    struct billet_bytes from = {.at = start + sizeof(magic), .end = start + length - sizeof(sum)};
    crypto_generichash(sum, sizeof(sum), start, length - sizeof(sum), NULL, 0);
    if (memcmp(sum, from.end, sizeof(sum)) != 0)
        return invalid(error, "its checksum does not fit");
    uint8_t flags = billet_bytes_get_byte(&from);
    manifest->taken_ns = billet_bytes_get_signed(&from);
    uint64_t count = billet_bytes_get_number(&from);
    /* No entry has fewer than six bytes, so a count that lies is found before memory is taken. */
    if (from.bad || (flags & ~BILLET_MANIFEST_LOCAL) != 0 || count > limits->entries ||
        count > (uint64_t)(from.end - from.at) / 6)
        return invalid(error, "its head is malformed or its limit is exceeded");
    char path[4096];
    int result = 0;
    for (uint64_t i = 0; i < count && result == 0; i++) {
        struct billet_entry entry = {0};
        const struct billet_entry *before = i > 0 ? &manifest->entries[i - 1] : NULL;
        result = get_entry(&from, path, (flags & BILLET_MANIFEST_LOCAL) != 0, &entry, before,
                           limits, error);
        if (result == 0)
            result = billet_manifest_add(manifest, &entry, error);
        if (result == 0 && manifest->name_bytes > limits->name_bytes)
            result = invalid(error, "its names exceed the limit");
    }
    if (result == 0 && from.at != from.end)
        result = invalid(error, "bytes follow its last entry");
    if (result < 0)
        billet_manifest_free(manifest);
    else
        manifest->sorted = true;
    return result;
}
