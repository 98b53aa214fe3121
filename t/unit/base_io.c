/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes, replacement that is all or nothing, and what the log lets through. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "unit_fixture.h"

static char *scratch;
static int open_before;

static void
set_up(void)
{
    open_before = unit_count_open();
    scratch = unit_make_scratch();
}

static void
tear_down(void)
{
    unit_remove_scratch(scratch);
    ck_assert_int_eq(unit_count_open(), open_before);
}

static const char *
at(const char *name)
{
    static char path[2][PATH_MAX];
    static int turn;
    turn = (turn + 1) % 2;
    snprintf(path[turn], PATH_MAX, "%s/%s", scratch, name);
    return path[turn];
}

#define BULK (3 * 1024 * 1024 + 17)

static void
on_signal(int number)
{
    (void)number;
}

static void *
read_slowly(void *context)
{
    int fd = *(int *)context;
    struct billet_buffer *to = calloc(1, sizeof(*to));
    if (billet_io_read_all(fd, to, BULK, NULL) < 0)
        to->failed = true;
    return to;
}

START_TEST(interrupted_and_short_writes_lose_nothing)
{
    int ends[2];
    pthread_t reader;
    void *result;
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    unsigned char *bytes = malloc(BULK);
    uint32_t state = 1;
    for (size_t i = 0; i < BULK; i++)
        bytes[i] = (unsigned char)((state = state * 1664525u + 1013904223u) >> 24);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_slowly, &ends[0]), 0);
    ualarm(300, 300);
    int written = billet_io_write_all(ends[1], bytes, BULK, NULL);
    ualarm(0, 0);
    close(ends[1]);
    ck_assert_int_eq(pthread_join(reader, &result), 0);
    struct billet_buffer *got = result;
    ck_assert_int_eq(written, 0);
    ck_assert_uint_eq(got->length, BULK);
    ck_assert_int_eq(memcmp(got->data, bytes, BULK), 0);
    billet_buffer_free(got);
    free(got);
    free(bytes);
    close(ends[0]);
}
END_TEST

START_TEST(a_reader_that_left_is_an_error)
{
    int ends[2];
    struct billet_error error = BILLET_ERROR_INIT;
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    ck_assert_int_lt(billet_io_write_all(ends[1], "x", 1, &error), 0);
    ck_assert_str_eq(error.code, "io_failed");
    ck_assert_int_eq(error.sys_errno, EPIPE);
    ck_assert_int_eq(billet_io_write_all(ends[1], "", 0, &error), 0);
    close(ends[1]);
    ck_assert_int_lt(billet_io_write_all(-1, "x", 1, &error), 0);
}
END_TEST

START_TEST(the_limit_is_exact_and_named)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    unit_write_file(at("ten"), "0123456789", 0600);
    billet_buffer_add(&text, "before ");
    ck_assert_int_eq(billet_io_read_file(at("ten"), &text, 10, &error), 0);
    ck_assert_str_eq(billet_buffer_text(&text), "before 0123456789");
    billet_buffer_free(&text);
    ck_assert_int_eq(billet_io_read_file(at("ten"), &text, 9, &error), -BILLET_CLASS_CAPACITY);
    ck_assert_str_eq(error.code, "too_large");
    ck_assert_ptr_nonnull(strstr(error.message, "/ten: more than 9 bytes"));
    billet_buffer_free(&text);
    /* A file without an end is bounded, too. */
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(billet_io_read_all(fd, &text, 100000, &error), -BILLET_CLASS_CAPACITY);
    ck_assert_uint_lt(text.length, 200000);
    close(fd);
    billet_buffer_free(&text);
}
END_TEST

START_TEST(only_regular_files_are_read_and_none_is_waited_for)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    ck_assert_int_eq(billet_io_read_file(at("pipe"), &text, 10, &error), -BILLET_CLASS_CONFIG);
    ck_assert_ptr_nonnull(strstr(error.message, "/pipe is not a regular file"));
    ck_assert_int_eq(billet_io_read_file(scratch, &text, 10, &error), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(billet_io_read_file(at("none"), &text, 10, &error), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "/none: No such file or directory"));
    int fd = open(scratch, O_RDONLY | O_CLOEXEC);
    ck_assert_int_lt(billet_io_read_all(fd, &text, 10, &error), 0);
    ck_assert_int_eq(error.sys_errno, EISDIR);
    ck_assert_str_eq(billet_buffer_text(&text), "");
    close(fd);
    billet_buffer_free(&text);
}
END_TEST

