/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

void
billet_uuid_make(char to[BILLET_UUID_SIZE])
{
    unsigned char b[16];
    uint64_t ms = (uint64_t)(billet_clock_wall() / 1000000);
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        abort(); /* getrandom of 16 bytes does not fail once the pool is up */
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)(ms >> (40 - 8 * i));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x70);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(to, BILLET_UUID_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
}

bool
billet_uuid_is_valid(const char *text)
{
    if (strnlen(text, BILLET_UUID_SIZE) != BILLET_UUID_SIZE - 1)
        return false;
    for (int i = 0; i < BILLET_UUID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
            return false;
    }
    return true;
}

int64_t
billet_uuid_time(const char *text)
{
    char hex[13];
    if (!billet_uuid_is_valid(text) || text[14] != '7')
        return -1;
    memcpy(hex, text, 8);
    memcpy(hex + 8, text + 9, 4);
    hex[12] = '\0';
    return (int64_t)strtoull(hex, NULL, 16) * 1000000;
}
