/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "config/configuration.h"
#include "config/configuration_private.h"
#include "config/parser.h"

#define DIRECTORIES_MAX 8
#define DROPINS_MAX 1000

/* The struct that callers see, and what it points to. */
struct owned_sources {
    struct billet_configuration_sources sources;
    const char *system[DIRECTORIES_MAX];
    char *file;
    char *user;
};

static int
user_directory(char **directory)
{
    const char *home = secure_getenv("XDG_CONFIG_HOME");
    const char *below = "billet";
    *directory = NULL;
    /* Root works for the system: what a user's environment names is not read for it. */
    if (geteuid() == 0)
        return 0;
    if (home == NULL || home[0] != '/') {
        home = secure_getenv("HOME");
        below = ".config/billet";
    }
    if (home == NULL || home[0] != '/') {
        const struct passwd *entry = getpwuid(geteuid());
        home = entry != NULL ? entry->pw_dir : NULL;
    }
    if (home == NULL || home[0] != '/')
        return 0;
    return asprintf(directory, "%s/%s", home, below) < 0 ? -1 : 0;
}

int
billet_configuration_default_sources(const char *config_option,
                                     struct billet_configuration_sources **sources,
                                     struct billet_error *error)
{
    struct owned_sources *made = calloc(1, sizeof(*made));
    const char *file = config_option != NULL ? config_option : secure_getenv("BILLET_CONFIG");
    if (made == NULL)
        return billet_error_no_memory(error);
    if (file != NULL && file[0] != '\0') {
        /* The trusted walk begins at the root. */
        char *directory = file[0] != '/' ? getcwd(NULL, 0) : NULL;
        int length = directory != NULL ? asprintf(&made->file, "%s/%s", directory, file)
                                       : asprintf(&made->file, "%s", file);
        free(directory);
        if (length < 0)
            made->file = NULL;
    }
    if ((file != NULL && file[0] != '\0' && made->file == NULL) ||
        user_directory(&made->user) < 0) {
        free(made->file);
        free(made);
        return billet_error_no_memory(error);
    }
    made->system[0] = SYSCONF_DIRECTORY "/billet";
    made->system[1] = "/run/billet";
    made->system[2] = "/usr/local/lib/billet";
    made->system[3] = "/usr/lib/billet";
    made->sources = (struct billet_configuration_sources){
        .file = made->file, .system = made->system, .user = made->user};
    *sources = &made->sources;
    return 0;
}

void
billet_configuration_sources_free(struct billet_configuration_sources *sources)
{
    struct owned_sources *made = (struct owned_sources *)sources;
    if (made == NULL)
        return;
    free(made->file);
    free(made->user);
    free(made);
}

static void
report(struct billet_diagnostics *diagnostics, const char *path, const struct billet_error *error)
{
    if (error->hint[0] != '\0')
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, path, 0, 0, error->code,
                               "%s (%s)", error->message, error->hint);
    else
        billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, path, 0, 0, error->code, "%s",
                               error->message);
}

int
billet_configuration_read_file(const char *path, struct billet_document *document,
                               struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    cleanup_fd int fd = -1;
    int result = billet_io_open_trusted(path, 0, &fd, error);
    if (result == 0)
        result = billet_io_read_all(fd, &bytes, BILLET_PARSER_FILE_MAX, error);
    if (result == -BILLET_CLASS_CAPACITY)
        billet_error_wrap(error, "cannot read %s", path);
    if (result < 0)
        return result;
    billet_parser_read(path, bytes.data != NULL ? bytes.data : "", bytes.length, document,
                       diagnostics);
    return 0;
}

static bool
is_absent(const struct billet_error *error)
{
    return error->sys_errno == ENOENT || error->sys_errno == ENOTDIR;
}

/* One file that may be absent. A link to /dev/null stands for an empty one. */
static int
load_file(struct billet_configuration *configuration, const char *path,
          struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_error inner = BILLET_ERROR_INIT;
    char target[16];
    ssize_t length = readlink(path, target, sizeof(target));
    if (length == 9 && memcmp(target, "/dev/null", 9) == 0)
        return 0;
    int result = billet_configuration_read_file(path, &document, diagnostics, &inner);
    if (result < 0) {
        if (!is_absent(&inner))
            report(diagnostics, path, &inner);
        billet_document_free(&document);
        return 0;
    }
    result = billet_configuration_merge(configuration, &document, diagnostics, error);
    billet_document_free(&document);
    return result;
}

/* Is there something of that name? Also what cannot be looked at: it is then reported. */
static bool
exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* The first of the directories that has the file: it hides those below. */
static int
load_first(struct billet_configuration *configuration, const char *const *directories,
           const char *name, struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    for (; *directories != NULL; directories++) {
        cleanup_free char *path = NULL;
        if (asprintf(&path, "%s/%s", *directories, name) < 0) {
            path = NULL;
            return billet_error_no_memory(error);
        }
        if (exists(path))
            return load_file(configuration, path, diagnostics, error);
    }
    return 0;
}

static bool
is_dropin(const char *name)
{
    size_t length = strlen(name);
    return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".conf") == 0;
}

/* The names of *.conf in directory/below, each once. */
static int
collect(const char *directory, const char *below, struct billet_strings *names,
        struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, below) < 0) {
        path = NULL;
        return billet_error_no_memory(error);
    }
    cleanup_dir DIR *open = opendir(path);
    if (open == NULL) {
        struct billet_error inner = BILLET_ERROR_INIT;
        if (errno == ENOENT || errno == ENOTDIR)
            return 0;
        billet_error_errno(&inner, 0, "io_failed", errno, "cannot read the directory");
        report(diagnostics, path, &inner);
        return 0;
    }
    for (const struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        if (!is_dropin(entry->d_name) || billet_strings_contains(names, entry->d_name))
            continue;
        if (names->count == DROPINS_MAX) {
            billet_diagnostics_add(diagnostics, BILLET_DIAGNOSTIC_ERROR, path, 0, 0, "too_large",
                                   "more than %d files", DROPINS_MAX);
            return 0;
        }
        if (!billet_strings_add(names, entry->d_name))
            return billet_error_no_memory(error);
    }
    return 0;
}

