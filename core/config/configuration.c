/* SPDX-License-Identifier: Apache-2.0 */
#include "config/configuration.h"

#include <billet/driver.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "config/configuration_private.h"
#include "config/parser.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TABLE(array) .options = (array), .count = COUNT(array)

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const workspaces[] = {"in_place", "bind", "overlay", "copy", NULL};

#define NAME_PATTERN "[A-Za-z0-9][A-Za-z0-9._-]*"
#define YEAR_NS (INT64_C(366) * 86400 * BILLET_NS_PER_SECOND)
#define SECONDS(n) ((n)*BILLET_NS_PER_SECOND)

static const struct billet_option store_options[] = {
    {.name = "url",
     .type = BILLET_OPTION_STRING,
     .default_value = "",
     .text = "Where leases and environments are kept: sqlite:PATH or postgresql:///DATABASE. "
             "When empty, a file of SQLite in the state directory."},
    {.name = "lock_timeout",
     .type = BILLET_OPTION_DURATION,
     .default_value = "10s",
     .minimum = BILLET_NS_PER_SECOND / 10,
     .maximum = SECONDS(3600),
     .text = "How long a writer waits for others before it gives up."},
};

static const struct billet_option billet_options[] = {
    {.name = "lease_ttl",
     .type = BILLET_OPTION_DURATION,
     .default_value = "60s",
     .minimum = SECONDS(10),
     .maximum = SECONDS(86400),
     .text = "How long a lease lives without a sign of its owner. "
             "After that anybody may clean it up."},
    {.name = "held_lease_ttl",
     .type = BILLET_OPTION_DURATION,
     .default_value = "1h",
     .minimum = SECONDS(10),
     .maximum = YEAR_NS,
     .text = "How long a lease that no run uses is held for its next use."},
    {.name = "environment",
     .type = BILLET_OPTION_STRING,
     .minimum = 1,
     .maximum = 64,
     .pattern = NAME_PATTERN,
     .text = "The environment of runs that name none."},
    {.name = "driver_directory",
     .type = BILLET_OPTION_LIST,
     .pattern = "/.*",
     .maximum = 64,
     .text = "Directories that are searched for drivers before the built-in one."},
    {.name = "log_level",
     .type = BILLET_OPTION_CHOICE,
     .choices = log_levels,
     .default_value = "warning",
     .text = "The least severe messages that are shown."},
    {.name = "acquire_timeout",
     .type = BILLET_OPTION_DURATION,
     .default_value = "10m",
     .minimum = SECONDS(1),
     .maximum = SECONDS(86400),
     .text = "How long a driver may take to provide or resume a resource."},
    {.name = "release_timeout",
     .type = BILLET_OPTION_DURATION,
     .default_value = "2m",
     .minimum = SECONDS(1),
     .maximum = SECONDS(86400),
     .text = "How long a driver may take to release or destroy a resource."},
    {.name = "call_timeout",
     .type = BILLET_OPTION_DURATION,
     .default_value = "60s",
     .minimum = SECONDS(1),
     .maximum = SECONDS(86400),
     .text = "How long any other call of a driver may take, a run's command excepted."},
};

static const struct billet_option secrets_options[] = {
    {.name = "keyring",
     .type = BILLET_OPTION_PATH,
     .text = "The file of the keys that seal secrets. When absent, keyring beside billet.conf: "
             "in /etc/billet for root, in ~/.config/billet for others."},
    {.name = "require_mlock",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "no",
     .text = "Whether a secret is refused when memory cannot be locked, so that swap might see "
             "it. Otherwise billet warns."},
};

#define DRIVER_OPTIONS(enabled_default)                                                       \
    {                                                                                         \
        {.name = "enabled",                                                                   \
         .type = BILLET_OPTION_BOOLEAN,                                                       \
         .default_value = (enabled_default),                                                  \
         .text = "Whether the driver may be used. Nothing loads that is not enabled; "        \
                 "local and sandbox are when nothing is said."},                              \
            {.name = "required",                                                              \
             .type = BILLET_OPTION_BOOLEAN,                                                   \
             .default_value = "no",                                                           \
             .text = "Whether a driver that is missing or broken is an error of the whole."}, \
        {                                                                                     \
            .name = "path", .type = BILLET_OPTION_PATH,                                       \
            .text = "The file of the driver, when it is not in a driver directory."           \
        }                                                                                     \
    }

