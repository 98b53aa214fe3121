/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/environment_form.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "cli/output.h"
#include "run/resolve.h"

#define TRIES 5

enum { OPTION_EVERYONE = 300, OPTION_REASON };

const struct cli_option cli_environment_form_options[] = {
    {"driver", 'd', "DRIVER", "the driver that provides it"},
    {"option", 'o', "KEY=VALUE", "one setting; see 'billet driver schema DRIVER'"},
    {"unset", 'u', "KEY", "take a setting back (edit)"},
    {"description", 'D', "TEXT", "for people"},
    {"file", 'f', "FILE", "read a file with one [environment NAME] section"},
    {"interactive", 'i', NULL, "ask for every option of the driver"},
    {"status", 's', "STATUS", "active, drained or archived (edit)"},
    {"reason", OPTION_REASON, "TEXT", "why that status (edit)"},
    {"every-tenant", OPTION_EVERYONE, NULL, "usable by every tenant, not only this one"},
    CLI_OPTION_END,
};

int
cli_environment_form_read(struct cli *cli, struct cli_environment_form *form)
{
    for (int id; (id = cli_next(cli, false)) != 0;) {
        switch (id) {
        case 'd':
            form->driver = cli->value;
            break;
        case 'o':
            if (strchr(cli->value, '=') == NULL)
                return cli_usage(cli, "--option wants KEY=VALUE, not '%s'", cli->value);
            billet_strings_add(&form->set, cli->value);
            break;
        case 'u':
            billet_strings_add(&form->unset, cli->value);
            break;
        case 'D':
            form->description = cli->value;
            break;
        case 'f':
            form->file = cli->value;
            break;
        case 's':
            form->status = cli->value;
            break;
        case 'i':
            form->interactive = true;
            break;
        case OPTION_REASON:
            form->reason = cli->value;
            break;
        case OPTION_EVERYONE:
            form->everyone = true;
            break;
        default:
            return cli_usage_status(cli);
        }
    }
    return 0;
}

void
cli_environment_form_free(struct cli_environment_form *form)
{
    billet_strings_free(&form->set);
    billet_strings_free(&form->unset);
}

static bool
replace(char **field, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return false;
    free(*field);
    *field = copy;
    return true;
}

/* Remove every entry of that name. */
static bool
remove_setting(struct billet_settings *settings, const char *name)
{
    struct billet_settings kept = BILLET_SETTINGS_INIT;
    bool found = false;
    for (size_t i = 0; i < settings->count; i++) {
        const struct billet_setting *s = &settings->items[i];
        if (strcmp(s->name, name) == 0)
            found = true;
        else
            billet_settings_add(&kept, s->name, s->value, s->origin.text, s->origin.line,
                                s->origin.column, s->name_column);
    }
    billet_settings_free(settings);
    *settings = kept;
    return found;
}

/* KEY=VALUE items; the first of a key replaces what was there, more of it make a list. */
static int
apply_settings(struct cli *cli, const struct cli_environment_form *form,
               struct billet_environment *environment)
{
    cleanup_strings struct billet_strings seen = BILLET_STRINGS_INIT;
    for (size_t i = 0; i < form->unset.count; i++)
        if (!remove_setting(&environment->settings, form->unset.items[i]))
            return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                                    "--unset %s: environment '%s' has no such setting",
                                    form->unset.items[i], environment->name);
    for (size_t i = 0; i < form->set.count; i++) {
        const char *item = form->set.items[i];
        cleanup_free char *key = strndup(item, strcspn(item, "="));
        const char *value = strchr(item, '=') + 1;
        if (key == NULL)
            return billet_error_no_memory(&cli->error);
        if (strcmp(key, "driver") == 0 || strcmp(key, "description") == 0 ||
            strcmp(key, "tenant") == 0)
            return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "usage",
                                    "--option %s: give it with --%s", key, key);
        if (!billet_strings_contains(&seen, key)) {
            remove_setting(&environment->settings, key);
            billet_strings_add(&seen, key);
        }
        if (!billet_settings_add(&environment->settings, key, value, "--option", 0, 0, 0))
            return billet_error_no_memory(&cli->error);
    }
    return 0;
}

