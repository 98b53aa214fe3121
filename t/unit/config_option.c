/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdint.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "config/option.h"
#include "config/parser.h"
#include "config_support.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const colours[] = {"red", "green", "blue", NULL};

static const struct billet_option table[] = {
    {.name = "host",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_REQUIRED,
     .minimum = 1,
     .maximum = 20,
     .pattern = "[a-z0-9.-]+",
     .text = "The machine. Its name \\ \"quoted\" or 'not'."},
    {.name = "port",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "22",
     .minimum = 1,
     .maximum = 65535,
     .text = ".Begins with a dot. 'And a quote."},
    {.name = "user", .type = BILLET_OPTION_STRING, .text = "Whom to be."},
    {.name = "fast", .type = BILLET_OPTION_BOOLEAN, .default_value = "yes", .text = "Quick?"},
    {.name = "wait",
     .type = BILLET_OPTION_DURATION,
     .default_value = "1m30s",
     .minimum = BILLET_NS_PER_SECOND,
     .text = "How long."},
    {.name = "memory",
     .type = BILLET_OPTION_SIZE,
     .minimum = 1024,
     .maximum = INT64_C(1) << 30,
     .flags = BILLET_OPTION_RELOAD,
     .text = "How much, in \xc3\xa4 bytes."},
    {.name = "directory", .type = BILLET_OPTION_PATH, .default_value = "/tmp", .text = "Where."},
    {.name = "colour",
     .type = BILLET_OPTION_CHOICE,
     .choices = colours,
     .default_value = "green",
     .text = "Which."},
    {.name = "jump",
     .type = BILLET_OPTION_LIST,
     .default_value = "a \"b c\"",
     .pattern = "[^/]*",
     .maximum = 3,
     .text = "Over whom."},
    {.name = "identity",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_SECRET,
     .text = "Which key."},
    {.name = "offset",
     .type = BILLET_OPTION_INTEGER,
     .minimum = -5,
     .maximum = -1,
     .text = "Negative only."},
};

static struct billet_settings
settings_of(const char *text)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    char whole[70000];
    snprintf(whole, sizeof(whole), "[environment e]\n%s", text);
    billet_parser_read("f", whole, strlen(whole), &document, &problems);
    support_expect_problems("settings", &problems, "");
    ck_assert(billet_settings_copy(&settings, &document.items[0].settings));
    billet_document_free(&document);
    return settings;
}

static struct billet_values
resolve(const char *text, struct billet_diagnostics *problems, int *result)
{
    struct billet_settings settings = settings_of(text);
    struct billet_origin place = {.text = (char *)(uintptr_t) "f", .line = 1, .column = 1};
    struct billet_values values = {0};
    *result = billet_options_resolve(table, COUNT(table), &settings, "[environment e]", &place,
                                     &values, problems);
    billet_settings_free(&settings);
    return values;
}

