/* SPDX-License-Identifier: Apache-2.0 */
/* The client against the built host and the fake driver: every operation, and every way to break.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/strings.h"
#include "driver/client.h"
#include "driver/operation.h"
#include "stride.h"

#define LEASE "01989d6e-0000-7000-8000-000000000001"
#define SECOND BILLET_NS_PER_SECOND

static char base[128];
static char host_program[4096];
static char driver_path[4096];
static struct billet_driver_paths paths;

static const struct billet_identity identity = {
    .struct_size = sizeof(identity),
    .deployment = "test-deployment",
    .tenant = "default",
    .environment = "pretend",
    .lease = LEASE,
    .run = "run-1",
    .agent = "agent \xc3\xa9",
    .issue = "",
    .fence = 3,
    .generation = 2,
};

static void
set_up(void)
{
    const char *build = getenv("top_builddir");
    snprintf(host_program, sizeof(host_program), "%s/billet-driver-host", build ? build : ".");
    snprintf(driver_path, sizeof(driver_path), "%s/.libs/driver_fake.so", build ? build : ".");
    snprintf(base, sizeof(base), "/tmp/billet-client-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    chmod(driver_path, 0755); /* a permissive umask of the builder is not what is tested here */
    paths = (struct billet_driver_paths){.host_program = host_program,
                                         .runtime_directory = base,
                                         .state_directory = base,
                                         .libexec_directory = "/nowhere"};
}

static void
tear_down(void)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
    /* Whatever the test did to its hosts: no child is left, dead or alive. */
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

/* Settings from "name=value" strings. */
static void
settings_of(struct billet_settings *settings, const char *const *lines)
{
    *settings = (struct billet_settings)BILLET_SETTINGS_INIT;
    for (int line = 1; *lines != NULL; lines++, line++) {
        char *copy = strdup(*lines);
        char *value = strchr(copy, '=');
        *value++ = '\0';
        ck_assert(billet_settings_add(settings, copy, value, "/etc/test.conf", line, 10, 1));
        free(copy);
    }
}

static struct billet_driver_client *
start(void)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    int result = billet_driver_start("fake", driver_path, &paths,
                                     billet_clock_monotonic() + 20 * SECOND, &client, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    return client;
}

static int
acquire(struct billet_driver_client *client, const struct billet_driver_call *call,
        struct billet_error *error)
{
    struct billet_driver_lease lease = {0};
    int result = billet_driver_acquire(client, call, 0, 0, &lease, error);
    json_decref(lease.facts);
    return result;
}