static const struct billet_option driver_options[] = DRIVER_OPTIONS("no");
static const struct billet_option shipped_options[] = DRIVER_OPTIONS("yes");

static const char *const vault_types[] = {"command", "hashicorp", "aws", NULL};
static const char *const vault_auths[] = {"token", "approle", "kubernetes", NULL};

static const char *const vault_credentials[] = {
    "auto", "section", "environment", "web_identity", "profile", "container", "instance", NULL};

static const struct billet_option vault_options[] = {
    {.name = "type",
     .type = BILLET_OPTION_CHOICE,
     .flags = BILLET_OPTION_REQUIRED,
     .choices = vault_types,
     .text = "What it is. command: a program that prints the value. hashicorp: HashiCorp Vault or "
             "OpenBao, a key-value engine of either version. aws: AWS Secrets Manager."},
    {.name = "tenant",
     .type = BILLET_OPTION_STRING,
     .minimum = 1,
     .maximum = 64,
     .pattern = NAME_PATTERN,
     .text = "The only tenant that may use it; everybody when absent."},
    {.name = "prefix",
     .type = BILLET_OPTION_STRING,
     .maximum = 512,
     .text = "What every path must begin with; any other is refused."},
    {.name = "timeout",
     .type = BILLET_OPTION_DURATION,
     .default_value = "30s",
     .minimum = SECONDS(1),
     .maximum = SECONDS(600),
     .text = "How long an operation may take."},
    {.name = "command",
     .type = BILLET_OPTION_LIST,
     .maximum = 64,
     .text = "The program, by its whole path, and its arguments; {path} in an argument stands for "
             "what the reference names. With type command. It is not a shell's line."},
    {.name = "command_environment",
     .type = BILLET_OPTION_LIST,
     .maximum = 64,
     .text = "Variables of billet's own environment that the program gets, besides HOME, LANG, "
             "LOGNAME, PATH, TMPDIR, USER and XDG_RUNTIME_DIR."},
    {.name = "address",
     .type = BILLET_OPTION_STRING,
     .maximum = 512,
     .pattern = "https?://[A-Za-z0-9.:-]+|https?://[[][0-9A-Fa-f:.]+](:[0-9]+)?",
     .text = "Where the server is, as https://HOST:PORT. http is for this machine only. With aws "
             "the region's own when absent."},
    {.name = "namespace",
     .type = BILLET_OPTION_STRING,
     .maximum = 256,
     .text = "The namespace of the server that is used."},
    {.name = "mount",
     .type = BILLET_OPTION_STRING,
     .default_value = "secret",
     .maximum = 256,
     .text = "Where the key-value engine is mounted."},
    {.name = "auth",
     .type = BILLET_OPTION_CHOICE,
     .choices = vault_auths,
     .default_value = "token",
     .text = "How billet shows who it is. token: with token. approle: with role_id and secret_id. "
             "kubernetes: with role and the service account's token."},
    {.name = "auth_mount",
     .type = BILLET_OPTION_STRING,
     .maximum = 256,
     .text = "Where that method is mounted; at its own name when absent."},
    {.name = "token",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_SECRET,
     .text = "The token: @cred:, @file: or @env:."},
    {.name = "role_id",
     .type = BILLET_OPTION_STRING,
     .maximum = 256,
     .text = "The role of approle."},
    {.name = "secret_id",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_SECRET,
     .text = "The secret id of approle: @cred:, @file: or @env:."},
    {.name = "role",
     .type = BILLET_OPTION_STRING,
     .maximum = 256,
     .text = "The role of kubernetes."},
    {.name = "jwt_file",
     .type = BILLET_OPTION_PATH,
     .default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token",
     .text = "The service account's token."},
    {.name = "region",
     .type = BILLET_OPTION_STRING,
     .maximum = 63,
     .pattern = "[a-z0-9-]+",
     .text = "The region of aws; what AWS_REGION, AWS_DEFAULT_REGION or the profile says when "
             "absent."},
    {.name = "credentials",
     .type = BILLET_OPTION_CHOICE,
     .choices = vault_credentials,
     .default_value = "auto",
     .text = "Where the key of aws comes from. auto: the first that is there. section: "
             "access_key_id. environment: AWS_ACCESS_KEY_ID. web_identity: a role and a token's "
             "file. profile: the files that AWS's tools share. container: the endpoint of ECS or "
             "EKS. instance: the metadata of EC2."},
    {.name = "profile",
     .type = BILLET_OPTION_STRING,
     .maximum = 128,
     .text = "The profile of aws; with it, credentials = auto looks nowhere else."},
    {.name = "access_key_id",
     .type = BILLET_OPTION_STRING,
     .maximum = 128,
     .pattern = "[A-Za-z0-9_]+",
     .text = "The id of an access key of aws."},
    {.name = "secret_access_key",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_SECRET,
     .text = "What belongs to access_key_id: @cred:, @file: or @env:."},
    {.name = "sts_address",
     .type = BILLET_OPTION_STRING,
     .maximum = 512,
     .pattern = "https?://[A-Za-z0-9.:-]+|https?://[[][0-9A-Fa-f:.]+](:[0-9]+)?",
     .text = "Where roles of aws are assumed; the region's own when absent."},
    {.name = "kms_key",
     .type = BILLET_OPTION_STRING,
     .maximum = 2048,
     .text = "The key of AWS KMS that new secrets are sealed with; the account's when absent."},
    {.name = "ca_file",
     .type = BILLET_OPTION_PATH,
     .text = "The certificates that the server's must be signed by; the system's when absent."},
};

