/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffer.h - a growing run of bytes, kept NUL-terminated, with a sticky error:
 * append without looking, check once at the end.
 */
#ifndef BILLET_BASE_BUFFER_H
#define BILLET_BASE_BUFFER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct billet_buffer {
    char *data; /* NULL while empty */
    size_t length;
    size_t capacity;
    bool failed; /* an append did not succeed; the content is not whole */
};

#define BILLET_BUFFER_INIT \
    {                      \
        0                  \
    }

void billet_buffer_append(struct billet_buffer *buffer, const void *bytes, size_t length);
void billet_buffer_add(struct billet_buffer *buffer, const char *text);
void billet_buffer_add_char(struct billet_buffer *buffer, char c);
void billet_buffer_format(struct billet_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Make room for length more bytes and return where they go, or NULL; then add to .length. */
char *billet_buffer_reserve(struct billet_buffer *buffer, size_t length);
/* The text, "" when empty; NULL after a failure. Still owned by the buffer. */
const char *billet_buffer_text(const struct billet_buffer *buffer);
/* Hand the text over to the caller (free); NULL after a failure. The buffer is empty then. */
char *billet_buffer_steal(struct billet_buffer *buffer);
void billet_buffer_free(struct billet_buffer *buffer);

#define cleanup_buffer __attribute__((cleanup(billet_buffer_free)))

#endif