static int
devnull(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Run to the end; output (may be NULL) gets what came out of stdout. */
static int
run_exec(struct billet_driver_client *client, const struct billet_driver_call *call,
         const char *const *argv, const char *const *environment, int64_t timeout_ns,
         struct billet_exec_result *result, struct billet_buffer *output,
         struct billet_error *error)
{
    static const char *const none[] = {NULL};
    int null = devnull();
    int out = memfd_create("out", MFD_CLOEXEC);
    struct billet_driver_exec exec = {.argv = argv,
                                      .environment = environment != NULL ? environment : none,
                                      .directory = "",
                                      .fds = {null, out, null},
                                      .timeout_ns = timeout_ns};
    struct billet_driver_exec_state state = {0};
    int outcome = billet_driver_exec_begin(client, call, &exec, error);
    for (int i = 0; i < 600 && outcome == 0 && !state.ended; i++) {
        struct pollfd wait = {.fd = billet_driver_poll_fd(client), .events = POLLIN};
        poll(&wait, 1, 100);
        outcome = billet_driver_exec_step(client, &state, error);
    }
    if (outcome == 0) {
        ck_assert(state.ended);
        ck_assert(state.started);
        *result = state.result;
    }
    if (output != NULL) {
        ck_assert_int_eq(lseek(out, 0, SEEK_SET), 0);
        ck_assert_int_eq(billet_io_read_all(out, output, 64 << 20, NULL), 0);
    }
    close(out);
    close(null);
    return outcome;
}

static void
count_check(int outcome, const char *name, const char *message, const char *hint, void *context)
{
    int *counts = context;
    (void)name;
    (void)hint;
    counts[outcome]++;
    if (strcmp(name, "token") == 0)
        ck_assert_ptr_null(strstr(message, "hunter2"));
    if (strcmp(name, "token") == 0 && outcome == BILLET_CHECK_PASS)
        ck_assert_str_eq(message, "a token of 7 bytes");
}

struct seen {
    int count;
    char ref[BILLET_REF_MAX];
    uint64_t fence;
    uint64_t generation;
    int key_state;
    char fingerprint[64];
};

static void
see_key(const struct billet_host_key *key, void *context)
{
    struct seen *seen = context;
    seen->count++;
    seen->key_state = key->state;
    snprintf(seen->fingerprint, sizeof(seen->fingerprint), "%s", key->fingerprint);
    ck_assert_str_eq(key->host, "fake:22");
}

static void
see(const struct billet_resource *resource, void *context)
{
    struct seen *seen = context;
    seen->count++;
    snprintf(seen->ref, sizeof(seen->ref), "%s", resource->ref);
    seen->fence = resource->fence;
    seen->generation = resource->generation;
    ck_assert_str_eq(resource->deployment, "test-deployment");
    ck_assert_str_eq(resource->lease, LEASE);
    ck_assert(resource->age_ns >= 0 && resource->age_ns < 60 * SECOND);
}

START_TEST(every_operation_works)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = start();
    const struct billet_driver_info *info = billet_driver_info(client);
    struct billet_settings settings;
    struct billet_driver_lease lease = {0};
    struct billet_exec_result result = {0};
    cleanup_buffer struct billet_buffer output = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    json_t *facts = NULL;
    int counts[4] = {0};
    struct seen seen = {0};
    const char *const lines[] = {"exit_code=7", "token=@secret:test", NULL};
    const char *const argv[] = {"make", "all of it", NULL};
    const struct billet_driver_secret secret = {"token", "hunter2"};
    settings_of(&settings, lines);
    struct billet_driver_call call = {
        .identity = &identity, .settings = &settings, .secrets = &secret, .secret_count = 1};

    ck_assert_str_eq(info->name, "fake");
    ck_assert_str_eq(info->version, "1.0");
    ck_assert_uint_eq(info->abi_major, BILLET_ABI_MAJOR);
    ck_assert_int_eq(info->thread_model, BILLET_THREADS_SIGNAL);
    ck_assert_ptr_nonnull(billet_option_find(info->options.items, info->options.count, "token"));
    ck_assert((info->callbacks & (1u << BILLET_OPERATION_list)) != 0);
    ck_assert((info->callbacks & (1u << BILLET_OPERATION_put)) == 0);

    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), 0);
    ck_assert_int_eq(billet_driver_probe(client, &call, count_check, counts, &error), 0);
    ck_assert_int_eq(counts[BILLET_CHECK_PASS], 2);
    ck_assert_int_eq(counts[BILLET_CHECK_FAIL], 0);
    ck_assert_int_eq(billet_driver_dump(client, &(struct billet_driver_call){0}, &facts, &error),
                     0);
    ck_assert_str_eq(billet_json_string(facts, "runs", ""), "nothing");
    json_decref(facts);

    ck_assert_int_eq(billet_driver_acquire(client, &call, 60 * SECOND, 0, &lease, &error), 0);
    ck_assert_str_eq(lease.ref, "fake-" LEASE);
    ck_assert(lease.expires_ns > billet_clock_wall());
    ck_assert_str_eq(billet_json_string(lease.facts, "resource", ""), "fake-" LEASE);

    ck_assert_int_eq(billet_driver_list(client, &call, see, &seen, &error), 0);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_str_eq(seen.ref, lease.ref);
    ck_assert_uint_eq(seen.fence, 3);
    ck_assert_uint_eq(seen.generation, 2);

    int root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    facts = NULL;
    ck_assert_int_eq(
        billet_driver_realize(client, &call,
                              &(struct billet_driver_realize){
                                  .mode = BILLET_WORKSPACE_IN_PLACE, .root_fd = root, .path = base},
                              &directory, &facts, &error),
        0);
    close(root);
    ck_assert_str_eq(billet_buffer_text(&directory), base);
    ck_assert_str_eq(billet_json_string(facts, "workspace", ""), base);
    json_decref(facts);

    ck_assert_int_eq(run_exec(client, &call, argv, NULL, 0, &result, &output, &error), 0);
    ck_assert_int_eq(result.outcome, BILLET_OUTCOME_EXITED);
    ck_assert_int_eq(result.value, 7);
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "%s: make 'all of it'\n", base);
    ck_assert_str_eq(billet_buffer_text(&output), wanted);

    ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_STOP, &error), 0);
    json_t *kept = lease.facts;
    ck_assert_int_eq(
        billet_driver_resume(client, &call, "fake-" LEASE, kept, false, &lease, &error), 0);
    json_decref(kept);
    json_decref(lease.facts);
    ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_KEEP, &error), 0);
    call.flags = BILLET_CALL_DRY_RUN;
    ck_assert_int_eq(billet_driver_destroy(client, &call, lease.ref, NULL, &error), 0);
    memset(&seen, 0, sizeof(seen));
    call.flags = 0;
    ck_assert_int_eq(billet_driver_list(client, &call, see, &seen, &error), 0);
    ck_assert_int_eq(seen.count, 1);
    /* by label alone, and again: idempotent */
    ck_assert_int_eq(billet_driver_destroy(client, &call, "", NULL, &error), 0);
    ck_assert_int_eq(billet_driver_destroy(client, &call, lease.ref, NULL, &error), 0);
    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(billet_driver_list(client, &call, see, &seen, &error), 0);
    ck_assert_int_eq(seen.count, 0);
    ck_assert_int_eq(
        billet_driver_resume(client, &call, "fake-" LEASE, NULL, false, &lease, &error),
        -BILLET_CLASS_LOST);
    ck_assert(billet_driver_alive(client));
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

