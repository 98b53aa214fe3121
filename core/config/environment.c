/* SPDX-License-Identifier: Apache-2.0 */
#include "config/environment.h"

#include <billet/driver.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "config/configuration_private.h"
#include "config/option.h"
#include "config/parser.h"

#define VARIABLE "env."

/* The keys that have a member of their own. */
static const char *const apart[] = {"driver", "tenant", "description"};

void
billet_environment_free(struct billet_environment *environment)
{
    if (environment == NULL)
        return;
    free(environment->id);
    free(environment->tenant);
    free(environment->name);
    free(environment->driver);
    free(environment->description);
    free(environment->status);
    free(environment->reason);
    free(environment->source);
    free(environment->provision);
    free(environment->origin.text);
    billet_settings_free(&environment->settings);
    billet_settings_free(&environment->driver_settings);
    billet_strings_free(&environment->variables);
    billet_strings_free(&environment->workspace_exclude);
    billet_strings_free(&environment->workspace_preserve);
    billet_strings_free(&environment->assets);
    *environment = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
}

static bool
dup_into(char **to, const char *from)
{
    *to = billet_text_dup(from);
    return *to != NULL || from == NULL;
}

int
billet_environment_copy(struct billet_environment *to, const struct billet_environment *from,
                        struct billet_error *error)
{
    struct billet_environment copy = {
        .revision = from->revision,
        .created_ns = from->created_ns,
        .updated_ns = from->updated_ns,
        .workspace_mode = from->workspace_mode,
        .workspace_git = from->workspace_git,
        .workspace_ignored = from->workspace_ignored,
        .timeout_ns = from->timeout_ns,
        .kill_after_ns = from->kill_after_ns,
        .reuse = from->reuse,
        .max_leases = from->max_leases,
        .max_age_ns = from->max_age_ns,
        .redact_output = from->redact_output,
        .origin = {.line = from->origin.line, .column = from->origin.column},
    };
    bool good = dup_into(&copy.id, from->id) && dup_into(&copy.tenant, from->tenant) &&
                dup_into(&copy.name, from->name) && dup_into(&copy.driver, from->driver) &&
                dup_into(&copy.description, from->description) &&
                dup_into(&copy.status, from->status) && dup_into(&copy.reason, from->reason) &&
                dup_into(&copy.source, from->source) &&
                dup_into(&copy.provision, from->provision) &&
                dup_into(&copy.origin.text, from->origin.text) &&
                billet_settings_copy(&copy.settings, &from->settings) &&
                billet_settings_copy(&copy.driver_settings, &from->driver_settings);
    for (size_t i = 0; good && i < from->variables.count; i++)
        good = billet_strings_add(&copy.variables, from->variables.items[i]);
    for (size_t i = 0; good && i < from->workspace_exclude.count; i++)
        good = billet_strings_add(&copy.workspace_exclude, from->workspace_exclude.items[i]);
    for (size_t i = 0; good && i < from->workspace_preserve.count; i++)
        good = billet_strings_add(&copy.workspace_preserve, from->workspace_preserve.items[i]);
    for (size_t i = 0; good && i < from->assets.count; i++)
        good = billet_strings_add(&copy.assets, from->assets.items[i]);
    if (!good) {
        billet_environment_free(&copy);
        return billet_error_no_memory(error);
    }
    *to = copy;
    return 0;
}

/* Members that are the same for every new one. */
static bool
begin(struct billet_environment *environment, const char *name, const char *driver,
      const char *tenant, const char *description, const char *source)
{
    return dup_into(&environment->id, "") && dup_into(&environment->name, name) &&
           dup_into(&environment->driver, driver) && dup_into(&environment->tenant, tenant) &&
           dup_into(&environment->description, description) &&
           dup_into(&environment->status, BILLET_ENVIRONMENT_ACTIVE) &&
           dup_into(&environment->reason, "") && dup_into(&environment->source, source);
}

static bool
is_builtin(const char *name)
{
    return strcmp(name, "local") == 0 || strcmp(name, "sandbox") == 0;
}

bool
billet_environment_builtin(const char *name, struct billet_environment *environment)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    if (!is_builtin(name))
        return false;
    const char *description =
        name[0] == 'l' ? "this machine, no isolation" : "namespaces on this machine";
    if (!begin(&made, name, name, "", description, "builtin")) {
        billet_environment_free(&made);
        return false;
    }
    *environment = made;
    return true;
}

static bool
is_apart(const char *name)
{
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
        if (strcmp(apart[i], name) == 0)
            return true;
    return false;
}

