/* SPDX-License-Identifier: Apache-2.0 */
/* One command on one lease, through the built host: how it ends, who is told, what is passed on.
 * The fake driver plays the provider, the local one runs real commands. */
#include <billet/driver.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "run/drive.h"
#include "run/resolve.h"
#include "run/run.h"
#include "run_fixture.h"

static struct billet_run_result result;
static struct billet_signals signals;
static int status_pipe[2];

static void
set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    run_set_up();
    memset(&result, 0, sizeof(result));
    signals = (struct billet_signals)BILLET_SIGNALS_INIT;
    ck_assert_int_eq(pipe2(status_pipe, O_CLOEXEC), 0);
}

static void
tear_down(void)
{
    billet_signals_close(&signals);
    if (status_pipe[0] >= 0)
        close(status_pipe[0]);
    if (status_pipe[1] >= 0)
        close(status_pipe[1]);
    run_tear_down();
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no host is left */
}

/* The fake driver with these settings as the environment "pretend". */
static void
configure(const char *settings)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "[driver fake]\nenabled = yes\n[environment pretend]\ndriver = fake\n"
             "directory = %s\n%s",
             in_scratch("resources"), settings);
    assert_ok(context_open(text, NULL));
}

/* The whole life of a run of argv in the environment; output (may be NULL) gets its stdout. */
static int
run_it(const char *environment, const char *const *argv, int64_t timeout_ns, char output[4096])
{
    int out = open(in_scratch("out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct billet_run_request request = {
        .session = {.environment = environment,
                    .workspace_mode = -1,
                    .policy = "ephemeral",
                    .command = argv[0],
                    .signals = &signals},
        .exec = {.argv = argv,
                 .fds = {-1, out, -1},
                 .timeout_ns = timeout_ns,
                 .status_fd = status_pipe[1]},
    };
    billet_error_clear(&error);
    int failed = billet_run(context, &request, &result, &error);
    if (output != NULL) {
        ssize_t got = pread(out, output, 4095, 0);
        ck_assert_int_ge(got, 0);
        output[got] = '\0';
    }
    close(out);
    return failed;
}

/* Everything that was said on the status channel; freed by the caller. */
static char *
status_lines(void)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    billet_close(&status_pipe[1]);
    ck_assert_int_eq(billet_io_read_all(status_pipe[0], &text, 100000, NULL), 0);
    return billet_buffer_steal(&text);
}

static int
count_resources(void)
{
    int count = 0;
    DIR *directory = opendir(in_scratch("resources"));
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        count += strncmp(entry->d_name, "fake-", 5) == 0;
    if (directory != NULL)
        closedir(directory);
    return count;
}

static const char *const hello[] = {"hello", "two words", NULL};

