/* SPDX-License-Identifier: Apache-2.0 */
/* What vaults answered is nowhere in memory once it was let go, though jansson had it. */
#include <stdint.h>

#include "secret/vault_http.h"
#include "stride.h"
#include "unit_fixture.h"

/* The value is made of these, so that it stands in memory only where it was put. */
#define VALUE_BYTES 20000
#define LOOK_FOR 64

static char
value_byte(size_t at)
{
    return (char)('a' + (at * 7 + at / 26) % 26);
}

/* Where a stretch of the value's middle begins in length bytes. */
static long
find_value(const char *bytes, size_t length)
{
    for (size_t at = 0; at + LOOK_FOR <= length; at++) {
        size_t same = 0;
        while (same < LOOK_FOR && bytes[at + same] == value_byte(VALUE_BYTES / 2 + same))
            same++;
        if (same == LOOK_FOR)
            return (long)at;
    }
    return -1;
}

/* How often it is in the writable memory of this process, pages of its own left out: those are
 * neither readable nor here when the value is gone. */
static int
count_copies(void)
{
    static char block[1 << 20];
    char line[512];
    int copies = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    ck_assert_ptr_nonnull(maps);
    ck_assert_int_ge(memory, 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t from, to;
        char rights[8];
        if (sscanf(line, "%zx-%zx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0)
            continue;
        for (; from < to; from += sizeof(block) - LOOK_FOR) {
            uintptr_t start = (uintptr_t)block;
            size_t size = to - from < sizeof(block) ? to - from : sizeof(block);
            if (from + size > start && from < start + sizeof(block))
                continue; /* what is being looked through */
            ssize_t got = pread(memory, block, size, (off_t)from);
            copies += got > 0 && find_value(block, (size_t)got) >= 0;
        }
    }
    memset(block, 0, sizeof(block));
    fclose(maps);
    close(memory);
    return copies;
}

/* {"FORM": the value}: a string, or the first of an array. */
static void
make_answer(struct billet_secret *answer, bool in_array)
{
    struct billet_error error = BILLET_ERROR_INIT;
    const char *head = in_array ? "{\"value\": [\"" : "{\"value\": \"";
    const char *tail = in_array ? "\"]}" : "\"}";
    ck_assert_int_eq(billet_secret_make(answer, VALUE_BYTES + 64, &error), 0);
    char *to = (char *)answer->bytes;
    to = stpcpy(to, head);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        *to++ = value_byte(i);
    to = stpcpy(to, tail);
    answer->length = (size_t)(to - (char *)answer->bytes);
}

static void
a_value_passes(bool in_array)
{
    struct billet_error error = BILLET_ERROR_INIT;
    const struct billet_vault vault = {0};
    struct billet_secret answer = BILLET_SECRET_INIT, value = BILLET_SECRET_INIT;
    json_t *json = NULL;
    make_answer(&answer, in_array);
    ck_assert_int_eq(billet_vault_http_json(&vault, &answer, &json, &error), 0);
    ck_assert_int_ge(count_copies(), 1); /* the look can find it */
    ck_assert_int_eq(billet_vault_take_field(&vault, json, "value", &value, &error), 0);
    ck_assert_uint_ge(value.length, VALUE_BYTES);
    billet_vault_wipe_json(&json);
    billet_secret_free(&answer);
    billet_secret_free(&value);
    ck_assert_int_eq(count_copies(), 0);
}

START_TEST(a_string_is_wiped)
{
    a_value_passes(false);
}
END_TEST

START_TEST(what_became_json_again_is_wiped)
{
    a_value_passes(true);
}
END_TEST

START_TEST(an_answer_that_is_no_json_is_wiped)
{
    struct billet_error error = BILLET_ERROR_INIT;
    const struct billet_vault vault = {.name = "v"};
    struct billet_secret answer = BILLET_SECRET_INIT;
    json_t *json = NULL;
    make_answer(&answer, true);
    answer.length -= 1; /* the last brace */
    answer.bytes[answer.length] = '\0';
    ck_assert_int_lt(billet_vault_http_json(&vault, &answer, &json, &error), 0);
    ck_assert_ptr_null(json);
    billet_secret_free(&answer);
    ck_assert_int_eq(count_copies(), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("wipe");
    TCase *tests = tcase_create("wipe");
    /* Their shadow is too large to look through. */
    if (!unit_is_sanitized()) {
        tcase_add_test(tests, a_string_is_wiped);
        tcase_add_test(tests, what_became_json_again_is_wiped);
        tcase_add_test(tests, an_answer_that_is_no_json_is_wiped);
    }
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