/* What is wrong with settings, where; "" is nothing. The section's header is line 1. */
static const struct {
    const char *text;
    const char *expected;
} mistakes[] = {
    {"host = a\n", ""},
    {"", "f:1:1: error: [environment e] 'host' is missing\n"},
    {"host = a\nusr = b\n",
     "f:3:1: error: [environment e] unknown key 'usr' (did you mean 'user'?)\n"},
    {"host = a\n  completely_else = b\n",
     "f:3:3: error: [environment e] unknown key 'completely_else'\n"},
    {"host =\n", "f:2:7: error: 'host' wants 1 to 20 bytes\n"},
    {"host = aaaaaaaaaaaaaaaaaaaa\n", ""},
    {"host = aaaaaaaaaaaaaaaaaaaaa\n", "f:2:8: error: 'host' wants 1 to 20 bytes\n"},
    {"host = a/b\n", "f:2:8: error: 'host': 'a/b' does not match [a-z0-9.-]+\n"},
    {"host = \"a\\nb\"\n", "f:2:8: error: 'host' wants one line\n"},
    {"host = a\nport = x\n", "f:3:8: error: 'port' wants a whole number, not 'x'\n"},
    {"host = a\nport = 1x\n", "f:3:8: error: 'port' wants a whole number, not '1x'\n"},
    {"host = a\nport = +1\n", "f:3:8: error: 'port' wants a whole number, not '+1'\n"},
    {"host = a\nport =\n", "f:3:7: error: 'port' wants a whole number, not ''\n"},
    {"host = a\nport = 0x10\n", "f:3:8: error: 'port' wants a whole number, not '0x10'\n"},
    {"host = a\nport = 0\n", "f:3:8: error: 'port' wants 1 to 65535\n"},
    {"host = a\nport = 65535\n", ""},
    {"host = a\nport = 65536\n", "f:3:8: error: 'port' wants 1 to 65535\n"},
    {"host = a\nport = 99999999999999999999\n",
     "f:3:8: error: 'port': 99999999999999999999 is too large a number\n"},
    {"host = a\noffset = -5\n", ""},
    {"host = a\noffset = -6\n", "f:3:10: error: 'offset' wants -5 to -1\n"},
    {"host = a\noffset = 0\n", "f:3:10: error: 'offset' wants -5 to -1\n"},
    {"host = a\nfast = maybe\n", "f:3:8: error: 'fast' wants yes or no, not 'maybe'\n"},
    {"host = a\nfast = Yes\n", "f:3:8: error: 'fast' wants yes or no, not 'Yes'\n"},
    {"host = a\nwait = 10\n",
     "f:3:8: error: 'wait': '10' is not a duration such as 250ms, 10s, 5m or 1h30m\n"},
    {"host = a\nwait = 999ms\n", "f:3:8: error: 'wait' wants at least 1s\n"},
    {"host = a\nwait = 1s\n", ""},
    {"host = a\nwait = 9999d\n", ""},
    {"host = a\nmemory = much\n",
     "f:3:10: error: 'memory': 'much' is not a size such as 64KiB, 512MiB or 2GiB\n"},
    {"host = a\nmemory = 1023\n", "f:3:10: error: 'memory' wants 1KiB to 1GiB\n"},
    {"host = a\nmemory = 2GiB\n", "f:3:10: error: 'memory' wants 1KiB to 1GiB\n"},
    {"host = a\ndirectory = tmp\n",
     "f:3:13: error: 'directory' wants an absolute path, not 'tmp'\n"},
    {"host = a\ncolour = gren\n",
     "f:3:10: error: 'colour' wants red, green or blue, not 'gren' (did you mean 'green'?)\n"},
    {"host = a\ncolour = black_and_white\n",
     "f:3:10: error: 'colour' wants red, green or blue, not 'black_and_white'\n"},
    {"host = a\njump = a b c d\n", "f:3:8: error: 'jump' wants 0 to 3 items\n"},
    {"host = a\njump = a b\njump = c d\n", "f:4:8: error: 'jump' wants 0 to 3 items\n"},
    {"host = a\njump = a\njump = b/c\n", "f:4:8: error: 'jump': 'b/c' does not match [^/]*\n"},
    {"host = a\njump = a \"b\n", "f:3:8: error: 'jump': the closing quote is missing\n"},
    {"host = a\njump = a \"b\"c\n",
     "f:3:8: error: 'jump': a blank is missing behind the closing quote\n"},
    {"host = a\nhost = b\n", "f:3:1: error: 'host' given twice (first in line 2)\n"},
    {"host = a\n\n  host = b\nhost = c\n", "f:4:3: error: 'host' given twice (first in line 2)\n"
                                           "f:5:1: error: 'host' given twice (first in line 2)\n"},
    {"host = a\nidentity = hunter2\n",
     "f:3:12: error: 'identity' is a secret: write @secret:NAME, @cred:NAME, @file:PATH or "
     "@env:NAME; 'billet secret set NAME' stores one\n"},
    {"host = a\nidentity =\n",
     "f:3:11: error: 'identity' is a secret: write @secret:NAME, @cred:NAME, @file:PATH or "
     "@env:NAME; 'billet secret set NAME' stores one\n"},
    {"host = a\nidentity = @secret:build1-key\n", ""},
    {"host = a\nidentity = @cred:a.b\n", ""},
    {"host = a\nidentity = @file:/etc/key\n", ""},
    {"host = a\nidentity = @env:API_KEY\n", ""},
    {"host = a\nidentity = @vault:main/kv/data/x#field\n", ""},
    {"host = a\nidentity = @secret:\n", "f:3:12: error: 'identity': what follows @secret: is not a "
                                        "name, or NAME@VERSION: letters, digits, '.', '_' "
                                        "and '-', at most 64\n"},
    {"host = a\nidentity = @secret:../x\n",
     "f:3:12: error: 'identity': what follows @secret: is not a name, or NAME@VERSION: letters, "
     "digits, '.', '_' "
     "and '-', at most 64\n"},
    {"host = a\nidentity = @cred:a/b\n",
     "f:3:12: error: 'identity': what follows @cred: is not a name: letters, digits, '.', '_' "
     "and '-', at most 64\n"},
    {"host = a\nidentity = @file:key\n",
     "f:3:12: error: 'identity': what follows @file: is not an absolute path\n"},
    {"host = a\nidentity = @env:1A\n",
     "f:3:12: error: 'identity': what follows @env: is not the name of an environment variable\n"},
    {"host = a\nidentity = @env:A-B\n",
     "f:3:12: error: 'identity': what follows @env: is not the name of an environment variable\n"},
    {"host = a\nidentity = @vault:main\n",
     "f:3:12: error: 'identity': what follows @vault: is not VAULT/PATH\n"},
    {"host = a\nidentity = @vault:/x\n",
     "f:3:12: error: 'identity': what follows @vault: is not VAULT/PATH\n"},
    {"host = a\nidentity = @vault:main/\n",
     "f:3:12: error: 'identity': what follows @vault: is not VAULT/PATH\n"},
    {"port = 0\nfoo = 1\n", "f:3:1: error: [environment e] unknown key 'foo'\n"
                            "f:1:1: error: [environment e] 'host' is missing\n"
                            "f:2:8: error: 'port' wants 1 to 65535\n"},
};

