/* SPDX-License-Identifier: Apache-2.0 */
/* Life and end of leases of the local driver. */
#include "local_fixture.h"

/* 50 daemons that nobody waits for: own sessions, double forks, deaf to SIGTERM, some stopped, some
 * without their label where a control group or the subreaper still has them; where neither is left
 * (no control groups, a host that crashed), those end by themselves after a few seconds. */
static const char daemons[] =
    "trap '' TERM HUP; i=0; while [ $i -lt 40 ]; do i=$((i+1)); "
    "(setsid sh -c 'sleep 4711 & sleep 4711' >/dev/null 2>&1 &); done; "
    "for i in 1 2 3 4 5; do (setsid sh -c 'kill -STOP $$; sleep 4711' >/dev/null 2>&1 &); done; "
    "for i in 1 2 3 4 5; do (setsid env -i sleep ${TZ:-5} >/dev/null 2>&1 &); done; sleep 0.3";

static int
groups_of(const char *lease)
{
    char path[256];
    snprintf(path, sizeof(path), "/sys/fs/cgroup/unified/billet/local-%s", lease);
    int found = access(path, F_OK) == 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup/billet/local-%s", lease);
    found += access(path, F_OK) == 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup/pids/billet/local-%s", lease);
    found += access(path, F_OK) == 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup/memory/billet/local-%s", lease);
    return found + (access(path, F_OK) == 0);
}

START_TEST(release_ends_every_daemon_and_no_other_lease)
{
    setup(_i);
    struct billet_lease_handle *lease = acquire(&call_a, NULL), *other = acquire(&call_b, NULL);
    struct outcome out;
    run_shell(&call_b, other, "setsid sleep 60 >/dev/null 2>&1 & sleep 0.1", &out);
    assert_ok(driver->release(&call_b, other, BILLET_DISPOSE_KEEP, &error));
    char bare[32];
    snprintf(bare, sizeof(bare), "4%d.25", (int)getpid());
    setenv("TZ", bare, 1); /* one of the names that pass */
    run_shell(&call_a, lease, daemons, &out);
    ck_assert_int_ge(count_lease(lease_a), 85);
    ck_assert_int_ge(count_processes("cmdline", bare), 5);
    int64_t begin = now_ns();
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_DESTROY, &error));
    ck_assert_int_lt((int)((now_ns() - begin) / 1000000), 5000);
    ck_assert_int_eq(count_lease(lease_a), 0);
    ck_assert_int_eq(count_processes("cmdline", bare), 0);
    ck_assert_int_eq(groups_of(lease_a), 0);
    await_processes(lease_b, 1);
    struct billet_destroy args = {.struct_size = sizeof(args), .ref = ""};
    assert_ok(driver->destroy(&call_b, &args, &error));
    ck_assert_int_eq(count_lease(lease_b), 0);
    /* the ones without a label were children of this subreaper at the last */
    errno = 0;
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    teardown();
}
END_TEST

