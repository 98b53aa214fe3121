/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at every single allocation: nothing crashes, nothing leaks (a build with
 * sanitizers sees it), and the caller learns that it was memory. */
#include <billet/driver.h>

#include "../lib/fault.h"
#include "base/uuid.h"
#include "config/environment.h"
#include "driver/message.h"
#include "lease/lease.h"
#include "run/resolve.h"
#include "run_fixture.h"

static const char files[] = "[billet]\nenvironment = build1\n"
                            "[driver fake]\nenabled = yes\ndirectory = /tmp\n"
                            "[environment build1]\ndriver = fake\nenv.A = 1\nenv.B = two words\n"
                            "provision = make \\\n deps\ntimeout = 5m\n"
                            "[environment other]\ndriver = local\n";

static void
tear_down(void)
{
    run_tear_down();
}

static int
no_memory(struct billet_error *why)
{
    return billet_error_no_memory(why);
}

/* Load a file, make an environment of a section, type it, and take it to JSON and back. */
static int
load_configuration(void *unused, struct billet_error *why)
{
    struct billet_configuration_sources sources = {.file = in_scratch("billet.conf")};
    struct billet_configuration *configuration = NULL;
    struct billet_diagnostics diagnostics = BILLET_DIAGNOSTICS_INIT;
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_environment copy = BILLET_ENVIRONMENT_INIT;
    (void)unused;
    int result = billet_configuration_load(&sources, &configuration, &diagnostics, why);
    if (result == 0)
        result = billet_diagnostics_error(&diagnostics, why);
    if (result == 0)
        result = billet_environment_from_section(
            billet_configuration_find(configuration, "environment", "build1"), &environment, why);
    if (result == 0 && billet_environment_resolve(&environment, &diagnostics) < 0)
        result = no_memory(why);
    if (result == 0)
        result = billet_diagnostics_error(&diagnostics, why);
    if (result == 0 && billet_environment_apply_defaults(configuration, &environment) < 0)
        result = no_memory(why);
    if (result == 0)
        result = billet_environment_copy(&copy, &environment, why);
    if (result == 0) {
        json_t *settings = billet_environment_settings_to_json(&environment);
        result = settings != NULL ? 0 : no_memory(why);
        if (result == 0)
            result = billet_environment_settings_from_json(&copy, settings, why);
        json_decref(settings);
    }
    fault_disarm();
    if (result == 0) { /* whatever was withheld: what there is, is whole */
        ck_assert_uint_eq(environment.variables.count, 2);
        ck_assert_str_eq(environment.provision, "make  deps");
        ck_assert_uint_eq(copy.settings.count, environment.settings.count);
        ck_assert_ptr_nonnull(billet_settings_get(&environment.driver_settings, "directory"));
    }
    billet_environment_free(&copy);
    billet_environment_free(&environment);
    billet_diagnostics_free(&diagnostics);
    billet_configuration_free(configuration);
    return result;
}

START_TEST(a_configuration_is_loaded_whole_or_not)
{
    unit_write_file(in_scratch("billet.conf"), files, 0644);
    ck_assert_uint_gt(fault_each_allocation("configuration", load_configuration, NULL), 50);
}
END_TEST

/* The frames of a call: made, written, parsed, read. */
static int
pass_messages(void *unused, struct billet_error *why)
{
    const char *argv[] = {"sh", "-c", "\xff\xfe", NULL};
    const char *variables[] = {"A=1", "B=\xff", NULL};
    struct billet_identity identity = {.struct_size = sizeof(identity),
                                       .deployment = "d",
                                       .tenant = "t",
                                       .environment = "e",
                                       .lease = "l",
                                       .run = "r",
                                       .agent = "\xff",
                                       .issue = ""};
    struct billet_identity identity_back;
    struct billet_exec exec = {
        .struct_size = sizeof(exec), .argv = argv, .environment = variables, .directory = "/work"};
    struct billet_exec exec_back;
    struct billet_strings argv_back = BILLET_STRINGS_INIT;
    struct billet_strings variables_back = BILLET_STRINGS_INIT;
    struct billet_strings memory = BILLET_STRINGS_INIT;
    json_t *parsed = NULL;
    char *text = NULL;
    int result = 0;
    (void)unused;
    json_t *body = json_object();
    bool made = body != NULL &&
                json_object_set_new(body, "identity", billet_message_identity(&identity)) == 0 &&
                json_object_set_new(body, "exec", billet_message_exec(&exec)) == 0 &&
                (text = billet_json_text(body)) != NULL;
    if (!made)
        result = no_memory(why);
    if (result == 0 && billet_json_parse(text, strlen(text), &parsed, why) < 0)
        result = no_memory(why); /* jansson tells the two apart by its text only */
    if (result == 0 && (!billet_message_get_identity(json_object_get(parsed, "identity"),
                                                     &identity_back, &memory) ||
                        !billet_message_get_exec(json_object_get(parsed, "exec"), &exec_back,
                                                 &argv_back, &variables_back, &memory)))
        result = no_memory(why);
    fault_disarm();
    if (result == 0) {
        ck_assert_str_eq(identity_back.agent, "\xff");
        ck_assert_str_eq(identity_back.lease, "l");
        ck_assert_uint_eq(argv_back.count, 3);
        ck_assert_str_eq(argv_back.items[2], "\xff\xfe");
        ck_assert_str_eq(variables_back.items[1], "B=\xff");
        ck_assert_str_eq(exec_back.directory, "/work");
    }
    billet_strings_free(&argv_back);
    billet_strings_free(&variables_back);
    billet_strings_free(&memory);
    json_decref(parsed);
    free(text);
    json_decref(body);
    return result;
}

