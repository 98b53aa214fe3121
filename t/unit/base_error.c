/* SPDX-License-Identifier: Apache-2.0 */
/* A failure is one line that keeps its class, its id and its cause on the way up. */
#include <errno.h>

#include "base/error.h"
#include "unit_fixture.h"

START_TEST(the_return_value_is_the_negative_class)
{
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_error_set(&error, BILLET_CLASS_AUTH, "refused", "no %d", 7),
                     -BILLET_CLASS_AUTH);
    ck_assert_int_eq(error.error_class, BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.code, "refused");
    ck_assert_str_eq(error.message, "no 7");
    ck_assert_str_eq(error.hint, "");
    ck_assert_int_eq(error.sys_errno, 0);
    ck_assert_int_eq(billet_error_wrap(&error, "door %s", "a"), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(billet_error_wrap(&error, "house"), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(billet_error_hint(&error, "knock"), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(billet_error_recode(&error, "outer"), -BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.message, "house: door a: no 7");
    ck_assert_str_eq(error.hint, "knock");
    ck_assert_str_eq(error.code, "outer");
}
END_TEST

START_TEST(callers_may_pass_no_error)
{
    ck_assert_int_eq(billet_error_set(NULL, BILLET_CLASS_LOST, "x", "y"), -BILLET_CLASS_LOST);
    ck_assert_int_eq(billet_error_errno(NULL, 0, "x", EACCES, "y"), -BILLET_CLASS_AUTH);
    ck_assert_int_lt(billet_error_wrap(NULL, "x"), 0);
    ck_assert_int_lt(billet_error_hint(NULL, "x"), 0);
    ck_assert_int_lt(billet_error_recode(NULL, "x"), 0);
    ck_assert_int_eq(billet_error_no_memory(NULL), -BILLET_CLASS_CAPACITY);
    billet_error_clear(NULL);
}
END_TEST

START_TEST(errno_chooses_the_class_and_is_told)
{
    static const struct {
        int number;
        int error_class;
        int retryable;
    } cases[] = {
        {EACCES, BILLET_CLASS_AUTH, 0},        {EPERM, BILLET_CLASS_AUTH, 0},
        {EROFS, BILLET_CLASS_AUTH, 0},         {ENOSPC, BILLET_CLASS_CAPACITY, 1},
        {EMFILE, BILLET_CLASS_CAPACITY, 1},    {ENOMEM, BILLET_CLASS_CAPACITY, 1},
        {ENOENT, BILLET_CLASS_UNAVAILABLE, 1}, {ETIMEDOUT, BILLET_CLASS_TIMEOUT, 1},
        {EBADF, BILLET_CLASS_INTERNAL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct billet_error error = BILLET_ERROR_INIT;
        char expected[128];
        ck_assert_int_eq(billet_error_errno(&error, 0, "io_failed", cases[i].number, "at %s", "x"),
                         -cases[i].error_class);
        snprintf(expected, sizeof(expected), "at x: %s", strerror(cases[i].number));
        ck_assert_str_eq(error.message, expected);
        ck_assert_int_eq(error.sys_errno, cases[i].number);
        ck_assert_int_eq(error.retryable, cases[i].retryable);
    }
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_error_errno(&error, BILLET_CLASS_LOST, "x", EACCES, "y"),
                     -BILLET_CLASS_LOST);
}
END_TEST

START_TEST(errno_of_the_caller_survives)
{
    struct billet_error error = BILLET_ERROR_INIT;
    errno = EXDEV;
    billet_error_set(&error, BILLET_CLASS_CONFIG, "x", "%s", "y");
    billet_error_errno(&error, 0, "x", ENOENT, "y");
    billet_error_wrap(&error, "z");
    billet_error_hint(&error, "z");
    ck_assert_int_eq(errno, EXDEV);
}
END_TEST

START_TEST(bytes_of_others_cannot_forge_a_line)
{
    struct billet_error error = BILLET_ERROR_INIT;
    billet_error_set(&error, BILLET_CLASS_CONFIG, "x", "name '%s'", "a\nerror: \033[2J\xff");
    ck_assert_str_eq(error.message, "name 'a\\nerror: \\x1b[2J\\xff'");
    billet_error_wrap(&error, "in %s", "b\rc");
    ck_assert_str_eq(error.message, "in b\\x0dc: name 'a\\nerror: \\x1b[2J\\xff'");
    billet_error_hint(&error, "do %s", "\x7f");
    ck_assert_str_eq(error.hint, "do \\x7f");
}
END_TEST

START_TEST(long_messages_are_cut_and_stay_text)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char *text = malloc(20001);
    for (size_t i = 0; i < 20000; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[20000] = '\0';
    billet_error_set(&error, BILLET_CLASS_CONFIG, text, "%s", text);
    ck_assert_uint_lt(strlen(error.message), BILLET_MESSAGE_MAX);
    ck_assert_uint_gt(strlen(error.message), BILLET_MESSAGE_MAX - 8);
    ck_assert_uint_lt(strlen(error.code), BILLET_CODE_MAX);
    ck_assert_ptr_null(strchr(error.message, '\\')); /* no half character */
    billet_error_wrap(&error, "where");
    ck_assert_int_eq(strncmp(error.message, "where: \xc3\xa9", 9), 0);
    ck_assert_uint_lt(strlen(error.message), BILLET_MESSAGE_MAX);
    ck_assert_int_eq((unsigned char)error.message[strlen(error.message) - 1], 0xa9);
    billet_error_errno(&error, 0, "x", ENOENT, "%s", text);
    ck_assert_uint_lt(strlen(error.message), BILLET_MESSAGE_MAX);
    billet_error_hint(&error, "%s", text);
    ck_assert_uint_lt(strlen(error.hint), BILLET_HINT_MAX);
    free(text);
}
END_TEST

START_TEST(a_later_failure_leaves_nothing_of_the_earlier)
{
    struct billet_error error = BILLET_ERROR_INIT;
    billet_error_errno(&error, 0, "first", EACCES, "one");
    billet_error_hint(&error, "do it");
    billet_error_set(&error, BILLET_CLASS_LOST, "second", "two");
    ck_assert_str_eq(error.hint, "");
    ck_assert_int_eq(error.sys_errno, 0);
    ck_assert_int_eq(error.retryable, 0);
    billet_error_no_memory(&error);
    ck_assert_str_eq(error.code, "out_of_memory");
    ck_assert_int_eq(error.sys_errno, ENOMEM);
    billet_error_clear(&error);
    ck_assert_int_eq(error.error_class, 0);
    ck_assert_str_eq(error.message, "");
    ck_assert_uint_eq(error.struct_size, sizeof(error));
}
END_TEST

START_TEST(classes_have_names_both_ways)
{
    for (int i = BILLET_CLASS_CONFIG; i <= BILLET_CLASS_INTERNAL; i++)
        ck_assert_int_eq(billet_error_class_by_name(billet_error_class_name(i)), i);
    ck_assert_str_eq(billet_error_class_name(BILLET_CLASS_AUTH), "auth");
    ck_assert_str_eq(billet_error_class_name(-1), "internal");
    ck_assert_str_eq(billet_error_class_name(99), "internal");
    ck_assert_int_eq(billet_error_class_by_name("none"), 0);
    ck_assert_int_eq(billet_error_class_by_name("Auth"), 0);
    ck_assert_int_eq(billet_error_class_by_name(""), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_error");
    TCase *tests = tcase_create("error");
    tcase_add_test(tests, the_return_value_is_the_negative_class);
    tcase_add_test(tests, callers_may_pass_no_error);
    tcase_add_test(tests, errno_chooses_the_class_and_is_told);
    tcase_add_test(tests, errno_of_the_caller_survives);
    tcase_add_test(tests, bytes_of_others_cannot_forge_a_line);
    tcase_add_test(tests, long_messages_are_cut_and_stay_text);
    tcase_add_test(tests, a_later_failure_leaves_nothing_of_the_earlier);
    tcase_add_test(tests, classes_have_names_both_ways);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
