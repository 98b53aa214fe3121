/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stride.h - how many of a test's points are tried.
 */
#ifndef T_UNIT_STRIDE_H
#define T_UNIT_STRIDE_H

#include <stdbool.h>
#include <stdlib.h>

/* Of points that are tried one after the other: each, or every fourth where the same was tried
 * before (BILLET_REPEATED) or each takes several times as long (BILLET_SANITIZERS). */
static inline int
unit_stride(void)
{
    const char *sanitizers = getenv("BILLET_SANITIZERS");
    bool sanitized = sanitizers != NULL && sanitizers[0] != '\0';
    return sanitized || getenv("BILLET_REPEATED") != NULL ? 4 : 1;
}

#endif
