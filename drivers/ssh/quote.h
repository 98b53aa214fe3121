/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quote.h - growing text, and bytes as one word of POSIX sh on one line. Owns no knowledge of ssh.
 */
#ifndef DRIVERS_SSH_QUOTE_H
#define DRIVERS_SSH_QUOTE_H

#include <stdbool.h>
#include <stddef.h>

struct ssh_text {
    char *bytes; /* NUL-terminated once anything was added */
    size_t length;
    size_t capacity;
    bool failed; /* out of memory: what was added since is missing */
};

void ssh_text_free(struct ssh_text *text);
void ssh_text_bytes(struct ssh_text *text, const void *bytes, size_t length);
void ssh_text_add(struct ssh_text *text, const char *string);
void ssh_text_format(struct ssh_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A word in single quotes; a newline becomes "$billet_n", so that the line stays one. */
void ssh_text_word(struct ssh_text *text, const char *string);
/* The same with a real newline, for a shell that knows no variable of ours. */
void ssh_text_quote(struct ssh_text *text, const char *string);

#endif
