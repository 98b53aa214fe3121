/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a lease as its owner drives it. */
#include "store_fixture.h"

#include "lease/lease.h"
#include "lease/owner.h"

static struct billet_store *store;
static const struct billet_store_module *module;

static void
setup(void)
{
    fixture_setup();
    store = fixture_open();
    module = billet_store_of(store);
}

static void
teardown(void)
{
    billet_store_close(store);
    fixture_teardown();
}

static struct billet_lease_session
begin(void)
{
    struct billet_lease_session session;
    struct billet_lease wanted = {.tenant = (char *)"default",
                                  .environment = (char *)"local",
                                  .driver = (char *)"local",
                                  .run = (char *)"r1"};
    assert_ok(billet_lease_begin(&session, store, &wanted, "user:test", 0, &fixture_error));
    return session;
}

static int
add_action(const struct billet_activity *row, void *context)
{
    char *text = context;
    snprintf(text + strlen(text), 1000 - strlen(text), "%s:%d ", row->action, (int)row->fence);
    return 0;
}

static void
check_actions(const char *lease, const char *wanted)
{
    char actions[1000] = "";
    struct billet_activity_filter filter = {.lease = lease};
    assert_ok(module->activity_list(store, &filter, add_action, actions, &fixture_error));
    ck_assert_str_eq(actions, wanted);
}

START_TEST(a_plain_run_is_four_steps_with_every_activity)
{
    struct billet_lease_session s = begin();
    struct billet_lease_facts facts = {.ref = "ref", .facts = "{}", .directory = "/d"};
    struct billet_lease_facts outcome = {.outcome = "{\"exit\":0}"};
    ck_assert_int_eq(s.lease.state, BILLET_LEASE_ACQUIRING);
    assert_ok(billet_lease_add(&s, "workspace.realized", NULL, &fixture_error));
    assert_ok(billet_lease_add(&s, "exec.started", "{\"a\":1}", &fixture_error));
    assert_ok(billet_lease_activate(&s, &facts, &fixture_error));
    ck_assert_int_eq(s.lease.state, BILLET_LEASE_ACTIVE);
    ck_assert_str_eq(s.lease.ref, "ref");
    assert_ok(billet_lease_add(&s, "exec.ended", NULL, &fixture_error));
    assert_ok(billet_lease_start_release(&s, &outcome, NULL, &fixture_error));
    ck_assert_int_eq(s.lease.fence, 1);
    /* As when the last row had no room, and the end is tried once more. */
    assert_ok(billet_lease_start_release(&s, NULL, "no room", &fixture_error));
    assert_ok(billet_lease_finish(&s, false, NULL, &fixture_error));
    ck_assert_int_eq(s.lease.state, BILLET_LEASE_RELEASED);
    check_actions(s.lease.id, "lease.requested:1 lease.acquired:1 workspace.realized:1 "
                              "exec.started:1 exec.ended:1 lease.releasing:1 lease.released:1 ");
    assert_fails(billet_lease_heartbeat(&s, &fixture_error), "lease_lost");
    billet_lease_session_free(&s);
    fixture_check_clean(store);
}
END_TEST

START_TEST(a_held_lease_is_resumed_with_a_higher_fence_and_generation)
{
    struct billet_lease_session s = begin(), other;
    struct billet_lease_facts facts = {.ref = "ref"};
    assert_ok(billet_lease_activate(&s, &facts, &fixture_error));
    assert_ok(billet_lease_retain(&s, 3600 * SECOND, NULL, &fixture_error));
    ck_assert_str_eq(s.lease.owner, "");
    ck_assert_int_ge(s.lease.expires_ns, s.lease.updated_ns + 3600 * SECOND);
    assert_ok(
        billet_lease_attach(&other, store, "default", s.lease.id, "user:test", &fixture_error));
    assert_ok(billet_lease_note_any(&other, "exec.started", NULL, &fixture_error));
    assert_ok(billet_lease_resume(&other, &fixture_error));
    ck_assert_int_eq(other.lease.fence, 2);
    ck_assert_int_eq(other.lease.generation, 2);
    ck_assert_int_eq(billet_owner_judge(other.lease.owner), BILLET_OWNER_ALIVE);
    /* The first owner is out. */
    assert_fails(billet_lease_note(&s, "exec.started", NULL, &fixture_error), "lease_lost");
    assert_fails(billet_lease_resume(&s, &fixture_error), "lease_lost");
    assert_fails(billet_lease_heartbeat(&s, &fixture_error), "lease_lost");
    assert_ok(billet_lease_heartbeat(&other, &fixture_error));
    check_actions(s.lease.id, "lease.requested:1 lease.acquired:1 lease.retained:1 "
                              "exec.started:1 lease.resumed:2 ");
    billet_lease_session_free(&s);
    billet_lease_session_free(&other);
    fixture_check_clean(store);
}
END_TEST

