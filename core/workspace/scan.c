/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "workspace/content.h"
#include "workspace/path.h"

#define THREADS_MAX 8u

/* A directory that nobody has looked at yet. */
struct task {
    struct task *next;
    const struct billet_ignore *ignore;
    size_t length;
    char path[];
};

struct shared {
    const struct billet_root *root;
    const struct billet_scan *scan;
    const struct billet_limits *limits;
    struct billet_sieve *sieve; /* NULL without a filter */
    int64_t racy_ns;            /* changed at or after this: racy */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct task *tasks;
    unsigned working;
    size_t entries;
    size_t nameless;
    bool failed;
};

struct worker {
    struct shared *shared;
    struct billet_manifest manifest;
    struct billet_error error;
    int result;
    char path[PATH_MAX];
};

void
billet_scan_fill(struct billet_entry *entry, const struct stat *status)
{
    *entry = (struct billet_entry){
        .mode = status->st_mode & 07777,
        .mtime_ns = billet_stat_mtime(status),
        .ctime_ns = billet_stat_ctime(status),
        .inode = status->st_ino,
        .device = status->st_dev,
    };
    if (S_ISREG(status->st_mode)) {
        entry->type = BILLET_ENTRY_FILE;
        entry->size = (uint64_t)status->st_size;
    } else if (S_ISDIR(status->st_mode)) {
        entry->type = BILLET_ENTRY_DIRECTORY;
    } else if (S_ISLNK(status->st_mode)) {
        entry->type = BILLET_ENTRY_LINK;
    } else {
        entry->type = BILLET_ENTRY_OTHER;
        entry->reason = BILLET_REASON_SPECIAL;
    }
}

static void
leave_out(struct billet_entry *entry, int reason)
{
    entry->type = BILLET_ENTRY_OTHER;
    entry->reason = (uint8_t)reason;
    entry->size = 0;
    entry->target = NULL;
    entry->target_length = 0;
}

static int
push(struct shared *shared, const char *path, size_t length, const struct billet_ignore *ignore,
     struct billet_error *error)
{
    struct task *task = malloc(sizeof(*task) + length + 1);
    if (task == NULL)
        return billet_error_no_memory(error);
    task->ignore = ignore;
    task->length = length;
    memcpy(task->path, path, length + 1);
    pthread_mutex_lock(&shared->lock);
    task->next = shared->tasks;
    shared->tasks = task;
    pthread_cond_signal(&shared->more);
    pthread_mutex_unlock(&shared->lock);
    return 0;
}

/* The hash of a file: from the earlier look when nothing changed, else by reading. */
static int
add_hash(struct worker *worker, int directory, const char *name, struct billet_entry *entry)
{
    const struct billet_scan *scan = worker->shared->scan;
    const struct billet_entry *earlier =
        scan->earlier != NULL ? billet_manifest_find(scan->earlier, entry->path, entry->path_length)
                              : NULL;
    entry->racy = entry->ctime_ns >= worker->shared->racy_ns;
    if (earlier != NULL && earlier->hashed && billet_entry_same_stat(earlier, entry)) {
        memcpy(entry->hash, earlier->hash, sizeof(entry->hash));
        entry->hashed = true;
        return 0;
    }
    if (scan->hash == BILLET_HASH_NONE ||
        (scan->hash == BILLET_HASH_RACY && !entry->racy && (earlier == NULL || !earlier->hashed)))
        return 0;
    cleanup_fd int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 && (errno == EACCES || errno == EPERM)) {
        leave_out(entry, BILLET_REASON_UNREADABLE);
        return 0;
    }
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_ino != entry->inode ||
        billet_content_hash(fd, entry->hash) != 0) {
        if (fd < 0 && (errno == ENOENT || errno == ELOOP))
            return 1; /* gone meanwhile */
        return billet_error_errno(&worker->error, 0, "io_failed", fd < 0 ? errno : EIO,
                                  "cannot read %s", entry->path);
    }
    entry->hashed = true;
    return 0;
}

