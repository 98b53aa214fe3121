/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "base/buffer.h"
#include "config/parser.h"
#include "config_support.h"

/* What was read, as "[kind name]@line:column" and "key=value@line:column/name_column" lines. */
static char *
dump(const struct billet_document *document)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    for (size_t i = 0; i < document->count; i++) {
        const struct billet_section *section = &document->items[i];
        fprintf(to, "[%s %s]@%d:%d\n", section->kind, section->name, section->origin.line,
                section->origin.column);
        for (size_t j = 0; j < section->settings.count; j++) {
            const struct billet_setting *setting = &section->settings.items[j];
            fprintf(to, "%s=%s@%d:%d/%d\n", setting->name, setting->value, setting->origin.line,
                    setting->origin.column, setting->name_column);
        }
    }
    fclose(to);
    return text;
}

static const struct {
    const char *text;
    const char *expected;
} good[] = {
    {"", ""},
    {"\n\n  \n\t\n", ""},
    {"# a\n; b\n   # c\n", ""},
    {"# a comment does not join \\\n[store]\n", "[store ]@2:1\n"},
    {"[store]", "[store ]@1:1\n"},
    {"  [store]  \n", "[store ]@1:3\n"},
    {"[ environment   build1 ]\n", "[environment build1]@1:1\n"},
    {"[environment a.b-c_d]\n", "[environment a.b-c_d]@1:1\n"},
    {"[store]\nurl=x", "[store ]@1:1\nurl=x@2:5/1\n"},
    {"[store]\nurl = x y  z \t\n", "[store ]@1:1\nurl=x y  z@2:7/1\n"},
    {"[store]\n\t url\t=\tx\n", "[store ]@1:1\nurl=x@2:9/3\n"},
    {"[store]\nurl =\n", "[store ]@1:1\nurl=@2:6/1\n"},
    {"[store]\nurl = \"\"\n", "[store ]@1:1\nurl=@2:7/1\n"},
    {"[store]\nurl = a#b ; c # d\n", "[store ]@1:1\nurl=a#b ; c # d@2:7/1\n"},
    {"[store]\nurl = a = b\n", "[store ]@1:1\nurl=a = b@2:7/1\n"},
    {"[store]\nurl = \" a \"\n", "[store ]@1:1\nurl= a @2:7/1\n"},
    {"[store]\nurl = \"a\\tb\\\\c\\\"d\\x41\\x7e\"  \n", "[store ]@1:1\nurl=a\tb\\c\"dA~@2:7/1\n"},
    {"[store]\nurl = \"a\\nb\"\n", "[store ]@1:1\nurl=a\nb@2:7/1\n"},
    {"[store]\nurl = a\\nb\n", "[store ]@1:1\nurl=a\\nb@2:7/1\n"},
    {"[store]\nurl = a \"b c\" d\n", "[store ]@1:1\nurl=a \"b c\" d@2:7/1\n"},
    {"[store]\nurl = a\\\nb\nx = y\n", "[store ]@1:1\nurl=ab@2:7/1\nx=y@4:5/1\n"},
    {"[store]\nurl = \\\n  b\n", "[store ]@1:1\nurl=b@3:3/1\n"},
    {"[store]\nurl = \"a\\\n b\"\n", "[store ]@1:1\nurl=a b@2:7/1\n"},
    {"[st\\\nore]\nurl = 1\n", "[store ]@1:1\nurl=1@3:7/1\n"},
    {"[store]\nurl \\\n = \\\n 1\n", "[store ]@1:1\nurl=1@4:2/1\n"},
    {"[a]\nx=1\n[b]\n[a]\ny=2\n", "[a ]@1:1\nx=1@2:3/1\n[b ]@3:1\n[a ]@4:1\ny=2@5:3/1\n"},
    {"[a]\nenv.FOO_1 = x\n", "[a ]@1:1\nenv.FOO_1=x@2:13/1\n"},
    {"[a]\nx = \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n",
     "[a ]@1:1\nx=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80@2:5/1\n"},
    {"[a]\nx = \"\\xff\\xFE\"\n", "[a ]@1:1\nx=\xff\xfe@2:5/1\n"},
};

START_TEST(reads)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    int result =
        billet_parser_read("f", good[_i].text, strlen(good[_i].text), &document, &problems);
    support_expect_problems(good[_i].text, &problems, "");
    ck_assert_int_eq(result, 0);
    char *text = dump(&document);
    ck_assert_str_eq(text, good[_i].expected);
    free(text);
    billet_document_free(&document);
}
END_TEST

