/* SPDX-License-Identifier: Apache-2.0 */
#include <billet/driver.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "config/environment.h"
#include "config/parser.h"
#include "config_support.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char base[64];

static void
set_up(void)
{
    snprintf(base, sizeof(base), "/tmp/billet-environment-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    umask(022);
    unsetenv("BILLET_STORE");
    unsetenv("BILLET_ENVIRONMENT");
    unsetenv("BILLET_LOG_LEVEL");
}

static void
tear_down(void)
{
    support_remove_tree(base);
}

/* The first section of a text as an environment. */
static struct billet_environment
environment_of(const char *text)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    billet_parser_read("f", text, strlen(text), &document, &problems);
    support_expect_problems(text, &problems, "");
    int result = billet_environment_from_section(&document.items[0], &made, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    billet_document_free(&document);
    return made;
}

START_TEST(a_section_becomes_an_environment)
{
    struct billet_environment made =
        environment_of("[environment build1]\ndriver = ssh\ntenant = acme\ndescription = a b\n"
                       "host = h\nenv.A = 1\nprovision = \"x\\ny\"\nworkspace = overlay\n"
                       "timeout = 5m\nkill_after = 3s\nreuse = yes\nenv.B_2 =\nhost = i\n");
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    ck_assert_str_eq(made.id, "");
    ck_assert_str_eq(made.name, "build1");
    ck_assert_str_eq(made.driver, "ssh");
    ck_assert_str_eq(made.tenant, "acme");
    ck_assert_str_eq(made.description, "a b");
    ck_assert_str_eq(made.status, "active");
    ck_assert_str_eq(made.reason, "");
    ck_assert_str_eq(made.source, "file");
    ck_assert_int_eq(made.origin.line, 1);
    ck_assert_uint_eq(made.settings.count, 9);
    ck_assert_int_eq(made.workspace_mode, -1);
    for (int round = 0; round < 2; round++) { /* resolving again gives the same */
        ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
        support_expect_problems("resolve", &problems, "");
        ck_assert_int_eq(made.workspace_mode, BILLET_WORKSPACE_OVERLAY);
        ck_assert(made.timeout_ns == 300 * BILLET_NS_PER_SECOND);
        ck_assert(made.kill_after_ns == 3 * BILLET_NS_PER_SECOND);
        ck_assert(made.reuse);
        ck_assert_str_eq(made.provision, "x\ny");
        ck_assert_uint_eq(made.variables.count, 2);
        ck_assert_str_eq(made.variables.items[0], "A=1");
        ck_assert_str_eq(made.variables.items[1], "B_2=");
        ck_assert_uint_eq(made.driver_settings.count, 2);
        ck_assert_str_eq(made.driver_settings.items[0].name, "host");
        ck_assert_str_eq(made.driver_settings.items[1].value, "i");
        ck_assert_int_eq(made.driver_settings.items[1].origin.line, 13);
    }
    struct billet_environment copy = BILLET_ENVIRONMENT_INIT;
    made.revision = 7;
    made.created_ns = 8;
    made.updated_ns = 9;
    ck_assert_int_eq(billet_environment_copy(&copy, &made, NULL), 0);
    billet_environment_free(&made);
    billet_environment_free(NULL);
    ck_assert_ptr_null(made.name);
    ck_assert_str_eq(copy.name, "build1");
    ck_assert_str_eq(copy.provision, "x\ny");
    ck_assert_str_eq(copy.variables.items[0], "A=1");
    ck_assert_uint_eq(copy.settings.count, 9);
    ck_assert_uint_eq(copy.driver_settings.count, 2);
    ck_assert_int_eq(copy.workspace_mode, BILLET_WORKSPACE_OVERLAY);
    ck_assert_int_eq(copy.revision, 7);
    ck_assert_int_eq(copy.created_ns, 8);
    ck_assert_int_eq(copy.updated_ns, 9);
    ck_assert(copy.reuse && copy.kill_after_ns != 0 && copy.timeout_ns != 0);
    ck_assert_str_eq(copy.origin.text, "f");
    billet_environment_free(&copy);
}
END_TEST

START_TEST(variables_hold_literals_and_references)
{
    struct billet_environment made = environment_of(
        "[environment a]\ndriver = local\nenv.A = @secret:k\nenv.B = @home\nenv.C = a@b:c\n");
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
    ck_assert_str_eq(billet_strings_value(&made.variables, "A"), "@secret:k");
    ck_assert_str_eq(billet_strings_value(&made.variables, "B"), "@home");
    ck_assert_str_eq(billet_strings_value(&made.variables, "C"), "a@b:c");
    billet_environment_free(&made);
}
END_TEST

START_TEST(defaults_of_what_is_not_written)
{
    struct billet_environment made = environment_of("[environment a]\ndriver = local\n");
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
    ck_assert_str_eq(made.tenant, "");
    ck_assert_str_eq(made.description, "");
    ck_assert_int_eq(made.workspace_mode, -1);
    ck_assert_int_eq(made.timeout_ns, 0);
    ck_assert(made.kill_after_ns == 10 * BILLET_NS_PER_SECOND);
    ck_assert(!made.reuse);
    ck_assert_ptr_null(made.provision);
    billet_environment_free(&made);
}
END_TEST

static const struct {
    const char *text;
    int mode;
} modes[] = {
    {"in_place", BILLET_WORKSPACE_IN_PLACE},
    {"bind", BILLET_WORKSPACE_BIND},
    {"overlay", BILLET_WORKSPACE_OVERLAY},
    {"copy", BILLET_WORKSPACE_COPY},
};

START_TEST(workspace_modes_have_their_numbers)
{
    char text[128];
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    snprintf(text, sizeof(text), "[environment a]\ndriver = x\nworkspace = %s\n", modes[_i].text);
    struct billet_environment made = environment_of(text);
    ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
    ck_assert_int_eq(made.workspace_mode, modes[_i].mode);
    billet_environment_free(&made);
}
END_TEST

static const struct {
    const char *text;
    const char *expected;
} mistakes[] = {
    {"workspace = here\n",
     "f:3:13: error: 'workspace' wants in_place, bind, overlay or copy, not 'here'\n"},
    {"timeout = 10\n",
     "f:3:11: error: 'timeout': '10' is not a duration such as 250ms, 10s, 5m or 1h30m\n"},
    {"timeout = 400d\n", "f:3:11: error: 'timeout' wants 0 to 366d\n"},
    {"kill_after = 2h\n", "f:3:14: error: 'kill_after' wants 0 to 1h\n"},
    {"reuse = 1\n", "f:3:9: error: 'reuse' wants yes or no, not '1'\n"},
    {"timeout = 1s\ntimeout = 2s\n", "f:4:1: error: 'timeout' given twice (first in line 3)\n"},
    {"env.1A = x\n", "f:3:1: error: 'env.1A': the name of a variable is letters, digits and '_', "
                     "and does not begin with a digit\n"},
    {"env.A = @secret:a/b\n", "f:3:9: error: 'env.A': what follows @secret: is not a name, or "
                              "NAME@VERSION: letters, digits, '.', '_' and "
                              "'-', at most 64\n"},
    {"env. = x\n", "f:3:1: error: 'env.': the name of a variable is letters, digits and '_', "
                   "and does not begin with a digit\n"},
    {"env.A-B = x\n", "f:3:1: error: 'env.A-B': the name of a variable is letters, digits and "
                      "'_', and does not begin with a digit\n"},
};

START_TEST(core_keys_are_checked_at_their_places)
{
    char text[256];
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    snprintf(text, sizeof(text), "[environment a]\ndriver = x\n%s", mistakes[_i].text);
    struct billet_environment made = environment_of(text);
    ck_assert_int_eq(billet_environment_resolve(&made, &problems), -BILLET_CLASS_CONFIG);
    support_expect_problems(text, &problems, mistakes[_i].expected);
    billet_environment_free(&made);
}
END_TEST

START_TEST(an_environment_of_the_store_needs_a_driver_too)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    made.name = strdup("a");
    made.source = strdup("store");
    ck_assert_int_lt(billet_environment_resolve(&made, &problems), 0);
    support_expect_problems("store", &problems,
                            "store: error: [environment a] 'driver' is missing\n");
    made.driver = strdup("no name");
    ck_assert_int_lt(billet_environment_resolve(&made, &problems), 0);
    support_expect_problems(
        "store", &problems,
        "store: error: 'driver': 'no name' does not match [A-Za-z0-9][A-Za-z0-9._-]*\n");
    billet_environment_free(&made);
}
END_TEST

