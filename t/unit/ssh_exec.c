/* SPDX-License-Identifier: Apache-2.0 */
/* Commands over a real sshd, as each user with a login shell of its own. */

#include "ssh_fixture.h"

/* One lease for each user, taken once: a connection costs more than what most tests do with it. So
 * the tests run in one process, and an alarm ends one that hangs. */
static struct billet_lease_handle *leases[8];

static struct billet_lease_handle *
begin_on_lease(int user)
{
    begin_as(users[user]);
    snprintf(lease_a, sizeof(lease_a), "0190c1d2-0000-7000-%04x-%012x", 0xa000 + user,
             (unsigned)getpid());
    if (leases[user] == NULL)
        leases[user] = acquire(&call_a, NULL);
    return leases[user];
}

static void
begin_alarm(void)
{
    alarm(120);
}

/* Until the command has made a file of that name in its directory. */
static void
await_file(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s/work/%s", remote, lease_a, name);
    for (int i = 0; i < 2000 && access(path, F_OK) != 0; i++)
        usleep(10000);
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
}

/* ---- arguments, environment, streams ------------------------------------------------- */

static unsigned seed;

static unsigned
next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* Bytes that shells, terminals and quoting care about come often. */
static char *
random_bytes(size_t longest)
{
    static const char hard[] = "'\"\\$`!\n\r\t *?[]{}()<>|&;#~=%\001\004\033\177\200\201\210\377";
    size_t length = next_random() % (longest + 1);
    char *text = malloc(length + 1);
    for (size_t i = 0; i < length; i++) {
        unsigned choice = next_random();
        text[i] = choice % 3 == 0 ? hard[(choice >> 4) % (sizeof(hard) - 1)]
                                  : (char)(1 + (choice >> 4) % 255);
    }
    text[length] = '\0';
    return text;
}

START_TEST(arguments_arrive_exactly_for_any_bytes)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    int rounds = _i <= 1 ? 200 : 30;
    for (int round = 0; round < rounds; round++) {
        const char *argv[16] = {"sh", "-c", "printf '%s\\0' \"$@\"", "sh"};
        char expected[65536];
        struct outcome outcome;
        size_t count = 4, length = 0;
        seed = (unsigned)(round * 7919 + 17);
        unsigned extra = 1 + next_random() % 10;
        for (unsigned i = 0; i < extra; i++) {
            argv[count] = random_bytes(round % 20 == 0 ? 3000 : 60);
            size_t size = strlen(argv[count]) + 1;
            memcpy(expected + length, argv[count], size);
            length += size;
            count++;
        }
        struct billet_exec args = exec_arguments(argv);
        run_with(&call_a, lease, &args, &outcome);
        ck_assert_int_eq(outcome.result.outcome, BILLET_OUTCOME_EXITED);
        ck_assert_int_eq(outcome.result.value, 0);
        ck_assert_uint_eq(outcome.length, length);
        ck_assert_msg(memcmp(outcome.output, expected, length) == 0, "round %d", round);
        for (size_t i = 4; i < count; i++)
            free((void *)(uintptr_t)argv[i]);
    }
}
END_TEST

static bool
has_entry(const struct outcome *outcome, const char *entry)
{
    for (size_t at = 0; at < outcome->length; at += strlen(outcome->output + at) + 1)
        if (strcmp(outcome->output + at, entry) == 0)
            return true;
    return false;
}

