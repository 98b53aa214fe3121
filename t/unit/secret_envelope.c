/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope: vectors of another implementation, and everything that must not open. */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "secret/envelope.h"
#include "unit_fixture.h"

static const unsigned char id_a[16] = "key-aaaaaaaaaaaa";
static const unsigned char id_b[16] = "key-bbbbbbbbbbbb";
static const unsigned char key_a[32] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const unsigned char key_b[32] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const struct billet_envelope_key a = {id_a, key_a};
static const struct billet_envelope_key b = {id_b, key_b};
static const struct billet_envelope_place here = {"default", "secret-1", 3};
static const char value[] = "the value of it";

struct sealed {
    unsigned char bytes[sizeof(value) + BILLET_ENVELOPE_OVERHEAD];
    size_t size;
};

static struct sealed
seal_it(void)
{
    struct sealed sealed = {.size = sizeof(sealed.bytes)};
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_envelope_seal(&a, &here, value, strlen(value), NULL, sealed.bytes,
                                          &sealed.size, &error),
                     0);
    ck_assert_uint_eq(sealed.size, strlen(value) + BILLET_ENVELOPE_OVERHEAD);
    return sealed;
}

static bool
opens(const struct billet_envelope_key *key, const struct billet_envelope_place *place,
      const unsigned char *bytes, size_t size)
{
    cleanup_secret struct billet_secret opened = BILLET_SECRET_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_envelope_open(key, place, bytes, size, &opened, &error);
    if (result < 0) {
        ck_assert_str_eq(error.code, "secret_damaged");
        ck_assert_ptr_null(opened.bytes);
        return false;
    }
    ck_assert_uint_eq(opened.length, strlen(value));
    ck_assert_int_eq(memcmp(opened.bytes, value, strlen(value)), 0);
    return true;
}

static size_t
take_hex(char **at, unsigned char *to, size_t room)
{
    size_t length = 0;
    char *word = strsep(at, " \n");
    ck_assert_int_eq(sodium_hex2bin(to, room, word, strlen(word), NULL, &length, NULL), 0);
    return length;
}

START_TEST(vectors_of_another_implementation_are_met)
{
    char path[4096];
    char *line = NULL;
    size_t room = 0, count = 0;
    ck_assert_ptr_nonnull(getenv("top_srcdir"));
    snprintf(path, sizeof(path), "%s/t/data/secret/envelopes.txt", getenv("top_srcdir"));
    cleanup_file FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (getline(&line, &room, file) > 0) {
        static unsigned char plain[8192], expected[8192], made[8192];
        unsigned char id[16], key[32], tenant[64] = {0}, secret[64] = {0};
        struct billet_envelope_chosen chosen;
        struct billet_error error = BILLET_ERROR_INIT;
        cleanup_secret struct billet_secret opened = BILLET_SECRET_INIT;
        char *at = line;
        if (line[0] == '#')
            continue;
        take_hex(&at, tenant, sizeof(tenant) - 1);
        take_hex(&at, secret, sizeof(secret) - 1);
        uint64_t version = strtoull(strsep(&at, " "), NULL, 10);
        take_hex(&at, key, sizeof(key));
        take_hex(&at, id, sizeof(id));
        take_hex(&at, chosen.data_key, sizeof(chosen.data_key));
        take_hex(&at, chosen.wrap_nonce, sizeof(chosen.wrap_nonce));
        take_hex(&at, chosen.data_nonce, sizeof(chosen.data_nonce));
        size_t length = take_hex(&at, plain, sizeof(plain));
        size_t size = take_hex(&at, expected, sizeof(expected));
        const struct billet_envelope_key with = {id, key};
        const struct billet_envelope_place place = {(char *)tenant, (char *)secret, version};
        size_t made_size = sizeof(made);
        ck_assert_int_eq(
            billet_envelope_seal(&with, &place, plain, length, &chosen, made, &made_size, &error),
            0);
        ck_assert_uint_eq(made_size, size);
        ck_assert_int_eq(memcmp(made, expected, size), 0);
        ck_assert_int_eq(billet_envelope_open(&with, &place, expected, size, &opened, &error), 0);
        ck_assert_uint_eq(opened.length, length);
        ck_assert_int_eq(memcmp(opened.bytes, plain, length), 0);
        count++;
    }
    free(line);
    ck_assert_uint_eq(count, 5);
}
END_TEST

