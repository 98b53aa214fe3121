/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.h - the bytes of files: hashed, and copied with holes kept.
 */
#ifndef BILLET_WORKSPACE_CONTENT_H
#define BILLET_WORKSPACE_CONTENT_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

/* BLAKE2b-256 of what fd holds from its start; 0 or -1 with errno. */
int billet_content_hash(int fd, unsigned char hash[32]);
/* Write length bytes at offset; runs of zero bytes in whole blocks become holes (the caller sets
 * the size with ftruncate at the end). 0 or -1 with errno. */
int billet_content_write(int fd, const char *bytes, size_t length, uint64_t offset);
bool billet_content_is_zero(const char *bytes, size_t length);

#endif
