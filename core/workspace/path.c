/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/path.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

const struct billet_limits billet_limits_default = {
    .total_bytes = UINT64_C(1) << 40,
    .file_bytes = UINT64_C(1) << 40,
    .entries = 1000000,
    .name_bytes = UINT64_C(256) << 20,
    .free_floor_bytes = UINT64_C(64) << 20,
    .path_bytes = 4095,
    .depth = 128,
};

static bool
has_control(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            return true;
    return false;
}

const char *
billet_path_name_problem(const char *name, size_t length, const struct billet_limits *limits)
{
    if (length == 0)
        return "it has an empty component";
    if (length > BILLET_NAME_BYTES_MAX)
        return "a component is longer than 255 bytes";
    if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')))
        return "it has a component '.' or '..'";
    if (memchr(name, '\0', length) != NULL)
        return "it holds a NUL byte";
    if (has_control(name, length))
        return "it holds control bytes";
    if ((limits->flags & BILLET_LIMIT_UTF8_NAMES) != 0 && !billet_text_is_utf8(name, length))
        return "it is not UTF-8";
    return NULL;
}

static const char *
path_problem(const char *path, size_t length, const struct billet_limits *limits)
{
    if (length == 0)
        return "it is empty";
    if (length > limits->path_bytes)
        return "it is too long";
    if (path[0] == '/')
        return "it is absolute";
    uint32_t depth = 0;
    for (size_t start = 0; start <= length;) {
        const char *slash = memchr(path + start, '/', length - start);
        size_t end = slash != NULL ? (size_t)(slash - path) : length;
        const char *problem = billet_path_name_problem(path + start, end - start, limits);
        if (problem != NULL)
            return problem;
        if (++depth > limits->depth)
            return "it is too deep";
        start = end + 1;
    }
    if (length >= strlen(BILLET_PATH_RESERVED) &&
        memcmp(path, BILLET_PATH_RESERVED, strlen(BILLET_PATH_RESERVED)) == 0)
        return "the name is reserved";
    return NULL;
}

int
billet_path_check(const char *path, size_t length, const struct billet_limits *limits,
                  struct billet_error *error)
{
    const char *problem = path_problem(path, length, limits);
    if (problem == NULL)
        return 0;
    int shown = length > 200 ? 200 : (int)length;
    return billet_error_set(error, BILLET_CLASS_AUTH, "path_refused", "path '%.*s' refused: %s",
                            shown, length > 0 ? path : "", problem);
}

bool
billet_path_target_inside(const char *path, size_t length, const char *target, size_t target_length)
{
    if (target_length == 0 || target_length > BILLET_TARGET_BYTES_MAX || target[0] == '/' ||
        has_control(target, target_length))
        return false;
    size_t depth = 0;
    for (size_t i = 0; i < length; i++)
        depth += path[i] == '/';
    bool climbing = true;
    for (size_t start = 0; start <= target_length;) {
        const char *slash = memchr(target + start, '/', target_length - start);
        size_t end = slash != NULL ? (size_t)(slash - target) : target_length;
        size_t size = end - start;
        if (size > BILLET_NAME_BYTES_MAX)
            return false;
        if (size == 2 && memcmp(target + start, "..", 2) == 0) {
            if (!climbing || depth == 0)
                return false;
            depth--;
        } else if (size > 1 || (size == 1 && target[start] != '.')) {
            climbing = false;
        }
        start = end + 1;
    }
    return true;
}

int
billet_path_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t common = a_length < b_length ? a_length : b_length;
    size_t i = 0;
    while (i < common && a[i] == b[i])
        i++;
    if (i == common)
        return a_length == b_length ? 0 : a_length < b_length ? -1 : 1;
    int left = a[i] == '/' ? 0 : (unsigned char)a[i];
    int right = b[i] == '/' ? 0 : (unsigned char)b[i];
    return left < right ? -1 : 1;
}

bool
billet_path_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return length == 0 ||
           (strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/'));
}

size_t
billet_path_parent_length(const char *path, size_t length)
{
    while (length > 0 && path[length - 1] != '/')
        length--;
    return length > 0 ? length - 1 : 0;
}