START_TEST(reports_at_the_place)
{
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    int result;
    struct billet_values values = resolve(mistakes[_i].text, &problems, &result);
    support_expect_problems(mistakes[_i].text, &problems, mistakes[_i].expected);
    ck_assert_int_eq(result, mistakes[_i].expected[0] == '\0' ? 0 : -BILLET_CLASS_CONFIG);
    billet_values_free(&values);
}
END_TEST

static const struct billet_value *
value_of(const struct billet_values *values, const char *name)
{
    for (size_t i = 0; i < values->count; i++)
        if (strcmp(values->items[i].name, name) == 0)
            return &values->items[i];
    ck_abort_msg("no value %s", name);
    return NULL;
}

START_TEST(values_are_parsed_and_defaulted)
{
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    int result;
    struct billet_values values = resolve("host = a\nmemory = 2MiB\noffset = -3\n"
                                          "identity = @env:X\nfast = no\n",
                                          &problems, &result);
    support_expect_problems("values", &problems, "");
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(values.count, COUNT(table));
    for (size_t i = 0; i < COUNT(table); i++) {
        ck_assert_str_eq(values.items[i].name, table[i].name);
        ck_assert_int_eq(values.items[i].type, table[i].type);
    }
    ck_assert_str_eq(value_of(&values, "host")->string, "a");
    ck_assert_int_eq(value_of(&values, "port")->number, 22);
    ck_assert_str_eq(value_of(&values, "port")->string, "22");
    ck_assert_int_eq(value_of(&values, "user")->is_set, 0);
    ck_assert_ptr_null(value_of(&values, "user")->string);
    ck_assert_int_eq(value_of(&values, "fast")->number, 0);
    ck_assert_int_eq(value_of(&values, "fast")->is_set, 1);
    ck_assert(value_of(&values, "wait")->number == 90 * BILLET_NS_PER_SECOND);
    ck_assert_int_eq(value_of(&values, "memory")->number, 2097152);
    ck_assert_str_eq(value_of(&values, "directory")->string, "/tmp");
    ck_assert_int_eq(value_of(&values, "colour")->number, 1);
    ck_assert_str_eq(value_of(&values, "identity")->string, "@env:X");
    ck_assert_int_eq(value_of(&values, "offset")->number, -3);
    const char *const *list = value_of(&values, "jump")->list;
    ck_assert_str_eq(list[0], "a");
    ck_assert_str_eq(list[1], "b c");
    ck_assert_ptr_null(list[2]);
    billet_values_free(&values);
    billet_values_free(NULL);
}
END_TEST

