/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in a store of either engine: versions, states, bindings, and the chain of uses. */
#include "store_fixture.h"

#include <sodium.h>

#include "secret/audit.h"
#include "store/copy.h"

#define OLD_KEY "0123456789abcdef0123456789abcdef"
#define NEW_KEY "fedcba9876543210fedcba9876543210"

static struct billet_store *store;
static const struct billet_secret_table *table;

static void
setup(void)
{
    fixture_setup();
    store = fixture_open();
    table = billet_store_of(store)->secrets;
    ck_assert_ptr_nonnull(table);
}

static void
teardown(void)
{
    billet_store_close(store);
    fixture_teardown();
}

/* Bytes of every value, so that nothing takes them for text. */
static const unsigned char *
envelope_of(int number)
{
    static unsigned char bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i + (unsigned)number);
    return bytes;
}

static struct billet_secret_version
version_of(const struct billet_secret_record *record, int64_t number)
{
    struct billet_secret_version version = {.version = number,
                                            .key = OLD_KEY,
                                            .created_by = "user:test",
                                            .envelope = envelope_of((int)number),
                                            .size = 300};
    memcpy(version.secret, record->id, sizeof(version.secret));
    return version;
}

static int
insert(const char *tenant, const char *name, struct billet_secret_record *record)
{
    struct billet_activity activity = fixture_activity("", "secret.created", 0);
    *record = (struct billet_secret_record){.description = "it's \"one\""};
    billet_uuid_make(record->id);
    snprintf(record->tenant, sizeof(record->tenant), "%s", tenant);
    snprintf(record->name, sizeof(record->name), "%s", name);
    struct billet_secret_version version = version_of(record, 1);
    return table->insert(store, record, &version, &activity, &fixture_error);
}

static int64_t
activities(void)
{
    struct billet_store_info info;
    assert_ok(billet_store_of(store)->info(store, &info, &fixture_error));
    return info.activities;
}

struct seen {
    int count;
    int stop_after; /* 0: never */
    struct billet_secret_version last;
    int bindings;
};

static int
see_version(const struct billet_secret_version *version, void *context)
{
    struct seen *seen = context;
    if (strcmp(version->state, BILLET_SECRET_DESTROYED) != 0) {
        ck_assert_uint_eq(version->size, 300);
        ck_assert_int_eq(memcmp(version->envelope, envelope_of((int)version->version), 300), 0);
    } else {
        ck_assert_uint_eq(version->size, 0);
        ck_assert_str_eq(version->key, "");
    }
    /* In order, each behind the one before. */
    int order = strcmp(version->secret, seen->last.secret);
    ck_assert(order > 0 || (order == 0 && version->version > seen->last.version));
    seen->last = *version;
    return ++seen->count == seen->stop_after ? 7 : 0;
}

static struct seen
see(struct billet_secret_version_filter filter)
{
    struct seen seen = {0};
    assert_ok(table->versions(store, &filter, see_version, &seen, &fixture_error));
    return seen;
}

START_TEST(a_secret_comes_with_its_first_version_and_on_record)
{
    struct billet_secret_record made, found;
    int64_t before = activities();
    assert_ok(insert("default", "token", &made));
    assert_ok(table->get(store, "default", "token", &found, &fixture_error));
    ck_assert_str_eq(found.id, made.id);
    ck_assert_str_eq(found.description, made.description);
    ck_assert_str_eq(found.state, BILLET_SECRET_ACTIVE);
    ck_assert_int_eq(found.current, 1);
    ck_assert_int_gt(found.created_ns, 0);
    ck_assert_int_eq(found.created_ns, found.updated_ns);
    struct seen seen = see((struct billet_secret_version_filter){.secret = made.id});
    ck_assert_int_eq(seen.count, 1);
    ck_assert_str_eq(seen.last.key, OLD_KEY);
    ck_assert_str_eq(seen.last.created_by, "user:test");
    ck_assert_str_eq(seen.last.name, "token");
    ck_assert_str_eq(seen.last.tenant, "default");
    ck_assert_int_eq(activities(), before + 1);
}
END_TEST

START_TEST(a_name_is_used_once_in_a_tenant)
{
    struct billet_secret_record made, again;
    int64_t before = activities();
    assert_ok(insert("default", "token", &made));
    assert_fails(insert("default", "token", &again), "secret_exists");
    assert_ok(insert("acme", "token", &again));
    assert_fails(table->get(store, "other", "token", &again, &fixture_error), "secret_not_found");
    ck_assert_int_eq(activities(), before + 2);
    ck_assert_int_eq(see((struct billet_secret_version_filter){0}).count, 2);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.tenant = "acme"}).count, 1);
}
END_TEST