/* Make the call that reaches an operation; the lease is there where it is needed. */
static int
reach(struct billet_driver_client *client, const struct billet_driver_call *call,
      const struct billet_driver_call *bad, int operation, struct billet_error *error)
{
    static const char *const argv[] = {"true", NULL};
    const struct billet_driver_realize nowhere = {
        .mode = BILLET_WORKSPACE_NONE, .root_fd = -1, .path = ""};
    struct billet_driver_lease lease = {0};
    struct billet_exec_result result;
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    json_t *facts = NULL;
    int counts[4] = {0};
    struct seen seen = {0};
    int outcome;
    if (operation == BILLET_OPERATION_release || operation == BILLET_OPERATION_realize ||
        operation == BILLET_OPERATION_exec) {
        outcome = acquire(client, call, error);
        ck_assert_msg(outcome == 0, "%s", error->message);
    }
    switch (operation) {
    case BILLET_OPERATION_check_config:
        return billet_driver_check_config(client, bad, error);
    case BILLET_OPERATION_probe:
        return billet_driver_probe(client, bad, count_check, counts, error);
    case BILLET_OPERATION_acquire:
        return acquire(client, bad, error);
    case BILLET_OPERATION_resume:
        ck_assert_int_eq(acquire(client, call, error), 0);
        ck_assert_int_eq(billet_driver_release(client, call, BILLET_DISPOSE_KEEP, error), 0);
        outcome = billet_driver_resume(client, bad, "fake-" LEASE, NULL, false, &lease, error);
        json_decref(lease.facts);
        return outcome;
    case BILLET_OPERATION_release:
        return billet_driver_release(client, bad, BILLET_DISPOSE_DESTROY, error);
    case BILLET_OPERATION_destroy:
        return billet_driver_destroy(client, bad, "", NULL, error);
    case BILLET_OPERATION_list:
        return billet_driver_list(client, bad, see, &seen, error);
    case BILLET_OPERATION_realize:
        outcome = billet_driver_realize(client, bad, &nowhere, &directory, &facts, error);
        json_decref(facts);
        return outcome;
    case BILLET_OPERATION_exec:
        return run_exec(client, bad, argv, NULL, SECOND, &result, NULL, error);
    case BILLET_OPERATION_trust:
        return billet_driver_trust(client, bad, false, NULL, see_key, &seen, error);
    default:
        return billet_driver_dump(client, bad, &facts, error);
    }
}

static const int broken_operations[] = {
    BILLET_OPERATION_check_config, BILLET_OPERATION_probe,   BILLET_OPERATION_acquire,
    BILLET_OPERATION_resume,       BILLET_OPERATION_release, BILLET_OPERATION_destroy,
    BILLET_OPERATION_list,         BILLET_OPERATION_realize, BILLET_OPERATION_exec,
    BILLET_OPERATION_dump,         BILLET_OPERATION_trust,
};
#define OPERATIONS (int)(sizeof(broken_operations) / sizeof(broken_operations[0]))

