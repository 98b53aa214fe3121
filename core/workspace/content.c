/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/content.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u

int
billet_content_hash(int fd, unsigned char hash[32])
{
    crypto_generichash_state state;
    unsigned char buffer[65536];
    off_t offset = 0;
    crypto_generichash_init(&state, NULL, 0, 32);
    for (;;) {
        ssize_t got = pread(fd, buffer, sizeof(buffer), offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        crypto_generichash_update(&state, buffer, (unsigned long long)got);
        offset += got;
    }
    crypto_generichash_final(&state, hash, 32);
    return 0;
}

bool
billet_content_is_zero(const char *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static int
write_at(int fd, const char *bytes, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t put = pwrite(fd, bytes, length, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        bytes += put;
        length -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

int
billet_content_write(int fd, const char *bytes, size_t length, uint64_t offset)
{
    size_t from = 0;
    for (size_t at = 0; at < length;) {
        size_t size = BLOCK - (size_t)((offset + at) % BLOCK);
        if (size > length - at)
            size = length - at;
        if (size == BLOCK && billet_content_is_zero(bytes + at, size)) {
            if (at > from && write_at(fd, bytes + from, at - from, offset + from) != 0)
                return -1;
            from = at + size;
        }
        at += size;
    }
    return from < length ? write_at(fd, bytes + from, length - from, offset + from) : 0;
}
