/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_complete.c - billet complete -- WORD...: what may stand in place of the last
 * word, for the completion files of shells; completion/billet.bash says how it is printed.
 *
 * Hidden from the help. Says nothing on standard error, makes no store, and runs a driver's code
 * only to learn its options.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/candidates.h"

#define WORDS_MAX 4096

/* ---- what may stand there
 * ------------------------------------------------------------------------ */

static bool
is_verb(const struct cli_completion *completion, const char *name)
{
    return strcmp(completion->command->name, name) == 0;
}

static void
complete_value(struct cli_completion *completion)
{
    static const char *const formats[] = {"json-schema", "conf", "man", NULL};
    static const char *const statuses[] = {"active", "drained", "archived", NULL};
    static const char *const modes[] = {"in_place", "bind", "overlay", "copy", NULL};
    const char *name = completion->option->name;
    if (strcmp(name, "environment") == 0)
        cli_offer_environments(completion, false);
    else if (strcmp(name, "driver") == 0)
        cli_offer_drivers(completion, true, false);
    else if (strcmp(name, "format") == 0)
        cli_offer_words(completion, formats);
    else if (strcmp(name, "status") == 0)
        cli_offer_words(completion, statuses);
    else if (strcmp(name, "workspace-mode") == 0)
        cli_offer_words(completion, modes);
    else if (strcmp(name, "option") == 0)
        cli_offer_settings(completion);
    else if (strcmp(name, "unset") == 0)
        cli_offer_set_keys(completion);
    else if (strcmp(name, "set") == 0)
        cli_offer_overrides(completion);
    else if (strcmp(name, "env") == 0)
        cli_offer_variables(completion);
    else if (strcmp(name, "workspace") == 0)
        puts(":directories");
    else if (strcmp(name, "file") == 0 || strcmp(name, "draft") == 0 ||
             strcmp(name, "config") == 0 || strcmp(name, "asset") == 0)
        puts(":files");
}

static void
complete_section(struct cli_completion *completion)
{
    static const char *const kinds[] = {"billet",      "secrets", "store", "driver",
                                        "environment", "vault",   NULL};
    if (completion->arguments.count == 0) {
        cli_offer_words(completion, kinds);
        return;
    }
    if (completion->arguments.count != 1 || !cli_completion_open(completion))
        return;
    const struct billet_configuration *configuration = completion->context->configuration;
    for (size_t i = 0; i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        if (section->name[0] != '\0' && strcmp(section->kind, completion->arguments.items[0]) == 0)
            cli_offer(completion, section->name, NULL);
    }
}

static void
complete_argument(struct cli_completion *completion)
{
    bool first = completion->arguments.count == 0;
    if (is_verb(completion, "run") && completion->command_from < 0)
        completion->command_from = completion->count;
    if (completion->command_from >= 0) {
        printf(":command %d\n", completion->command_from);
        return;
    }
    if (is_verb(completion, "lease release") || is_verb(completion, "lease destroy"))
        cli_offer_leases(completion, true);
    else if (is_verb(completion, "config show"))
        complete_section(completion);
    else if (!first)
        return;
    else if (is_verb(completion, "exec") || is_verb(completion, "shell") ||
             is_verb(completion, "push") || is_verb(completion, "pull"))
        cli_offer_leases(completion, true);
    else if (is_verb(completion, "lease show"))
        cli_offer_leases(completion, false);
    else if (is_verb(completion, "driver show"))
        cli_offer_drivers(completion, false, false);
    else if (is_verb(completion, "driver schema") || is_verb(completion, "driver probe"))
        cli_offer_drivers(completion, true, false);
    else if (is_verb(completion, "env edit") || is_verb(completion, "env archive") ||
             is_verb(completion, "env delete"))
        cli_offer_environments(completion, true);
    else if (is_verb(completion, "env show") || is_verb(completion, "env probe") ||
             is_verb(completion, "env trust") || is_verb(completion, "env drain") ||
             is_verb(completion, "env undrain"))
        cli_offer_environments(completion, false);
    else if (is_verb(completion, "config check"))
        puts(":files");
    else if (is_verb(completion, "doctor")) {
        cli_offer_environments(completion, false);
        cli_offer_drivers(completion, true, true);
    }
}