static const struct {
    const char *action;
    int error_class;
    const char *code;
    const char *says;
    bool alive;
} ways[] = {
    {"segv", BILLET_CLASS_DRIVER, "driver_crashed", "killed by signal 11 (segmentation fault)", 0},
    {"abort", BILLET_CLASS_DRIVER, "driver_crashed", "killed by signal 6", false},
    {"exit:3", BILLET_CLASS_DRIVER, "driver_crashed", "exited with status 3", false},
    {"exit:0", BILLET_CLASS_DRIVER, "driver_crashed", "exited with status 0", false},
    {"lose", BILLET_CLASS_DRIVER, "driver_crashed", "exited with status 98", false},
    {"short", BILLET_CLASS_DRIVER, "driver_bad_answer", "too short", false},
    {"oversized", BILLET_CLASS_DRIVER, "driver_bad_answer", "oversized", false},
    {"garbage", BILLET_CLASS_DRIVER, "driver_bad_answer", "not a frame", false},
    {"other", BILLET_CLASS_DRIVER, "driver_bad_answer", "another call", false},
    {"positive", BILLET_CLASS_DRIVER, "driver_bad_answer", "returned 7", false},
    {"ok_error", BILLET_CLASS_DRIVER, "driver_bad_answer", "with an error filled in", false},
    {"no_message", BILLET_CLASS_DRIVER, "driver_no_reason", "without a reason", true},
    {"fail:capacity", BILLET_CLASS_CAPACITY, "fake_failure", "as the script says", true},
    {"hang", BILLET_CLASS_TIMEOUT, "driver_deadline", "was killed", false},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

START_TEST(misbehaviour_ends_one_call_and_names_the_driver)
{
    int operation = broken_operations[_i / WAYS];
    int way = _i % WAYS;
    const char *name = billet_operations[operation].name;
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings good;
    struct billet_settings bad;
    char script[128];
    snprintf(script, sizeof(script), "script=%s:%s", name, ways[way].action);
    const char *const lines[] = {script, NULL};
    const char *const none[] = {NULL};
    settings_of(&good, none);
    settings_of(&bad, lines);
    struct billet_driver_call call = {.identity = &identity, .settings = &good};
    struct billet_driver_call bad_call = {.identity = &identity, .settings = &bad};
    if (strcmp(ways[way].action, "hang") == 0) {
        bad_call.deadline_ns =
            operation == BILLET_OPERATION_exec ? 0 : billet_clock_monotonic() + SECOND / 2;
    }
    struct billet_driver_client *client = start();
    int result;
    if (operation == BILLET_OPERATION_exec && strcmp(ways[way].action, "hang") == 0) {
        /* exec has no deadline: the caller cancels, and the host is killed when that does nothing
         */
        static const char *const argv[] = {"true", NULL};
        static const char *const environment[] = {NULL};
        int null = devnull();
        struct billet_driver_exec exec = {
            .argv = argv, .environment = environment, .directory = "", .fds = {null, null, null}};
        struct billet_driver_exec_state state = {0};
        ck_assert_int_eq(acquire(client, &call, &error), 0);
        result = billet_driver_exec_begin(client, &bad_call, &exec, &error);
        ck_assert_int_eq(result, 0);
        ck_assert_int_eq(billet_driver_exec_cancel(client, &error), 0);
        int64_t from = billet_clock_monotonic();
        while (result == 0 && !state.ended && billet_clock_monotonic() - from < 20 * SECOND) {
            struct pollfd wait = {.fd = billet_driver_poll_fd(client), .events = POLLIN};
            poll(&wait, 1, 200);
            result = billet_driver_exec_step(client, &state, &error);
        }
        ck_assert(billet_clock_monotonic() - from >= 4 * SECOND);
        close(null);
    } else {
        result = reach(client, &call, &bad_call, operation, &error);
    }
    ck_assert_msg(result == -ways[way].error_class, "%s %s: %d %s", name, ways[way].action, result,
                  error.message);
    ck_assert_str_eq(error.code, ways[way].code);
    ck_assert_msg(strstr(error.message, ways[way].says) != NULL, "%s", error.message);
    if (ways[way].error_class != BILLET_CLASS_CAPACITY)
        ck_assert_msg(strstr(error.message, "driver fake") != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, name) != NULL, "%s", error.message);
    ck_assert_int_eq(billet_driver_alive(client), ways[way].alive);
    if (!ways[way].alive) {
        ck_assert_int_eq(billet_driver_check_config(client, &call, &error), -BILLET_CLASS_DRIVER);
        ck_assert_str_eq(error.code, "driver_gone");
        ck_assert_msg(strstr(error.message, ways[way].says) != NULL, "%s", error.message);
    }
    billet_driver_stop(client);
    /* A new one goes on where that one died. */
    client = start();
    ck_assert_int_eq(billet_driver_destroy(client, &call, "", NULL, &error), 0);
    billet_driver_stop(client);
    billet_settings_free(&good);
    billet_settings_free(&bad);
}
END_TEST

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