START_TEST(builtin_ones)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    static const char *const names[] = {"local", "sandbox"};
    for (size_t i = 0; i < 2; i++) {
        ck_assert(billet_environment_builtin(names[i], &made));
        ck_assert_str_eq(made.name, names[i]);
        ck_assert_str_eq(made.driver, names[i]);
        ck_assert_str_eq(made.source, "builtin");
        ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
        billet_environment_free(&made);
    }
    ck_assert(!billet_environment_builtin("ssh", &made));
    made = environment_of("[environment sandbox]\nmemory_max = 1GiB\n");
    ck_assert_str_eq(made.driver, "sandbox");
    ck_assert_str_eq(made.source, "file");
    billet_environment_free(&made);
}
END_TEST

START_TEST(a_section_without_driver_is_refused)
{
    struct billet_section section = {.kind = (char *)(uintptr_t) "environment",
                                     .name = (char *)(uintptr_t) "a",
                                     .origin = {(char *)(uintptr_t) "f", 4, 1}};
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_environment_from_section(&section, &made, &error),
                     -BILLET_CLASS_CONFIG);
    ck_assert_str_eq(error.message, "f:4:1: [environment a] 'driver' is missing");
    ck_assert_str_eq(error.code, "value_missing");
    ck_assert_ptr_null(made.name);
}
END_TEST

