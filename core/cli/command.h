/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - a verb of the tool: one table entry each, from which parsing, help
 * and completion come.
 */
#ifndef BILLET_CLI_COMMAND_H
#define BILLET_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strings.h"
#include "run/context.h"

#define BILLET_EXIT_OK 0
#define BILLET_EXIT_FINDINGS 1 /* config check, doctor, db check: something was found */
#define BILLET_EXIT_USAGE 2    /* wrong options or arguments (every verb but run, exec, shell) */
#define BILLET_EXIT_FAILED 125 /* billet itself failed */

/* id is what cli_next returns: the letter, or a number above 255 for long-only options. */
struct cli_option {
    const char *name;
    int id;
    const char *argument; /* NULL: a switch; else its name in the help */
    const char *text;
};

#define CLI_OPTION_END      \
    {                       \
        NULL, 0, NULL, NULL \
    }

struct cli;

struct cli_command {
    const char *name;                 /* "run", "env create" */
    const char *synopsis;             /* after the name */
    const char *text;                 /* one line */
    const char *page;                 /* "billet-run(1)" */
    const struct cli_option *options; /* NULL: none but the common ones */
    const char *const *examples;      /* NULL-terminated, whole command lines */
    int (*run)(struct cli *cli);
    bool is_exec; /* failures exit 125, usage errors too */
};

extern const struct cli_command *const cli_commands[]; /* NULL-terminated, in help order */

/* One invocation. */
struct cli {
    const struct cli_command *command;
    int argc; /* options and arguments after the verb */
    char **argv;
    int position;
    const char *value;   /* of the option just returned */
    const char *cluster; /* rest of "-it" */
    bool only_arguments; /* after -- */
    struct billet_strings arguments;
    bool json;
    bool no_headings;
    bool level_given; /* --verbose or --quiet */
    struct billet_context_request request;
    struct billet_strings set;
    struct billet_context *context;
    struct billet_error error;
};

/* The next option's id, 0 at the end (then cli->arguments holds the rest), -1 after a usage error
 * was reported. Common options are handled inside. stop_at_argument: the first argument ends the
 * options (run, exec). */
int cli_next(struct cli *cli, bool stop_at_argument);
/* For verbs without options of their own: reads all; checks the number of arguments. */
int cli_read_arguments(struct cli *cli, size_t minimum, size_t maximum);
/* Report a usage error; returns BILLET_EXIT_USAGE or _FAILED. */
int cli_usage(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_usage_status(const struct cli *cli);

/* Open cli->context (once); reports failures. 0 or an exit status. */
int cli_open(struct cli *cli, bool tolerant);
/* Print cli->error (as JSON on stdout with --json) and give the exit status. */
int cli_fail(struct cli *cli);

void cli_help(const struct cli_command *command);

extern const struct cli_option cli_common_options[];

/* billet complete -- WORD...: candidates for the last word; never fails, never says why. */
int cli_complete(int argc, char **argv);

#endif