START_TEST(bad_results_are_found)
{
    static const struct {
        int operation;
        const char *script;
        const char *says;
    } cases[] = {{BILLET_OPERATION_acquire, "script=acquire:bad_ref", "the ref"},
                 {BILLET_OPERATION_resume, "script=resume:bad_ref", "the ref"},
                 {BILLET_OPERATION_exec, "script=exec:bad_outcome", "value 4096"}};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings good;
    struct billet_settings bad;
    const char *const none[] = {NULL};
    const char *const lines[] = {cases[_i].script, NULL};
    settings_of(&good, none);
    settings_of(&bad, lines);
    struct billet_driver_call call = {.identity = &identity, .settings = &good};
    struct billet_driver_call bad_call = {.identity = &identity, .settings = &bad};
    struct billet_driver_client *client = start();
    ck_assert_int_eq(reach(client, &call, &bad_call, cases[_i].operation, &error),
                     -BILLET_CLASS_DRIVER);
    ck_assert_str_eq(error.code, "driver_bad_answer");
    ck_assert_msg(strstr(error.message, cases[_i].says) != NULL, "%s", error.message);
    ck_assert(!billet_driver_alive(client));
    billet_driver_stop(client);
    billet_settings_free(&good);
    billet_settings_free(&bad);
}
END_TEST

START_TEST(a_wrong_setting_is_shown_at_its_place)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    const char *const lines[] = {"print=line", "exit_code=900", NULL};
    const char *const unknown[] = {"exit_cod=1", NULL};
    const char *const script[] = {"script=acquire:explode", NULL};
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    struct billet_driver_client *client = start();
    settings_of(&settings, lines);
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), -BILLET_CLASS_CONFIG);
    ck_assert_msg(strstr(error.message, "/etc/test.conf:2:10: ") == error.message, "%s",
                  error.message);
    billet_settings_free(&settings);
    settings_of(&settings, unknown);
    ck_assert_int_eq(acquire(client, &call, &error), -BILLET_CLASS_CONFIG);
    ck_assert_msg(strstr(error.message, "exit_code") != NULL, "%s", error.message);
    billet_settings_free(&settings);
    settings_of(&settings, script);
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), -BILLET_CLASS_CONFIG);
    ck_assert_msg(strstr(error.message, "no such action") != NULL, "%s", error.message);
    billet_settings_free(&settings);
    ck_assert(billet_driver_alive(client));
    billet_driver_stop(client);
}
END_TEST

/* The host keeps identity and settings: a call that repeats them says so, one that changes them
 * must be understood, also when nothing but their content changed, or the call before failed. */
START_TEST(what_changes_between_calls_arrives)
{
    static const char *const argv[] = {"true", NULL};
    static const struct {
        const char *line;
        int wanted; /* value; -1: refused */
        uint64_t fence;
    } calls[] = {{"exit_code=3", 3, 3},    {"exit_code=3", 3, 3},    {"exit_code=4", 4, 3},
                 {"exit_code=900", -1, 3}, {"exit_code=900", -1, 3}, {"exit_code=4", 4, 7},
                 {"stdout=x", 0, 7},       {"exit_code=3", 3, 8}};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_identity mine = identity;
    struct billet_settings settings;
    struct billet_driver_call call = {.identity = &mine, .settings = &settings};
    struct billet_driver_client *client = start();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        const char *const lines[] = {calls[i].line, NULL};
        struct billet_exec_result result = {0};
        struct seen seen = {0};
        settings_of(&settings, lines);
        mine.fence = calls[i].fence;
        int acquired = acquire(client, &call, &error);
        ck_assert_int_eq(acquired, calls[i].wanted < 0 ? -BILLET_CLASS_CONFIG : 0);
        if (acquired < 0) {
            ck_assert_msg(strstr(error.message, "exit_code") != NULL, "%s", error.message);
        } else {
            ck_assert_int_eq(billet_driver_list(client, &call, see, &seen, &error), 0);
            ck_assert_uint_eq(seen.fence, calls[i].fence);
            ck_assert_int_eq(run_exec(client, &call, argv, NULL, 0, &result, NULL, &error), 0);
            ck_assert_int_eq(result.value, calls[i].wanted);
            ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &error),
                             0);
        }
        billet_settings_free(&settings);
    }
    billet_driver_stop(client);
}
END_TEST

START_TEST(a_secret_that_nobody_resolved_is_not_passed_on)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    const char *const lines[] = {"token=@secret:test", NULL};
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    struct billet_driver_client *client = start();
    settings_of(&settings, lines);
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), 0);
    ck_assert_int_eq(acquire(client, &call, &error), -BILLET_CLASS_CONFIG);
    ck_assert_str_eq(error.code, "secret_unresolved");
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

