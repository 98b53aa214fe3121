/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
billet_buffer_reserve(struct billet_buffer *buffer, size_t length)
{
    size_t wanted;
    if (buffer->failed)
        return NULL;
    if (__builtin_add_overflow(buffer->length, length, &wanted) ||
        __builtin_add_overflow(wanted, 1, &wanted)) {
        buffer->failed = true;
        return NULL;
    }
    if (wanted > buffer->capacity) {
        size_t capacity = buffer->capacity != 0 ? buffer->capacity : 64;
        while (capacity < wanted && !__builtin_mul_overflow(capacity, 2, &capacity))
            ;
        char *grown = capacity >= wanted ? realloc(buffer->data, capacity) : NULL;
        if (grown == NULL) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
        buffer->data[buffer->length] = '\0'; /* also when nothing is ever put there */
    }
    return buffer->data + buffer->length;
}

void
billet_buffer_append(struct billet_buffer *buffer, const void *bytes, size_t length)
{
    char *to = billet_buffer_reserve(buffer, length);
    if (to == NULL)
        return;
    if (length > 0)
        memcpy(to, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void
billet_buffer_add(struct billet_buffer *buffer, const char *text)
{
    billet_buffer_append(buffer, text, strlen(text));
}

void
billet_buffer_add_char(struct billet_buffer *buffer, char c)
{
    billet_buffer_append(buffer, &c, 1);
}

void
billet_buffer_format(struct billet_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *to = length >= 0 ? billet_buffer_reserve(buffer, (size_t)length) : NULL;
    if (to == NULL) {
        buffer->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(to, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

const char *
billet_buffer_text(const struct billet_buffer *buffer)
{
    if (buffer->failed)
        return NULL;
    return buffer->data != NULL ? buffer->data : "";
}

char *
billet_buffer_steal(struct billet_buffer *buffer)
{
    char *taken = NULL;
    if (!buffer->failed)
        taken = buffer->data != NULL ? buffer->data : strdup("");
    else
        free(buffer->data);
    *buffer = (struct billet_buffer){0};
    return taken;
}

void
billet_buffer_free(struct billet_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct billet_buffer){0};
}
