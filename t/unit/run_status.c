/* SPDX-License-Identifier: Apache-2.0 */
/* How a run's end is told (exit status, JSON lines), and the signals and the terminal around it. */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/error.h"
#include "base/io.h"
#include "run/signals.h"
#include "run/status.h"
#include "run/terminal.h"
#include "unit_fixture.h"

START_TEST(the_exit_status_says_who_ended_the_command)
{
    static const struct {
        struct billet_ending ending;
        int status;
        const char *member; /* beside the common ones */
        int value;
    } cases[] = {
        {{BILLET_OUTCOME_EXITED, 0, "command", false}, 0, "code", 0},
        {{BILLET_OUTCOME_EXITED, 3, "command", false}, 3, "code", 3},
        {{BILLET_OUTCOME_EXITED, 255, "command", false}, 255, "code", 255},
        {{BILLET_OUTCOME_SIGNALLED, SIGKILL, "command", false}, 137, "signal", 9},
        {{BILLET_OUTCOME_TIMED_OUT, 0, "billet", false}, 124, NULL, 0},
        {{BILLET_OUTCOME_NOT_FOUND, ENOENT, "command", false}, 127, "errno", ENOENT},
        {{BILLET_OUTCOME_NOT_INVOCABLE, EACCES, "command", false}, 126, "errno", EACCES},
        {{BILLET_OUTCOME_CANCELLED, SIGTERM, "billet", false}, 143, NULL, 0},
        {{BILLET_OUTCOME_CANCELLED, 0, "billet", false}, 125, NULL, 0},
        {{0, 0, "driver", true}, 125, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct billet_ending *ending = &cases[i].ending;
        ck_assert_int_eq(billet_ending_status(ending), cases[i].status);
        json_t *object = billet_ending_json(ending);
        ck_assert_int_eq(billet_json_integer(object, "status", -1), cases[i].status);
        ck_assert_str_eq(billet_json_string(object, "origin", ""), ending->origin);
        ck_assert_int_eq(billet_json_boolean(object, "retryable", !ending->retryable),
                         ending->retryable);
        ck_assert_int_eq(billet_json_boolean(object, "timed_out", true),
                         ending->outcome == BILLET_OUTCOME_TIMED_OUT);
        ck_assert_int_eq(billet_json_boolean(object, "cancelled", true),
                         ending->outcome == BILLET_OUTCOME_CANCELLED);
        static const char *const members[] = {"code", "signal", "errno"};
        for (size_t m = 0; m < 3; m++)
            ck_assert_int_eq(billet_json_integer(object, members[m], -1),
                             cases[i].member != NULL && strcmp(cases[i].member, members[m]) == 0
                                 ? cases[i].value
                                 : -1);
        json_decref(object);
    }
}
END_TEST

START_TEST(an_error_is_told_whole)
{
    struct billet_error error = BILLET_ERROR_INIT;
    billet_error_errno(&error, BILLET_CLASS_CAPACITY, "too_large", ENOSPC, "disk \xc3\xa9");
    json_t *object = billet_error_json(&error);
    ck_assert_str_eq(billet_json_string(object, "class", ""), "capacity");
    ck_assert_str_eq(billet_json_string(object, "code", ""), "too_large");
    ck_assert_str_eq(billet_json_string(object, "message", ""), error.message);
    ck_assert_int_eq(billet_json_integer(object, "errno", 0), ENOSPC);
    ck_assert(billet_json_boolean(object, "retryable", false));
    ck_assert_ptr_null(json_object_get(object, "hint"));
    json_decref(object);
    billet_error_hint(&error, "free some");
    object = billet_error_json(&error);
    ck_assert_str_eq(billet_json_string(object, "hint", ""), "free some");
    json_decref(object);
}
END_TEST

START_TEST(status_lines_are_one_line_of_json_each)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    billet_status_write(ends[1], "started", json_pack("{s:i}", "pid", 7));
    billet_status_write(ends[1], "note", json_pack("{s:s}", "text", "two\nlines"));
    billet_status_write(ends[1], "nothing", NULL);
    billet_status_write(-1, "nowhere", json_object());
    close(ends[1]);
    ck_assert_int_eq(billet_io_read_all(ends[0], &text, 1000, NULL), 0);
    ck_assert_str_eq(billet_buffer_text(&text),
                     "{\"started\":{\"pid\":7}}\n{\"note\":{\"text\":\"two\\nlines\"}}\n");
    billet_buffer_free(&text);
    close(ends[0]);
}
END_TEST

START_TEST(a_status_channel_that_nobody_reads_holds_nothing_up)
{
    int ends[2];
    char page[4096] = {0};
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], page, sizeof(page)) > 0)
        ;
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0); /* full, and blocking as callers' pipes are */
    alarm(20);
    billet_status_write(ends[1], "started", json_pack("{s:i}", "pid", 7));
    alarm(0);
    /* No part of a line was left there. */
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    ssize_t got;
    while ((got = read(ends[0], page, sizeof(page))) > 0)
        ck_assert_ptr_null(memchr(page, '{', (size_t)got));
    close(ends[0]);
    billet_status_write(ends[1], "started", json_pack("{s:i}", "pid", 7)); /* closed */
    close(ends[1]);
}
END_TEST

