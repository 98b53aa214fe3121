/* SPDX-License-Identifier: Apache-2.0 */
/* No form of a live value passes, however it is cut; everything else does, unchanged. */
#include <stdint.h>
#include <string.h>

#include "base/redact.h"
#include "unit_fixture.h"

static const char secret[] = "s3cr\"et\\va/lue with \xc3\xbc and\nlines";

static uint32_t seed = 12345;

static uint32_t
next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* text through a stream in pieces of random sizes. */
static size_t
pass(const char *text, size_t length, char *to)
{
    struct billet_redact_stream stream = BILLET_REDACT_STREAM_INIT;
    size_t done = 0, out = 0;
    bool good = true;
    while (done < length) {
        size_t piece = 1 + next_random() % 7;
        if (piece > length - done)
            piece = length - done;
        out += billet_redact_stream_feed(&stream, text + done, piece, to + out, &good);
        ck_assert(good);
        done += piece;
        if (next_random() % 5 == 0)
            out += billet_redact_stream_idle(&stream, to + out);
    }
    out += billet_redact_stream_end(&stream, to + out);
    billet_redact_stream_free(&stream);
    to[out] = '\0';
    return out;
}

static void
check_masked(const char *form, size_t length, const char *name)
{
    char text[2048], out[4096], expected[4096];
    for (int round = 0; round < 200; round++) {
        size_t before = next_random() % 20;
        memset(text, '.', before);
        memcpy(text + before, form, length);
        memcpy(text + before + length, "...", 3);
        size_t size = pass(text, before + length + 3, out);
        memset(expected, '.', before);
        memcpy(expected + before, "[secret]...", 12);
        /* An idle moment may let out the first bytes, but no more. */
        size_t longest = before + 11 + 3;
        ck_assert_msg(size >= before + 11 && size <= longest, "%s: %s", name, out);
        ck_assert_ptr_nonnull(strstr(out, "[secret]..."));
        ck_assert_int_eq(memcmp(out, expected, before), 0);
    }
}

START_TEST(every_form_is_masked_at_every_place)
{
    static const char *const forms[][2] = {
        {"as it is", "s3cr\"et\\va/lue with \xc3\xbc and\nlines"},
        {"with CR LF", "s3cr\"et\\va/lue with \xc3\xbc and\r\nlines"},
        {"hexadecimal", "7333637222657"
                        "45c76612f6c7565207769746820c3bc20616e640a6c696e6573"},
        {"JSON", "s3cr\\\"et\\\\va/lue with \xc3\xbc and\\nlines"},
        {"JSON in ASCII", "s3cr\\\"et\\\\va/lue with \\u00fc and\\nlines"},
        {"JSON with slashes", "s3cr\\\"et\\\\va\\/lue with \xc3\xbc and\\nlines"},
        {"URL", "s3cr%22et%5Cva%2Flue%20with%20%C3%BC%20and%0Alines"},
        {"form", "s3cr%22et%5cva%2flue+with+%c3%bc+and%0alines"},
        {"base64", "czNjciJldFx2YS9sdWUgd2l0aCDDvCBhbmQKbGluZX"},
        {"base64 in lines", "czNjciJldFx2YS9s\ndWUgd2l0aCDDvCBh\r\nbmQKbGluZX"},
    };
    ck_assert(billet_redact_add(secret, strlen(secret)));
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        check_masked(forms[i][1], strlen(forms[i][1]), forms[i][0]);
    billet_redact_clear();
}
END_TEST

START_TEST(base64_is_masked_at_each_alignment)
{
    static const char table[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ck_assert(billet_redact_add(secret, strlen(secret)));
    for (size_t offset = 0; offset < 3; offset++) {
        unsigned char plain[128] = "abc";
        char coded[256], out[512];
        size_t length = offset + strlen(secret), used = 0;
        memcpy(plain + offset, secret, strlen(secret) + 1);
        for (size_t i = 0; i + 3 <= length + 2; i += 3) {
            unsigned group = (unsigned)plain[i] << 16 | (unsigned)plain[i + 1] << 8 | plain[i + 2];
            for (int shift = 18; shift >= 0; shift -= 6)
                coded[used++] = table[group >> shift & 63];
        }
        pass(coded, used, out);
        ck_assert_msg(strstr(out, "[secret]") != NULL, "offset %zu: %s", offset, out);
        ck_assert_msg(strlen(out) <= 8 + 9, "offset %zu: %s", offset, out);
    }
    billet_redact_clear();
}
END_TEST

START_TEST(other_text_is_unchanged)
{
    char text[4096], out[8192];
    ck_assert(billet_redact_add(secret, strlen(secret)));
    ck_assert(billet_redact_add("aaaaaaaaab", 10));
    for (int round = 0; round < 200; round++) {
        size_t length = next_random() % sizeof(text);
        for (size_t i = 0; i < length; i++)
            text[i] = "as3cr\"\n\rtv6"[next_random() % 11];
        size_t size = pass(text, length, out);
        if (strstr(out, "[secret]") != NULL)
            continue; /* aaaaaaaaab by chance */
        ck_assert_uint_eq(size, length);
        ck_assert_int_eq(memcmp(out, text, length), 0);
    }
    billet_redact_clear();
}
END_TEST

START_TEST(messages_are_masked_in_place_and_at_a_cut)
{
    char text[] = "cannot use s3cr3t-value, nor s3cr3t-value";
    char cut[] = "cannot use s3cr3t-va";
    char other[] = "cannot use s3cr";
    ck_assert(billet_redact_add("s3cr3t-value", 12));
    billet_redact_text(text);
    ck_assert_str_eq(text, "cannot use [secret], nor [secret]");
    billet_redact_text(cut);
    ck_assert_str_eq(cut, "cannot use [secret]");
    billet_redact_text(other);
    ck_assert_str_eq(other, "cannot use s3cr");
    billet_redact_clear();
    ck_assert(!billet_redact_any());
}
END_TEST

START_TEST(short_values_are_refused_and_newlines_at_the_end_do_not_count)
{
    char text[] = "x-12345678-x";
    ck_assert(!billet_redact_add("1234567", 7));
    ck_assert(!billet_redact_add("1234567\n\n", 9));
    ck_assert(billet_redact_add("12345678\n", 9));
    billet_redact_text(text);
    ck_assert_str_eq(text, "x-[secret]-x");
    billet_redact_clear();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_redact");
    TCase *tests = tcase_create("redact");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_form_is_masked_at_every_place);
    tcase_add_test(tests, base64_is_masked_at_each_alignment);
    tcase_add_test(tests, other_text_is_unchanged);
    tcase_add_test(tests, messages_are_masked_in_place_and_at_a_cut);
    tcase_add_test(tests, short_values_are_refused_and_newlines_at_the_end_do_not_count);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
