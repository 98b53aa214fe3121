/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and activities through the store's table, whatever engine is behind it. */
#include "store/record_fields.h"
#include "store_fixture.h"

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

START_TEST(a_new_lease_reads_back_whole)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease lease = fixture_lease(id), found;
    int64_t now;
    lease.run = (char *)"run 1";
    lease.agent = (char *)"agent";
    lease.issue = (char *)"issue";
    lease.workspace = (char *)"/w\xc3\xb6rk";
    lease.command = (char *)"true";
    assert_ok(module->lease_insert(store, &lease, 60 * SECOND, NULL, 0, &fixture_error));
    assert_ok(module->now(store, &now, &fixture_error));
    assert_ok(module->lease_get(store, "default", id, &found, &fixture_error));
    ck_assert_str_eq(found.id, id);
    ck_assert_str_eq(found.tenant, "default");
    ck_assert_str_eq(found.environment, "local");
    ck_assert_str_eq(found.environment_id, "");
    ck_assert_str_eq(found.run, "run 1");
    ck_assert_str_eq(found.agent, "agent");
    ck_assert_str_eq(found.issue, "issue");
    ck_assert_str_eq(found.workspace, "/w\xc3\xb6rk");
    ck_assert_str_eq(found.policy, "ephemeral");
    ck_assert_str_eq(found.owner, "somebody");
    ck_assert_str_eq(found.command, "true");
    ck_assert_str_eq(found.ref, "");
    ck_assert_int_eq(found.state, BILLET_LEASE_ACQUIRING);
    ck_assert_int_eq(found.fence, 1);
    ck_assert_int_eq(found.generation, 1);
    ck_assert_int_eq(found.expires_ns, found.created_ns + 60 * SECOND);
    ck_assert_int_eq(found.ended_ns, 0);
    ck_assert_int_le(llabs(billet_clock_wall() - now), SECOND);
    ck_assert_int_le(llabs(now - found.created_ns), 5 * SECOND);
    billet_lease_free(&found);
}
END_TEST

START_TEST(the_same_insert_again_is_a_success_and_changes_nothing)
{
    char id[BILLET_UUID_SIZE];
    struct billet_store_info info;
    struct billet_lease lease = fixture_lease(id);
    struct billet_activity activity = fixture_activity(id, "lease.requested", 1);
    lease.run = (char *)"r";
    for (int i = 0; i < 3; i++)
        assert_ok(module->lease_insert(store, &lease, 60 * SECOND, &activity, 1, &fixture_error));
    assert_ok(module->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_total, 1);
    ck_assert_int_eq(info.activities, 1);
    lease.run = (char *)"other";
    assert_fails(module->lease_insert(store, &lease, 60 * SECOND, &activity, 1, &fixture_error),
                 "lease_exists");
}
END_TEST

START_TEST(a_run_drives_one_lease_in_an_environment_at_a_time)
{
    char first[BILLET_UUID_SIZE], second[BILLET_UUID_SIZE];
    struct billet_lease a = fixture_lease(first), b = fixture_lease(second);
    a.run = b.run = (char *)"r";
    assert_ok(module->lease_insert(store, &a, SECOND, NULL, 0, &fixture_error));
    assert_fails(module->lease_insert(store, &b, SECOND, NULL, 0, &fixture_error), "lease_exists");
    assert_ok(fixture_change(store, first, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING,
                             "lease.releasing"));
    assert_ok(module->lease_insert(store, &b, SECOND, NULL, 0, &fixture_error));
}
END_TEST

START_TEST(a_change_needs_the_state_and_the_fence_it_expects)
{
    char id[BILLET_UUID_SIZE];
    struct billet_store_info info;
    assert_ok(fixture_insert(store, id));
    assert_fails(
        fixture_change(store, id, BILLET_LEASE_ACQUIRING, 2, BILLET_LEASE_ACTIVE, "lease.acquired"),
        "lease_lost");
    assert_fails(fixture_change(store, id, BILLET_LEASE_ACTIVE, 1, BILLET_LEASE_RELEASING,
                                "lease.releasing"),
                 "lease_lost");
    ck_assert_int_eq(fixture_error.error_class, BILLET_CLASS_LOST);
    /* And the activity row of a change that did not happen is not there either. */
    module->expect_change(store); /* which changes nothing */
    assert_ok(module->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.activities, 1);
    assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_ACTIVE,
                             "lease.acquired"));
}
END_TEST