START_TEST(who_is_second_to_add_a_version_is_told)
{
    struct billet_secret_record record;
    struct billet_activity activity = fixture_activity("", "secret.rotated", 0);
    assert_ok(insert("default", "token", &record));
    int64_t before = activities();
    record.current = 1;
    struct billet_secret_version version = version_of(&record, 2);
    assert_ok(table->add_version(store, &record, &version, &activity, &fixture_error));
    assert_fails(table->add_version(store, &record, &version, &activity, &fixture_error),
                 "secret_changed");
    assert_ok(table->get(store, "default", "token", &record, &fixture_error));
    ck_assert_int_eq(record.current, 2);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.secret = record.id}).count, 2);
    ck_assert_int_eq(activities(), before + 1);
}
END_TEST

START_TEST(a_destroyed_version_has_no_envelope_and_stays_so)
{
    struct billet_secret_record record;
    struct billet_activity activity = fixture_activity("", "secret.changed", 0);
    assert_ok(insert("default", "token", &record));
    assert_ok(table->set_version_state(store, &record, 1, BILLET_SECRET_DISABLED, &activity,
                                       &fixture_error));
    assert_ok(table->set_version_state(store, &record, 1, BILLET_SECRET_ACTIVE, &activity,
                                       &fixture_error));
    assert_ok(table->set_version_state(store, &record, 1, BILLET_SECRET_DESTROYED, &activity,
                                       &fixture_error));
    assert_fails(table->set_version_state(store, &record, 1, BILLET_SECRET_ACTIVE, &activity,
                                          &fixture_error),
                 "secret_version_missing");
    assert_fails(table->set_version_state(store, &record, 9, BILLET_SECRET_ACTIVE, &activity,
                                          &fixture_error),
                 "secret_version_missing");
    /* Named by its secret it is listed still. */
    ck_assert_int_eq(see((struct billet_secret_version_filter){.secret = record.id}).count, 1);
    ck_assert_int_eq(see((struct billet_secret_version_filter){0}).count, 0);
}
END_TEST

static int
see_secret(const struct billet_secret_record *record, void *context)
{
    (void)record;
    ++*(int *)context;
    return 0;
}

static int
see_binding(const struct billet_secret_binding *binding, void *context)
{
    ck_assert_str_eq(binding->created_by, "user:test");
    ck_assert_int_gt(binding->created_ns, 0);
    ++*(int *)context;
    return 0;
}

static int
count_bindings(const char *tenant, const char *environment, const char *option, const char *name)
{
    int count = 0;
    assert_ok(table->bindings(store, tenant, environment, option, name, see_binding, &count,
                              &fixture_error));
    return count;
}

static void
bind_it(const char *environment, const char *option, const char *name)
{
    struct billet_activity activity = fixture_activity("", "secret.bound", 0);
    const struct billet_secret_binding binding = {.tenant = "default",
                                                  .environment = environment,
                                                  .option = option,
                                                  .name = name,
                                                  .created_by = "user:test"};
    assert_ok(table->bind(store, &binding, &activity, &fixture_error));
}

START_TEST(bindings_are_there_once_and_go_as_they_are_named)
{
    bind_it("a", "env.T", "token");
    bind_it("a", "env.T", "token");
    bind_it("a", "env.U", "token");
    bind_it("b", "env.T", "other");
    ck_assert_int_eq(count_bindings("default", NULL, NULL, NULL), 3);
    ck_assert_int_eq(count_bindings(NULL, "a", NULL, NULL), 2);
    ck_assert_int_eq(count_bindings("default", "a", "env.T", "token"), 1);
    ck_assert_int_eq(count_bindings("acme", NULL, NULL, NULL), 0);
    assert_ok(table->unbind(store, "acme", NULL, NULL, NULL, NULL, &fixture_error));
    assert_ok(table->unbind(store, "default", "a", "env.T", NULL, NULL, &fixture_error));
    ck_assert_int_eq(count_bindings("default", NULL, NULL, NULL), 2);
    assert_ok(table->unbind(store, "default", NULL, NULL, "token", NULL, &fixture_error));
    ck_assert_int_eq(count_bindings("default", NULL, NULL, "other"), 1);
}
END_TEST

