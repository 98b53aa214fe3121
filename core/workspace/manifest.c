/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/manifest.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "workspace/path.h"

#define CHUNK_BYTES 65000u

struct billet_chunk {
    struct billet_chunk *next;
    size_t used;
    size_t size;
    char bytes[];
};

char *
billet_manifest_text(struct billet_manifest *manifest, const char *bytes, size_t length)
{
    struct billet_chunk *chunk = manifest->chunks;
    if (chunk == NULL || chunk->size - chunk->used < length + 1) {
        size_t size = length + 1 > CHUNK_BYTES ? length + 1 : CHUNK_BYTES;
        chunk = malloc(sizeof(*chunk) + size);
        if (chunk == NULL)
            return NULL;
        chunk->next = manifest->chunks;
        chunk->used = 0;
        chunk->size = size;
        manifest->chunks = chunk;
    }
    char *text = chunk->bytes + chunk->used;
    if (length > 0)
        memcpy(text, bytes, length);
    text[length] = '\0';
    chunk->used += length + 1;
    manifest->name_bytes += length + 1;
    return text;
}

static int
reserve(struct billet_manifest *manifest, size_t more, struct billet_error *error)
{
    size_t wanted = manifest->count + more;
    if (wanted <= manifest->capacity)
        return 0;
    size_t capacity = manifest->capacity + manifest->capacity / 2 + 64;
    if (capacity < wanted)
        capacity = wanted;
    struct billet_entry *entries =
        reallocarray(manifest->entries, capacity, sizeof(*manifest->entries));
    if (entries == NULL)
        return billet_error_no_memory(error);
    manifest->entries = entries;
    manifest->capacity = capacity;
    return 0;
}

/* Keyed, so that chosen names cannot make every look-up slow. */
static uint64_t
hash_path(const char *path, size_t length)
{
    static unsigned char key[crypto_shorthash_KEYBYTES];
    static bool ready;
    if (!ready) {
        randombytes_buf(key, sizeof(key));
        ready = true;
    }
    uint64_t value;
    unsigned char out[crypto_shorthash_BYTES];
    crypto_shorthash(out, (const unsigned char *)path, length, key);
    memcpy(&value, out, sizeof(value));
    return value;
}

static void
put_slot(struct billet_manifest *manifest, size_t position)
{
    const struct billet_entry *entry = &manifest->entries[position];
    size_t mask = manifest->slot_count - 1;
    size_t at = (size_t)hash_path(entry->path, entry->path_length) & mask;
    while (manifest->slots[at] != 0)
        at = (at + 1) & mask;
    manifest->slots[at] = (uint32_t)position + 1;
}

static int
build_index(struct billet_manifest *manifest, size_t slot_count, struct billet_error *error)
{
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (slots == NULL)
        return billet_error_no_memory(error);
    free(manifest->slots);
    manifest->slots = slots;
    manifest->slot_count = slot_count;
    for (size_t i = 0; i < manifest->count; i++)
        put_slot(manifest, i);
    return 0;
}

int
billet_manifest_index(struct billet_manifest *manifest, struct billet_error *error)
{
    size_t slot_count = 1024;
    while (slot_count < manifest->count * 2)
        slot_count *= 2;
    return build_index(manifest, slot_count, error);
}

int
billet_manifest_add(struct billet_manifest *manifest, const struct billet_entry *entry,
                    struct billet_error *error)
{
    if (reserve(manifest, 1, error) < 0)
        return -BILLET_CLASS_CAPACITY;
    if (manifest->count >= UINT32_MAX / 4)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large", "too many entries");
    if (manifest->slots != NULL && (manifest->count + 1) * 2 > manifest->slot_count &&
        build_index(manifest, manifest->slot_count * 2, error) < 0)
        return -BILLET_CLASS_CAPACITY;
    struct billet_entry copy = *entry;
    copy.path = billet_manifest_text(manifest, entry->path, entry->path_length);
    if (entry->target != NULL)
        copy.target = billet_manifest_text(manifest, entry->target, entry->target_length);
    if (copy.path == NULL || (entry->target != NULL && copy.target == NULL))
        return billet_error_no_memory(error);
    manifest->entries[manifest->count++] = copy;
    manifest->sorted = false;
    if (manifest->slots != NULL)
        put_slot(manifest, manifest->count - 1);
    return 0;
}