START_TEST(list_values_add_up)
{
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    int result;
    struct billet_values values =
        resolve("host = a\njump = x\njump = \"\\\"y \\\\\\\\z\\\" w\"\n", &problems, &result);
    support_expect_problems("list", &problems, "");
    const struct billet_value *jump = value_of(&values, "jump");
    ck_assert_str_eq(jump->list[0], "x");
    ck_assert_str_eq(jump->list[1], "y \\z");
    ck_assert_str_eq(jump->list[2], "w");
    ck_assert_ptr_null(jump->list[3]);
    ck_assert_str_eq(jump->string, "x \"y \\\\z\" w");
    billet_values_free(&values);
    values = resolve("host = a\njump =\n", &problems, &result);
    ck_assert_int_eq(value_of(&values, "jump")->is_set, 1);
    ck_assert_ptr_null(value_of(&values, "jump")->list[0]);
    billet_values_free(&values);
    billet_diagnostics_free(&problems);
}
END_TEST

START_TEST(later_source_wins_without_complaint)
{
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_values values = {0};
    billet_settings_add(&settings, "host", "a", "f", 3, 8, 1);
    billet_settings_add(&settings, "host", "b", "g", 3, 8, 1);
    billet_settings_add(&settings, "host", "c", "--set", 0, 0, 0);
    billet_settings_add(&settings, "host", "d", "--set", 0, 0, 0);
    ck_assert_int_eq(
        billet_options_resolve(table, COUNT(table), &settings, "w", NULL, &values, &problems), 0);
    ck_assert_str_eq(values.items[0].string, "d");
    billet_values_free(&values);
    billet_settings_free(&settings);
    billet_settings_add(&settings, "hots", "a", "--set", 0, 0, 0);
    billet_options_resolve(table, COUNT(table), &settings, "w", NULL, &values, &problems);
    support_expect_problems("no place", &problems,
                            "--set: error: w unknown key 'hots' (did you mean 'host'?)\n"
                            "error: w 'host' is missing\n");
    billet_values_free(&values);
    billet_settings_free(&settings);
}
END_TEST

