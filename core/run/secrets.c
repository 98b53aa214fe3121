/* SPDX-License-Identifier: Apache-2.0 */
#include "run/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define VARIABLE "env."

/* ---- the context's ---------------------------------------------------------------- */

/* [secrets] keyring, BILLET_KEYRING, else beside the configuration of this user. */
static int
find_keyring(struct billet_context *context, struct billet_error *error)
{
    const struct billet_value *configured =
        billet_configuration_value(context->configuration, "secrets", "", "keyring");
    const char *chosen = secure_getenv("BILLET_KEYRING");
    const char *user = context->sources->user;
    int made = 0;
    if (context->keyring_path != NULL)
        return 0;
    if (chosen != NULL && chosen[0] == '/')
        context->keyring_path = strdup(chosen);
    else if (configured != NULL && configured->is_set)
        context->keyring_path = strdup(configured->string);
    else if (user != NULL && geteuid() != 0)
        made = asprintf(&context->keyring_path, "%s/keyring", user);
    else
        context->keyring_path = strdup(SYSCONF_DIRECTORY "/billet/keyring");
    if (made < 0)
        context->keyring_path = NULL;
    return context->keyring_path != NULL ? 0 : billet_error_no_memory(error);
}

int
billet_context_secrets(struct billet_context *context, struct billet_secrets **secrets,
                       struct billet_error *error)
{
    const struct billet_value *mlock =
        billet_configuration_value(context->configuration, "secrets", "", "require_mlock");
    struct billet_store *store = NULL;
    int result = find_keyring(context, error);
    if (result == 0)
        result = billet_context_store(context, &store, error);
    if (result < 0)
        return result;
    context->secrets.store = store;
    context->secrets.tenant = context->tenant;
    context->secrets.actor = context->actor;
    context->secrets.configuration = context->configuration;
    context->secrets.module_directories = context->store_directories;
    context->secrets.keyring_path = context->keyring_path;
    context->secrets.require_mlock = mlock != NULL && mlock->number != 0;
    *secrets = &context->secrets;
    return 0;
}

/* ---- what an environment names -------------------------------------------------------- */

/* Called with each option that holds a secret and its reference; not 0 ends it. */
typedef int reference_visit(const char *option, const char *text, void *context);

static int
each_reference(const struct billet_run_secrets_for *wanted, reference_visit *visit, void *context)
{
    const struct billet_option_table *options =
        wanted->info != NULL ? &wanted->info->options : NULL;
    for (size_t i = 0; options != NULL && i < options->count; i++) {
        const struct billet_option *option = &options->items[i];
        if ((option->flags & BILLET_OPTION_SECRET) == 0)
            continue;
        const struct billet_setting *setting =
            billet_settings_get(&wanted->environment->driver_settings, option->name);
        int result = setting != NULL ? visit(option->name, setting->value, context) : 0;
        if (result != 0)
            return result;
    }
    for (size_t i = 0; wanted->command && i < wanted->environment->variables.count; i++) {
        const char *item = wanted->environment->variables.items[i];
        const char *value = strchr(item, '=') + 1;
        char option[sizeof(VARIABLE) + 256];
        if (!billet_secret_is_reference(value))
            continue;
        snprintf(option, sizeof(option), VARIABLE "%.*s", (int)(value - 1 - item), item);
        int result = visit(option, value, context);
        if (result != 0)
            return result;
    }
    return 0;
}

static int
stop_at_first(const char *option, const char *text, void *context)
{
    (void)option;
    (void)text;
    *(bool *)context = true;
    return 1;
}

bool
billet_run_secrets_any(const struct billet_run_secrets_for *wanted)
{
    bool any = false;
    each_reference(wanted, stop_at_first, &any);
    return any;
}

static struct billet_reference_place
place_of(const struct billet_run_secrets_for *wanted, const char *option)
{
    const char *source = wanted->environment->source;
    return (struct billet_reference_place){.environment = wanted->environment->name,
                                           .option = option,
                                           .lease = wanted->lease,
                                           .purpose = wanted->purpose,
                                           .draft = source != NULL && strcmp(source, "draft") == 0};
}