START_TEST(ending_signals_are_taken_in_turn)
{
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    sigset_t mask;
    int before = unit_count_open();
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    /* Who started the tests may ignore some. */
    for (int i = 0; i < 4; i++)
        signal(numbers[i], SIG_DFL);
    ck_assert_int_eq(billet_signals_take(&signals), 0);
    ck_assert(!billet_signals_resized(&signals));
    ck_assert_int_eq(billet_signals_open(&signals, &error), 0);
    ck_assert_int_eq(billet_signals_take(&signals), 0);
    for (int i = 0; i < 4; i++) {
        raise(numbers[i]);
        ck_assert_int_eq(billet_signals_take(&signals), numbers[i]);
        ck_assert_int_eq(signals.last, numbers[i]);
        ck_assert_int_eq(signals.count, i + 1);
    }
    ck_assert_int_eq(billet_signals_take(&signals), 0);
    ck_assert_int_eq(signals.count, 4);
    raise(SIGWINCH);
    ck_assert_int_eq(billet_signals_take(&signals), 0); /* a window is no reason to end */
    ck_assert(billet_signals_resized(&signals));
    ck_assert(!billet_signals_resized(&signals));
    billet_signals_close(&signals);
    billet_signals_close(&signals);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    ck_assert(!sigismember(&mask, SIGINT) && !sigismember(&mask, SIGWINCH));
    ck_assert_int_eq(unit_count_open(), before);
}
END_TEST

START_TEST(what_was_ignored_stays_ignored)
{
    struct billet_signals signals = BILLET_SIGNALS_INIT;
    signal(SIGHUP, SIG_IGN); /* nohup */
    signal(SIGINT, SIG_IGN); /* in the background of a shell without job control */
    ck_assert_int_eq(billet_signals_open(&signals, NULL), 0);
    raise(SIGHUP);
    raise(SIGINT);
    ck_assert_int_eq(billet_signals_take(&signals), 0);
    raise(SIGTERM);
    ck_assert_int_eq(billet_signals_take(&signals), SIGTERM);
    billet_signals_close(&signals);
}
END_TEST

START_TEST(the_terminal_is_given_back_as_it_was)
{
    struct billet_terminal terminal = BILLET_TERMINAL_INIT;
    struct termios before;
    struct termios now;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_eq(tcgetattr(slave, &before), 0);
    ck_assert(before.c_lflag & ECHO);
    billet_terminal_raw(&terminal, slave);
    billet_terminal_raw(&terminal, slave); /* keeps what was there first */
    ck_assert_int_eq(tcgetattr(slave, &now), 0);
    ck_assert_uint_eq(now.c_lflag & (ECHO | ICANON | ISIG), 0);
    billet_terminal_restore(&terminal);
    ck_assert_int_eq(tcgetattr(slave, &now), 0);
    ck_assert_uint_eq(now.c_lflag, before.c_lflag);
    ck_assert_uint_eq(now.c_iflag, before.c_iflag);
    ck_assert_uint_eq(now.c_oflag, before.c_oflag);
    billet_terminal_restore(&terminal);

    int rows = 0;
    int columns = 0;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fds[3] = {-1, null, slave};
    struct winsize size = {.ws_row = 50, .ws_col = 132};
    ck_assert(!billet_terminal_size(fds, 3, &rows, &columns)); /* 0 x 0 is no size */
    ck_assert_int_eq(rows, 24);
    ck_assert_int_eq(columns, 80);
    ck_assert_int_eq(ioctl(slave, TIOCSWINSZ, &size), 0);
    ck_assert(billet_terminal_size(fds, 3, &rows, &columns));
    ck_assert_int_eq(rows, 50);
    ck_assert_int_eq(columns, 132);
    billet_terminal_raw(&terminal, null); /* no terminal: nothing happens */
    ck_assert_int_eq(terminal.fd, -1);
    billet_terminal_raw(&terminal, -1);
    ck_assert_int_eq(terminal.fd, -1);
    close(null), close(slave), close(master);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("run_status");
    TCase *tests = tcase_create("status");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_exit_status_says_who_ended_the_command);
    tcase_add_test(tests, an_error_is_told_whole);
    tcase_add_test(tests, status_lines_are_one_line_of_json_each);
    tcase_add_test(tests, a_status_channel_that_nobody_reads_holds_nothing_up);
    tcase_add_test(tests, ending_signals_are_taken_in_turn);
    tcase_add_test(tests, what_was_ignored_stays_ignored);
    tcase_add_test(tests, the_terminal_is_given_back_as_it_was);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
