/* SPDX-License-Identifier: Apache-2.0 */
#include "run/context.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

#define SYSTEM_STATE LOCALSTATE_DIRECTORY "/lib/billet"
/* /run/billet itself is a place for configuration that everybody may read. */
#define SYSTEM_RUNTIME_PARENT "/run/billet"
#define SYSTEM_RUNTIME SYSTEM_RUNTIME_PARENT "/private"

static const char *
home_directory(void)
{
    const char *home = secure_getenv("HOME");
    if (home != NULL && home[0] == '/')
        return home;
    const struct passwd *entry = getpwuid(geteuid());
    return entry != NULL && entry->pw_dir[0] == '/' ? entry->pw_dir : NULL;
}

/* Where state is kept: the system's for root, else the user's own (XDG base directories). */
static int
find_state_directory(struct billet_context *context, struct billet_error *error)
{
    const char *chosen = secure_getenv("BILLET_STATE_DIR");
    const char *xdg = secure_getenv("XDG_STATE_HOME");
    const char *home = home_directory();
    char *path = NULL;
    int made = 0;

    if (chosen != NULL && chosen[0] == '/')
        path = strdup(chosen);
    else if (geteuid() == 0)
        path = strdup(SYSTEM_STATE);
    else if (xdg != NULL && xdg[0] == '/')
        made = asprintf(&path, "%s/billet", xdg);
    else if (home != NULL)
        made = asprintf(&path, "%s/.local/state/billet", home);
    else
        return billet_error_set(error, BILLET_CLASS_CONFIG, "no_home",
                                "uid %ld has no home directory to keep state in", (long)geteuid()),
               billet_error_hint(error, "set HOME, XDG_STATE_HOME or BILLET_STATE_DIR");
    if (path == NULL || made < 0)
        return billet_error_no_memory(error);
    context->state_directory = path;
    return 0;
}

/* Private and emptied at boot where the system offers such a place, else below the state. */
static int
find_runtime_directory(struct billet_context *context, struct billet_error *error)
{
    const char *chosen = secure_getenv("BILLET_RUNTIME_DIR");
    const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
    struct stat status;
    char *path = NULL;
    int made = 0;

    if (chosen != NULL && chosen[0] == '/')
        path = strdup(chosen);
    else if (geteuid() == 0)
        path = strdup(SYSTEM_RUNTIME);
    else if (xdg != NULL && xdg[0] == '/' && stat(xdg, &status) == 0 &&
             status.st_uid == geteuid() && (status.st_mode & 022) == 0)
        made = asprintf(&path, "%s/billet", xdg);
    else
        made = asprintf(&path, "%s/run", context->state_directory);
    if (path == NULL || made < 0)
        return billet_error_no_memory(error);
    context->runtime_directory = path;
    return 0;
}

/* Colon-separated absolute paths of an environment variable, else the fallback. */
static bool
split_directories(const char *text, struct billet_strings *list)
{
    cleanup_free char *copy = strdup(text);
    char *rest = NULL;
    if (copy == NULL)
        return false;
    for (char *item = strtok_r(copy, ":", &rest); item != NULL; item = strtok_r(NULL, ":", &rest))
        if (item[0] == '/' && !billet_strings_add(list, item))
            return false;
    return true;
}

static int
find_installation(struct billet_context *context, struct billet_error *error)
{
    const char *drivers = secure_getenv("BILLET_DRIVER_DIR");
    const char *stores = secure_getenv("BILLET_STORE_DIR");
    const char *libexec = secure_getenv("BILLET_LIBEXEC_DIR");
    const struct billet_value *extra =
        billet_configuration_value(context->configuration, "billet", "", "driver_directory");

    if (extra != NULL && extra->is_set && extra->list != NULL)
        for (size_t i = 0; extra->list[i] != NULL; i++)
            if (!billet_strings_add(&context->driver_directories, extra->list[i]))
                return billet_error_no_memory(error);
    if (!split_directories(drivers != NULL ? drivers : DRIVER_DIRECTORY,
                           &context->driver_directories))
        return billet_error_no_memory(error);
    context->store_directories = strdup(stores != NULL ? stores : STORE_DIRECTORY);
    context->libexec_directory = strdup(libexec != NULL ? libexec : PROGRAM_DIRECTORY);
    if (context->store_directories == NULL || context->libexec_directory == NULL ||
        asprintf(&context->host_program, "%s/billet-driver-host", context->libexec_directory) < 0)
        return billet_error_no_memory(error);
    return 0;
}

static int
find_actor(struct billet_context *context, struct billet_error *error)
{
    /* getpwuid may load NSS modules and ask the network: the number is enough for a record. */
    if (asprintf(&context->actor, "uid:%ld", (long)getuid()) < 0) {
        context->actor = NULL;
        return billet_error_no_memory(error);
    }
    return 0;
}

static int
apply_overrides(struct billet_context *context, const struct billet_context_request *request,
                struct billet_error *error)
{
    for (size_t i = 0; request->set != NULL && i < request->set->count; i++) {
        const char *item = request->set->items[i];
        const char *equals = strchr(item, '=');
        if (equals == NULL || equals == item)
            return billet_error_set(error, BILLET_CLASS_CONFIG, "usage",
                                    "--set wants section.key=value, not '%s'", item);
        cleanup_free char *name = strndup(item, (size_t)(equals - item));
        if (name == NULL ||
            !billet_settings_add(&context->overrides, name, equals + 1, "--set", 0, 0, 0))
            return billet_error_no_memory(error);
    }
    if (request->store != NULL &&
        !billet_settings_add(&context->overrides, "store.url", request->store, "--store", 0, 0, 0))
        return billet_error_no_memory(error);
    return 0;
}

