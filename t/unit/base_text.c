/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, names, growing buffers and lists: bounded, terminated, and honest about failure. */
#include <stdint.h>

#include "base/buffer.h"
#include "base/strings.h"
#include "base/text.h"
#include "unit_fixture.h"

START_TEST(copies_end_at_a_whole_character)
{
    char to[8];
    billet_text_copy(to, sizeof(to), "1234567");
    ck_assert_str_eq(to, "1234567");
    billet_text_copy(to, sizeof(to), "12345678");
    ck_assert_str_eq(to, "1234567");
    billet_text_copy(to, sizeof(to), "123456\xc3\xa9");
    ck_assert_str_eq(to, "123456");
    billet_text_copy(to, sizeof(to), "12345\xf0\x9f\x8e\x89");
    ck_assert_str_eq(to, "12345");
    billet_text_copy(to, 1, "x");
    ck_assert_str_eq(to, "");
}
END_TEST

START_TEST(escapes_leave_nothing_that_a_terminal_obeys)
{
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {"plain \xc3\xa9 \xf0\x9f\x8e\x89", "plain \xc3\xa9 \xf0\x9f\x8e\x89"},
        {"a\nb", "a\\nb"},
        {"\t\x1b[0m\x7f", "\\x09\\x1b[0m\\x7f"},
        {"\xc2\x9b"
         "2J",
         "\\xc2\\x9b2J"}, /* CSI as one C1 control */
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xc0\x80", "\\xc0\\x80"},                   /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond Unicode */
        {"\xe2\x82", "\\xe2\\x82"},                   /* cut off */
        {"", ""},
    };
    char to[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        billet_text_escape(to, sizeof(to), cases[i].from);
        ck_assert_str_eq(to, cases[i].to);
    }
    /* Every size: terminated, a prefix of the whole, no escape cut in two. */
    char whole[64];
    const char *mixed = "ab\x01"
                        "c\xc3\xa9\nd";
    billet_text_escape(whole, sizeof(whole), mixed);
    for (size_t size = 1; size <= sizeof(to); size++) {
        memset(to, 'z', sizeof(to));
        billet_text_escape(to, size, mixed);
        size_t length = strnlen(to, sizeof(to));
        ck_assert_uint_lt(length, size);
        ck_assert_int_eq(strncmp(to, whole, length), 0);
        const char *backslash = strrchr(to, '\\');
        ck_assert(backslash == NULL || backslash[1] == 'n' || strlen(backslash) >= 4);
        ck_assert(length == 0 || (unsigned char)to[length - 1] != 0xc3);
    }
}
END_TEST

START_TEST(utf8_is_judged_as_the_standard_says)
{
    for (unsigned first = 0; first < 256; first++) {
        char one[1] = {(char)first};
        ck_assert_int_eq(billet_text_is_utf8(one, 1), first > 0 && first < 0x80);
        for (unsigned second = 0x70; second < 256; second++) {
            char two[2] = {(char)first, (char)second};
            bool ascii = first > 0 && first < 0x80 && second < 0x80;
            bool pair = first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
            ck_assert_int_eq(billet_text_is_utf8(two, 2), ascii || pair);
        }
    }
    ck_assert(billet_text_is_utf8("", 0));
    ck_assert(!billet_text_is_utf8("a\0b", 3));
    ck_assert(billet_text_is_utf8("\xef\xbf\xbf", 3));
    ck_assert(billet_text_is_utf8("\xf4\x8f\xbf\xbf", 4));
    ck_assert(!billet_text_is_utf8("\xe0\x9f\xbf", 3));
    ck_assert(!billet_text_is_utf8("\xf0\x8f\xbf\xbf", 4));
    ck_assert(!billet_text_is_utf8("\xf5\x80\x80\x80", 4));
}
END_TEST