/* A table of one option that is not sound, and what is said of it. */
static const char *const none[] = {NULL};
static const char *const twice[] = {"a", "a", NULL};
static const char *const odd[] = {"a", " b", NULL};
#define TEXT .text = "t"
static const struct {
    struct billet_option option;
    const char *expected;
} unsound[] = {
    {{.name = "a", .type = 1, TEXT}, NULL},
    {{.name = "a_1", .type = 8, TEXT, .minimum = 1, .maximum = 2}, NULL},
    {{.name = "key_file", .type = BILLET_OPTION_PATH, TEXT}, NULL},
    {{.name = "monkey", .type = 1, TEXT}, NULL},
    {{.name = NULL, .type = 1, TEXT}, "option 1: '' is not a name of form [a-z][a-z0-9_]*"},
    {{.name = "", .type = 1, TEXT}, "option 1: '' is not a name of form [a-z][a-z0-9_]*"},
    {{.name = "A", .type = 1, TEXT}, "option 1: 'A' is not a name of form [a-z][a-z0-9_]*"},
    {{.name = "a-b", .type = 1, TEXT}, "option 1: 'a-b' is not a name of form [a-z][a-z0-9_]*"},
    {{.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .type = 1, TEXT},
     "option 1: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not a name of form "
     "[a-z][a-z0-9_]*"},
    {{.name = "a", .type = 0, TEXT}, "option 'a' has the unknown type 0"},
    {{.name = "a", .type = 9, TEXT}, "option 'a' has the unknown type 9"},
    {{.name = "a", .type = 1, .flags = 8, TEXT}, "option 'a' has unknown flags 0x8"},
    {{.name = "a", .type = 1},
     "option 'a' has no text, or one that is not UTF-8 or over 8192 bytes"},
    {{.name = "a", .type = 1, .text = "\xff"},
     "option 'a' has no text, or one that is not UTF-8 or over 8192 bytes"},
    {{.name = "a", .type = 3, .flags = BILLET_OPTION_SECRET, TEXT},
     "option 'a': a secret has type string"},
    {{.name = "api_key", .type = 1, TEXT},
     "option 'api_key' looks like a secret but is not marked as one"},
    {{.name = "token", .type = 1, TEXT},
     "option 'token' looks like a secret but is not marked as one"},
    {{.name = "password_2", .type = 1, TEXT},
     "option 'password_2' looks like a secret but is not marked as one"},
    {{.name = "a", .type = 2, .maximum = 1, TEXT}, "option 'a': its type has no bounds"},
    {{.name = "a", .type = 3, .minimum = 2, .maximum = 1, TEXT},
     "option 'a': its minimum is above its maximum"},
    {{.name = "a", .type = 5, .minimum = -1, .maximum = 1, TEXT},
     "option 'a': its minimum is negative"},
    {{.name = "a", .type = 7, TEXT}, "option 'a': choices belong to type choice, and only there"},
    {{.name = "a", .type = 1, .choices = colours, TEXT},
     "option 'a': choices belong to type choice, and only there"},
    {{.name = "a", .type = 7, .choices = none, TEXT}, "option 'a' has no choices"},
    {{.name = "a", .type = 7, .choices = twice, TEXT}, "option 'a': choice 'a' twice"},
    {{.name = "a", .type = 7, .choices = odd, TEXT}, "option 'a': choice 2 is not a word"},
    {{.name = "a", .type = 3, .pattern = "1", TEXT}, "option 'a': its type has no pattern"},
    {{.name = "a", .type = 1, .pattern = "(", TEXT},
     "option 'a': its pattern is not a regular expression"},
    {{.name = "a", .type = 1, .pattern = "(a)\\1", TEXT},
     "option 'a': its pattern has a back reference"},
    {{.name = "a", .type = 1, .pattern = "((a{200}){200}){200}", TEXT},
     "option 'a': its pattern repeats too often"},
    {{.name = "a", .type = 1, .pattern = "a{1,99999}", TEXT},
     "option 'a': its pattern repeats too often"},
    {{.name = "a", .type = 1, .pattern = "\\{9999", TEXT}, NULL},
    {{.name = "a", .type = 1, .flags = BILLET_OPTION_REQUIRED, .default_value = "x", TEXT},
     "option 'a' is required and has a default"},
    {{.name = "a", .type = 3, .default_value = "x", TEXT},
     "option 'a': its default is wrong: 'a' wants a whole number, not 'x'"},
    {{.name = "a", .type = 8, .maximum = 1, .default_value = "x y", TEXT},
     "option 'a': its default is wrong: 'a' wants 0 to 1 items"},
};

START_TEST(tables_are_checked)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_options_check(&unsound[_i].option, 1, &error);
    if (unsound[_i].expected == NULL) {
        ck_assert_msg(result == 0, "%s", error.message);
        return;
    }
    ck_assert_str_eq(error.message, unsound[_i].expected);
    ck_assert_str_eq(error.code, "driver_schema_invalid");
    ck_assert_int_eq(result, -BILLET_CLASS_DRIVER);
}
END_TEST

