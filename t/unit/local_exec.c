/* SPDX-License-Identifier: Apache-2.0 */
/* Behaviour of exec and signal of the local driver. */
#include "local_fixture.h"

#define MS 1000000

START_TEST(exit_codes_and_signals_come_back)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct outcome out;
    run_shell(&call_a, lease, "exit 37", &out);
    ck_assert_int_eq(out.result.outcome, BILLET_OUTCOME_EXITED);
    ck_assert_int_eq(out.result.value, 37);
    run_shell(&call_a, lease, "kill -9 $$", &out);
    ck_assert_int_eq(out.result.outcome, BILLET_OUTCOME_SIGNALLED);
    ck_assert_int_eq(out.result.value, 9);
    ck_assert_uint_gt(out.result.max_rss_bytes, 65536);
    end_lease(lease);
}
END_TEST

static void
expect_start(struct billet_lease_handle *lease, const char *program, const char *path, int outcome,
             int value)
{
    const char *argv[] = {program, NULL};
    const char *environment[] = {path, NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    if (path != NULL)
        args.environment = environment;
    run_with(&call_a, lease, &args, &out);
    ck_assert_msg(out.result.outcome == outcome && out.result.value == value,
                  "%s: outcome %d value %d", program, out.result.outcome, out.result.value);
}

START_TEST(commands_that_cannot_start_say_why)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    char plain[128], garbage[128], search[256];
    snprintf(plain, sizeof(plain), "%s/plain", work_directory);
    snprintf(garbage, sizeof(garbage), "%s/garbage", work_directory);
    snprintf(search, sizeof(search), "PATH=/nowhere:%s", work_directory);
    int fd = open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    ck_assert_int_eq(write(fd, "text\n", 5), 5);
    close(fd);
    fd = open(garbage, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    ck_assert_int_eq(write(fd, "text\n", 5), 5);
    close(fd);
    expect_start(lease, "billet-no-such-command", NULL, BILLET_OUTCOME_NOT_FOUND, ENOENT);
    expect_start(lease, "/nowhere/at/all", NULL, BILLET_OUTCOME_NOT_FOUND, ENOENT);
    expect_start(lease, "", NULL, BILLET_OUTCOME_NOT_FOUND, ENOENT);
    expect_start(lease, plain, NULL, BILLET_OUTCOME_NOT_INVOCABLE, EACCES);
    expect_start(lease, garbage, NULL, BILLET_OUTCOME_NOT_INVOCABLE, ENOEXEC);
    expect_start(lease, "plain", search, BILLET_OUTCOME_NOT_INVOCABLE, EACCES);
    expect_start(lease, "true", search, BILLET_OUTCOME_NOT_FOUND, ENOENT);

    char *large = malloc(1 << 20);
    memset(large, 'x', (1 << 20) - 1);
    large[(1 << 20) - 1] = '\0';
    const char *argv[] = {"true", large, NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_NOT_INVOCABLE);
    ck_assert_int_eq(result.value, E2BIG);
    free(large);
    argv[1] = NULL;
    args.directory = "/nowhere/at/all";
    ck_assert_int_eq(driver->exec(&call_a, lease, &args, &result, &error), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(error.sys_errno, ENOENT);
    ck_assert_ptr_nonnull(strstr(error.message, "/nowhere/at/all"));
    args.directory = "";
    args.flags = 0x80;
    ck_assert_int_eq(driver->exec(&call_a, lease, &args, &result, &error), -BILLET_CLASS_CONFIG);
    end_lease(lease);
}
END_TEST

START_TEST(arguments_pass_byte_for_byte)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"printf", "%s|", "a b", "", "\"'$x`\\", "\xff\x01\n", "*", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    run_with(&call_a, lease, &args, &out);
    ck_assert_str_eq(out.output, "a b||\"'$x`\\|\xff\x01\n|*|");
    end_lease(lease);
}
END_TEST

START_TEST(environment_is_exactly_the_allowed_set)
{
    setup(_i);
    clearenv();
    setenv("HOME", "/h", 1);
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("LC_TIME", "C", 1);
    setenv("TERM", "dumb", 1);
    setenv("TOKEN", "leak", 1);
    setenv("LD_X", "leak", 1);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sh", "-c", "env | grep -v ^BILLET_EXEC_ID=local- | sort", NULL};
    const char *more[] = {"ADDED=1", "TERM=xterm", "BILLET_LEASE_ID=forged", "ADDED=2", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    char expected[512];
    args.environment = more;
    run_with(&call_a, lease, &args, &out);
    snprintf(expected, sizeof(expected),
             "ADDED=2\nBILLET_AGENT_ID=agent-7\nBILLET_ENVIRONMENT=local\nBILLET_LEASE_ID=%s\n"
             "BILLET_RUN_ID=run-1\nBILLET_TENANT=default\nHOME=/h\nLC_TIME=C\n"
             "PATH=/usr/bin:/bin\nPWD=/\nTERM=xterm\n",
             lease_a); /* PWD is the shell's own */
    ck_assert_str_eq(out.output, expected);
    end_lease(lease);
}
END_TEST

START_TEST(time_limit_ends_the_tree_and_does_not_wait_for_pipes)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct outcome out;
    /* what an earlier command left is not of this tree */
    run_shell(&call_a, lease, "setsid sleep 64 >/dev/null 2>&1 & sleep 0.1", &out);
    const char *argv[] = {
        "sh", "-c", "trap '' TERM; setsid sleep 61 & sleep 62 & while :; do sleep 63; done", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    int pipes[2];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    args.stdout_fd = pipes[1];
    args.timeout_ns = 500 * MS;
    args.kill_after_ns = 200 * MS;
    int64_t begin = now_ns();
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    int64_t took = now_ns() - begin;
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_TIMED_OUT);
    ck_assert_msg(took >= 700ll * MS && took < 2000ll * MS, "%lld ns", (long long)took);
    await_processes(lease_a, 1);
    end_lease(lease);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

START_TEST(background_pipe_holders_do_not_hold_the_answer_up)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct outcome out;
    int64_t begin = now_ns();
    run_shell(&call_a, lease, "sleep 60 & echo done", &out);
    ck_assert_int_lt((int)((now_ns() - begin) / MS), 1500);
    ck_assert_str_eq(out.output, "done\n");
    await_processes(lease_a, 1);
    end_lease(lease);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

START_TEST(cancel_fd_ends_the_command_gently_first)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    int cancel[2];
    ck_assert_int_eq(pipe2(cancel, O_CLOEXEC), 0);
    struct billet_call call = call_a;
    call.cancel_fd = cancel[0];
    const char *argv[] = {"sh", "-c", "trap 'echo gentle; exit 4' TERM; sleep 60 & wait", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    args.kill_after_ns = 5 * BILLET_NS_PER_SECOND;
    pid_t trigger = fork();
    if (trigger == 0) {
        usleep(300000);
        _exit(write(cancel[1], "x", 1) == 1 ? 0 : 1);
    }
    int64_t begin = now_ns();
    run_with(&call, lease, &args, &out);
    ck_assert_int_eq(out.result.outcome, BILLET_OUTCOME_CANCELLED);
    ck_assert_int_lt((int)((now_ns() - begin) / MS), 3000);
    ck_assert_str_eq(out.output, "gentle\n");
    ck_assert_int_eq(count_lease(lease_a), 0);
    ck_assert_int_eq(waitpid(trigger, NULL, 0), trigger);
    end_lease(lease);
}
END_TEST

struct running {
    struct billet_lease_handle *lease;
    struct billet_exec args;
    struct billet_exec_result result;
    int status;
    pthread_t thread;
};

static void *
exec_thread(void *context)
{
    struct running *self = context;
    struct billet_error own = BILLET_ERROR_INIT;
    self->result.struct_size = sizeof(self->result);
    self->status = driver->exec(&call_a, self->lease, &self->args, &self->result, &own);
    return NULL;
}

static void
begin(struct running *running)
{
    ck_assert_int_eq(pthread_create(&running->thread, NULL, exec_thread, running), 0);
}

static void
finish(struct running *running, int outcome, int value)
{
    pthread_join(running->thread, NULL);
    ck_assert_int_eq(running->status, 0);
    ck_assert_int_eq(running->result.outcome, outcome);
    ck_assert_int_eq(running->result.value, value);
}

/* Read until text is seen. */
static void
read_until(int fd, const char *text)
{
    char buffer[1024] = "";
    size_t used = 0;
    while (strstr(buffer, text) == NULL) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ck_assert_int_eq(poll(&wait, 1, 5000), 1);
        ssize_t got = read(fd, buffer + used, sizeof(buffer) - 1 - used);
        ck_assert_int_gt(got, 0);
        used += (size_t)got;
    }
}

START_TEST(signals_and_window_size_reach_the_command)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sh", "-c",
                          "trap 'stty size' WINCH; trap 'exit 5' INT; trap 'exit 9' USR1; "
                          "echo ready; while :; do sleep 0.05; done",
                          NULL};
    struct billet_signal args = {.struct_size = sizeof(args), .number = SIGUSR1};
    ck_assert_int_eq(driver->signal(&call_a, lease, &args, &error), -BILLET_CLASS_LOST);
    for (int pty = 0; pty <= 1; pty++) {
        struct running running = {.lease = lease, .args = exec_arguments(argv)};
        int input[2], output[2];
        ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
        running.args.flags = pty ? BILLET_EXEC_PTY : 0;
        running.args.stdin_fd = input[0];
        running.args.stdout_fd = output[1];
        begin(&running);
        read_until(output[0], "ready");
        if (pty) {
            args = (struct billet_signal){
                .struct_size = sizeof(args), .number = SIGWINCH, .rows = 7, .columns = 77};
            assert_ok(driver->signal(&call_a, lease, &args, &error));
            read_until(output[0], "7 77");
            args.number = SIGINT;
        }
        assert_ok(driver->signal(&call_a, lease, &args, &error));
        finish(&running, BILLET_OUTCOME_EXITED, pty ? 5 : 9);
    }
    end_lease(lease);
}
END_TEST

