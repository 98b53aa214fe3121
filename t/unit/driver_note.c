/* SPDX-License-Identifier: Apache-2.0 */
/* The note is found in a real driver, and nothing that a file may hold makes the reader misstep. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "driver/note.h"

static struct billet_buffer file = BILLET_BUFFER_INIT;

static void
set_up(void)
{
    char path[4096];
    struct billet_error error = BILLET_ERROR_INIT;
    const char *build = getenv("top_builddir");
    snprintf(path, sizeof(path), "%s/t/drivers/.libs/driver_bad_new.so", build ? build : ".");
    ck_assert_msg(billet_io_read_file(path, &file, 64 << 20, &error) == 0, "%s", error.message);
}

static void
tear_down(void)
{
    billet_buffer_free(&file);
}

/* Parse a copy of exactly that size, so that a checker of memory sees each byte beyond. */
static int
parse_copy(const char *bytes, size_t length, struct billet_note *note, struct billet_error *error)
{
    char *copy = malloc(length + (length == 0));
    memcpy(copy, bytes, length);
    int result = billet_driver_note_parse(copy, length, note, error);
    free(copy);
    return result;
}

START_TEST(a_driver_has_its_note)
{
    struct billet_note note;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_msg(parse_copy(file.data, file.length, &note, &error) == 0, "%s", error.message);
    ck_assert_str_eq(note.name, "bad_new");
    ck_assert_str_eq(note.version, "0.1");
    ck_assert_uint_eq(note.abi_major, BILLET_ABI_MAJOR);
    ck_assert_uint_eq(note.magic, BILLET_NOTE_MAGIC);
    ck_assert_int_eq(billet_driver_note_check(&note, "bad_new", &error), 0);
    ck_assert_int_eq(billet_driver_note_check(&note, "new", &error), -BILLET_CLASS_DRIVER);
    ck_assert_str_eq(error.code, "driver_name_mismatch");
    int fd = memfd_create("driver", MFD_CLOEXEC);
    ck_assert_int_eq(billet_io_write_all(fd, file.data, file.length, &error), 0);
    memset(&note, 0, sizeof(note));
    ck_assert_int_eq(billet_driver_note_read(fd, &note, &error), 0);
    ck_assert_str_eq(note.name, "bad_new");
    ck_assert_int_eq(ftruncate(fd, (off_t)file.length / 2), 0);
    ck_assert_int_eq(billet_driver_note_read(fd, &note, &error), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_str_eq(error.code, "driver_truncated");
    close(fd);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    for (size_t length = 0; length < file.length; length++) {
        struct billet_note note;
        struct billet_error error = BILLET_ERROR_INIT;
        int result = parse_copy(file.data, length, &note, &error);
        ck_assert_msg(result < 0, "the first %zu bytes of %zu are taken for a driver", length,
                      file.length);
        const char *wanted = length < SELFMAG ? "driver_no_note" : "driver_truncated";
        ck_assert_msg(strcmp(error.code, wanted) == 0, "%zu: %s", length, error.code);
    }
}
END_TEST

START_TEST(a_flipped_bit_in_the_headers_is_survived)
{
    /* ELF header, program headers, and the section headers at the end. */
    Elf64_Ehdr header;
    memcpy(&header, file.data, sizeof(header));
    size_t first = sizeof(header) + header.e_phnum * sizeof(Elf64_Phdr);
    size_t last = header.e_shoff;
    int refused = 0;
    ck_assert_uint_gt(last, first);
    for (size_t at = 0; at < file.length; at++) {
        if (at == first)
            at = last;
        for (int bit = 0; bit < 8; bit++) {
            struct billet_note note;
            struct billet_error error = BILLET_ERROR_INIT;
            file.data[at] = (char)(file.data[at] ^ (1 << bit));
            int result = billet_driver_note_parse(file.data, file.length, &note, &error);
            ck_assert(result == 0 || error.message[0] != '\0');
            refused += result < 0;
            file.data[at] = (char)(file.data[at] ^ (1 << bit));
        }
    }
    ck_assert_int_gt(refused, 100);
}
END_TEST

START_TEST(lengths_in_the_note_are_not_believed)
{
    static const uint32_t sizes[] = {0,          1,          7,          0x7fffffff, 0x80000000,
                                     0xfffffff0, 0xfffffffc, 0xfffffffd, 0xffffffff};
    char *at = memmem(file.data, file.length, "billet\0\0\x42\x4c\x47\x31", 12);
    ck_assert_ptr_nonnull(at);
    for (int field = 0; field < 2; field++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct billet_note note;
            struct billet_error error = BILLET_ERROR_INIT;
            uint32_t saved;
            char *where = at - 12 + 4 * field;
            memcpy(&saved, where, 4);
            memcpy(where, &sizes[i], 4);
            int result = parse_copy(file.data, file.length, &note, &error);
            memcpy(where, &saved, 4);
            if (field == 0 && sizes[i] == 7) /* "billet" with its NUL is the owner, too */
                continue;
            ck_assert_msg(result < 0, "field %d size %x", field, sizes[i]);
            ck_assert_str_eq(error.code, "driver_no_note");
        }
}
END_TEST

START_TEST(another_machine_or_class_is_refused)
{
    static const struct {
        size_t at;
        char value;
    } changes[] = {{EI_CLASS, ELFCLASS32},
                   {EI_DATA, 3},
                   {16, ET_EXEC},
                   {18, 99},
                   {0, 'X'},
                   {offsetof(Elf64_Ehdr, e_phentsize), 1}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct billet_note note;
        struct billet_error error = BILLET_ERROR_INIT;
        char saved = file.data[changes[i].at];
        file.data[changes[i].at] = changes[i].value;
        ck_assert_int_eq(parse_copy(file.data, file.length, &note, &error), -BILLET_CLASS_DRIVER);
        ck_assert_str_eq(error.code, "driver_no_note");
        file.data[changes[i].at] = saved;
    }
}
END_TEST

START_TEST(names_without_an_end_are_refused)
{
    struct billet_note note;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(parse_copy(file.data, file.length, &note, &error), 0);
    struct billet_note bad = note;
    memset(bad.name, 'a', sizeof(bad.name));
    ck_assert_int_lt(billet_driver_note_check(&bad, "bad_new", &error), 0);
    bad = note;
    memset(bad.version, 'a', sizeof(bad.version));
    ck_assert_int_lt(billet_driver_note_check(&bad, "bad_new", &error), 0);
    bad = note;
    strcpy(bad.name, "../up");
    ck_assert_int_lt(billet_driver_note_check(&bad, "../up", &error), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("driver_note");
    TCase *tests = tcase_create("note");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_driver_has_its_note);
    tcase_add_test(tests, every_truncation_is_refused);
    tcase_add_test(tests, a_flipped_bit_in_the_headers_is_survived);
    tcase_add_test(tests, lengths_in_the_note_are_not_believed);
    tcase_add_test(tests, another_machine_or_class_is_refused);
    tcase_add_test(tests, names_without_an_end_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
