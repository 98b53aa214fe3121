/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/candidates.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "run/resolve.h"

#define START_DEADLINE (2 * BILLET_NS_PER_SECOND)
#define LEASES_SHOWN 200

extern char **environ;

void
cli_offer(const struct cli_completion *completion, const char *candidate, const char *description)
{
    char clean[256];
    char text[128];
    billet_text_escape(clean, sizeof(clean), candidate);
    printf("%s%s", completion->prefix, clean);
    if (description != NULL && description[0] != '\0') {
        const char *end = strstr(description, ". ");
        size_t length = end != NULL ? (size_t)(end - description) : strlen(description);
        length -= end == NULL && description[length - 1] == '.';
        char *first = strndup(description, length);
        billet_text_escape(text, sizeof(text), first != NULL ? first : "");
        free(first);
        printf("\t%s", text);
    }
    putchar('\n');
}

void
cli_offer_words(const struct cli_completion *completion, const char *const *words)
{
    for (; *words != NULL; words++)
        cli_offer(completion, *words, NULL);
}

/* ---- live names --------------------------------------------------------------------------------
 */

bool
cli_completion_open(struct cli_completion *completion)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (completion->context != NULL)
        return true;
    completion->request.set = &completion->set;
    if (billet_context_open(&completion->request, true, &completion->context, &error) < 0)
        return false;
    struct billet_context *context = completion->context;
    if (billet_context_store_url(context, &error) == 0 &&
        billet_store_open(context->store_directories, context->store_url, BILLET_STORE_USE,
                          &context->store, &error) == 0)
        completion->store = context->store;
    return true;
}

struct wanted_environments {
    struct cli_completion *completion;
    bool stored_only;
};

static int
offer_environment(const struct billet_environment *environment, void *context)
{
    const struct wanted_environments *wanted = context;
    if (wanted->stored_only && strcmp(environment->source, "store") != 0)
        return 0;
    cli_offer(wanted->completion, environment->name,
              environment->description != NULL && environment->description[0] != '\0'
                  ? environment->description
                  : environment->driver);
    return 0;
}

void
cli_offer_environments(struct cli_completion *completion, bool stored_only)
{
    static const char *const builtin[] = {"local", "sandbox", NULL};
    struct wanted_environments wanted = {completion, stored_only};
    struct billet_error error = BILLET_ERROR_INIT;
    if (!cli_completion_open(completion))
        return;
    if (completion->store != NULL) {
        billet_each_environment(completion->context, offer_environment, &wanted, &error);
        return;
    }
    /* Without a store: what is built in, and what files define for this tenant. */
    const struct billet_configuration *configuration = completion->context->configuration;
    for (size_t i = 0; i < billet_configuration_count(configuration); i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        struct billet_environment found = BILLET_ENVIRONMENT_INIT;
        if (strcmp(section->kind, "environment") != 0 ||
            billet_environment_from_section(section, &found, &error) < 0)
            continue;
        if (found.tenant == NULL || found.tenant[0] == '\0' ||
            strcmp(found.tenant, completion->context->tenant) == 0)
            offer_environment(&found, &wanted);
        billet_environment_free(&found);
    }
    for (size_t i = 0; builtin[i] != NULL; i++) {
        struct billet_environment found = BILLET_ENVIRONMENT_INIT;
        if (billet_configuration_find(configuration, "environment", builtin[i]) == NULL &&
            billet_environment_builtin(builtin[i], &found))
            offer_environment(&found, &wanted);
        billet_environment_free(&found);
    }
}

void
cli_offer_drivers(struct cli_completion *completion, bool ready_only, bool others_only)
{
    static const char *const states[] = {[BILLET_DRIVER_READY] = "ready",
                                         [BILLET_DRIVER_DISABLED] = "disabled",
                                         [BILLET_DRIVER_BROKEN] = "broken",
                                         [BILLET_DRIVER_MISSING] = "missing"};
    struct billet_registry *registry = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    if (!cli_completion_open(completion) ||
        billet_registry_open(billet_strings_list(&completion->context->driver_directories),
                             completion->context->configuration, &registry, &error) < 0)
        return;
    for (size_t i = 0; i < billet_registry_count(registry); i++) {
        const struct billet_driver_entry *entry = billet_registry_at(registry, i);
        struct billet_environment same = BILLET_ENVIRONMENT_INIT;
        bool hidden = (ready_only && entry->state != BILLET_DRIVER_READY) ||
                      (others_only && billet_environment_builtin(entry->name, &same));
        if (!hidden)
            cli_offer(completion, entry->name, states[entry->state]);
        billet_environment_free(&same);
    }
    billet_registry_free(registry);
}

static int
offer_lease(const struct billet_lease *lease, void *context)
{
    struct cli_completion *completion = context;
    char text[160];
    if (billet_strings_contains(&completion->arguments, lease->id))
        return 0;
    snprintf(text, sizeof(text), "%.32s %.40s %.64s", billet_lease_state_name(lease->state),
             lease->environment, lease->command);
    cli_offer(completion, lease->id, text);
    return 0;
}

