/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs print: tables that stay tables whatever their cells hold, JSON, ages, questions. */
#include <inttypes.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/json.h"
#include "cli/output.h"
#include "cli_fixture.h"

static struct capture said;

static const char *
print_table(bool no_headings, const char *const *cells)
{
    static const char *const headings[] = {"NAME", "STATE", "WHY", NULL};
    struct cli cli = {.no_headings = no_headings};
    struct cli_table table;
    cli_table_open(&table, headings);
    for (; *cells != NULL; cells++)
        cli_table_cell(&table, *cells);
    capture_begin(&said, STDOUT_FILENO);
    cli_table_print(&table, &cli);
    return capture_end(&said);
}

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
    ck_assert_str_eq(
        print_table(false, (const char *const[]){"a", "active", "x", "long-name", "", "y", NULL}),
        "NAME       STATE   WHY\n"
        "a          active  x\n"
        "long-name  -       y\n");
    ck_assert_str_eq(print_table(true, (const char *const[]){"a", "b", "c", NULL}), "a  b  c\n");
    ck_assert_str_eq(print_table(false, (const char *const[]){NULL}), "NAME  STATE  WHY\n");
    ck_assert_str_eq(print_table(true, (const char *const[]){NULL}), "");
    /* A character is one column, not its bytes. */
    ck_assert_str_eq(print_table(true, (const char *const[]){"\xc3\xa9\xc3\xa9", "b", "c", "xyz",
                                                             "b", "c", NULL}),
                     "\xc3\xa9\xc3\xa9   b  c\nxyz  b  c\n");
}
END_TEST

START_TEST(a_cell_can_not_break_the_table_or_the_terminal)
{
    const char *text =
        print_table(true, (const char *const[]){"a\nforged", "\033[31m\xff", "\xc2\x9b", NULL});
    ck_assert_str_eq(text, "a\\nforged  \\x1b[31m\\xff  \\xc2\\x9b\n");
    char *long_cell = malloc(100001);
    memset(long_cell, 'x', 100000);
    long_cell[100000] = '\0';
    text = print_table(true, (const char *const[]){long_cell, "b", "c", NULL});
    ck_assert_uint_lt(strlen(text), 2000);
    ck_assert_ptr_nonnull(strstr(text, "  b  c\n"));
    free(long_cell);
    capture_begin(&said, STDOUT_FILENO);
    cli_print_field("Name", "a\nb\033");
    cli_print_field("Empty", "");
    cli_print_field("Null", NULL);
    ck_assert_str_eq(capture_end(&said), "Name           a\\nb\\x1b\n");
}
END_TEST

START_TEST(json_is_one_value_and_a_newline)
{
    json_t *value = NULL;
    capture_begin(&said, STDOUT_FILENO);
    cli_print_json(json_pack("{s:i, s:[s]}", "a", 1, "b", "x"));
    const char *text = capture_end(&said);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    ck_assert_int_eq(billet_json_parse(text, strlen(text), &value, NULL), 0);
    ck_assert_int_eq(billet_json_integer(value, "a", 0), 1);
    json_decref(value);
    capture_begin(&said, STDOUT_FILENO);
    cli_print_json(NULL); /* memory ran out: still JSON */
    ck_assert_str_eq(capture_end(&said), "null\n");
}
END_TEST

START_TEST(ages_are_short_and_never_lie_about_the_direction)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{0, "0s"},       {119, "119s"},  {120, "2m"},   {7199, "119m"}, {7200, "2h"},
                 {172799, "47h"}, {172800, "2d"}, {-90, "-90s"}, {-7200, "-2h"}, {864000, "10d"}};
    char text[32];
    const int64_t now = INT64_C(1763659740) * BILLET_NS_PER_SECOND;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_format_age(text, sizeof(text), now - cases[i].seconds * BILLET_NS_PER_SECOND, now);
        ck_assert_str_eq(text, cases[i].text);
    }
    cli_format_age(text, sizeof(text), 0, now);
    ck_assert_str_eq(text, "-");
}
END_TEST

START_TEST(nobody_is_asked_without_a_terminal)
{
    int ends[2];
    int saved = dup(STDIN_FILENO);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(write(ends[1], "yes\n", 4), 4);
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    capture_begin(&said, STDERR_FILENO);
    bool answer = cli_confirm("sure? ");
    capture_end(&said);
    dup2(saved, STDIN_FILENO);
    ck_assert(!answer);
    ck_assert_str_eq(said.text, "");
    close(saved), close(ends[0]), close(ends[1]);
}
END_TEST

START_TEST(only_yes_is_yes_on_a_terminal)
{
    static const struct {
        const char *typed;
        bool answer;
    } cases[] = {{"y\n", true},   {"yes\n", true}, {"\n", false},   {"n\n", false},
                 {"ye\n", false}, {"Y\n", false},  {"\004", false}, {"yes please\n", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        pid_t child = fork();
        if (child == 0) {
            dup2(slave, STDIN_FILENO);
            dup2(slave, STDERR_FILENO);
            _exit(cli_confirm("sure? ") ? 1 : 0);
        }
        char shown[7] = "";
        ck_assert_int_eq(read(master, shown, 6), 6); /* the question comes first */
        ck_assert_str_eq(shown, "sure? ");
        ck_assert_int_eq(write(master, cases[i].typed, strlen(cases[i].typed)),
                         (int)strlen(cases[i].typed));
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == cases[i].answer, "case %zu", i);
        close(slave), close(master);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("cli_output");
    TCase *tests = tcase_create("output");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, columns_are_as_wide_as_their_widest_cell);
    tcase_add_test(tests, a_cell_can_not_break_the_table_or_the_terminal);
    tcase_add_test(tests, json_is_one_value_and_a_newline);
    tcase_add_test(tests, ages_are_short_and_never_lie_about_the_direction);
    tcase_add_test(tests, nobody_is_asked_without_a_terminal);
    tcase_add_test(tests, only_yes_is_yes_on_a_terminal);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