START_TEST(a_run_passes_its_command_and_its_end)
{
    char output[4096];
    configure("exit_code = 7\nprint = line\n");
    assert_ok(run_it("pretend", hello, -1, output));
    ck_assert(result.ran);
    ck_assert(!result.held);
    ck_assert_int_eq(billet_ending_status(&result.ending), 7);
    ck_assert_str_eq(result.ending.origin, "command");
    ck_assert_ptr_nonnull(strstr(output, "hello"));
    ck_assert_ptr_nonnull(strstr(output, "two words"));
    ck_assert_int_eq(result.release_error.error_class, 0);
    ck_assert_int_eq(count_resources(), 0);
    char *said = status_lines();
    ck_assert_ptr_nonnull(strstr(said, "{\"started\":{"));
    for (char *line = strtok(said, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *value = NULL;
        ck_assert_msg(billet_json_parse(line, strlen(line), &value, &error) == 0, "%s", line);
        json_decref(value);
    }
    free(said);
}
END_TEST

START_TEST(whatever_a_driver_does_wrong_ends_the_run_and_nothing_stays)
{
    static const struct {
        const char *script;
        const char *code; /* any of these ids */
    } cases[] = {
        {"acquire:fail:capacity", "lease_acquire_failed"},
        {"acquire:segv", "lease_acquire_failed"},
        {"acquire:exit", "lease_acquire_failed"},
        {"acquire:lose", "lease_acquire_failed"},
        {"exec:fail:unavailable", NULL},
        {"exec:segv", NULL},
        {"exec:exit", NULL},
        {"exec:garbage", NULL},
        {"exec:bad_outcome", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char settings[256];
        snprintf(settings, sizeof(settings), "script = %s\n", cases[i].script);
        billet_context_close(context);
        context = NULL;
        configure(settings);
        int failed = run_it("pretend", hello, -1, NULL);
        ck_assert_msg(failed < 0, "%s did not fail", cases[i].script);
        ck_assert_int_eq(failed, -error.error_class);
        ck_assert_str_ne(error.message, "");
        if (cases[i].code != NULL)
            ck_assert_msg(strcmp(error.code, cases[i].code) == 0, "%s: %s %s", cases[i].script,
                          error.code, error.message);
        ck_assert_msg(count_resources() == 0, "%s left a resource", cases[i].script);
    }
}
END_TEST

START_TEST(a_failed_release_does_not_hide_how_the_command_ended)
{
    configure("exit_code = 3\nscript = release:fail:unavailable destroy:fail:unavailable\n");
    assert_ok(run_it("pretend", hello, -1, NULL));
    ck_assert_int_eq(billet_ending_status(&result.ending), 3);
    ck_assert_int_ne(result.release_error.error_class, 0);
    ck_assert_str_eq(result.release_error.code, "lease_release_failed");
}
END_TEST

START_TEST(a_real_command_ends_as_it_does)
{
    static const struct {
        const char *script;
        int status;
    } cases[] = {{"exit 0", 0}, {"exit 255", 255}, {"kill -9 $$", 137}, {"kill -15 $$", 143}};
    assert_ok(context_open("", NULL));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[] = {"sh", "-c", cases[i].script, NULL};
        assert_ok(run_it("local", argv, -1, NULL));
        ck_assert_int_eq(billet_ending_status(&result.ending), cases[i].status);
    }
    assert_ok(run_it("local", (const char *const[]){"no-such-program-here", NULL}, -1, NULL));
    ck_assert_int_eq(billet_ending_status(&result.ending), 127);
    assert_ok(run_it("local", (const char *const[]){"/etc/passwd", NULL}, -1, NULL));
    ck_assert_int_eq(billet_ending_status(&result.ending), 126);
}
END_TEST

START_TEST(the_time_limit_ends_the_whole_tree)
{
    char output[4096];
    assert_ok(context_open("", NULL));
    const char *argv[] = {"sh", "-c", "sleep 61 & sleep 62; echo not reached", NULL};
    int64_t start = billet_clock_monotonic();
    assert_ok(run_it("local", argv, 300 * INT64_C(1000000), output));
    ck_assert_int_lt(billet_clock_monotonic() - start, 40 * BILLET_NS_PER_SECOND);
    ck_assert_int_eq(billet_ending_status(&result.ending), 124);
    ck_assert_str_eq(result.ending.origin, "billet");
    ck_assert_str_eq(output, "");
}
END_TEST

static void *
send_signals(void *context_of_thread)
{
    int count = *(int *)context_of_thread;
    /* Until the command says that its traps are set. */
    for (int i = 0; i < 300; i++) {
        struct stat status;
        if (stat(in_scratch("ready"), &status) == 0)
            break;
        usleep(50000);
    }
    for (int i = 0; i < count; i++) {
        kill(getpid(), SIGTERM);
        usleep(200000);
    }
    return NULL;
}

static const char quick[] = "[environment quick]\ndriver = local\nkill_after = 500ms\n";

/* Run the script while so many TERM signals arrive. */
static int
run_with_signals(const char *script, int count)
{
    pthread_t thread;
    char whole[PATH_MAX];
    snprintf(whole, sizeof(whole), script, in_scratch("ready"));
    assert_ok(billet_signals_open(&signals, &error));
    ck_assert_int_eq(pthread_create(&thread, NULL, send_signals, &count), 0);
    int failed = run_it("quick", (const char *const[]){"sh", "-c", whole, NULL}, -1, NULL);
    pthread_join(thread, NULL);
    return failed;
}

START_TEST(a_signal_reaches_the_command_which_decides)
{
    assert_ok(context_open(quick, NULL));
    assert_ok(run_with_signals("trap 'exit 42' TERM; : >%s; while :; do sleep 0.05; done", 1));
    ck_assert_int_eq(billet_ending_status(&result.ending), 42);
    ck_assert_str_eq(result.ending.origin, "command");
}
END_TEST

START_TEST(the_third_signal_ends_what_ignores_them)
{
    assert_ok(context_open(quick, NULL));
    int64_t start = billet_clock_monotonic();
    assert_ok(run_with_signals("trap '' TERM; : >%s; while :; do sleep 0.05; done", 3));
    ck_assert_int_eq(billet_ending_status(&result.ending), 128 + SIGTERM);
    ck_assert_str_eq(result.ending.origin, "billet");
    ck_assert_int_lt(billet_clock_monotonic() - start, 40 * BILLET_NS_PER_SECOND);
}
END_TEST

struct beat {
    int count;
    int lost_at;
};

static int
on_beat(void *at, struct billet_error *why)
{
    struct beat *beat = at;
    if (++beat->count < beat->lost_at)
        return 0;
    return billet_error_set(why, BILLET_CLASS_LOST, "lease_lost", "somebody else has it");
}

/* billet_drive alone, on a local lease of its own, with the heartbeat. */
static int
drive(const char *script, struct beat *beat, struct billet_ending *ending)
{
    struct billet_driver_client *client = NULL;
    struct billet_driver_lease lease = {0};
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_identity identity = {.struct_size = sizeof(identity),
                                       .deployment = "test",
                                       .tenant = "default",
                                       .environment = "local",
                                       .lease = "01989d6e-0000-7000-8000-000000000077",
                                       .run = "",
                                       .agent = "",
                                       .issue = "",
                                       .fence = 1};
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    const char *argv[] = {"sh", "-c", script, NULL};
    const char *environment[] = {"PATH=/usr/bin:/bin", NULL};
    assert_ok(billet_context_driver(context, "local", &client, &error));
    assert_ok(
        billet_driver_await(client, billet_clock_monotonic() + 20 * BILLET_NS_PER_SECOND, &error));
    assert_ok(billet_driver_acquire(client, &call, 0, 0, &lease, &error));
    json_decref(lease.facts);
    struct billet_drive driven = {.client = client,
                                  .call = &call,
                                  .argv = argv,
                                  .environment = environment,
                                  .directory = "/",
                                  .fds = {-1, -1, -1},
                                  .kill_after_ns = BILLET_NS_PER_SECOND,
                                  .status_fd = -1,
                                  .beat_every_ns = 20 * INT64_C(1000000),
                                  .beat = on_beat,
                                  .beat_context = beat};
    billet_error_clear(&error);
    int failed = billet_drive(&driven, ending, &error);
    struct billet_error ignored = BILLET_ERROR_INIT;
    billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &ignored);
    billet_driver_stop(client);
    return failed;
}