START_TEST(names_and_ids_are_bounded)
{
    char text[200];
    static const char *const names[] = {"a", "9", "build-1", "a.b_c-D"};
    static const char *const no_names[] = {"",    ".a",  "-a",       "_a", "a b",
                                           "a/b", "a\n", "\xc3\xa9", "a:b"};
    static const char *const ids[] = {"x", "a b", "agent/7 @ home", "\xc3\xa9"};
    static const char *const no_ids[] = {"", " a", "a ", "a\tb", "a\x7f", "\xc2\x85", "a\xff"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(billet_text_is_name(names[i]), "%s", names[i]);
    for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
        ck_assert_msg(!billet_text_is_name(no_names[i]), "%s", no_names[i]);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        ck_assert_msg(billet_text_is_id(ids[i]), "%s", ids[i]);
    for (size_t i = 0; i < sizeof(no_ids) / sizeof(no_ids[0]); i++)
        ck_assert_msg(!billet_text_is_id(no_ids[i]), "%s", no_ids[i]);
    ck_assert(!billet_text_is_name(NULL));
    ck_assert(!billet_text_is_id(NULL));
    memset(text, 'a', sizeof(text));
    text[129] = '\0';
    ck_assert(!billet_text_is_id(text));
    text[128] = '\0';
    ck_assert(billet_text_is_id(text));
    text[65] = '\0';
    ck_assert(!billet_text_is_name(text));
    text[64] = '\0';
    ck_assert(billet_text_is_name(text));
}
END_TEST

START_TEST(the_nearest_name_is_what_was_meant_or_nothing)
{
    static const char *const known[] = {"local", "sandbox", "build1", NULL};
    static const char *const none[] = {NULL};
    ck_assert_str_eq(billet_text_nearest("snadbox", known), "sandbox");
    ck_assert_str_eq(billet_text_nearest("lcal", known), "local");
    ck_assert_str_eq(billet_text_nearest("build1", known), "build1");
    ck_assert_ptr_null(billet_text_nearest("kubernetes", known));
    ck_assert_ptr_null(billet_text_nearest("local", none));
    ck_assert_ptr_null(billet_text_nearest("local", NULL));
    char text[300];
    memset(text, 'l', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ck_assert_ptr_null(billet_text_nearest(text, known));
}
END_TEST

START_TEST(small_helpers_accept_nothing_as_a_text)
{
    char *copy = billet_text_dup("x");
    ck_assert_str_eq(copy, "x");
    free(copy);
    ck_assert_ptr_null(billet_text_dup(NULL));
    ck_assert(billet_text_equal(NULL, NULL) && billet_text_equal("a", "a"));
    ck_assert(!billet_text_equal("a", NULL) && !billet_text_equal(NULL, "a"));
    ck_assert(!billet_text_equal("a", "b"));
    ck_assert(billet_text_starts("sqlite:x", "sqlite:") && !billet_text_starts("sql", "sqlite:"));
}
END_TEST

START_TEST(a_buffer_keeps_every_byte)
{
    struct billet_buffer buffer = BILLET_BUFFER_INIT;
    ck_assert_str_eq(billet_buffer_text(&buffer), "");
    char *expected = malloc(200001);
    size_t length = 0;
    for (int i = 0; length < 190000; i++) {
        int written = sprintf(expected + length, "%d,", i);
        length += (size_t)written;
        billet_buffer_format(&buffer, "%d%c", i, ',');
    }
    billet_buffer_add(&buffer, "tail");
    billet_buffer_add_char(&buffer, '\0');
    billet_buffer_append(&buffer, NULL, 0);
    ck_assert_uint_eq(buffer.length, length + 5);
    ck_assert_int_eq(memcmp(buffer.data, expected, length), 0);
    ck_assert_int_eq(memcmp(buffer.data + length, "tail\0", 6), 0); /* and the terminator */
    free(expected);
    char *taken = billet_buffer_steal(&buffer);
    ck_assert_ptr_nonnull(taken);
    free(taken);
    ck_assert_uint_eq(buffer.length, 0);
    taken = billet_buffer_steal(&buffer);
    ck_assert_str_eq(taken, "");
    free(taken);
    billet_buffer_free(&buffer);
    billet_buffer_free(&buffer);
}
END_TEST

START_TEST(room_that_was_never_filled_is_no_text)
{
    struct billet_buffer buffer = BILLET_BUFFER_INIT;
    char *room = billet_buffer_reserve(&buffer, 100);
    ck_assert_ptr_nonnull(room);
    ck_assert_str_eq(billet_buffer_text(&buffer), "");
    memcpy(room, "abc", 3);
    buffer.length += 3;
    billet_buffer_add(&buffer, "d");
    ck_assert_str_eq(billet_buffer_text(&buffer), "abcd");
    billet_buffer_free(&buffer);
}
END_TEST

START_TEST(a_failed_append_is_not_forgotten)
{
    struct billet_buffer buffer = BILLET_BUFFER_INIT;
    billet_buffer_add(&buffer, "x");
    ck_assert_ptr_null(billet_buffer_reserve(&buffer, SIZE_MAX));
    billet_buffer_add(&buffer, "y");
    ck_assert(buffer.failed);
    ck_assert_ptr_null(billet_buffer_text(&buffer));
    ck_assert_ptr_null(billet_buffer_steal(&buffer));
    ck_assert(!buffer.failed); /* empty and usable again */
    billet_buffer_add(&buffer, "z");
    ck_assert_ptr_null(billet_buffer_reserve(&buffer, SIZE_MAX / 2 + 2));
    billet_buffer_free(&buffer);
}
END_TEST

START_TEST(lists_have_the_shape_of_argv)
{
    struct billet_strings list = BILLET_STRINGS_INIT;
    ck_assert_ptr_null(billet_strings_list(&list)[0]);
    char number[16];
    for (int i = 0; i < 1000; i++)
        ck_assert(billet_strings_format(&list, "item-%03d", 999 - i));
    ck_assert(!billet_strings_take(&list, NULL));
    ck_assert_uint_eq(list.count, 1000);
    ck_assert_ptr_null(billet_strings_list(&list)[1000]);
    billet_strings_sort(&list);
    for (int i = 0; i < 1000; i++) {
        snprintf(number, sizeof(number), "item-%03d", i);
        ck_assert_str_eq(list.items[i], number);
    }
    ck_assert(billet_strings_contains(&list, "item-500"));
    ck_assert(!billet_strings_contains(&list, "item-50"));
    billet_strings_free(&list);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_ptr_null(billet_strings_list(&list)[0]);
    billet_strings_sort(&list);
}
END_TEST

START_TEST(variables_are_replaced_by_their_whole_name)
{
    struct billet_strings list = BILLET_STRINGS_INIT;
    ck_assert(billet_strings_set(&list, "PATH", "/bin"));
    ck_assert(billet_strings_set(&list, "PATH_X", "1"));
    ck_assert(billet_strings_set(&list, "PATH", ""));
    ck_assert(billet_strings_set(&list, "P", "=a=b"));
    ck_assert_uint_eq(list.count, 3);
    ck_assert_str_eq(billet_strings_value(&list, "PATH"), "");
    ck_assert_str_eq(billet_strings_value(&list, "PATH_X"), "1");
    ck_assert_str_eq(billet_strings_value(&list, "P"), "=a=b");
    ck_assert_ptr_null(billet_strings_value(&list, "PA"));
    ck_assert_str_eq(list.items[0], "PATH=");
    billet_strings_free(&list);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, copies_end_at_a_whole_character);
    tcase_add_test(tests, escapes_leave_nothing_that_a_terminal_obeys);
    tcase_add_test(tests, utf8_is_judged_as_the_standard_says);
    tcase_add_test(tests, names_and_ids_are_bounded);
    tcase_add_test(tests, the_nearest_name_is_what_was_meant_or_nothing);
    tcase_add_test(tests, small_helpers_accept_nothing_as_a_text);
    tcase_add_test(tests, a_buffer_keeps_every_byte);
    tcase_add_test(tests, room_that_was_never_filled_is_no_text);
    tcase_add_test(tests, a_failed_append_is_not_forgotten);
    tcase_add_test(tests, lists_have_the_shape_of_argv);
    tcase_add_test(tests, variables_are_replaced_by_their_whole_name);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
