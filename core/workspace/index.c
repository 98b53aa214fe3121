/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/index.h"

#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "workspace/path.h"

#define INDEX_BYTES_MAX (UINT64_C(256) << 20)
#define FIXED_BYTES 62u /* stat fields, object id of 20 bytes, flags */
#define TRAILER_BYTES 20u

static uint32_t
get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* How many bytes of the previous path to drop: the format's own variable-width number. */
static const unsigned char *
get_strip(const unsigned char *at, const unsigned char *end, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < 5 && at < end; i++) {
        *value = i == 0 ? *at & 0x7fu : ((*value + 1) << 7 | (*at & 0x7fu));
        if ((*at++ & 0x80) == 0)
            return at;
    }
    return NULL;
}

int
billet_index_parse(const void *bytes, size_t length, struct billet_manifest *tracked,
                   struct billet_error *error)
{
    const unsigned char *start = bytes;
    if (length < 12 + TRAILER_BYTES || memcmp(start, "DIRC", 4) != 0)
        return 0;
    uint32_t version = get_u32(start + 4);
    uint32_t count = get_u32(start + 8);
    const unsigned char *end = start + length - TRAILER_BYTES;
    const unsigned char *at = start + 12;
    char path[4096] = "";
    size_t path_length = 0;
    if (version < 2 || version > 4)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *entry = at;
        if ((size_t)(end - at) < FIXED_BYTES + 2)
            return 0;
        unsigned flags = (unsigned)at[60] << 8 | at[61];
        at += FIXED_BYTES;
        if ((flags & 0x4000) != 0) {
            if (version < 3)
                return 0;
            at += 2;
        }
        uint64_t keep = 0;
        if (version == 4) {
            uint64_t strip;
            at = get_strip(at, end, &strip);
            if (at == NULL || strip > path_length)
                return 0;
            keep = path_length - strip;
        }
        const unsigned char *nul = memchr(at, '\0', (size_t)(end - at));
        if (nul == NULL || keep + (size_t)(nul - at) >= sizeof(path))
            return 0;
        memcpy(path + keep, at, (size_t)(nul - at));
        path_length = keep + (size_t)(nul - at);
        path[path_length] = '\0';
        at = nul + 1;
        if (version < 4) {
            size_t whole = ((size_t)(nul - entry) + 8) & ~(size_t)7;
            if (whole > (size_t)(end - entry))
                return 0;
            at = entry + whole;
        }
        struct billet_entry name = {
            .path = path, .path_length = (uint32_t)path_length, .type = BILLET_ENTRY_FILE};
        int result = billet_manifest_add(tracked, &name, error);
        if (result < 0)
            return result;
    }
    billet_manifest_sort(tracked);
    return 1;
}

int
billet_index_read(const struct billet_root *root, struct billet_manifest *tracked,
                  struct billet_error *error)
{
    struct stat status;
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    cleanup_fd int fd = billet_root_openat(root, ".git/index", O_RDONLY | O_NONBLOCK, 0);
    tracked->sorted = true;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    int result = billet_io_read_all(fd, &bytes, INDEX_BYTES_MAX, error);
    if (result == 0)
        result = billet_index_parse(bytes.data, bytes.length, tracked, error);
    if (result == 0) {
        billet_manifest_free(tracked);
        tracked->sorted = true;
    }
    return result < 0 ? billet_error_wrap(error, ".git/index") : 0;
}