void
cli_offer_leases(struct cli_completion *completion, bool live_only)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (!cli_completion_open(completion) || completion->store == NULL)
        return;
    const struct billet_lease_filter filter = {
        .tenant = completion->context->tenant, .live_only = live_only, .limit = LEASES_SHOWN};
    billet_store_of(completion->store)
        ->lease_list(completion->store, &filter, offer_lease, completion, &error);
}

/* ---- settings ----------------------------------------------------------------------------------
 */

static void
offer_keys(const struct cli_completion *completion, const char *before,
           const struct billet_option *options, size_t count)
{
    char name[128];
    static const char *const apart[] = {"driver", "tenant", "description", NULL};
    for (size_t i = 0; i < count; i++) {
        /* --driver and the like are the way to say these. */
        bool own = false;
        for (size_t j = 0; apart[j] != NULL; j++)
            own = own || strcmp(options[i].name, apart[j]) == 0;
        if (own)
            continue;
        snprintf(name, sizeof(name), "%.64s%.48s=", before, options[i].name);
        cli_offer(completion, name, options[i].text);
    }
}

/* The words that a value may be, after "KEY=". */
static void
offer_values(const struct cli_completion *completion, const struct billet_option *option)
{
    static const char *const boolean[] = {"yes", "no", NULL};
    if (option != NULL && option->choices != NULL)
        cli_offer_words(completion, option->choices);
    else if (option != NULL && option->type == BILLET_OPTION_BOOLEAN)
        cli_offer_words(completion, boolean);
}

/* Is a value after "KEY=" wanted? Then *key is the key and the prefix has it, both to be freed. */
static bool
part_setting(struct cli_completion *completion, char **key, char **prefix)
{
    const char *equals = strchr(completion->word, '=');
    *prefix = NULL;
    if (completion->key != NULL) {
        *key = strdup(completion->key);
        return *key != NULL;
    }
    if (equals == NULL)
        return false;
    int length = (int)(equals - completion->word);
    *key = strndup(completion->word, (size_t)length);
    if (asprintf(prefix, "%s%.*s=", completion->prefix, length, completion->word) < 0)
        *prefix = NULL;
    if (*prefix != NULL)
        completion->prefix = *prefix;
    return *key != NULL && *prefix != NULL;
}

/* Keys of a table, or the values of one of them. before: "store." with --set. */
static void
offer_table(struct cli_completion *completion, const char *before,
            const struct billet_option *options, size_t count)
{
    cleanup_free char *key = NULL;
    cleanup_free char *prefix = NULL;
    const char *saved = completion->prefix;
    if (part_setting(completion, &key, &prefix)) {
        if (billet_text_starts(key, before))
            offer_values(completion, billet_option_find(options, count, key + strlen(before)));
    } else {
        offer_keys(completion, before, options, count);
    }
    completion->prefix = saved;
}

/* --set: core's own sections; the named ones have keys that this cannot know. */
void
cli_offer_overrides(struct cli_completion *completion)
{
    static const char *const kinds[][2] = {{"billet", "billet."}, {"store", "store."}};
    for (size_t i = 0; i < 2; i++) {
        size_t count = 0;
        const struct billet_option *options = billet_configuration_options(kinds[i][0], &count);
        offer_table(completion, kinds[i][1], options, count);
    }
}

/* env create, edit --option: core's keys of an environment and those of its driver. */
void
cli_offer_settings(struct cli_completion *completion)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_driver_client *client = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    const char *driver = completion->driver;
    size_t count = 0;
    const struct billet_option *options = billet_configuration_options("environment", &count);

    offer_table(completion, "", options, count);
    if (!cli_completion_open(completion))
        return;
    if (driver == NULL && completion->store != NULL && completion->arguments.count > 0 &&
        billet_find_environment(completion->context, completion->arguments.items[0], &environment,
                                &error) == 0)
        driver = environment.driver;
    if (driver != NULL &&
        billet_context_driver(completion->context, driver, &client, &error) == 0 &&
        billet_driver_await(client, billet_clock_monotonic() + START_DEADLINE, &error) == 0) {
        const struct billet_driver_info *info = billet_driver_info(client);
        offer_table(completion, "", info->options.items, info->options.count);
    }
    billet_driver_stop(client);
    billet_environment_free(&environment);
}

/* env edit --unset: what the environment sets. */
void
cli_offer_set_keys(struct cli_completion *completion)
{
    struct billet_environment environment = BILLET_ENVIRONMENT_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    if (!cli_completion_open(completion) || completion->store == NULL ||
        completion->arguments.count == 0 ||
        billet_find_environment(completion->context, completion->arguments.items[0], &environment,
                                &error) < 0)
        return;
    for (size_t i = 0; i < environment.settings.count; i++)
        cli_offer(completion, environment.settings.items[i].name,
                  environment.settings.items[i].value);
    billet_environment_free(&environment);
}

void
cli_offer_variables(const struct cli_completion *completion)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        cleanup_free char *name = strndup(*entry, strcspn(*entry, "="));
        if (name != NULL && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
            cli_offer(completion, name, NULL);
    }
}