int
billet_manifest_join(struct billet_manifest *manifest, struct billet_manifest *from,
                     struct billet_error *error)
{
    if (manifest->count == 0) {
        /* The first one's are taken as they are. */
        free(manifest->entries);
        manifest->entries = from->entries;
        manifest->capacity = from->capacity;
        from->entries = NULL;
    } else if (reserve(manifest, from->count, error) < 0) {
        return -BILLET_CLASS_CAPACITY;
    }
    if (from->count > 0 && from->entries != NULL)
        memcpy(manifest->entries + manifest->count, from->entries,
               from->count * sizeof(*from->entries));
    manifest->count += from->count;
    manifest->name_bytes += from->name_bytes;
    manifest->sorted = false;
    while (from->chunks != NULL) {
        struct billet_chunk *chunk = from->chunks;
        from->chunks = chunk->next;
        if (manifest->chunks == NULL) {
            chunk->next = NULL;
            manifest->chunks = chunk;
        } else {
            chunk->next = manifest->chunks->next;
            manifest->chunks->next = chunk;
        }
    }
    from->count = 0;
    billet_manifest_free(from);
    return manifest->slots != NULL ? billet_manifest_index(manifest, error) : 0;
}

static int
compare_entries(const void *left, const void *right)
{
    const struct billet_entry *a = left;
    const struct billet_entry *b = right;
    return billet_path_compare(a->path, a->path_length, b->path, b->path_length);
}

void
billet_manifest_sort(struct billet_manifest *manifest)
{
    if (!manifest->sorted && manifest->count > 1)
        qsort(manifest->entries, manifest->count, sizeof(*manifest->entries), compare_entries);
    manifest->sorted = true;
    if (manifest->slots != NULL) {
        memset(manifest->slots, 0, manifest->slot_count * sizeof(*manifest->slots));
        for (size_t i = 0; i < manifest->count; i++)
            put_slot(manifest, i);
    }
}

size_t
billet_manifest_lower_bound(const struct billet_manifest *manifest, const char *path, size_t length)
{
    size_t low = 0;
    size_t high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct billet_entry *entry = &manifest->entries[middle];
        if (billet_path_compare(entry->path, entry->path_length, path, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool
is_path(const struct billet_entry *entry, const char *path, size_t length)
{
    return entry->path_length == length && memcmp(entry->path, path, length) == 0;
}

struct billet_entry *
billet_manifest_find(const struct billet_manifest *manifest, const char *path, size_t length)
{
    if (manifest->slots == NULL) {
        size_t at = billet_manifest_lower_bound(manifest, path, length);
        return at < manifest->count && is_path(&manifest->entries[at], path, length)
                   ? &manifest->entries[at]
                   : NULL;
    }
    size_t mask = manifest->slot_count - 1;
    for (size_t at = (size_t)hash_path(path, length) & mask; manifest->slots[at] != 0;
         at = (at + 1) & mask) {
        struct billet_entry *entry = &manifest->entries[manifest->slots[at] - 1];
        if (is_path(entry, path, length))
            return entry;
    }
    return NULL;
}

const struct billet_entry *
billet_manifest_follow(const struct billet_manifest *manifest, size_t *at,
                       const struct billet_entry *entry)
{
    for (; *at < manifest->count; ++*at) {
        const struct billet_entry *here = &manifest->entries[*at];
        int order =
            billet_path_compare(here->path, here->path_length, entry->path, entry->path_length);
        if (order >= 0)
            return order == 0 ? here : NULL;
    }
    return NULL;
}

void
billet_manifest_free(struct billet_manifest *manifest)
{
    while (manifest->chunks != NULL) {
        struct billet_chunk *chunk = manifest->chunks;
        manifest->chunks = chunk->next;
        free(chunk);
    }
    free(manifest->entries);
    free(manifest->slots);
    *manifest = (struct billet_manifest)BILLET_MANIFEST_INIT;
}

bool
billet_entry_same_stat(const struct billet_entry *earlier, const struct billet_entry *now)
{
    return !earlier->racy && earlier->inode != 0 && earlier->type == now->type &&
           earlier->mode == now->mode && earlier->size == now->size &&
           earlier->mtime_ns == now->mtime_ns && earlier->ctime_ns == now->ctime_ns &&
           earlier->inode == now->inode && earlier->device == now->device;
}

bool
billet_entry_same(const struct billet_entry *earlier, const struct billet_entry *now)
{
    if (earlier->type != now->type)
        return false;
    switch (earlier->type) {
    case BILLET_ENTRY_LINK:
        return earlier->target_length == now->target_length &&
               memcmp(earlier->target, now->target, now->target_length) == 0;
    case BILLET_ENTRY_DIRECTORY:
        return earlier->mode == now->mode;
    case BILLET_ENTRY_FILE:
        if (earlier->mode != now->mode || earlier->size != now->size)
            return false;
        return billet_entry_same_stat(earlier, now) ||
               (earlier->hashed && now->hashed &&
                memcmp(earlier->hash, now->hash, sizeof(now->hash)) == 0);
    default:
        return true;
    }
}
