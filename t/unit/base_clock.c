/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, moments and ids as people write them, and the clocks behind them. */
#include <inttypes.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uuid.h"
#include "unit_fixture.h"

#define SECOND BILLET_NS_PER_SECOND

START_TEST(durations_are_read_exactly_or_refused)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"0s", 0},
        {"250ms", 250 * INT64_C(1000000)},
        {"10s", 10 * SECOND},
        {"5m", 300 * SECOND},
        {"1h30m", 5400 * SECOND},
        {"2d", 172800 * SECOND},
        {"1us1ns", 1001},
        {"9223372036854775807ns", INT64_MAX},
    };
    static const char *const bad[] = {"",
                                      "10",
                                      "1.5s",
                                      "-1s",
                                      "s",
                                      "10 s",
                                      " 10s",
                                      "10s ",
                                      "1h3",
                                      "5min",
                                      "1w",
                                      "+1s",
                                      "0x1s",
                                      "10S",
                                      "9223372036854775808ns",
                                      "99999999999d",
                                      "106751d24h"};
    struct billet_error error = BILLET_ERROR_INIT;
    int64_t ns;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ns = -1;
        ck_assert_msg(billet_duration_parse(good[i].text, &ns, &error) == 0, "%s", good[i].text);
        ck_assert_int_eq(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ns = 42;
        ck_assert_msg(billet_duration_parse(bad[i], &ns, &error) == -BILLET_CLASS_CONFIG, "%s",
                      bad[i]);
        ck_assert_str_eq(error.code, "value_invalid");
        ck_assert_int_eq(ns, 42); /* written only on success */
    }
}
END_TEST

START_TEST(durations_come_back_as_they_were)
{
    char text[64];
    int64_t back;
    uint64_t state = 88172645463325252u;
    static const int64_t edges[] = {0, 1, 999, 1000, SECOND - 1, SECOND, 86400 * SECOND, INT64_MAX};
    for (int i = 0; i < 20000; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        int64_t ns = i < 8 ? edges[i] : (int64_t)(state >> (1 + i % 63));
        billet_duration_format(text, sizeof(text), ns);
        ck_assert_msg(billet_duration_parse(text, &back, NULL) == 0, "%s", text);
        ck_assert_msg(back == ns, "%" PRId64 " as %s", ns, text);
    }
    billet_duration_format(text, sizeof(text), 5400 * SECOND);
    ck_assert_str_eq(text, "1h30m");
    memset(text, 'z', sizeof(text));
    billet_duration_format(text, 4, INT64_MAX);
    ck_assert_uint_lt(strnlen(text, sizeof(text)), 4);
    billet_duration_format(text, 0, 1);
    billet_duration_format(text, sizeof(text), -5);
    ck_assert_str_eq(text, "0");
}
END_TEST

START_TEST(sizes_are_read_exactly_or_refused)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"4096B", 4096},
        {"64KiB", 65536},
        {"512M", INT64_C(512) << 20},
        {"2GiB", INT64_C(2) << 30},
        {"1T", INT64_C(1) << 40},
        {"999999999999999999", INT64_C(999999999999999999)},
    };
    static const char *const bad[] = {"",
                                      "-1",
                                      "1.5G",
                                      "10kb",
                                      "10k",
                                      "KiB",
                                      "1KiB1B",
                                      "1 KiB",
                                      "99999999999999999999",
                                      "9223372036854775807T",
                                      "0x10"};
    struct billet_error error = BILLET_ERROR_INIT;
    char text[64];
    int64_t bytes;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(billet_size_parse(good[i].text, &bytes, &error) == 0, "%s", good[i].text);
        ck_assert_int_eq(bytes, good[i].bytes);
        billet_size_format(text, sizeof(text), bytes);
        int64_t back = -1;
        ck_assert_int_eq(billet_size_parse(text, &back, NULL), 0);
        ck_assert_int_eq(back, bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bytes = 42;
        ck_assert_msg(billet_size_parse(bad[i], &bytes, &error) == -BILLET_CLASS_CONFIG, "%s",
                      bad[i]);
        ck_assert_int_eq(bytes, 42);
    }
    billet_size_format(text, sizeof(text), INT64_C(3) << 20);
    ck_assert_str_eq(text, "3MiB");
    billet_size_format(text, sizeof(text), 1025);
    ck_assert_str_eq(text, "1025");
}
END_TEST

