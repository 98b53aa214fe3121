/* SPDX-License-Identifier: Apache-2.0 */
#include "store/migration.h"

#include <inttypes.h>
#include <stdio.h>

void
billet_migration_checksum(const char *sql, char to[BILLET_CHECKSUM_SIZE])
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *sql != '\0'; sql++)
        hash = (hash ^ (unsigned char)*sql) * UINT64_C(1099511628211);
    snprintf(to, BILLET_CHECKSUM_SIZE, "%016" PRIx64, hash);
}
