/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as every verb reads them: what is an option, what is the command's, and what is
 * said when it is neither. */
#include <sys/wait.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli_fixture.h"

static const struct cli_option options[] = {
    {"environment", 'e', "NAME", "which one"},
    {"interactive", 'i', NULL, "pass the input"},
    {"tty", 't', NULL, "a terminal"},
    {"timeout", 300, "TIME", "how long"},
    {"keep", 301, NULL, "hold it"},
    CLI_OPTION_END,
};
static const char *const examples[] = {"billet try one", "billet try two", NULL};
static const struct cli_command try_command = {
    .name = "try",
    .synopsis = "[-e ENV] ARG...",
    .text = "Tries",
    .page = "billet-try(1)",
    .options = options,
    .examples = examples,
};
static const struct cli_command exec_command = {
    .name = "exec", .synopsis = "CMD", .text = "Runs", .page = "x(1)", .is_exec = true};

static struct cli cli;
static struct capture said;

/* Everything read: "id=value" of each option, then the arguments in brackets; "!" after an error,
 * whose lines are in said.text. */
static const char *
read_all(const struct cli_command *command, bool stop_at_argument, const char *const *words)
{
    static char text[4096];
    int id;
    text[0] = '\0';
    billet_strings_free(&cli.arguments);
    billet_strings_free(&cli.set);
    cli = (struct cli){.command = command, .argv = (char **)(uintptr_t)words};
    while (words[cli.argc] != NULL)
        cli.argc++;
    capture_begin(&said, STDERR_FILENO);
    while ((id = cli_next(&cli, stop_at_argument)) > 0) {
        char piece[300];
        if (id < 256)
            snprintf(piece, sizeof(piece), "%c=%s ", id, cli.value != NULL ? cli.value : "");
        else
            snprintf(piece, sizeof(piece), "%d=%s ", id, cli.value != NULL ? cli.value : "");
        strcat(text, piece);
    }
    capture_end(&said);
    for (size_t i = 0; i < cli.arguments.count; i++) {
        strcat(text, "[");
        strcat(text, cli.arguments.items[i]);
        strcat(text, "]");
    }
    if (id < 0)
        strcat(text, "!");
    return text;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
tear_down(void)
{
    billet_strings_free(&cli.arguments);
    billet_strings_free(&cli.set);
}

START_TEST(options_are_read_in_every_form)
{
    const struct {
        const char *const *words;
        const char *outcome;
    } cases[] = {
        {WORDS("-e", "a"), "e=a "},
        {WORDS("-ea"), "e=a "},
        {WORDS("--environment", "a"), "e=a "},
        {WORDS("--environment=a"), "e=a "},
        {WORDS("--environment="), "e= "},
        {WORDS("--environment=a=b"), "e=a=b "},
        {WORDS("-it"), "i= t= "},
        {WORDS("-itea"), "i= t= e=a "},
        {WORDS("-ite", "a", "x"), "i= t= e=a [x]"},
        {WORDS("-ei"), "e=i "},
        {WORDS("-e", "-i"), "e=-i "},
        {WORDS("-e", "--"), "e=-- "},
        {WORDS("--timeout", "5s", "--keep"), "300=5s 301= "},
        {WORDS("x", "-i", "y", "--keep"), "i= 301= [x][y]"},
        {WORDS("-i", "--", "-t", "--keep"), "i= [-t][--keep]"},
        {WORDS("--", "--"), "[--]"},
        {WORDS("-"), "[-]"},
        {WORDS("", "-i"), "i= []"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = read_all(&try_command, false, cases[i].words);
        ck_assert_msg(strcmp(got, cases[i].outcome) == 0, "case %zu: '%s', not '%s': %s", i, got,
                      cases[i].outcome, said.text);
        ck_assert_str_eq(said.text, "");
    }
}
END_TEST

START_TEST(the_command_that_is_run_keeps_its_own_options)
{
    ck_assert_str_eq(read_all(&try_command, true, WORDS("-i", "ls", "-e", "--help", "--", "x")),
                     "i= [ls][-e][--help][--][x]");
    ck_assert_str_eq(read_all(&try_command, true, WORDS("-i", "--", "-e", "--", "x")),
                     "i= [-e][--][x]");
    ck_assert_str_eq(read_all(&try_command, true, WORDS("-", "-i")), "[-][-i]");
}
END_TEST

START_TEST(a_wrong_option_is_named_with_the_nearest)
{
    const struct {
        const char *const *words;
        const char *says;
    } cases[] = {
        {WORDS("--enviroment", "a"),
         "unknown option '--enviroment' (did you mean '--environment'?)"},
        {WORDS("--jsn"), "(did you mean '--json'?)"},
        {WORDS("--zzzzzzzz"), "unknown option '--zzzzzzzz' [usage]"},
        {WORDS("--env=a"), "unknown option '--env'"}, /* no abbreviations */
        {WORDS("-x"), "unknown option '-x'"},
        {WORDS("-ix"), "unknown option '-x'"},
        {WORDS("--keep=yes"), "option '--keep' takes no value"},
        {WORDS("-e"), "option '--environment' needs a value: NAME"},
        {WORDS("--timeout"), "option '--timeout' needs a value: TIME"},
        {WORDS("--tenant"), "option '--tenant' needs a value: NAME"},
        {WORDS("--=x"), "unknown option '--'"},
        {WORDS("--\033[2J"), "unknown option '--\\x1b[2J'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = read_all(&try_command, false, cases[i].words);
        ck_assert_msg(strchr(got, '!') != NULL, "case %zu passed: %s", i, got);
        ck_assert_msg(strstr(said.text, cases[i].says) != NULL, "case %zu: %s", i, said.text);
        ck_assert_ptr_nonnull(strstr(said.text, "'billet try --help'"));
    }
}
END_TEST

START_TEST(common_options_work_with_every_verb)
{
    ck_assert_str_eq(read_all(&exec_command, false,
                              WORDS("--json", "--config", "f", "--store=s", "--tenant", "t",
                                    "--set", "a.b=c", "--set=d.e=f", "--no-headings", "x")),
                     "[x]");
    ck_assert(cli.json && cli.no_headings);
    ck_assert_str_eq(cli.request.config, "f");
    ck_assert_str_eq(cli.request.store, "s");
    ck_assert_str_eq(cli.request.tenant, "t");
    ck_assert_uint_eq(cli.set.count, 2);
    ck_assert_str_eq(cli.set.items[1], "d.e=f");
    read_all(&exec_command, false, WORDS("-v"));
    ck_assert(billet_log_wants(BILLET_LOG_INFO) && !billet_log_wants(BILLET_LOG_DEBUG));
    read_all(&exec_command, false, WORDS("--verbose"));
    ck_assert(billet_log_wants(BILLET_LOG_DEBUG));
    read_all(&exec_command, false, WORDS("-q"));
    ck_assert(billet_log_wants(BILLET_LOG_ERROR) && !billet_log_wants(BILLET_LOG_WARNING));
}
END_TEST

START_TEST(usage_errors_of_what_runs_commands_are_not_taken_for_the_commands_own)
{
    read_all(&try_command, false, WORDS("-x"));
    ck_assert_int_eq(cli_usage_status(&cli), BILLET_EXIT_USAGE);
    read_all(&exec_command, false, WORDS("-x"));
    ck_assert_int_eq(cli_usage_status(&cli), BILLET_EXIT_FAILED);
}
END_TEST

START_TEST(arguments_are_counted)
{
    static const struct {
        size_t minimum, maximum;
        int outcome;
        const char *says;
    } cases[] = {{2, 2, 0, ""},
                 {0, 9, 0, ""},
                 {3, 3, BILLET_EXIT_USAGE, "usage: billet try [-e ENV] ARG..."},
                 {0, 1, BILLET_EXIT_USAGE, "'two' is one argument too many"}};
    const char *words[] = {"one", "two", NULL};
    for (size_t i = 0; i < 4; i++) {
        billet_strings_free(&cli.arguments);
        cli = (struct cli){.command = &try_command, .argc = 2, .argv = (char **)(uintptr_t)words};
        capture_begin(&said, STDERR_FILENO);
        int outcome = cli_read_arguments(&cli, cases[i].minimum, cases[i].maximum);
        capture_end(&said);
        ck_assert_int_eq(outcome, cases[i].outcome);
        ck_assert_ptr_nonnull(strstr(said.text, cases[i].says));
    }
    words[0] = "--nonsense";
    billet_strings_free(&cli.arguments);
    cli = (struct cli){.command = &exec_command, .argc = 2, .argv = (char **)(uintptr_t)words};
    capture_begin(&said, STDERR_FILENO);
    ck_assert_int_eq(cli_read_arguments(&cli, 0, 9), BILLET_EXIT_FAILED);
    capture_end(&said);
}
END_TEST

START_TEST(help_names_every_option_and_ends_with_examples)
{
    const char *words[] = {"--help", NULL};
    capture_begin(&said, STDOUT_FILENO);
    pid_t child = fork();
    if (child == 0) { /* it exits */
        cli = (struct cli){.command = &try_command, .argc = 1, .argv = (char **)(uintptr_t)words};
        cli_next(&cli, false);
        _exit(77);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    capture_end(&said);
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_eq(strstr(said.text, "usage: billet try [-e ENV] ARG..."), said.text);
    for (const struct cli_option *o = options; o->name != NULL; o++) {
        ck_assert_ptr_nonnull(strstr(said.text, o->name));
        ck_assert_ptr_nonnull(strstr(said.text, o->text));
    }
    for (const struct cli_option *o = cli_common_options; o->name != NULL; o++)
        ck_assert_ptr_nonnull(strstr(said.text, o->text));
    ck_assert_ptr_nonnull(strstr(said.text, "  -e, --environment NAME"));
    const char *at = strstr(said.text, "Examples:\n  billet try one\n  billet try two\n");
    ck_assert_ptr_nonnull(at);
    ck_assert_str_eq(strstr(at, "\nSee"), "\nSee billet-try(1).\n");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("cli_arguments");
    TCase *tests = tcase_create("arguments");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_add_test(tests, options_are_read_in_every_form);
    tcase_add_test(tests, the_command_that_is_run_keeps_its_own_options);
    tcase_add_test(tests, a_wrong_option_is_named_with_the_nearest);
    tcase_add_test(tests, common_options_work_with_every_verb);
    tcase_add_test(tests, usage_errors_of_what_runs_commands_are_not_taken_for_the_commands_own);
    tcase_add_test(tests, arguments_are_counted);
    tcase_add_test(tests, help_names_every_option_and_ends_with_examples);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
