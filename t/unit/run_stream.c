/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a command: what it is handed, and that the relay passes every byte, ends when
 * either side does, and never waits for one that is slow or gone. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "run/stream.h"
#include "unit_fixture.h"

#define BULK (16 * 1024 * 1024 + 5)

static struct billet_streams streams;
static char *scratch;
static int open_before;

static void
set_up(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the tool does */
    open_before = unit_count_open();
    scratch = unit_make_scratch();
}

static void
tear_down(void)
{
    unit_remove_scratch(scratch);
    ck_assert_int_eq(unit_count_open(), open_before);
}

static int64_t
in_ms(int64_t ms)
{
    return billet_clock_monotonic() + ms * 1000000;
}

static int
open_file(const char *name, int flags)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static unsigned char *
make_bulk(void)
{
    unsigned char *bytes = malloc(BULK);
    uint32_t state = 7;
    for (size_t i = 0; i < BULK; i++)
        bytes[i] = (unsigned char)((state = state * 1664525u + 1013904223u) >> 24);
    return bytes;
}

/* A terminal that passes bytes as they are; *slave is what a program has. */
static int
open_terminal(int *slave)
{
    struct termios settings;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(*slave, 0);
    ck_assert_int_eq(tcgetattr(*slave, &settings), 0);
    cfmakeraw(&settings);
    ck_assert_int_eq(tcsetattr(*slave, TCSANOW, &settings), 0);
    return master;
}

/* The command: a process with nothing but the three streams. */
static pid_t
start_command(int (*command)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        for (int i = 0; i < 3; i++)
            dup2(streams.command[i], i);
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        signal(SIGPIPE, SIG_DFL);
        _exit(command());
    }
    billet_streams_handed_over(&streams);
    return child;
}

/* The tool's loop until the command ends; its wait status. */
static int
relay_until_end(pid_t child)
{
    int status = 0;
    int64_t deadline = in_ms(50000);
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd set[BILLET_STREAM_POLL_MAX];
        size_t count = billet_streams_poll(&streams, set);
        ck_assert_uint_le(count, BILLET_STREAM_POLL_MAX);
        if (poll(set, count, 10) > 0)
            billet_streams_step(&streams, set);
        ck_assert_msg(billet_clock_monotonic() < deadline, "the command never ended");
    }
    return status;
}

static int
copy_input(void)
{
    static char buffer[30000];
    ssize_t got;
    while ((got = read(0, buffer, sizeof(buffer))) > 0)
        for (ssize_t done = 0; done < got;) {
            ssize_t written = write(1, buffer + done, (size_t)(got - done));
            if (written < 0)
                return 1;
            done += written;
        }
    return got < 0 ? 2 : 0;
}

START_TEST(what_only_passes_bytes_is_handed_over)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct stat status;
    struct stat null;
    int ends[2];
    int pair[2];
    int fds[3];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fds[0] = ends[0];
    fds[1] = pair[0];
    fds[2] = -1;
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(streams.command[0], ends[0]);
    ck_assert_int_eq(streams.command[1], pair[0]);
    ck_assert_int_eq(fstat(streams.command[2], &status) | stat("/dev/null", &null), 0);
    ck_assert(status.st_rdev == null.st_rdev);
    ck_assert(billet_streams_done(&streams));
    billet_streams_close(&streams);
    /* The caller's own are still open. */
    ck_assert_int_ge(fcntl(ends[0], F_GETFD), 0);
    ck_assert_int_ge(fcntl(pair[0], F_GETFD), 0);
    close(ends[0]), close(ends[1]), close(pair[0]), close(pair[1]);
}
END_TEST

START_TEST(files_and_terminals_are_kept_from_a_confined_command_only)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct stat status;
    int slave;
    int master = open_terminal(&slave);
    int file = open_file("out", O_RDWR | O_CREAT);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    int fds[3] = {slave, file, zero};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(fstat(streams.command[i], &status), 0);
        ck_assert(S_ISFIFO(status.st_mode));
        ck_assert_int_eq(fcntl(streams.command[i], F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_eq(fcntl(streams.command[i], F_GETFD), FD_CLOEXEC);
    }
    billet_streams_close(&streams);
    ck_assert_int_eq(billet_streams_open(&streams, fds, false, false, &error), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(streams.command[i], fds[i]);
    billet_streams_close(&streams);
    close(slave), close(master), close(file), close(zero);
}
END_TEST

START_TEST(sixteen_mebibytes_pass_unchanged_through_files)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_buffer got = BILLET_BUFFER_INIT;
    unsigned char *bytes = make_bulk();
    int in = open_file("in", O_RDWR | O_CREAT);
    int out = open_file("out", O_RDWR | O_CREAT | O_APPEND);
    ck_assert_int_eq(billet_io_write_all(in, bytes, BULK, &error), 0);
    ck_assert_int_eq(billet_io_write_all(out, "head", 4, &error), 0);
    ck_assert_int_eq((int)lseek(in, 0, SEEK_SET), 0);
    int fds[3] = {in, out, -1};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    int status = relay_until_end(start_command(copy_input));
    ck_assert_int_eq(status, 0);
    ck_assert(billet_streams_drain(&streams, in_ms(10000)));
    ck_assert(billet_streams_done(&streams));
    billet_streams_close(&streams);
    ck_assert_int_eq((int)lseek(out, 0, SEEK_SET), 0);
    ck_assert_int_eq(billet_io_read_all(out, &got, BULK + 4, &error), 0);
    ck_assert_uint_eq(got.length, BULK + 4);
    ck_assert_int_eq(memcmp(got.data, "head", 4), 0);
    ck_assert_int_eq(memcmp(got.data + 4, bytes, BULK), 0);
    billet_buffer_free(&got);
    free(bytes);
    close(in), close(out);
}
END_TEST