START_TEST(a_message_arrives_whole_or_not)
{
    ck_assert_uint_gt(fault_each_allocation("messages", pass_messages, NULL), 50);
}
END_TEST

/* What every run begins with. */
static int
resolve(void *unused, struct billet_error *why)
{
    struct billet_environment found = BILLET_ENVIRONMENT_INIT;
    struct billet_context_request request = {.config = in_scratch("billet.conf")};
    (void)unused;
    context = NULL;
    int result = billet_context_open(&request, false, &context, why);
    if (result < 0) {
        fault_disarm();
        ck_assert_ptr_null(context);
        return result;
    }
    if (result == 0)
        result =
            billet_resolve_environment(context, NULL, in_scratch("workspace"), &found, NULL, why);
    fault_disarm();
    if (result == 0) /* never another one than the one chosen */
        ck_assert_str_eq(found.name, "other");
    billet_environment_free(&found);
    billet_context_close(context);
    context = NULL;
    return result;
}

START_TEST(the_environment_is_the_chosen_one_or_none)
{
    unit_write_file(in_scratch("billet.conf"), files, 0644);
    unit_write_file(in_scratch("workspace/.billet"), "environment = other\n", 0644);
    ck_assert_uint_gt(fault_each_allocation("resolve", resolve, NULL), 50);
}
END_TEST

extern const struct billet_store_module *billet_store_module(void);

struct cycle {
    char url[PATH_MAX];
    unsigned begun;
    unsigned ended; /* came to their end */
};

/* Open the store, lead a lease from its begin to its end, read it back, close. */
static int
lead_lease(void *at, struct billet_error *why)
{
    struct cycle *cycle = at;
    const struct billet_store_module *module = billet_store_module();
    struct billet_store *store = NULL;
    struct billet_lease_session session = BILLET_LEASE_SESSION_INIT;
    char run[32];
    snprintf(run, sizeof(run), "run-%u", cycle->begun++);
    struct billet_lease wanted = {.tenant = (char *)"default",
                                  .environment = (char *)"local",
                                  .driver = (char *)"local",
                                  .run = run};
    struct billet_lease_facts facts = {.ref = "ref", .facts = "{}", .directory = "/d"};
    struct billet_lease_facts outcome = {.outcome = "{\"exit\":0}"};
    int result = module->open(cycle->url, true, &store, why);
    if (result < 0) {
        fault_disarm();
        ck_assert_ptr_null(store);
        return result;
    }
    result = billet_lease_begin(&session, store, &wanted, "uid:1", 0, why);
    if (result == 0)
        result = billet_lease_add(&session, "exec.started", NULL, why);
    if (result == 0)
        result = billet_lease_activate(&session, &facts, why);
    if (result == 0)
        result = billet_lease_heartbeat(&session, why);
    if (result == 0)
        result = billet_lease_start_release(&session, &outcome, NULL, why);
    if (result == 0)
        result = billet_lease_finish(&session, false, NULL, why);
    fault_disarm();
    if (result == 0)
        cycle->ended++;
    billet_lease_session_free(&session);
    billet_store_close(store);
    return result;
}

START_TEST(a_lease_is_led_to_its_end_or_stays_as_it_was)
{
    struct cycle cycle = {.ended = 0};
    struct billet_strings findings = BILLET_STRINGS_INIT;
    struct billet_store *store = NULL;
    snprintf(cycle.url, sizeof(cycle.url), "sqlite:%s", in_scratch("billet.db"));
    ck_assert_uint_gt(fault_each_allocation("lease", lead_lease, &cycle), 10);
    /* Whatever was broken off: every row obeys the rules. */
    assert_ok(billet_store_module()->open(cycle.url, false, &store, &error));
    assert_ok(billet_store_module()->check(store, &findings, &error));
    ck_assert_msg(findings.count == 0, "%s", findings.count > 0 ? findings.items[0] : "");
    billet_strings_free(&findings);
    billet_store_close(store);
    ck_assert_uint_gt(cycle.ended, 1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("memory_faults");
    TCase *tests = tcase_create("faults");
    tcase_set_timeout(tests, 240);
    tcase_add_checked_fixture(tests, run_set_up, tear_down);
    tcase_add_test(tests, a_configuration_is_loaded_whole_or_not);
    tcase_add_test(tests, a_message_arrives_whole_or_not);
    tcase_add_test(tests, the_environment_is_the_chosen_one_or_none);
    tcase_add_test(tests, a_lease_is_led_to_its_end_or_stays_as_it_was);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