/* draft-irtf-cfrg-xchacha-03, A.3.1: the library is the cipher that it says. */
START_TEST(the_cipher_meets_its_draft)
{
    static const char text[] =
        "Ladies and Gentlemen of the class of '99: If I could offer you only "
        "one tip for the future, sunscreen would be it.";
    static const unsigned char tag[16] = {0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79,
                                          0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49};
    static const unsigned char more[] = {0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
                                         0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7};
    unsigned char key[32], nonce[24], made[sizeof(text) + 16];
    for (unsigned i = 0; i < 32; i++)
        key[i] = (unsigned char)(0x80 + i);
    for (unsigned i = 0; i < 24; i++)
        nonce[i] = (unsigned char)(0x40 + i);
    crypto_aead_xchacha20poly1305_ietf_encrypt(made, NULL, (const unsigned char *)text,
                                               strlen(text), more, sizeof(more), NULL, nonce, key);
    ck_assert_int_eq(memcmp(made + strlen(text), tag, sizeof(tag)), 0);
}
END_TEST

START_TEST(what_was_sealed_opens)
{
    struct sealed sealed = seal_it();
    ck_assert(opens(&a, &here, sealed.bytes, sealed.size));
}
END_TEST

START_TEST(no_flipped_bit_opens)
{
    struct sealed sealed = seal_it();
    for (size_t bit = 0; bit < sealed.size * 8; bit++) {
        sealed.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_msg(!opens(&a, &here, sealed.bytes, sealed.size), "bit %zu", bit);
        sealed.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    ck_assert(opens(&a, &here, sealed.bytes, sealed.size));
}
END_TEST

START_TEST(nothing_cut_or_lengthened_opens)
{
    struct sealed sealed = seal_it();
    for (size_t size = 0; size < sealed.size; size++) {
        /* Of its own size, so that a read beyond its end is seen. */
        unsigned char *cut = malloc(size > 0 ? size : 1);
        memcpy(cut, sealed.bytes, size);
        ck_assert_msg(!opens(&a, &here, cut, size), "%zu bytes", size);
        free(cut);
    }
    unsigned char longer[sizeof(sealed.bytes) + 1] = {0};
    memcpy(longer, sealed.bytes, sealed.size);
    ck_assert(!opens(&a, &here, longer, sealed.size + 1));
}
END_TEST

START_TEST(nothing_moved_elsewhere_opens)
{
    struct sealed sealed = seal_it();
    const struct billet_envelope_place others[] = {
        {"acme", "secret-1", 3},    {"default", "secret-2", 3}, {"default", "secret-1", 2},
        {"default", "secret-1", 4}, {"defaults", "ecret-1", 3}, {"defaul", "tsecret-1", 3},
        {"", "defaultsecret-1", 3},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_assert_msg(!opens(&a, &others[i], sealed.bytes, sealed.size), "place %zu", i);
    const struct billet_envelope_key wrong[] = {{id_a, key_b}, {id_b, key_a}, {id_b, key_b}};
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(!opens(&wrong[i], &here, sealed.bytes, sealed.size), "key %zu", i);
}
END_TEST

START_TEST(another_key_takes_over_without_touching_the_data)
{
    struct sealed sealed = seal_it();
    struct sealed before = sealed;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_envelope_rewrap(&a, &b, &here, sealed.bytes, sealed.size, &error), 0);
    ck_assert(!opens(&a, &here, sealed.bytes, sealed.size));
    ck_assert(opens(&b, &here, sealed.bytes, sealed.size));
    /* from the data's nonce to the end of the ciphertext */
    ck_assert_int_eq(memcmp(sealed.bytes + 94, before.bytes + 94, sealed.size - 94 - 32), 0);
    ck_assert_int_lt(billet_envelope_rewrap(&a, &b, &here, sealed.bytes, sealed.size, &error), 0);
    ck_assert(opens(&b, &here, sealed.bytes, sealed.size));
}
END_TEST

START_TEST(every_envelope_has_nonces_and_a_key_of_its_own)
{
    struct sealed one = seal_it();
    struct sealed two = seal_it();
    ck_assert_int_ne(memcmp(one.bytes + 22, two.bytes + 22, 24), 0);
    ck_assert_int_ne(memcmp(one.bytes + 46, two.bytes + 46, 48), 0);
    ck_assert_int_ne(memcmp(one.bytes + 94, two.bytes + 94, 24), 0);
    ck_assert_int_ne(memcmp(one.bytes + 122, two.bytes + 122, 16), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("secret_envelope");
    TCase *tests = tcase_create("envelope");
    tcase_set_timeout(tests, 120);
    if (sodium_init() < 0)
        return 1;
    tcase_add_test(tests, vectors_of_another_implementation_are_met);
    tcase_add_test(tests, the_cipher_meets_its_draft);
    tcase_add_test(tests, what_was_sealed_opens);
    tcase_add_test(tests, no_flipped_bit_opens);
    tcase_add_test(tests, nothing_cut_or_lengthened_opens);
    tcase_add_test(tests, nothing_moved_elsewhere_opens);
    tcase_add_test(tests, another_key_takes_over_without_touching_the_data);
    tcase_add_test(tests, every_envelope_has_nonces_and_a_key_of_its_own);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
