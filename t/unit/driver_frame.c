/* SPDX-License-Identifier: Apache-2.0 */
/* Frames arrive as they were sent, and a peer that breaks the form costs nothing but an error. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "driver/frame.h"
#include "driver/message.h"

static int ends[2];
static int open_before;

static int
count_open(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void
set_up(void)
{
    open_before = count_open();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void
tear_down(void)
{
    if (ends[0] >= 0)
        close(ends[0]);
    close(ends[1]);
    ck_assert_int_eq(count_open(), open_before);
}

static void
send_raw(const void *bytes, size_t length, const int *fds, size_t count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 64)];
        struct cmsghdr align;
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    memset(&control, 0, sizeof(control));
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *at = CMSG_FIRSTHDR(&message);
        at->cmsg_level = SOL_SOCKET;
        at->cmsg_type = SCM_RIGHTS;
        at->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(at), fds, sizeof(int) * count);
    }
    ck_assert_int_eq((int)sendmsg(ends[0], &message, MSG_NOSIGNAL), (int)length);
}

/* What the receiver says to a packet of these bytes. */
static void
expect_broken(const void *bytes, size_t length, const int *fds, size_t count, const char *says)
{
    struct billet_frame frame;
    struct billet_error error = BILLET_ERROR_INIT;
    send_raw(bytes, length, fds, count);
    ck_assert_int_eq(billet_frame_receive(ends[1], &frame, -1, &error), -BILLET_CLASS_DRIVER);
    ck_assert_str_eq(error.code, "driver_bad_answer");
    ck_assert_msg(strstr(error.message, says) != NULL, "%s", error.message);
    ck_assert_ptr_null(frame.body);
    ck_assert_uint_eq(frame.fd_count, 0);
}

START_TEST(objects_of_every_size_pass)
{
    static const size_t sizes[] = {0, 1, 65000, 65525, 65526, 65527, 65536, 70000, 3000000};
    struct billet_error error = BILLET_ERROR_INIT;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = malloc(sizes[i] + 1);
        memset(text, 'x', sizes[i]);
        text[sizes[i]] = '\0';
        json_t *body = json_pack("{s:s}", "a", text);
        struct billet_frame frame;
        ck_assert_int_eq(billet_frame_send(ends[0], body, NULL, 0, 0, &error), 0);
        ck_assert_int_eq(billet_frame_receive(ends[1], &frame, 0, &error), 0);
        ck_assert(json_equal(frame.body, body));
        ck_assert_uint_eq(frame.fd_count, 0);
        billet_frame_free(&frame);
        json_decref(body);
        free(text);
    }
}
END_TEST

START_TEST(more_than_the_limit_is_not_sent)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char *text = malloc(BILLET_FRAME_MAX + 1);
    memset(text, 'x', BILLET_FRAME_MAX);
    text[BILLET_FRAME_MAX] = '\0';
    json_t *body = json_pack("{s:s}", "a", text);
    ck_assert_int_eq(billet_frame_send(ends[0], body, NULL, 0, 0, &error), -BILLET_CLASS_CAPACITY);
    json_decref(body);
    free(text);
}
END_TEST

START_TEST(descriptors_pass_and_are_close_on_exec)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct stat sent;
    struct stat got;
    for (int large = 0; large < 2; large++) {
        int fds[BILLET_FRAME_FDS];
        char *text = calloc(1, 100001);
        memset(text, 'x', large ? 100000 : 1);
        json_t *body = json_pack("{s:s}", "a", text);
        for (int i = 0; i < BILLET_FRAME_FDS; i++)
            fds[i] = memfd_create("x", MFD_CLOEXEC);
        struct billet_frame frame;
        ck_assert_int_eq(billet_frame_send(ends[0], body, fds, BILLET_FRAME_FDS, 0, &error), 0);
        ck_assert_int_eq(billet_frame_receive(ends[1], &frame, 0, &error), 0);
        ck_assert_uint_eq(frame.fd_count, BILLET_FRAME_FDS);
        for (int i = 0; i < BILLET_FRAME_FDS; i++) {
            fstat(fds[i], &sent);
            fstat(frame.fds[i], &got);
            ck_assert_uint_eq(sent.st_ino, got.st_ino);
            ck_assert_int_ne(fcntl(frame.fds[i], F_GETFD) & FD_CLOEXEC, 0);
            close(fds[i]);
        }
        billet_frame_free(&frame);
        json_decref(body);
        free(text);
    }
}
END_TEST