START_TEST(tables_are_bounded_and_without_repeats)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_option pair[2] = {{.name = "a", .type = 1, TEXT}, {.name = "a", .type = 2, TEXT}};
    char pattern[258];
    ck_assert_int_eq(billet_options_check(table, COUNT(table), &error), 0);
    ck_assert_int_eq(billet_options_check(NULL, 0, &error), 0);
    billet_options_check(pair, 2, &error);
    ck_assert_str_eq(error.message, "option 'a' is declared twice");
    billet_options_check(pair, 257, &error);
    ck_assert_str_eq(error.message, "257 options; there may be 256");
    memset(pattern, 'a', 257);
    pattern[257] = '\0';
    pair[0].pattern = pattern;
    billet_options_check(pair, 1, &error);
    ck_assert_str_eq(error.message, "option 'a': its pattern is longer than 256 bytes");
    pair[0].pattern = pattern + 1;
    ck_assert_int_eq(billet_options_check(pair, 1, &error), 0);
}
END_TEST

/* The whole value, also where an alternative would be satisfied with less of it. */
START_TEST(patterns_match_the_whole_value)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool fits;
    } cases[] = {
        {"ab|abc", "abc", true}, {"a|b", "ab", false}, {"a*", "", true},
        {"a", "xa", false},      {"^a$", "a", true},   {"a", "a ", false},
        {"", "", true},          {"", "a", false},     {"(a|ab)(c|bcd)", "abcd", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct billet_option option = {
            .name = "a", .type = 1, .pattern = cases[i].pattern, .text = "t"};
        int result = billet_option_check_text(&option, cases[i].text, NULL);
        ck_assert_msg((result == 0) == cases[i].fits, "%s on %s", cases[i].pattern, cases[i].text);
    }
}
END_TEST

START_TEST(tables_travel_as_json)
{
    struct billet_option_table back = {0};
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_json json_t *array = billet_options_to_json(table, COUNT(table));
    ck_assert_ptr_nonnull(array);
    ck_assert_int_eq(billet_options_from_json(array, &back, &error), 0);
    ck_assert_int_eq(back.count, COUNT(table));
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct billet_option *a = &table[i];
        const struct billet_option *b = &back.items[i];
        ck_assert_str_eq(a->name, b->name);
        ck_assert_int_eq(a->type, b->type);
        ck_assert_uint_eq(a->flags, b->flags);
        ck_assert_pstr_eq(a->default_value, b->default_value);
        ck_assert(a->minimum == b->minimum && a->maximum == b->maximum);
        ck_assert_pstr_eq(a->pattern, b->pattern);
        ck_assert_str_eq(a->text, b->text);
        ck_assert((a->choices == NULL) == (b->choices == NULL));
        for (size_t j = 0; a->choices != NULL && j < 4; j++)
            ck_assert_pstr_eq(a->choices[j], b->choices[j]);
    }
    billet_option_table_free(&back);
    billet_option_table_free(NULL);
}
END_TEST

START_TEST(json_from_outside_is_checked)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"{}", "the options are not a list of at most 256"},
        {"[1]", "an option is not an object"},
        {"[{}]", "option '' has no name, no known type or odd flags"},
        {"[{\"name\":1}]", "an option's 'name' is not a string"},
        {"[{\"name\":\"a\",\"type\":\"strong\"}]",
         "option 'a' has no name, no known type or odd flags"},
        {"[{\"name\":\"a\",\"type\":\"string\",\"flags\":-1}]",
         "option 'a' has no name, no known type or odd flags"},
        {"[{\"name\":\"a\",\"type\":\"string\",\"minimum\":\"1\"}]",
         "an option's 'minimum' is not a whole number"},
        {"[{\"name\":\"a\",\"type\":\"choice\",\"choices\":[1]}]",
         "an option's 'choices' is not a list of strings"},
        {"[{\"name\":\"a\",\"type\":\"string\"}]",
         "option 'a' has no text, or one that is not UTF-8 or over 8192 bytes"},
        {"[{\"name\":\"a\",\"type\":\"string\",\"text\":\"t\"},"
         "{\"name\":\"a\",\"type\":\"string\",\"text\":\"t\"}]",
         "option 'a' is declared twice"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct billet_option_table back = {0};
        struct billet_error error = BILLET_ERROR_INIT;
        cleanup_json json_t *array = json_loads(cases[i].text, 0, NULL);
        ck_assert_int_eq(billet_options_from_json(array, &back, &error), -BILLET_CLASS_DRIVER);
        ck_assert_str_eq(error.message, cases[i].expected);
        ck_assert_str_eq(error.code, "driver_schema_invalid");
        ck_assert_ptr_null(back.items);
    }
}
END_TEST

