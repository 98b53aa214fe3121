/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h - what both sides of the driver boundary share: the error object,
 * the identity of a call, and the bound of every string that crosses.
 *
 * Owns no behaviour. Every structure begins with struct_size, its size as the
 * side that made it knew it; fields are only ever appended. All integers have
 * a fixed width, all times are int64 nanoseconds. Clean under C99 and C++.
 */
#ifndef BILLET_TYPES_H
#define BILLET_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BILLET_NS_PER_SECOND INT64_C(1000000000)

/* What kind of failure it was; decides retry, exit status and who is to act. */
#define BILLET_CLASS_CONFIG 1      /* what the caller wrote is wrong */
#define BILLET_CLASS_AUTH 2        /* refused: identity or permission */
#define BILLET_CLASS_UNAVAILABLE 3 /* something needed is not there (now) */
#define BILLET_CLASS_CAPACITY 4    /* full: limit, quota, disk, memory */
#define BILLET_CLASS_LOST 5        /* the resource or the lease is gone */
#define BILLET_CLASS_TIMEOUT 6     /* the deadline passed */
#define BILLET_CLASS_CANCELLED 7   /* the caller asked to stop */
#define BILLET_CLASS_DRIVER 8      /* the driver broke its contract */
#define BILLET_CLASS_INTERNAL 9    /* a bug, or a system call that should not fail */

#define BILLET_CODE_MAX 64
#define BILLET_MESSAGE_MAX 1024
#define BILLET_HINT_MAX 512

/*
 * A failure. Owned by the caller, filled once where it happens, given context
 * on the way up. message: lower case, no full stop, one line. hint: what to do,
 * or empty. code: a stable id, explained in billet-errors(7).
 */
struct billet_error {
    uint64_t struct_size;
    int32_t error_class; /* BILLET_CLASS_*, 0 while nothing failed */
    int32_t retryable;   /* 1 when the same call may succeed later */
    int32_t sys_errno;   /* errno behind it, or 0 */
    int32_t reserved;
    char code[BILLET_CODE_MAX];
    char message[BILLET_MESSAGE_MAX];
    char hint[BILLET_HINT_MAX];
};

#define BILLET_ERROR_INIT                          \
    {                                              \
        .struct_size = sizeof(struct billet_error) \
    }

/* Whom and what a call is for. Strings are never NULL; "" where not given. */
struct billet_identity {
    uint64_t struct_size;
    const char *deployment;  /* id of the store this lease lives in */
    const char *tenant;      /* owner; "default" */
    const char *environment; /* name */
    const char *lease;       /* UUIDv7, the label every resource carries */
    const char *run;         /* id of the run, "" outside a run */
    const char *agent;       /* whom the run works for */
    const char *issue;       /* what it works on */
    uint64_t fence;          /* rises with each owner of the lease */
    uint64_t generation;     /* rises each time a kept resource is used again */
};

#ifdef __cplusplus
}
#endif

#endif
