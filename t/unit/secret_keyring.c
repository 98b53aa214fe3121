/* SPDX-License-Identifier: Apache-2.0 */
/* The keyring's form on disk, and the memory that holds keys. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "secret/keyring.h"
#include "unit_fixture.h"

START_TEST(a_ring_comes_back_as_it_was)
{
    struct billet_keyring *ring = NULL, *again = NULL;
    struct billet_secret file = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_keyring_make(&ring, &error), 0);
    ck_assert_int_eq(billet_keyring_rotate(ring, &error), 0);
    ck_assert_int_eq(billet_keyring_write(ring, NULL, BILLET_KEYRING_COST_DAILY, &file, &error), 0);
    ck_assert_int_eq(billet_keyring_read(file.bytes, file.length, NULL, &again, &error), 0);
    ck_assert_uint_eq(billet_keyring_count(again), 2);
    for (size_t i = 0; i < 2; i++) {
        const struct billet_key one = billet_keyring_at(ring, i);
        const struct billet_key two = billet_keyring_at(again, i);
        ck_assert_int_eq(memcmp(one.id, two.id, sizeof(one.id)), 0);
        ck_assert_int_eq(memcmp(one.key, two.key, BILLET_KEY_BYTES), 0);
        ck_assert_int_eq(one.state, two.state);
    }
    ck_assert_int_eq(billet_keyring_at(again, 0).state, BILLET_KEY_DECRYPT);
    ck_assert_int_eq(billet_keyring_at(again, 1).state, BILLET_KEY_ACTIVE);
    billet_keyring_free(ring);
    billet_keyring_free(again);
    billet_secret_free(&file);
}
END_TEST

START_TEST(no_flipped_bit_and_no_cut_ring_is_read)
{
    struct billet_keyring *ring = NULL, *again = NULL;
    struct billet_secret file = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_keyring_make(&ring, &error), 0);
    ck_assert_int_eq(billet_keyring_write(ring, NULL, BILLET_KEYRING_COST_DAILY, &file, &error), 0);
    for (size_t bit = 0; bit < file.length * 8; bit++) {
        /* Byte 5 asks for a passphrase: refused before any work is done for it. */
        file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_msg(billet_keyring_read(file.bytes, file.length, NULL, &again, &error) < 0,
                      "bit %zu", bit);
        file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t size = 0; size < file.length; size++)
        ck_assert_msg(billet_keyring_read(file.bytes, size, NULL, &again, &error) < 0, "%zu bytes",
                      size);
    ck_assert_ptr_null(again);
    billet_keyring_free(ring);
    billet_secret_free(&file);
}
END_TEST

START_TEST(a_weakened_header_is_refused)
{
    struct billet_keyring *ring = NULL, *again = NULL;
    struct billet_secret file = BILLET_SECRET_INIT, passphrase = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_secret_copy(&passphrase, "passphrase", 10, &error), 0);
    ck_assert_int_eq(billet_keyring_make(&ring, &error), 0);
    ck_assert_int_eq(
        billet_keyring_write(ring, &passphrase, BILLET_KEYRING_COST_DAILY, &file, &error), 0);
    ck_assert(billet_keyring_wants_passphrase(file.bytes, file.length));
    ck_assert_int_eq(billet_keyring_read(file.bytes, file.length, NULL, &again, &error),
                     -BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.code, "key_passphrase_missing");
    unsigned char operations = file.bytes[24];
    file.bytes[24] = 1;
    ck_assert_int_lt(billet_keyring_read(file.bytes, file.length, &passphrase, &again, &error), 0);
    ck_assert_str_eq(error.code, "keyring_damaged");
    file.bytes[24] = operations;
    ck_assert_int_eq(billet_keyring_read(file.bytes, file.length, &passphrase, &again, &error), 0);
    billet_keyring_free(again);
    billet_keyring_free(ring);
    billet_secret_free(&file);
    billet_secret_free(&passphrase);
}
END_TEST

START_TEST(merging_adds_what_is_missing_and_keeps_the_active_key)
{
    struct billet_keyring *one = NULL, *two = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    size_t added = 0;
    struct billet_envelope_key found;
    ck_assert_int_eq(billet_keyring_make(&one, &error), 0);
    ck_assert_int_eq(billet_keyring_make(&two, &error), 0);
    ck_assert_int_eq(billet_keyring_merge(one, two, &added, &error), 0);
    ck_assert_uint_eq(added, 1);
    ck_assert(billet_keyring_find(one, billet_keyring_active(two).id, &found));
    ck_assert_int_eq(billet_keyring_at(one, 0).state, BILLET_KEY_ACTIVE);
    ck_assert_int_eq(billet_keyring_at(one, 1).state, BILLET_KEY_DECRYPT);
    ck_assert_int_eq(billet_keyring_merge(one, two, &added, &error), 0);
    ck_assert_uint_eq(added, 0);
    billet_keyring_free(one);
    billet_keyring_free(two);
}
END_TEST

START_TEST(a_child_of_fork_sees_no_secret) /* SEC-85 */
{
    struct billet_secret secret = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int status = 0;
    ck_assert_int_eq(billet_secret_copy(&secret, "needle-needle", 13, &error), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int found = 0;
        for (size_t i = 0; i < secret.length; i++)
            found |= secret.bytes[i];
        _exit(found == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WIFEXITED(status) && WEXITSTATUS(status) == 0, 1);
    ck_assert_int_eq(memcmp(secret.bytes, "needle-needle", 14), 0);
    billet_secret_free(&secret);
}
END_TEST

START_TEST(secrets_are_left_out_of_core_files) /* SEC-82: VmFlags dd of /proc/self/smaps */
{
    struct billet_secret secret = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    char line[512];
    bool inside = false, left_out = false;
    ck_assert_int_eq(billet_secret_copy(&secret, "needle", 6, &error), 0);
    FILE *smaps = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(smaps);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)secret.bytes >= from && (unsigned long)secret.bytes < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            left_out = strstr(line, " dd") != NULL;
    }
    fclose(smaps);
    ck_assert(left_out);
    billet_secret_free(&secret);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("secret_keyring");
    TCase *tests = tcase_create("keyring");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_ring_comes_back_as_it_was);
    tcase_add_test(tests, no_flipped_bit_and_no_cut_ring_is_read);
    tcase_add_test(tests, a_weakened_header_is_refused);
    tcase_add_test(tests, merging_adds_what_is_missing_and_keeps_the_active_key);
    tcase_add_test(tests, a_child_of_fork_sees_no_secret);
    tcase_add_test(tests, secrets_are_left_out_of_core_files);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