START_TEST(destroy_by_reference_from_another_process_ends_all)
{
    setup(_i);
    char reference[BILLET_REF_MAX];
    int channel[2];
    ck_assert_int_eq(pipe2(channel, O_CLOEXEC), 0);
    pid_t host = fork();
    if (host == 0) {
        struct outcome out;
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        struct billet_lease_handle *lease = acquire(&call_a, reference);
        run_shell(&call_a, lease, daemons, &out);
        ck_assert_int_eq(write(channel[1], reference, sizeof(reference)), sizeof(reference));
        kill(getpid(), SIGKILL); /* a driver host that crashed */
    }
    ck_assert_int_eq(read(channel[0], reference, sizeof(reference)), sizeof(reference));
    ck_assert_int_eq(waitpid(host, NULL, 0), host);
    ck_assert_int_ge(count_lease(lease_a), 85);
    listed_count = 0;
    struct billet_call list = {.struct_size = sizeof(list), .cancel_fd = -1};
    assert_ok(driver->list(&list, &error));
    int found = 0;
    for (int i = 0; i < listed_count; i++)
        if (strcmp(listed[i], lease_a) == 0) {
            found++;
            ck_assert_str_eq(listed_deployment[i], "deploy-1");
        }
    ck_assert_int_eq(found, 1);

    struct billet_destroy args = {.struct_size = sizeof(args), .ref = reference};
    struct billet_call dry = call_a;
    dry.flags = BILLET_CALL_DRY_RUN;
    assert_ok(driver->destroy(&dry, &args, &error));
    ck_assert_int_ge(count_lease(lease_a), 85);
    ck_assert_int_eq(driver->destroy(&call_b, &args, &error), -BILLET_CLASS_CONFIG);
    ck_assert_int_ge(count_lease(lease_a), 85);
    assert_ok(driver->destroy(&call_a, &args, &error));
    ck_assert_int_eq(count_lease(lease_a), 0);
    ck_assert_int_eq(groups_of(lease_a), 0);
    assert_ok(driver->destroy(&call_a, &args, &error));
    listed_count = 0;
    assert_ok(driver->list(&list, &error));
    for (int i = 0; i < listed_count; i++)
        ck_assert_str_ne(listed[i], lease_a);
    teardown();
}
END_TEST

START_TEST(a_kept_lease_is_resumed_with_its_workspace)
{
    setup(_i);
    char reference[BILLET_REF_MAX];
    struct outcome out;
    struct billet_lease_handle *lease = acquire(&call_a, reference);
    struct billet_realize realize = {.struct_size = sizeof(realize),
                                     .mode = BILLET_WORKSPACE_IN_PLACE,
                                     .root_fd = -1,
                                     .path = work_directory};
    struct billet_realized realized = {.struct_size = sizeof(realized)};
    realize.root_fd = open("/", O_PATH | O_CLOEXEC);
    ck_assert_int_eq(driver->realize(&call_a, lease, &realize, &realized, &error),
                     -BILLET_CLASS_LOST);
    close(realize.root_fd);
    realize.root_fd = open(work_directory, O_PATH | O_CLOEXEC);
    assert_ok(driver->realize(&call_a, lease, &realize, &realized, &error));
    ck_assert_str_eq(realized.directory, work_directory);
    run_shell(&call_a, lease, "setsid sleep 60 >/dev/null 2>&1 & pwd", &out);
    ck_assert_int_eq(strncmp(out.output, work_directory, strlen(work_directory)), 0);
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_KEEP, &error));
    await_processes(lease_a, 1);

    struct billet_fact facts[] = {{"directory", fact_directory}};
    struct billet_resume args = {
        .struct_size = sizeof(args), .ref = reference, .facts = facts, .fact_count = 1};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    assert_ok(driver->resume(&call_a, &args, &result, &error));
    ck_assert_str_eq(result.ref, reference);
    run_shell(&call_a, result.handle, "pwd", &out);
    ck_assert_int_eq(strncmp(out.output, work_directory, strlen(work_directory)), 0);
    assert_ok(driver->release(&call_a, result.handle, BILLET_DISPOSE_STOP, &error));
    ck_assert_int_eq(count_lease(lease_a), 0);
    assert_ok(driver->resume(&call_a, &args, &result, &error));
    assert_ok(driver->release(&call_a, result.handle, BILLET_DISPOSE_DESTROY, &error));
    ck_assert_int_eq(driver->resume(&call_a, &args, &result, &error), -BILLET_CLASS_LOST);
    args.ref = "local:another-boot:x";
    ck_assert_int_eq(driver->resume(&call_a, &args, &result, &error), -BILLET_CLASS_CONFIG);
    teardown();
}
END_TEST