static const struct billet_option environment_options[] = {
    {.name = "driver",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_REQUIRED,
     .minimum = 1,
     .maximum = 64,
     .pattern = NAME_PATTERN,
     .text = "The driver that provides the environment."},
    {.name = "tenant",
     .type = BILLET_OPTION_STRING,
     .minimum = 1,
     .maximum = 64,
     .pattern = NAME_PATTERN,
     .text = "The only tenant that may use it; everybody when absent."},
    {.name = "description",
     .type = BILLET_OPTION_STRING,
     .maximum = 1024,
     .text = "A line for people."},
    {.name = "provision",
     .type = BILLET_OPTION_STRING,
     .text = "A command line for sh -c that prepares the environment before its first run. "
             "May have several lines, written with \\n in quotes."},
    {.name = "workspace",
     .type = BILLET_OPTION_CHOICE,
     .choices = workspaces,
     .text = "How the workspace is brought in; the driver's own way when absent. in_place: it is "
             "the directory itself, without isolation. bind: the directory itself, mounted. "
             "overlay: a view whose changes are merged into the workspace afterwards. copy: a copy "
             "that is carried there and back."},
    {.name = "workspace_git",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "yes",
     .text = "Whether the history of a workspace that is a git work tree travels with its files: "
             "branches, index and new commits, without hooks, settings that name programs, and "
             "credentials. With overlay and copy."},
    {.name = "workspace_exclude",
     .type = BILLET_OPTION_LIST,
     .maximum = 1000,
     .text = "Patterns in the grammar of gitignore(5): what they name neither goes out nor comes "
             "back. With overlay and copy."},
    {.name = "workspace_preserve",
     .type = BILLET_OPTION_LIST,
     .maximum = 1000,
     .text = "Patterns of what goes out and is never changed or deleted by what comes back."},
    {.name = "workspace_ignored",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "no",
     .text = "Whether what .gitignore names, and directories like node_modules or .venv, travels "
             "too. With copy; an overlay always shows them and brings them back."},
    {.name = "assets",
     .type = BILLET_OPTION_LIST,
     .maximum = 32,
     .text = "Files and directories of this machine that commands may read besides the workspace, "
             "absolute: PATH, or PATH:NAME. Commands find each under its name in the directory "
             "BILLET_ASSETS. See billet-run(1)."},
    {.name = "timeout",
     .type = BILLET_OPTION_DURATION,
     .maximum = YEAR_NS,
     .text = "The longest that a command may run; no limit when absent or 0."},
    {.name = "kill_after",
     .type = BILLET_OPTION_DURATION,
     .default_value = "10s",
     .maximum = SECONDS(3600),
     .text = "How long a command that was asked to stop may take before it is killed."},
    {.name = "reuse",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "no",
     .text = "Whether the resource is kept after a run and given to the next one like it."},
    {.name = "max_leases",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "0",
     .maximum = 100000,
     .text = "How many leases may live at once; a run beyond waits its turn. 0: any number."},
    {.name = "max_age",
     .type = BILLET_OPTION_DURATION,
     .default_value = "0",
     .maximum = YEAR_NS,
     .text = "A resource that is older is not given to another run. 0: however old."},
    {.name = "redact_output",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "yes",
     .text = "Whether the values of secrets among the environment's variables are masked in what "
             "its commands print."},
};

