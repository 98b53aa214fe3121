/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the tool: finds the verb, runs it, gives its exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/secret_input.h"
#include "config.h"
#include "run/status.h"

int
cli_open(struct cli *cli, bool tolerant)
{
    if (cli->context != NULL)
        return 0;
    cli->request.set = &cli->set;
    billet_error_clear(&cli->error);
    if (billet_context_open(&cli->request, tolerant, &cli->context, &cli->error) < 0)
        return cli_fail(cli);
    cli_secrets_can_ask(cli->context, -1);
    static const int levels[] = {BILLET_LOG_ERROR, BILLET_LOG_WARNING, BILLET_LOG_INFO,
                                 BILLET_LOG_DEBUG};
    const struct billet_value *level =
        billet_configuration_value(cli->context->configuration, "billet", "", "log_level");
    if (!cli->level_given && level->number >= 0 && level->number <= 3)
        billet_log_setup("billet", levels[level->number], false);
    return 0;
}

int
cli_fail(struct cli *cli)
{
    if (cli->json && !cli->command->is_exec) {
        json_t *object = json_pack("{s:s, s:o}", "format_version", BILLET_FORMAT_VERSION, "error",
                                   billet_error_json(&cli->error));
        cli_print_json(object);
    }
    billet_log_error(&cli->error);
    return strcmp(cli->error.code, "usage") == 0 ? cli_usage_status(cli) : BILLET_EXIT_FAILED;
}

static void
print_overview(FILE *to)
{
    fprintf(to, "usage: billet VERB [OPTION...] [ARGUMENT...]\n\n"
                "Leases execution environments and runs work in them.\n\n");
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++)
        fprintf(to, "  %-16s %s\n", (*c)->name, (*c)->text);
    fprintf(to,
            "\n'billet VERB --help' shows a verb's options and examples.\n"
            "Examples:\n  billet run -- make check\n  billet run -e sandbox -w . -- make check\n"
            "  billet lease list --all\n\nSee billet(1).\n");
}

/* The longest verb that the words spell: "env create" before "env". */
static const struct cli_command *
find_command(int argc, char **argv, int *words)
{
    const struct cli_command *found = NULL;
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        const char *space = strchr((*c)->name, ' ');
        size_t first = space != NULL ? (size_t)(space - (*c)->name) : strlen((*c)->name);
        if (strlen(argv[0]) != first || strncmp(argv[0], (*c)->name, first) != 0)
            continue;
        if (space == NULL && *words == 0) {
            found = *c;
            *words = 1;
        } else if (space != NULL && argc > 1 && strcmp(argv[1], space + 1) == 0) {
            found = *c;
            *words = 2;
        }
    }
    return found;
}

/* "billet env": the verbs of the group; true when there is such a group. */
static bool
print_group(FILE *to, const char *group)
{
    bool any = false;
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        size_t length = strlen(group);
        if (strncmp((*c)->name, group, length) == 0 && (*c)->name[length] == ' ') {
            if (!any)
                fprintf(to, "usage: billet %s VERB ...\n\n", group);
            any = true;
            fprintf(to, "  %-16s %s\n", (*c)->name, (*c)->text);
        }
    }
    return any;
}

static int
unknown_verb(int argc, char **argv)
{
    const char *names[128];
    size_t count = 0;
    char word[130];
    snprintf(word, sizeof(word), "%.64s%s%.64s", argv[0], argc > 1 ? " " : "",
             argc > 1 ? argv[1] : "");
    for (const struct cli_command *const *c = cli_commands; *c != NULL && count < 127; c++)
        names[count++] = (*c)->name;
    names[count] = NULL;
    const char *near = billet_text_nearest(word, names);
    if (near == NULL)
        near = billet_text_nearest(argv[0], names);
    billet_log(BILLET_LOG_ERROR, "unknown verb '%s'%s%s%s [usage]", word,
               near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
               near != NULL ? "'?)" : "");
    billet_log(BILLET_LOG_ERROR, "'billet --help' lists the verbs");
    return BILLET_EXIT_USAGE;
}

/* What every process of billet wants: standard descriptors open, no core file with what passes
 * through memory, writes to closed pipes and beyond limits as errors. */
static void
prepare_process(void)
{
    struct rlimit none = {0, 0};
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of the size of files is an error like a full disk */
    if (secure_getenv("BILLET_DEBUG_CORE") == NULL) {
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_DUMPABLE, 0);
    }
}

int
main(int argc, char **argv)
{
    struct cli cli = {.error = BILLET_ERROR_INIT};
    int words = 0;

    billet_heap_prepare((size_t)320 * 1024);
    prepare_process();
    billet_log_setup("billet", BILLET_LOG_WARNING, false);
    if (argc < 2) {
        print_overview(stderr);
        return BILLET_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("billet %s (driver ABI %d.%d)\n", PACKAGE_VERSION, BILLET_ABI_MAJOR,
               BILLET_ABI_MINOR);
        return fflush(stdout) == 0 ? BILLET_EXIT_OK : BILLET_EXIT_FAILED;
    }
    bool help = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (help && argc == 2)) {
        print_overview(stdout);
        return fflush(stdout) == 0 ? BILLET_EXIT_OK : BILLET_EXIT_FAILED;
    }
    if (strcmp(argv[1], "complete") == 0)
        return cli_complete(argc - 2, argv + 2);
    argc -= 1 + help;
    argv += 1 + help;
    cli.command = find_command(argc, argv, &words);
    if (cli.command == NULL) {
        if (argc == 1 && print_group(help ? stdout : stderr, argv[0]))
            return help ? BILLET_EXIT_OK : BILLET_EXIT_USAGE;
        if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
            print_group(stdout, argv[0]))
            return BILLET_EXIT_OK;
        return unknown_verb(argc, argv);
    }
    if (help) {
        cli_help(cli.command);
        return fflush(stdout) == 0 ? BILLET_EXIT_OK : BILLET_EXIT_FAILED;
    }
    cli.argc = argc - words;
    cli.argv = argv + words;
    int status = cli.command->run(&cli);
    billet_context_close(cli.context);
    billet_strings_free(&cli.arguments);
    billet_strings_free(&cli.set);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == BILLET_EXIT_OK) {
        billet_log(BILLET_LOG_ERROR, "cannot write the result: %s [io_failed]", strerror(errno));
        status = BILLET_EXIT_FAILED;
    }
    return status;
}