START_TEST(a_resource_with_a_later_owner_is_refused)
{
    setup(_i);
    char reference[BILLET_REF_MAX];
    struct billet_lease_handle *lease = acquire(&call_a, reference); /* run-1, fence 3 */
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_KEEP, &error));
    struct billet_identity identity = *call_a.identity;
    struct billet_call call = call_a;
    struct billet_resume args = {.struct_size = sizeof(args), .ref = reference};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    call.identity = &identity;

    identity.run = "run-2"; /* who was brought back with the store */
    ck_assert_int_eq(driver->resume(&call, &args, &result, &error), -BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.code, "lease_fenced");
    identity.fence = 2;
    args.flags = BILLET_RESUME_SHARED;
    ck_assert_int_eq(driver->resume(&call, &args, &result, &error), -BILLET_CLASS_AUTH);
    identity.fence = 3; /* beside the owner */
    assert_ok(driver->resume(&call, &args, &result, &error));
    assert_ok(driver->release(&call, result.handle, BILLET_DISPOSE_KEEP, &error));
    identity.fence = 4; /* after it */
    args.flags = 0;
    assert_ok(driver->resume(&call, &args, &result, &error));
    assert_ok(driver->release(&call, result.handle, BILLET_DISPOSE_KEEP, &error));
    ck_assert_int_eq(driver->resume(&call_a, &args, &result, &error), -BILLET_CLASS_AUTH);
    assert_ok(driver->resume(&call, &args, &result, &error)); /* asked again */
    assert_ok(driver->release(&call, result.handle, BILLET_DISPOSE_DESTROY, &error));
    teardown();
}
END_TEST

START_TEST(limits_hold_or_the_lease_is_refused)
{
    setup(_i);
    struct billet_value values[] = {
        {.name = "pids_max", .type = BILLET_OPTION_INTEGER, .is_set = 1, .number = 50},
        {.name = "memory_max", .type = BILLET_OPTION_SIZE, .is_set = 1, .number = 64 << 20}};
    struct billet_config config = {.struct_size = sizeof(config), .values = values, .count = 2};
    struct billet_call call = call_a;
    struct billet_acquire args = {.struct_size = sizeof(args)};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    call.config = &config;
    checks = 0;
    assert_ok(driver->probe(&call, &error));
    ck_assert_int_ge(checks, 6);
    int status = driver->acquire(&call, &args, &result, &error);
    if (status != 0) {
        ck_assert_int_eq(status, -BILLET_CLASS_UNAVAILABLE);
        ck_assert_str_eq(error.code, "limit_unavailable");
        ck_assert(error.hint[0] != '\0');
        ck_assert_int_eq(groups_of(lease_a), 0);
        teardown();
        return;
    }
    struct outcome out;
    run_shell(
        &call, result.handle,
        "i=0; while [ $i -lt 500 ]; do i=$((i+1)); sleep 60 >/dev/null 2>&1 & done 2>/dev/null",
        &out);
    int alive = count_lease(lease_a);
    ck_assert_msg(alive >= 20 && alive <= 50, "%d processes", alive);
    assert_ok(driver->release(&call, result.handle, BILLET_DISPOSE_STOP, &error));
    ck_assert_int_eq(count_lease(lease_a), 0);
    assert_ok(driver->acquire(&call, &args, &result, &error));
    const char *argv[] = {"dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1", NULL};
    struct billet_exec command = exec_arguments(argv);
    command.stderr_fd = -1;
    run_with(&call, result.handle, &command, &out);
    ck_assert_int_eq(out.result.outcome, BILLET_OUTCOME_SIGNALLED);
    ck_assert_int_eq(out.result.value, SIGKILL);
    assert_ok(driver->release(&call, result.handle, BILLET_DISPOSE_DESTROY, &error));
    ck_assert_int_eq(groups_of(lease_a), 0);
    teardown();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("local_lease");
    TCase *tests = tcase_create("lease");
    tcase_set_timeout(tests, 60);
    int first = geteuid() == 0 ? 0 : 1;
    tcase_add_loop_test(tests, release_ends_every_daemon_and_no_other_lease, first, 2);
    tcase_add_loop_test(tests, destroy_by_reference_from_another_process_ends_all, first, 2);
    tcase_add_loop_test(tests, a_kept_lease_is_resumed_with_its_workspace, first, 2);
    tcase_add_loop_test(tests, a_resource_with_a_later_owner_is_refused, first, 2);
    tcase_add_loop_test(tests, limits_hold_or_the_lease_is_refused, first, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