int
cli_environment_check(struct cli *cli, const struct billet_environment *environment)
{
    struct billet_environment copy = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics found = BILLET_DIAGNOSTICS_INIT;
    struct billet_driver_client *client = NULL;
    struct billet_values values = {0};
    char who[128];

    snprintf(who, sizeof(who), "[environment %.64s]", environment->name);
    int result = billet_environment_copy(&copy, environment, &cli->error);
    if (result == 0)
        result = billet_prepare_environment(cli->context, &copy, &cli->error);
    if (result == 0)
        result = billet_context_start_driver(cli->context, copy.driver, &client, &cli->error);
    if (result == 0) {
        const struct billet_driver_info *info = billet_driver_info(client);
        billet_options_resolve(info->options.items, info->options.count, &copy.driver_settings, who,
                               NULL, &values, &found);
        result = billet_diagnostics_error(&found, &cli->error);
    }
    if (result == 0) {
        struct billet_driver_call call = {.settings = &copy.driver_settings};
        result = billet_driver_check_config(client, &call, &cli->error);
    }
    billet_values_free(&values);
    billet_diagnostics_free(&found);
    billet_driver_stop(client);
    billet_environment_free(&copy);
    return result;
}

/* Ask until the answer fits; an empty answer takes the default. */
static int
ask_option(struct cli *cli, const struct billet_option *option,
           struct billet_environment *environment)
{
    bool secret = (option->flags & BILLET_OPTION_SECRET) != 0;
    bool required = (option->flags & BILLET_OPTION_REQUIRED) != 0;
    cleanup_free char *prompt = NULL;
    fprintf(stderr, "\n%s\n", option->text != NULL ? option->text : "");
    for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
        fprintf(stderr, "%s%s", i == 0 ? "  one of: " : ", ", option->choices[i]);
    if (option->choices != NULL)
        fputc('\n', stderr);
    if (secret)
        fprintf(stderr, "  a reference: @secret:NAME, @cred:NAME, @file:PATH or @env:NAME\n");
    if (asprintf(&prompt, "%s%s%s%s: ", option->name, option->default_value != NULL ? " [" : "",
                 option->default_value != NULL ? option->default_value : "",
                 option->default_value != NULL ? "]"
                 : required                    ? " (required)"
                                               : "") < 0) {
        prompt = NULL;
        return billet_error_no_memory(&cli->error);
    }
    for (int i = 0; i < TRIES; i++) {
        struct billet_error problem = BILLET_ERROR_INIT;
        cleanup_free char *answer = cli_ask(prompt);
        if (answer == NULL)
            return billet_error_set(&cli->error, BILLET_CLASS_CANCELLED, "not_confirmed",
                                    "nothing was saved");
        if (answer[0] == '\0' && !required)
            return 0;
        if (answer[0] != '\0' && billet_option_check_text(option, answer, &problem) == 0)
            return billet_settings_add(&environment->settings, option->name, answer, "answer", 0, 0,
                                       0)
                       ? 0
                       : billet_error_no_memory(&cli->error);
        fprintf(stderr, "  %s\n", answer[0] == '\0' ? "an answer is needed" : problem.message);
    }
    return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                            "no usable answer for '%s' after %d tries", option->name, TRIES);
}

static int
ask_everything(struct cli *cli, struct billet_environment *environment)
{
    struct billet_driver_client *client = NULL;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "usage",
                         "--interactive needs a terminal");
        return billet_error_hint(&cli->error, "use --option KEY=VALUE or --file FILE");
    }
    for (int i = 0; environment->driver[0] == '\0' && i < TRIES; i++) {
        cleanup_free char *answer = cli_ask("driver: ");
        if (answer == NULL)
            break;
        replace(&environment->driver, answer);
    }
    int result =
        billet_context_start_driver(cli->context, environment->driver, &client, &cli->error);
    if (result == 0) {
        const struct billet_driver_info *info = billet_driver_info(client);
        fprintf(stderr, "%s: %s\n", info->name, info->text);
        for (size_t i = 0; result == 0 && i < info->options.count; i++)
            if (billet_settings_get(&environment->settings, info->options.items[i].name) == NULL)
                result = ask_option(cli, &info->options.items[i], environment);
    }
    billet_driver_stop(client);
    return result;
}