struct checking {
    const struct billet_run_secrets_for *wanted;
    struct billet_secrets *secrets;
    billet_run_secrets_visit *visit;
    void *context;
    struct billet_error *error;
};

static int
check_one(const char *option, const char *text, void *context)
{
    struct checking *checking = context;
    const struct billet_reference_place place = place_of(checking->wanted, option);
    struct billet_error found = BILLET_ERROR_INIT;
    int result = billet_reference_check(checking->secrets, text, &place, &found);
    if (result == 0)
        return 0;
    if (checking->visit == NULL) {
        *checking->error = found;
        return result;
    }
    checking->visit(option, &found, checking->context);
    return 0;
}

int
billet_run_secrets_check(struct billet_context *context,
                         const struct billet_run_secrets_for *wanted,
                         billet_run_secrets_visit *visit, void *visit_context,
                         struct billet_error *error)
{
    struct checking checking = {
        .wanted = wanted, .visit = visit, .context = visit_context, .error = error};
    if (!billet_run_secrets_any(wanted))
        return 0;
    int result = billet_context_secrets(context, &checking.secrets, error);
    return result < 0 ? result : each_reference(wanted, check_one, &checking);
}

/* ---- resolving ---------------------------------------------------------------------------- */

struct resolving {
    const struct billet_run_secrets_for *wanted;
    struct billet_secrets *secrets;
    struct billet_run_secrets *to;
    struct billet_error *error;
};

static int
count_one(const char *option, const char *text, void *context)
{
    (void)option;
    (void)text;
    ++*(size_t *)context;
    return 0;
}

static int
resolve_one(const char *option, const char *text, void *context)
{
    struct resolving *resolving = context;
    struct billet_run_secrets *to = resolving->to;
    const struct billet_reference_place place = place_of(resolving->wanted, option);
    bool masked = true;
    size_t at = to->count;
    to->names[at] = strdup(option);
    if (to->names[at] == NULL)
        return billet_error_no_memory(resolving->error);
    to->count++;
    int result = billet_reference_resolve(resolving->secrets, text, &place, &to->values[at],
                                          &masked, resolving->error);
    if (result < 0)
        return result;
    if (!masked)
        billet_log(BILLET_LOG_WARNING,
                   "the secret for '%s' of environment '%s' is too short to be masked in output",
                   option, place.environment);
    to->items[at] = (struct billet_driver_secret){.option = to->names[at],
                                                  .value = (const char *)to->values[at].bytes};
    if (!billet_text_starts(option, VARIABLE))
        to->driver_count = to->count;
    return 0;
}

static void
warn_of_swap(const struct billet_secrets *secrets)
{
    static bool said;
    if (said || secrets->require_mlock || billet_secret_can_lock())
        return;
    said = true;
    billet_log(BILLET_LOG_WARNING, "memory cannot be locked: a secret may reach swap; raise the "
                                   "limit of locked memory (ulimit -l)");
}

int
billet_run_secrets_resolve(struct billet_context *context,
                           const struct billet_run_secrets_for *wanted,
                           struct billet_run_secrets *secrets, struct billet_error *error)
{
    struct resolving resolving = {.wanted = wanted, .to = secrets, .error = error};
    size_t count = 0;
    *secrets = (struct billet_run_secrets){0};
    each_reference(wanted, count_one, &count);
    if (count == 0)
        return 0;
    int result = billet_context_secrets(context, &resolving.secrets, error);
    if (result < 0)
        return result;
    secrets->values = calloc(count, sizeof(*secrets->values));
    secrets->names = calloc(count, sizeof(*secrets->names));
    secrets->items = calloc(count, sizeof(*secrets->items));
    if (secrets->values == NULL || secrets->names == NULL || secrets->items == NULL)
        result = billet_error_no_memory(error);
    warn_of_swap(resolving.secrets);
    if (result == 0)
        result = each_reference(wanted, resolve_one, &resolving);
    if (result < 0)
        billet_run_secrets_free(secrets);
    return result;
}