START_TEST(a_deleted_secret_takes_its_envelopes_and_bindings_along)
{
    struct billet_secret_record record, found;
    struct billet_activity activity = fixture_activity("", "secret.deleted", 0);
    int listed = 0;
    assert_ok(insert("default", "token", &record));
    bind_it("a", "env.T", "token");
    bind_it("a", "env.T", "another");
    assert_ok(table->set_state(store, &record, BILLET_SECRET_DISABLED, &activity, &fixture_error));
    assert_ok(table->set_state(store, &record, BILLET_SECRET_DELETED, &activity, &fixture_error));
    assert_fails(table->set_state(store, &record, BILLET_SECRET_ACTIVE, &activity, &fixture_error),
                 "secret_changed");
    assert_ok(table->list(store, NULL, see_secret, &listed, &fixture_error));
    ck_assert_int_eq(listed, 0);
    assert_ok(table->get(store, "default", "token", &found, &fixture_error));
    ck_assert_str_eq(found.state, BILLET_SECRET_DELETED);
    ck_assert_int_eq(see((struct billet_secret_version_filter){0}).count, 0);
    ck_assert_int_eq(count_bindings("default", NULL, NULL, NULL), 1);
    /* Its name is free, and who asks for it gets the live one. */
    assert_ok(insert("default", "token", &record));
    assert_ok(table->get(store, "default", "token", &found, &fixture_error));
    ck_assert_str_eq(found.id, record.id);
    struct billet_secret_version late = version_of(&found, 2);
    assert_ok(table->set_state(store, &record, BILLET_SECRET_DELETED, NULL, &fixture_error));
    assert_fails(table->add_version(store, &found, &late, NULL, &fixture_error), "secret_changed");
}
END_TEST

#define MANY 620 /* more than an engine reads at once */

START_TEST(versions_are_listed_in_order_and_behind_the_last_seen)
{
    struct billet_secret_record record, other;
    assert_ok(insert("default", "token", &record));
    for (record.current = 1; record.current < MANY; record.current++) {
        struct billet_secret_version version = version_of(&record, record.current + 1);
        assert_ok(table->add_version(store, &record, &version, NULL, &fixture_error));
    }
    assert_ok(insert("default", "other", &other));
    ck_assert_int_eq(see((struct billet_secret_version_filter){0}).count, MANY + 1);
    struct seen some = see((struct billet_secret_version_filter){
        .secret = record.id, .after_secret = record.id, .after_version = MANY - 10, .limit = 7});
    ck_assert_int_eq(some.count, 7);
    ck_assert_int_eq(some.last.version, MANY - 3);
    some = see((struct billet_secret_version_filter){
        .secret = record.id, .after_secret = record.id, .after_version = MANY - 3, .limit = 600});
    ck_assert_int_eq(some.count, 3);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.limit = 600}).count, 600);
    /* A visitor that has enough ends it, with what it said. */
    struct seen enough = {.stop_after = 5};
    ck_assert_int_eq(table->versions(store, &(struct billet_secret_version_filter){0}, see_version,
                                     &enough, &fixture_error),
                     7);
    ck_assert_int_eq(enough.count, 5);
}
END_TEST

START_TEST(only_what_still_has_its_old_key_is_wrapped_anew)
{
    struct billet_secret_record record;
    struct billet_secret_rewrap items[2];
    size_t changed = 99;
    assert_ok(insert("default", "token", &record));
    for (int i = 0; i < 2; i++) {
        items[i] = (struct billet_secret_rewrap){.version = i + 1,
                                                 .old_key = OLD_KEY,
                                                 .new_key = NEW_KEY,
                                                 .envelope = envelope_of(1),
                                                 .size = 300};
        memcpy(items[i].secret, record.id, sizeof(items[i].secret));
    }
    assert_ok(table->rewrap(store, items, 2, &changed, &fixture_error));
    ck_assert_uint_eq(changed, 1); /* there is no version 2 */
    assert_ok(table->rewrap(store, items, 2, &changed, &fixture_error));
    ck_assert_uint_eq(changed, 0);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.key = OLD_KEY}).count, 0);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.not_key = OLD_KEY}).count, 1);
    ck_assert_int_eq(see((struct billet_secret_version_filter){.key = NEW_KEY}).count, 1);
}
END_TEST

/* ---- the chain ------------------------------------------------------------------------ */

#define WRITERS 4
#define USES 40

static int
use(struct billet_store *of, const char *purpose)
{
    const struct billet_audit_row row = {.tenant = "default",
                                         .name = "token",
                                         .secret = "",
                                         .version = 1,
                                         .environment = "a",
                                         .option = "env.T",
                                         .lease = "",
                                         .actor = "user:test",
                                         .purpose = purpose,
                                         .outcome = "allowed"};
    return table->audit_add(of, &row, billet_audit_hash_row, &fixture_error);
}