START_TEST(only_the_legal_transitions_are_taken)
{
    static const bool legal[7][7] = {
        [BILLET_LEASE_ACQUIRING] = {[BILLET_LEASE_ACTIVE] = true, [BILLET_LEASE_RELEASING] = true},
        [BILLET_LEASE_ACTIVE] = {[BILLET_LEASE_RETAINED] = true, [BILLET_LEASE_RELEASING] = true},
        [BILLET_LEASE_RETAINED] = {[BILLET_LEASE_ACTIVE] = true, [BILLET_LEASE_RELEASING] = true},
        [BILLET_LEASE_RELEASING] = {[BILLET_LEASE_RELEASED] = true, [BILLET_LEASE_FAILED] = true},
    };
    /* The way from acquiring to each state. */
    static const enum billet_lease_state way[7][4] = {
        [BILLET_LEASE_ACTIVE] = {BILLET_LEASE_ACTIVE},
        [BILLET_LEASE_RETAINED] = {BILLET_LEASE_ACTIVE, BILLET_LEASE_RETAINED},
        [BILLET_LEASE_RELEASING] = {BILLET_LEASE_RELEASING},
        [BILLET_LEASE_RELEASED] = {BILLET_LEASE_RELEASING, BILLET_LEASE_RELEASED},
        [BILLET_LEASE_FAILED] = {BILLET_LEASE_RELEASING, BILLET_LEASE_FAILED},
    };
    for (int from = 1; from <= 6; from++) {
        for (int to = 1; to <= 6; to++) {
            char id[BILLET_UUID_SIZE];
            enum billet_lease_state at = BILLET_LEASE_ACQUIRING;
            assert_ok(fixture_insert(store, id));
            for (int i = 0; way[from][i] != 0; i++) {
                assert_ok(fixture_change(store, id, at, 1, way[from][i], NULL));
                at = way[from][i];
            }
            bool same_live = from == to && !billet_lease_state_is_final(at);
            int result = fixture_change(store, id, at, 1, (enum billet_lease_state)to, NULL);
            ck_assert_msg((result == 0) == (legal[from][to] || same_live), "%s to %s: %d",
                          billet_lease_state_name(at),
                          billet_lease_state_name((enum billet_lease_state)to), result);
        }
    }
}
END_TEST

static void
assert_same_row(struct billet_lease *a, struct billet_lease *b)
{
    for (size_t i = 0; i < BILLET_LEASE_FIELD_COUNT; i++) {
        const struct billet_field *field = &billet_lease_fields[i];
        if (field->kind == BILLET_FIELD_TEXT)
            ck_assert_str_eq(*billet_field_text(a, field), *billet_field_text(b, field));
        else if (field->kind == BILLET_FIELD_INTEGER)
            ck_assert_int_eq(*billet_field_integer(a, field), *billet_field_integer(b, field));
    }
    ck_assert_int_eq(a->state, b->state);
}

