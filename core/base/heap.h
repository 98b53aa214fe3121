/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - how the memory of short processes grows. Owns nothing.
 */
#ifndef BILLET_BASE_HEAP_H
#define BILLET_BASE_HEAP_H

/* Call first in main: take memory in larger steps and give none back before the end. libc's own
 * steps cost a run a page fault for each page that comes, goes and comes again. */
void billet_heap_prepare(void);

#endif