static const char *
text_of(const struct billet_section *section, const char *name, const char *fallback)
{
    const struct billet_setting *found = billet_settings_get(&section->settings, name);
    return found != NULL ? found->value : fallback;
}

void
billet_section_check_identity(const struct billet_section *section,
                              struct billet_diagnostics *diagnostics)
{
    size_t count;
    const struct billet_option *options = billet_configuration_options("environment", &count);
    char who[160];
    billet_section_describe(section, who, sizeof(who));
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++) {
        const struct billet_option *option = billet_option_find(options, count, apart[i]);
        const struct billet_setting *found = billet_settings_get(&section->settings, apart[i]);
        struct billet_error error = BILLET_ERROR_INIT;
        if (found != NULL && billet_option_check_text(option, found->value, &error) < 0)
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, found->origin.text,
                                   found->origin.line, found->origin.column, error.code, "%s",
                                   error.message);
        /* A section that only adds to a built-in one need not repeat its driver. */
        if (found == NULL && (option->flags & BILLET_OPTION_REQUIRED) != 0 &&
            !is_builtin(section->name))
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, section->origin.text,
                                   section->origin.line, section->origin.column, "value_missing",
                                   "%s '%s' is missing", who, apart[i]);
    }
}

int
billet_environment_from_section(const struct billet_section *section,
                                struct billet_environment *environment, struct billet_error *error)
{
    struct billet_environment made = BILLET_ENVIRONMENT_INIT;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    billet_section_check_identity(section, &problems);
    int result = billet_diagnostics_error(&problems, error);
    billet_diagnostics_free(&problems);
    if (result < 0)
        return result;
    bool good = begin(&made, section->name, text_of(section, "driver", section->name),
                      text_of(section, "tenant", ""), text_of(section, "description", ""), "file");
    made.origin.line = section->origin.line;
    made.origin.column = section->origin.column;
    good = good && dup_into(&made.origin.text, section->origin.text);
    for (size_t i = 0; good && i < section->settings.count; i++)
        if (!is_apart(section->settings.items[i].name))
            good = billet_settings_append(&made.settings, &section->settings.items[i]);
    if (!good) {
        billet_environment_free(&made);
        return billet_error_no_memory(error);
    }
    *environment = made;
    return 0;
}

int
billet_environment_from_file(const char *path, struct billet_environment *environment,
                             struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_configuration *view = NULL;
    size_t errors = diagnostics->errors;
    /* The trusted walk begins at the root. */
    cleanup_free char *directory = path[0] != '/' ? getcwd(NULL, 0) : NULL;
    cleanup_free char *whole = NULL;
    if (asprintf(&whole, "%s%s%s", directory != NULL ? directory : "", directory != NULL ? "/" : "",
                 path) < 0) {
        whole = NULL;
        return billet_error_no_memory(error);
    }
    int result = billet_configuration_read_file(whole, &document, diagnostics, error);
    if (result == 0 && diagnostics->errors == errors &&
        (document.count != 1 || strcmp(document.items[0].kind, "environment") != 0))
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, whole,
                               document.count > 1 ? document.items[1].origin.line : 1, 1,
                               "config_syntax",
                               "a draft has exactly one section [environment NAME]");
    if (result == 0 && diagnostics->errors == errors) {
        view = billet_configuration_new();
        result = view == NULL ? billet_error_no_memory(error)
                              : billet_configuration_merge(view, &document, diagnostics, error);
    }
    if (result == 0 && diagnostics->errors == errors)
        billet_section_check_identity(billet_configuration_at(view, 0), diagnostics);
    if (result == 0 && diagnostics->errors > errors)
        result = billet_diagnostics_error(diagnostics, error);
    if (result == 0)
        result =
            billet_environment_from_section(billet_configuration_at(view, 0), environment, error);
    billet_configuration_free(view);
    billet_document_free(&document);
    return result;
}