static void
complete_option(const struct cli_completion *completion)
{
    const struct cli_option *tables[] = {completion->command->options, cli_common_options};
    char name[72];
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++) {
            snprintf(name, sizeof(name), "--%.64s", o->name);
            cli_offer(completion, name, o->text);
        }
}

/* ---- the words before
 * ---------------------------------------------------------------------------- */

static const struct cli_option *
find_option(const struct cli_command *command, const char *name, size_t length, int letter)
{
    const struct cli_option *tables[] = {command->options, cli_common_options};
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (name != NULL ? strlen(o->name) == length && memcmp(o->name, name, length) == 0
                             : o->id == letter)
                return o;
    return NULL;
}

static void
take_value(struct cli_completion *completion, const struct cli_option *option, const char *value)
{
    if (strcmp(option->name, "driver") == 0)
        completion->driver = value;
    else if (strcmp(option->name, "config") == 0)
        completion->request.config = value;
    else if (strcmp(option->name, "store") == 0)
        completion->request.store = value;
    else if (strcmp(option->name, "tenant") == 0)
        completion->request.tenant = value;
    else if (strcmp(option->name, "set") == 0)
        billet_strings_add(&completion->set, value);
}

/* The option of the word that still wants its value; NULL when there is none. */
static const struct cli_option *
read_option(struct cli_completion *completion, const char *word)
{
    const struct cli_option *option = NULL;
    if (billet_text_starts(word, "--")) {
        size_t length = strcspn(word + 2, "=");
        option = find_option(completion->command, word + 2, length, 0);
        if (option == NULL || option->argument == NULL)
            return NULL;
        if (word[2 + length] != '=')
            return option;
        take_value(completion, option, word + 2 + length + 1);
        return NULL;
    }
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        option = find_option(completion->command, NULL, 0, *letter);
        if (option == NULL || option->argument == NULL)
            continue;
        if (letter[1] == '\0')
            return option;
        take_value(completion, option, letter + 1);
        return NULL;
    }
    return NULL;
}

/* An argument; run and exec begin a command line of its own. */
static void
read_argument(struct cli_completion *completion, int at)
{
    billet_strings_add(&completion->arguments, completion->words[at]);
    if (is_verb(completion, "run"))
        completion->command_from = at;
    else if (is_verb(completion, "exec")) {
        bool dashes = at + 1 < completion->count && strcmp(completion->words[at + 1], "--") == 0;
        completion->command_from = at + 1 + dashes;
    }
}

static void
read_words(struct cli_completion *completion, int from)
{
    for (int i = from; i < completion->count && completion->command_from < 0; i++) {
        const char *word = completion->words[i];
        completion->option = NULL;
        if (!completion->only_arguments && strcmp(word, "--") == 0) {
            completion->only_arguments = true;
            continue;
        }
        if (completion->only_arguments || word[0] != '-' || word[1] == '\0') {
            read_argument(completion, i);
            continue;
        }
        const struct cli_option *option = read_option(completion, word);
        /* bash parts "--name=value" into three words. */
        if (option != NULL && i + 1 < completion->count &&
            strcmp(completion->words[i + 1], "=") == 0)
            i++;
        if (option == NULL || i + 1 >= completion->count) {
            completion->option = option;
            continue;
        }
        take_value(completion, option, completion->words[++i]);
        /* And "key=value" likewise. */
        bool parted = i + 1 < completion->count ? strcmp(completion->words[i + 1], "=") == 0
                                                : completion->at_equals;
        if (parted && i + 2 >= completion->count) {
            completion->key = completion->words[i];
            completion->option = option;
            return;
        }
        if (parted)
            i += 2;
    }
    if (is_verb(completion, "run") && completion->only_arguments && completion->command_from < 0)
        completion->command_from = completion->count;
}

