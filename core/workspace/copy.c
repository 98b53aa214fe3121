/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/content.h"
#include "workspace/path.h"
#include "workspace/plan.h"

#define THREADS_MAX 8u
#define BATCH 512u
#define BUFFER_BYTES (128u << 10)

struct shared {
    const struct billet_copy *copy;
    const struct billet_entry **files;
    size_t count;
    pthread_mutex_t lock; /* of next */
    size_t next;
    mode_t mask; /* the umask, or 0777 when it cannot be known */
    bool failed; /* atomic */
};

struct worker {
    struct shared *shared;
    struct billet_error error;
    struct billet_copy_result done;
    int result;
    int from_fd; /* directory of the last file, on both sides */
    int to_fd;
    const struct billet_entry *last;
    char *buffer;
};

static int
failed(struct worker *worker, const char *what, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return billet_error_errno(&worker->error, 0, full ? "workspace_full" : "io_failed", errno,
                              "cannot %s %s", what, path);
}

static bool
is_same(const struct billet_entry *a, const struct billet_entry *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == BILLET_ENTRY_LINK)
        return a->target_length == b->target_length &&
               memcmp(a->target, b->target, b->target_length) == 0;
    return (a->mode & 0777) == (b->mode & 0777) &&
           (a->type != BILLET_ENTRY_FILE || (a->size == b->size && a->mtime_ns == b->mtime_ns));
}

