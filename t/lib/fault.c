/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MOST_ALLOCATIONS 20000

static unsigned seen;
static unsigned fail_at; /* 0: never */
static bool fail_on;     /* and all after it */
static bool did_fail;

static bool
must_fail(void)
{
    seen++;
    if (fail_at == 0 || (fail_on ? seen < fail_at : seen != fail_at))
        return false;
    did_fail = true;
    errno = ENOMEM;
    return true;
}

void
fault_disarm(void)
{
    fail_at = 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
int __real_vasprintf(char **to, const char *format, va_list arguments);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length);
int __wrap_asprintf(char **to, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_vasprintf(char **to, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

void *
__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

void *
__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return must_fail() ? NULL : __real_reallocarray(old, count, size);
}

char *
__wrap_strdup(const char *text)
{
    return must_fail() ? NULL : __real_strdup(text);
}

char *
__wrap_strndup(const char *text, size_t length)
{
    return must_fail() ? NULL : __real_strndup(text, length);
}

/* glibc and musl leave the target as it was, or NULL. */
int
__wrap_vasprintf(char **to, const char *format, va_list arguments)
{
    if (must_fail())
        return -1;
    return __real_vasprintf(to, format, arguments);
}

int
__wrap_asprintf(char **to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = __wrap_vasprintf(to, format, arguments);
    va_end(arguments);
    return length;
}

/* One run; false when the step made fewer allocations than N. */
static bool
run_once(const char *name, fault_step *step, void *context, unsigned n, bool on)
{
    struct billet_error error = BILLET_ERROR_INIT;
    const char *mode = on ? "from" : "only";
    seen = 0;
    did_fail = false;
    fail_on = on;
    fail_at = n;
    int result = step(context, &error);
    fail_at = 0;
    if (!did_fail) {
        ck_assert_msg(result == 0, "%s failed with nothing withheld: %s", name, error.message);
        return false;
    }
    if (result == 0)
        return true;
    ck_assert_msg(result == -BILLET_CLASS_CAPACITY, "%s, allocation %u (%s): returned %d: %s", name,
                  n, mode, result, error.message);
    ck_assert_msg(error.error_class == BILLET_CLASS_CAPACITY,
                  "%s, allocation %u (%s): the error has class '%s': %s", name, n, mode,
                  billet_error_class_name(error.error_class), error.message);
    ck_assert_msg(error.message[0] != '\0', "%s, allocation %u (%s): no message", name, n, mode);
    return true;
}

unsigned
fault_each_allocation(const char *name, fault_step *step, void *context)
{
    unsigned n = 1;
    json_set_alloc_funcs(__wrap_malloc, free);
    ck_assert(!run_once(name, step, context, 0, false)); /* what is made once, and that it works */
    for (; n < MOST_ALLOCATIONS; n++) {
        bool only = run_once(name, step, context, n, false);
        bool on = run_once(name, step, context, n, true);
        if (!only && !on)
            break;
    }
    ck_assert_msg(n > 1 && n < MOST_ALLOCATIONS, "%s makes %u allocations", name, n - 1);
    return n - 1;
}
