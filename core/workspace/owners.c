/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/io.h"

#define DEPTH_MAX 200 /* each level holds a descriptor and a buffer of readdir open */

struct billet_owners {
    const struct billet_root *root;
    uid_t uid;
    gid_t gid;
    dev_t device;
    pthread_t thread;
    atomic_bool stop;
    struct billet_buffer path; /* where the search is, and where it ended */
    int result;
};

static bool
is_foreign(const struct billet_owners *owners, const struct stat *status)
{
    return status->st_uid != owners->uid || status->st_gid != owners->gid;
}

static void
leave(struct billet_owners *owners, size_t length)
{
    owners->path.length = length;
    if (owners->path.data != NULL)
        owners->path.data[length] = '\0';
}

static int search(struct billet_owners *owners, int directory_fd, int depth);

/* One entry; owners->path names it. */
static int
look_at(struct billet_owners *owners, int directory_fd, const char *name, int depth)
{
    struct stat status;
    if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : BILLET_OWNERS_UNKNOWN;
    if (status.st_dev != owners->device)
        return 0;
    if (is_foreign(owners, &status))
        return BILLET_OWNERS_FOREIGN;
    if (!S_ISDIR(status.st_mode))
        return 0;
    if (depth == DEPTH_MAX)
        return BILLET_OWNERS_UNKNOWN;
    cleanup_fd int fd =
        openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == EACCES || errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : BILLET_OWNERS_UNKNOWN;
    return search(owners, billet_steal_fd(&fd), depth + 1);
}

/* The descriptor is taken over. */
static int
search(struct billet_owners *owners, int directory_fd, int depth)
{
    cleanup_dir DIR *entries = fdopendir(directory_fd);
    struct dirent *entry;
    size_t length = owners->path.length;
    if (entries == NULL) {
        billet_close(&directory_fd);
        return BILLET_OWNERS_UNKNOWN;
    }
    for (;;) {
        errno = 0;
        entry = readdir(entries);
        if (entry == NULL)
            return errno == 0 ? 0 : BILLET_OWNERS_UNKNOWN;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (length > 0)
            billet_buffer_add(&owners->path, "/");
        billet_buffer_add(&owners->path, entry->d_name);
        if (owners->path.failed || atomic_load_explicit(&owners->stop, memory_order_relaxed))
            return BILLET_OWNERS_UNKNOWN;
        int result = look_at(owners, dirfd(entries), entry->d_name, depth);
        if (result != 0)
            return result;
        leave(owners, length);
    }
}

static void *
thread_main(void *context)
{
    struct billet_owners *owners = context;
    struct stat status;
    int fd = openat(owners->root->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    owners->result = BILLET_OWNERS_UNKNOWN;
    if (fd < 0 || fstat(fd, &status) != 0) {
        billet_close(&fd);
        return NULL;
    }
    owners->device = status.st_dev;
    if (is_foreign(owners, &status)) {
        owners->result = BILLET_OWNERS_FOREIGN;
        billet_close(&fd);
        return NULL;
    }
    owners->result = search(owners, fd, 0);
    return NULL;
}

struct billet_owners *
billet_owners_begin(const struct billet_root *root, uid_t uid, gid_t gid)
{
    struct billet_owners *owners = calloc(1, sizeof(*owners));
    if (owners == NULL)
        return NULL;
    owners->root = root;
    owners->uid = uid;
    owners->gid = gid;
    owners->path = (struct billet_buffer)BILLET_BUFFER_INIT;
    if (pthread_create(&owners->thread, NULL, thread_main, owners) == 0)
        return owners;
    free(owners);
    return NULL;
}

int
billet_owners_end(struct billet_owners *owners, char **path)
{
    pthread_join(owners->thread, NULL);
    int result = owners->result;
    const char *text = owners->path.failed ? NULL : billet_buffer_text(&owners->path);
    *path = result != 0 && text != NULL ? strdup(text) : NULL;
    billet_buffer_free(&owners->path);
    free(owners);
    return result;
}

void
billet_owners_cancel(struct billet_owners *owners)
{
    char *path = NULL;
    if (owners == NULL)
        return;
    atomic_store_explicit(&owners->stop, true, memory_order_relaxed);
    billet_owners_end(owners, &path);
    free(path);
}
