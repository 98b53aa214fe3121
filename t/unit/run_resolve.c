/* SPDX-License-Identifier: Apache-2.0 */
/* Which environment a run gets: the order of the choices, what a .billet file may say, and that
 * nobody learns of another tenant's. */
#include "base/uuid.h"
#include "run/resolve.h"
#include "run_fixture.h"

static const char files[] = "[driver fake]\nenabled = yes\n"
                            "[environment build1]\ndriver = fake\n"
                            "[environment theirs]\ndriver = fake\ntenant = other\n"
                            "[environment ours]\ndriver = fake\ntenant = mine\n"
                            "[environment sandbox]\ndriver = fake\ndescription = redefined\n";

static struct billet_environment found;

static void
set_up(void)
{
    run_set_up();
    found = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    assert_ok(context_open(files, NULL));
}

static void
tear_down(void)
{
    billet_environment_free(&found);
    run_tear_down();
}

static void
choose(const char *text)
{
    unit_write_file(in_scratch("workspace/.billet"), text, 0644);
}

/* The resolved name, or the id of the failure. */
static const char *
resolve(const char *name, const char **how)
{
    static char answer[128];
    billet_environment_free(&found);
    found = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    billet_error_clear(&error);
    int result =
        billet_resolve_environment(context, name, in_scratch("workspace"), &found, how, &error);
    ck_assert_int_eq(result, -error.error_class);
    if (result < 0)
        ck_assert_ptr_null(found.name); /* written only on success */
    snprintf(answer, sizeof(answer), "%s", result == 0 ? found.name : error.code);
    return answer;
}

START_TEST(the_nearest_choice_wins)
{
    const char *how = NULL;
    ck_assert_str_eq(resolve(NULL, &how), "local");
    ck_assert_str_eq(how, "built in");
    char with_default[1024];
    snprintf(with_default, sizeof(with_default), "[billet]\nenvironment = build1\n%s", files);
    context_reopen(with_default, NULL);
    ck_assert_str_eq(resolve(NULL, &how), "build1");
    ck_assert_str_eq(how, "the configured default");
    choose("environment = sandbox\n");
    ck_assert_str_eq(resolve(NULL, &how), "sandbox");
    ck_assert_str_eq(how, "the workspace's .billet");
    ck_assert_str_eq(found.description, "redefined"); /* the file's, not the built-in one */
    ck_assert_str_eq(resolve("build1", &how), "build1");
    ck_assert_str_eq(how, "named");
    /* Without a workspace its file is not looked for. */
    billet_environment_free(&found);
    assert_ok(billet_resolve_environment(context, NULL, NULL, &found, &how, &error));
    ck_assert_str_eq(found.name, "build1");
}
END_TEST

START_TEST(what_was_chosen_is_never_replaced_by_another)
{
    choose("environment = buildl\n");
    ck_assert_str_eq(resolve(NULL, NULL), "environment_not_found");
    ck_assert_ptr_nonnull(strstr(error.message, "'buildl'"));
    ck_assert_ptr_nonnull(strstr(error.hint, "did you mean 'build1'"));
    ck_assert_str_eq(resolve("nothing-like-it", NULL), "environment_not_found");
    ck_assert_ptr_nonnull(strstr(error.hint, "billet env list"));
    ck_assert_str_eq(resolve("../etc", NULL), "environment_not_found");
    ck_assert_str_eq(resolve("", NULL), "environment_not_found");
}
END_TEST