/* The verbs that begin with the words before: "env" gives create, list ... */
static void
complete_verb(const struct cli_completion *completion, const char *group)
{
    const char *last = "";
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        const char *name = (*c)->name;
        size_t length = strcspn(name, " ");
        if (group != NULL) {
            if (name[length] == ' ' && strlen(group) == length && memcmp(name, group, length) == 0)
                cli_offer(completion, name + length + 1, (*c)->text);
            continue;
        }
        if (strlen(last) >= length && strncmp(last, name, length) == 0 &&
            (last[length] == ' ' || last[length] == '\0'))
            continue;
        cleanup_free char *first = strndup(name, length);
        if (first != NULL)
            cli_offer(completion, first, name[length] == '\0' ? (*c)->text : NULL);
        last = name;
    }
    if (group == NULL)
        cli_offer(completion, "help", "Print the help of a verb");
}

static bool
find_verb(struct cli_completion *completion, int *used)
{
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        const char *name = (*c)->name;
        size_t length = strcspn(name, " ");
        if (strlen(completion->words[0]) != length ||
            memcmp(name, completion->words[0], length) != 0)
            continue;
        if (name[length] == '\0')
            *used = 1;
        else if (completion->count > 1 && strcmp(completion->words[1], name + length + 1) == 0)
            *used = 2;
        else
            continue;
        completion->command = *c;
        return true;
    }
    return false;
}

static void
complete_words(struct cli_completion *completion)
{
    int used = 0;
    if (completion->count > 0 && strcmp(completion->words[0], "help") == 0) {
        if (completion->count <= 2)
            complete_verb(completion, completion->count == 2 ? completion->words[1] : NULL);
        return;
    }
    if (completion->count == 0 && completion->word[0] == '-') {
        cli_offer(completion, "--help", "Print the verbs");
        cli_offer(completion, "--version", "Print the version");
        return;
    }
    if (completion->count == 0 || !find_verb(completion, &used)) {
        if (completion->count <= 1)
            complete_verb(completion, completion->count == 1 ? completion->words[0] : NULL);
        return;
    }
    read_words(completion, used);
    const char *equals = strchr(completion->word, '=');
    cleanup_free char *prefix = NULL;
    if (completion->option == NULL && !completion->only_arguments && completion->command_from < 0 &&
        equals != NULL && billet_text_starts(completion->word, "--")) {
        prefix = strndup(completion->word, (size_t)(equals - completion->word) + 1);
        completion->option = find_option(completion->command, completion->word + 2,
                                         (size_t)(equals - completion->word) - 2, 0);
        if (prefix == NULL || completion->option == NULL || completion->option->argument == NULL)
            return;
        completion->prefix = prefix;
        completion->word = equals + 1;
    }
    if (completion->option != NULL)
        complete_value(completion);
    else if (completion->word[0] == '-' && !completion->only_arguments &&
             completion->command_from < 0)
        complete_option(completion);
    else
        complete_argument(completion);
}

int
cli_complete(int argc, char **argv)
{
    struct cli_completion completion = {.prefix = "", .command_from = -1};
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing >= 0)
        dup2(nothing, STDERR_FILENO);
    billet_close(&nothing);
    if (argc > 0 && strcmp(argv[0], "--") == 0) {
        argc--;
        argv++;
    }
    if (argc == 0 || argc > WORDS_MAX)
        return BILLET_EXIT_OK;
    completion.words = argv;
    completion.count = argc - 1;
    completion.word = argv[argc - 1];
    /* What bash parted at '=': the last word begins behind it. */
    if (strcmp(completion.word, "=") == 0) {
        completion.at_equals = true;
        completion.word = "";
    }
    complete_words(&completion);
    billet_context_close(completion.context);
    billet_strings_free(&completion.arguments);
    billet_strings_free(&completion.set);
    fflush(stdout);
    return BILLET_EXIT_OK;
}
