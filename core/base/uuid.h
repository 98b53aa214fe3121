/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uuid.h - UUIDv7 (RFC 9562 section 5.7): ids that sort by the time they were made.
 */
#ifndef BILLET_BASE_UUID_H
#define BILLET_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define BILLET_UUID_SIZE 37 /* with the NUL */

void billet_uuid_make(char to[BILLET_UUID_SIZE]);
/* Canonical lower-case form of any version. */
bool billet_uuid_is_valid(const char *text);
/* Wall time of a version 7 in ns, or -1. */
int64_t billet_uuid_time(const char *text);

#endif
