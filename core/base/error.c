/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/redact.h"
#include "base/text.h"

static const char *const class_names[] = {
    [0] = "none",
    [BILLET_CLASS_CONFIG] = "config",
    [BILLET_CLASS_AUTH] = "auth",
    [BILLET_CLASS_UNAVAILABLE] = "unavailable",
    [BILLET_CLASS_CAPACITY] = "capacity",
    [BILLET_CLASS_LOST] = "lost",
    [BILLET_CLASS_TIMEOUT] = "timeout",
    [BILLET_CLASS_CANCELLED] = "cancelled",
    [BILLET_CLASS_DRIVER] = "driver",
    [BILLET_CLASS_INTERNAL] = "internal",
};

#define CLASS_COUNT ((int)(sizeof(class_names) / sizeof(class_names[0])))

const char *
billet_error_class_name(int error_class)
{
    if (error_class < 0 || error_class >= CLASS_COUNT)
        return "internal";
    return class_names[error_class];
}

int
billet_error_class_by_name(const char *name)
{
    for (int i = 1; i < CLASS_COUNT; i++)
        if (strcmp(class_names[i], name) == 0)
            return i;
    return 0;
}

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
    case EFBIG:
        return BILLET_CLASS_CAPACITY;
    case ENOENT:
    case ENOTDIR:
    case ENOSYS:
    case EOPNOTSUPP:
    case ECONNREFUSED:
        return BILLET_CLASS_UNAVAILABLE;
    case ETIMEDOUT:
        return BILLET_CLASS_TIMEOUT;
    default:
        return BILLET_CLASS_INTERNAL;
    }
}

static int
returned_class(const struct billet_error *error)
{
    return error != NULL && error->error_class > 0 ? -error->error_class : -BILLET_CLASS_INTERNAL;
}

static void fill(struct billet_error *error, int error_class, const char *code, const char *format,
                 va_list arguments) __attribute__((format(printf, 4, 0)));

static void
fill(struct billet_error *error, int error_class, const char *code, const char *format,
     va_list arguments)
{
    char text[BILLET_MESSAGE_MAX * 2];

    error->struct_size = sizeof(*error);
    error->error_class = error_class;
    error->retryable = error_class == BILLET_CLASS_UNAVAILABLE ||
                       error_class == BILLET_CLASS_TIMEOUT || error_class == BILLET_CLASS_CAPACITY;
    error->sys_errno = 0;
    error->hint[0] = '\0';
    billet_text_copy(error->code, sizeof(error->code), code);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        billet_text_copy(text, sizeof(text), "message could not be written");
    billet_redact_text(text);
    billet_text_escape(error->message, sizeof(error->message), text);
}

int
billet_error_set(struct billet_error *error, int error_class, const char *code, const char *format,
                 ...)
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

int
billet_error_errno(struct billet_error *error, int error_class, const char *code, int sys_errno,
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
        snprintf(error->message + length, sizeof(error->message) - length, ": %s",
                 strerror(sys_errno));
    }
    errno = saved;
    return -error_class;
}

int
billet_error_wrap(struct billet_error *error, const char *format, ...)
{
    if (error == NULL)
        return returned_class(error);
    int saved = errno;
    char context[BILLET_MESSAGE_MAX];
    char clean[BILLET_MESSAGE_MAX];
    char whole[BILLET_MESSAGE_MAX * 2 + 8];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(context, sizeof(context), format, arguments) < 0)
        context[0] = '\0';
    va_end(arguments);
    billet_redact_text(context);
    billet_text_escape(clean, sizeof(clean), context);
    snprintf(whole, sizeof(whole), "%s: %s", clean, error->message);
    billet_text_copy(error->message, sizeof(error->message), whole);
    errno = saved;
    return returned_class(error);
}

int
billet_error_hint(struct billet_error *error, const char *format, ...)
{
    if (error == NULL)
        return returned_class(error);
    int saved = errno;
    char text[BILLET_HINT_MAX];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof(text), format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    billet_redact_text(text);
    billet_text_escape(error->hint, sizeof(error->hint), text);
    errno = saved;
    return returned_class(error);
}

int
billet_error_recode(struct billet_error *error, const char *code)
{
    if (error != NULL)
        billet_text_copy(error->code, sizeof(error->code), code);
    return returned_class(error);
}

int
billet_error_no_memory(struct billet_error *error)
{
    int result = billet_error_set(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    if (error != NULL)
        error->sys_errno = ENOMEM;
    return result;
}

void
billet_error_clear(struct billet_error *error)
{
    if (error == NULL)
        return;
    memset(error, 0, sizeof(*error));
    error->struct_size = sizeof(*error);
}
