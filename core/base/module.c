/* SPDX-License-Identifier: Apache-2.0 */
#include "base/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"

#define MODULE_MAX 16

/* One file is loaded once. */
static struct loaded {
    dev_t device;
    ino_t inode;
    const void *table;
} loaded[MODULE_MAX];
static size_t loaded_count;
static pthread_mutex_t loaded_mutex = PTHREAD_MUTEX_INITIALIZER;

int
billet_module_broken(const struct billet_module_kind *kind, const char *path, const char *why,
                     struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, kind->code, "%s: %s", path, why);
    return billet_error_hint(error, "install billet and its %ss from one build", kind->what);
}

/* The first directory of the list that holds the file. One that may not be trusted stops the
 * search: a later one must not hide it. */
static int
find(const struct billet_module_kind *kind, const char *directories, const char *name, char **path,
     int *fd, struct billet_error *error)
{
    const char *at = directories;
    while (*at != '\0') {
        size_t length = strcspn(at, ":");
        cleanup_free char *file = NULL;
        if (length > 0) {
            if (asprintf(&file, "%.*s/%s", (int)length, at, name) < 0)
                return billet_error_no_memory(error);
            if (access(file, F_OK) == 0 || errno != ENOENT) {
                int result = billet_io_open_trusted(file, 0, fd, error);
                if (result < 0)
                    return billet_error_wrap(error, "%s", kind->what);
                *path = billet_steal(file);
                return 0;
            }
        }
        at += length + (at[length] == ':');
    }
    return BILLET_MODULE_MISSING;
}

static int
load(const struct billet_module_kind *kind, const char *directories, const char *file,
     const void **table, struct billet_error *error)
{
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1;
    char checked[64];
    int result = find(kind, directories, file, &path, &fd, error);
    if (result != 0)
        return result;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot look at %s", path);
    for (size_t i = 0; i < loaded_count; i++) {
        if (loaded[i].device == status.st_dev && loaded[i].inode == status.st_ino) {
            *table = loaded[i].table;
            return 0;
        }
    }
    if (loaded_count == MODULE_MAX)
        return billet_module_broken(kind, path, "too many modules are loaded", error);
    /* The very file that was checked, whatever the path names by now; without /proc, the path. */
    snprintf(checked, sizeof(checked), "/proc/self/fd/%d", fd);
    /* Lazy for the library behind it, of which a short run uses little; the module itself is linked
     * with -z now, so what it lacks shows here all the same. */
    void *handle =
        dlopen(access(checked, R_OK) == 0 ? checked : path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL)
        return billet_module_broken(kind, path, dlerror(), error);
    void *symbol = dlsym(handle, kind->symbol);
    const void *(*entry)(void) = NULL;
    if (symbol != NULL)
        memcpy(&entry, &symbol, sizeof(entry));
    if (entry == NULL || entry() == NULL)
        return billet_module_broken(kind, path, "gives no table", error);
    *table = entry();
    /* The descriptor stays open: dlopen knows the module by this name, which must not come to mean
     * another file. */
    loaded[loaded_count++] = (struct loaded){status.st_dev, status.st_ino, *table};
    billet_steal_fd(&fd);
    return 0;
}

int
billet_module_load(const struct billet_module_kind *kind, const char *directories, const char *file,
                   const void **table, struct billet_error *error)
{
    pthread_mutex_lock(&loaded_mutex);
    int result = load(kind, directories, file, table, error);
    pthread_mutex_unlock(&loaded_mutex);
    return result;
}
