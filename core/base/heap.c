/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP (512 * 1024)
#define KEPT (16 * 1024 * 1024)

void
billet_heap_prepare(size_t first)
{
#if defined(__GLIBC__)
    mallopt(M_TOP_PAD, STEP);
    mallopt(M_TRIM_THRESHOLD, KEPT);
#if defined(MADV_POPULATE_WRITE)
    void *begin = malloc(1);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (begin != NULL && first > 0 && first <= STEP)
        madvise((void *)((uintptr_t)begin & ~(page - 1)), first, MADV_POPULATE_WRITE);
    free(begin);
#endif
#endif
    (void)first;
}
