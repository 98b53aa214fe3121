/* SPDX-License-Identifier: Apache-2.0 */
#include "wordfreq.h"

#include <stdbool.h>

#define WORD_MAX 64 /* what is longer counts by its beginning */

static bool
is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

int
scan_words(struct word_table *table, const char *text, size_t length)
{
    char word[WORD_MAX];
    size_t used = 0;
    bool inside = false;

    for (size_t i = 0; i <= length; i++) {
        if (i < length && is_letter(text[i])) {
            inside = true;
            if (used < sizeof(word))
                word[used++] = (char)(text[i] | 0x20);
        } else if (inside) {
            if (word_table_add(table, word, used) != 0)
                return -1;
            used = 0;
            inside = false;
        }
    }
    return 0;
}
