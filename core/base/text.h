/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - strings that people read and names that people write: bounded copy,
 * escaping of control bytes, UTF-8 and name checks, the nearest known name.
 */
#ifndef BILLET_BASE_TEXT_H
#define BILLET_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Copy with truncation at a UTF-8 boundary; always terminates. size > 0. */
void billet_text_copy(char *to, size_t size, const char *from);

/* Copy, with control bytes (all below 0x20, 0x7f, C1 in UTF-8) and bytes that are not UTF-8
 * written as \xNN, newline as \n. Truncates; always terminates. */
void billet_text_escape(char *to, size_t size, const char *from);

/* True when the bytes are well-formed UTF-8 without NUL. */
bool billet_text_is_utf8(const char *bytes, size_t length);

/* Environment, driver, tenant and the like: [A-Za-z0-9][A-Za-z0-9._-]*, at most 64 bytes. */
bool billet_text_is_name(const char *text);

/* Ids that callers bring (agent, issue, run): printable UTF-8 without spaces at the ends, 1..128
 * bytes, no control bytes. */
bool billet_text_is_id(const char *text);

/* The name nearest to text among the NULL-terminated list, when it is near enough to be what was
 * meant (at most a third of it edited); else NULL. */
const char *billet_text_nearest(const char *text, const char *const *known);

/* strdup that returns NULL for NULL. */
char *billet_text_dup(const char *text);

bool billet_text_equal(const char *a, const char *b); /* both may be NULL */
bool billet_text_starts(const char *text, const char *prefix);

#endif