START_TEST(calls_sent_ahead_are_answered_in_their_turn)
{
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_driver_call call = {.settings = &settings, .identity = &identity};
    struct billet_driver_client *client = NULL;
    struct billet_driver_lease lease = {0};
    struct billet_error error = BILLET_ERROR_INIT;
    /* Before the host has said anything. */
    ck_assert_int_eq(billet_driver_begin("fake", driver_path, &paths, &client, &error), 0);
    ck_assert_int_eq(billet_driver_check_config_begin(client, &call, &error), 0);
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), 0);
    /* The answer is taken once: the next call is one of its own. */
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), 0);
    ck_assert_int_eq(billet_driver_acquire_begin(client, &call, 0, 0, &error), 0);
    ck_assert_int_eq(billet_driver_acquire(client, &call, 0, 0, &lease, &error), 0);
    ck_assert_str_ne(lease.ref, "");
    json_decref(lease.facts);
    ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &error), 0);
    billet_driver_stop(client);
}
END_TEST

START_TEST(a_refusal_of_a_call_sent_ahead_arrives)
{
    const char *const lines[] = {"no_such_option=1", NULL};
    struct billet_settings settings;
    settings_of(&settings, lines);
    struct billet_driver_call call = {.settings = &settings, .identity = &identity};
    struct billet_driver_client *client = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_driver_begin("fake", driver_path, &paths, &client, &error), 0);
    ck_assert_int_eq(billet_driver_check_config_begin(client, &call, &error), 0);
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), -BILLET_CLASS_CONFIG);
    ck_assert(billet_driver_alive(client));
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

START_TEST(a_dismissed_host_ends_and_takes_no_more_calls)
{
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_driver_call call = {.settings = &settings, .identity = &identity};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = start();
    int64_t begin = billet_clock_monotonic();
    billet_driver_dismiss(client);
    ck_assert(!billet_driver_alive(client));
    ck_assert_int_eq(billet_driver_check_config(client, &call, &error), -BILLET_CLASS_DRIVER);
    ck_assert_str_eq(error.code, "driver_gone");
    billet_driver_dismiss(client);
    billet_driver_stop(client); /* reaps it: tear_down looks */
    ck_assert_int_lt(billet_clock_monotonic() - begin, 2 * SECOND);
}
END_TEST

START_TEST(calls_out_of_order_are_refused)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    const char *const none[] = {NULL};
    settings_of(&settings, none);
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    struct billet_driver_client *client = start();
    ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &error),
                     -BILLET_CLASS_INTERNAL);
    ck_assert_str_eq(error.code, "driver_wrong_order");
    ck_assert_int_eq(acquire(client, &call, &error), 0);
    ck_assert_int_eq(acquire(client, &call, &error), -BILLET_CLASS_INTERNAL);
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    ck_assert_int_eq(
        billet_driver_realize(client, &call,
                              &(struct billet_driver_realize){
                                  .mode = BILLET_WORKSPACE_OVERLAY, .root_fd = -1, .path = "/"},
                              &directory, NULL, &error),
        -BILLET_CLASS_CONFIG);
    ck_assert_str_eq(error.code, "unsupported_environment");
    ck_assert_int_eq(billet_driver_exec_signal(client, SIGTERM, 0, 0, &error),
                     -BILLET_CLASS_INTERNAL);
    ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &error), 0);
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

/* How a command that would take a minute ends: 0 time limit, 1 cancel, 2 signal, 3 the core is
 * gone. */