static const struct {
    const char *text;
    const char *expected; /* problems */
    const char *read;     /* what is read all the same */
} bad[] = {
    {"x = 1\ny = 2\n", "f:1:1: error: 'x' stands before any section: write [kind name] above it\n",
     ""},
    {"[]\n", "f:1:2: error: a section's kind is missing: write [kind name]\n", ""},
    {"[ ]\nx = 1\n", "f:1:3: error: a section's kind is missing: write [kind name]\n", ""},
    {"[a", "f:1:3: error: ']' is missing at the end of the section header\n", ""},
    {"[a b c]\n", "f:1:6: error: ']' is missing at the end of the section header\n", ""},
    {"[a b\n[c]\nx=1\n", "f:1:5: error: ']' is missing at the end of the section header\n",
     "[c ]@2:1\nx=1@3:3/1\n"},
    {"[a\"b\"]\n", "f:1:3: error: ']' is missing at the end of the section header\n", ""},
    {"[a] # x\n",
     "f:1:5: error: nothing may follow a section header; comments go on their own line\n", ""},
    {"[a]\nx\ny = 2\n", "f:2:2: error: '=' is missing after 'x'\n", "[a ]@1:1\ny=2@3:5/1\n"},
    {"[a]\nx y = 2\n", "f:2:3: error: '=' is missing after 'x'\n", "[a ]@1:1\n"},
    {"[a]\n  = 2\n", "f:2:3: error: expected [kind name], key = value or a comment\n",
     "[a ]@1:1\n"},
    {"[a]\n1x = 2\n", "f:2:1: error: expected [kind name], key = value or a comment\n",
     "[a ]@1:1\n"},
    {"[a]\n\"x\" = 2\n", "f:2:1: error: expected [kind name], key = value or a comment\n",
     "[a ]@1:1\n"},
    {"[a]\nx = \"abc\ny = 1\n", "f:2:5: error: the closing quote is missing\n",
     "[a ]@1:1\ny=1@3:5/1\n"},
    {"[a]\nx = \"a\" b\n", "f:2:9: error: nothing may follow the closing quote\n", "[a ]@1:1\n"},
    {"[a]\nx = \"a\\q\"\n", "f:2:7: error: unknown escape: there are \\n \\t \\\\ \\\" and \\xNN\n",
     "[a ]@1:1\n"},
    {"[a]\nx = \"a\\x4\"\n", "f:2:7: error: \\x wants two hexadecimal digits\n", "[a ]@1:1\n"},
    {"[a]\nx = \"a\\xg0\"\n", "f:2:7: error: \\x wants two hexadecimal digits\n", "[a ]@1:1\n"},
    {"[a]\nx = \"ab\\x00\"\n", "f:2:8: error: a value holds no NUL byte\n", "[a ]@1:1\n"},
    {"[a]\nx = \"a\\\nb\\q\"\n",
     "f:3:2: error: unknown escape: there are \\n \\t \\\\ \\\" and \\xNN\n", "[a ]@1:1\n"},
    {"[a]\nx = \xff\n", "f:2:5: error: byte \\xff is not UTF-8; in quotes it can be written so\n",
     ""},
    {"[a]\nx = \xc3\xa4\xed\xa0\x80\n",
     "f:2:7: error: byte \\xed is not UTF-8; in quotes it can be written so\n", ""},
    {"[a]\n# \xc3", "f:2:3: error: byte \\xc3 is not UTF-8; in quotes it can be written so\n", ""},
    {"[a]\r\nx = 1\r\n",
     "f:1:4: error: the line ends in a carriage return: save the file with UNIX line ends\n", ""},
    {"[a]\nx = \x1b[31m\n", "f:2:5: error: control byte \\x1b; in quotes it can be written so\n",
     ""},
    {"[a]\nx = \x7f\n", "f:2:5: error: control byte \\x7f; in quotes it can be written so\n", ""},
    {"[a]\nx = 1\\", "f:2:6: error: the last line ends in a backslash, but no line follows\n", ""},
    {"[a]\nx\n[\ny\n[b]\n=\n",
     "f:2:2: error: '=' is missing after 'x'\n"
     "f:3:2: error: a section's kind is missing: write [kind name]\n"
     "f:6:1: error: expected [kind name], key = value or a comment\n",
     "[a ]@1:1\n[b ]@5:1\n"},
};

START_TEST(reports)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    int result = billet_parser_read("f", bad[_i].text, strlen(bad[_i].text), &document, &problems);
    support_expect_problems(bad[_i].text, &problems, bad[_i].expected);
    ck_assert_int_eq(result, -BILLET_CLASS_CONFIG);
    char *text = dump(&document);
    ck_assert_str_eq(text, bad[_i].read);
    free(text);
    billet_document_free(&document);
}
END_TEST

START_TEST(refuses_nul)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    ck_assert_int_lt(billet_parser_read("f", "[a]\nx = \0y\n", 11, &document, &problems), 0);
    support_expect_problems("NUL", &problems, "f:2:5: error: a config file holds no NUL byte\n");
    billet_document_free(&document);
}
END_TEST

