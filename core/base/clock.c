/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"

static int64_t
read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec;
}

int64_t
billet_clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t
billet_clock_boottime(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

int64_t
billet_clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: the order in which they are written out. */
static const struct unit durations[] = {
    {"d", 86400 * BILLET_NS_PER_SECOND},
    {"h", 3600 * BILLET_NS_PER_SECOND},
    {"m", 60 * BILLET_NS_PER_SECOND},
    {"s", BILLET_NS_PER_SECOND},
    {"ms", INT64_C(1000000)},
    {"us", INT64_C(1000)},
    {"ns", INT64_C(1)},
};

static const struct unit sizes[] = {
    {"TiB", INT64_C(1) << 40}, {"GiB", INT64_C(1) << 30}, {"MiB", INT64_C(1) << 20},
    {"KiB", INT64_C(1) << 10}, {"T", INT64_C(1) << 40},   {"G", INT64_C(1) << 30},
    {"M", INT64_C(1) << 20},   {"K", INT64_C(1) << 10},   {"B", 1},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One "NUMBERUNIT" at *text; advances. Returns false when malformed or too large. */
static bool
parse_piece(const char **text, const struct unit *units, size_t count, int64_t *sum)
{
    int64_t number = 0;
    const char *at = *text;
    if (!isdigit((unsigned char)*at))
        return false;
    for (; isdigit((unsigned char)*at); at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *at - '0', &number))
            return false;
    size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) != length || strncmp(units[i].name, at, length) != 0)
            continue;
        *text = at + length;
        return !__builtin_mul_overflow(number, units[i].factor, &number) &&
               !__builtin_add_overflow(*sum, number, sum);
    }
    return false;
}

int
billet_duration_parse(const char *text, int64_t *ns, struct billet_error *error)
{
    int64_t sum = 0;
    const char *at = text;
    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return 0;
    }
    do {
        if (!parse_piece(&at, durations, COUNT(durations), &sum))
            return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                    "'%.64s' is not a duration such as 250ms, 10s, 5m or 1h30m",
                                    text);
    } while (*at != '\0');
    *ns = sum;
    return 0;
}

void
billet_duration_format(char *to, size_t size, int64_t ns)
{
    size_t used = 0;
    if (size == 0)
        return;
    to[0] = '\0';
    if (ns <= 0) {
        snprintf(to, size, "0");
        return;
    }
    for (size_t i = 0; i < COUNT(durations) && used < size; i++) {
        int64_t number = ns / durations[i].factor;
        ns -= number * durations[i].factor;
        if (number == 0)
            continue;
        int written = snprintf(to + used, size - used, "%" PRId64 "%s", number, durations[i].name);
        used += written > 0 ? (size_t)written : 0;
    }
}

int
billet_size_parse(const char *text, int64_t *bytes, struct billet_error *error)
{
    int64_t sum = 0;
    const char *at = text;
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits < 19 && text[digits] == '\0') {
        for (; *at != '\0'; at++)
            sum = sum * 10 + (*at - '0');
        *bytes = sum;
        return 0;
    }
    if (!parse_piece(&at, sizes, COUNT(sizes), &sum) || *at != '\0')
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "'%.64s' is not a size such as 64KiB, 512MiB or 2GiB", text);
    *bytes = sum;
    return 0;
}

void
billet_size_format(char *to, size_t size, int64_t bytes)
{
    for (size_t i = 0; i < 4; i++) {
        if (bytes >= sizes[i].factor && bytes % sizes[i].factor == 0) {
            snprintf(to, size, "%" PRId64 "%s", bytes / sizes[i].factor, sizes[i].name);
            return;
        }
    }
    snprintf(to, size, "%" PRId64, bytes);
}

void
billet_time_format(char *to, size_t size, int64_t wall_ns)
{
    int64_t rest = wall_ns % BILLET_NS_PER_SECOND;
    time_t seconds = (time_t)(wall_ns / BILLET_NS_PER_SECOND) - (rest < 0);
    rest += rest < 0 ? BILLET_NS_PER_SECOND : 0;
    struct tm parts;
    char date[32];
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        snprintf(to, size, "-");
        return;
    }
    snprintf(to, size, "%s.%03dZ", date, (int)(rest / 1000000));
}
