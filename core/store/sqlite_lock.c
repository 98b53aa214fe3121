/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of writers: two byte locks in PATH.lock. A writer takes the turnstile, then the write
 * lock, then gives the turnstile back. Whoever has just written and wants to write again therefore
 * waits behind the one in the turnstile instead of being faster than it wakes up.
 *
 * The locks belong to the open file, so the kernel drops them when the process dies.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/sqlite.h"

#define TURNSTILE 0
#define WRITER 1
#define WAITER_STACK ((size_t)256 * 1024)
#define POLL_FOR_NS 3000000
#define POLL_EVERY_NS 10000
#define SCAN_LIMIT 65536 /* descriptors looked at to name the holder */

static int
lock_byte(int fd, off_t byte, short type, int command)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = fcntl(fd, command, &lock);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    int fd;
    off_t byte;
    bool done;
    int result;
};

static void *
wait_for_byte(void *context)
{
    struct waiter *waiter = context;
    int old;
    /* Only the blocking call may be cut off: it holds nothing of this process. */
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    int result = lock_byte(waiter->fd, waiter->byte, F_WRLCK, F_OFD_SETLKW);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_mutex_lock(&waiter->mutex);
    waiter->done = true;
    waiter->result = result;
    pthread_cond_signal(&waiter->ended);
    pthread_mutex_unlock(&waiter->mutex);
    return NULL;
}

/* Block in a thread of our own: fcntl knows no time limit, and a library must not use SIGALRM.
 * Returns 0, ETIMEDOUT or another errno. */
static int
lock_until(int fd, off_t byte, int64_t deadline_ns)
{
    struct waiter waiter = {.fd = fd, .byte = byte};
    pthread_condattr_t clock;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, old;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / BILLET_NS_PER_SECOND),
                                .tv_nsec = (long)(deadline_ns % BILLET_NS_PER_SECOND)};

    int result = lock_byte(fd, byte, F_WRLCK, F_OFD_SETLK);
    if (result != EAGAIN && result != EACCES)
        return result;

    pthread_mutex_init(&waiter.mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter.ended, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WAITER_STACK);
    /* Signals are the program's business, in the thread that it expects them in. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    result = pthread_create(&thread, &attributes, wait_for_byte, &waiter);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (result == 0) {
        pthread_mutex_lock(&waiter.mutex);
        while (!waiter.done && result == 0)
            result = pthread_cond_timedwait(&waiter.ended, &waiter.mutex, &deadline);
        bool done = waiter.done;
        pthread_mutex_unlock(&waiter.mutex);
        if (!done)
            pthread_cancel(thread);
        pthread_join(thread, NULL);
        if (waiter.done)
            result = waiter.result;
        else
            lock_byte(fd, byte, F_UNLCK, F_OFD_SETLK); /* it may have come just now */
    }
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.mutex);
    return result;
}

/* Does /proc/PID/fdinfo/FD list a write lock held through that descriptor? */
static bool
holds_lock(long pid, const char *fd)
{
    char path[64], line[256];
    bool held = false;
    snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.12s", pid, fd);
    cleanup_file FILE *file = fopen(path, "re");
    while (!held && file != NULL && fgets(line, sizeof(line), file) != NULL)
        held = strncmp(line, "lock:", 5) == 0 && strstr(line, " WRITE ") != NULL &&
               strstr(line, " 1 1\n") != NULL;
    return held;
}

static bool
process_holds(long pid, const struct stat *lock, int *budget)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
    cleanup_dir DIR *directory = opendir(path);
    if (directory == NULL)
        return false;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL && --*budget > 0) {
        struct stat status;
        if (isdigit((unsigned char)entry->d_name[0]) &&
            fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 &&
            status.st_dev == lock->st_dev && status.st_ino == lock->st_ino &&
            holds_lock(pid, entry->d_name))
            return true;
    }
    return false;
}

/* The process that holds the write lock, or 0 when it cannot be seen from here. */
static long
find_holder(int fd)
{
    struct stat lock;
    int budget = SCAN_LIMIT;
    cleanup_dir DIR *directory = opendir("/proc");
    if (directory == NULL || fstat(fd, &lock) != 0)
        return 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL && budget > 0) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && process_holds(pid, &lock, &budget))
            return pid;
    }
    return 0;
}

static int
busy(struct billet_store *store, struct billet_error *error)
{
    char limit[32];
    billet_duration_format(limit, sizeof(limit), store->lock_timeout_ns);
    long holder = find_holder(store->lock_fd);
    if (holder > 0)
        billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_busy",
                         "the database %s was locked for longer than %s, by process %ld",
                         store->path, limit, holder);
    else
        billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_busy",
                         "the database %s was locked for longer than %s", store->path, limit);
    if (error != NULL)
        error->retryable = 1;
    return billet_error_hint(error, "repeat; or raise lock_timeout in [store] url");
}

/* Who is in the turnstile is the only one to ask for the write lock, and a commit is short: asking
 * again and again for a moment is cheaper than a thread, and disturbs nobody. */
static int
lock_writer(int fd, int64_t deadline_ns)
{
    int64_t until = billet_clock_monotonic() + POLL_FOR_NS;
    const struct timespec pause = {.tv_nsec = POLL_EVERY_NS};
    int result = lock_byte(fd, WRITER, F_WRLCK, F_OFD_SETLK);
    while ((result == EAGAIN || result == EACCES) && billet_clock_monotonic() < until) {
        nanosleep(&pause, NULL);
        result = lock_byte(fd, WRITER, F_WRLCK, F_OFD_SETLK);
    }
    return result == EAGAIN || result == EACCES ? lock_until(fd, WRITER, deadline_ns) : result;
}

int
sqlite_lock(struct billet_store *store, struct billet_error *error)
{
    if (store->lock_fd < 0) {
        store->lock_fd =
            open(store->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (store->lock_fd < 0)
            return billet_error_errno(error, 0, errno == ENOSPC ? "store_full" : "store_failed",
                                      errno, "cannot open %s", store->lock_path);
    }
    int64_t deadline = billet_clock_monotonic() + store->lock_timeout_ns;
    int result = lock_until(store->lock_fd, TURNSTILE, deadline);
    if (result == 0) {
        result = lock_writer(store->lock_fd, deadline);
        lock_byte(store->lock_fd, TURNSTILE, F_UNLCK, F_OFD_SETLK);
    }
    if (result == ETIMEDOUT)
        return busy(store, error);
    if (result != 0)
        return billet_error_errno(error, 0, "store_failed", result, "cannot lock %s",
                                  store->lock_path);
    return 0;
}

void
sqlite_unlock(struct billet_store *store)
{
    lock_byte(store->lock_fd, WRITER, F_UNLCK, F_OFD_SETLK);
}