/* length bytes of 'a' as one value, on lines joined after every step bytes when step is not 0 */
static void
read_long(size_t length, size_t step, const char *expected)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_buffer text = BILLET_BUFFER_INIT;
    billet_buffer_add(&text, "[a]\nx = ");
    size_t start = text.length - 4;
    while (text.length - start < length) {
        billet_buffer_add_char(&text, 'a');
        if (step != 0 && (text.length - start) % step == 0)
            billet_buffer_add(&text, "\\\n");
    }
    billet_buffer_add(&text, "\ny = 1\n");
    billet_parser_read("f", text.data, text.length, &document, &problems);
    support_expect_problems("long line", &problems, expected);
    const struct billet_settings *settings = &document.items[0].settings;
    ck_assert_int_eq(settings->count, expected[0] == '\0' ? 2 : 1);
    ck_assert_str_eq(settings->items[settings->count - 1].name, "y");
    billet_buffer_free(&text);
    billet_document_free(&document);
}

START_TEST(bounds_lines)
{
    read_long(BILLET_PARSER_LINE_MAX, 0, "");
    read_long(BILLET_PARSER_LINE_MAX + 1, 0, "f:2:1: error: a line is at most 65536 bytes\n");
    read_long(BILLET_PARSER_LINE_MAX - 10, 1000, "");
    read_long(BILLET_PARSER_LINE_MAX + 1, 1000, "f:2:1: error: a line is at most 65536 bytes\n");
}
END_TEST

START_TEST(bounds_names)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    char text[1024];
    char name[BILLET_PARSER_NAME_MAX + 2];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(text, sizeof(text), "[a]\n %s = 1\n%s = 2\n[%s]\n", name, name + 1, name);
    billet_parser_read("f", text, strlen(text), &document, &problems);
    support_expect_problems("names", &problems,
                            "f:2:2: error: a name is at most 256 bytes\n"
                            "f:4:2: error: a name is at most 256 bytes\n");
    ck_assert_int_eq(document.items[0].settings.count, 1);
    billet_document_free(&document);
}
END_TEST

START_TEST(bounds_files_and_settings)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_buffer text = BILLET_BUFFER_INIT;
    char *large = malloc(BILLET_PARSER_FILE_MAX + 1);
    memset(large, '\n', BILLET_PARSER_FILE_MAX + 1);
    ck_assert_int_eq(billet_parser_read("f", large, BILLET_PARSER_FILE_MAX, &document, &problems),
                     0);
    ck_assert_int_lt(
        billet_parser_read("f", large, BILLET_PARSER_FILE_MAX + 1, &document, &problems), 0);
    support_expect_problems("file", &problems,
                            "f: error: a config file is at most 1048576 bytes\n");
    free(large);
    billet_buffer_add(&text, "[a]\n");
    for (size_t i = 0; i <= BILLET_PARSER_SETTINGS_MAX; i++)
        billet_buffer_format(&text, "x%zu = 1\n", i);
    billet_parser_read("f", text.data, text.length, &document, &problems);
    support_expect_problems("settings", &problems,
                            "f:10001:1: error: more than 10000 settings in one file\n");
    ck_assert_int_eq(document.items[0].settings.count, BILLET_PARSER_SETTINGS_MAX - 1);
    billet_buffer_free(&text);
    billet_document_free(&document);
    for (size_t i = 0; i <= BILLET_PARSER_SETTINGS_MAX; i++)
        billet_buffer_add(&text, "[a]\n");
    billet_parser_read("f", text.data, text.length, &document, &problems);
    support_expect_problems("headers", &problems,
                            "f:10001:1: error: more than 10000 settings in one file\n");
    ck_assert_int_eq(document.count, BILLET_PARSER_SETTINGS_MAX);
    billet_buffer_free(&text);
    billet_document_free(&document);
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

START_TEST(quoting_round_trips)
{
    static const char likely[] = " \t\n\\\"#;=[]x\xc3\xa4\xff\x01\r";
    uint32_t state = 2463534242u;
    for (int round = 0; round < 5000; round++) {
        struct billet_document document = BILLET_DOCUMENT_INIT;
        struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
        char value[65];
        size_t length = next_random(&state) % 64;
        for (size_t i = 0; i < length; i++)
            value[i] = round % 2 == 0 ? likely[next_random(&state) % (sizeof(likely) - 1)]
                                      : (char)(next_random(&state) % 255 + 1);
        value[length] = '\0';
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        fputs("[a]\nx = ", to);
        billet_parser_write_value(to, value);
        fputs("\ny = end\n", to);
        fclose(to);
        billet_parser_read("f", text, size, &document, &problems);
        support_expect_problems(text, &problems, "");
        ck_assert_int_eq(document.items[0].settings.count, 2);
        ck_assert_str_eq(document.items[0].settings.items[0].value, value);
        free(text);
        billet_document_free(&document);
    }
}
END_TEST