START_TEST(environment_arrives_exactly_for_any_bytes)
{
    static const char *const names[] = {"PLAIN",  "_under",    "with.dot", "with-dash", "1digit",
                                        "sp ace", "IFS",       "OPTIND",   "PS4",       "UID",
                                        "PPID",   "billet_cd", "ENV",      "RANDOM",    "\303\244"};
    struct billet_lease_handle *lease = begin_on_lease(_i);
    for (int round = 0; round < (_i <= 1 ? 60 : 10); round++) {
        const char *argv[] = {"env", "-0", NULL};
        const char *environment[8] = {NULL};
        struct outcome outcome;
        seed = (unsigned)(round * 104729 + 3);
        for (int i = 0; i < 5; i++) {
            char *value = random_bytes(200), *entry = NULL;
            const char *name = names[((unsigned)round * 5 + (unsigned)i) % 15];
            ck_assert_int_gt(asprintf(&entry, "%s=%s", name, value), 0);
            environment[i] = entry;
            free(value);
        }
        struct billet_exec args = exec_arguments(argv);
        args.environment = environment;
        run_with(&call_a, lease, &args, &outcome);
        ck_assert_int_eq(outcome.result.outcome, BILLET_OUTCOME_EXITED);
        ck_assert_int_eq(outcome.result.value, 0);
        for (int i = 0; i < 5; i++) {
            ck_assert_msg(has_entry(&outcome, environment[i]), "round %d: %s", round,
                          environment[i]);
            free((void *)(uintptr_t)environment[i]);
        }
        char label[128];
        snprintf(label, sizeof(label), "BILLET_LEASE_ID=%s", lease_a);
        ck_assert(has_entry(&outcome, label));
    }
}
END_TEST

START_TEST(a_command_whose_name_has_an_equals_sign_runs)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    struct outcome outcome;
    run_shell(&call_a, lease, "cp \"$(command -v env)\" './a=b'", &outcome);
    const char *argv[] = {"./a=b", "-0", NULL};
    const char *environment[] = {"x.y=1", NULL};
    struct billet_exec args = exec_arguments(argv);
    args.environment = environment;
    run_with(&call_a, lease, &args, &outcome);
    ck_assert_int_eq(outcome.result.value, 0);
    ck_assert(has_entry(&outcome, "x.y=1"));
}
END_TEST

struct feed {
    int fd;
    const char *bytes;
    size_t length;
};

static void *
feed_main(void *argument)
{
    struct feed *feed = argument;
    size_t done = 0;
    while (done < feed->length) {
        ssize_t put = write(feed->fd, feed->bytes + done, feed->length - done);
        if (put <= 0)
            break;
        done += (size_t)put;
    }
    close(feed->fd);
    return NULL;
}

START_TEST(streams_pass_byte_for_byte)
{
    enum { SIZE = 3 * 1024 * 1024 + 17 };
    static char sent[SIZE], got[SIZE + 1];
    struct billet_lease_handle *lease = begin_on_lease(_i);
    seed = 99;
    for (size_t i = 0; i < SIZE; i++)
        sent[i] = (char)next_random();
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    struct feed feed = {ends[1], sent, SIZE};
    pthread_create(&thread, NULL, feed_main, &feed);
    const char *argv[] = {"sh", "-c", "tee /dev/stderr", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    args.stdin_fd = ends[0];
    args.stdout_fd = memfd_create("out", MFD_CLOEXEC);
    args.stderr_fd = memfd_create("err", MFD_CLOEXEC);
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    pthread_join(thread, NULL);
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_EXITED);
    ck_assert_int_eq(pread(args.stdout_fd, got, sizeof(got), 0), SIZE);
    ck_assert(memcmp(sent, got, SIZE) == 0);
    ck_assert_int_eq(pread(args.stderr_fd, got, sizeof(got), 0), SIZE);
    ck_assert(memcmp(sent, got, SIZE) == 0);
}
END_TEST

