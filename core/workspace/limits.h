/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - how much a tree, an archive or a manifest that comes from outside
 * may hold. Owns the numbers and nothing else; each reader enforces them.
 */
#ifndef BILLET_WORKSPACE_LIMITS_H
#define BILLET_WORKSPACE_LIMITS_H

#include <stdint.h>

#define BILLET_NAME_BYTES_MAX 255u    /* one component */
#define BILLET_TARGET_BYTES_MAX 4095u /* of a symbolic link */

#define BILLET_LIMIT_UTF8_NAMES 0x1u /* refuse names that are not UTF-8 */
#define BILLET_LIMIT_NO_LINKS 0x2u   /* refuse symbolic links altogether */

struct billet_limits {
    uint64_t total_bytes;      /* content of all files together, apparent size */
    uint64_t file_bytes;       /* one file */
    uint64_t entries;          /* files, directories and links together */
    uint64_t name_bytes;       /* all paths and link targets together, in memory */
    uint64_t free_floor_bytes; /* leave at least so much on the file system; 0: do not look */
    int64_t deadline_ns;       /* CLOCK_MONOTONIC by which the stream must have ended; 0: none */
    uint32_t path_bytes;       /* one path */
    uint32_t depth;            /* components of one path */
    uint32_t flags;            /* BILLET_LIMIT_* */
};

/* 1 TiB in a million entries, 128 deep, paths below PATH_MAX, 64 MiB left free. */
extern const struct billet_limits billet_limits_default;

#endif
