/* SPDX-License-Identifier: Apache-2.0 */
/* A child gets exactly what it was given: descriptors, environment, signals; and is waited for in
 * time. The child of these tests is this program, which reports what it finds. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "unit_fixture.h"

extern char **environ;
static char self[PATH_MAX];

/* In the child: what is open, what is set, on the descriptor. */
static int
report(int to)
{
    struct stat status;
    sigset_t mask;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0 && fstat(fd, &status) == 0)
            dprintf(to, "fd %d %lu:%lu\n", fd, (unsigned long)status.st_dev,
                    (unsigned long)status.st_ino);
    for (char **entry = environ; *entry != NULL; entry++)
        dprintf(to, "env %s\n", *entry);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++) {
        struct sigaction action;
        if (sigismember(&mask, number) == 1)
            dprintf(to, "blocked %d\n", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            dprintf(to, "ignored %d\n", number);
    }
    dprintf(to, "leader %d\n", getsid(0) == getpid());
    return 42;
}

/* Run this program with the descriptors; its report, freed by the caller. to: which of its
 * descriptors it reports on. */
static char *
report_of(const int *fds, size_t count, const char *to, int reading, const char *const *environment,
          int new_session)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    const char *argv[] = {"child", "report", to, NULL};
    struct billet_spawn spawn = {.path = self,
                                 .argv = argv,
                                 .environment = environment,
                                 .fds = fds,
                                 .fd_count = count,
                                 .new_session = new_session};
    pid_t pid = 0;
    int pidfd = -1;
    int status = 0;
    ck_assert_msg(billet_spawn(&spawn, &pid, &pidfd, &error) == 0, "%s", error.message);
    for (size_t i = 0; i < count; i++)
        if (fds[i] > 2 && fds[i] != reading && fcntl(fds[i], F_GETFD) >= 0)
            close(fds[i]);
    ck_assert_int_eq(billet_io_read_all(reading, &text, 100000, NULL), 0);
    ck_assert_int_eq(billet_spawn_wait(pid, pidfd, 0, &status, &error), 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 42);
    close(pidfd);
    close(reading);
    return billet_buffer_steal(&text);
}

static void
expect_line(const char *text, const char *line)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s\n", line);
    const char *found = strstr(text, whole);
    ck_assert_msg(found != NULL && (found == text || found[-1] == '\n'), "no line '%s' in\n%s",
                  line, text);
}

static int
count_lines(const char *text, const char *prefix)
{
    int count = 0;
    for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n'), at += at != NULL)
        count += strncmp(at, prefix, strlen(prefix)) == 0;
    return count;
}

static void
name_file(char *to, size_t size, int number, int fd)
{
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    snprintf(to, size, "fd %d %lu:%lu", number, (unsigned long)status.st_dev,
             (unsigned long)status.st_ino);
}