/* billet.conf, then the drop-ins, then the environments: of directories that hide each other. */
static int
load_directories(struct billet_configuration *configuration, const char *const *directories,
                 struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    static const char *const below[] = {"billet.conf.d", "environments.d"};
    int result = load_first(configuration, directories, "billet.conf", diagnostics, error);
    for (size_t i = 0; result == 0 && i < 2; i++) {
        cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
        for (size_t j = 0; result == 0 && directories[j] != NULL; j++)
            result = collect(directories[j], below[i], &names, diagnostics, error);
        billet_strings_sort(&names);
        for (size_t j = 0; result == 0 && j < names.count; j++) {
            cleanup_free char *name = NULL;
            if (asprintf(&name, "%s/%s", below[i], names.items[j]) < 0) {
                name = NULL;
                return billet_error_no_memory(error);
            }
            result = load_first(configuration, directories, name, diagnostics, error);
        }
    }
    return result;
}

/* --config FILE: here a file that is not there or not to be trusted is the end. */
static int
load_only(struct billet_configuration *configuration, const char *path,
          struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    struct billet_document document = BILLET_DOCUMENT_INIT;
    struct billet_error inner = BILLET_ERROR_INIT;
    int result = billet_configuration_read_file(path, &document, diagnostics, &inner);
    if (result < 0) {
        if (error != NULL)
            *error = inner;
        if (is_absent(&inner))
            result = billet_error_set(error, BILLET_CLASS_CONFIG, "config_not_found",
                                      "config file %s does not exist", path);
    } else {
        result = billet_configuration_merge(configuration, &document, diagnostics, error);
    }
    billet_document_free(&document);
    return result;
}

static int
load_variables(struct billet_configuration *configuration, struct billet_diagnostics *diagnostics,
               struct billet_error *error)
{
    static const char *const variables[][2] = {
        {"BILLET_STORE", "store.url"},
        {"BILLET_ENVIRONMENT", "billet.environment"},
        {"BILLET_LOG_LEVEL", "billet.log_level"},
    };
    struct billet_settings found = BILLET_SETTINGS_INIT;
    int result = 0;
    for (size_t i = 0; result == 0 && i < 3; i++) {
        const char *value = secure_getenv(variables[i][0]);
        if (value == NULL || value[0] == '\0')
            continue;
        if (!billet_settings_add(&found, variables[i][1], value, variables[i][0], 0, 0, 0))
            result = billet_error_no_memory(error);
        else
            result = billet_configuration_override(configuration, &found.items[found.count - 1],
                                                   diagnostics, error);
    }
    billet_settings_free(&found);
    return result;
}

int
billet_configuration_load(const struct billet_configuration_sources *sources,
                          struct billet_configuration **configuration,
                          struct billet_diagnostics *diagnostics, struct billet_error *error)
{
    struct billet_configuration *made = billet_configuration_new();
    int result = 0;
    if (made == NULL)
        return billet_error_no_memory(error);
    if (sources->file != NULL) {
        result = load_only(made, sources->file, diagnostics, error);
    } else {
        const char *user[] = {sources->user, NULL};
        if (sources->system != NULL)
            result = load_directories(made, sources->system, diagnostics, error);
        if (result == 0 && sources->user != NULL)
            result = load_directories(made, user, diagnostics, error);
    }
    if (result == 0)
        result = load_variables(made, diagnostics, error);
    for (size_t i = 0; result == 0 && sources->overrides != NULL && i < sources->overrides->count;
         i++)
        result =
            billet_configuration_override(made, &sources->overrides->items[i], diagnostics, error);
    if (result == 0)
        result = billet_configuration_finish(made, diagnostics, error);
    if (result < 0) {
        billet_configuration_free(made);
        return result;
    }
    *configuration = made;
    return 0;
}

int
billet_configuration_write_dropin(const struct billet_configuration_sources *sources,
                                  const char *name, const char *text, char **path,
                                  struct billet_error *error)
{
    cleanup_free char *directory = NULL;
    cleanup_free char *whole = NULL;
    bool system = geteuid() == 0 || sources->user == NULL;
    const char *base = sources->user;

    if (sources->file != NULL) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "config_fixed",
                         "cannot write a drop-in: only %s is read", sources->file);
        return billet_error_hint(error, "edit that file, or leave out --config");
    }
    if (system)
        base = sources->system != NULL ? sources->system[0] : NULL;
    if (base == NULL)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "config_fixed",
                                "cannot write a drop-in: there is no config directory");
    if (!is_dropin(name) || strchr(name, '/') != NULL || strlen(name) > 128)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "'%.128s' is not the name of a drop-in such as 60-ssh.conf", name);
    if (asprintf(&directory, "%s/billet.conf.d", base) < 0) {
        directory = NULL;
        return billet_error_no_memory(error);
    }
    if (asprintf(&whole, "%s/%s", directory, name) < 0) {
        whole = NULL;
        return billet_error_no_memory(error);
    }
    int result = billet_io_make_directories(directory, 0755, error);
    if (result == 0)
        result = billet_io_replace_file(whole, text, strlen(text), 0644, error);
    if (result < 0)
        return result;
    *path = billet_steal(whole);
    return 0;
}
