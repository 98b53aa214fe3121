/* SPDX-License-Identifier: Apache-2.0 */
#include "wordfreq.h"

#include <stdlib.h>
#include <string.h>

static int
by_count(const void *left, const void *right)
{
    const struct word *a = *(const struct word *const *)left;
    const struct word *b = *(const struct word *const *)right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->text, b->text);
}

const struct word **
rank_words(const struct word_table *table)
{
    const struct word **ranked = calloc(table->used + 1, sizeof(*ranked));
    if (ranked == NULL)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < table->size; i++)
        if (table->slots[i].text != NULL)
            ranked[used++] = &table->slots[i];
    qsort(ranked, used, sizeof(*ranked), by_count);
    return ranked;
}