START_TEST(a_long_command_ends_early)
{
    static const int outcomes[] = {BILLET_OUTCOME_TIMED_OUT, BILLET_OUTCOME_CANCELLED,
                                   BILLET_OUTCOME_SIGNALLED, 0};
    static const char *const argv[] = {"sleep", NULL};
    static const char *const environment[] = {NULL};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    const char *const lines[] = {"script=exec:delay:60s", "print=nothing", NULL};
    settings_of(&settings, lines);
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    struct billet_driver_client *client = start();
    int null = devnull();
    struct billet_driver_exec exec = {.argv = argv,
                                      .environment = environment,
                                      .directory = "",
                                      .fds = {null, null, null},
                                      .timeout_ns = _i == 0 ? SECOND / 5 : 0,
                                      .kill_after_ns = SECOND};
    struct billet_driver_exec_state state = {0};
    ck_assert_int_eq(acquire(client, &call, &error), 0);
    int64_t from = billet_clock_monotonic();
    int result = billet_driver_exec_begin(client, &call, &exec, &error);
    bool told = false;
    while (result == 0 && !state.ended && billet_clock_monotonic() - from < 20 * SECOND) {
        struct pollfd wait = {.fd = billet_driver_poll_fd(client), .events = POLLIN};
        poll(&wait, 1, 100);
        result = billet_driver_exec_step(client, &state, &error);
        if (!state.started || told)
            continue;
        told = true;
        if (_i == 1)
            ck_assert_int_eq(billet_driver_exec_cancel(client, &error), 0);
        if (_i == 2) {
            ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_KEEP, &error),
                             -BILLET_CLASS_INTERNAL);
            ck_assert_str_eq(error.code, "driver_busy");
            ck_assert_int_eq(billet_driver_exec_signal(client, SIGWINCH, 50, 100, &error), 0);
            ck_assert_int_eq(billet_driver_exec_signal(client, SIGUSR1, 0, 0, &error), 0);
        }
        if (_i == 3)
            break;
    }
    close(null);
    ck_assert_msg(result == 0, "%s", error.message);
    if (_i == 3) {
        billet_driver_stop(client);
        ck_assert_int_lt(billet_clock_monotonic() - from, 2 * SECOND);
    } else {
        ck_assert(state.ended);
        ck_assert_int_eq(state.result.outcome, outcomes[_i]);
        if (_i == 2)
            ck_assert_int_eq(state.result.value, SIGUSR1);
        ck_assert_int_lt(billet_clock_monotonic() - from, 10 * SECOND);
        ck_assert_int_eq(billet_driver_release(client, &call, BILLET_DISPOSE_DESTROY, &error), 0);
        billet_driver_stop(client);
    }
    billet_settings_free(&settings);
}
END_TEST

static void
add_hex(struct billet_buffer *to, const char *kind, const char *const *list)
{
    for (; *list != NULL; list++) {
        billet_buffer_format(to, "%s ", kind);
        for (const char *at = *list; *at != '\0'; at++)
            billet_buffer_format(to, "%02x", (unsigned char)*at);
        billet_buffer_add_char(to, '\n');
    }
}

START_TEST(arguments_arrive_byte_for_byte)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    const char *const lines[] = {"print=hex", NULL};
    cleanup_strings struct billet_strings argv = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    cleanup_buffer struct billet_buffer wanted = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer got = BILLET_BUFFER_INIT;
    struct billet_exec_result result;
    unsigned seed = 12345 + (unsigned)_i;
    settings_of(&settings, lines);
    struct billet_driver_call call = {.identity = &identity, .settings = &settings};
    /* the last round is 1.5 MiB in one argument: beyond what a packet holds */
    int count = _i == 3 ? 1 : 200;
    for (int i = 0; i < count; i++) {
        size_t length = _i == 3 ? 1536 * 1024 : (size_t)(rand_r(&seed) % 300);
        char *text = malloc(length + 3);
        text[0] = 'N';
        text[1] = '=';
        for (size_t at = 2; at < length + 2; at++)
            text[at] = (char)(1 + rand_r(&seed) % (_i == 0 ? 126 : 255));
        text[length + 2] = '\0';
        ck_assert(billet_strings_add(&environment, text));
        ck_assert(billet_strings_add(&argv, text + 2));
        free(text);
    }
    add_hex(&wanted, "argument", billet_strings_list(&argv));
    add_hex(&wanted, "environment", billet_strings_list(&environment));
    /* And billet's own, of which there is one for each part of the identity that is not empty. */
    char agent[64];
    snprintf(agent, sizeof(agent), "BILLET_AGENT_ID=%s", identity.agent);
    add_hex(&wanted, "environment",
            (const char *const[]){"BILLET_LEASE_ID=" LEASE, "BILLET_ENVIRONMENT=pretend",
                                  "BILLET_TENANT=default", "BILLET_RUN_ID=run-1", agent, NULL});
    struct billet_driver_client *client = start();
    ck_assert_int_eq(acquire(client, &call, &error), 0);
    int outcome = run_exec(client, &call, billet_strings_list(&argv),
                           billet_strings_list(&environment), 0, &result, &got, &error);
    ck_assert_msg(outcome == 0, "%s", error.message);
    ck_assert_uint_eq(got.length, wanted.length);
    ck_assert_int_eq(memcmp(got.data, wanted.data, wanted.length), 0);
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