START_TEST(execs_run_at_the_same_time)
{
    setup(_i);
    enum { COUNT = 12 };
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct running all[COUNT];
    const char *argv[COUNT][4];
    char scripts[COUNT][64];
    int64_t start = now_ns();
    for (int i = 0; i < COUNT; i++) {
        snprintf(scripts[i], sizeof(scripts[i]), "sleep 0.4; exit %d", i + 1);
        argv[i][0] = "sh", argv[i][1] = "-c", argv[i][2] = scripts[i], argv[i][3] = NULL;
        all[i] = (struct running){.lease = lease, .args = exec_arguments(argv[i])};
        begin(&all[i]);
    }
    for (int i = 0; i < COUNT; i++)
        finish(&all[i], BILLET_OUTCOME_EXITED, i + 1);
    ck_assert_int_lt((int)((now_ns() - start) / MS), 3000);
    end_lease(lease);
}
END_TEST

START_TEST(sixteen_mebibytes_pass_both_ways_unchanged)
{
    setup(_i);
    enum { SIZE = 16 << 20 };
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    unsigned char *sent = malloc(SIZE), *got = malloc(SIZE + 1);
    unsigned state = 1;
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (unsigned char)((state = state * 1103515245u + 12345u) >> 16);
    int to[2], from[2];
    ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
    const char *argv[] = {"cat", NULL};
    struct running running = {.lease = lease, .args = exec_arguments(argv)};
    running.args.stdin_fd = to[0];
    running.args.stdout_fd = from[1];
    begin(&running);
    fcntl(to[1], F_SETFL, O_NONBLOCK);
    size_t put = 0, taken = 0;
    while (taken < SIZE) {
        struct pollfd fds[2] = {{.fd = put < SIZE ? to[1] : -1, .events = POLLOUT},
                                {.fd = from[0], .events = POLLIN}};
        ck_assert_int_gt(poll(fds, 2, 10000), 0);
        if (fds[0].revents) {
            ssize_t wrote = write(to[1], sent + put, SIZE - put);
            put += wrote > 0 ? (size_t)wrote : 0;
            if (put == SIZE)
                close(to[1]);
        }
        if (fds[1].revents) {
            ssize_t more = read(from[0], got + taken, SIZE + 1 - taken);
            ck_assert_int_gt(more, 0);
            taken += (size_t)more;
        }
    }
    finish(&running, BILLET_OUTCOME_EXITED, 0);
    ck_assert_uint_eq(taken, SIZE);
    ck_assert_int_eq(memcmp(sent, got, SIZE), 0);
    free(sent);
    free(got);
    end_lease(lease);
}
END_TEST

