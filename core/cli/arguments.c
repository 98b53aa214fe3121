/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arguments.c - options as every verb reads them: long ones with = or the next
 * word, letters that may be joined, -- ends them. getopt_long would permute and
 * print in words of its own; this follows the table that the help is made from.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"

enum {
    COMMON_CONFIG = 1000,
    COMMON_STORE,
    COMMON_SET,
    COMMON_TENANT,
    COMMON_JSON,
    COMMON_NO_HEADINGS,
    COMMON_VERBOSE,
    COMMON_QUIET,
    COMMON_HELP,
};

const struct cli_option cli_common_options[] = {
    {"config", COMMON_CONFIG, "FILE", "read only this file (BILLET_CONFIG)"},
    {"store", COMMON_STORE, "URL", "use this store, sqlite:PATH (BILLET_STORE)"},
    {"set", COMMON_SET, "SECTION.KEY=VALUE", "override one setting"},
    {"tenant", COMMON_TENANT, "NAME", "act for this tenant, 'default' when not given"},
    {"json", COMMON_JSON, NULL, "print JSON"},
    {"no-headings", COMMON_NO_HEADINGS, NULL, "print tables without their first line"},
    {"verbose", COMMON_VERBOSE, NULL, "say more; twice for debugging"},
    {"quiet", COMMON_QUIET, NULL, "say only errors"},
    {"help", COMMON_HELP, NULL, "print this help"},
    CLI_OPTION_END,
};

int
cli_usage_status(const struct cli *cli)
{
    return cli->command != NULL && cli->command->is_exec ? BILLET_EXIT_FAILED : BILLET_EXIT_USAGE;
}

int
cli_usage(struct cli *cli, const char *format, ...)
{
    char text[BILLET_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    billet_log(BILLET_LOG_ERROR, "%s [usage]", text);
    if (cli->command != NULL)
        billet_log(BILLET_LOG_ERROR, "'billet %s --help' shows the options", cli->command->name);
    return cli_usage_status(cli);
}

static int
unknown_option(struct cli *cli, const char *name)
{
    const char *names[64];
    size_t count = 0;
    const struct cli_option *tables[] = {cli->command->options, cli_common_options};
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL && count < 63;
             o++)
            names[count++] = o->name;
    names[count] = NULL;
    const char *near = billet_text_nearest(name, names);
    if (near != NULL)
        cli_usage(cli, "unknown option '--%s' (did you mean '--%s'?)", name, near);
    else
        cli_usage(cli, "unknown option '--%s'", name);
    return -1;
}

static const struct cli_option *
find_long(const struct cli *cli, const char *name, size_t length)
{
    const struct cli_option *tables[] = {cli->command->options, cli_common_options};
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (strlen(o->name) == length && strncmp(o->name, name, length) == 0)
                return o;
    return NULL;
}

static const struct cli_option *
find_letter(const struct cli *cli, char letter)
{
    for (const struct cli_option *o = cli->command->options; o != NULL && o->name != NULL; o++)
        if (o->id == letter)
            return o;
    static const struct cli_option help = {"help", COMMON_HELP, NULL, NULL};
    static const struct cli_option verbose = {"verbose", COMMON_VERBOSE, NULL, NULL};
    static const struct cli_option quiet = {"quiet", COMMON_QUIET, NULL, NULL};
    return letter == 'h' ? &help : letter == 'v' ? &verbose : letter == 'q' ? &quiet : NULL;
}

/* Handles a common option; false when id is the verb's own. Exits for --help. */
static bool
take_common(struct cli *cli, int id)
{
    static int level = BILLET_LOG_WARNING;
    switch (id) {
    case COMMON_CONFIG:
        cli->request.config = cli->value;
        return true;
    case COMMON_STORE:
        cli->request.store = cli->value;
        return true;
    case COMMON_SET:
        billet_strings_add(&cli->set, cli->value);
        return true;
    case COMMON_TENANT:
        cli->request.tenant = cli->value;
        return true;
    case COMMON_JSON:
        cli->json = true;
        return true;
    case COMMON_NO_HEADINGS:
        cli->no_headings = true;
        return true;
    case COMMON_VERBOSE:
        level = level < BILLET_LOG_INFO ? BILLET_LOG_INFO : BILLET_LOG_DEBUG;
        billet_log_setup("billet", level, false);
        cli->level_given = true;
        return true;
    case COMMON_QUIET:
        level = BILLET_LOG_ERROR;
        billet_log_setup("billet", level, false);
        cli->level_given = true;
        return true;
    case COMMON_HELP:
        cli_help(cli->command);
        exit(fflush(stdout) == 0 ? BILLET_EXIT_OK : BILLET_EXIT_FAILED);
    default:
        return false;
    }
}

