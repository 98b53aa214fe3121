/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

int
billet_json_parse(const char *bytes, size_t length, json_t **value, struct billet_error *error)
{
    json_error_t where;
    json_t *parsed = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (parsed == NULL)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "json_invalid",
                                "not valid JSON at line %d column %d: %s", where.line, where.column,
                                where.text);
    *value = parsed;
    return 0;
}

/* Base64 (RFC 4648, section 4) here rather than from a library that every driver host would load
 * for it. */
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* to: room for (length + 2) / 3 * 4 + 1. */
static void
base64_encode(char *to, const unsigned char *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += 3) {
        unsigned group = (unsigned)bytes[at] << 16;
        if (at + 1 < length)
            group |= (unsigned)bytes[at + 1] << 8;
        if (at + 2 < length)
            group |= bytes[at + 2];
        *to++ = base64_digits[group >> 18];
        *to++ = base64_digits[group >> 12 & 63];
        *to++ = at + 1 < length ? base64_digits[group >> 6 & 63] : '=';
        *to++ = at + 2 < length ? base64_digits[group & 63] : '=';
    }
    *to = '\0';
}

/* to: room for length / 4 * 3. False when the text is not the one encoding of some bytes. */
static bool
base64_decode(const char *text, size_t length, char *to, size_t *decoded)
{
    *decoded = 0;
    if (length % 4 != 0)
        return false;
    for (size_t at = 0; at < length; at += 4) {
        size_t padding = 0;
        unsigned group = 0;
        if (at + 4 == length)
            padding = text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
        for (size_t i = 0; i < 4 - padding; i++) {
            const char *digit = text[at + i] != '\0' ? strchr(base64_digits, text[at + i]) : NULL;
            if (digit == NULL)
                return false;
            group |= (unsigned)(digit - base64_digits) << (18 - 6 * i);
        }
        /* Bits beyond the last byte must be clear. */
        if ((group & ((1u << (8 * padding)) - 1)) != 0)
            return false;
        for (size_t i = 0; i < 3 - padding; i++)
            to[(*decoded)++] = (char)(group >> (16 - 8 * i) & 0xff);
    }
    return true;
}

json_t *
billet_json_bytes(const char *text)
{
    size_t length = strlen(text);
    if (billet_text_is_utf8(text, length))
        return json_stringn_nocheck(text, length);
    char *encoded = malloc((length + 2) / 3 * 4 + 1);
    if (encoded == NULL)
        return NULL;
    base64_encode(encoded, (const unsigned char *)text, length);
    json_t *value = json_pack("{s:s}", "base64", encoded);
    free(encoded);
    return value;
}

char *
billet_json_get_bytes(const json_t *value)
{
    if (json_is_string(value)) {
        if (strlen(json_string_value(value)) != json_string_length(value))
            return NULL;
        return strdup(json_string_value(value));
    }
    const json_t *member = json_object_get(value, "base64");
    if (!json_is_string(member) || json_object_size(value) != 1)
        return NULL;
    size_t size = json_string_length(member);
    size_t length = 0;
    char *bytes = malloc(size + 1);
    if (bytes == NULL)
        return NULL;
    if (!base64_decode(json_string_value(member), size, bytes, &length) ||
        memchr(bytes, '\0', length) != NULL) {
        free(bytes);
        return NULL;
    }
    bytes[length] = '\0';
    return bytes;
}

bool
billet_json_set_bytes(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, billet_json_bytes(text)) == 0;
}

bool
billet_json_set_integer(json_t *object, const char *key, int64_t number)
{
    return json_object_set_new(object, key, json_integer(number)) == 0;
}

bool
billet_json_set_unless_zero(json_t *object, const char *key, int64_t number)
{
    return number == 0 || billet_json_set_integer(object, key, number);
}

bool
billet_json_set_list(json_t *object, const char *key, const char *const *list)
{
    json_t *array = json_array();
    for (; array != NULL && *list != NULL; list++) {
        if (json_array_append_new(array, billet_json_bytes(*list)) != 0) {
            json_decref(array);
            return false;
        }
    }
    return json_object_set_new(object, key, array) == 0;
}

const char *
billet_json_string(const json_t *object, const char *key, const char *fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_string(member) ? json_string_value(member) : fallback;
}

int64_t
billet_json_integer(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_integer(member) ? json_integer_value(member) : fallback;
}

bool
billet_json_boolean(const json_t *object, const char *key, bool fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_boolean(member) ? json_is_true(member) : fallback;
}

bool
billet_json_list(const json_t *object, const char *key, struct billet_strings *list)
{
    const json_t *array = json_object_get(object, key);
    size_t index;
    json_t *item;
    if (array == NULL)
        return true;
    if (!json_is_array(array))
        return false;
    json_array_foreach (array, index, item) {
        if (!billet_strings_take(list, billet_json_get_bytes(item)))
            return false;
    }
    return true;
}

char *
billet_json_text(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