START_TEST(broken_packets_are_refused)
{
    int null[32];
    for (int i = 0; i < 32; i++)
        null[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    static char large[80000];
    expect_broken("B", 1, NULL, 0, "too short");
    expect_broken("BL\1\0\2\0\0", 7, null, 2, "too short");
    expect_broken("XL\1\0\2\0\0\0{}", 10, null, 1, "not a frame");
    expect_broken("BL\2\0\2\0\0\0{}", 10, NULL, 0, "not a frame");
    expect_broken("BL\1\4\2\0\0\0{}", 10, NULL, 0, "unknown flags");
    expect_broken("BL\1\0\3\0\0\0{}", 10, NULL, 0, "length");
    expect_broken("BL\1\0\1\0\0\0{}", 10, NULL, 0, "length");
    expect_broken("BL\1\0\xff\xff\xff\xff{}", 10, NULL, 0, "oversized");
    expect_broken("BL\1\0\2\0\0\0[]", 10, NULL, 0, "not an object");
    expect_broken("BL\1\0\2\0\0\0{]", 10, NULL, 0, "not valid JSON");
    expect_broken("BL\1\0\15\0\0\0{\"a\":1,\"a\":2}", 21, NULL, 0, "not valid JSON");
    expect_broken("BL\1\1\2\0\0\0", 8, NULL, 0, "not where it says");
    expect_broken("BL\1\1\2\0\0\0{}", 10, null, 1, "not where it says");
    expect_broken("BL\1\1\2\0\0\0", 8, null, 1, "not sealed");
    expect_broken("BL\1\0\2\0\0\0{}", 10, null, 9, "too many descriptors");
    expect_broken("BL\1\0\2\0\0\0{}", 10, null, 32, "too many descriptors");
    expect_broken(large, sizeof(large), null, 3, "oversized");
    for (int i = 0; i < 32; i++)
        close(null[i]);
}
END_TEST

START_TEST(a_memory_file_must_be_sealed_and_of_the_size_announced)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq((int)write(fd, "{}", 2), 2);
    expect_broken("BL\1\1\2\0\0\0", 8, &fd, 1, "not sealed");
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    expect_broken("BL\1\1\2\0\0\0", 8, &fd, 1, "not sealed");
    close(fd);
    ck_assert_int_eq(billet_frame_sealed("{}", 2, &fd, &error), 0);
    expect_broken("BL\1\1\3\0\0\0", 8, &fd, 1, "another size");
    expect_broken("BL\1\1\1\0\0\0", 8, &fd, 1, "another size");
    struct billet_frame frame;
    send_raw("BL\1\1\2\0\0\0", 8, &fd, 1);
    ck_assert_int_eq(billet_frame_receive(ends[1], &frame, -1, &error), 0);
    ck_assert(json_is_object(frame.body));
    billet_frame_free(&frame);
    close(fd);
}
END_TEST

START_TEST(deadline_and_end_are_told_apart)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_frame frame;
    int64_t from = billet_clock_monotonic();
    ck_assert_int_eq(billet_frame_receive(ends[1], &frame, -1, &error), -BILLET_CLASS_TIMEOUT);
    ck_assert_int_eq(billet_frame_receive(ends[1], &frame, from + 50000000, &error),
                     -BILLET_CLASS_TIMEOUT);
    ck_assert_int_ge(billet_clock_monotonic() - from, 50000000);
    close(ends[0]);
    ends[0] = -1;
    ck_assert_int_eq(billet_frame_receive(ends[1], &frame, 0, &error), 0);
    ck_assert_ptr_null(frame.body);
    json_t *body = json_object();
    ck_assert_int_eq(billet_frame_send(ends[1], body, NULL, 0, 0, &error), -BILLET_CLASS_LOST);
    json_decref(body);
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_given_up)
{
    struct billet_error error = BILLET_ERROR_INIT;
    json_t *body = json_object();
    int result = 0;
    for (int i = 0; i < 100000 && result == 0; i++)
        result =
            billet_frame_send(ends[0], body, NULL, 0, billet_clock_monotonic() + 50000000, &error);
    ck_assert_int_eq(result, -BILLET_CLASS_TIMEOUT);
    ck_assert_int_eq(billet_frame_send(ends[0], body, NULL, 0, -1, &error), -BILLET_CLASS_TIMEOUT);
    json_decref(body);
}
END_TEST