START_TEST(a_workspace_chooses_by_name_and_nothing_else)
{
    static const struct {
        const char *text;
        const char *outcome;
    } cases[] = {
        {"environment = build1\n", "build1"},
        {"environment=build1", "build1"},
        {"  environment\t=\tbuild1  \r\n", "build1"},
        {"# why\n; and\n\nenvironment = build1\n\n", "build1"},
        {"\r\n \nenvironment = build1\r\n", "build1"},
        {"", "local"},
        {"# environment = build1\n", "local"},
        {"environment = build1\nenvironment = sandbox\n", "config_invalid"},
        {"environment = build1 sandbox\n", "config_invalid"},
        {"environment = build1 # a comment\n", "config_invalid"},
        {"environment build1\n", "config_invalid"},
        {"environment =\n", "config_invalid"},
        {"environment = ../x\n", "config_invalid"},
        {"environment = -e\n", "config_invalid"},
        {"environments = build1\n", "config_invalid"},
        {"provision = rm -rf /\n", "config_invalid"},
        {"[environment mine]\n", "config_invalid"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        choose(cases[i].text);
        ck_assert_msg(strcmp(resolve(NULL, NULL), cases[i].outcome) == 0, "'%s' gave %s, not %s",
                      cases[i].text, resolve(NULL, NULL), cases[i].outcome);
        /* Naming one is always a way out. */
        ck_assert_str_eq(resolve("build1", NULL), "build1");
    }
    choose("\n# x\nprovision = y\n");
    resolve(NULL, NULL);
    ck_assert_ptr_nonnull(strstr(error.message, "/workspace/.billet:3:1: "));
}
END_TEST

START_TEST(a_billet_file_that_is_no_plain_small_file_is_refused)
{
    char big[6000];
    memset(big, '#', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    choose(big);
    ck_assert_str_eq(resolve(NULL, NULL), "too_large");
    FILE *file = fopen(in_scratch("workspace/.billet"), "we");
    fwrite("environment = build1\0environment = x\n", 1, 37, file);
    fclose(file);
    ck_assert_str_eq(resolve(NULL, NULL), "config_invalid");
    unlink(in_scratch("workspace/.billet"));
    unit_write_file(in_scratch("elsewhere"), "environment = build1\n", 0644);
    ck_assert_int_eq(symlink("../elsewhere", in_scratch("workspace/.billet")), 0);
    ck_assert_str_eq(resolve(NULL, NULL), "config_invalid");
    unlink(in_scratch("workspace/.billet"));
    ck_assert_int_eq(mkfifo(in_scratch("workspace/.billet"), 0600), 0);
    ck_assert_str_eq(resolve(NULL, NULL), "config_invalid"); /* and does not wait for a writer */
    unlink(in_scratch("workspace/.billet"));
    ck_assert_int_eq(mkdir(in_scratch("workspace/.billet"), 0700), 0);
    ck_assert_str_eq(resolve(NULL, NULL), "config_invalid");
    ck_assert_str_ne(error.hint, "");
}
END_TEST

START_TEST(another_tenants_environment_is_not_there)
{
    char theirs[BILLET_MESSAGE_MAX];
    ck_assert_str_eq(resolve("theirs", NULL), "environment_not_found");
    snprintf(theirs, sizeof(theirs), "%s", error.message);
    ck_assert_str_eq(theirs, "environment 'theirs' not found");
    ck_assert_ptr_null(strstr(error.hint, "theirs")); /* nor is it suggested */
    ck_assert_str_eq(resolve("their", NULL), "environment_not_found");
    ck_assert_ptr_null(strstr(error.hint, "theirs"));
    context_reopen(files, "other");
    ck_assert_str_eq(resolve("theirs", NULL), "theirs");
    ck_assert_str_eq(resolve("ours", NULL), "environment_not_found");
}
END_TEST

static void
save(const char *tenant, const char *name, const char *status, const char *reason)
{
    struct billet_store *store = NULL;
    char id[BILLET_UUID_SIZE];
    billet_uuid_make(id);
    struct billet_environment made = {.id = id,
                                      .tenant = (char *)tenant,
                                      .name = (char *)name,
                                      .driver = (char *)"fake",
                                      .status = (char *)status,
                                      .reason = (char *)reason,
                                      .description = (char *)"",
                                      .source = (char *)"store",
                                      .workspace_mode = -1};
    assert_ok(billet_context_store(context, &store, &error));
    assert_ok(billet_store_of(store)->environment_insert(store, &made, NULL, &error));
}

START_TEST(stored_ones_are_found_and_inactive_ones_refused_with_the_reason)
{
    const char *how = NULL;
    save("default", "stored", "active", "");
    save("default", "resting", "drained", "disk is being replaced");
    save("default", "old", "archived", "");
    save("other", "foreign", "active", "");
    ck_assert_str_eq(resolve("stored", &how), "stored");
    ck_assert_str_eq(found.driver, "fake");
    ck_assert_str_eq(resolve("resting", NULL), "environment_inactive");
    ck_assert_str_eq(error.message, "environment 'resting' is drained: disk is being replaced");
    ck_assert_int_eq(error.retryable, 0);
    ck_assert_str_eq(resolve("old", NULL), "environment_inactive");
    ck_assert_str_eq(error.message, "environment 'old' is archived");
    ck_assert_str_eq(resolve("foreign", NULL), "environment_not_found");
    ck_assert_str_eq(error.message, "environment 'foreign' not found");
    ck_assert_ptr_null(strstr(error.hint, "foreign'?"));
}
END_TEST

static int
collect(const struct billet_environment *environment, void *text)
{
    strcat(text, environment->name);
    strcat(text, environment->source[0] == 's'   ? "/s "
                 : environment->source[0] == 'f' ? "/f "
                                                 : "/b ");
    return 0;
}

START_TEST(the_list_has_each_name_once_in_order)
{
    char text[1000] = "";
    save("default", "zebra", "active", "");
    save("default", "alpha", "drained", "");
    save("other", "foreign", "active", "");
    assert_ok(billet_each_environment(context, collect, text, &error));
    ck_assert_str_eq(text, "alpha/s build1/f local/b sandbox/f zebra/s ");
    /* A file takes the place of a stored one. */
    char more[1024];
    snprintf(more, sizeof(more), "%s[environment zebra]\ndriver = local\n", files);
    context_reopen(more, NULL);
    text[0] = '\0';
    assert_ok(billet_each_environment(context, collect, text, &error));
    ck_assert_str_eq(text, "alpha/s build1/f local/b sandbox/f zebra/f ");
    ck_assert_str_eq(resolve("zebra", NULL), "zebra");
    ck_assert_str_eq(found.driver, "local");
}
END_TEST

START_TEST(built_in_ones_need_no_store)
{
    ck_assert_str_eq(resolve("local", NULL), "local");
    ck_assert_str_eq(resolve("build1", NULL), "build1");
    ck_assert_int_eq(access(in_scratch("state"), F_OK), -1); /* nothing was written */
    ck_assert_ptr_null(context->store);
}
END_TEST

START_TEST(the_context_refuses_what_it_cannot_understand)
{
    billet_context_close(context);
    context = NULL;
    assert_fails(context_open(files, "no such/tenant"), "usage");
    assert_fails(context_open("[store]\nurl\n", NULL), "config_syntax");
    ck_assert_ptr_nonnull(strstr(error.message, "/billet.conf:"));
    struct billet_strings set = BILLET_STRINGS_INIT;
    struct billet_context_request request = {.config = in_scratch("billet.conf"), .set = &set};
    unit_write_file(in_scratch("billet.conf"), files, 0644);
    ck_assert(billet_strings_add(&set, "=x"));
    assert_fails(billet_context_open(&request, false, &context, &error), "usage");
    billet_strings_free(&set);
    ck_assert(billet_strings_add(&set, "billet.environment=build1"));
    assert_ok(billet_context_open(&request, false, &context, &error));
    ck_assert_str_eq(resolve(NULL, NULL), "build1");
    billet_strings_free(&set);
}
END_TEST

static void
store_url_is(const char *configuration, const char *override, const char *wanted)
{
    struct billet_strings set = BILLET_STRINGS_INIT;
    struct billet_context_request request = {.config = in_scratch("billet.conf"), .set = &set};
    billet_context_close(context);
    context = NULL;
    unit_write_file(in_scratch("billet.conf"), configuration, 0644);
    ck_assert(override == NULL || billet_strings_add(&set, override));
    assert_ok(billet_context_open(&request, false, &context, &error));
    assert_ok(billet_context_store_url(context, &error));
    ck_assert_str_eq(context->store_url, wanted);
    billet_strings_free(&set);
}

START_TEST(the_store_waits_as_long_as_is_configured)
{
    unsetenv("BILLET_STORE");
    store_url_is("[store]\nurl = sqlite:/a/b.db\n", NULL, "sqlite:/a/b.db?lock_timeout=10s");
    store_url_is("[store]\nurl = sqlite:/a/b.db\nlock_timeout = 1h30m\n", "store.lock_timeout=3s",
                 "sqlite:/a/b.db?lock_timeout=3s");
    store_url_is("[store]\nurl = sqlite:/a/b.db?lock_timeout=7s\nlock_timeout = 3s\n", NULL,
                 "sqlite:/a/b.db?lock_timeout=7s");
    store_url_is("[store]\nurl = postgresql:///leases\n", NULL, "postgresql:///leases");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("run_resolve");
    TCase *tests = tcase_create("resolve");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_nearest_choice_wins);
    tcase_add_test(tests, what_was_chosen_is_never_replaced_by_another);
    tcase_add_test(tests, a_workspace_chooses_by_name_and_nothing_else);
    tcase_add_test(tests, a_billet_file_that_is_no_plain_small_file_is_refused);
    tcase_add_test(tests, another_tenants_environment_is_not_there);
    tcase_add_test(tests, stored_ones_are_found_and_inactive_ones_refused_with_the_reason);
    tcase_add_test(tests, the_list_has_each_name_once_in_order);
    tcase_add_test(tests, built_in_ones_need_no_store);
    tcase_add_test(tests, the_context_refuses_what_it_cannot_understand);
    tcase_add_test(tests, the_store_waits_as_long_as_is_configured);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