START_TEST(a_failed_step_keeps_the_rows_for_the_next)
{
    struct billet_lease_session s = begin();
    struct billet_lease_facts none = {0}, facts = {.ref = "ref"};
    assert_ok(billet_lease_add(&s, "exec.started", NULL, &fixture_error));
    /* Active without a reference is refused by the store. */
    assert_fails(billet_lease_activate(&s, &none, &fixture_error), "store_constraint");
    ck_assert_int_eq(s.lease.state, BILLET_LEASE_ACQUIRING);
    assert_ok(billet_lease_activate(&s, &facts, &fixture_error));
    check_actions(s.lease.id, "lease.requested:1 lease.acquired:1 exec.started:1 ");
    billet_lease_session_free(&s);
}
END_TEST

START_TEST(an_action_out_of_the_table_is_refused)
{
    struct billet_lease_session s = begin();
    assert_fails(billet_lease_add(&s, "lease.nonsense", NULL, &fixture_error), "internal");
    billet_lease_session_free(&s);
}
END_TEST

START_TEST(a_failed_cleanup_is_counted_and_owned_by_nobody)
{
    struct billet_lease_session s = begin();
    assert_ok(billet_lease_start_release(&s, NULL, "no luck", &fixture_error));
    assert_ok(billet_lease_cleanup_failed(&s, "host is away", &fixture_error));
    ck_assert_int_eq(s.lease.state, BILLET_LEASE_RELEASING);
    ck_assert_int_eq(s.lease.cleanup_attempts, 1);
    ck_assert_str_eq(s.lease.owner, "");
    ck_assert_str_eq(s.lease.reason, "host is away");
    ck_assert_int_gt(s.lease.next_cleanup_ns, s.lease.updated_ns);
    billet_lease_session_free(&s);
}
END_TEST

START_TEST(the_owner_fences_itself_after_two_thirds_of_the_ttl)
{
    struct billet_lease_session s = begin();
    ck_assert(!billet_lease_must_fence(&s));
    ck_assert_int_eq(billet_lease_fence_deadline(&s) - s.confirmed_ns, BILLET_LEASE_FENCE_NS);
    s.confirmed_ns = billet_clock_boottime() - BILLET_LEASE_FENCE_NS + SECOND;
    ck_assert(!billet_lease_must_fence(&s));
    s.confirmed_ns -= SECOND;
    ck_assert(billet_lease_must_fence(&s));
    assert_ok(billet_lease_heartbeat(&s, &fixture_error));
    ck_assert(!billet_lease_must_fence(&s));
    billet_lease_session_free(&s);
}
END_TEST

START_TEST(the_backoff_doubles_from_a_second_to_five_minutes)
{
    for (int64_t attempts = 0; attempts < 70; attempts++) {
        int64_t full = attempts < 9 ? SECOND << attempts : 300 * SECOND;
        if (full > 300 * SECOND)
            full = 300 * SECOND;
        int64_t delay = billet_lease_backoff(attempts);
        ck_assert_int_le(delay, full);
        ck_assert_int_ge(delay, full / 4 * 3 - 1);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("lease session");
    TCase *tests = tcase_create("session");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_plain_run_is_four_steps_with_every_activity);
    tcase_add_test(tests, a_held_lease_is_resumed_with_a_higher_fence_and_generation);
    tcase_add_test(tests, a_failed_step_keeps_the_rows_for_the_next);
    tcase_add_test(tests, an_action_out_of_the_table_is_refused);
    tcase_add_test(tests, a_failed_cleanup_is_counted_and_owned_by_nobody);
    tcase_add_test(tests, the_owner_fences_itself_after_two_thirds_of_the_ttl);
    tcase_add_test(tests, the_backoff_doubles_from_a_second_to_five_minutes);
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
