/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wordfreq.h - how often each word occurs in a text.
 *
 * The demo project that billet builds in every environment. Words are runs of ASCII letters,
 * compared without case.
 */
#ifndef WORDFREQ_H
#define WORDFREQ_H

#include <stddef.h>

struct word {
    char *text; /* lower case, owned by the table */
    unsigned long count;
};

struct word_table {
    struct word *slots; /* open addressing; text NULL in a free slot */
    size_t size;        /* a power of two, or 0 */
    size_t used;
};

/* All return 0, or -1 when memory ran out. A zeroed table is an empty one. */
int word_table_add(struct word_table *table, const char *word, size_t length);
void word_table_free(struct word_table *table);
unsigned long word_table_count(const struct word_table *table, const char *word);

/* Add every word of text. */
int scan_words(struct word_table *table, const char *text, size_t length);

/* The words of the table, most frequent first, equal ones in alphabetical order: an array of
 * table->used pointers into the table, which the caller frees. NULL when memory ran out. */
const struct word **rank_words(const struct word_table *table);

#endif