static int
write_both(void)
{
    static char text[100000];
    memset(text, 'o', sizeof(text));
    return write(1, text, sizeof(text)) == sizeof(text) && write(2, "error", 5) == 5 ? 0 : 1;
}

struct reader {
    int fd;
    unsigned pause_us;
    size_t wanted;
    char *bytes;
};

static void *
read_terminal(void *context)
{
    struct reader *reader = context;
    for (size_t done = 0; done < reader->wanted;) {
        size_t piece = reader->wanted - done < 1500 ? reader->wanted - done : 1500;
        ssize_t got = read(reader->fd, reader->bytes + done, piece);
        if (got <= 0)
            return NULL;
        done += (size_t)got;
        usleep(reader->pause_us);
    }
    return reader;
}

START_TEST(a_slow_terminal_gets_everything)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char said[6] = "";
    int slave;
    int master = open_terminal(&slave);
    int err = open_file("err", O_RDWR | O_CREAT);
    struct reader reader = {master, 1000, 100000, malloc(100000)};
    pthread_t thread;
    void *all;
    int fds[3] = {-1, slave, err};
    ck_assert_int_eq(pthread_create(&thread, NULL, read_terminal, &reader), 0);
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(write_both)), 0);
    while (!billet_streams_drain(&streams, in_ms(200)))
        ;
    billet_streams_close(&streams);
    ck_assert_int_eq(pthread_join(thread, &all), 0);
    ck_assert_ptr_nonnull(all);
    for (size_t i = 0; i < 100000; i++)
        ck_assert_int_eq(reader.bytes[i], 'o');
    ck_assert_int_eq(pread(err, said, 5, 0), 5);
    ck_assert_str_eq(said, "error"); /* not mixed into the other */
    free(reader.bytes);
    close(slave), close(master), close(err);
}
END_TEST

static int
write_little(void)
{
    static char text[40000];
    memset(text, 'o', sizeof(text));
    return write(1, text, sizeof(text)) == sizeof(text) ? 0 : 1;
}

START_TEST(a_reader_that_does_not_read_is_told_apart_from_one_that_has_all)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int slave;
    int master = open_terminal(&slave);
    int fds[3] = {-1, slave, -1};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(write_little)), 0);
    int64_t start = billet_clock_monotonic();
    ck_assert(!billet_streams_drain(&streams, in_ms(300)));
    ck_assert_int_ge(billet_clock_monotonic() - start, 290 * INT64_C(1000000));
    ck_assert(!billet_streams_done(&streams));
    struct reader reader = {master, 0, 40000, malloc(40000)};
    pthread_t thread;
    void *all;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_terminal, &reader), 0);
    ck_assert(billet_streams_drain(&streams, in_ms(10000)));
    ck_assert(billet_streams_done(&streams));
    ck_assert_int_eq(pthread_join(thread, &all), 0);
    ck_assert_ptr_nonnull(all);
    billet_streams_close(&streams);
    free(reader.bytes);
    close(slave), close(master);
}
END_TEST

static int
write_for_ever(void)
{
    static char text[65536];
    for (;;)
        if (write(1, text, sizeof(text)) < 0)
            return 1;
}

START_TEST(a_command_learns_that_nobody_takes_its_output)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int slave;
    int master = open_terminal(&slave);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    for (int pass = 0; pass < 2; pass++) {
        int fds[3] = {-1, pass == 0 ? full : slave, -1};
        if (pass == 1)
            close(master); /* the window was closed */
        ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
        int status = relay_until_end(start_command(write_for_ever));
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
        ck_assert(billet_streams_drain(&streams, in_ms(1000)));
        billet_streams_close(&streams);
    }
    close(slave), close(full);
}
END_TEST

