/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/memory.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

/* libsodium puts the bytes at the end of their pages, with a canary before them. */
static void
leave_out_of_forks(unsigned char *bytes, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)bytes & ~(page - 1);
    uintptr_t end = ((uintptr_t)bytes + size + page - 1) & ~(page - 1);
    madvise((void *)first, (size_t)(end - first), MADV_WIPEONFORK);
    madvise((void *)first, (size_t)(end - first), MADV_DONTDUMP);
}

int
billet_secret_prepare(struct billet_error *error)
{
    if (sodium_init() < 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "libsodium cannot be used here");
    return 0;
}

int
billet_secret_make(struct billet_secret *secret, size_t size, struct billet_error *error)
{
    int result = billet_secret_prepare(error);
    if (result < 0)
        return result;
    if (size > BILLET_SECRET_MAX * 16)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "a secret of %zu bytes is too large", size);
    unsigned char *bytes = sodium_malloc(size + 1);
    if (bytes == NULL)
        return billet_error_no_memory(error);
    leave_out_of_forks(bytes, size + 1);
    memset(bytes, 0, size + 1);
    *secret = (struct billet_secret){.bytes = bytes, .size = size};
    return 0;
}

int
billet_secret_copy(struct billet_secret *secret, const void *bytes, size_t length,
                   struct billet_error *error)
{
    int result = billet_secret_make(secret, length, error);
    if (result < 0)
        return result;
    if (length > 0)
        memcpy(secret->bytes, bytes, length);
    secret->length = length;
    return 0;
}

int
billet_secret_read(struct billet_secret *secret, int fd, struct billet_error *error)
{
    cleanup_secret struct billet_secret read_in = BILLET_SECRET_INIT;
    int result = billet_secret_make(&read_in, BILLET_SECRET_MAX + 1, error);
    while (result == 0) {
        ssize_t got = read(fd, read_in.bytes + read_in.length, read_in.size - read_in.length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot read the value");
        if (got == 0)
            break;
        read_in.length += (size_t)got;
        if (read_in.length > BILLET_SECRET_MAX)
            return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                    "the value is longer than %u bytes", BILLET_SECRET_MAX);
    }
    return result < 0 ? result : billet_secret_copy(secret, read_in.bytes, read_in.length, error);
}

void
billet_secret_free(struct billet_secret *secret)
{
    sodium_free(secret->bytes);
    *secret = (struct billet_secret)BILLET_SECRET_INIT;
}

bool
billet_secret_can_lock(void)
{
    if (sodium_init() < 0)
        return false;
    void *probe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return false;
    bool locked = mlock(probe, 4096) == 0;
    munmap(probe, 4096);
    return locked;
}
