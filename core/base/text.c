/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at text (RFC 3629), 0 when there is none. */
static size_t
sequence_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                    : first >= 0xe0 && first <= 0xef ? 3
                    : first >= 0xf0 && first <= 0xf4 ? 4
                                                     : 0;
    if (length == 0 || left < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

void
billet_text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xc0) == 0x80)
            length--;
    }
    memmove(to, from, length);
    to[length] = '\0';
}

void
billet_text_escape(char *to, size_t size, const char *from)
{
    const unsigned char *in = (const unsigned char *)from;
    size_t left = strlen(from);
    size_t used = 0;

    while (left > 0) {
        char piece[8];
        size_t taken = sequence_length(in, left);
        size_t length;
        bool c1 = taken == 2 && in[0] == 0xc2 && in[1] < 0xa0;
        if (taken == 0 || c1 || in[0] < 0x20 || in[0] == 0x7f) {
            taken = 1;
            length = in[0] == '\n' ? 2 : 4;
            if (in[0] == '\n')
                memcpy(piece, "\\n", 3);
            else
                snprintf(piece, sizeof(piece), "\\x%02x", in[0]);
        } else {
            length = taken;
            memcpy(piece, in, taken);
        }
        if (used + length >= size)
            break;
        memcpy(to + used, piece, length);
        used += length;
        in += taken;
        left -= taken;
    }
    to[used] = '\0';
}

bool
billet_text_is_utf8(const char *bytes, size_t length)
{
    const unsigned char *in = (const unsigned char *)bytes;
    while (length > 0) {
        size_t taken = sequence_length(in, length);
        if (taken == 0 || in[0] == '\0')
            return false;
        in += taken;
        length -= taken;
    }
    return true;
}

static bool
is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
billet_text_is_name(const char *text)
{
    size_t length = text != NULL ? strnlen(text, 65) : 0;
    if (length == 0 || length > 64 || !is_alphanumeric(text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_alphanumeric(text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return true;
}

bool
billet_text_is_id(const char *text)
{
    size_t length = text != NULL ? strnlen(text, 129) : 0;
    if (length == 0 || length > 128 || text[0] == ' ' || text[length - 1] == ' ')
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
            return false;
    }
    return billet_text_is_utf8(text, length);
}

/* Edit distance (insert, delete, replace), bounded: strings over 64 bytes are never near. */
static size_t
distance(const char *a, const char *b)
{
    size_t a_length = strnlen(a, 65);
    size_t b_length = strnlen(b, 65);
    size_t row[66];
    if (a_length > 64 || b_length > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = best < replaced ? best : replaced;
        }
    }
    return row[b_length];
}

const char *
billet_text_nearest(const char *text, const char *const *known)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 1;
    for (; known != NULL && *known != NULL; known++) {
        size_t found = distance(text, *known);
        if (found < best_distance || (found == best_distance && best == NULL)) {
            best = *known;
            best_distance = found;
        }
    }
    return best;
}

char *
billet_text_dup(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

bool
billet_text_equal(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

bool
billet_text_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}
