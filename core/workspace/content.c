/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/content.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096u

/* Holes are hashed as the zeros they are, but not read: that costs more than the hash. */
static off_t
hash_hole(crypto_generichash_state *state, int fd, off_t offset, off_t size)
{
    static const unsigned char zeros[65536];
    off_t data = lseek(fd, offset, SEEK_DATA);
    if (data < 0)
        data = errno == ENXIO ? size : offset;
    while (offset < data) {
        off_t part = data - offset < (off_t)sizeof(zeros) ? data - offset : (off_t)sizeof(zeros);
        crypto_generichash_update(state, zeros, (unsigned long long)part);
        offset += part;
    }
    return offset;
}

int
billet_content_hash(int fd, unsigned char hash[32])
{
    crypto_generichash_state state;
    unsigned char buffer[65536];
    struct stat status;
    off_t offset = 0;
    if (fstat(fd, &status) != 0)
        return -1;
    bool holes = status.st_blocks * 512 < status.st_size;
    crypto_generichash_init(&state, NULL, 0, 32);
    for (;;) {
        if (holes && offset < status.st_size)
            offset = hash_hole(&state, fd, offset, status.st_size);
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