START_TEST(schema_says_what_the_table_says)
{
    static const char expected[] =
        "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"ssh\","
        "\"description\":\"A host.\",\"type\":\"object\",\"additionalProperties\":false,"
        "\"properties\":{"
        "\"host\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":20,"
        "\"pattern\":\"^([a-z0-9.-]+)$\","
        "\"description\":\"The machine. Its name \\\\ \\\"quoted\\\" or 'not'.\"},"
        "\"port\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65535,\"default\":22,"
        "\"description\":\".Begins with a dot. 'And a quote.\"},"
        "\"user\":{\"type\":\"string\",\"description\":\"Whom to be.\"},"
        "\"fast\":{\"type\":\"boolean\",\"default\":true,\"description\":\"Quick?\"},"
        "\"wait\":{\"type\":\"string\",\"format\":\"billet-duration\","
        "\"pattern\":\"^(0|([0-9]+(d|h|m|s|ms|us|ns))+)$\",\"x-minimum-ns\":1000000000,"
        "\"default\":\"1m30s\",\"description\":\"How long.\"},"
        "\"memory\":{\"type\":\"string\",\"format\":\"billet-size\","
        "\"pattern\":\"^[0-9]+([KMGT](iB)?|B)?$\",\"x-minimum-bytes\":1024,"
        "\"x-maximum-bytes\":1073741824,\"description\":\"How much, in \xc3\xa4 bytes.\"},"
        "\"directory\":{\"type\":\"string\",\"format\":\"billet-path\",\"pattern\":\"^/\","
        "\"default\":\"/tmp\",\"description\":\"Where.\"},"
        "\"colour\":{\"type\":\"string\",\"enum\":[\"red\",\"green\",\"blue\"],"
        "\"default\":\"green\",\"description\":\"Which.\"},"
        "\"jump\":{\"items\":{\"type\":\"string\",\"pattern\":\"^([^/]*)$\"},\"type\":\"array\","
        "\"minItems\":0,\"maxItems\":3,\"default\":[\"a\",\"b c\"],"
        "\"description\":\"Over whom.\"},"
        "\"identity\":{\"type\":\"string\",\"format\":\"secret-ref\","
        "\"pattern\":\"^@(secret|cred|file|env|vault):.+$\",\"description\":\"Which key.\"},"
        "\"offset\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":-1,"
        "\"description\":\"Negative only.\"}},"
        "\"required\":[\"host\"]}";
    cleanup_json json_t *schema = billet_options_to_schema("ssh", "A host.", table, COUNT(table));
    cleanup_free char *text = billet_json_text(schema);
    ck_assert_str_eq(text, expected);
}
END_TEST

static char *
render(bool mdoc, const struct billet_option *options, size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (mdoc)
        billet_options_to_mdoc(to, options, count);
    else
        billet_options_to_snippet(to, "ssh", options, count);
    fclose(to);
    return text;
}

START_TEST(snippet_is_a_config_file)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    cleanup_free char *text = render(false, table, COUNT(table));
    billet_parser_read("snippet", text, strlen(text), &document, &problems);
    support_expect_problems(text, &problems, "");
    ck_assert_int_eq(document.count, 1);
    ck_assert_str_eq(document.items[0].name, "NAME");
    ck_assert_int_eq(document.items[0].settings.count, 2); /* driver, and what is required */
    ck_assert_str_eq(document.items[0].settings.items[1].name, "host");
    billet_document_free(&document);
    ck_assert_ptr_nonnull(strstr(text, "\n# integer, 1 to 65535\n#port = 22\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n# choice: red, green, blue\n#colour = green\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n# secret\n#identity = @secret:NAME\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n# string, 1 to 20; required\nhost = \n"));

    /* With the comment signs taken away, and host given, it is still right. */
    for (char *at = text; (at = strstr(at, "\n#")) != NULL; at++)
        if (at[2] != ' ')
            at[1] = ' ';
    billet_parser_read("snippet", text, strlen(text), &document, &problems);
    support_expect_problems(text, &problems, "");
    ck_assert_int_eq(document.items[0].settings.count, COUNT(table) + 1);
    billet_document_free(&document);
}
END_TEST

