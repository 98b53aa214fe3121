/* SPDX-License-Identifier: Apache-2.0 */
/* JSON carries every byte string unharmed, and what comes from outside is taken by its type only.
 */
#include "base/error.h"
#include "base/json.h"
#include "unit_fixture.h"

/* Through text and back, as over a socket. */
static void
expect_round_trip(const char *bytes)
{
    json_t *value = billet_json_bytes(bytes);
    ck_assert_ptr_nonnull(value);
    char *text = billet_json_text(value);
    ck_assert_ptr_nonnull(text);
    json_t *parsed = NULL;
    ck_assert_int_eq(billet_json_parse(text, strlen(text), &parsed, NULL), 0);
    char *back = billet_json_get_bytes(parsed);
    ck_assert_ptr_nonnull(back);
    ck_assert_str_eq(back, bytes);
    free(back);
    free(text);
    json_decref(parsed);
    json_decref(value);
}

START_TEST(random_bytes_come_back_as_they_were)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    char bytes[130];
    for (int round = 0; round < 20000; round++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        size_t length = state % 128;
        for (size_t i = 0; i < length; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            /* Half of the rounds from bytes that UTF-8 is made of, so that some are well-formed. */
            static const char few[] = "a\"\\\n\x01\xc3\xa9\xe2\x82\xac";
            char c = round % 2 != 0 ? (char)(state >> 32) : few[(state >> 32) % (sizeof(few) - 1)];
            bytes[i] = c != 0 ? c : 'x';
        }
        bytes[length] = '\0';
        expect_round_trip(bytes);
    }
    expect_round_trip("");
    expect_round_trip("\xff");
    expect_round_trip("{\"base64\": \"eA==\"}");
}
END_TEST

START_TEST(text_stays_readable_and_bytes_are_marked)
{
    json_t *value = billet_json_bytes("gr\xc3\xbc\xc3\x9f");
    ck_assert_str_eq(json_string_value(value), "gr\xc3\xbc\xc3\x9f");
    json_decref(value);
    value = billet_json_bytes("\xff\xfe");
    ck_assert_str_eq(billet_json_string(value, "base64", ""), "//4=");
    json_decref(value);
}
END_TEST

START_TEST(what_is_no_byte_string_is_refused)
{
    static const char *const bad[] = {
        "1",
        "null",
        "[]",
        "{}",
        "\"a\\u0000b\"",
        "{\"base64\": 1}",
        "{\"base64\": \"!\"}",
        "{\"base64\": \"eA\"}",
        "{\"base64\": \"eA==\", \"more\": 1}",
        "{\"base64\": \"YQBi\"}", /* a NUL b */
        "{\"base64\": \"eA== \"}",
        "{\"base64\": \"eA==eA==\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *value = json_loads(bad[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        ck_assert_msg(value != NULL, "%s", bad[i]);
        char *bytes = billet_json_get_bytes(value);
        ck_assert_msg(bytes == NULL, "%s", bad[i]);
        json_decref(value);
    }
    ck_assert_ptr_null(billet_json_get_bytes(NULL));
}
END_TEST

START_TEST(malformed_text_is_refused_with_its_place)
{
    static const char *const bad[] = {"",     "{",        "{\"a\":1,\"a\":2}", "{} x",
                                      "[1,]", "\"\xff\"", "\"\\u0000\"",       "nul",
                                      "01",   "{'a':1}"};
    struct billet_error error = BILLET_ERROR_INIT;
    json_t *value = (json_t *)&error;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(billet_json_parse(bad[i], strlen(bad[i]), &value, &error) ==
                          -BILLET_CLASS_CONFIG,
                      "%s", bad[i]);
        ck_assert_ptr_eq(value, &error);
        ck_assert_str_eq(error.code, "json_invalid");
    }
    ck_assert_int_lt(billet_json_parse("{\n\"a\": ?}", 9, &value, &error), 0);
    ck_assert_ptr_nonnull(strstr(error.message, "line 2"));
    /* Depth is bounded: no stack is overrun. */
    size_t depth = 1000000;
    char *deep = malloc(depth);
    memset(deep, '[', depth);
    ck_assert_int_lt(billet_json_parse(deep, depth, &value, &error), 0);
    free(deep);
}
END_TEST

START_TEST(members_are_taken_by_type_or_not_at_all)
{
    json_t *object = NULL;
    const char *text = "{\"s\": \"x\", \"i\": 7, \"b\": true, \"r\": 1.5, \"n\": null}";
    ck_assert_int_eq(billet_json_parse(text, strlen(text), &object, NULL), 0);
    ck_assert_str_eq(billet_json_string(object, "s", "no"), "x");
    ck_assert_str_eq(billet_json_string(object, "i", "no"), "no");
    ck_assert_ptr_null(billet_json_string(object, "absent", NULL));
    ck_assert_int_eq(billet_json_integer(object, "i", -1), 7);
    ck_assert_int_eq(billet_json_integer(object, "r", -1), -1);
    ck_assert_int_eq(billet_json_integer(object, "s", -1), -1);
    ck_assert(billet_json_boolean(object, "b", false));
    ck_assert(billet_json_boolean(object, "i", true));
    ck_assert(!billet_json_boolean(object, "n", false));
    ck_assert_str_eq(billet_json_string(NULL, "s", "no"), "no");
    ck_assert(billet_json_set_integer(object, "max", INT64_MAX));
    ck_assert_int_eq(billet_json_integer(object, "max", 0), INT64_MAX);
    json_decref(object);
}
END_TEST

START_TEST(lists_pass_and_broken_ones_do_not)
{
    const char *list[] = {"a", "", "\xff\xfe", "d", NULL};
    json_t *object = json_object();
    struct billet_strings back = BILLET_STRINGS_INIT;
    ck_assert(billet_json_set_list(object, "list", list));
    ck_assert(billet_json_set_bytes(object, "one", "\xff"));
    ck_assert(billet_json_list(object, "list", &back));
    ck_assert_uint_eq(back.count, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(back.items[i], list[i]);
    ck_assert(billet_json_list(object, "absent", &back));
    ck_assert_uint_eq(back.count, 4);
    ck_assert(!billet_json_list(object, "one", &back));
    json_object_set_new(object, "mixed", json_pack("[s,i]", "x", 1));
    ck_assert(!billet_json_list(object, "mixed", &back));
    billet_strings_free(&back);
    json_decref(object);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_json");
    TCase *tests = tcase_create("json");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, random_bytes_come_back_as_they_were);
    tcase_add_test(tests, text_stays_readable_and_bytes_are_marked);
    tcase_add_test(tests, what_is_no_byte_string_is_refused);
    tcase_add_test(tests, malformed_text_is_refused_with_its_place);
    tcase_add_test(tests, members_are_taken_by_type_or_not_at_all);
    tcase_add_test(tests, lists_pass_and_broken_ones_do_not);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
