/* SPDX-License-Identifier: Apache-2.0 */
/* One pass of the janitor: whom it takes, whom it leaves, and that two never take one. */
#include "store_fixture.h"

#include "lease/lease.h"
#include "lease/owner.h"
#include "lease/reaper.h"

#define DEAD "1 %s 00000000-dead %s 1 1"

static struct billet_store *store;
static const struct billet_store_module *module;
static char alive[BILLET_OWNER_SIZE], dead[BILLET_OWNER_SIZE], unknown[BILLET_OWNER_SIZE];

static void
setup(void)
{
    char machine[64], boot[64], spaces[64];
    fixture_setup();
    store = fixture_open();
    module = billet_store_of(store);
    assert_ok(billet_owner_self(alive, &fixture_error));
    ck_assert_int_eq(sscanf(alive, "1 %63s %63s %63s", machine, boot, spaces), 3);
    snprintf(dead, sizeof(dead), DEAD, machine, spaces);
    snprintf(unknown, sizeof(unknown), DEAD, "elsewhere", spaces);
}

static void
teardown(void)
{
    billet_store_close(store);
    fixture_teardown();
}

/* A lease in a state, with its owner, that expires when ttl says (may be in the past). */
static void
make(char id[BILLET_UUID_SIZE], enum billet_lease_state state, const char *owner, int64_t ttl_ns,
     const char *outcome)
{
    struct billet_lease lease = fixture_lease(id);
    lease.owner = (char *)owner;
    lease.outcome = (char *)outcome;
    lease.ref = (char *)"ref";
    assert_ok(module->lease_insert(store, &lease, ttl_ns, NULL, 0, &fixture_error));
    if (state == BILLET_LEASE_ACQUIRING)
        return;
    if (state != BILLET_LEASE_RELEASING)
        assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_ACTIVE, NULL));
    if (state == BILLET_LEASE_RETAINED)
        assert_ok(fixture_change(store, id, BILLET_LEASE_ACTIVE, 1, BILLET_LEASE_RETAINED, NULL));
    if (state == BILLET_LEASE_RELEASING)
        assert_ok(
            fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING, NULL));
}

struct pass {
    int destroyed;
    int fails; /* so many destroys fail first */
    enum billet_reap_decision decision;
    char reason[200];
    int told;
    int log; /* fd that gets one byte per destroy */
};

static int
destroy(const struct billet_lease *lease, void *context, struct billet_error *error)
{
    struct pass *pass = context;
    struct billet_lease now;
    /* No transaction is open: another connection may write, and sees the takeover. */
    ck_assert_int_eq(module->lease_get(store, NULL, lease->id, &now, error), 0);
    ck_assert_int_eq(now.state, BILLET_LEASE_RELEASING);
    ck_assert_int_eq(now.fence, lease->fence);
    ck_assert_str_eq(now.owner, alive);
    billet_lease_free(&now);
    pass->destroyed++;
    if (pass->log > 0)
        ck_assert_int_eq(write(pass->log, "x", 1), 1);
    if (pass->fails-- > 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "x", "the host is away");
    return 0;
}

static void
report(const struct billet_lease *lease, enum billet_reap_decision decision, const char *reason,
       void *context)
{
    struct pass *pass = context;
    (void)lease;
    pass->decision = decision;
    pass->told++;
    snprintf(pass->reason, sizeof(pass->reason), "%s", reason);
}

static struct billet_reap_result
reap(struct pass *pass, bool dry_run, int64_t later_ns)
{
    struct billet_reap_result result;
    int64_t now;
    assert_ok(module->now(store, &now, &fixture_error));
    struct billet_reap_options options = {
        .dry_run = dry_run, .actor = "janitor:test", .now_ns = now + later_ns};
    assert_ok(billet_reap(store, &options, destroy, report, pass, &result, &fixture_error));
    return result;
}