START_TEST(host_keys_are_looked_at_kept_and_forgotten)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_settings settings;
    struct seen seen = {0};
    const char *const lines[] = {NULL};
    settings_of(&settings, lines);
    struct billet_driver_call call = {.settings = &settings};
    struct billet_driver_client *client = start();
    char fingerprint[sizeof(seen.fingerprint)];
    const char *const accept[] = {"SHA256:another", fingerprint, NULL};
    const struct {
        bool forget;
        const char *const *accept;
        int count;
        int state;
    } steps[] = {{false, NULL, 1, BILLET_KEY_NEW},    {false, accept, 1, BILLET_KEY_ADDED},
                 {false, NULL, 1, BILLET_KEY_KNOWN},  {false, accept, 1, BILLET_KEY_KNOWN},
                 {true, NULL, 1, BILLET_KEY_REMOVED}, {true, NULL, 0, 0},
                 {false, NULL, 1, BILLET_KEY_NEW}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        seen = (struct seen){0};
        int result = billet_driver_trust(client, &call, steps[i].forget, steps[i].accept, see_key,
                                         &seen, &error);
        ck_assert_msg(result == 0, "%zu: %s", i, error.message);
        ck_assert_int_eq(seen.count, steps[i].count);
        ck_assert_int_eq(seen.key_state, steps[i].state);
        if (i == 0)
            snprintf(fingerprint, sizeof(fingerprint), "%s", seen.fingerprint);
    }
    billet_driver_stop(client);
    billet_settings_free(&settings);
}
END_TEST

START_TEST(nothing_is_left_open)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    int before = count_open();
    for (int i = 0; i < 5; i++)
        billet_driver_stop(start());
    ck_assert_int_eq(
        billet_driver_start("fake", "/nowhere/driver_fake.so", &paths, 0, &client, &error),
        -BILLET_CLASS_UNAVAILABLE);
    ck_assert_ptr_null(client);
    struct billet_driver_paths none = paths;
    none.host_program = "/nowhere/host";
    ck_assert_int_lt(billet_driver_start("fake", driver_path, &none, 0, &client, &error), 0);
    ck_assert_str_eq(error.code, "spawn_failed");
    client = start();
    ck_assert_int_eq(kill(billet_driver_pid(client), SIGKILL), 0);
    ck_assert_int_eq(billet_driver_dump(client, &(struct billet_driver_call){0}, NULL, &error),
                     -BILLET_CLASS_DRIVER);
    ck_assert_ptr_nonnull(strstr(error.message, "killed by signal 9"));
    billet_driver_stop(client);
    billet_driver_stop(NULL);
    ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(an_idle_host_is_small)
{
    char path[64];
    char line[256];
    long private_kib = 0;
    if (unit_is_sanitized())
        return; /* a shadow memory is not ours to measure */
    /* readable again although it holds secrets */
    ck_assert_int_eq(setenv("BILLET_DRIVER_CORE", "1", 1), 0);
    struct billet_driver_client *client = start();
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", billet_driver_pid(client));
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        long kib;
        if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kib) == 1)
            private_kib += kib;
    }
    fclose(file);
    printf("# an idle driver host has %ld KiB of private memory\n", private_kib);
    fflush(stdout);
    ck_assert_int_gt(private_kib, 0);
    ck_assert_int_le(private_kib, 4096);
    billet_driver_stop(client);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("driver_client");
    TCase *whole = tcase_create("operations");
    tcase_add_checked_fixture(whole, set_up, tear_down);
    tcase_set_timeout(whole, 60);
    tcase_add_test(whole, every_operation_works);
    tcase_add_loop_test(whole, bad_results_are_found, 0, 3);
    tcase_add_test(whole, a_wrong_setting_is_shown_at_its_place);
    tcase_add_test(whole, what_changes_between_calls_arrives);
    tcase_add_test(whole, a_secret_that_nobody_resolved_is_not_passed_on);
    tcase_add_test(whole, calls_out_of_order_are_refused);
    tcase_add_test(whole, calls_sent_ahead_are_answered_in_their_turn);
    tcase_add_test(whole, a_refusal_of_a_call_sent_ahead_arrives);
    tcase_add_test(whole, a_dismissed_host_ends_and_takes_no_more_calls);
    tcase_add_loop_test(whole, a_long_command_ends_early, 0, 4);
    tcase_add_loop_test(whole, arguments_arrive_byte_for_byte, 0, 4);
    tcase_add_test(whole, host_keys_are_looked_at_kept_and_forgotten);
    tcase_add_test(whole, nothing_is_left_open);
    tcase_add_test(whole, an_idle_host_is_small);
    suite_add_tcase(suite, whole);
    TCase *broken = tcase_create("misbehaviour");
    tcase_add_checked_fixture(broken, set_up, tear_down);
    tcase_set_timeout(broken, 60);
    tcase_add_loop_test(broken, misbehaviour_ends_one_call_and_names_the_driver, 0,
                        OPERATIONS * WAYS);
    suite_add_tcase(suite, broken);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
