/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_support.h - what the unit tests of core/config share: problems as text,
 * files in a directory of their own, and the main of a suite.
 */
#ifndef BILLET_UNIT_CONFIG_SUPPORT_H
#define BILLET_UNIT_CONFIG_SUPPORT_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/setting.h"

/* As printed; freed by the caller. Empties the list. */
static inline char *
support_problems(struct billet_diagnostics *list)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    billet_diagnostics_print(to, list);
    fclose(to);
    billet_diagnostics_free(list);
    return text;
}

static inline void
support_expect_problems(const char *what, struct billet_diagnostics *list, const char *expected)
{
    char *text = support_problems(list);
    ck_assert_msg(strcmp(text, expected) == 0, "%s:\ngot      %s\nexpected %s", what, text,
                  expected);
    free(text);
}

static inline int
support_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void
support_remove_tree(const char *path)
{
    nftw(path, support_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* base/name with the text, directories made. */
static inline void
support_write(const char *base, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(path, 0755);
        *at = '/';
    }
    unlink(path);
    FILE *to = fopen(path, "we");
    ck_assert_ptr_nonnull(to);
    fputs(text, to);
    fclose(to);
    ck_assert_int_eq(chmod(path, 0644), 0);
}

static inline int
support_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