int
billet_context_open(const struct billet_context_request *request, bool tolerant,
                    struct billet_context **context, struct billet_error *error)
{
    struct billet_context *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return billet_error_no_memory(error);
    made->tenant = strdup(request->tenant != NULL ? request->tenant : "default");
    int result = made->tenant == NULL ? billet_error_no_memory(error) : 0;
    if (result == 0 && !billet_text_is_name(made->tenant)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "usage", "'%s' is not a tenant name",
                         made->tenant);
        result = billet_error_hint(error, "letters, digits, '.', '_' and '-', at most 64");
    }
    if (result == 0)
        result = apply_overrides(made, request, error);
    if (result == 0)
        result = billet_configuration_default_sources(request->config, &made->sources, error);
    if (result == 0) {
        made->sources->overrides = &made->overrides;
        result = billet_configuration_load(made->sources, &made->configuration, &made->diagnostics,
                                           error);
    }
    if (result == 0 && !tolerant)
        result = billet_diagnostics_error(&made->diagnostics, error);
    if (result == 0)
        result = find_state_directory(made, error);
    if (result == 0)
        result = find_runtime_directory(made, error);
    if (result == 0)
        result = find_installation(made, error);
    if (result == 0)
        result = find_actor(made, error);
    if (result < 0) {
        billet_context_close(made);
        return result;
    }
    *context = made;
    return 0;
}

void
billet_context_close(struct billet_context *context)
{
    if (context == NULL)
        return;
    billet_secrets_close(&context->secrets);
    free(context->keyring_path);
    billet_store_close(context->store);
    billet_configuration_free(context->configuration);
    billet_configuration_sources_free(context->sources);
    billet_diagnostics_free(&context->diagnostics);
    billet_settings_free(&context->overrides);
    billet_strings_free(&context->driver_directories);
    free(context->store_directories);
    free(context->store_url);
    free(context->libexec_directory);
    free(context->host_program);
    free(context->runtime_directory);
    free(context->state_directory);
    free(context->tenant);
    free(context->actor);
    free(context);
}

int
billet_context_store_url(struct billet_context *context, struct billet_error *error)
{
    const struct billet_configuration *configuration = context->configuration;
    const struct billet_value *url = billet_configuration_value(configuration, "store", "", "url");
    const struct billet_value *timeout =
        billet_configuration_value(configuration, "store", "", "lock_timeout");
    bool configured = url != NULL && url->is_set && url->string[0] != '\0';
    /* One that is wrong is reported elsewhere; config check and doctor go on. */
    const char *wait = timeout != NULL && timeout->is_set ? timeout->string : "10s";
    int made;
    if (context->store_url != NULL)
        return 0;
    if (!configured)
        made = asprintf(&context->store_url, "sqlite:%s/billet.db?lock_timeout=%s",
                        context->state_directory, wait);
    else if (billet_text_starts(url->string, "sqlite:") && strchr(url->string, '?') == NULL)
        made = asprintf(&context->store_url, "%s?lock_timeout=%s", url->string, wait);
    else
        made = asprintf(&context->store_url, "%s", url->string);
    if (made < 0)
        context->store_url = NULL;
    return context->store_url != NULL ? 0 : billet_error_no_memory(error);
}

int
billet_context_store(struct billet_context *context, struct billet_store **store,
                     struct billet_error *error)
{
    if (context->store == NULL) {
        int result = billet_context_store_url(context, error);
        if (result < 0)
            return result;
        /* Others may have a say in what is kept on a server: see billet db migrate. */
        enum billet_store_mode mode = billet_text_starts(context->store_url, "sqlite:")
                                          ? BILLET_STORE_CREATE
                                          : BILLET_STORE_USE;
        result = billet_store_open(context->store_directories, context->store_url, mode,
                                   &context->store, error);
        if (result < 0)
            return result;
        result =
            billet_store_of(context->store)->deployment(context->store, context->deployment, error);
        if (result < 0)
            return result;
    }
    *store = context->store;
    return 0;
}

int
billet_context_driver(struct billet_context *context, const char *driver,
                      struct billet_driver_client **client, struct billet_error *error)
{
    struct billet_driver_entry entry;
    struct billet_driver_paths paths = {
        .host_program = context->host_program,
        .runtime_directory = context->runtime_directory,
        .state_directory = context->state_directory,
        .libexec_directory = context->libexec_directory,
    };
    if (strcmp(context->runtime_directory, SYSTEM_RUNTIME) == 0)
        mkdir(SYSTEM_RUNTIME_PARENT, 0755); /* what is wrong with it shows in the next step */
    int result = billet_registry_find(billet_strings_list(&context->driver_directories),
                                      context->configuration, driver, &entry, error);
    if (result == 0)
        result = billet_io_make_directories(context->runtime_directory, 0700, error);
    if (result == 0)
        result = billet_driver_begin(entry.name, entry.path, &paths, client, error);
    return result;
}

int
billet_context_start_driver(struct billet_context *context, const char *driver,
                            struct billet_driver_client **client, struct billet_error *error)
{
    int result = billet_context_driver(context, driver, client, error);
    return result == 0 ? billet_driver_await(*client, 0, error) : result;
}
