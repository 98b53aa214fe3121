/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"

#include <malloc.h>

#define STEP (256 * 1024)
#define KEPT (16 * 1024 * 1024)

void
billet_heap_prepare(void)
{
#if defined(__GLIBC__)
    mallopt(M_TOP_PAD, STEP);
    mallopt(M_TRIM_THRESHOLD, KEPT);
#endif
}