START_TEST(uses_of_many_processes_make_one_chain)
{
    pid_t children[WRITERS];
    struct billet_audit_result result;
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct billet_store *own = fixture_open();
            for (int j = 0; j < USES; j++)
                assert_ok(use(own, "run"));
            billet_store_close(own);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    assert_ok(billet_audit_verify(store, &result, &fixture_error));
    ck_assert_msg(result.broken == 0, "row %lld: %s", (long long)result.broken, result.why);
    ck_assert_int_eq(result.rows, WRITERS * USES);
    ck_assert_int_eq(result.head, WRITERS * USES);
}
END_TEST

static int
see_use(const struct billet_audit_row *row, void *context)
{
    struct billet_audit_row *last = context;
    ck_assert_int_eq(row->sequence, last->sequence + 1);
    ck_assert_int_ge(row->time_ns, last->time_ns);
    ck_assert_str_eq(row->option, "env.T");
    last->sequence = row->sequence;
    last->time_ns = row->time_ns;
    return 0;
}

START_TEST(uses_are_listed_behind_the_last_seen)
{
    struct billet_audit_row last = {0};
    char hash[65];
    int64_t head = -1;
    assert_ok(table->audit_head(store, &head, hash, &fixture_error));
    ck_assert_int_eq(head, 0);
    ck_assert_str_eq(hash, "");
    for (int i = 0; i < 9; i++)
        assert_ok(use(store, i % 2 == 0 ? "run" : "reveal"));
    assert_ok(table->audit_list(store, 0, 4, see_use, &last, &fixture_error));
    ck_assert_int_eq(last.sequence, 4);
    assert_ok(table->audit_list(store, 4, 0, see_use, &last, &fixture_error));
    ck_assert_int_eq(last.sequence, 9);
    assert_ok(table->audit_head(store, &head, hash, &fixture_error));
    ck_assert_int_eq(head, 9);
    ck_assert_uint_eq(strlen(hash), 64);
}
END_TEST

/* ---- copies --------------------------------------------------------------------------- */

START_TEST(a_copy_has_secrets_bindings_and_the_chain)
{
    struct billet_secret_record record, gone;
    struct billet_copy_count count;
    struct billet_audit_result chain;
    struct billet_store *from = store;
    char url[sizeof(fixture_url)];
    assert_ok(insert("default", "token", &record));
    assert_ok(insert("default", "gone", &gone));
    assert_ok(table->set_state(store, &gone, BILLET_SECRET_DELETED, NULL, &fixture_error));
    bind_it("a", "env.T", "token");
    assert_ok(use(store, "run"));
    assert_ok(use(store, "reveal"));
    /* To the other kind of store, and to one of the same. */
    for (int i = 0; i < 2; i++) {
        if (fixture_on_pgsql && i == 1)
            fixture_make_database();
        else
            snprintf(fixture_url, sizeof(fixture_url), "sqlite:%s/copy%d.db", fixture_directory, i);
        memcpy(url, fixture_url, sizeof(url));
        store = fixture_open();
        assert_ok(billet_store_copy(from, store, &count, &fixture_error));
        table = billet_store_of(store)->secrets;
        ck_assert_int_eq(see((struct billet_secret_version_filter){0}).count, 1);
        ck_assert_int_eq(see((struct billet_secret_version_filter){.secret = gone.id}).count, 1);
        ck_assert_int_eq(count_bindings("default", "a", "env.T", "token"), 1);
        assert_ok(use(store, "run")); /* it goes on where the other was */
        assert_ok(billet_audit_verify(store, &chain, &fixture_error));
        ck_assert_int_eq(chain.broken, 0);
        ck_assert_int_eq(chain.rows, 3);
        fixture_check_clean(store);
        billet_store_close(store);
    }
    store = from;
}
END_TEST

static void
add(TCase *tests)
{
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_secret_comes_with_its_first_version_and_on_record);
    tcase_add_test(tests, a_name_is_used_once_in_a_tenant);
    tcase_add_test(tests, who_is_second_to_add_a_version_is_told);
    tcase_add_test(tests, a_destroyed_version_has_no_envelope_and_stays_so);
    tcase_add_test(tests, bindings_are_there_once_and_go_as_they_are_named);
    tcase_add_test(tests, a_deleted_secret_takes_its_envelopes_and_bindings_along);
    tcase_add_test(tests, versions_are_listed_in_order_and_behind_the_last_seen);
    tcase_add_test(tests, only_what_still_has_its_old_key_is_wrapped_anew);
    tcase_add_test(tests, uses_of_many_processes_make_one_chain);
    tcase_add_test(tests, uses_are_listed_behind_the_last_seen);
    tcase_add_test(tests, a_copy_has_secrets_bindings_and_the_chain);
}

int
main(void)
{
    if (sodium_init() < 0)
        return 1;
    return fixture_run_engines("store secret", 120, add);
}