START_TEST(a_change_gives_the_row_as_it_is_afterwards)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease after = {0}, read;
    assert_ok(fixture_insert(store, id));
    struct billet_lease_change change = {
        .id = id,
        .expected = BILLET_LEASE_ACQUIRING,
        .fence = 1,
        .state = BILLET_LEASE_ACTIVE,
        .bump_fence = true,
        .bump_generation = true,
        .ttl_ns = 100 * SECOND,
        .ref = "ref",
        .facts = "{\"a\":1}",
        .directory = "/d",
        .owner = "",
        .command = "c",
        .outcome = "{}",
        .reason = "why",
        .run = "another run",
        .issue = "another issue",
    };
    assert_ok(module->lease_get(store, NULL, id, &after, &fixture_error));
    assert_ok(module->lease_change(store, &change, NULL, 0, &after, &fixture_error));
    ck_assert_int_eq(after.fence, 2);
    ck_assert_int_eq(after.generation, 2);
    ck_assert_str_eq(after.ref, "ref");
    ck_assert_str_eq(after.facts, "{\"a\":1}");
    ck_assert_str_eq(after.directory, "/d");
    ck_assert_str_eq(after.owner, "");
    ck_assert_str_eq(after.command, "c");
    ck_assert_str_eq(after.outcome, "{}");
    ck_assert_str_eq(after.reason, "why");
    ck_assert_int_eq(after.expires_ns, after.updated_ns + 100 * SECOND);
    assert_ok(module->lease_get(store, NULL, id, &read, &fixture_error));
    ck_assert_str_eq(read.ref, "ref");
    ck_assert_int_eq(read.state, BILLET_LEASE_ACTIVE);
    assert_same_row(&after, &read);
    billet_lease_free(&read);
    billet_lease_free(&after);
    /* What is not given stays. */
    struct billet_lease_change clean = {
        .id = id, .expected = BILLET_LEASE_ACTIVE, .fence = 2, .state = BILLET_LEASE_RELEASING};
    assert_ok(module->lease_change(store, &clean, NULL, 0, NULL, &fixture_error));
    clean.expected = BILLET_LEASE_RELEASING;
    clean.count_cleanup = true;
    clean.cleanup_delay_ns = 7 * SECOND;
    assert_ok(module->lease_change(store, &clean, NULL, 0, NULL, &fixture_error));
    assert_ok(module->lease_get(store, NULL, id, &after, &fixture_error));
    assert_ok(module->lease_change(store, &clean, NULL, 0, &after, &fixture_error));
    ck_assert_int_eq(after.cleanup_attempts, 2);
    ck_assert_int_eq(after.next_cleanup_ns, after.updated_ns + 7 * SECOND);
    ck_assert_str_eq(after.reason, "why");
    ck_assert_str_eq(after.directory, "/d");
    assert_ok(module->lease_get(store, NULL, id, &read, &fixture_error));
    assert_same_row(&after, &read);
    billet_lease_free(&read);
    /* One that is refused changes nothing here either. */
    clean.fence = 1;
    clean.reason = "another";
    assert_fails(module->lease_change(store, &clean, NULL, 0, &after, &fixture_error),
                 "lease_lost");
    ck_assert_str_eq(after.reason, "why");
    ck_assert_int_eq(after.cleanup_attempts, 2);
    billet_lease_free(&after);
}
END_TEST

START_TEST(a_change_needs_the_owner_that_is_named)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease after = {0};
    assert_ok(fixture_insert(store, id));
    struct billet_lease_change change = {.id = id,
                                         .expected = BILLET_LEASE_ACQUIRING,
                                         .fence = 1,
                                         .owner_is = "somebody else",
                                         .state = BILLET_LEASE_ACTIVE,
                                         .ref = "ref",
                                         .owner = "me"};
    assert_fails(module->lease_change(store, &change, NULL, 0, NULL, &fixture_error), "lease_lost");
    assert_ok(module->lease_get(store, NULL, id, &after, &fixture_error));
    ck_assert_int_eq(after.state, BILLET_LEASE_ACQUIRING);
    change.owner_is = after.owner;
    assert_ok(module->lease_change(store, &change, NULL, 0, NULL, &fixture_error));
    billet_lease_free(&after);
}
END_TEST