/* 0 add it, 1 it is gone, negative. */
static int
look_at(struct worker *worker, int directory, const struct billet_ignore *ignore, const char *name,
        struct billet_entry *entry, char *target)
{
    struct shared *shared = worker->shared;
    const char *path = entry->path;
    uint32_t length = entry->path_length;
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return 1;
        return billet_error_errno(&worker->error, 0, "io_failed", errno, "cannot look at %s", path);
    }
    billet_scan_fill(entry, &status);
    entry->path = path;
    entry->path_length = length;
    if (shared->sieve != NULL) {
        int reason = billet_sieve_entry(shared->sieve, ignore, directory, path, name,
                                        S_ISDIR(status.st_mode));
        if (reason != BILLET_REASON_NONE) {
            leave_out(entry, reason);
            return 0;
        }
    }
    if (entry->type == BILLET_ENTRY_LINK) {
        ssize_t got = readlinkat(directory, name, target, PATH_MAX);
        if (got < 0)
            return errno == ENOENT || errno == EINVAL
                       ? 1
                       : billet_error_errno(&worker->error, 0, "io_failed", errno,
                                            "cannot read link %s", path);
        if (!billet_path_target_inside(path, length, target, (size_t)got)) {
            leave_out(entry, BILLET_REASON_LINK);
            return 0;
        }
        entry->target = target;
        entry->target_length = (uint32_t)got;
    }
    if (entry->type == BILLET_ENTRY_DIRECTORY)
        return status.st_dev == shared->root->device ? 0
                                                     : (leave_out(entry, BILLET_REASON_MOUNT), 0);
    return entry->type == BILLET_ENTRY_FILE ? add_hash(worker, directory, name, entry) : 0;
}

static int
count_entry(struct worker *worker)
{
    struct shared *shared = worker->shared;
    size_t entries = __atomic_add_fetch(&shared->entries, 1, __ATOMIC_RELAXED);
    if (entries > shared->limits->entries ||
        worker->manifest.name_bytes > shared->limits->name_bytes) {
        billet_error_set(&worker->error, BILLET_CLASS_CAPACITY, "too_large",
                         "the tree has more than %llu entries",
                         (unsigned long long)shared->limits->entries);
        return billet_error_hint(&worker->error, "leave directories out with an exclude pattern");
    }
    return 0;
}

static int
scan_name(struct worker *worker, const struct task *task, int directory,
          const struct billet_ignore *ignore, const char *name)
{
    struct shared *shared = worker->shared;
    size_t name_length = strlen(name);
    size_t prefix = task->length > 0 ? task->length + 1 : 0;
    char target[PATH_MAX];
    if (prefix == 0 && strncmp(name, BILLET_PATH_RESERVED, strlen(BILLET_PATH_RESERVED)) == 0)
        return 0;
    if (prefix + name_length > shared->limits->path_bytes ||
        billet_path_name_problem(name, name_length, shared->limits) != NULL) {
        __atomic_add_fetch(&shared->nameless, 1, __ATOMIC_RELAXED);
        return 0;
    }
    memcpy(worker->path + prefix, name, name_length + 1);
    struct billet_entry entry = {.path = worker->path,
                                 .path_length = (uint32_t)(prefix + name_length)};
    int result = look_at(worker, directory, ignore, name, &entry, target);
    if (result != 0)
        return result < 0 ? result : 0;
    result = count_entry(worker);
    if (result == 0)
        result = billet_manifest_add(&worker->manifest, &entry, &worker->error);
    if (result == 0 && entry.type == BILLET_ENTRY_DIRECTORY)
        result = push(shared, worker->path, entry.path_length, ignore, &worker->error);
    return result;
}

/* A directory that cannot be entered stays where it is, like a special file. */
static int
mark_directory(struct worker *worker, const struct task *task, int reason)
{
    struct billet_entry entry = {.path = task->path, .path_length = (uint32_t)task->length};
    leave_out(&entry, reason);
    return billet_manifest_add(&worker->manifest, &entry, &worker->error);
}

static bool
is_too_deep(const struct task *task, const struct billet_limits *limits)
{
    uint32_t depth = 1;
    for (size_t i = 0; i < task->length; i++)
        depth += task->path[i] == '/';
    return task->length > 0 && depth >= limits->depth;
}

static int
scan_directory(struct worker *worker, const struct task *task)
{
    struct shared *shared = worker->shared;
    if (is_too_deep(task, shared->limits))
        return mark_directory(worker, task, BILLET_REASON_NAME);
    int fd = billet_root_openat(shared->root, task->path, O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        int failure = errno;
        if (fd >= 0)
            close(fd);
        if (task->length > 0 && (failure == EACCES || failure == EPERM))
            return mark_directory(worker, task, BILLET_REASON_UNREADABLE);
        if (task->length > 0 && failure == EXDEV)
            return mark_directory(worker, task, BILLET_REASON_MOUNT);
        if (task->length > 0 && (failure == ENOENT || failure == ELOOP || failure == ENOTDIR))
            return 0; /* gone meanwhile */
        return billet_error_errno(&worker->error, 0, "io_failed", failure, "cannot open %s",
                                  task->length > 0 ? task->path : "the workspace");
    }
    const struct billet_ignore *ignore = task->ignore;
    if (shared->sieve != NULL) {
        const char *slash = strrchr(task->path, '/');
        bool git = strcmp(slash != NULL ? slash + 1 : task->path, ".git") == 0;
        ignore = git || (task->length > 0 && ignore == NULL)
                     ? NULL
                     : billet_sieve_enter(shared->sieve, ignore, fd, task->path, &worker->error);
        if (ignore == NULL && worker->error.error_class != 0)
            return -worker->error.error_class;
    }
    memcpy(worker->path, task->path, task->length);
    if (task->length > 0)
        worker->path[task->length] = '/';
    int result = 0;
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(directory);
        if (item == NULL && errno != 0)
            return billet_error_errno(&worker->error, 0, "io_failed", errno, "cannot list %s",
                                      task->path);
        if (item == NULL || result < 0)
            return result;
        const char *name = item->d_name;
        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
            continue;
        result = scan_name(worker, task, fd, ignore, name);
        if (result < 0)
            return result;
    }
}