START_TEST(writes_plain_values_bare)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"a b", "a b"},
        {"a#\"b\"", "a#\"b\""},
        {" a", "\" a\""},
        {"a ", "\"a \""},
        {"\"a\"", "\"\\\"a\\\"\""},
        {"a\\", "\"a\\\\\""},
        {"a\\b", "a\\b"},
        {"a\nb", "\"a\\nb\""},
        {"\x01", "\"\\x01\""},
        {"\xff\xc3\xa4", "\"\\xff\\xc3\\xa4\""},
        {"\xc3\xa4", "\xc3\xa4"},
        {"\xc3\xa4\t", "\"\xc3\xa4\\t\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        billet_parser_write_value(to, cases[i][0]);
        fclose(to);
        ck_assert_str_eq(text, cases[i][1]);
        free(text);
    }
}
END_TEST

START_TEST(settings_keep_order_and_the_last_wins)
{
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_settings copy = BILLET_SETTINGS_INIT;
    ck_assert(billet_settings_add(&settings, "a", "1", "f", 1, 5, 1));
    ck_assert(billet_settings_add(&settings, "b", "2", "f", 2, 5, 1));
    ck_assert(billet_settings_add(&settings, "a", "3", "g", 3, 6, 2));
    ck_assert_str_eq(billet_settings_get(&settings, "a")->value, "3");
    ck_assert_ptr_null(billet_settings_get(&settings, "c"));
    ck_assert(billet_settings_copy(&copy, &settings));
    billet_settings_remove(&settings, "a");
    ck_assert_int_eq(settings.count, 1);
    ck_assert_str_eq(settings.items[0].name, "b");
    ck_assert_int_eq(copy.count, 3);
    ck_assert_str_eq(copy.items[2].origin.text, "g");
    ck_assert_int_eq(copy.items[2].origin.column, 6);
    ck_assert_int_eq(copy.items[2].name_column, 2);
    billet_settings_free(&settings);
    billet_settings_free(&copy);
}
END_TEST

START_TEST(diagnostics_become_one_error)
{
    struct billet_diagnostics list = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_WARNING, "f", 1, 2, "value_invalid", "odd");
    ck_assert_int_eq(billet_diagnostics_error(&list, &error), 0);
    billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_ERROR, "f\x1b", 3, 4, "config_syntax", "bad %d",
                           7);
    ck_assert_int_eq(billet_diagnostics_error(&list, &error), -BILLET_CLASS_CONFIG);
    ck_assert_str_eq(error.message, "f\\x1b:3:4: bad 7");
    ck_assert_str_eq(error.code, "config_syntax");
    ck_assert_str_eq(error.hint, "");
    billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_ERROR, "", 0, 0, "config_syntax", "a\nb");
    billet_diagnostics_error(&list, &error);
    ck_assert_str_eq(error.hint, "1 more; see billet config check");
    support_expect_problems("print", &list,
                            "f:1:2: warning: odd\nf\\x1b:3:4: error: bad 7\nerror: a\\nb\n");
    billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_ERROR, "f", 0, 0, "path_untrusted", "x");
    ck_assert_int_eq(billet_diagnostics_error(&list, &error), -BILLET_CLASS_AUTH);
    billet_diagnostics_free(&list);
}
END_TEST

START_TEST(diagnostics_are_bounded_but_errors_counted)
{
    struct billet_diagnostics list = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    for (int i = 0; i < 1000; i++)
        billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_WARNING, "f", 1, 1, "x", "y");
    ck_assert(!list.overflow);
    billet_diagnostics_add(&list, BILLET_DIAGNOSTIC_ERROR, "f", 1, 1, "x", "y");
    ck_assert(list.overflow);
    ck_assert_int_eq(list.count, 1000);
    ck_assert_int_eq(list.errors, 1);
    ck_assert_int_lt(billet_diagnostics_error(&list, &error), 0);
    char *text = support_problems(&list);
    ck_assert_ptr_nonnull(strstr(text, "\nerror: there are more problems than are shown\n"));
    free(text);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("config_parser");
    TCase *cases = tcase_create("parser");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, reads, 0, (int)(sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(cases, reports, 0, (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(cases, refuses_nul);
    tcase_add_test(cases, bounds_lines);
    tcase_add_test(cases, bounds_names);
    tcase_add_test(cases, bounds_files_and_settings);
    tcase_add_test(cases, quoting_round_trips);
    tcase_add_test(cases, writes_plain_values_bare);
    tcase_add_test(cases, settings_keep_order_and_the_last_wins);
    tcase_add_test(cases, diagnostics_become_one_error);
    tcase_add_test(cases, diagnostics_are_bounded_but_errors_counted);
    suite_add_tcase(suite, cases);
    return support_main(suite);
}