START_TEST(an_end_is_recorded_once_and_for_good)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease lease;
    assert_ok(fixture_insert(store, id));
    assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING,
                             "lease.releasing"));
    assert_ok(fixture_change(store, id, BILLET_LEASE_RELEASING, 1, BILLET_LEASE_RELEASED,
                             "lease.released"));
    assert_ok(module->lease_get(store, NULL, id, &lease, &fixture_error));
    ck_assert_int_ne(lease.ended_ns, 0);
    billet_lease_free(&lease);
    assert_fails(fixture_change(store, id, BILLET_LEASE_RELEASED, 1, BILLET_LEASE_RELEASED, NULL),
                 "lease_final");
    struct billet_activity again = fixture_activity(id, "lease.released", 1);
    assert_fails(module->activity_add(store, &again, 1, &fixture_error), "store_constraint");
    assert_fails(module->lease_note(store, id, 1, &again, 1, &fixture_error), "lease_lost");
    fixture_check_clean(store);
}
END_TEST

START_TEST(renewing_needs_the_fence_and_never_shortens)
{
    char id[BILLET_UUID_SIZE];
    struct billet_lease lease;
    assert_ok(fixture_insert(store, id));
    assert_fails(module->lease_renew(store, id, 2, NULL, 90 * SECOND, &fixture_error),
                 "lease_lost");
    assert_ok(module->lease_renew(store, id, 1, NULL, 500 * SECOND, &fixture_error));
    assert_ok(module->lease_renew(store, id, 0, NULL, SECOND, &fixture_error));
    assert_ok(module->lease_get(store, NULL, id, &lease, &fixture_error));
    assert_ok(module->lease_renew(store, id, 1, lease.owner, SECOND, &fixture_error));
    assert_fails(module->lease_renew(store, id, 1, "somebody else", SECOND, &fixture_error),
                 "lease_lost");
    billet_lease_free(&lease);
    assert_ok(module->lease_get(store, NULL, id, &lease, &fixture_error));
    ck_assert_int_ge(lease.expires_ns, lease.created_ns + 500 * SECOND);
    billet_lease_free(&lease);
    assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING, NULL));
    assert_fails(module->lease_renew(store, id, 1, NULL, SECOND, &fixture_error), "lease_lost");
}
END_TEST

START_TEST(a_note_needs_a_live_lease_of_that_fence)
{
    char id[BILLET_UUID_SIZE];
    assert_ok(fixture_insert(store, id));
    struct billet_activity row = fixture_activity(id, "exec.started", 1);
    assert_fails(module->lease_note(store, id, 2, &row, 1, &fixture_error), "lease_lost");
    assert_ok(module->lease_note(store, id, 1, &row, 1, &fixture_error));
    assert_ok(module->lease_note(store, id, 0, &row, 1, &fixture_error));
    assert_fails(module->lease_note(store, "01900000-0000-7000-8000-000000000000", 0, &row, 1,
                                    &fixture_error),
                 "lease_lost");
}
END_TEST

START_TEST(a_prefix_finds_a_lease_unless_it_fits_two)
{
    struct billet_lease a, found;
    char first[] = "01234567-89ab-7000-8000-000000000001";
    char second[] = "01234567-89ab-7000-8000-000000000002";
    char id[BILLET_UUID_SIZE];
    a = fixture_lease(id);
    a.id = first;
    assert_ok(module->lease_insert(store, &a, SECOND, NULL, 0, &fixture_error));
    assert_ok(module->lease_get(store, "default", "01234567", &found, &fixture_error));
    ck_assert_str_eq(found.id, first);
    billet_lease_free(&found);
    a.id = second;
    assert_ok(module->lease_insert(store, &a, SECOND, NULL, 0, &fixture_error));
    assert_fails(module->lease_get(store, "default", "01234567", &found, &fixture_error),
                 "lease_ambiguous");
    assert_fails(module->lease_get(store, "default", "0123456", &found, &fixture_error),
                 "lease_not_found");
    assert_fails(module->lease_get(store, "default", "01234567%", &found, &fixture_error),
                 "lease_not_found");
    assert_fails(module->lease_get(store, "other", first, &found, &fixture_error),
                 "lease_not_found");
    assert_ok(module->lease_get(store, NULL, second, &found, &fixture_error));
    billet_lease_free(&found);
}
END_TEST