/* What the sections are: in the order in which they are listed. */
static const struct kind {
    const char *name;
    const struct billet_option *options;
    size_t count;
    bool named;
    bool open; /* other keys are a driver's */
} kinds[] = {
    {.name = "billet", TABLE(billet_options)},
    {.name = "driver", TABLE(driver_options), .named = true, .open = true},
    {.name = "environment", TABLE(environment_options), .named = true, .open = true},
    {.name = "secrets", TABLE(secrets_options)},
    {.name = "store", TABLE(store_options)},
    {.name = "vault", TABLE(vault_options), .named = true},
};

struct resolved {
    struct billet_section section;
    struct billet_values values; /* of core's table */
};

struct billet_configuration {
    struct resolved *items;
    size_t count;
    size_t capacity;
    size_t entries; /* headers and settings read so far, of all files */
    struct billet_values defaults[COUNT(kinds)]; /* of a section that nobody wrote */
    struct billet_values shipped;                /* of [driver local] and [driver sandbox] */
};

static const struct kind *
find_kind(const char *name)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

bool
billet_configuration_core_keys(const char *kind, struct billet_strings *names)
{
    const struct kind *found = find_kind(kind);
    for (size_t i = 0; found != NULL && i < found->count; i++)
        if (!billet_strings_add(names, found->options[i].name))
            return false;
    return true;
}

static bool
is_shipped(const char *name)
{
    return strcmp(name, "local") == 0 || strcmp(name, "sandbox") == 0;
}

const struct billet_option *
billet_configuration_options(const char *kind, size_t *count)
{
    const struct kind *found = find_kind(kind);
    *count = found != NULL ? found->count : 0;
    return found != NULL ? found->options : NULL;
}

void
billet_section_describe(const struct billet_section *section, char *to, size_t size)
{
    if (section->name[0] != '\0')
        snprintf(to, size, "[%s %s]", section->kind, section->name);
    else
        snprintf(to, size, "[%s]", section->kind);
}

static void
fail_at(struct billet_diagnostics *diagnostics, const struct billet_origin *place, const char *code,
        const char *message)
{
    billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, place->text, place->line,
                           place->column, code, "%s", message);
}

/* Is it a section that exists, with the name that it needs? */
static bool
check_header(const struct billet_section *section, struct billet_diagnostics *diagnostics)
{
    const struct kind *kind = find_kind(section->kind);
    char message[BILLET_MESSAGE_MAX];
    if (kind == NULL) {
        const char *known[COUNT(kinds) + 1] = {NULL};
        for (size_t i = 0; i < COUNT(kinds); i++)
            known[i] = kinds[i].name;
        const char *near = billet_text_nearest(section->kind, known);
        if (near != NULL)
            snprintf(message, sizeof(message), "unknown section '%s' (did you mean '%s'?)",
                     section->kind, near);
        else
            snprintf(message, sizeof(message), "unknown section '%s'", section->kind);
        fail_at(diagnostics, &section->origin, "config_unknown_section", message);
        return false;
    }
    if (!kind->named && section->name[0] != '\0') {
        snprintf(message, sizeof(message), "[%s] has no name: write [%s], not [%s %s]", kind->name,
                 kind->name, kind->name, section->name);
        fail_at(diagnostics, &section->origin, "config_syntax", message);
        return false;
    }
    if (kind->named && !billet_text_is_name(section->name)) {
        if (section->name[0] == '\0')
            snprintf(message, sizeof(message), "[%s] wants a name: write [%s NAME]", kind->name,
                     kind->name);
        else
            snprintf(message, sizeof(message),
                     "[%s NAME]: '%.64s' is not a name: letters, digits, '.', '_' and '-', "
                     "beginning with a letter or digit, at most 64",
                     kind->name, section->name);
        fail_at(diagnostics, &section->origin, "config_syntax", message);
        return false;
    }
    return true;
}

