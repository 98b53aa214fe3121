/* SPDX-License-Identifier: Apache-2.0 */
#include "base/private.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* In whole pages, and with the page before and after; false when that is no size. */
static bool
round_up(size_t size, size_t page, size_t *inner, size_t *whole)
{
    if (size > SIZE_MAX / 2 - 3 * page)
        return false;
    *inner = size == 0 ? page : (size + page - 1) / page * page;
    *whole = *inner + 2 * page;
    return true;
}

void *
billet_private_take(size_t size, bool in_children)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner;
    size_t whole;
    if (!round_up(size, page, &inner, &whole))
        return NULL;
    char *first = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (first == MAP_FAILED)
        return NULL;
    if (mprotect(first + page, inner, PROT_READ | PROT_WRITE) != 0) {
        munmap(first, whole);
        return NULL;
    }
    madvise(first + page, inner, MADV_DONTDUMP);
    if (!in_children)
        madvise(first + page, inner, MADV_WIPEONFORK);
    mlock(first + page, inner);
    return first + page;
}

void
billet_private_give(void *memory, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner;
    size_t whole;
    if (memory == NULL || !round_up(size, page, &inner, &whole))
        return;
    explicit_bzero(memory, size);
    munmap((char *)memory - page, whole);
}