/* A draft and what is said of it; @ stands for its path. */
static const struct {
    const char *text;
    const char *expected;
} drafts[] = {
    {"[environment x]\ndriver = ssh\nhost = h\n", ""},
    {"", "@:1:1: error: a draft has exactly one section [environment NAME]\n"},
    {"[driver x]\n", "@:1:1: error: a draft has exactly one section [environment NAME]\n"},
    {"[environment x]\ndriver = a\n[store]\n",
     "@:3:1: error: a draft has exactly one section [environment NAME]\n"},
    {"[environment]\ndriver = a\n", "@:1:1: error: [environment] wants a name: write "
                                    "[environment NAME]\n"},
    {"[environment x]\nhost = h\n", "@:1:1: error: [environment x] 'driver' is missing\n"},
    {"[environment x]\ndriver = a\nenv.A = 1\nenv.A = 2\n",
     "@:4:1: error: 'env.A' given twice (first in line 3)\n"},
    {"[environment x\n", "@:1:15: error: ']' is missing at the end of the section header\n"},
};

START_TEST(drafts_are_read)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    char path[128];
    char expected[512] = "";
    snprintf(path, sizeof(path), "%s/draft.conf", base);
    support_write(base, "draft.conf", drafts[_i].text);
    if (drafts[_i].expected[0] == '@')
        snprintf(expected, sizeof(expected), "%s%s", path, drafts[_i].expected + 1);
    int result = billet_environment_from_file(path, &made, &problems, &error);
    support_expect_problems(drafts[_i].text, &problems, expected);
    ck_assert_int_eq(result, expected[0] == '\0' ? 0 : -BILLET_CLASS_CONFIG);
    if (result == 0)
        ck_assert_str_eq(made.driver, "ssh");
    else
        ck_assert_ptr_null(made.name);
    billet_environment_free(&made);
}
END_TEST

START_TEST(a_draft_that_is_not_there)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    char path[128];
    snprintf(path, sizeof(path), "%s/none.conf", base);
    ck_assert_int_lt(billet_environment_from_file(path, &made, &problems, &error), 0);
    ck_assert_int_eq(error.sys_errno, ENOENT);
}
END_TEST

START_TEST(driver_defaults_lie_below_the_environment)
{
    struct billet_configuration *view = NULL;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_environment made =
        environment_of("[environment a]\ndriver = ssh\nport = 1\nport = 2\nuser = u\n");
    char path[128];
    support_write(base, "c.conf",
                  "[driver ssh]\nenabled = yes\nport = 22\nconnect_timeout = 10s\njump = a\n"
                  "jump = b\nrequired = no\n");
    snprintf(path, sizeof(path), "%s/c.conf", base);
    struct billet_configuration_sources from = {.file = path};
    ck_assert_int_eq(billet_configuration_load(&from, &view, &problems, NULL), 0);
    ck_assert_int_eq(billet_environment_resolve(&made, &problems), 0);
    ck_assert_int_eq(billet_environment_apply_defaults(view, &made), 0);
    static const char *const wanted[][2] = {{"connect_timeout", "10s"},
                                            {"jump", "a"},
                                            {"jump", "b"},
                                            {"port", "1"},
                                            {"port", "2"},
                                            {"user", "u"}};
    ck_assert_uint_eq(made.driver_settings.count, COUNT(wanted));
    for (size_t i = 0; i < COUNT(wanted); i++) {
        ck_assert_str_eq(made.driver_settings.items[i].name, wanted[i][0]);
        ck_assert_str_eq(made.driver_settings.items[i].value, wanted[i][1]);
    }
    ck_assert_str_eq(made.driver_settings.items[0].origin.text, path);
    ck_assert_int_eq(made.driver_settings.items[0].origin.line, 4);
    billet_environment_free(&made);
    made = environment_of("[environment a]\ndriver = vm\nport = 1\n");
    billet_environment_resolve(&made, &problems);
    ck_assert_int_eq(billet_environment_apply_defaults(view, &made), 0);
    ck_assert_uint_eq(made.driver_settings.count, 1);
    billet_environment_free(&made);
    billet_configuration_free(view);
}
END_TEST

