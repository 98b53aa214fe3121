/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - jansson as billet uses it: strict parsing, bytes that are not UTF-8,
 * and typed member access for data that came from outside.
 *
 * A byte string is written as a JSON string when it is UTF-8 without NUL, else as
 * {"base64": "..."}.
 */
#ifndef BILLET_BASE_JSON_H
#define BILLET_BASE_JSON_H

#include <billet/types.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/strings.h"

static inline void
billet_cleanup_json(json_t **value)
{
    json_decref(*value);
}
#define cleanup_json __attribute__((cleanup(billet_cleanup_json)))

/* Parse one value, duplicates rejected; *value is owned by the caller. */
int billet_json_parse(const char *bytes, size_t length, json_t **value, struct billet_error *error);

/* A new value for a NUL-terminated byte string; NULL when memory ran out. */
json_t *billet_json_bytes(const char *text);
/* The byte string of such a value (free), or NULL when it is not one or holds NUL. */
char *billet_json_get_bytes(const json_t *value);

/* Set a member to a byte string / number / boolean; false when memory ran out. */
bool billet_json_set_bytes(json_t *object, const char *key, const char *text);
bool billet_json_set_integer(json_t *object, const char *key, int64_t number);
/* 0 is left out, where it is what an absent member means: it takes longer to read than to know. */
bool billet_json_set_unless_zero(json_t *object, const char *key, int64_t number);
bool billet_json_set_list(json_t *object, const char *key, const char *const *list);

/* Members; the fallback when absent or of another type. Strings stay owned by the object. */
const char *billet_json_string(const json_t *object, const char *key, const char *fallback);
int64_t billet_json_integer(const json_t *object, const char *key, int64_t fallback);
bool billet_json_boolean(const json_t *object, const char *key, bool fallback);
/* An array of byte strings into list; false when it is not one or memory ran out. Absent: true. */
bool billet_json_list(const json_t *object, const char *key, struct billet_strings *list);

/* Compact text (free), or NULL. */
char *billet_json_text(const json_t *value);

#endif