START_TEST(mdoc_hides_what_roff_would_read)
{
    cleanup_free char *text = render(true, table, COUNT(table));
    ck_assert_msg(strncmp(text,
                          ".Bl -tag -width Ds\n"
                          ".It Ic \"\\&host\" No = Ar string\n"
                          "The machine.\n"
                          "Its name \\e \\(dqquoted\\(dq or \\(aqnot\\(aq.\n",
                          strlen(".Bl -tag -width Ds\n.It Ic \"\\&host\" No = Ar string\nThe "
                                 "machine.\nIts name \\e \\(dqquoted\\(dq")) == 0,
                  "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "\n\\&.Begins with a dot.\n\\&\\(aqAnd a quote.\n"));
    ck_assert_ptr_nonnull(strstr(text, "\\[u00E4] bytes."));
    ck_assert_ptr_nonnull(strstr(text, "\n.Cm \"\\&blue\" .\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n.Ql \"\\&1m30s\" .\n"));
    ck_assert_str_eq(text + strlen(text) - 5, "\n.El\n");
    cleanup_free char *empty = render(true, table, 0);
    ck_assert_str_eq(empty, "There are none.\n");
}
END_TEST

/* mandoc reads the page and has nothing to say; without mandoc the test above must do. */
START_TEST(mdoc_passes_the_linter)
{
    if (system("command -v mandoc >/dev/null 2>&1") != 0)
        return;
    cleanup_free char *text = render(true, table, COUNT(table));
    FILE *to = popen("mandoc -T lint -W style", "w");
    ck_assert_ptr_nonnull(to);
    fprintf(to,
            ".Dd November 20, 2026\n.Dt X 7\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Sh DESCRIPTION\nText.\n"
            ".Sh OPTIONS\n%s",
            text);
    int status = pclose(to);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "mandoc complains of:\n%s", text);
}
END_TEST

START_TEST(names_and_ranges_are_written)
{
    char range[160];
    ck_assert_str_eq(billet_option_type_name(BILLET_OPTION_LIST), "list");
    ck_assert_str_eq(billet_option_type_name(0), "unknown");
    ck_assert_str_eq(billet_option_type_name(9), "unknown");
    billet_option_format_range(range, sizeof(range), &table[4]);
    ck_assert_str_eq(range, "at least 1s");
    billet_option_format_range(range, sizeof(range), &table[2]);
    ck_assert_str_eq(range, "");
    ck_assert_ptr_eq(billet_option_find(table, COUNT(table), "port"), &table[1]);
    ck_assert_ptr_null(billet_option_find(table, COUNT(table), "por"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("config_option");
    TCase *cases = tcase_create("option");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, reports_at_the_place, 0, (int)COUNT(mistakes));
    tcase_add_loop_test(cases, tables_are_checked, 0, (int)COUNT(unsound));
    tcase_add_test(cases, values_are_parsed_and_defaulted);
    tcase_add_test(cases, list_values_add_up);
    tcase_add_test(cases, later_source_wins_without_complaint);
    tcase_add_test(cases, tables_are_bounded_and_without_repeats);
    tcase_add_test(cases, patterns_match_the_whole_value);
    tcase_add_test(cases, tables_travel_as_json);
    tcase_add_test(cases, json_from_outside_is_checked);
    tcase_add_test(cases, schema_says_what_the_table_says);
    tcase_add_test(cases, snippet_is_a_config_file);
    tcase_add_test(cases, mdoc_hides_what_roff_would_read);
    tcase_add_test(cases, mdoc_passes_the_linter);
    tcase_add_test(cases, names_and_ranges_are_written);
    suite_add_tcase(suite, cases);
    return support_main(suite);
}
