/* SPDX-License-Identifier: Apache-2.0 */
/* What the SQLite database refuses by itself, whoever writes to it, and what the check finds. */
#include "store_fixture.h"

#include <sqlite3.h>

static struct billet_store *store;
static sqlite3 *db;
static char id[BILLET_UUID_SIZE];

static void
setup(void)
{
    fixture_setup();
    store = fixture_open();
    ck_assert_int_eq(sqlite3_open(fixture_path, &db), SQLITE_OK);
    assert_ok(fixture_insert(store, id));
}

static void
teardown(void)
{
    sqlite3_close(db);
    billet_store_close(store);
    fixture_teardown();
}

/* wanted NULL: succeeds. */
static void
check_sql(const char *sql, const char *wanted)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (wanted == NULL)
        ck_assert_msg(code == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    else
        ck_assert_msg(code == SQLITE_CONSTRAINT && strstr(sqlite3_errmsg(db), wanted) != NULL,
                      "%s: %d %s", sql, code, sqlite3_errmsg(db));
}

START_TEST(a_lease_keeps_its_identity_and_its_fence_rises)
{
    check_sql("UPDATE lease SET id = replace(id, '7', '8')", "lease_guard");
    check_sql("UPDATE lease SET tenant = 'other'", "lease_guard");
    check_sql("UPDATE lease SET created_ns = 1", "lease_guard");
    check_sql("UPDATE lease SET fence = 5", NULL);
    check_sql("UPDATE lease SET fence = 4", "lease_guard");
    check_sql("UPDATE lease SET generation = 0", "lease_guard");
}
END_TEST

START_TEST(states_move_only_forward_and_the_end_is_final)
{
    check_sql("UPDATE lease SET state = 'active'", "CHECK");
    check_sql("UPDATE lease SET state = 'active', ref = 'r'", NULL);
    check_sql("UPDATE lease SET state = 'acquiring'", "lease_guard");
    check_sql("UPDATE lease SET state = 'released', ended_ns = 1", "lease_guard");
    check_sql("UPDATE lease SET state = 'nonsense'", "lease_guard");
    check_sql("DELETE FROM lease", "live lease");
    check_sql("UPDATE lease SET state = 'releasing'", NULL);
    check_sql("UPDATE lease SET state = 'active'", "lease_guard");
    check_sql("UPDATE lease SET state = 'failed'", "CHECK");
    check_sql("UPDATE lease SET state = 'failed', ended_ns = 1", NULL);
    check_sql("UPDATE lease SET reason = 'x'", "lease_final");
    check_sql("UPDATE lease SET state = 'active', ended_ns = 0", "lease_final");
    check_sql("DELETE FROM lease", NULL);
}
END_TEST

START_TEST(a_lease_begins_at_the_beginning)
{
    char sql[2000];
    static const char *const bad[] = {"'active', 1, 1", "'acquiring', 2, 1", "'acquiring', 1, 2",
                                      "'released', 1, 1"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(sql, sizeof(sql),
                 "INSERT INTO lease(id,tenant,environment,environment_id,driver,run,agent,issue,"
                 "workspace,policy,state,fence,generation,ref,facts,configuration,directory,owner,"
                 "command,outcome,reason,cleanup_attempts,next_cleanup_ns,created_ns,updated_ns,"
                 "expires_ns,ended_ns) VALUES('01234567-89ab-7000-8000-00000000000%zu','t','e','',"
                 "'','','','','','',%s,'r','','','','','','','',0,0,1,1,1,0)",
                 i, bad[i]);
        check_sql(sql, "lease_guard");
    }
}
END_TEST

START_TEST(what_happened_is_never_rewritten_and_ends_are_said_once)
{
    char sql[600];
    static const char insert[] =
        "INSERT INTO activity(time_ns,action,tenant,environment,lease,run,agent,issue,actor,fence,"
        "details) VALUES(1,'lease.%s','','','%s','','','','',%d,'')";
    check_sql("UPDATE activity SET action = 'x'", "activity_guard");
    snprintf(sql, sizeof(sql), insert, "failed", id, 1);
    check_sql(sql, NULL);
    check_sql(sql, "UNIQUE");
    snprintf(sql, sizeof(sql), insert, "acquired", id, 1);
    check_sql(sql, NULL);
    check_sql(sql, "UNIQUE");
    snprintf(sql, sizeof(sql), insert, "acquired", id, 2);
    check_sql(sql, NULL);
    snprintf(sql, sizeof(sql), insert, "cleanup_failed", id, 1);
    check_sql(sql, NULL);
    check_sql(sql, NULL);
}
END_TEST

START_TEST(columns_have_their_types)
{
    check_sql("UPDATE lease SET fence = 'many'", "cannot store");
    check_sql("UPDATE lease SET reason = NULL", "NOT NULL");
    check_sql("UPDATE deployment SET one = 2", "CHECK");
    check_sql("INSERT INTO meta VALUES('k', printf('%.*c', 5000, 'x'))", "CHECK");
}
END_TEST

static void
check_finds(const char *text)
{
    struct billet_strings found = BILLET_STRINGS_INIT;
    bool met = false;
    assert_ok(billet_store_of(store)->check(store, &found, &fixture_error));
    for (size_t i = 0; i < found.count; i++)
        met = met || strstr(found.items[i], text) != NULL;
    ck_assert_msg(met, "%zu findings, none about '%s'; first: %s", found.count, text,
                  found.count > 0 ? found.items[0] : "");
    billet_strings_free(&found);
}

START_TEST(the_check_finds_what_rules_forbid)
{
    fixture_check_clean(store);
    check_sql("DROP TRIGGER lease_update; DROP TRIGGER lease_delete; "
              "DROP TRIGGER activity_update; PRAGMA ignore_check_constraints = ON",
              NULL);
    check_sql("UPDATE lease SET state = 'released'", NULL);
    check_finds("without a time of its end");
    check_finds("not exactly one end was recorded");
    check_sql("UPDATE lease SET state = 'active'", NULL);
    check_finds("held without a name");
    check_sql("UPDATE lease SET state = 'acquiring', fence = 0", NULL);
    check_finds("fence or generation below 1");
    check_finds("a fence that its lease never had");
    check_sql("UPDATE lease SET fence = 1; UPDATE activity SET action = 'lease.failed'", NULL);
    check_finds("lease lives and an end was recorded");
    check_sql("UPDATE lease SET state = 'released', ended_ns = 1", NULL);
    check_finds("ended otherwise than was recorded");
    check_sql("UPDATE lease SET facts = '{'", NULL);
    check_finds("not JSON");
    check_sql("UPDATE migration SET checksum = 'x'", NULL);
    check_finds("migration was not applied");
    check_sql("DELETE FROM lease", NULL);
    check_finds("activity of a lease that is not there");
    check_sql("DELETE FROM deployment", NULL);
    check_finds("deployment");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store schema");
    TCase *tests = tcase_create("schema");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_lease_keeps_its_identity_and_its_fence_rises);
    tcase_add_test(tests, states_move_only_forward_and_the_end_is_final);
    tcase_add_test(tests, a_lease_begins_at_the_beginning);
    tcase_add_test(tests, what_happened_is_never_rewritten_and_ends_are_said_once);
    tcase_add_test(tests, columns_have_their_types);
    tcase_add_test(tests, the_check_finds_what_rules_forbid);
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
