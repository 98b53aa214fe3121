/* SPDX-License-Identifier: Apache-2.0 */
#include "run/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "run/drain.h"

#define CHOICE_FILE ".billet"
#define CHOICE_FILE_LIMIT 4096

static bool
tenant_may_use(const struct billet_environment *environment, const char *tenant)
{
    return environment->tenant == NULL || environment->tenant[0] == '\0' ||
           strcmp(environment->tenant, tenant) == 0;
}

static int
collect_name(const struct billet_environment *environment, void *context)
{
    return billet_strings_add(context, environment->name) ? 0 : -BILLET_CLASS_CAPACITY;
}

static int
not_found(struct billet_context *context, const char *name, struct billet_error *error)
{
    cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
    billet_each_environment(context, collect_name, &names, NULL);
    const char *near = billet_text_nearest(name, billet_strings_list(&names));
    billet_error_set(error, BILLET_CLASS_CONFIG, "environment_not_found",
                     "environment '%s' not found", name);
    if (near != NULL)
        return billet_error_hint(error, "did you mean '%s'? 'billet env list' shows all", near);
    return billet_error_hint(error, "'billet env list' shows all; 'billet env create' makes one");
}

int
billet_find_environment(struct billet_context *context, const char *name,
                        struct billet_environment *environment, struct billet_error *error)
{
    struct billet_environment found = BILLET_ENVIRONMENT_INIT;
    struct billet_store *store = NULL;
    const struct billet_section *section;
    int result;

    if (!billet_text_is_name(name)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "environment_not_found",
                         "'%s' is not the name of an environment", name);
        return billet_error_hint(error, "letters, digits, '.', '_' and '-', at most 64");
    }
    section = billet_configuration_find(context->configuration, "environment", name);
    if (section != NULL) {
        result = billet_environment_from_section(section, &found, error);
        if (result < 0)
            return result;
        if (!tenant_may_use(&found, context->tenant)) {
            billet_environment_free(&found);
            return not_found(context, name, error);
        }
        *environment = found;
        return 0;
    }
    /* The built-in ones need no store; a stored one of that name cannot exist. */
    if (billet_environment_builtin(name, environment))
        return 0;
    result = billet_context_store(context, &store, error);
    if (result < 0)
        return result;
    struct billet_error inner = BILLET_ERROR_INIT;
    result = billet_store_of(store)->environment_get(store, context->tenant, name, &found, &inner);
    if (result < 0 && strcmp(inner.code, "environment_not_found") == 0)
        return not_found(context, name, error);
    if (result < 0) {
        *error = inner;
        return result;
    }
    *environment = found;
    return 0;
}

struct listing {
    struct billet_context *context;
    struct billet_environment *items;
    size_t count;
};

static int
listing_add(struct listing *listing, const struct billet_environment *environment)
{
    struct billet_environment *grown =
        reallocarray(listing->items, listing->count + 1, sizeof(*grown));
    if (grown == NULL)
        return -BILLET_CLASS_CAPACITY;
    listing->items = grown;
    struct billet_environment *item = &listing->items[listing->count];
    *item = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    int result = billet_environment_copy(item, environment, NULL);
    if (result == 0)
        listing->count++;
    return result;
}

static int
listing_visit(const struct billet_environment *environment, void *context)
{
    struct listing *listing = context;
    /* A file of the same name hides it: billet refuses to make such a pair, but files change. */
    if (billet_configuration_find(listing->context->configuration, "environment",
                                  environment->name) != NULL)
        return 0;
    return listing_add(listing, environment);
}

static int
by_name(const void *a, const void *b)
{
    const struct billet_environment *x = a;
    const struct billet_environment *y = b;
    return strcmp(x->name, y->name);
}

static int
list_files_and_builtin(struct listing *listing, struct billet_error *error)
{
    static const char *const builtin[] = {"local", "sandbox", NULL};
    const struct billet_configuration *configuration = listing->context->configuration;
    size_t count = billet_configuration_count(configuration);
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        struct billet_environment found = BILLET_ENVIRONMENT_INIT;
        if (strcmp(section->kind, "environment") != 0)
            continue;
        result = billet_environment_from_section(section, &found, error);
        if (result == 0 && tenant_may_use(&found, listing->context->tenant))
            result = listing_add(listing, &found);
        billet_environment_free(&found);
    }
    for (size_t i = 0; result == 0 && builtin[i] != NULL; i++) {
        struct billet_environment found = BILLET_ENVIRONMENT_INIT;
        if (billet_configuration_find(configuration, "environment", builtin[i]) == NULL &&
            billet_environment_builtin(builtin[i], &found))
            result = listing_add(listing, &found);
        billet_environment_free(&found);
    }
    return result;
}