START_TEST(moments_are_written_in_utc)
{
    char text[64];
    setenv("TZ", "Asia/Tokyo", 1);
    tzset();
    billet_time_format(text, sizeof(text), 0);
    ck_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
    billet_time_format(text, sizeof(text), INT64_C(1763659740) * SECOND + 123999999);
    ck_assert_str_eq(text, "2025-11-20T17:29:00.123Z");
    billet_time_format(text, 25, INT64_C(951782399) * SECOND + 999999999);
    ck_assert_str_eq(text, "2000-02-28T23:59:59.999Z");
    billet_time_format(text, sizeof(text), -1000000);
    ck_assert_str_eq(text, "1969-12-31T23:59:59.999Z");
}
END_TEST

START_TEST(clocks_run_and_agree_with_the_system)
{
    int64_t first = billet_clock_monotonic();
    int64_t boot = billet_clock_boottime();
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    int64_t passed = billet_clock_monotonic() - first;
    ck_assert_int_ge(passed, 20000000);
    ck_assert_int_ge(billet_clock_boottime() - boot, 20000000);
    int64_t wall = billet_clock_wall() / SECOND - (int64_t)time(NULL);
    ck_assert(wall >= -1 && wall <= 1);
}
END_TEST

START_TEST(uuids_are_version_7_and_carry_their_time)
{
    char previous[BILLET_UUID_SIZE] = "";
    char text[BILLET_UUID_SIZE];
    for (int i = 0; i < 2000; i++) {
        int64_t before = billet_clock_wall() / 1000000;
        billet_uuid_make(text);
        int64_t after = billet_clock_wall() / 1000000;
        ck_assert_uint_eq(strlen(text), 36);
        ck_assert(billet_uuid_is_valid(text));
        ck_assert_int_eq(text[14], '7');
        ck_assert_ptr_nonnull(strchr("89ab", text[19]));
        int64_t at = billet_uuid_time(text) / 1000000;
        ck_assert(at >= before && at <= after);
        ck_assert_str_ne(text, previous);
        ck_assert_int_le(strncmp(previous, text, 13), 0); /* sort by their millisecond */
        strcpy(previous, text);
    }
}
END_TEST

START_TEST(only_the_canonical_form_is_a_uuid)
{
    static const char *const bad[] = {
        "",
        "0193-",
        "01234567-89ab-7def-8123-456789abcde",
        "01234567-89ab-7def-8123-456789abcdef0",
        "01234567-89AB-7def-8123-456789abcdef",
        "01234567089ab-7def-8123-456789abcdef",
        "{1234567-89ab-7def-8123-456789abcde}",
        "01234567-89ab-7def-8123-45678-abcdef",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!billet_uuid_is_valid(bad[i]), "%s", bad[i]);
        ck_assert_int_eq(billet_uuid_time(bad[i]), -1);
    }
    ck_assert(billet_uuid_is_valid("01234567-89ab-4def-8123-456789abcdef"));
    ck_assert_int_eq(billet_uuid_time("01234567-89ab-4def-8123-456789abcdef"), -1);
    ck_assert_int_eq(billet_uuid_time("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
                     INT64_C(1645557742000) * 1000000); /* the example of RFC 9562 A.6 */
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_clock");
    TCase *tests = tcase_create("clock");
    tcase_add_test(tests, durations_are_read_exactly_or_refused);
    tcase_add_test(tests, durations_come_back_as_they_were);
    tcase_add_test(tests, sizes_are_read_exactly_or_refused);
    tcase_add_test(tests, moments_are_written_in_utc);
    tcase_add_test(tests, clocks_run_and_agree_with_the_system);
    tcase_add_test(tests, uuids_are_version_7_and_carry_their_time);
    tcase_add_test(tests, only_the_canonical_form_is_a_uuid);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