static void
check_state(const char *id, enum billet_lease_state state)
{
    struct billet_lease lease;
    assert_ok(module->lease_get(store, NULL, id, &lease, &fixture_error));
    ck_assert_str_eq(billet_lease_state_name(lease.state), billet_lease_state_name(state));
    billet_lease_free(&lease);
}

START_TEST(the_table_of_decisions_holds)
{
    const int64_t past = -SECOND, future = 60 * SECOND;
    const struct {
        enum billet_lease_state state;
        const char *owner;
        int64_t ttl_ns;
        const char *outcome;
        enum billet_lease_state after;
    } cases[] = {
        {BILLET_LEASE_ACQUIRING, alive, future, "", BILLET_LEASE_ACQUIRING},
        {BILLET_LEASE_ACQUIRING, alive, past, "", BILLET_LEASE_ACQUIRING},
        {BILLET_LEASE_ACQUIRING, dead, future, "", BILLET_LEASE_FAILED},
        {BILLET_LEASE_ACTIVE, alive, past, "", BILLET_LEASE_ACTIVE},
        {BILLET_LEASE_ACTIVE, dead, future, "{}", BILLET_LEASE_FAILED},
        {BILLET_LEASE_ACTIVE, unknown, future, "", BILLET_LEASE_ACTIVE},
        {BILLET_LEASE_ACTIVE, unknown, past, "", BILLET_LEASE_FAILED},
        {BILLET_LEASE_RETAINED, "", future, "", BILLET_LEASE_RETAINED},
        {BILLET_LEASE_RETAINED, "", past, "", BILLET_LEASE_RELEASED},
        {BILLET_LEASE_RELEASING, alive, past, "{}", BILLET_LEASE_RELEASING},
        {BILLET_LEASE_RELEASING, dead, future, "{}", BILLET_LEASE_RELEASED},
        {BILLET_LEASE_RELEASING, dead, future, "", BILLET_LEASE_FAILED},
        {BILLET_LEASE_RELEASING, "", future, "{}", BILLET_LEASE_RELEASED},
        {BILLET_LEASE_RELEASING, unknown, future, "{}", BILLET_LEASE_RELEASING},
        {BILLET_LEASE_RELEASING, unknown, past, "{}", BILLET_LEASE_RELEASED},
    };
    char ids[COUNT(cases)][BILLET_UUID_SIZE];
    struct pass dry = {0}, wet = {0}, again = {0};
    int ended = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        make(ids[i], cases[i].state, cases[i].owner, cases[i].ttl_ns, cases[i].outcome);
        ended += billet_lease_state_is_final(cases[i].after);
    }
    struct billet_reap_result result = reap(&dry, true, 0);
    ck_assert_int_eq(result.reaped, ended);
    ck_assert_int_eq(dry.destroyed, 0);
    ck_assert_int_eq(dry.told, COUNT(cases));
    for (size_t i = 0; i < COUNT(cases); i++)
        check_state(ids[i], cases[i].state);
    result = reap(&wet, false, 0);
    ck_assert_int_eq(result.reaped, ended);
    ck_assert_int_eq(result.looked_at, COUNT(cases));
    ck_assert_int_eq(wet.destroyed, ended);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct billet_lease lease;
        assert_ok(module->lease_get(store, NULL, ids[i], &lease, &fixture_error));
        ck_assert_msg(lease.state == cases[i].after, "case %zu is %s", i,
                      billet_lease_state_name(lease.state));
        ck_assert_int_eq(lease.fence, billet_lease_state_is_final(lease.state) ? 2 : 1);
        billet_lease_free(&lease);
    }
    ck_assert_int_eq(reap(&again, false, 0).reaped, 0);
    fixture_check_clean(store);
}
END_TEST