int
billet_each_environment(struct billet_context *context, billet_environment_visit *visit,
                        void *visit_context, struct billet_error *error)
{
    struct listing listing = {.context = context};
    struct billet_store *store = NULL;
    int result = list_files_and_builtin(&listing, error);

    if (result == 0)
        result = billet_context_store(context, &store, error);
    if (result == 0)
        result = billet_store_of(store)->environment_list(store, context->tenant, listing_visit,
                                                          &listing, error);
    for (size_t i = 0; result == 0 && i < listing.count; i++)
        result = billet_drain_read(store, context->tenant, &listing.items[i], error);
    if (listing.count > 1)
        qsort(listing.items, listing.count, sizeof(*listing.items), by_name);
    for (size_t i = 0; i < listing.count; i++) {
        if (result == 0)
            result = visit(&listing.items[i], visit_context);
        billet_environment_free(&listing.items[i]);
    }
    free(listing.items);
    return result;
}

/* One line "environment = NAME" in the workspace's .billet: it chooses by name only, so that a
 * checked-out tree cannot bring a configuration of its own. *name stays NULL when there is no file.
 */
static int
choice_of_workspace(const char *workspace, char **name, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/%s", workspace, CHOICE_FILE) < 0) {
        path = NULL;
        return billet_error_no_memory(error);
    }
    /* A workspace that cannot be entered is told as such later. */
    cleanup_fd int directory = open(workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || access(workspace, X_OK) != 0)
        return 0;
    cleanup_fd int fd =
        openat(directory, CHOICE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "config_invalid",
                         "%s is not a regular file that can be read", path);
        return billet_error_hint(error, "name the environment with -e to do without it");
    }
    int result = billet_io_read_all(fd, &text, CHOICE_FILE_LIMIT, error);
    if (result < 0)
        return billet_error_wrap(error, "%s", path);
    if (text.length > 0 && memchr(text.data, '\0', text.length) != NULL) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "config_invalid", "%s holds a NUL byte", path);
        return billet_error_hint(error, "name the environment with -e to do without it");
    }
    int number = 0;
    cleanup_free char *copy = billet_buffer_steal(&text);
    if (copy == NULL)
        return billet_error_no_memory(error);
    char *rest = copy;
    /* strsep, not strtok: empty lines count */
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        number++;
        line += strspn(line, " \t");
        if (line[strspn(line, "\r")] == '\0' || line[0] == '#' || line[0] == ';')
            continue;
        size_t key = strcspn(line, " \t=");
        char *value = line + key;
        value += strspn(value, " \t");
        bool equals = *value == '=';
        value += equals;
        value += strspn(value, " \t");
        char *end = value + strcspn(value, " \t\r");
        bool alone = end[strspn(end, " \t\r")] == '\0';
        *end = '\0';
        if (key != 11 || strncmp(line, "environment", 11) != 0 || !equals || *name != NULL ||
            !alone || !billet_text_is_name(value)) {
            billet_error_set(error, BILLET_CLASS_CONFIG, "config_invalid",
                             "%s:%d:1: only one line 'environment = NAME' may stand here", path,
                             number);
            return billet_error_hint(error, "name the environment with -e to do without it");
        }
        *name = strdup(value);
        if (*name == NULL)
            return billet_error_no_memory(error);
    }
    return 0;
}

int
billet_prepare_environment(struct billet_context *context, struct billet_environment *environment,
                           struct billet_error *error)
{
    struct billet_diagnostics diagnostics = BILLET_DIAGNOSTICS_INIT;
    int result = billet_environment_resolve(environment, &diagnostics);
    if (result == 0)
        result = billet_environment_apply_defaults(context->configuration, environment);
    int first = billet_diagnostics_error(&diagnostics, error);
    billet_diagnostics_free(&diagnostics);
    if (first < 0)
        return first;
    return result < 0 ? billet_error_no_memory(error) : 0;
}

int
billet_resolve_environment(struct billet_context *context, const char *name, const char *workspace,
                           struct billet_environment *environment, const char **how,
                           struct billet_error *error)
{
    cleanup_free char *chosen = NULL;
    const char *source = "named";
    int result = 0;

    if (name == NULL) {
        result = choice_of_workspace(workspace != NULL ? workspace : ".", &chosen, error);
        name = chosen;
        source = "the workspace's .billet";
    }
    if (result == 0 && name == NULL) {
        const struct billet_value *preset =
            billet_configuration_value(context->configuration, "billet", "", "environment");
        source = "the configured default";
        if (preset != NULL && preset->is_set && preset->string[0] != '\0')
            name = preset->string;
    }
    if (result == 0 && name == NULL) {
        source = "built in";
        name = "local";
    }
    if (result == 0)
        result = billet_find_environment(context, name, environment, error);
    if (result < 0)
        return result;
    result = billet_drain_refuse(environment, error);
    if (result == 0)
        result = billet_prepare_environment(context, environment, error);
    if (result < 0) {
        billet_environment_free(environment);
        *environment = (struct billet_environment)BILLET_ENVIRONMENT_INIT;
    }
    if (how != NULL)
        *how = source;
    return result;
}
