/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h - how core reports a failure: fill the caller's struct billet_error
 * once where it happens, add context on the way up, return its negative class.
 *
 * Never prints, never exits. Success leaves *error as it was. error may be NULL.
 */
#ifndef BILLET_BASE_ERROR_H
#define BILLET_BASE_ERROR_H

#include <billet/types.h>
#include <stdarg.h>

/* Fill *error and return -error_class. errno is preserved. Control bytes and newlines in the
 * message are escaped. code is an id of base/error_ids.def. */
int billet_error_set(struct billet_error *error, int error_class, const char *code,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same with errno text appended (": No such file or directory") and sys_errno kept. Class is
 * chosen from sys_errno when error_class is 0: EACCES/EPERM auth, ENOSPC/EMFILE/ENOMEM.. capacity,
 * ENOENT unavailable, else internal. */
int billet_error_errno(struct billet_error *error, int error_class, const char *code, int sys_errno,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Put "context: " before the message. Returns the same negative class again. */
int billet_error_wrap(struct billet_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Set what to do about it; returns the same negative class again. */
int billet_error_hint(struct billet_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Replace the stable id (an inner failure becomes the outer step's); returns the class again. */
int billet_error_recode(struct billet_error *error, const char *code);

int billet_error_no_memory(struct billet_error *error);

void billet_error_clear(struct billet_error *error);

/* "config", "auth", ... ; "internal" for an unknown one. */
const char *billet_error_class_name(int error_class);
/* The class of that name, or 0. */
int billet_error_class_by_name(const char *name);

#endif