static bool
is_variable(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* One setting to where it belongs: core's table, the variables, or the driver. */
static bool
sort_setting(struct billet_environment *environment, const struct billet_setting *setting,
             struct billet_settings *core, struct billet_diagnostics *diagnostics)
{
    size_t count;
    const struct billet_option *options = billet_configuration_options("environment", &count);
    if (billet_text_starts(setting->name, VARIABLE)) {
        const char *name = setting->name + strlen(VARIABLE);
        struct billet_error error = BILLET_ERROR_INIT;
        /* A literal is fine here; what looks like a reference has to be one. */
        if (billet_secret_is_reference(setting->value) &&
            billet_secret_check_reference(setting->name, setting->value, &error) < 0) {
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, setting->origin.text,
                                   setting->origin.line, setting->origin.column, error.code, "%s",
                                   error.message);
            return true;
        }
        if (is_variable(name))
            return billet_strings_set(&environment->variables, name, setting->value);
        billet_diagnostics_add(
            diagnostics, BILLET_DIAGNOSTIC_ERROR, setting->origin.text, setting->origin.line,
            setting->name_column != 0 ? setting->name_column : setting->origin.column,
            "value_invalid",
            "'%s': the name of a variable is letters, digits and '_', "
            "and does not begin with a digit",
            setting->name);
        return true;
    }
    if (strcmp(setting->name, "provision") == 0) {
        /* More than one line is useful here, unlike in a string of the table. */
        free(environment->provision);
        environment->provision = setting->value[0] != '\0' ? strdup(setting->value) : NULL;
        return environment->provision != NULL || setting->value[0] == '\0';
    }
    if (billet_option_find(options, count, setting->name) != NULL)
        return billet_settings_append(core, setting);
    return billet_settings_append(&environment->driver_settings, setting);
}

static bool
take_list(const struct billet_config *config, const char *name, struct billet_strings *list)
{
    const struct billet_value *value = billet_config_get(config, name);
    billet_strings_free(list);
    for (size_t i = 0;
         value != NULL && value->is_set && value->list != NULL && value->list[i] != NULL; i++)
        if (!billet_strings_add(list, value->list[i]))
            return false;
    return true;
}

static bool
take_values(struct billet_environment *environment, const struct billet_values *values)
{
    /* In the order of the table's choices. */
    static const int modes[] = {BILLET_WORKSPACE_IN_PLACE, BILLET_WORKSPACE_BIND,
                                BILLET_WORKSPACE_OVERLAY, BILLET_WORKSPACE_COPY};
    const struct billet_config config = {
        .struct_size = sizeof(config), .values = values->items, .count = values->count};
    const struct billet_value *workspace = billet_config_get(&config, "workspace");
    environment->workspace_mode =
        workspace != NULL && workspace->is_set ? modes[workspace->number] : -1;
    environment->timeout_ns = billet_config_number(&config, "timeout", 0);
    environment->kill_after_ns = billet_config_number(&config, "kill_after", 0);
    environment->reuse = billet_config_number(&config, "reuse", 0) != 0;
    environment->max_leases = billet_config_number(&config, "max_leases", 0);
    environment->max_age_ns = billet_config_number(&config, "max_age", 0);
    environment->workspace_git = billet_config_number(&config, "workspace_git", 1) != 0;
    environment->workspace_ignored = billet_config_number(&config, "workspace_ignored", 0) != 0;
    environment->redact_output = billet_config_number(&config, "redact_output", 1) != 0;
    return take_list(&config, "workspace_exclude", &environment->workspace_exclude) &&
           take_list(&config, "workspace_preserve", &environment->workspace_preserve) &&
           take_list(&config, "assets", &environment->assets);
}

int
billet_environment_resolve(struct billet_environment *environment,
                           struct billet_diagnostics *diagnostics)
{
    struct billet_settings core = BILLET_SETTINGS_INIT;
    struct billet_values values = {0};
    const char *place = environment->origin.text != NULL ? environment->origin.text
                        : environment->source != NULL    ? environment->source
                                                         : "";
    const struct billet_origin origin = {.text = (char *)(uintptr_t)place,
                                         .line = environment->origin.line,
                                         .column = environment->origin.column};
    size_t errors = diagnostics->errors;
    size_t count;
    const struct billet_option *options = billet_configuration_options("environment", &count);
    char who[160];

    snprintf(who, sizeof(who), "[environment %.64s]",
             environment->name != NULL ? environment->name : "");
    billet_settings_free(&environment->driver_settings);
    billet_strings_free(&environment->variables);
    free(environment->provision);
    environment->provision = NULL;

    bool good = true;
    if (environment->driver != NULL && environment->driver[0] != '\0')
        good = billet_settings_add(&core, "driver", environment->driver, place, 0, 0, 0);
    for (size_t i = 0; good && i < environment->settings.count; i++)
        good = sort_setting(environment, &environment->settings.items[i], &core, diagnostics);
    if (!good)
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, place, 0, 0, "out_of_memory",
                               "out of memory");
    else
        billet_options_resolve(options, count, &core, who, &origin, &values, diagnostics);
    if (!take_values(environment, &values))
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, place, 0, 0, "out_of_memory",
                               "out of memory");
    billet_values_free(&values);
    billet_settings_free(&core);
    return diagnostics->errors > errors ? -BILLET_CLASS_CONFIG : 0;
}