/* Both directories of an entry, kept for the next one of the same. */
static int
open_parents(struct worker *worker, const struct billet_entry *entry, const char **leaf)
{
    const struct billet_copy *copy = worker->shared->copy;
    size_t parent = billet_path_parent_length(entry->path, entry->path_length);
    *leaf = parent > 0 ? entry->path + parent + 1 : entry->path;
    if (worker->last != NULL &&
        billet_path_parent_length(worker->last->path, worker->last->path_length) == parent &&
        memcmp(worker->last->path, entry->path, parent) == 0)
        return 0;
    billet_close(&worker->from_fd);
    billet_close(&worker->to_fd);
    worker->last = NULL;
    worker->from_fd = billet_root_parent(copy->from, entry->path, leaf);
    if (worker->from_fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
                   ? 1
                   : failed(worker, "reach", entry->path);
    worker->to_fd = billet_root_parent(copy->to, entry->path, leaf);
    if (worker->to_fd < 0)
        return failed(worker, "reach the copy of", entry->path);
    worker->last = entry;
    return 0;
}

static int
copy_bytes(struct worker *worker, int from, int to, const struct stat *status, const char *path)
{
    uint64_t size = (uint64_t)status->st_size;
    bool holes = (uint64_t)status->st_blocks * 512 < size;
    if (size > BUFFER_BYTES && ioctl(to, FICLONE, from) == 0)
        return 0;
    for (uint64_t offset = 0; offset < size;) {
        off_t data = holes ? lseek(from, (off_t)offset, SEEK_DATA) : (off_t)offset;
        if (data < 0 && errno == ENXIO)
            break;
        if (data > 0)
            offset = (uint64_t)data;
        ssize_t got = pread(from, worker->buffer, BUFFER_BYTES, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(worker, "read", path);
        if (got == 0)
            break;
        int result = holes ? billet_content_write(to, worker->buffer, (size_t)got, offset)
                     : pwrite(to, worker->buffer, (size_t)got, (off_t)offset) == got ? 0
                                                                                     : -1;
        if (result != 0)
            return failed(worker, "write", path);
        offset += (uint64_t)got;
    }
    return holes && ftruncate(to, (off_t)size) != 0 ? failed(worker, "write", path) : 0;
}

static int
copy_file(struct worker *worker, const struct billet_entry *entry)
{
    const struct billet_copy *copy = worker->shared->copy;
    const char *leaf;
    struct stat status;
    int result = open_parents(worker, entry, &leaf);
    if (result != 0)
        return result < 0 ? result : 0;
    cleanup_fd int from =
        openat(worker->from_fd, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 && (errno == ENOENT || errno == ELOOP))
        return 0;
    if (from < 0 || fstat(from, &status) != 0)
        return failed(worker, "read", entry->path);
    if (!S_ISREG(status.st_mode))
        return 0;
    mode_t mode = status.st_mode & 0777;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    if (copy->there != NULL && unlinkat(worker->to_fd, leaf, 0) != 0 && errno != ENOENT)
        return failed(worker, "replace", entry->path);
    cleanup_fd int to = openat(worker->to_fd, leaf, flags, mode);
    if (to < 0)
        return failed(worker, "make", entry->path);
    result = copy_bytes(worker, from, to, &status, entry->path);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, status.st_mtim};
    if (result == 0 &&
        ((copy->change_owner && fchown(to, copy->owner, copy->group) != 0) ||
         ((mode & worker->shared->mask) != 0 && fchmod(to, mode) != 0) || futimens(to, times) != 0))
        result = failed(worker, "write", entry->path);
    worker->done.files++;
    worker->done.bytes += (uint64_t)status.st_size;
    return result;
}

/* The files of one directory, so that two threads seldom write to the same. */
static size_t
next_batch(struct shared *shared, size_t *end)
{
    pthread_mutex_lock(&shared->lock);
    size_t at = shared->next;
    size_t i = at;
    for (; i < shared->count && i < at + BATCH; i++) {
        const struct billet_entry *first = shared->files[at];
        const struct billet_entry *entry = shared->files[i];
        size_t parent = billet_path_parent_length(first->path, first->path_length);
        if (billet_path_parent_length(entry->path, entry->path_length) != parent ||
            memcmp(first->path, entry->path, parent) != 0)
            break;
    }
    shared->next = i;
    pthread_mutex_unlock(&shared->lock);
    *end = i;
    return at;
}

static void *
work(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    while (worker->result == 0 && !__atomic_load_n(&shared->failed, __ATOMIC_RELAXED)) {
        size_t end;
        size_t at = next_batch(shared, &end);
        for (size_t i = at; i < end && worker->result == 0; i++)
            worker->result = copy_file(worker, shared->files[i]);
        if (at == end)
            break;
    }
    if (worker->result < 0)
        __atomic_store_n(&shared->failed, true, __ATOMIC_RELAXED);
    billet_close(&worker->from_fd);
    billet_close(&worker->to_fd);
    return NULL;
}

static int
copy_files(struct shared *shared, unsigned threads, struct billet_copy_result *done,
           struct billet_error *error)
{
    struct worker workers[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    unsigned started = 1;
    int result = 0;
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < threads; i++) {
        workers[i].shared = shared;
        workers[i].from_fd = workers[i].to_fd = -1;
        workers[i].buffer = malloc(BUFFER_BYTES);
        if (workers[i].buffer == NULL)
            result = billet_error_no_memory(error);
    }
    for (; result == 0 && started < threads && shared->count > BATCH; started++)
        if (pthread_create(&ids[started], NULL, work, &workers[started]) != 0)
            break;
    if (result == 0)
        work(&workers[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(ids[i], NULL);
    for (unsigned i = 0; i < threads; i++) {
        free(workers[i].buffer);
        done->files += workers[i].done.files;
        done->bytes += workers[i].done.bytes;
        if (workers[i].result < 0 && result == 0) {
            result = workers[i].result;
            if (error != NULL)
                *error = workers[i].error;
        }
    }
    return result;
}

/* Asked without setting it: other threads may be making files. */
static mode_t
known_umask(void)
{
    char line[128];
    unsigned mask = 0777;
    cleanup_file FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Umask: %o", &mask) == 1)
            break;
    return (mode_t)mask & 0777;
}

/* What is there and should not be, from the inside out. */
static int
delete_rest(const struct billet_copy *copy, struct billet_copy_result *done,
            struct billet_error *error)
{
    for (size_t i = copy->there != NULL ? copy->there->count : 0; i > 0; i--) {
        const struct billet_entry *old = &copy->there->entries[i - 1];
        const struct billet_entry *wanted =
            billet_manifest_find(copy->manifest, old->path, old->path_length);
        if (wanted != NULL && (wanted->type == old->type || wanted->type == BILLET_ENTRY_OTHER))
            continue;
        const char *leaf;
        cleanup_fd int parent = billet_root_parent(copy->to, old->path, &leaf);
        int flags = old->type == BILLET_ENTRY_DIRECTORY ? AT_REMOVEDIR : 0;
        if (parent < 0 || unlinkat(parent, leaf, flags) != 0) {
            /* A directory that still holds what does not travel stays. */
            if (errno == ENOENT || errno == ENOTEMPTY || old->type == BILLET_ENTRY_OTHER)
                continue;
            return billet_error_errno(error, 0, "io_failed", errno, "cannot remove %s", old->path);
        }
        done->deleted++;
    }
    return 0;
}

static int
make_entry(const struct billet_copy *copy, const struct billet_entry *entry,
           const struct billet_entry *there, struct billet_error *error)
{
    const char *leaf;
    cleanup_fd int parent = billet_root_parent(copy->to, entry->path, &leaf);
    int result = parent < 0 ? -1 : 0;
    if (result == 0 && entry->type == BILLET_ENTRY_LINK) {
        if (there != NULL && there->type == BILLET_ENTRY_LINK)
            unlinkat(parent, leaf, 0);
        result = symlinkat(entry->target, parent, leaf);
    } else if (result == 0) {
        mode_t mode = (entry->mode & 0777) | 0700;
        result = mkdirat(parent, leaf, mode);
        if (result != 0 && errno == EEXIST)
            result = 0;
        if (result == 0)
            result = fchmodat(parent, leaf, mode, 0);
    }
    if (result == 0 && copy->change_owner)
        result = fchownat(parent, leaf, copy->owner, copy->group, AT_SYMLINK_NOFOLLOW);
    return result == 0 ? 0
                       : billet_error_errno(error, 0, "io_failed", errno,
                                            "cannot make the copy of %s", entry->path);
}

int
billet_copy_tree(const struct billet_copy *copy, struct billet_copy_result *done,
                 struct billet_error *error)
{
    const struct billet_manifest *manifest = copy->manifest;
    struct shared shared = {.copy = copy, .lock = PTHREAD_MUTEX_INITIALIZER, .mask = known_umask()};
    *done = (struct billet_copy_result){0};
    unsigned threads = copy->threads;
    if (threads == 0)
        threads = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    int result = delete_rest(copy, done, error);
    if (result < 0)
        return result;
    shared.files = calloc(manifest->count + 1, sizeof(*shared.files));
    if (shared.files == NULL)
        return billet_error_no_memory(error);
    for (size_t i = 0; i < manifest->count && result == 0; i++) {
        const struct billet_entry *entry = &manifest->entries[i];
        const struct billet_entry *there =
            copy->there != NULL ? billet_manifest_find(copy->there, entry->path, entry->path_length)
                                : NULL;
        if (entry->type == BILLET_ENTRY_OTHER || (there != NULL && is_same(entry, there)))
            continue;
        if (entry->type == BILLET_ENTRY_FILE)
            shared.files[shared.count++] = entry;
        else
            result = make_entry(copy, entry, there, error);
    }
    if (result == 0)
        result = copy_files(&shared, threads, done, error);
    free(shared.files);
    return result;
}