START_TEST(messages_come_back_as_they_were)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_error back = BILLET_ERROR_INIT;
    billet_error_set(&error, BILLET_CLASS_CAPACITY, "too_large", "full: %s", "disk");
    billet_error_hint(&error, "make room");
    error.sys_errno = 28;
    error.retryable = 0;
    json_t *value = billet_message_error(&error);
    ck_assert(billet_message_get_error(value, &back));
    ck_assert_int_eq(memcmp(&error, &back, offsetof(struct billet_error, code)), 0);
    ck_assert_str_eq(error.code, back.code);
    ck_assert_str_eq(error.message, back.message);
    ck_assert_str_eq(error.hint, back.hint);
    json_object_set_new(value, "class", json_integer(10));
    ck_assert(!billet_message_get_error(value, &back));
    json_object_set_new(value, "class", json_integer(0));
    ck_assert(!billet_message_get_error(value, &back));
    json_object_set_new(value, "class", json_integer(1));
    json_object_set_new(value, "message", json_string(""));
    ck_assert(!billet_message_get_error(value, &back));
    json_decref(value);
    static const struct {
        int outcome;
        int value;
        bool valid;
    } results[] = {{1, 0, true},   {1, 255, true}, {1, 256, false}, {1, -1, false}, {2, 9, true},
                   {2, 0, false},  {2, 65, false}, {3, 0, true},    {4, 0, true},   {5, 2, true},
                   {5, -1, false}, {0, 0, false},  {7, 0, false}};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct billet_exec_result result = {.outcome = results[i].outcome,
                                            .value = results[i].value,
                                            .max_rss_bytes = 5,
                                            .cpu_ns = 6,
                                            .started_pid = 7};
        struct billet_exec_result got;
        value = billet_message_exec_result(&result);
        ck_assert_int_eq(billet_message_get_exec_result(value, &got), results[i].valid);
        ck_assert_int_eq(got.outcome, result.outcome);
        if (results[i].valid)
            ck_assert_int_eq(got.started_pid, 7);
        json_object_set_new(value, "started", json_integer(-7));
        ck_assert(!billet_message_get_exec_result(value, &got));
        json_decref(value);
    }
    struct billet_identity identity = {.deployment = "d",
                                       .tenant = "t",
                                       .environment = "e",
                                       .lease = "l",
                                       .run = "r",
                                       .agent = "a",
                                       .issue = "i",
                                       .fence = 1,
                                       .generation = 2};
    const char **members[] = {&identity.deployment, &identity.tenant, &identity.environment,
                              &identity.lease,      &identity.run,    &identity.agent,
                              &identity.issue};
    value = billet_message_identity(&identity);
    ck_assert(billet_message_is_identity(value, &identity));
    ck_assert(!billet_message_is_identity(NULL, &identity));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *before = *members[i];
        *members[i] = "another";
        ck_assert(!billet_message_is_identity(value, &identity));
        *members[i] = before;
    }
    identity.fence++;
    ck_assert(!billet_message_is_identity(value, &identity));
    identity.fence--;
    identity.generation++;
    ck_assert(!billet_message_is_identity(value, &identity));
    json_decref(value);
    char ref[BILLET_REF_MAX + 1];
    memset(ref, 'r', sizeof(ref));
    ref[BILLET_REF_MAX] = '\0';
    ck_assert(!billet_ref_is_valid(ref));
    ref[BILLET_REF_MAX - 1] = '\0';
    ck_assert(billet_ref_is_valid(ref));
    ck_assert(!billet_ref_is_valid(""));
    ck_assert(!billet_ref_is_valid("a\tb"));
    ck_assert(!billet_ref_is_valid("a\xff"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("driver_frame");
    TCase *tests = tcase_create("frame");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, objects_of_every_size_pass);
    tcase_add_test(tests, more_than_the_limit_is_not_sent);
    tcase_add_test(tests, descriptors_pass_and_are_close_on_exec);
    tcase_add_test(tests, broken_packets_are_refused);
    tcase_add_test(tests, a_memory_file_must_be_sealed_and_of_the_size_announced);
    tcase_add_test(tests, deadline_and_end_are_told_apart);
    tcase_add_test(tests, a_peer_that_does_not_read_is_given_up);
    tcase_add_test(tests, messages_come_back_as_they_were);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