START_TEST(descriptors_land_where_they_were_asked_for)
{
    int before = unit_count_open();
    int report_pipe[2];
    int other[2];
    char lines[6][128];
    ck_assert_int_eq(pipe2(report_pipe, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(other, O_CLOEXEC), 0);
    int left_open = dup(0); /* neither close-on-exec nor asked for */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Crossed over, doubled, and low ones in high places: whatever order they are moved in. */
    int fds[] = {other[1], -1, report_pipe[1], other[0], 0, report_pipe[1]};
    name_file(lines[0], sizeof(lines[0]), 0, other[1]);
    name_file(lines[1], sizeof(lines[1]), 1, null);
    name_file(lines[2], sizeof(lines[2]), 2, report_pipe[1]);
    name_file(lines[3], sizeof(lines[3]), 3, other[0]);
    name_file(lines[4], sizeof(lines[4]), 4, 0);
    name_file(lines[5], sizeof(lines[5]), 5, report_pipe[1]);
    char *text = report_of(fds, 6, "5", report_pipe[0], NULL, 0);
    for (int i = 0; i < 6; i++)
        expect_line(text, lines[i]);
    ck_assert_int_eq(count_lines(text, "fd "), 6);
    free(text);
    close(left_open);
    close(null);
    ck_assert_int_eq(unit_count_open(), before);
}
END_TEST

START_TEST(the_environment_is_the_chosen_one)
{
    static const char *const chosen[] = {"A=1", "B=two words", NULL};
    int ends[2];
    setenv("BILLET_SHOULD_NOT_PASS", "1", 1);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    char *text = report_of((int[]){-1, ends[1], -1}, 3, "1", ends[0], chosen, 0);
    expect_line(text, "env A=1");
    expect_line(text, "env B=two words");
    ck_assert_int_eq(count_lines(text, "env "), 2);
    free(text);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    text = report_of((int[]){-1, ends[1], -1}, 3, "1", ends[0], NULL, 0);
    ck_assert_int_eq(count_lines(text, "env "), 0);
    free(text);
}
END_TEST

START_TEST(signals_and_session_are_fresh)
{
    int ends[2];
    sigset_t mask;
    sigset_t after;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    char *text = report_of((int[]){-1, ends[1], -1}, 3, "1", ends[0], NULL, 1);
    ck_assert_int_eq(count_lines(text, "blocked "), 0);
    ck_assert_int_eq(count_lines(text, "ignored "), 0);
    expect_line(text, "leader 1");
    free(text);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    text = report_of((int[]){-1, ends[1], -1}, 3, "1", ends[0], NULL, 0);
    expect_line(text, "leader 0");
    free(text);
    /* The parent is as it was. */
    struct sigaction action;
    ck_assert_int_eq(sigaction(SIGPIPE, NULL, &action), 0);
    ck_assert_ptr_eq(action.sa_handler, SIG_IGN);
    sigprocmask(SIG_SETMASK, NULL, &after);
    ck_assert(sigismember(&after, SIGTERM) && sigismember(&after, SIGUSR1));
    ck_assert(!sigismember(&after, SIGINT));
}
END_TEST

START_TEST(a_program_that_cannot_run_is_told_by_the_caller)
{
    char directory[] = "/tmp/billet-spawn.XXXXXX";
    char path[PATH_MAX];
    const char *argv[] = {"x", NULL};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_spawn spawn = {.path = path, .argv = argv};
    pid_t pid = 77;
    int pidfd = 77;
    int before = unit_count_open();
    ck_assert_ptr_nonnull(mkdtemp(directory));

    snprintf(path, sizeof(path), "%s/none", directory);
    ck_assert_int_eq(billet_spawn(&spawn, &pid, &pidfd, &error), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_str_eq(error.code, "spawn_failed");
    ck_assert_int_eq(error.sys_errno, ENOENT);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    unit_write_file(path, "not a program", 0644);
    ck_assert_int_eq(billet_spawn(&spawn, &pid, &pidfd, &error), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(error.sys_errno, EACCES);
    ck_assert_int_eq(chmod(path, 0755), 0);
    ck_assert_int_lt(billet_spawn(&spawn, &pid, &pidfd, &error), 0);
    ck_assert_int_eq(error.sys_errno, ENOEXEC);
    unlink(path);
    rmdir(directory);

    snprintf(path, sizeof(path), "%s", self);
    int fds[17] = {0};
    spawn.fds = fds;
    spawn.fd_count = 17;
    ck_assert_int_eq(billet_spawn(&spawn, &pid, &pidfd, &error), -BILLET_CLASS_INTERNAL);
    spawn.fd_count = 1;
    fds[0] = 999; /* not open */
    ck_assert_int_lt(billet_spawn(&spawn, &pid, &pidfd, &error), 0);
    ck_assert_int_eq(error.sys_errno, EBADF);

    ck_assert_int_eq(pid, 77); /* written only on success */
    ck_assert_int_eq(pidfd, 77);
    ck_assert_int_eq(unit_count_open(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nobody was left behind */
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(waiting_ends_at_the_deadline_and_not_before)
{
    const char *argv[] = {"child", "sleep", NULL};
    struct billet_spawn spawn = {.path = self, .argv = argv};
    struct billet_error error = BILLET_ERROR_INIT;
    pid_t pid = 0;
    int pidfd = -1;
    int status = 77;
    ck_assert_int_eq(billet_spawn(&spawn, &pid, &pidfd, &error), 0);
    int64_t start = billet_clock_monotonic();
    int64_t deadline = start + 50 * INT64_C(1000000);
    ck_assert_int_eq(billet_spawn_wait(pid, pidfd, deadline, &status, &error),
                     -BILLET_CLASS_TIMEOUT);
    ck_assert_str_eq(error.code, "deadline_passed");
    ck_assert_int_eq(status, 77);
    ck_assert_int_ge(billet_clock_monotonic(), deadline);
    ck_assert_int_lt(billet_clock_monotonic() - start, 20 * BILLET_NS_PER_SECOND);
    ck_assert_int_eq(billet_spawn_wait(pid, pidfd, 1, &status, &error), -BILLET_CLASS_TIMEOUT);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(billet_spawn_wait(pid, pidfd, 0, &status, &error), 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(pidfd);
    /* It is reaped: there is nobody to wait for. */
    ck_assert_int_eq(waitpid(pid, NULL, 0), -1);
}
END_TEST

START_TEST(a_hundred_children_leave_no_descriptor)
{
    const char *argv[] = {"child", "exit", NULL};
    struct billet_spawn spawn = {.path = self, .argv = argv};
    int before = unit_count_open();
    for (int i = 0; i < 100; i++) {
        pid_t pid = 0;
        int pidfd = -1;
        int status = 0;
        ck_assert_int_eq(billet_spawn(&spawn, &pid, i % 2 != 0 ? &pidfd : NULL, NULL), 0);
        if (i % 2 != 0)
            ck_assert(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
        if (i % 2 != 0)
            ck_assert_int_eq(billet_spawn_wait(pid, pidfd, 0, &status, NULL), 0);
        else
            ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(WEXITSTATUS(status), 7);
        if (pidfd >= 0)
            close(pidfd);
    }
    ck_assert_int_eq(unit_count_open(), before);
}
END_TEST

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "report") == 0)
        return report(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        return 7;
    if (argc == 2 && strcmp(argv[1], "sleep") == 0)
        return (int)sleep(60);
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return 99;
    self[length] = '\0';
    Suite *suite = suite_create("base_spawn");
    TCase *tests = tcase_create("spawn");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, descriptors_land_where_they_were_asked_for);
    tcase_add_test(tests, the_environment_is_the_chosen_one);
    tcase_add_test(tests, signals_and_session_are_fresh);
    tcase_add_test(tests, a_program_that_cannot_run_is_told_by_the_caller);
    tcase_add_test(tests, waiting_ends_at_the_deadline_and_not_before);
    tcase_add_test(tests, a_hundred_children_leave_no_descriptor);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
