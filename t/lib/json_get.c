/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-get [-l] POINTER... - reads JSON on standard input and prints what each JSON pointer (RFC
 * 6901) leads to, a line each: strings as they are, all else as compact JSON. A last part of '#'
 * gives the number of members. With -l the input is JSON lines, and lines without the member are
 * passed over. Exits 1 when something is not there, 2 when the input is not JSON, and the whole of
 * it: what a test parses is thereby proven to be one document.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One part of a pointer, unescaped in place. */
static void
unescape(char *part)
{
    char *to = part;
    for (; *part != '\0'; part++) {
        *to = *part;
        if (part[0] == '~' && part[1] != '\0')
            *to = *++part == '1' ? '/' : '~';
        to++;
    }
    *to = '\0';
}

/* NULL when it leads nowhere; a new reference. */
static json_t *
find(json_t *value, const char *pointer)
{
    char *copy = strdup(pointer);
    char *rest = copy;
    char *part;
    if (copy == NULL)
        abort();
    strsep(&rest, "/"); /* the empty part before the first slash */
    while (value != NULL && (part = strsep(&rest, "/")) != NULL) {
        unescape(part);
        if (strcmp(part, "#") == 0) {
            size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
            free(copy);
            return json_integer((json_int_t)count);
        }
        value = json_is_array(value) ? json_array_get(value, (size_t)strtoul(part, NULL, 10))
                                     : json_object_get(value, part);
    }
    free(copy);
    return json_incref(value);
}

static bool
print(json_t *value, const char *pointer)
{
    json_t *found = find(value, pointer);
    if (found == NULL)
        return false;
    if (json_is_string(found))
        puts(json_string_value(found));
    else if (json_dumpf(found, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) == 0)
        putchar('\n');
    json_decref(found);
    return true;
}

static int
print_lines(int count, char **pointers)
{
    char *line = NULL;
    size_t size = 0;
    int status = 1;
    while (status != 2 && getline(&line, &size, stdin) > 0) {
        json_error_t error;
        json_t *value = json_loads(line, 0, &error);
        if (value == NULL) {
            fprintf(stderr, "json-get: %s: %s", error.text, line);
            status = 2;
        }
        for (int i = 0; value != NULL && i < count; i++)
            if (print(value, pointers[i]))
                status = 0;
        json_decref(value);
    }
    free(line);
    return status;
}

int
main(int argc, char **argv)
{
    json_error_t error;
    int status = 0;
    if (argc > 2 && strcmp(argv[1], "-l") == 0)
        return print_lines(argc - 2, argv + 2);
    json_t *value = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        fprintf(stderr, "json-get: %d:%d: %s\n", error.line, error.column, error.text);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        if (!print(value, argv[i]))
            status = 1;
    json_decref(value);
    return status;
}