static void
expect_content(const char *path, const char *expected)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    ck_assert_int_eq(billet_io_read_file(path, &text, 1000, NULL), 0);
    ck_assert_str_eq(billet_buffer_text(&text), expected);
    billet_buffer_free(&text);
}

static int
count_entries(void)
{
    int count = 0;
    DIR *directory = opendir(scratch);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

START_TEST(replacing_gives_the_new_file_with_its_mode)
{
    struct stat status;
    umask(022);
    ck_assert_int_eq(billet_io_replace_file(at("file"), "one", 3, 0600, NULL), 0);
    ck_assert_int_eq(stat(at("file"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(chmod(at("file"), 0444), 0);
    ck_assert_int_eq(billet_io_replace_file(at("file"), "two", 3, 0644, NULL), 0);
    expect_content(at("file"), "two");
    ck_assert_int_eq(stat(at("file"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0644);
    ck_assert_int_eq(count_entries(), 1);
    /* A link is replaced; what it points to stays. */
    ck_assert_int_eq(symlink("file", at("link")), 0);
    ck_assert_int_eq(billet_io_replace_file(at("link"), "three", 5, 0644, NULL), 0);
    expect_content(at("file"), "two");
    expect_content(at("link"), "three");
}
END_TEST

START_TEST(a_replacement_that_fails_leaves_the_old_file_and_nothing_else)
{
    struct billet_error error = BILLET_ERROR_INIT;
    unit_write_file(at("file"), "old", 0644);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 1, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0); /* a disk that is full after one byte */
    int result = billet_io_replace_file(at("file"), "newer", 5, 0644, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(result, -BILLET_CLASS_CAPACITY);
    ck_assert_ptr_nonnull(strstr(error.message, "cannot replace"));
    expect_content(at("file"), "old");
    ck_assert_int_eq(count_entries(), 1);
    ck_assert_int_eq(mkdir(at("directory"), 0700), 0);
    ck_assert_int_lt(billet_io_replace_file(at("directory"), "x", 1, 0644, &error), 0);
    ck_assert_int_eq(count_entries(), 2);
    ck_assert_int_lt(billet_io_replace_file(at("none/file"), "x", 1, 0644, &error), 0);
}
END_TEST

START_TEST(a_leftover_of_a_killed_writer_is_no_obstacle)
{
    char name[64];
    snprintf(name, sizeof(name), "file.%ld.new", (long)getpid());
    unit_write_file(at(name), "half", 0600); /* of an earlier process with our number */
    ck_assert_int_eq(billet_io_replace_file(at("file"), "whole", 5, 0644, NULL), 0);
    expect_content(at("file"), "whole");
}
END_TEST

START_TEST(directories_are_made_with_their_mode)
{
    struct stat status;
    struct billet_error error = BILLET_ERROR_INIT;
    umask(022);
    ck_assert_int_eq(billet_io_make_directories(at("a/b//c/"), 0700, &error), 0);
    ck_assert_int_eq(stat(at("a/b"), &status), 0);
    ck_assert_uint_eq(status.st_mode, S_IFDIR | 0700);
    ck_assert_int_eq(stat(at("a/b/c"), &status), 0);
    ck_assert_int_eq(billet_io_make_directories(at("a/b"), 0755, &error), 0); /* as it was */
    ck_assert_int_eq(stat(at("a/b"), &status), 0);
    ck_assert_uint_eq(status.st_mode, S_IFDIR | 0700);
}
END_TEST

START_TEST(what_is_no_directory_is_not_taken_for_one)
{
    struct billet_error error = BILLET_ERROR_INIT;
    unit_write_file(at("file"), "", 0644);
    ck_assert_int_lt(billet_io_make_directories(at("file"), 0700, &error), 0);
    ck_assert_ptr_nonnull(strstr(error.message, "/file: Not a directory"));
    ck_assert_int_lt(billet_io_make_directories(at("file/below"), 0700, &error), 0);
    ck_assert_int_lt(billet_io_make_directories("", 0700, &error), 0);
    ck_assert_int_eq(symlink("nowhere", at("dangling")), 0);
    ck_assert_int_lt(billet_io_make_directories(at("dangling"), 0700, &error), 0);
    ck_assert_int_eq(mkdir(at("real"), 0700) | symlink("real", at("link")), 0);
    ck_assert_int_eq(billet_io_make_directories(at("link"), 0700, &error), 0);
    ck_assert_int_eq(chdir(scratch), 0);
    ck_assert_int_eq(billet_io_make_directories("x/y", 0700, &error), 0);
    ck_assert_int_eq(access(at("x/y"), X_OK), 0);
}
END_TEST

/* What the function writes to stderr; freed by the caller. */
static char *
stderr_of(void (*say)(void))
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    int ends[2];
    int saved = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    say();
    ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    ck_assert_int_eq(billet_io_read_all(ends[0], &text, 100000, NULL), 0);
    close(ends[0]);
    return billet_buffer_steal(&text);
}

static void
say_bytes(void)
{
    errno = EXDEV;
    billet_log(BILLET_LOG_WARNING, "read %s", "a\nbillet: forged\033[31m\xff\xc2\x9b\xc3\xa9");
    ck_assert_int_eq(errno, EXDEV);
    billet_log(BILLET_LOG_DEBUG, "not wanted");
}

static void
say_error(void)
{
    struct billet_error error = BILLET_ERROR_INIT;
    billet_error_set(&error, BILLET_CLASS_AUTH, "path_untrusted", "no");
    billet_log_error(&error);
    billet_error_hint(&error, "chmod it");
    billet_log_error(&error);
}

static void
say_much(void)
{
    char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    billet_log(BILLET_LOG_ERROR, "%s", text);
    free(text);
}

START_TEST(a_log_line_is_one_line_of_text)
{
    billet_log_setup("prog", BILLET_LOG_WARNING, false);
    char *text = stderr_of(say_bytes);
    ck_assert_str_eq(text, "prog: read a\\nbillet: forged\\x1b[31m\\xff\\xc2\\x9b\xc3\xa9\n");
    free(text);
    text = stderr_of(say_error);
    ck_assert_str_eq(text, "prog: no [path_untrusted]\nprog: no [path_untrusted]\n"
                           "prog: chmod it\n");
    free(text);
    text = stderr_of(say_much);
    ck_assert_uint_gt(strlen(text), 1000);
    ck_assert_uint_lt(strlen(text), 4096);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
}
END_TEST

START_TEST(the_journal_gets_levels_and_the_level_decides)
{
    char expected[128];
    billet_log_setup("prog", BILLET_LOG_DEBUG, true);
    char *text = stderr_of(say_bytes);
    snprintf(expected, sizeof(expected), "<%d>read a", BILLET_LOG_WARNING);
    ck_assert_int_eq(strncmp(text, expected, strlen(expected)), 0);
    snprintf(expected, sizeof(expected), "\n<%d>not wanted\n", BILLET_LOG_DEBUG);
    ck_assert_ptr_nonnull(strstr(text, expected));
    free(text);
    billet_log_setup("prog", BILLET_LOG_ERROR, false);
    ck_assert(billet_log_wants(BILLET_LOG_ERROR) && !billet_log_wants(BILLET_LOG_WARNING));
    text = stderr_of(say_bytes);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_io");
    TCase *tests = tcase_create("io");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, interrupted_and_short_writes_lose_nothing);
    tcase_add_test(tests, a_reader_that_left_is_an_error);
    tcase_add_test(tests, the_limit_is_exact_and_named);
    tcase_add_test(tests, only_regular_files_are_read_and_none_is_waited_for);
    tcase_add_test(tests, replacing_gives_the_new_file_with_its_mode);
    tcase_add_test(tests, a_replacement_that_fails_leaves_the_old_file_and_nothing_else);
    tcase_add_test(tests, a_leftover_of_a_killed_writer_is_no_obstacle);
    tcase_add_test(tests, directories_are_made_with_their_mode);
    tcase_add_test(tests, what_is_no_directory_is_not_taken_for_one);
    tcase_add_test(tests, a_log_line_is_one_line_of_text);
    tcase_add_test(tests, the_journal_gets_levels_and_the_level_decides);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