START_TEST(settings_travel_as_json)
{
    struct billet_environment made = environment_of(
        "[environment a]\ndriver = ssh\nhost = h\njump = a\nenv.A = \"\\xff\"\njump = b\n"
        "jump = c\n");
    struct billet_environment back = BILLET_ENVIRONMENT_INIT;
    cleanup_json json_t *object = billet_environment_settings_to_json(&made);
    cleanup_free char *text = billet_json_text(object);
    ck_assert_str_eq(text, "{\"host\":\"h\",\"jump\":[\"a\",\"b\",\"c\"],"
                           "\"env.A\":{\"base64\":\"/w==\"}}");
    ck_assert_int_eq(billet_environment_settings_from_json(&back, object, NULL), 0);
    ck_assert_int_eq(billet_environment_settings_from_json(&back, object, NULL), 0);
    ck_assert_uint_eq(back.settings.count, 5);
    ck_assert_str_eq(back.settings.items[3].value, "c");
    ck_assert_str_eq(back.settings.items[4].value, "\xff");
    ck_assert_str_eq(back.settings.items[0].origin.text, "store");
    ck_assert_int_eq(back.settings.items[0].origin.line, 0);
    billet_environment_free(&back);
    billet_environment_free(&made);
}
END_TEST

START_TEST(json_of_another_shape_is_refused)
{
    static const char *const cases[] = {"[]", "{\"a\":1}", "{\"a\":[\"x\",null]}",
                                        "{\"a\":{\"b\":1}}", "{\"a\":{\"base64\":\"AA==\"}}"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct billet_environment back = BILLET_ENVIRONMENT_INIT;
        struct billet_error error = BILLET_ERROR_INIT;
        cleanup_json json_t *object = json_loads(cases[i], 0, NULL);
        ck_assert_int_eq(billet_environment_settings_from_json(&back, object, &error),
                         -BILLET_CLASS_CONFIG);
        ck_assert_str_eq(error.code, "value_invalid");
        ck_assert_uint_eq(back.settings.count, 0);
    }
}
END_TEST

/* xorshift: the same values in every run */
static uint32_t
next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

START_TEST(snippets_read_back_the_same)
{
    uint32_t state = 88172645u;
    for (int round = 0; round < 500; round++) {
        struct billet_environment made =
            environment_of("[environment a]\ndriver = ssh\ntenant = t\ndescription = \" d \"\n");
        for (int i = 0; i < 10; i++) {
            char name[32];
            char value[80];
            size_t length = next_random(&state) % (sizeof(value) - 1);
            for (size_t j = 0; j < length; j++)
                value[j] = (char)(next_random(&state) % 255 + 1);
            value[length] = '\0';
            snprintf(name, sizeof(name), i % 2 == 0 ? "key_%d" : "env.K%d", i / 3);
            ck_assert(billet_settings_add(&made.settings, name, value, "store", 0, 0, 0));
        }
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        billet_environment_to_snippet(to, &made);
        fclose(to);
        struct billet_environment back = environment_of(text);
        ck_assert_str_eq(back.name, made.name);
        ck_assert_str_eq(back.driver, made.driver);
        ck_assert_str_eq(back.tenant, made.tenant);
        ck_assert_str_eq(back.description, " d ");
        ck_assert_uint_eq(back.settings.count, made.settings.count);
        for (size_t i = 0; i < back.settings.count; i++) {
            ck_assert_str_eq(back.settings.items[i].name, made.settings.items[i].name);
            ck_assert_str_eq(back.settings.items[i].value, made.settings.items[i].value);
        }
        billet_environment_free(&back);
        billet_environment_free(&made);
        free(text);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("config_environment");
    TCase *cases = tcase_create("environment");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, a_section_becomes_an_environment);
    tcase_add_test(cases, variables_hold_literals_and_references);
    tcase_add_test(cases, defaults_of_what_is_not_written);
    tcase_add_loop_test(cases, workspace_modes_have_their_numbers, 0, (int)COUNT(modes));
    tcase_add_loop_test(cases, core_keys_are_checked_at_their_places, 0, (int)COUNT(mistakes));
    tcase_add_test(cases, an_environment_of_the_store_needs_a_driver_too);
    tcase_add_test(cases, builtin_ones);
    tcase_add_test(cases, a_section_without_driver_is_refused);
    tcase_add_loop_test(cases, drafts_are_read, 0, (int)COUNT(drafts));
    tcase_add_test(cases, a_draft_that_is_not_there);
    tcase_add_test(cases, driver_defaults_lie_below_the_environment);
    tcase_add_test(cases, settings_travel_as_json);
    tcase_add_test(cases, json_of_another_shape_is_refused);
    tcase_add_test(cases, snippets_read_back_the_same);
    suite_add_tcase(suite, cases);
    return support_main(suite);
}
