/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - how the memory of short processes grows. Owns nothing.
 */
#ifndef BILLET_BASE_HEAP_H
#define BILLET_BASE_HEAP_H

#include <stddef.h>

/* Call first in main: take memory in larger steps and give none back before the end; libc's own
 * steps cost a run a page fault for each page that comes, goes and comes again. The first bytes, up
 * to 512 KiB, are there at once, in one call instead of a fault a page; nothing is lost where the
 * kernel cannot (Linux before 5.14). */
void billet_heap_prepare(size_t first);

#endif