static int
ignore_input(void)
{
    char c;
    if (read(0, &c, 1) != 1 || c != 'x')
        return 1;
    close(0);
    return write(1, "done", 4) == 4 ? 0 : 2;
}

static int
want_end_of_input(void)
{
    char c;
    return read(0, &c, 1) == 0 ? 0 : 1;
}

START_TEST(input_ends_where_either_side_ends)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char said[5] = "";
    int in = open_file("in", O_RDWR | O_CREAT);
    int out = open_file("out", O_RDWR | O_CREAT);
    int empty = open_file("empty", O_RDWR | O_CREAT);
    ck_assert_int_eq(write(in, "x", 1), 1);
    ck_assert_int_eq(ftruncate(in, 8 << 20), 0);
    ck_assert_int_eq((int)lseek(in, 0, SEEK_SET), 0);
    int fds[3] = {in, out, -1};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(ignore_input)), 0);
    ck_assert(billet_streams_drain(&streams, in_ms(1000)));
    billet_streams_close(&streams);
    ck_assert_int_eq(pread(out, said, 4, 0), 4);
    ck_assert_str_eq(said, "done");
    ck_assert_int_lt((int)lseek(in, 0, SEEK_CUR), 4 << 20); /* not read for nobody */

    fds[0] = empty;
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(want_end_of_input)), 0);
    billet_streams_close(&streams);
    close(in), close(out), close(empty);
}
END_TEST

static int
do_nothing(void)
{
    return 0;
}

START_TEST(a_terminal_without_input_does_not_hold_the_end_up)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int slave;
    int master = open_terminal(&slave);
    int fds[3] = {slave, -1, -1};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(do_nothing)), 0);
    billet_streams_end_input(&streams);
    ck_assert(billet_streams_done(&streams));
    billet_streams_end_input(&streams);
    billet_streams_close(&streams);
    /* What is typed now is for whoever comes next. */
    ck_assert_int_eq(write(master, "next", 4), 4);
    char typed[5] = "";
    ck_assert_int_eq(read(slave, typed, 4), 4);
    ck_assert_str_eq(typed, "next");
    close(slave), close(master);
}
END_TEST

static int
leave_somebody_behind(void)
{
    if (write(1, "last words", 10) != 10)
        return 1;
    if (fork() == 0) {
        sleep(3);
        _exit(0);
    }
    return 0;
}

START_TEST(a_silent_leftover_of_the_command_is_not_waited_for)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char said[11] = "";
    int out = open_file("out", O_RDWR | O_CREAT);
    int fds[3] = {-1, out, -1};
    ck_assert_int_eq(billet_streams_open(&streams, fds, true, false, &error), 0);
    ck_assert_int_eq(relay_until_end(start_command(leave_somebody_behind)), 0);
    int64_t start = billet_clock_monotonic();
    ck_assert(billet_streams_drain(&streams, in_ms(20000)));
    ck_assert_int_lt(billet_clock_monotonic() - start, 2 * BILLET_NS_PER_SECOND);
    billet_streams_close(&streams);
    ck_assert_int_eq(pread(out, said, 10, 0), 10);
    ck_assert_str_eq(said, "last words");
    close(out);
}
END_TEST

START_TEST(too_few_descriptors_are_told_and_none_is_lost)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct rlimit before;
    int out = open_file("out", O_RDWR | O_CREAT);
    int fds[3] = {out, out, out};
    int open_now = unit_count_open();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t room = 0; room < 6; room++) {
        struct rlimit few = {.rlim_cur = (rlim_t)out + 1 + room, .rlim_max = before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        int result = billet_streams_open(&streams, fds, true, false, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert_int_eq(result, -BILLET_CLASS_CAPACITY);
        ck_assert_int_eq(error.error_class, BILLET_CLASS_CAPACITY);
        ck_assert_int_eq(unit_count_open(), open_now);
    }
    close(out);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("run_stream");
    TCase *tests = tcase_create("stream");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_only_passes_bytes_is_handed_over);
    tcase_add_test(tests, files_and_terminals_are_kept_from_a_confined_command_only);
    tcase_add_test(tests, sixteen_mebibytes_pass_unchanged_through_files);
    tcase_add_test(tests, a_slow_terminal_gets_everything);
    tcase_add_test(tests, a_reader_that_does_not_read_is_told_apart_from_one_that_has_all);
    tcase_add_test(tests, a_command_learns_that_nobody_takes_its_output);
    tcase_add_test(tests, input_ends_where_either_side_ends);
    tcase_add_test(tests, a_terminal_without_input_does_not_hold_the_end_up);
    tcase_add_test(tests, a_silent_leftover_of_the_command_is_not_waited_for);
    tcase_add_test(tests, too_few_descriptors_are_told_and_none_is_lost);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