struct listing {
    int count;
    int stop_at;
    char last[BILLET_UUID_SIZE];
};

static int
visit_lease(const struct billet_lease *lease, void *context)
{
    struct listing *listing = context;
    snprintf(listing->last, sizeof(listing->last), "%s", lease->id);
    return ++listing->count == listing->stop_at ? 42 : 0;
}

START_TEST(lists_filter_and_give_the_newest_first)
{
    char ids[5][BILLET_UUID_SIZE];
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct billet_lease lease = fixture_lease(ids[i]);
        lease.tenant = (char *)(i == 0 ? "other" : "default");
        lease.environment = (char *)(i < 3 ? "local" : "sandbox");
        assert_ok(module->lease_insert(store, &lease, SECOND, NULL, 0, &fixture_error));
    }
    assert_ok(
        fixture_change(store, ids[4], BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING, NULL));
    assert_ok(fixture_change(store, ids[4], BILLET_LEASE_RELEASING, 1, BILLET_LEASE_FAILED, NULL));
    struct {
        struct billet_lease_filter filter;
        int count;
        const char *last;
    } cases[] = {
        {{0}, 5, ids[0]},
        {{.live_only = true}, 4, ids[0]},
        {{.tenant = "default"}, 4, ids[1]},
        {{.tenant = "default", .live_only = true}, 3, ids[1]},
        {{.environment = "sandbox"}, 2, ids[3]},
        {{.limit = 2}, 2, ids[3]},
        {{.tenant = "nobody"}, 0, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct listing listing = {0};
        assert_ok(
            module->lease_list(store, &cases[i].filter, visit_lease, &listing, &fixture_error));
        ck_assert_int_eq(listing.count, cases[i].count);
        ck_assert_str_eq(listing.last, cases[i].last);
    }
    struct listing stopped = {.stop_at = 2};
    ck_assert_int_eq(
        module->lease_list(store, &cases[0].filter, visit_lease, &stopped, &fixture_error), 42);
    ck_assert_int_eq(stopped.count, 2);
}
END_TEST

struct seen {
    int count;
    int64_t sequence;
    bool rises;
};

static int
visit_activity(const struct billet_activity *row, void *context)
{
    struct seen *seen = context;
    seen->rises = seen->rises && row->sequence > seen->sequence && row->time_ns > 0;
    seen->sequence = row->sequence;
    seen->count++;
    ck_assert_str_eq(row->actor, "user:test");
    return 0;
}

START_TEST(activities_are_listed_in_order_and_filtered)
{
    char a[BILLET_UUID_SIZE], b[BILLET_UUID_SIZE];
    struct seen all = {.rises = true}, one = {.rises = true}, later = {.rises = true};
    assert_ok(fixture_insert(store, a));
    assert_ok(fixture_insert(store, b));
    struct billet_activity free_row = fixture_activity("", "janitor.pass", 0);
    assert_ok(module->activity_add(store, &free_row, 1, &fixture_error));
    struct billet_activity_filter filter = {0};
    assert_ok(module->activity_list(store, &filter, visit_activity, &all, &fixture_error));
    ck_assert_int_eq(all.count, 3);
    ck_assert(all.rises);
    filter.lease = a;
    assert_ok(module->activity_list(store, &filter, visit_activity, &one, &fixture_error));
    ck_assert_int_eq(one.count, 1);
    filter = (struct billet_activity_filter){.after_sequence = one.sequence};
    assert_ok(module->activity_list(store, &filter, visit_activity, &later, &fixture_error));
    ck_assert_int_eq(later.count, 2);
    filter = (struct billet_activity_filter){.tenant = "nobody"};
    struct seen none = {.rises = true};
    assert_ok(module->activity_list(store, &filter, visit_activity, &none, &fixture_error));
    ck_assert_int_eq(none.count, 0);
}
END_TEST

