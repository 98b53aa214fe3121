/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <sodium.h>
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

json_t *
billet_json_bytes(const char *text)
{
    size_t length = strlen(text);
    if (billet_text_is_utf8(text, length))
        return json_stringn_nocheck(text, length);
    size_t size = sodium_base64_encoded_len(length, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = malloc(size);
    if (encoded == NULL)
        return NULL;
    sodium_bin2base64(encoded, size, (const unsigned char *)text, length,
                      sodium_base64_VARIANT_ORIGINAL);
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
    if (sodium_base642bin((unsigned char *)bytes, size, json_string_value(member), size, NULL,
                          &length, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
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
