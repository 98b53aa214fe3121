/* SPDX-License-Identifier: Apache-2.0 */
/* Saved environments through the store's table. */
#include "store_fixture.h"

static struct billet_store *store;
static const struct billet_store_module *module;
static char id[BILLET_UUID_SIZE];

static void
setup(void)
{
    fixture_setup();
    store = fixture_open();
    module = billet_store_of(store);
    billet_uuid_make(id);
}

static void
teardown(void)
{
    billet_store_close(store);
    fixture_teardown();
}

static struct billet_environment
environment(const char *tenant, const char *name)
{
    return (struct billet_environment){.id = id,
                                       .tenant = (char *)tenant,
                                       .name = (char *)name,
                                       .driver = (char *)"local",
                                       .description = (char *)"text"};
}

START_TEST(an_environment_reads_back_with_its_settings)
{
    struct billet_environment wanted = environment("default", "build"), found;
    struct billet_activity row = fixture_activity("", "environment.created", 0);
    ck_assert(billet_settings_add(&wanted.settings, "timeout", "10m", "test", 0, 0, 0));
    assert_ok(module->environment_insert(store, &wanted, &row, &fixture_error));
    assert_ok(module->environment_get(store, "default", "build", &found, &fixture_error));
    ck_assert_str_eq(found.id, id);
    ck_assert_str_eq(found.driver, "local");
    ck_assert_str_eq(found.description, "text");
    ck_assert_str_eq(found.status, BILLET_ENVIRONMENT_ACTIVE);
    ck_assert_str_eq(found.source, "store");
    ck_assert_int_eq(found.revision, 1);
    ck_assert_str_eq(billet_settings_get(&found.settings, "timeout")->value, "10m");
    billet_environment_free(&found);
    assert_fails(module->environment_get(store, "other", "build", &found, &fixture_error),
                 "environment_not_found");
    billet_uuid_make(id);
    assert_fails(module->environment_insert(store, &wanted, &row, &fixture_error),
                 "environment_exists");
    billet_settings_free(&wanted.settings);
}
END_TEST

START_TEST(a_change_needs_the_revision_it_saw)
{
    struct billet_environment wanted = environment("default", "build"), found;
    assert_ok(module->environment_insert(store, &wanted, NULL, &fixture_error));
    wanted.revision = 1;
    wanted.status = (char *)BILLET_ENVIRONMENT_DRAINED;
    wanted.reason = (char *)"repair";
    assert_ok(module->environment_update(store, &wanted, NULL, &fixture_error));
    assert_fails(module->environment_update(store, &wanted, NULL, &fixture_error),
                 "environment_changed");
    assert_ok(module->environment_get(store, "default", "build", &found, &fixture_error));
    ck_assert_int_eq(found.revision, 2);
    ck_assert_str_eq(found.status, BILLET_ENVIRONMENT_DRAINED);
    ck_assert_str_eq(found.reason, "repair");
    billet_environment_free(&found);
    wanted.name = (char *)"none";
    assert_fails(module->environment_update(store, &wanted, NULL, &fixture_error),
                 "environment_not_found");
}
END_TEST

START_TEST(leases_and_their_environment_hold_each_other)
{
    char lease_id[BILLET_UUID_SIZE];
    struct billet_environment wanted = environment("default", "build");
    struct billet_lease lease = fixture_lease(lease_id);
    lease.environment = (char *)"build";
    lease.environment_id = id;
    assert_fails(module->lease_insert(store, &lease, SECOND, NULL, 0, &fixture_error),
                 "environment_not_found");
    assert_ok(module->environment_insert(store, &wanted, NULL, &fixture_error));
    assert_ok(module->lease_insert(store, &lease, SECOND, NULL, 0, &fixture_error));
    assert_fails(module->environment_remove(store, "default", "build", NULL, &fixture_error),
                 "environment_in_use");
    assert_ok(
        fixture_change(store, lease_id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_RELEASING, NULL));
    assert_ok(fixture_change(store, lease_id, BILLET_LEASE_RELEASING, 1, BILLET_LEASE_FAILED,
                             "lease.failed"));
    wanted.revision = 1;
    wanted.status = (char *)BILLET_ENVIRONMENT_ARCHIVED;
    assert_ok(module->environment_update(store, &wanted, NULL, &fixture_error));
    lease = fixture_lease(lease_id);
    lease.environment_id = id;
    assert_fails(module->lease_insert(store, &lease, SECOND, NULL, 0, &fixture_error),
                 "environment_inactive");
    assert_ok(module->environment_remove(store, "default", "build", NULL, &fixture_error));
    assert_fails(module->environment_remove(store, "default", "build", NULL, &fixture_error),
                 "environment_not_found");
}
END_TEST

static int
add_name(const struct billet_environment *row, void *context)
{
    strcat(context, row->name);
    return 0;
}

START_TEST(lists_are_by_name_and_by_tenant)
{
    static const char *const rows[][2] = {{"default", "b"}, {"default", "a"}, {"other", "c"}};
    char names[10] = "";
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct billet_environment row = environment(rows[i][0], rows[i][1]);
        billet_uuid_make(id);
        assert_ok(module->environment_insert(store, &row, NULL, &fixture_error));
    }
    assert_ok(module->environment_list(store, "default", add_name, names, &fixture_error));
    ck_assert_str_eq(names, "ab");
    names[0] = '\0';
    assert_ok(module->environment_list(store, NULL, add_name, names, &fixture_error));
    ck_assert_str_eq(names, "abc");
}
END_TEST

static void
add_tests(TCase *tests)
{
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_environment_reads_back_with_its_settings);
    tcase_add_test(tests, a_change_needs_the_revision_it_saw);
    tcase_add_test(tests, leases_and_their_environment_hold_each_other);
    tcase_add_test(tests, lists_are_by_name_and_by_tenant);
}

int
main(void)
{
    return fixture_run_engines("store environment", 60, add_tests);
}