static void *
work(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    pthread_mutex_lock(&shared->lock);
    for (;;) {
        while (shared->tasks == NULL && shared->working > 0 && !shared->failed)
            pthread_cond_wait(&shared->more, &shared->lock);
        if (shared->tasks == NULL || shared->failed)
            break;
        struct task *task = shared->tasks;
        shared->tasks = task->next;
        shared->working++;
        pthread_mutex_unlock(&shared->lock);
        worker->result = scan_directory(worker, task);
        free(task);
        pthread_mutex_lock(&shared->lock);
        shared->working--;
        if (worker->result < 0)
            shared->failed = true;
        if (shared->failed || (shared->working == 0 && shared->tasks == NULL))
            pthread_cond_broadcast(&shared->more);
    }
    pthread_mutex_unlock(&shared->lock);
    return NULL;
}

/* A directory that could not be entered is there twice: as one, and as what stays. Keep the latter.
 */
static void
drop_twins(struct billet_manifest *manifest)
{
    size_t kept = 0;
    for (size_t i = 0; i < manifest->count; i++) {
        struct billet_entry *entry = &manifest->entries[i];
        if (kept > 0 && manifest->entries[kept - 1].path_length == entry->path_length &&
            strcmp(manifest->entries[kept - 1].path, entry->path) == 0) {
            if (entry->type == BILLET_ENTRY_OTHER)
                manifest->entries[kept - 1] = *entry;
            continue;
        }
        manifest->entries[kept++] = *entry;
    }
    manifest->count = kept;
}

static int
run_workers(struct shared *shared, unsigned threads, struct billet_manifest *manifest,
            struct billet_error *error)
{
    struct worker *workers = calloc(threads, sizeof(*workers));
    pthread_t ids[THREADS_MAX];
    unsigned started = 1;
    if (workers == NULL)
        return billet_error_no_memory(error);
    for (unsigned i = 0; i < threads; i++)
        workers[i].shared = shared;
    for (; started < threads; started++)
        if (pthread_create(&ids[started], NULL, work, &workers[started]) != 0)
            break;
    work(&workers[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(ids[i], NULL);
    int result = 0;
    for (unsigned i = 0; i < threads; i++) {
        if (workers[i].result < 0 && result == 0) {
            result = workers[i].result;
            if (error != NULL)
                *error = workers[i].error;
        }
        if (result == 0)
            result = billet_manifest_join(manifest, &workers[i].manifest, error);
        billet_manifest_free(&workers[i].manifest);
    }
    free(workers);
    return result;
}

int
billet_scan(const struct billet_root *root, const struct billet_scan *scan,
            struct billet_manifest *manifest, size_t *nameless, struct billet_error *error)
{
    struct timespec now;
    struct shared shared = {
        .root = root,
        .scan = scan,
        .limits = scan->limits != NULL ? scan->limits : &billet_limits_default,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .more = PTHREAD_COND_INITIALIZER,
    };
    unsigned threads = scan->threads;
    if (threads == 0)
        threads = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    manifest->taken_ns = now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec;
    shared.racy_ns = manifest->taken_ns - BILLET_SCAN_TICK_NS;
    int result = 0;
    if (scan->filter != NULL)
        result = billet_sieve_new(scan->filter, root, &shared.sieve, error);
    if (result == 0)
        result = push(&shared, "", 0, NULL, error);
    if (result == 0)
        result = run_workers(&shared, threads, manifest, error);
    while (shared.tasks != NULL) {
        struct task *task = shared.tasks;
        shared.tasks = task->next;
        free(task);
    }
    billet_sieve_free(shared.sieve);
    if (result < 0) {
        billet_manifest_free(manifest);
        return result;
    }
    billet_manifest_sort(manifest);
    drop_twins(manifest);
    if (nameless != NULL)
        *nameless = shared.nameless;
    return 0;
}
