/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of store modules: SCHEME:... is served by store_SCHEME.so. */
#include "store/store.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"

#define SCHEME_MAX 32
#define MODULE_MAX 8

/* Modules are never unloaded; one file is loaded once. */
static struct loaded {
    dev_t device;
    ino_t inode;
    const struct billet_store_module *module;
} loaded[MODULE_MAX];
static size_t loaded_count;
static pthread_mutex_t loaded_mutex = PTHREAD_MUTEX_INITIALIZER;

/* "sqlite:/x" -> "sqlite"; "postgres" and "postgresql" are one engine, module pgsql. */
static int
scheme_of(const char *url, char scheme[SCHEME_MAX], struct billet_error *error)
{
    size_t length = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (length == 0 || length >= SCHEME_MAX || url[length] != ':') {
        /* Not the url itself: it may hold a password. */
        billet_error_set(error, BILLET_CLASS_CONFIG, "store_url_invalid",
                         "the store url does not begin with the name of an engine and a colon");
        return billet_error_hint(error, "write sqlite:/absolute/path or postgresql:///database");
    }
    memcpy(scheme, url, length);
    scheme[length] = '\0';
    if (strcmp(scheme, "postgresql") == 0 || strcmp(scheme, "postgres") == 0)
        strcpy(scheme, "pgsql");
    return 0;
}

static int
missing(const char *scheme, const char *directories, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_module_missing",
                     "no module store_%s.so for the store url in %s", scheme, directories);
    return billet_error_hint(error,
                             "install the package with the %s store, or build billet with "
                             "--with-store=%s",
                             scheme, scheme);
}

/* The first directory of the list that holds the module. A file that may not be trusted stops the
 * search: a later one must not hide it. */
static int
find_module(const char *directories, const char *scheme, char **path, int *fd,
            struct billet_error *error)
{
    const char *at = directories;
    while (*at != '\0') {
        size_t length = strcspn(at, ":");
        cleanup_free char *file = NULL;
        if (length > 0) {
            if (asprintf(&file, "%.*s/store_%s.so", (int)length, at, scheme) < 0)
                return billet_error_no_memory(error);
            if (access(file, F_OK) == 0 || errno != ENOENT) {
                int result = billet_io_open_trusted(file, 0, fd, error);
                if (result < 0)
                    return billet_error_wrap(error, "store module");
                *path = billet_steal(file);
                return 0;
            }
        }
        at += length + (at[length] == ':');
    }
    return missing(scheme, directories, error);
}

static int
broken(const char *path, const char *why, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_module_broken", "%s: %s", path, why);
    return billet_error_hint(error, "install billet and its store modules from one build");
}

static int
check_module(const struct billet_store_module *module, const char *path, struct billet_error *error)
{
    if (module == NULL)
        return broken(path, "gives no table", error);
    if (module->interface != BILLET_STORE_INTERFACE)
        return broken(path, "speaks another version of the store interface", error);
    if (module->struct_size < sizeof(*module) || module->engine == NULL)
        return broken(path, "its table is too short", error);
    /* Everything from open on is a function pointer. */
    size_t first = offsetof(struct billet_store_module, open);
    for (size_t at = first; at < sizeof(*module); at += sizeof(void (*)(void))) {
        void (*function)(void);
        memcpy(&function, (const char *)module + at, sizeof(function));
        if (function == NULL)
            return broken(path, "its table lacks a function", error);
    }
    return 0;
}

static int
load_module(const char *directories, const char *scheme, const struct billet_store_module **module,
            struct billet_error *error)
{
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1;
    char checked[64];
    int result = find_module(directories, scheme, &path, &fd, error);
    if (result < 0)
        return result;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot look at %s", path);
    for (size_t i = 0; i < loaded_count; i++) {
        if (loaded[i].device == status.st_dev && loaded[i].inode == status.st_ino) {
            *module = loaded[i].module;
            return 0;
        }
    }
    if (loaded_count == MODULE_MAX)
        return broken(path, "too many store modules are loaded", error);
    /* The very file that was checked, whatever the path names by now; without /proc, the path. */
    snprintf(checked, sizeof(checked), "/proc/self/fd/%d", fd);
    /* Lazy for the engine's library, of which a short run uses little; the module itself is linked
     * with -z now, so what it lacks shows here all the same. */
    void *handle =
        dlopen(access(checked, R_OK) == 0 ? checked : path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL)
        return broken(path, dlerror(), error);
    void *symbol = dlsym(handle, BILLET_STORE_SYMBOL);
    if (symbol == NULL)
        return broken(path, "does not export " BILLET_STORE_SYMBOL, error);
    const struct billet_store_module *(*entry)(void);
    memcpy(&entry, &symbol, sizeof(entry));
    const struct billet_store_module *table = entry();
    result = check_module(table, path, error);
    if (result < 0)
        return result;
    *module = table;
    /* The descriptor stays open: dlopen knows the module by this name, which must not come to mean
     * another file. */
    loaded[loaded_count++] = (struct loaded){status.st_dev, status.st_ino, table};
    billet_steal_fd(&fd);
    return 0;
}

int
billet_store_open(const char *directory, const char *url, enum billet_store_mode mode,
                  struct billet_store **store, struct billet_error *error)
{
    char scheme[SCHEME_MAX];
    const struct billet_store_module *module = NULL;
    int result = scheme_of(url, scheme, error);
    if (result == 0) {
        pthread_mutex_lock(&loaded_mutex);
        result = load_module(directory, scheme, &module, error);
        pthread_mutex_unlock(&loaded_mutex);
    }
    return result < 0 ? result : module->open(url, mode, store, error);
}

void
billet_store_close(struct billet_store *store)
{
    if (store != NULL)
        billet_store_of(store)->close(store);
}
