/* SPDX-License-Identifier: Apache-2.0 */
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int
class_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
    case EROFS:
        return BILLET_CLASS_AUTH;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        return BILLET_CLASS_CAPACITY;
    case ENOENT:
    case ENOTDIR:
    case ENOSYS:
    case EOPNOTSUPP:
        return BILLET_CLASS_UNAVAILABLE;
    case ETIMEDOUT:
        return BILLET_CLASS_TIMEOUT;
    default:
        return BILLET_CLASS_INTERNAL;
    }
}

static void
clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
}

static void fill(struct billet_error *error, int error_class, const char *code, const char *format,
                 va_list arguments) __attribute__((format(printf, 4, 0)));

static void
fill(struct billet_error *error, int error_class, const char *code, const char *format,
     va_list arguments)
{
    error->error_class = error_class;
    error->retryable = error_class == BILLET_CLASS_UNAVAILABLE ||
                       error_class == BILLET_CLASS_TIMEOUT || error_class == BILLET_CLASS_CAPACITY;
    error->sys_errno = 0;
    error->hint[0] = '\0';
    snprintf(error->code, sizeof(error->code), "%s", code);
    if (vsnprintf(error->message, sizeof(error->message), format, arguments) < 0)
        snprintf(error->message, sizeof(error->message), "message could not be written");
    clean(error->message);
}

int
billet_fail(struct billet_error *error, int error_class, const char *code, const char *format, ...)
{
    int saved = errno;
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, error_class, code, format, arguments);
        va_end(arguments);
    }
    errno = saved;
    return -error_class;
}

/* strerror_r has two shapes, GNU's and POSIX's (musl); strerror is not safe with threads. */
static const char *
errno_text(int sys_errno, char *text, size_t size)
{
#ifdef __GLIBC__
    return strerror_r(sys_errno, text, size);
#else
    return strerror_r(sys_errno, text, size) == 0 ? text : "unknown error";
#endif
}

int
billet_fail_errno(struct billet_error *error, int error_class, const char *code, int sys_errno,
                  const char *format, ...)
{
    int saved = errno;
    if (error_class == 0)
        error_class = class_of_errno(sys_errno);
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, error_class, code, format, arguments);
        va_end(arguments);
        error->sys_errno = sys_errno;
        size_t length = strlen(error->message);
        char text[128];
        snprintf(error->message + length, sizeof(error->message) - length, ": %s",
                 errno_text(sys_errno, text, sizeof(text)));
    }
    errno = saved;
    return -error_class;
}

int
billet_fail_hint(struct billet_error *error, const char *format, ...)
{
    if (error == NULL)
        return -BILLET_CLASS_INTERNAL;
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(error->hint, sizeof(error->hint), format, arguments) < 0)
        error->hint[0] = '\0';
    va_end(arguments);
    clean(error->hint);
    errno = saved;
    return error->error_class > 0 ? -error->error_class : -BILLET_CLASS_INTERNAL;
}

int64_t
billet_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec;
}