/* What an engine's own notation of values gives a meaning to. */
static const char *const odd[] = {"NULL",
                                  "{a,b}",
                                  "\"q\"",
                                  "back\\slash\\",
                                  " led, trailed ",
                                  "line\nbreak\ttab",
                                  "\xc3\xa9\xe2\x82\xac",
                                  "$1 ' %s"};

static int
visit_odd(const struct billet_activity *row, void *context)
{
    int *count = context;
    const char *text = odd[(*count)++];
    ck_assert_str_eq(row->run, text);
    ck_assert_str_eq(row->agent, text);
    ck_assert_str_eq(row->issue, "");
    ck_assert_str_eq(row->actor, text);
    ck_assert_str_eq(row->details, text);
    ck_assert_int_eq(row->fence, *count);
    return 0;
}

START_TEST(rows_of_one_step_keep_each_their_own_texts_byte_by_byte)
{
    struct billet_activity rows[COUNT(odd)];
    int count = 0;
    for (size_t i = 0; i < COUNT(odd); i++) {
        rows[i] = fixture_activity("", "odd", (int64_t)i + 1);
        rows[i].run = rows[i].agent = rows[i].actor = rows[i].details = odd[i];
    }
    assert_ok(module->activity_add(store, rows, COUNT(odd), &fixture_error));
    assert_ok(module->activity_add(store, rows, 0, &fixture_error));
    const struct billet_activity_filter filter = {0};
    assert_ok(module->activity_list(store, &filter, visit_odd, &count, &fixture_error));
    ck_assert_int_eq(count, (int)COUNT(odd));
}
END_TEST

START_TEST(notes_of_the_deployment_and_provisions_are_kept)
{
    struct billet_buffer value = BILLET_BUFFER_INIT;
    bool done = true;
    char large[5000];
    assert_ok(module->meta_get(store, "k", &value, &fixture_error));
    ck_assert_str_eq(billet_buffer_text(&value), "");
    assert_ok(module->meta_put(store, "k", "one", &fixture_error));
    assert_ok(module->meta_put(store, "k", "two", &fixture_error));
    assert_ok(module->meta_get(store, "k", &value, &fixture_error));
    ck_assert_str_eq(billet_buffer_text(&value), "two");
    billet_buffer_free(&value);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_fails(module->meta_put(store, "k", large, &fixture_error), "too_large");
    assert_ok(module->provision_get(store, "p", &done, &fixture_error));
    ck_assert(!done);
    assert_ok(module->provision_put(store, "p", NULL, &fixture_error));
    assert_ok(module->provision_put(store, "p", NULL, &fixture_error));
    assert_ok(module->provision_get(store, "p", &done, &fixture_error));
    ck_assert(done);
}
END_TEST

static void
add_tests(TCase *tests)
{
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_new_lease_reads_back_whole);
    tcase_add_test(tests, the_same_insert_again_is_a_success_and_changes_nothing);
    tcase_add_test(tests, a_run_drives_one_lease_in_an_environment_at_a_time);
    tcase_add_test(tests, a_change_needs_the_state_and_the_fence_it_expects);
    tcase_add_test(tests, only_the_legal_transitions_are_taken);
    tcase_add_test(tests, a_change_gives_the_row_as_it_is_afterwards);
    tcase_add_test(tests, a_change_needs_the_owner_that_is_named);
    tcase_add_test(tests, an_end_is_recorded_once_and_for_good);
    tcase_add_test(tests, renewing_needs_the_fence_and_never_shortens);
    tcase_add_test(tests, a_note_needs_a_live_lease_of_that_fence);
    tcase_add_test(tests, a_prefix_finds_a_lease_unless_it_fits_two);
    tcase_add_test(tests, lists_filter_and_give_the_newest_first);
    tcase_add_test(tests, activities_are_listed_in_order_and_filtered);
    tcase_add_test(tests, rows_of_one_step_keep_each_their_own_texts_byte_by_byte);
    tcase_add_test(tests, notes_of_the_deployment_and_provisions_are_kept);
}

int
main(void)
{
    return fixture_run_engines("store lease", 60, add_tests);
}