START_TEST(terminal_has_size_session_and_echo)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    int input[2];
    ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
    ck_assert_int_eq(write(input[1], "hello\n", 6), 6);
    close(input[1]); /* cat sees its end */
    const char *argv[] = {"sh", "-c", "stty size; test -t 1 && echo own >/dev/tty; cat", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    args.flags = BILLET_EXEC_PTY;
    args.rows = 41;
    args.columns = 133;
    args.stdin_fd = input[0];
    run_with(&call_a, lease, &args, &out);
    ck_assert_int_eq(out.result.outcome, BILLET_OUTCOME_EXITED);
    ck_assert_ptr_nonnull(strstr(out.output, "41 133\r\n"));
    ck_assert_ptr_nonnull(strstr(out.output, "own\r\n"));
    char *first = strstr(out.output, "hello\r\n"); /* the terminal's echo, then cat's */
    ck_assert(first != NULL && strstr(first + 1, "hello\r\n") != NULL);
    end_lease(lease);
}
END_TEST

START_TEST(a_mebibyte_leaves_a_terminal_whole)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sh", "-c", "stty raw; head -c 1048576 /dev/zero | tr '\\0' z", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    int fd = memfd_create("output", MFD_CLOEXEC);
    args.flags = BILLET_EXEC_PTY;
    args.stdout_fd = fd;
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    struct stat about;
    ck_assert_int_eq(fstat(fd, &about), 0);
    ck_assert_int_eq((int)about.st_size, 1 << 20);
    close(fd);
    /* a reader that went away ends neither driver nor command */
    const char *gone[] = {"sh", "-c", "head -c 300000 /dev/zero; exit 6", NULL};
    int output[2];
    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    close(output[0]);
    args.argv = gone;
    args.stdout_fd = output[1];
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    ck_assert_int_eq(result.value, 6);
    end_lease(lease);
}
END_TEST

