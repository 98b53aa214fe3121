/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit_fixture.h - what unit tests of several folders share: a scratch directory, counted
 * descriptors, another user, and the main of a suite.
 */
#ifndef BILLET_UNIT_FIXTURE_H
#define BILLET_UNIT_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT_OTHER_USER 65534

static inline int
unit_count_open(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* A directory of the caller's own that the trusted walk accepts. Freed by unit_remove_scratch. */
static inline char *
unit_make_scratch(void)
{
    char path[] = "/tmp/billet-unit.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    char *real = realpath(path, NULL);
    ck_assert_ptr_nonnull(real);
    return real;
}

static inline int
unit_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void
unit_remove_scratch(char *path)
{
    nftw(path, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static inline void
unit_write_file(const char *path, const char *text, mode_t mode)
{
    unlink(path);
    FILE *to = fopen(path, "we");
    ck_assert_ptr_nonnull(to);
    fputs(text, to);
    ck_assert_int_eq(fclose(to), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static inline int
unit_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
