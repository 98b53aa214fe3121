/* SPDX-License-Identifier: Apache-2.0 */
/* wordfreq.c - print the most frequent words of standard input. */
#include "wordfreq.h"

#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    struct word_table table = {0};
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int status = 1;

    while ((length = getline(&line, &size, stdin)) >= 0)
        if (scan_words(&table, line, (size_t)length) != 0)
            goto out;
    const struct word **ranked = rank_words(&table);
    if (ranked == NULL)
        goto out;
    for (size_t i = 0; i < table.used && i < wanted; i++)
        printf("%7lu %s\n", ranked[i]->count, ranked[i]->text);
    free(ranked);
    status = ferror(stdin) || fflush(stdout) != 0;
out:
    if (status != 0)
        fprintf(stderr, "wordfreq: out of memory, or input or output failed\n");
    free(line);
    word_table_free(&table);
    return status;
}