/* env.NAME is core's in an environment. */
static bool
is_core_key(const struct kind *kind, const char *name)
{
    return billet_option_find(kind->options, kind->count, name) != NULL ||
           (strcmp(kind->name, "environment") == 0 && billet_text_starts(name, "env."));
}

/* Twice in one file is an error where core knows the key not to be a list; a driver's own keys are
 * judged later, when its table is at hand. */
static void
check_repeats(const struct kind *kind, const struct billet_section *section,
              struct billet_diagnostics *diagnostics)
{
    for (size_t i = 1; i < section->settings.count; i++) {
        const struct billet_setting *second = &section->settings.items[i];
        const struct billet_option *option =
            billet_option_find(kind->options, kind->count, second->name);
        if ((kind->open && !is_core_key(kind, second->name)) ||
            (option != NULL && option->type == BILLET_OPTION_LIST))
            continue;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(section->settings.items[j].name, second->name) != 0)
                continue;
            billet_options_report_twice(&section->settings.items[j], second, diagnostics);
            break;
        }
    }
}

/* Sections of one name in one file become one; an environment may have only one header there. */
static bool
unite(struct billet_document *document, struct billet_diagnostics *diagnostics)
{
    size_t kept = 0;
    for (size_t i = 0; i < document->count; i++) {
        struct billet_section *section = &document->items[i];
        struct billet_section *first = NULL;
        if (!check_header(section, diagnostics)) {
            billet_section_free(section);
            continue;
        }
        for (size_t j = 0; j < kept && first == NULL; j++)
            if (strcmp(document->items[j].kind, section->kind) == 0 &&
                strcmp(document->items[j].name, section->name) == 0)
                first = &document->items[j];
        if (first == NULL) {
            struct billet_section moved = *section;
            *section = (struct billet_section){0};
            document->items[kept++] = moved;
            continue;
        }
        if (strcmp(section->kind, "environment") == 0)
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, section->origin.text,
                                   section->origin.line, section->origin.column, "config_duplicate",
                                   "[environment %s] given twice (first in line %d)", section->name,
                                   first->origin.line);
        for (size_t j = 0; j < section->settings.count; j++) {
            if (!billet_settings_append(&first->settings, &section->settings.items[j])) {
                document->count = i + 1;
                return false;
            }
        }
        billet_section_free(section);
    }
    document->count = kept;
    return true;
}

/* The section of that kind and name, made when it is new; NULL when memory ran out. */
static struct billet_section *
provide_section(struct billet_configuration *configuration, const char *kind, const char *name,
                const struct billet_origin *origin)
{
    for (size_t i = 0; i < configuration->count; i++) {
        struct billet_section *section = &configuration->items[i].section;
        if (strcmp(section->kind, kind) == 0 && strcmp(section->name, name) == 0)
            return section;
    }
    if (configuration->count == configuration->capacity) {
        size_t capacity = configuration->capacity != 0 ? configuration->capacity * 2 : 16;
        struct resolved *grown = reallocarray(configuration->items, capacity, sizeof(*grown));
        if (grown == NULL)
            return NULL;
        configuration->items = grown;
        configuration->capacity = capacity;
    }
    struct resolved added = {
        .section = {.kind = strdup(kind),
                    .name = strdup(name),
                    .origin = {.text = strdup(origin->text),
                               .line = origin->line,
                               .column = origin->column}},
    };
    if (added.section.kind == NULL || added.section.name == NULL ||
        added.section.origin.text == NULL) {
        billet_section_free(&added.section);
        return NULL;
    }
    configuration->items[configuration->count] = added;
    return &configuration->items[configuration->count++].section;
}

/* What a later source says of a key replaces all that earlier ones said of it. */
static bool
merge_settings(struct billet_section *into, const struct billet_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(settings->items[j].name, settings->items[i].name) == 0;
        if (!seen)
            billet_settings_remove(&into->settings, settings->items[i].name);
        if (!billet_settings_append(&into->settings, &settings->items[i]))
            return false;
    }
    return true;
}