START_TEST(a_failed_cleanup_waits_and_is_tried_again_and_stays_a_failure)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease lease;
    struct pass pass = {.fails = 2};
    make(id, BILLET_LEASE_ACTIVE, dead, 60 * SECOND, "{}");
    ck_assert_int_eq(reap(&pass, false, 0).failed, 1);
    ck_assert_str_eq(pass.reason, "the host is away");
    ck_assert_int_eq(reap(&pass, false, 0).retry_later, 1);
    ck_assert_int_eq(pass.destroyed, 1);
    ck_assert_int_eq(reap(&pass, false, 2 * SECOND).failed, 1);
    assert_ok(module->lease_get(store, NULL, id, &lease, &fixture_error));
    ck_assert_int_eq(lease.cleanup_attempts, 2);
    ck_assert_str_eq(lease.reason, "abandoned: the host is away");
    ck_assert_str_eq(lease.owner, "");
    billet_lease_free(&lease);
    ck_assert_int_eq(reap(&pass, false, 10 * SECOND).reaped, 1);
    check_state(id, BILLET_LEASE_FAILED);
    fixture_check_clean(store);
}
END_TEST

START_TEST(a_normal_end_stays_one_through_failed_cleanups)
{
    char held[BILLET_UUID_SIZE], ended[BILLET_UUID_SIZE];
    struct pass pass = {.fails = 2};
    make(held, BILLET_LEASE_RETAINED, "", -SECOND, "");
    make(ended, BILLET_LEASE_RELEASING, dead, SECOND, "{}");
    ck_assert_int_eq(reap(&pass, false, 0).failed, 2);
    ck_assert_int_eq(reap(&pass, false, 10 * SECOND).reaped, 2);
    check_state(held, BILLET_LEASE_RELEASED);
    check_state(ended, BILLET_LEASE_RELEASED);
    fixture_check_clean(store);
}
END_TEST

START_TEST(a_pass_keeps_to_its_tenant_and_its_limit)
{
    char ids[3][BILLET_UUID_SIZE];
    struct billet_reap_result result;
    struct pass pass = {0};
    for (int i = 0; i < 3; i++)
        make(ids[i], BILLET_LEASE_ACTIVE, dead, SECOND, "");
    struct billet_reap_options options = {.actor = "janitor:test", .tenant = "other"};
    assert_ok(billet_reap(store, &options, destroy, report, &pass, &result, &fixture_error));
    ck_assert_int_eq(result.looked_at, 0);
    options.tenant = "default";
    options.limit = 2;
    assert_ok(billet_reap(store, &options, destroy, report, &pass, &result, &fixture_error));
    ck_assert_int_eq(result.reaped, 2);
    ck_assert_int_eq(result.kept, 1);
}
END_TEST

START_TEST(reapers_at_once_destroy_each_lease_once)
{
    enum { LEASES = 40, REAPERS = 4 };
    int log[2];
    char byte[LEASES * REAPERS];
    ck_assert_int_eq(pipe(log), 0);
    for (int i = 0; i < LEASES; i++) {
        char id[BILLET_UUID_SIZE];
        make(id, BILLET_LEASE_ACTIVE, dead, SECOND, "");
    }
    billet_store_close(store);
    pid_t children[REAPERS];
    for (int i = 0; i < REAPERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct pass pass = {.log = log[1]};
            store = fixture_open();
            assert_ok(billet_owner_self(alive, &fixture_error));
            reap(&pass, false, 0);
            billet_store_close(store);
            _exit(0);
        }
    }
    for (int i = 0; i < REAPERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(read(log[0], byte, sizeof(byte)), LEASES);
    store = fixture_open();
    struct billet_store_info info;
    assert_ok(module->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_live, 0);
    fixture_check_clean(store);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("lease reaper");
    TCase *tests = tcase_create("reaper");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_table_of_decisions_holds);
    tcase_add_test(tests, a_failed_cleanup_waits_and_is_tried_again_and_stays_a_failure);
    tcase_add_test(tests, a_normal_end_stays_one_through_failed_cleanups);
    tcase_add_test(tests, a_pass_keeps_to_its_tenant_and_its_limit);
    tcase_add_test(tests, reapers_at_once_destroy_each_lease_once);
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
