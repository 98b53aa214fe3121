/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* What billet_json_get_bytes makes of {"base64": text}; the caller's. */
static char *
decode(const char *text)
{
    json_t *value = json_pack("{s:s}", "base64", text);
    char *bytes = billet_json_get_bytes(value);
    json_decref(value);
    return bytes;
}

START_TEST(text_stays_text)
{
    json_t *value = billet_json_bytes("caf\xc3\xa9");
    ck_assert_str_eq(json_string_value(value), "caf\xc3\xa9");
    json_decref(value);
}
END_TEST

START_TEST(bytes_of_every_length_and_value_come_back)
{
    char bytes[512], *back;
    for (size_t length = 1; length < sizeof(bytes); length++) {
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)(1 + (i * 7 + length) % 255);
        bytes[0] = (char)0xff; /* never UTF-8 */
        bytes[length] = '\0';
        json_t *value = billet_json_bytes(bytes);
        ck_assert(json_is_object(value));
        ck_assert_ptr_nonnull(back = billet_json_get_bytes(value));
        ck_assert_str_eq(back, bytes);
        free(back);
        json_decref(value);
    }
}
END_TEST

START_TEST(known_encodings_are_the_standard_ones)
{
    static const struct {
        const char *bytes;
        const char *text;
    } known[] = {{"\xff", "/w=="}, {"\xff\xfe", "//4="}, {"\xfb\xef\xff", "++//"}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        json_t *value = billet_json_bytes(known[i].bytes);
        ck_assert_str_eq(json_string_value(json_object_get(value, "base64")), known[i].text);
        json_decref(value);
    }
    char *foobar = decode("Zm9vYmFy");
    ck_assert_str_eq(foobar, "foobar");
    free(foobar);
}
END_TEST

START_TEST(what_is_no_encoding_is_refused)
{
    static const char *const bad[] = {"Z",    "Zm9",  "Zm9v=",  "Zm=v", "Z===", "====", "=m9v",
                                      "Zm9-", "Zm 9", "Zm9v\n", "Zh==", "Zm9=", "AA==", "Zg==Zg=="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *bytes = decode(bad[i]);
        ck_assert_msg(bytes == NULL, "%s was taken", bad[i]);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("json");
    TCase *bytes = tcase_create("bytes");
    tcase_add_test(bytes, text_stays_text);
    tcase_add_test(bytes, bytes_of_every_length_and_value_come_back);
    tcase_add_test(bytes, known_encodings_are_the_standard_ones);
    tcase_add_test(bytes, what_is_no_encoding_is_refused);
    suite_add_tcase(suite, bytes);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