int
billet_configuration_merge(struct billet_configuration *configuration,
                           struct billet_document *document, struct billet_diagnostics *diagnostics,
                           struct billet_error *error)
{
    size_t entries = configuration->entries + document->count;
    for (size_t i = 0; i < document->count; i++)
        entries += document->items[i].settings.count;
    if (entries > BILLET_PARSER_SETTINGS_MAX) {
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, document->items[0].origin.text,
                               0, 0, "too_large", "more than %u settings in all files together",
                               BILLET_PARSER_SETTINGS_MAX);
        return 0;
    }
    configuration->entries = entries;
    if (!unite(document, diagnostics))
        return billet_error_no_memory(error);
    for (size_t i = 0; i < document->count; i++) {
        const struct billet_section *section = &document->items[i];
        check_repeats(find_kind(section->kind), section, diagnostics);
        struct billet_section *into =
            provide_section(configuration, section->kind, section->name, &section->origin);
        if (into == NULL || !merge_settings(into, &section->settings))
            return billet_error_no_memory(error);
    }
    return 0;
}

/* "store.url", "driver.ssh.enabled", "environment.build1.env.PATH" in three parts. */
static bool
split_override(const char *name, char *kind, char *section, char *key, size_t size)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL || strlen(name) >= size)
        return false;
    snprintf(kind, size, "%.*s", (int)(dot - name), name);
    const struct kind *found = find_kind(kind);
    section[0] = '\0';
    if (found == NULL || !found->named) {
        snprintf(key, size, "%s", dot + 1);
        return key[0] != '\0';
    }
    const char *rest = dot + 1;
    const char *last = strrchr(rest, '.');
    if (last == NULL || last == rest || last[1] == '\0')
        return false;
    /* env.NAME is one key; a name such as "a.b" may have dots. */
    if (last - rest > 4 && strncmp(last - 4, ".env", 4) == 0)
        last -= 4;
    snprintf(section, size, "%.*s", (int)(last - rest), rest);
    snprintf(key, size, "%s", last + 1);
    return true;
}

int
billet_configuration_override(struct billet_configuration *configuration,
                              const struct billet_setting *setting,
                              struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    char kind[512];
    char name[512];
    char key[512];
    if (!split_override(setting->name, kind, name, key, sizeof(kind))) {
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, setting->origin.text, 0, 0,
                               "config_syntax",
                               "'%.128s' is not a key such as store.url or "
                               "environment.NAME.timeout",
                               setting->name);
        return 0;
    }
    struct billet_section section = {.kind = kind, .name = name, .origin = setting->origin};
    if (!check_header(&section, diagnostics))
        return 0;
    struct billet_setting renamed = *setting;
    renamed.name = key;
    struct billet_settings one = {.items = &renamed, .count = 1};
    struct billet_section *into = provide_section(configuration, kind, name, &setting->origin);
    if (into == NULL || !merge_settings(into, &one))
        return billet_error_no_memory(error);
    return 0;
}

/* The values of core's keys of one section. The types of what billet_environment_resolve looks at
 * are its to report; a section that names no driver is reported here. */
static int
resolve_section(struct resolved *resolved, struct billet_diagnostics *diagnostics,
                struct billet_error *error)
{
    struct billet_section *section = &resolved->section;
    const struct kind *kind = find_kind(section->kind);
    bool environment = strcmp(kind->name, "environment") == 0;
    struct billet_settings core = BILLET_SETTINGS_INIT;
    struct billet_diagnostics ignored = BILLET_DIAGNOSTICS_INIT;
    const struct billet_option *options = kind->options;
    char who[160];

    if (strcmp(kind->name, "driver") == 0 && is_shipped(section->name))
        options = shipped_options;
    for (size_t i = 0; i < section->settings.count; i++) {
        const struct billet_setting *setting = &section->settings.items[i];
        if (kind->open && billet_option_find(options, kind->count, setting->name) == NULL)
            continue;
        if (!billet_settings_append(&core, setting)) {
            billet_settings_free(&core);
            return billet_error_no_memory(error);
        }
        /* Repeats within a file were reported when it was merged. */
        const struct billet_option *option =
            billet_option_find(options, kind->count, setting->name);
        if (option != NULL && option->type != BILLET_OPTION_LIST) {
            struct billet_setting last = core.items[core.count - 1];
            core.count--;
            billet_settings_remove(&core, last.name);
            core.items[core.count++] = last;
        }
    }
    billet_section_describe(section, who, sizeof(who));
    billet_options_resolve(options, kind->count, &core, who, &section->origin, &resolved->values,
                           environment ? &ignored : diagnostics);
    if (environment)
        billet_section_check_identity(section, diagnostics);
    billet_diagnostics_free(&ignored);
    billet_settings_free(&core);
    return 0;
}

