/* SPDX-License-Identifier: Apache-2.0 */
/* test.c - one line a test, as it happens; exit status 1 when one failed. */
#include "wordfreq.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failures;

static void
check(bool good, const char *what)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    printf("%s: %s\n", good ? "PASS" : "FAIL", what);
    fflush(stdout);
    failures += !good;
    nanosleep(&pause, NULL); /* so that a reader sees the output arrive line by line */
}

static bool
counts(const char *text, const char *word, unsigned long wanted)
{
    struct word_table table = {0};
    bool good =
        scan_words(&table, text, strlen(text)) == 0 && word_table_count(&table, word) == wanted;
    word_table_free(&table);
    return good;
}

static bool
grows(void)
{
    struct word_table table = {0};
    char word[8];
    bool good = true;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 5000; i++) {
            snprintf(word, sizeof(word), "%c%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26,
                     'a' + i / 676 % 26, 'x');
            good = good && scan_words(&table, word, strlen(word)) == 0;
        }
    good = good && table.used == 5000 && word_table_count(&table, "aaax") == 3;
    word_table_free(&table);
    return good;
}

static bool
ranks(void)
{
    static const char text[] = "pear fig apple fig pear fig apple";
    static const char *const wanted[] = {"fig", "apple", "pear"};
    struct word_table table = {0};
    bool good = scan_words(&table, text, strlen(text)) == 0;
    const struct word **ranked = rank_words(&table);
    good = good && ranked != NULL && table.used == 3;
    for (size_t i = 0; good && i < 3; i++)
        good = strcmp(ranked[i]->text, wanted[i]) == 0;
    free(ranked);
    word_table_free(&table);
    return good;
}

int
main(void)
{
    check(counts("", "a", 0), "an empty text has no words");
    check(counts("to be or not to be", "be", 2), "equal words are counted together");
    check(counts("Be, be; BE!", "be", 3), "case and punctuation do not matter");
    check(counts("bee be", "be", 1), "a word is not its beginning");
    check(counts("end", "end", 1), "a word at the end of the text counts");
    check(grows(), "five thousand words fit");
    check(ranks(), "the most frequent word comes first, equal ones by name");
    printf("%s\n", failures == 0 ? "all tests passed" : "some tests failed");
    return failures != 0;
}