void
billet_run_secrets_free(struct billet_run_secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        billet_secret_free(&secrets->values[i]);
        free(secrets->names[i]);
    }
    free(secrets->values);
    free(secrets->names);
    free(secrets->items);
    *secrets = (struct billet_run_secrets){0};
}

void
billet_run_secrets_give(const struct billet_run_secrets *secrets, struct billet_driver_call *call)
{
    call->secrets = secrets->items;
    call->secret_count = secrets->driver_count;
}

/* ---- binding -------------------------------------------------------------------------------- */

struct stale {
    const struct billet_environment *environment;
    struct billet_strings options; /* option and name by turns */
    bool failed;
};

/* Is the binding still what a setting says? */
static bool
is_named(const struct billet_environment *environment, const char *option, const char *name)
{
    for (size_t i = 0; i < environment->settings.count; i++) {
        struct billet_reference reference;
        struct billet_error ignored = BILLET_ERROR_INIT;
        const struct billet_setting *setting = &environment->settings.items[i];
        if (strcmp(setting->name, option) == 0 && billet_secret_is_reference(setting->value) &&
            billet_reference_parse(option, setting->value, &reference, &ignored) == 0 &&
            reference.kind == BILLET_REFERENCE_SECRET && strcmp(reference.name, name) == 0)
            return true;
    }
    return false;
}

static int
collect_stale(const struct billet_secret_binding *binding, void *context)
{
    struct stale *stale = context;
    if (!is_named(stale->environment, binding->option, binding->name))
        stale->failed = stale->failed || !billet_strings_add(&stale->options, binding->option) ||
                        !billet_strings_add(&stale->options, binding->name);
    return 0;
}

static int
unbind_stale(struct billet_context *context, const struct billet_secret_table *table,
             const struct billet_environment *environment, struct billet_error *error)
{
    struct stale stale = {.environment = environment};
    int result = table->bindings(context->store, context->tenant, environment->name, NULL, NULL,
                                 collect_stale, &stale, error);
    if (result == 0 && stale.failed)
        result = billet_error_no_memory(error);
    for (size_t i = 0; result == 0 && i + 1 < stale.options.count; i += 2) {
        const struct billet_activity row = {.action = "secret.unbound",
                                            .tenant = context->tenant,
                                            .environment = environment->name,
                                            .actor = context->actor,
                                            .details = "{}"};
        result = table->unbind(context->store, context->tenant, environment->name,
                               stale.options.items[i], stale.options.items[i + 1], &row, error);
    }
    billet_strings_free(&stale.options);
    return result;
}

int
billet_run_secrets_bind(struct billet_context *context,
                        const struct billet_environment *environment, struct billet_error *error)
{
    const struct billet_secret_table *table;
    struct billet_store *store = NULL;
    struct billet_error ignored = BILLET_ERROR_INIT;
    int result = billet_context_store(context, &store, error);
    if (result < 0)
        return result;
    bool any = false;
    for (size_t i = 0; i < environment->settings.count; i++)
        any = any || billet_text_starts(environment->settings.items[i].value, "@secret:");
    if (billet_secrets_table(store, &table, any ? error : &ignored) < 0)
        return any ? -error->error_class : 0;
    result = unbind_stale(context, table, environment, error);
    for (size_t i = 0; result == 0 && i < environment->settings.count; i++) {
        const struct billet_setting *setting = &environment->settings.items[i];
        struct billet_reference reference;
        if (!billet_text_starts(setting->value, "@secret:") ||
            billet_reference_parse(setting->name, setting->value, &reference, &ignored) < 0)
            continue;
        const struct billet_secret_binding binding = {.tenant = context->tenant,
                                                      .environment = environment->name,
                                                      .option = setting->name,
                                                      .name = reference.name,
                                                      .created_by = context->actor};
        const struct billet_activity row = {.action = "secret.bound",
                                            .tenant = context->tenant,
                                            .environment = environment->name,
                                            .actor = context->actor,
                                            .details = "{}"};
        result = table->bind(store, &binding, &row, error);
    }
    return result;
}