START_TEST(output_arrives_while_the_command_runs)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    int in[2], out[2];
    ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    /* The answer is to come before the input ends: a pipe that is read at the end would hang. */
    pid_t child = fork();
    if (child == 0) {
        char answer[16] = "";
        alarm(20);
        close(in[0]), close(out[1]);
        if (write(in[1], "ping\n", 5) != 5 || read(out[0], answer, sizeof(answer)) != 5 ||
            memcmp(answer, "ping\n", 5) != 0)
            _exit(1);
        _exit(0);
    }
    close(in[1]), close(out[0]);
    const char *argv[] = {"cat", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    args.stdin_fd = in[0];
    args.stdout_fd = out[1];
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    int status = -1;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- how commands end --------------------------------------------------------------------- */

START_TEST(the_end_of_a_command_is_told_exactly)
{
    static const struct {
        const char *script;
        int outcome;
        int value;
    } cases[] = {
        {"exit 0", BILLET_OUTCOME_EXITED, 0},
        {"exit 7", BILLET_OUTCOME_EXITED, 7},
        {"exit 127", BILLET_OUTCOME_EXITED, 127},
        {"exit 126", BILLET_OUTCOME_EXITED, 126},
        {"exit 255", BILLET_OUTCOME_EXITED, 255},
        {"exit 137", BILLET_OUTCOME_EXITED, 137},
        {"exit 143", BILLET_OUTCOME_EXITED, 143},
        {"kill -9 $$", BILLET_OUTCOME_SIGNALLED, 9},
        {"kill -15 $$", BILLET_OUTCOME_SIGNALLED, 15},
        {"kill -11 $$", BILLET_OUTCOME_SIGNALLED, 11},
        {"kill -2 $$", BILLET_OUTCOME_SIGNALLED, 2},
        {"kill -1 $$", BILLET_OUTCOME_SIGNALLED, 1},
    };
    struct billet_lease_handle *lease = begin_on_lease(_i);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome outcome;
        run_shell(&call_a, lease, cases[i].script, &outcome);
        ck_assert_msg(outcome.result.outcome == cases[i].outcome &&
                          outcome.result.value == cases[i].value,
                      "%s: outcome %d, value %d", cases[i].script, outcome.result.outcome,
                      outcome.result.value);
        ck_assert_uint_eq(outcome.length, 0);
    }
}
END_TEST

START_TEST(a_missing_command_is_not_an_exit_code)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    static const struct {
        const char *name;
        int outcome;
    } cases[] = {{"no-such-command", BILLET_OUTCOME_NOT_FOUND},
                 {"/no/such/file", BILLET_OUTCOME_NOT_FOUND},
                 {"", BILLET_OUTCOME_NOT_FOUND},
                 {"/etc/passwd", BILLET_OUTCOME_NOT_INVOCABLE},
                 {"/etc", BILLET_OUTCOME_NOT_INVOCABLE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[] = {cases[i].name, NULL};
        struct billet_exec args = exec_arguments(argv);
        struct outcome outcome;
        run_with(&call_a, lease, &args, &outcome);
        ck_assert_msg(outcome.result.outcome == cases[i].outcome, "%s: %d", cases[i].name,
                      outcome.result.outcome);
    }
    const char *argv[] = {"true", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    args.directory = "/no/such/directory";
    assert_fails(driver->exec(&call_a, lease, &args, &result, &error), BILLET_CLASS_CONFIG,
                 "directory_unusable");
}
END_TEST

START_TEST(the_time_limit_ends_the_whole_tree)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    /* One that left the session, one that cleared its environment, one that ignores SIGTERM. */
    const char *argv[] = {"sh", "-c",
                          "trap '' TERM; setsid sleep 4713 & env -i sleep 4713 & sleep 4713", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    args.timeout_ns = BILLET_NS_PER_SECOND / 2;
    args.kill_after_ns = BILLET_NS_PER_SECOND / 5;
    int64_t start = now_ns();
    assert_ok(driver->exec(&call_a, lease, &args, &result, &error));
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_TIMED_OUT);
    ck_assert_int_lt((int)((now_ns() - start) / 1000000), 8000);
    ck_assert_int_eq(count_lease(lease_a), 0);
    ck_assert_int_ne(system("pgrep -fx 'sleep 4713' >/dev/null"), 0);
}
END_TEST

