/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stride.h - how many of a test's points are tried, and whether sanitizers are built in.
 */
#ifndef T_UNIT_STRIDE_H
#define T_UNIT_STRIDE_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool
unit_is_sanitized(void)
{
    const char *sanitizers = getenv("BILLET_SANITIZERS");
    return sanitizers != NULL && sanitizers[0] != '\0';
}

/* Of points that are tried one after the other: each, or every fourth where the same was tried
 * before (BILLET_REPEATED) or each takes several times as long (BILLET_SANITIZERS). */
static inline int
unit_stride(void)
{
    return unit_is_sanitized() || getenv("BILLET_REPEATED") != NULL ? 4 : 1;
}

#endif
