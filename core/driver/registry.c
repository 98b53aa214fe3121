/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/registry.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/strings.h"
#include "base/text.h"
#include "driver/note.h"

#define PREFIX "driver_"
#define SUFFIX ".so"
#define MAX_DRIVERS 1000

struct billet_registry {
    struct billet_driver_entry *items;
    size_t count;
};

static bool
is_enabled(const struct billet_configuration *configuration, const char *name)
{
    if (configuration != NULL)
        return billet_configuration_driver_enabled(configuration, name);
    return strcmp(name, "local") == 0 || strcmp(name, "sandbox") == 0;
}

/* [driver NAME] path, or NULL. */
static const char *
configured_path(const struct billet_configuration *configuration, const char *name)
{
    if (configuration == NULL || billet_configuration_find(configuration, "driver", name) == NULL)
        return NULL;
    const struct billet_value *value =
        billet_configuration_value(configuration, "driver", name, "path");
    return value != NULL && value->is_set ? value->string : NULL;
}

/* The name in "driver_NAME.so"; false for other files. */
static bool
name_of_file(const char *file, char name[BILLET_NAME_MAX])
{
    size_t length = strlen(file);
    if (!billet_text_starts(file, PREFIX) || length <= strlen(PREFIX SUFFIX) ||
        strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0)
        return false;
    size_t size = length - strlen(PREFIX SUFFIX);
    if (size >= BILLET_NAME_MAX)
        return false;
    memcpy(name, file + strlen(PREFIX), size);
    name[size] = '\0';
    return billet_text_is_name(name);
}

static void
set_state(struct billet_driver_entry *entry, int state, const char *code, const char *reason)
{
    entry->state = state;
    billet_text_copy(entry->code, sizeof(entry->code), code);
    billet_text_copy(entry->reason, sizeof(entry->reason), reason);
}

/* Fill the entry for the file at entry->path; runs none of its code. */
static void
judge(struct billet_driver_entry *entry, bool enabled)
{
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_fd int fd = -1;
    int result = billet_io_open_trusted(entry->path, 0, &fd, &error);
    if (result == 0)
        result = billet_driver_note_read(fd, &entry->note, &error);
    if (result == 0) {
        result = billet_driver_note_check(&entry->note, entry->name, &error);
        entry->has_note = result == 0 || entry->note.abi_major == BILLET_ABI_MAJOR;
        entry->note.name[BILLET_NAME_MAX - 1] = '\0';
        entry->note.version[BILLET_NAME_MAX - 1] = '\0';
    }
    if (!enabled) {
        /* Whatever it is, nothing of it will run; the line to write is what the reader needs. */
        char reason[BILLET_MESSAGE_MAX];
        snprintf(reason, sizeof(reason),
                 "not enabled; write in billet.conf: [driver %s] enabled = yes", entry->name);
        set_state(entry, BILLET_DRIVER_DISABLED, "driver_disabled", reason);
    } else if (result < 0) {
        char reason[BILLET_MESSAGE_MAX + BILLET_HINT_MAX + 8];
        if (error.hint[0] != '\0')
            snprintf(reason, sizeof(reason), "%s (%s)", error.message, error.hint);
        else
            snprintf(reason, sizeof(reason), "%s", error.message);
        set_state(entry, BILLET_DRIVER_BROKEN, error.code, reason);
    } else {
        set_state(entry, BILLET_DRIVER_READY, "", "");
    }
}

/* Where driver NAME is: the configured path, else the first directory that has it. */
static bool
locate(const char *const *directories, const struct billet_configuration *configuration,
       const char *name, char path[4096])
{
    const char *configured = configured_path(configuration, name);
    struct stat status;
    if (configured != NULL) {
        if (snprintf(path, 4096, "%s", configured) >= 4096)
            return false;
        return lstat(path, &status) == 0;
    }
    for (; *directories != NULL; directories++) {
        if (snprintf(path, 4096, "%s/" PREFIX "%s" SUFFIX, *directories, name) >= 4096)
            continue;
        if (lstat(path, &status) == 0)
            return true;
    }
    path[0] = '\0';
    return false;
}

/* Names of what is installed and what the configuration speaks of; NAME=DIRECTORY in *twice for
 * what a directory has that does not count. */