static int
fill_empty(struct cli *cli, const struct cli_environment_form *form, const char *name,
           struct billet_environment *environment)
{
    char id[BILLET_UUID_SIZE];
    billet_uuid_make(id);
    if (!replace(&environment->id, id) || !replace(&environment->name, name) ||
        !replace(&environment->tenant, form->everyone ? "" : cli->context->tenant) ||
        !replace(&environment->status, BILLET_ENVIRONMENT_ACTIVE) ||
        !replace(&environment->reason, "") || !replace(&environment->source, "store") ||
        (environment->description == NULL && !replace(&environment->description, "")) ||
        (environment->driver == NULL && !replace(&environment->driver, "")))
        return billet_error_no_memory(&cli->error);
    return 0;
}

int
cli_environment_form_make(struct cli *cli, const struct cli_environment_form *form,
                          const char *name, struct billet_environment *environment)
{
    int result = 0;
    if (form->unset.count > 0 || form->status != NULL || form->reason != NULL)
        return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "usage",
                                "--unset, --status and --reason belong to 'billet env edit'");
    if (form->file != NULL) {
        struct billet_diagnostics found = BILLET_DIAGNOSTICS_INIT;
        result = billet_environment_from_file(form->file, environment, &found, &cli->error);
        int first = billet_diagnostics_error(&found, &cli->error);
        billet_diagnostics_free(&found);
        result = first < 0 ? first : result;
        if (result == 0 && strcmp(environment->name, name) != 0)
            result = billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "config_invalid",
                                      "%s defines environment '%s', not '%s'", form->file,
                                      environment->name, name);
    }
    if (result == 0)
        result = fill_empty(cli, form, name, environment);
    if (result == 0 && form->driver != NULL && !replace(&environment->driver, form->driver))
        result = billet_error_no_memory(&cli->error);
    if (result == 0 && form->description != NULL &&
        !replace(&environment->description, form->description))
        result = billet_error_no_memory(&cli->error);
    if (result == 0)
        result = apply_settings(cli, form, environment);
    if (result == 0 && form->interactive)
        result = ask_everything(cli, environment);
    if (result == 0 && environment->driver[0] == '\0') {
        billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "usage", "no driver was given");
        result = billet_error_hint(&cli->error,
                                   "give --driver; 'billet driver list' shows what there is");
    }
    if (result == 0)
        result = cli_environment_check(cli, environment);
    return result;
}

int
cli_environment_form_apply(struct cli *cli, const struct cli_environment_form *form,
                           struct billet_environment *environment)
{
    static const char *const statuses[] = {BILLET_ENVIRONMENT_ACTIVE, BILLET_ENVIRONMENT_DRAINED,
                                           BILLET_ENVIRONMENT_ARCHIVED, NULL};
    if (form->file != NULL || form->interactive || form->everyone)
        return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "usage",
                                "--file, --interactive and --every-tenant belong to "
                                "'billet env create'");
    if (form->driver != NULL && !replace(&environment->driver, form->driver))
        return billet_error_no_memory(&cli->error);
    if (form->description != NULL && !replace(&environment->description, form->description))
        return billet_error_no_memory(&cli->error);
    if (form->status != NULL) {
        bool known = false;
        for (size_t i = 0; statuses[i] != NULL; i++)
            known = known || strcmp(statuses[i], form->status) == 0;
        if (!known)
            return billet_error_set(&cli->error, BILLET_CLASS_CONFIG, "value_invalid",
                                    "--status is active, drained or archived, not '%s'",
                                    form->status);
        if (!replace(&environment->status, form->status) || !replace(&environment->reason, ""))
            return billet_error_no_memory(&cli->error);
    }
    if (form->reason != NULL && !replace(&environment->reason, form->reason))
        return billet_error_no_memory(&cli->error);
    int result = apply_settings(cli, form, environment);
    return result == 0 ? cli_environment_check(cli, environment) : result;
}