int
billet_environment_apply_defaults(const struct billet_configuration *configuration,
                                  struct billet_environment *environment)
{
    const struct billet_section *section =
        billet_configuration_find(configuration, "driver", environment->driver);
    struct billet_settings merged = BILLET_SETTINGS_INIT;
    size_t count;
    const struct billet_option *core = billet_configuration_options("driver", &count);
    bool good = true;
    if (section == NULL)
        return 0;
    for (size_t i = 0; good && i < section->settings.count; i++) {
        const struct billet_setting *setting = &section->settings.items[i];
        if (billet_option_find(core, count, setting->name) == NULL &&
            billet_settings_get(&environment->driver_settings, setting->name) == NULL)
            good = billet_settings_append(&merged, setting);
    }
    for (size_t i = 0; good && i < environment->driver_settings.count; i++)
        good = billet_settings_append(&merged, &environment->driver_settings.items[i]);
    if (!good) {
        billet_settings_free(&merged);
        return -BILLET_CLASS_CAPACITY;
    }
    billet_settings_free(&environment->driver_settings);
    environment->driver_settings = merged;
    return 0;
}

json_t *
billet_environment_settings_to_json(const struct billet_environment *environment)
{
    cleanup_json json_t *object = json_object();
    bool good = object != NULL;
    for (size_t i = 0; good && i < environment->settings.count; i++) {
        const struct billet_setting *setting = &environment->settings.items[i];
        json_t *present = json_object_get(object, setting->name);
        json_t *value = billet_json_bytes(setting->value);
        if (value == NULL) {
            good = false;
        } else if (present == NULL) {
            good = json_object_set_new(object, setting->name, value) == 0;
        } else if (json_is_array(present)) {
            good = json_array_append_new(present, value) == 0;
        } else {
            json_t *both = json_array();
            good = json_array_append(both, present) == 0;
            good = json_array_append_new(both, value) == 0 && good;
            good = json_object_set_new(object, setting->name, both) == 0 && good;
        }
    }
    return good ? billet_steal(object) : NULL;
}

static int
take_json(struct billet_settings *settings, const char *name, const json_t *value,
          struct billet_error *error)
{
    cleanup_free char *text = billet_json_get_bytes(value);
    if (text == NULL && json_is_string(value) &&
        strlen(json_string_value(value)) == json_string_length(value))
        return billet_error_no_memory(error);
    if (text == NULL)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "setting '%.64s' is neither text nor a list of texts", name);
    if (!billet_settings_add(settings, name, text, "store", 0, 0, 0))
        return billet_error_no_memory(error);
    return 0;
}

int
billet_environment_settings_from_json(struct billet_environment *environment, const json_t *object,
                                      struct billet_error *error)
{
    struct billet_settings made = BILLET_SETTINGS_INIT;
    const char *name;
    json_t *value;
    int result = 0;
    if (!json_is_object(object))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "the settings of an environment are not an object");
    json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
        if (!json_is_array(value))
            result = take_json(&made, name, value, error);
        for (size_t i = 0; result == 0 && i < json_array_size(value); i++)
            result = take_json(&made, name, json_array_get(value, i), error);
        if (result < 0 || made.count > BILLET_PARSER_SETTINGS_MAX)
            break;
    }
    if (result == 0 && made.count > BILLET_PARSER_SETTINGS_MAX)
        result = billet_error_set(error, BILLET_CLASS_CONFIG, "too_large", "more than %u settings",
                                  BILLET_PARSER_SETTINGS_MAX);
    if (result < 0) {
        billet_settings_free(&made);
        return result;
    }
    billet_settings_free(&environment->settings);
    environment->settings = made;
    return 0;
}

static void
write_key(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s = ", name);
    billet_parser_write_value(to, value);
    fputc('\n', to);
}

void
billet_environment_to_snippet(FILE *to, const struct billet_environment *environment)
{
    fprintf(to, "[environment %s]\n", environment->name);
    write_key(to, "driver", environment->driver);
    if (environment->tenant != NULL && environment->tenant[0] != '\0')
        write_key(to, "tenant", environment->tenant);
    if (environment->description != NULL && environment->description[0] != '\0')
        write_key(to, "description", environment->description);
    for (size_t i = 0; i < environment->settings.count; i++)
        write_key(to, environment->settings.items[i].name, environment->settings.items[i].value);
}
