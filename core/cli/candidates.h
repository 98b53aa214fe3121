/* SPDX-License-Identifier: Apache-2.0 */
/*
 * candidates.h - what can stand in place of a word of the command line, asked of the
 * configuration, the store and the drivers, and printed for a shell's completion.
 *
 * Never reports an error and never makes a store: what cannot be asked is not offered.
 */
#ifndef BILLET_CLI_CANDIDATES_H
#define BILLET_CLI_CANDIDATES_H

#include "cli/command.h"

struct cli_completion {
    const struct cli_command *command;
    char **words;
    int count;                       /* words before the last one */
    const char *word;                /* the last one */
    const char *prefix;              /* printed before each candidate: "--format=", "key=" */
    const char *key;                 /* of key=value, where bash parted it before the last word */
    bool at_equals;                  /* bash parted the line right behind a '=' */
    const struct cli_option *option; /* the last word is its value; NULL: it is not one */
    struct billet_strings arguments; /* before the last word */
    int command_from;                /* word where a command line of its own begins; -1: none */
    bool only_arguments;             /* after -- */
    const char *driver;              /* --driver */
    struct billet_context_request request;
    struct billet_strings set;
    struct billet_context *context;
    struct billet_store *store; /* the context's; NULL: there is none */
};

/* One line; a description may be NULL. Only its first sentence is shown. */
void cli_offer(const struct cli_completion *completion, const char *candidate,
               const char *description);
void cli_offer_words(const struct cli_completion *completion, const char *const *words);

/* The configuration, and the store when it is there already. */
bool cli_completion_open(struct cli_completion *completion);

void cli_offer_environments(struct cli_completion *completion, bool stored_only);
/* others_only: not those that a built-in environment is named after. */
void cli_offer_drivers(struct cli_completion *completion, bool ready_only, bool others_only);
/* But those that are among the arguments already. */
void cli_offer_leases(struct cli_completion *completion, bool live_only);
/* --set SECTION.KEY=VALUE; --option KEY=VALUE of env create and edit; --unset KEY; --env NAME */
void cli_offer_overrides(struct cli_completion *completion);
void cli_offer_settings(struct cli_completion *completion);
void cli_offer_set_keys(struct cli_completion *completion);
void cli_offer_variables(const struct cli_completion *completion);

#endif