START_TEST(the_heartbeat_goes_on_while_the_command_runs)
{
    struct billet_ending ending;
    struct beat beat = {.lost_at = 1000000};
    assert_ok(context_open("", NULL));
    assert_ok(drive("sleep 0.5; exit 9", &beat, &ending));
    ck_assert_int_eq(billet_ending_status(&ending), 9);
    ck_assert_int_ge(beat.count, 8);
    ck_assert_int_le(beat.count, 40);
}
END_TEST

START_TEST(a_lost_lease_ends_the_command_and_is_what_failed)
{
    struct billet_ending ending;
    struct beat beat = {.lost_at = 3};
    struct rusage before;
    struct rusage after;
    assert_ok(context_open("", NULL));
    getrusage(RUSAGE_SELF, &before);
    int64_t start = billet_clock_monotonic();
    /* It ignores TERM, so that its end takes a second: the loop sleeps meanwhile. */
    int failed = drive("trap '' TERM; sleep 60", &beat, &ending);
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_eq(failed, -BILLET_CLASS_LOST);
    ck_assert_str_eq(error.code, "lease_lost");
    ck_assert_int_eq(beat.count, 3); /* not asked again */
    ck_assert_int_lt(billet_clock_monotonic() - start, 40 * BILLET_NS_PER_SECOND);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 2000);
    int64_t used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                   (after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
                   (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                   (after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    ck_assert_msg(used < 400000, "%ld us of processor time while waiting", (long)used);
}
END_TEST

START_TEST(a_held_lease_serves_commands_until_it_is_ended)
{
    char output[4096];
    assert_ok(context_open("", NULL));
    struct billet_session_request request = {
        .environment = "local", .workspace_mode = -1, .policy = "keep", .no_command = true};
    assert_ok(billet_run_hold(context, &request, 3600 * BILLET_NS_PER_SECOND, &result, &error));
    ck_assert(result.held);
    char lease[40];
    memcpy(lease, result.lease, sizeof(lease));
    for (int i = 0; i < 2; i++) {
        int out = open(in_scratch("out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        const char *argv[] = {"sh", "-c", "echo $BILLET_LEASE_ID; exit 5", NULL};
        struct billet_session_exec exec = {
            .argv = argv, .fds = {-1, out, -1}, .timeout_ns = -1, .status_fd = -1};
        assert_ok(billet_run_on_lease(context, &request, lease, &exec, &result, &error));
        ck_assert_int_eq(billet_ending_status(&result.ending), 5);
        ssize_t got = pread(out, output, sizeof(output) - 1, 0);
        output[got > 0 ? got : 0] = '\0';
        ck_assert_int_eq(strncmp(output, lease, 36), 0);
        close(out);
    }
    assert_ok(billet_run_end_lease(context, lease, false, &error));
    struct billet_session_exec exec = {
        .argv = hello, .fds = {-1, -1, -1}, .timeout_ns = -1, .status_fd = -1};
    billet_error_clear(&error);
    ck_assert_int_lt(billet_run_on_lease(context, &request, lease, &exec, &result, &error), 0);
    ck_assert_str_ne(error.message, "");
    ck_assert_int_lt(
        billet_run_end_lease(context, "01989d6e-0000-7000-8000-00000000dead", false, &error), 0);
}
END_TEST

START_TEST(a_probe_goes_the_way_of_a_run_and_leaves_nothing)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    configure("exit_code = 0\n");
    assert_ok(billet_resolve_environment(context, "pretend", NULL, &environment, NULL, &error));
    assert_ok(billet_run_probe(context, &environment, NULL, &result, &error));
    ck_assert_int_eq(billet_ending_status(&result.ending), 0);
    ck_assert_int_eq(count_resources(), 0);
    billet_environment_free(&environment);
    billet_context_close(context);
    context = NULL;
    configure("script = acquire:fail:auth\n");
    environment = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    assert_ok(billet_resolve_environment(context, "pretend", NULL, &environment, NULL, &error));
    ck_assert_int_eq(billet_run_probe(context, &environment, NULL, &result, &error),
                     -BILLET_CLASS_AUTH);
    billet_environment_free(&environment);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("run_drive");
    TCase *tests = tcase_create("drive");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_run_passes_its_command_and_its_end);
    tcase_add_test(tests, whatever_a_driver_does_wrong_ends_the_run_and_nothing_stays);
    tcase_add_test(tests, a_failed_release_does_not_hide_how_the_command_ended);
    tcase_add_test(tests, a_real_command_ends_as_it_does);
    tcase_add_test(tests, the_time_limit_ends_the_whole_tree);
    tcase_add_test(tests, a_signal_reaches_the_command_which_decides);
    tcase_add_test(tests, the_third_signal_ends_what_ignores_them);
    tcase_add_test(tests, the_heartbeat_goes_on_while_the_command_runs);
    tcase_add_test(tests, a_lost_lease_ends_the_command_and_is_what_failed);
    tcase_add_test(tests, a_held_lease_serves_commands_until_it_is_ended);
    tcase_add_test(tests, a_probe_goes_the_way_of_a_run_and_leaves_nothing);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