/* The option at the current place, or NULL with *id -1 after an error. */
static const struct cli_option *
read_option(struct cli *cli)
{
    const struct cli_option *option;
    const char *word;
    cli->value = NULL;
    if (cli->cluster == NULL && billet_text_starts(cli->argv[cli->position], "--")) {
        word = cli->argv[cli->position++] + 2;
        size_t length = strcspn(word, "=");
        option = find_long(cli, word, length);
        if (option == NULL) {
            char name[64];
            snprintf(name, sizeof(name), "%.*s", (int)(length < 63 ? length : 63), word);
            unknown_option(cli, name);
            return NULL;
        }
        if (word[length] == '=') {
            if (option->argument == NULL) {
                cli_usage(cli, "option '--%s' takes no value", option->name);
                return NULL;
            }
            cli->value = word + length + 1;
            return option;
        }
    } else {
        const char *letters = cli->cluster != NULL ? cli->cluster : cli->argv[cli->position] + 1;
        option = find_letter(cli, *letters);
        if (option == NULL) {
            cli_usage(cli, "unknown option '-%c'", *letters);
            return NULL;
        }
        letters++;
        if (option->argument != NULL && *letters != '\0') {
            cli->value = letters;
            letters += strlen(letters);
        }
        cli->cluster = *letters != '\0' ? letters : NULL;
        if (cli->cluster == NULL)
            cli->position++;
    }
    if (option->argument != NULL && cli->value == NULL) {
        if (cli->position >= cli->argc) {
            cli_usage(cli, "option '--%s' needs a value: %s", option->name, option->argument);
            return NULL;
        }
        cli->value = cli->argv[cli->position++];
    }
    return option;
}

int
cli_next(struct cli *cli, bool stop_at_argument)
{
    while (cli->position < cli->argc) {
        const char *word = cli->argv[cli->position];
        if (cli->cluster == NULL) {
            if (!cli->only_arguments && strcmp(word, "--") == 0) {
                cli->only_arguments = true;
                cli->position++;
                continue;
            }
            if (cli->only_arguments || word[0] != '-' || word[1] == '\0') {
                if (!billet_strings_add(&cli->arguments, word))
                    return -1;
                cli->position++;
                cli->only_arguments = cli->only_arguments || stop_at_argument;
                continue;
            }
        }
        const struct cli_option *option = read_option(cli);
        if (option == NULL)
            return -1;
        if (!take_common(cli, option->id))
            return option->id;
    }
    return 0;
}

int
cli_read_arguments(struct cli *cli, size_t minimum, size_t maximum)
{
    int id = cli_next(cli, false);
    if (id != 0)
        return cli_usage_status(cli);
    if (cli->arguments.count < minimum)
        return cli_usage(cli, "usage: billet %s %s", cli->command->name, cli->command->synopsis);
    if (cli->arguments.count > maximum)
        return cli_usage(cli, "'%s' is one argument too many", cli->arguments.items[maximum]);
    return 0;
}

static void
print_option(const struct cli_option *option)
{
    char left[64];
    int letter = option->id < 256               ? option->id
                 : option->id == COMMON_HELP    ? 'h'
                 : option->id == COMMON_VERBOSE ? 'v'
                 : option->id == COMMON_QUIET   ? 'q'
                                                : 0;
    if (letter != 0)
        snprintf(left, sizeof(left), "-%c, --%s%s%s", letter, option->name,
                 option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
    else
        snprintf(left, sizeof(left), "    --%s%s%s", option->name,
                 option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
    if (strlen(left) < 28)
        printf("  %-28s%s\n", left, option->text);
    else
        printf("  %s\n  %-28s%s\n", left, "", option->text);
}

void
cli_help(const struct cli_command *command)
{
    printf("usage: billet %s %s\n\n%s.\n", command->name, command->synopsis, command->text);
    if (command->options != NULL) {
        printf("\nOptions:\n");
        for (const struct cli_option *o = command->options; o->name != NULL; o++)
            print_option(o);
    }
    printf("\nCommon options:\n");
    for (const struct cli_option *o = cli_common_options; o->name != NULL; o++)
        print_option(o);
    printf("\nExamples:\n");
    for (const char *const *example = command->examples; *example != NULL; example++)
        printf("  %s\n", *example);
    printf("\nSee %s.\n", command->page);
}