static void *
cancel_once_it_runs(void *argument)
{
    await_file("runs");
    ck_assert_int_eq(write(*(int *)argument, "x", 1), 1);
    return NULL;
}

START_TEST(cancel_ends_the_command)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    int ends[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pthread_create(&thread, NULL, cancel_once_it_runs, &ends[1]);
    const char *argv[] = {"sh", "-c", ": >runs; exec sleep 4714", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    struct billet_call call = call_a;
    call.cancel_fd = ends[0];
    args.kill_after_ns = 2 * BILLET_NS_PER_SECOND;
    assert_ok(driver->exec(&call, lease, &args, &result, &error));
    pthread_join(thread, NULL);
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_CANCELLED);
    ck_assert_int_eq(result.value, 128 + SIGTERM);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

/* The command may be faster than who started it here; billet waits for the word. */
static void
signal_command(struct billet_lease_handle *lease, const struct billet_signal *args)
{
    struct billet_error said = BILLET_ERROR_INIT;
    int result = -1;
    for (int i = 0; i < 500 && result != 0; i++) {
        usleep(i > 0 ? 10000 : 0);
        result = driver->signal(&call_a, lease, args, &said);
    }
    ck_assert_int_eq(result, 0);
}

static void *
signal_once_it_is_trapped(void *argument)
{
    struct billet_signal args = {.struct_size = sizeof(args), .number = SIGUSR1};
    await_file("trap");
    signal_command(argument, &args);
    return NULL;
}

START_TEST(a_signal_reaches_the_command)
{
    struct billet_lease_handle *lease = begin_on_lease(_i);
    struct billet_signal none = {.struct_size = sizeof(none), .number = SIGUSR1};
    assert_fails(driver->signal(&call_a, lease, &none, &error), BILLET_CLASS_LOST,
                 "command_not_running");
    pthread_t thread;
    struct outcome outcome;
    pthread_create(&thread, NULL, signal_once_it_is_trapped, lease);
    run_shell(
        &call_a, lease,
        "trap 'echo caught; exit 5' USR1; : >trap; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done",
        &outcome);
    pthread_join(thread, NULL);
    ck_assert_str_eq(outcome.output, "caught\n");
    ck_assert_int_eq(outcome.result.value, 5);
}
END_TEST

START_TEST(what_is_left_in_the_background_does_not_hold_the_answer_up)
{
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct outcome outcome;
    int64_t start = now_ns();
    run_shell(&call_a, lease, "sleep 4715 & echo done", &outcome);
    ck_assert_str_eq(outcome.output, "done\n");
    ck_assert_int_lt((int)((now_ns() - start) / 1000000), 5000);
    await_processes(lease_a, 1);
    end_lease(lease);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

/* ---- terminal ----------------------------------------------------------------------------------
 */

static void *
resize_once_it_was_read(void *argument)
{
    struct billet_signal args = {
        .struct_size = sizeof(args), .number = SIGWINCH, .rows = 40, .columns = 111};
    await_file("sized");
    signal_command(argument, &args);
    return NULL;
}

/* An sshd of an ordinary user cannot give a terminal whose group it may not set. */
static bool
sshd_gives_terminals(void)
{
    char line[512];
    snprintf(line, sizeof(line),
             "ssh -F /dev/null -tt -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR "
             "-o UserKnownHostsFile=/dev/null -i %s -p %d -l %s 127.0.0.1 'test -t 0' >/dev/null "
             "2>&1 </dev/null",
             identity_file, sshd_port, users[0]);
    return geteuid() == 0 || system(line) == 0;
}

START_TEST(a_terminal_has_the_size_that_is_asked_for)
{
    if (!sshd_gives_terminals())
        return;
    struct billet_lease_handle *lease = begin_on_lease(_i);
    struct outcome outcome;
    pthread_t thread;
    const char *argv[] = {"sh", "-c",
                          "stty size; test -t 0 && test -t 1 && test -t 2 && echo tty; : >sized; "
                          "while :; do set -- $(stty size); "
                          "[ $1 = 24 ] || break; sleep 0.1; done; stty size; printf '%s' \"$TERM\"",
                          NULL};
    const char *environment[] = {"TERM=vt220", NULL};
    struct billet_exec args = exec_arguments(argv);
    args.environment = environment;
    args.flags = BILLET_EXEC_PTY;
    args.rows = 24;
    args.columns = 77;
    pthread_create(&thread, NULL, resize_once_it_was_read, lease);
    run_with(&call_a, lease, &args, &outcome);
    pthread_join(thread, NULL);
    ck_assert_str_eq(outcome.output, "24 77\r\ntty\r\n40 111\r\nvt220");
    ck_assert_int_eq(outcome.result.value, 0);
}
END_TEST

/* ---- several, and hostile surroundings
 * ------------------------------------------------------------ */

static void *
exec_main(void *argument)
{
    struct billet_error said = BILLET_ERROR_INIT;
    const char *argv[] = {"sh", "-c", "sleep 0.3; exit 9", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    return driver->exec(&call_a, argument, &args, &result, &said) == 0 && result.value == 9
               ? NULL
               : argument;
}

START_TEST(commands_run_side_by_side)
{
    pthread_t threads[8];
    struct billet_lease_handle *lease = begin_on_lease(_i);
    for (size_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, exec_main, lease);
    for (size_t i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

START_TEST(a_noisy_login_shell_does_not_reach_the_streams)
{
    if (!has_user("billet-noisy"))
        return;
    begin_as("billet-noisy");
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct outcome outcome;
    char got[64] = "";
    args.stderr_fd = memfd_create("err", MFD_CLOEXEC);
    run_with(&call_a, lease, &args, &outcome);
    ck_assert_str_eq(outcome.output, "out\n");
    ck_assert_int_eq(pread(args.stderr_fd, got, sizeof(got), 0), 4);
    ck_assert_str_eq(got, "err\n");
    end_lease(lease);
}
END_TEST

START_TEST(a_lease_of_many_commands_ends_without_a_trace)
{
    end_lease(begin_on_lease(_i));
    leases[_i] = NULL;
    ck_assert(!lease_directory_exists(lease_a));
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

int
main(void)
{
    if (!fixture_begin())
        return 0;
    Suite *suite = suite_create("ssh_exec");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, begin_alarm, NULL);
    int last = user_count;
    int few = user_count > 2 ? 2 : user_count;
    tcase_add_loop_test(all, arguments_arrive_exactly_for_any_bytes, 0, last);
    tcase_add_loop_test(all, environment_arrives_exactly_for_any_bytes, 0, last);
    tcase_add_loop_test(all, a_command_whose_name_has_an_equals_sign_runs, 0, few);
    tcase_add_loop_test(all, streams_pass_byte_for_byte, 0, last);
    tcase_add_loop_test(all, output_arrives_while_the_command_runs, 0, few);
    tcase_add_loop_test(all, the_end_of_a_command_is_told_exactly, 0, last);
    tcase_add_loop_test(all, a_missing_command_is_not_an_exit_code, 0, last);
    tcase_add_loop_test(all, the_time_limit_ends_the_whole_tree, 0, few);
    tcase_add_loop_test(all, cancel_ends_the_command, 0, last);
    tcase_add_loop_test(all, a_signal_reaches_the_command, 0, last);
    tcase_add_loop_test(all, what_is_left_in_the_background_does_not_hold_the_answer_up, 0, few);
    tcase_add_loop_test(all, a_terminal_has_the_size_that_is_asked_for, 0, last);
    tcase_add_loop_test(all, commands_run_side_by_side, 0, few);
    tcase_add_test(all, a_noisy_login_shell_does_not_reach_the_streams);
    tcase_add_loop_test(all, a_lease_of_many_commands_ends_without_a_trace, 0, last);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    fixture_end();
    return 0;
}
