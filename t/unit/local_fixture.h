/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_fixture.h - a fake host for the local driver and short ways to call its table. Each test
 * runs in a process of its own (check forks). Started by root, tests are looped: as root, then as
 * an ordinary user, who has no control groups here.
 */
#ifndef T_UNIT_LOCAL_FIXTURE_H
#define T_UNIT_LOCAL_FIXTURE_H

#include <billet/driver.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern billet_driver_init_function billet_driver_init;

static char runtime_directory[64], work_directory[64], lease_a[64], lease_b[64];
static const struct billet_driver *driver;
static char listed[64][64], listed_deployment[64][64], fact_directory[4096];
static int listed_count, checks;
static struct billet_error error = BILLET_ERROR_INIT;

static void
fake_log(const struct billet_host *host, int32_t level, const char *message)
{
    (void)host, (void)level, (void)message;
}

static const char *
fake_directory_of(const struct billet_host *host, int32_t which)
{
    (void)host;
    return which == BILLET_DIRECTORY_RUNTIME ? runtime_directory : NULL;
}

static void
fake_check(const struct billet_call *call, int32_t outcome, const char *name, const char *message,
           const char *hint)
{
    (void)call, (void)name;
    ck_assert(message[0] != '\0' && (outcome == BILLET_CHECK_PASS || hint[0] != '\0'));
    checks++;
}

static void
fake_resource(const struct billet_call *call, const struct billet_resource *resource)
{
    (void)call;
    if (listed_count < 64) {
        snprintf(listed_deployment[listed_count], 64, "%.63s", resource->deployment);
        snprintf(listed[listed_count++], 64, "%.63s", resource->lease);
    }
}

static void
fake_fact(const struct billet_call *call, const char *key, const char *value)
{
    (void)call;
    if (strcmp(key, "directory") == 0)
        snprintf(fact_directory, sizeof(fact_directory), "%s", value);
}

static void
fake_started(const struct billet_call *call, int64_t pid)
{
    (void)call;
    ck_assert_int_gt((int)pid, 1);
}

static const struct billet_host fake_host = {
    .struct_size = sizeof(fake_host),
    .abi_major = BILLET_ABI_MAJOR,
    .log = fake_log,
    .directory = fake_directory_of,
    .check = fake_check,
    .resource = fake_resource,
    .fact = fake_fact,
    .started = fake_started,
};

static struct billet_identity identity_a = {.struct_size = sizeof(identity_a),
                                            .deployment = "deploy-1",
                                            .tenant = "default",
                                            .environment = "local",
                                            .lease = lease_a,
                                            .run = "run-1",
                                            .agent = "agent-7",
                                            .issue = "",
                                            .fence = 3,
                                            .generation = 2};
static struct billet_identity identity_b = {.struct_size = sizeof(identity_b),
                                            .deployment = "deploy-1",
                                            .tenant = "default",
                                            .environment = "local",
                                            .lease = lease_b,
                                            .run = "",
                                            .agent = "",
                                            .issue = ""};
static struct billet_call call_a = {
    .struct_size = sizeof(call_a), .cancel_fd = -1, .identity = &identity_a};
static struct billet_call call_b = {
    .struct_size = sizeof(call_b), .cancel_fd = -1, .identity = &identity_b};

#define assert_ok(expression)                                                             \
    do {                                                                                  \
        int assert_result = (expression);                                                 \
        ck_assert_msg(assert_result == 0, "%s = %d: %s [%s]", #expression, assert_result, \
                      error.message, error.code);                                         \
    } while (0)

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec;
}

static void
setup(int ordinary)
{
    if (ordinary && geteuid() == 0) {
        ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    snprintf(runtime_directory, sizeof(runtime_directory), "/tmp/billet-local-XXXXXX");
    snprintf(work_directory, sizeof(work_directory), "/tmp/billet-work-XXXXXX");
    ck_assert(mkdtemp(runtime_directory) != NULL && mkdtemp(work_directory) != NULL);
    snprintf(lease_a, sizeof(lease_a), "0190c1d2-0000-7000-8000-%012x", (unsigned)getpid());
    snprintf(lease_b, sizeof(lease_b), "0190c1d2-0000-7000-9000-%012x", (unsigned)getpid());
    driver = billet_driver_init(&fake_host, &error);
    ck_assert_ptr_nonnull(driver);
}

static void
teardown(void)
{
    char command[256];
    snprintf(command, sizeof(command), "/bin/rm -rf %s %s", runtime_directory, work_directory);
    ck_assert_int_eq(system(command), 0);
}

static struct billet_lease_handle *
acquire(const struct billet_call *call, char *reference)
{
    struct billet_acquire args = {.struct_size = sizeof(args)};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    assert_ok(driver->acquire(call, &args, &result, &error));
    ck_assert_int_eq(strncmp(result.ref, "local:", 6), 0);
    if (reference != NULL)
        snprintf(reference, BILLET_REF_MAX, "%s", result.ref);
    return result.handle;
}

static inline void
end_lease(struct billet_lease_handle *lease)
{
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_DESTROY, &error));
    teardown();
}

struct outcome {
    struct billet_exec_result result;
    char output[65536];
};

static struct billet_exec
exec_arguments(const char *const *argv)
{
    static const char *const none[] = {NULL};
    return (struct billet_exec){.struct_size = sizeof(struct billet_exec),
                                .argv = argv,
                                .environment = none,
                                .directory = "",
                                .stdin_fd = -1,
                                .stdout_fd = -1,
                                .stderr_fd = 2};
}

/* Run with the output collected. */
static void
run_with(const struct billet_call *call, struct billet_lease_handle *handle,
         struct billet_exec *args, struct outcome *outcome)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    outcome->result = (struct billet_exec_result){.struct_size = sizeof(outcome->result)};
    args->stdout_fd = fd;
    assert_ok(driver->exec(call, handle, args, &outcome->result, &error));
    ssize_t got = pread(fd, outcome->output, sizeof(outcome->output) - 1, 0);
    ck_assert_int_ge(got, 0);
    outcome->output[got] = '\0';
    close(fd);
}

static void
run_shell(const struct billet_call *call, struct billet_lease_handle *handle, const char *script,
          struct outcome *outcome)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct billet_exec args = exec_arguments(argv);
    run_with(call, handle, &args, outcome);
}

/* Living processes that carry text in that file of theirs; zombies have neither. */
static int
count_processes(const char *file, const char *text)
{
    static char block[262144];
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/%s", entry->d_name, file);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd >= 0 ? read(fd, block, sizeof(block)) : -1;
        if (fd >= 0)
            close(fd);
        if (got > 0 && memmem(block, (size_t)got, text, strlen(text)) != NULL)
            count++;
    }
    closedir(proc);
    return count;
}

static int
count_lease(const char *lease)
{
    char text[128];
    snprintf(text, sizeof(text), "BILLET_LEASE_ID=%s", lease);
    return count_processes("environ", text);
}

/* Until that many can be counted, once: one that is just executing has no environment to be counted
 * by, so a second look may find fewer. */
static void
await_processes(const char *lease, int count)
{
    int found = count_lease(lease);
    for (int i = 0; i < 2000 && found != count; i++) {
        usleep(10000);
        found = count_lease(lease);
    }
    ck_assert_int_eq(found, count);
}

#endif