static int
compare(const void *a, const void *b)
{
    const struct billet_section *one = &((const struct resolved *)a)->section;
    const struct billet_section *two = &((const struct resolved *)b)->section;
    int order = strcmp(one->kind, two->kind);
    return order != 0 ? order : strcmp(one->name, two->name);
}

int
billet_configuration_finish(struct billet_configuration *configuration,
                            struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    if (configuration->count > 1)
        qsort(configuration->items, configuration->count, sizeof(*configuration->items), compare);
    for (size_t i = 0; i < configuration->count; i++) {
        int result = resolve_section(&configuration->items[i], diagnostics, error);
        if (result < 0)
            return result;
    }
    return 0;
}

struct billet_configuration *
billet_configuration_new(void)
{
    struct billet_configuration *made = calloc(1, sizeof(*made));
    struct billet_diagnostics ignored = BILLET_DIAGNOSTICS_INIT;
    struct billet_settings none = BILLET_SETTINGS_INIT;
    if (made == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT(kinds); i++)
        billet_options_resolve(kinds[i].options, kinds[i].count, &none, "", NULL,
                               &made->defaults[i], &ignored);
    billet_options_resolve(shipped_options, COUNT(shipped_options), &none, "", NULL, &made->shipped,
                           &ignored);
    billet_diagnostics_free(&ignored);
    return made;
}

void
billet_configuration_free(struct billet_configuration *configuration)
{
    if (configuration == NULL)
        return;
    for (size_t i = 0; i < configuration->count; i++) {
        billet_section_free(&configuration->items[i].section);
        billet_values_free(&configuration->items[i].values);
    }
    free(configuration->items);
    for (size_t i = 0; i < COUNT(kinds); i++)
        billet_values_free(&configuration->defaults[i]);
    billet_values_free(&configuration->shipped);
    free(configuration);
}

size_t
billet_configuration_count(const struct billet_configuration *configuration)
{
    return configuration->count;
}

const struct billet_section *
billet_configuration_at(const struct billet_configuration *configuration, size_t index)
{
    return index < configuration->count ? &configuration->items[index].section : NULL;
}

static const struct resolved *
find(const struct billet_configuration *configuration, const char *kind, const char *name)
{
    for (size_t i = 0; i < configuration->count; i++)
        if (strcmp(configuration->items[i].section.kind, kind) == 0 &&
            strcmp(configuration->items[i].section.name, name) == 0)
            return &configuration->items[i];
    return NULL;
}

const struct billet_section *
billet_configuration_find(const struct billet_configuration *configuration, const char *kind,
                          const char *name)
{
    const struct resolved *found = find(configuration, kind, name);
    return found != NULL ? &found->section : NULL;
}

const struct billet_value *
billet_configuration_value(const struct billet_configuration *configuration, const char *kind,
                           const char *name, const char *key)
{
    const struct kind *known = find_kind(kind);
    const struct resolved *found = find(configuration, kind, name);
    if (known == NULL)
        return NULL;
    const struct billet_values *fallback = strcmp(kind, "driver") == 0 && is_shipped(name)
                                               ? &configuration->shipped
                                               : &configuration->defaults[known - kinds];
    const struct billet_values *sets[] = {found != NULL ? &found->values : fallback, fallback};
    const struct billet_value *value = NULL;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < sets[i]->count; j++) {
            if (strcmp(sets[i]->items[j].name, key) != 0)
                continue;
            value = &sets[i]->items[j];
            if (value->is_set)
                return value;
        }
    }
    return value;
}

bool
billet_configuration_driver_enabled(const struct billet_configuration *configuration,
                                    const char *driver)
{
    if (configuration == NULL)
        return is_shipped(driver);
    const struct billet_value *value =
        billet_configuration_value(configuration, "driver", driver, "enabled");
    return value != NULL && value->number != 0;
}
