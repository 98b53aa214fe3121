/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli_fixture.h - what the tool prints, caught: a descriptor is turned to a file and back.
 */
#ifndef BILLET_UNIT_CLI_FIXTURE_H
#define BILLET_UNIT_CLI_FIXTURE_H

#include <sys/mman.h>

#include "unit_fixture.h"

struct capture {
    int number;
    int saved;
    int file;
    char text[65536];
};

static inline void
capture_begin(struct capture *capture, int number)
{
    fflush(NULL);
    capture->number = number;
    capture->saved = fcntl(number, F_DUPFD_CLOEXEC, 3);
    capture->file = memfd_create("capture", MFD_CLOEXEC);
    ck_assert_int_ge(capture->saved, 3);
    ck_assert_int_ge(capture->file, 0);
    ck_assert_int_eq(dup2(capture->file, number), number);
}

/* What was written since; lives in the capture. */
static inline const char *
capture_end(struct capture *capture)
{
    fflush(NULL);
    ck_assert_int_eq(dup2(capture->saved, capture->number), capture->number);
    close(capture->saved);
    ssize_t got = pread(capture->file, capture->text, sizeof(capture->text) - 1, 0);
    ck_assert_int_ge(got, 0);
    capture->text[got] = '\0';
    close(capture->file);
    return capture->text;
}

#endif
