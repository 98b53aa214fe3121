/* SPDX-License-Identifier: Apache-2.0 */
#include "wordfreq.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t
slot_of(const struct word *slots, size_t size, const char *word, size_t length)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)word[i]) * 1099511628211u;
    size_t at = (size_t)hash & (size - 1);
    while (slots[at].text != NULL &&
           (strncmp(slots[at].text, word, length) != 0 || slots[at].text[length] != '\0'))
        at = (at + 1) & (size - 1);
    return at;
}

static int
grow(struct word_table *table)
{
    size_t size = table->size == 0 ? 16 : table->size * 2;
    struct word *slots = calloc(size, sizeof(*slots));
    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < table->size; i++) {
        const char *text = table->slots[i].text;
        if (text != NULL)
            slots[slot_of(slots, size, text, strlen(text))] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return 0;
}

int
word_table_add(struct word_table *table, const char *word, size_t length)
{
    if (2 * (table->used + 1) > table->size && grow(table) != 0)
        return -1;
    struct word *slot = &table->slots[slot_of(table->slots, table->size, word, length)];
    if (slot->text == NULL) {
        slot->text = strndup(word, length);
        if (slot->text == NULL)
            return -1;
        table->used++;
    }
    slot->count++;
    return 0;
}

unsigned long
word_table_count(const struct word_table *table, const char *word)
{
    if (table->size == 0)
        return 0;
    return table->slots[slot_of(table->slots, table->size, word, strlen(word))].count;
}

void
word_table_free(struct word_table *table)
{
    for (size_t i = 0; i < table->size; i++)
        free(table->slots[i].text);
    free(table->slots);
    *table = (struct word_table){0};
}
