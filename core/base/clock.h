/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - time in int64 nanoseconds: the two clocks billet uses, and how
 * people write durations, sizes and moments.
 */
#ifndef BILLET_BASE_CLOCK_H
#define BILLET_BASE_CLOCK_H

#include <billet/types.h>
#include <stddef.h>

int64_t billet_clock_monotonic(void); /* CLOCK_MONOTONIC: deadlines */
int64_t billet_clock_boottime(void);  /* CLOCK_BOOTTIME: self-fencing */
int64_t billet_clock_wall(void);      /* since 1970 UTC: shown to people, never decides */

/* "250ms", "10s", "5m", "1h30m", "2d"; "0" too. A bare number other than 0 is refused. */
int billet_duration_parse(const char *text, int64_t *ns, struct billet_error *error);
/* The shortest exact form, "1h30m". */
void billet_duration_format(char *to, size_t size, int64_t ns);

/* "64KiB", "2GiB", "512M" (= MiB), "4096" bytes. */
int billet_size_parse(const char *text, int64_t *bytes, struct billet_error *error);
void billet_size_format(char *to, size_t size, int64_t bytes);

/* "2026-11-20T17:29:00.123Z" of a wall time; at least 25 bytes. */
void billet_time_format(char *to, size_t size, int64_t wall_ns);

#endif
