/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fail.h - how a driver reports a failure: fills the caller's struct
 * billet_error once and returns the negative class. Never prints.
 */
#ifndef DRIVERS_COMMON_FAIL_H
#define DRIVERS_COMMON_FAIL_H

#include <billet/types.h>

/* Fill *error (may be NULL), return -error_class. Keeps errno. Control bytes become '?'. */
int billet_fail(struct billet_error *error, int error_class, const char *code, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* The same with ": errno text" appended; error_class 0 chooses the class from sys_errno. */
int billet_fail_errno(struct billet_error *error, int error_class, const char *code, int sys_errno,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Say what to do about it; returns the negative class again. */
int billet_fail_hint(struct billet_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t billet_monotonic_ns(void);

#endif