static int
count_fds(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

START_TEST(five_hundred_execs_leave_no_fd_and_no_zombie)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"/bin/true", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    struct outcome out;
    int before = count_fds();
    for (int i = 0; i < 500; i++) {
        assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
        ck_assert_int_eq(result.value, 0);
    }
    /* orphans that end by themselves come to this process */
    run_shell(&call_a, lease, "for i in 1 2 3; do (setsid true &) ; done; sleep 0.2", &out);
    ck_assert_int_eq(count_fds(), before);
    errno = 0;
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    end_lease(lease);
}
END_TEST

START_TEST(commands_get_three_descriptors_and_default_signals)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_ge(dup2(2, 77), 0); /* inheritable */
    const char *argv[] = {"ls", "/proc/self/fd", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome out;
    run_with(&call_a, lease, &args, &out);
    ck_assert_str_eq(out.output, "0\n1\n2\n3\n"); /* 3 is the directory that ls reads */
    const char *status[] = {"grep", "-E", "Sig(Ign|Blk)", "/proc/self/status", NULL};
    unsigned long long is_blocked = 1, is_ignored = 1;
    args.argv = status;
    run_with(&call_a, lease, &args, &out);
    ck_assert_int_eq(sscanf(out.output, "SigBlk: %llx SigIgn: %llx", &is_blocked, &is_ignored), 2);
    /* 32 and 33 are the C library's own: who ignored them before us cannot be undone through it */
    ck_assert_uint_eq(is_blocked, 0);
    ck_assert_uint_eq(is_ignored & ~0x180000000ULL, 0);
    end_lease(lease);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("local_exec");
    TCase *tests = tcase_create("exec");
    tcase_set_timeout(tests, 60);
    int first = geteuid() == 0 ? 0 : 1;
    tcase_add_loop_test(tests, exit_codes_and_signals_come_back, first, 2);
    tcase_add_loop_test(tests, commands_that_cannot_start_say_why, first, 2);
    tcase_add_loop_test(tests, arguments_pass_byte_for_byte, first, 2);
    tcase_add_loop_test(tests, environment_is_exactly_the_allowed_set, first, 2);
    tcase_add_loop_test(tests, time_limit_ends_the_tree_and_does_not_wait_for_pipes, first, 2);
    tcase_add_loop_test(tests, background_pipe_holders_do_not_hold_the_answer_up, first, 2);
    tcase_add_loop_test(tests, cancel_fd_ends_the_command_gently_first, first, 2);
    tcase_add_loop_test(tests, signals_and_window_size_reach_the_command, first, 2);
    tcase_add_loop_test(tests, execs_run_at_the_same_time, first, 2);
    tcase_add_loop_test(tests, sixteen_mebibytes_pass_both_ways_unchanged, first, 2);
    tcase_add_loop_test(tests, terminal_has_size_session_and_echo, first, 2);
    tcase_add_loop_test(tests, a_mebibyte_leaves_a_terminal_whole, first, 2);
    tcase_add_loop_test(tests, five_hundred_execs_leave_no_fd_and_no_zombie, first, 2);
    tcase_add_loop_test(tests, commands_get_three_descriptors_and_default_signals, first, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