static int
known_names(const char *const *directories, const struct billet_configuration *configuration,
            struct billet_strings *names, struct billet_strings *twice, struct billet_error *error)
{
    char name[BILLET_NAME_MAX];
    struct billet_strings paths = BILLET_STRINGS_INIT;
    int result = 0;
    for (; *directories != NULL && result == 0; directories++) {
        cleanup_dir DIR *directory = opendir(*directories);
        if (directory == NULL)
            continue; /* not there, or not ours to read: nothing is installed there */
        for (const struct dirent *item = readdir(directory); item != NULL && result == 0;
             item = readdir(directory)) {
            if (!name_of_file(item->d_name, name))
                continue;
            if (billet_strings_value(&paths, name) != NULL) {
                if (twice != NULL && !billet_strings_set(twice, name, *directories))
                    result = billet_error_no_memory(error);
                continue;
            }
            if (names->count >= MAX_DRIVERS)
                continue;
            if (!billet_strings_set(&paths, name, *directories) || !billet_strings_add(names, name))
                result = billet_error_no_memory(error);
        }
    }
    billet_strings_free(&paths);
    for (size_t i = 0;
         configuration != NULL && result == 0 && i < billet_configuration_count(configuration);
         i++) {
        const struct billet_section *section = billet_configuration_at(configuration, i);
        if (strcmp(section->kind, "driver") != 0 || !billet_text_is_name(section->name) ||
            strlen(section->name) >= BILLET_NAME_MAX ||
            billet_strings_contains(names, section->name))
            continue;
        /* A section that switches off what is not there is no news. */
        if (!is_enabled(configuration, section->name) &&
            configured_path(configuration, section->name) == NULL)
            continue;
        if (!billet_strings_add(names, section->name))
            result = billet_error_no_memory(error);
    }
    if (result == 0)
        billet_strings_sort(names);
    return result;
}

static void
look_at(const char *const *directories, const struct billet_configuration *configuration,
        const char *name, struct billet_driver_entry *entry)
{
    char reason[sizeof(entry->path) + 128];
    memset(entry, 0, sizeof(*entry));
    billet_text_copy(entry->name, sizeof(entry->name), name);
    if (locate(directories, configuration, name, entry->path)) {
        judge(entry, is_enabled(configuration, name));
        return;
    }
    snprintf(reason, sizeof(reason), "enabled, but " PREFIX "%s" SUFFIX " is not installed in %s",
             name,
             entry->path[0] != '\0'   ? entry->path
             : directories[0] != NULL ? directories[0]
                                      : "any directory");
    set_state(entry, BILLET_DRIVER_MISSING, "driver_not_found", reason);
}

int
billet_registry_open(const char *const *directories,
                     const struct billet_configuration *configuration,
                     struct billet_registry **registry, struct billet_error *error)
{
    cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings twice = BILLET_STRINGS_INIT;
    int result = known_names(directories, configuration, &names, &twice, error);
    if (result < 0)
        return result;
    struct billet_registry *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return billet_error_no_memory(error);
    made->items = calloc(names.count + 1, sizeof(*made->items));
    if (made->items == NULL) {
        free(made);
        return billet_error_no_memory(error);
    }
    for (size_t i = 0; i < names.count; i++) {
        struct billet_driver_entry *entry = &made->items[made->count++];
        look_at(directories, configuration, names.items[i], entry);
        const char *other = billet_strings_value(&twice, entry->name);
        if (other != NULL && entry->state == BILLET_DRIVER_READY) {
            char reason[2 * sizeof(entry->path) + 128];
            snprintf(reason, sizeof(reason), "installed twice: %s counts, the one in %s does not",
                     entry->path, other);
            billet_text_copy(entry->reason, sizeof(entry->reason), reason);
        }
    }
    *registry = made;
    return 0;
}

void
billet_registry_free(struct billet_registry *registry)
{
    if (registry == NULL)
        return;
    free(registry->items);
    free(registry);
}

size_t
billet_registry_count(const struct billet_registry *registry)
{
    return registry->count;
}

const struct billet_driver_entry *
billet_registry_at(const struct billet_registry *registry, size_t index)
{
    return index < registry->count ? &registry->items[index] : NULL;
}

static int
not_found(const char *const *directories, const struct billet_configuration *configuration,
          const char *name, struct billet_error *error)
{
    cleanup_strings struct billet_strings names = BILLET_STRINGS_INIT;
    billet_error_set(error, BILLET_CLASS_CONFIG, "driver_not_found",
                     "there is no driver named '%s'", name);
    const char *nearest = NULL;
    if (known_names(directories, configuration, &names, NULL, NULL) == 0)
        nearest = billet_text_nearest(name, billet_strings_list(&names));
    if (nearest != NULL)
        return billet_error_hint(error, "is '%s' meant?", nearest);
    return billet_error_hint(error, "billet driver list shows those that are installed");
}

int
billet_registry_find(const char *const *directories,
                     const struct billet_configuration *configuration, const char *name,
                     struct billet_driver_entry *entry, struct billet_error *error)
{
    struct billet_driver_entry found;
    if (!billet_text_is_name(name) || strlen(name) >= BILLET_NAME_MAX)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "driver_not_found",
                                "'%s' is not the name of a driver", name);
    look_at(directories, configuration, name, &found);
    switch (found.state) {
    case BILLET_DRIVER_READY:
        *entry = found;
        return 0;
    case BILLET_DRIVER_MISSING:
        *entry = found;
        return not_found(directories, configuration, name, error);
    case BILLET_DRIVER_DISABLED:
        *entry = found;
        billet_error_set(error, BILLET_CLASS_CONFIG, "driver_disabled", "driver %s is not enabled",
                         name);
        return billet_error_hint(error, "write in billet.conf: [driver %s] enabled = yes", name);
    default:
        *entry = found;
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_broken",
                         "driver %s cannot be used: %s", name, found.reason);
        return billet_error_hint(error, "billet driver show %s says more", name);
    }
}
