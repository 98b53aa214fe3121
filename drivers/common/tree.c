/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fail.h"
#include "launch.h"

/* The label stands first in what a driver passes; who hides it behind more than this could as well
 * clear it. */
#define ENVIRONMENT_MAX (256u * 1024)
#define PROCESS_MAX 65536u
#define HELD_MAX 1024

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ---- children that someone waits for ------------------------------------------- */

/* Shared while a child is made and entered here, exclusive while an orphan is chosen and reaped. */
static pthread_rwlock_t reap_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t held[HELD_MAX];

static bool
replace_held(pid_t from, pid_t to)
{
    bool found = false;
    pthread_mutex_lock(&held_lock);
    for (int i = 0; i < HELD_MAX && !found; i++) {
        found = held[i] == from;
        if (found)
            held[i] = to;
    }
    pthread_mutex_unlock(&held_lock);
    return found;
}

static bool
is_held(pid_t pid)
{
    return replace_held(pid, pid);
}

int
billet_tree_launch(const struct billet_launch *launch, pid_t *pid, int *pidfd,
                   enum billet_launch_step *step)
{
    static const pid_t reserved = -1;
    *step = BILLET_LAUNCH_PROCESS;
    if (!replace_held(0, reserved))
        return EAGAIN;
    pthread_rwlock_rdlock(&reap_lock);
    int result = billet_launch_start(launch, pid, pidfd, step);
    replace_held(reserved, result == 0 ? *pid : 0);
    pthread_rwlock_unlock(&reap_lock);
    return result;
}

void
billet_tree_drop(pid_t pid)
{
    if (pid > 0)
        replace_held(pid, 0);
}

/* ---- one look at the process table ------------------------------------------------ */

struct process {
    pid_t pid;
    pid_t parent;
    pid_t session;
    char state;
    unsigned long long start; /* ticks since boot: with the pid, names one process */
    bool lease_is_ours;
    bool lease_is_foreign;
    bool label_is_ours;
    bool member;
};

struct table {
    struct process *items;
    size_t count;
    size_t capacity;
};

/* Field numbers as in proc_pid_stat(5); the name in field 2 may hold anything but ends at the last
 * parenthesis. */
static bool
read_stat(int directory, struct process *process)
{
    char text[1024];
    cleanup_fd int fd = openat(directory, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (got <= 0)
        return false;
    text[got] = '\0';
    char *at = strrchr(text, ')');
    long parent, group, session;
    return at != NULL &&
           sscanf(
               at + 1,
               " %c %ld %ld %ld %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &process->state, &parent, &group, &session, &process->start) == 5 &&
           ((process->parent = (pid_t)parent), (process->session = (pid_t)session), true);
}

/* The whole environment up to the bound, NUL-terminated: its size, or -1. buffer has
 * ENVIRONMENT_MAX + 1 bytes. */
static ssize_t
read_environment(int directory, char *buffer)
{
    cleanup_fd int fd = openat(directory, "environ", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    if (fd < 0)
        return -1;
    while (used < ENVIRONMENT_MAX) {
        ssize_t got = read(fd, buffer + used, ENVIRONMENT_MAX - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    buffer[used] = '\0';
    return (ssize_t)used;
}

/* The value of NAME in an environment block, or NULL. */
static const char *
find_value(const char *block, size_t size, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = 0; at < size; at += strlen(block + at) + 1)
        if (strncmp(block + at, name, length) == 0 && block[at + length] == '=')
            return block + at + length + 1;
    return NULL;
}

static bool
has_entry(const char *block, size_t size, const char *entry)
{
    for (size_t at = 0; at < size; at += strlen(block + at) + 1)
        if (strcmp(block + at, entry) == 0)
            return true;
    return false;
}

static bool
has_mark(const char *block, size_t size, const char *mark)
{
    size_t length = strlen(mark);
    for (size_t at = 0; at < size; at += strlen(block + at) + 1)
        if (strncmp(block + at, mark, length) == 0)
            return true;
    return false;
}

static int
open_process(int proc, pid_t pid)
{
    char name[24];
    snprintf(name, sizeof(name), "%ld", (long)pid);
    return openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
look_at(int proc, pid_t pid, const struct billet_tree *tree, char *buffer, struct process *process)
{
    cleanup_fd int directory = open_process(proc, pid);
    *process = (struct process){.pid = pid};
    if (directory < 0 || !read_stat(directory, process))
        return false;
    ssize_t size = read_environment(directory, buffer);
    if (size > 0) {
        const char *lease = find_value(buffer, (size_t)size, BILLET_TREE_LEASE);
        process->lease_is_ours = lease != NULL && strcmp(lease, tree->lease) == 0;
        process->lease_is_foreign = lease != NULL && !process->lease_is_ours;
        process->label_is_ours =
            tree->label != NULL && has_entry(buffer, (size_t)size, tree->label);
    }
    return true;
}

static bool
append(struct table *table, const struct process *process)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 256 : table->capacity * 2;
        if (capacity > PROCESS_MAX)
            return false;
        struct process *items = realloc(table->items, capacity * sizeof(*items));
        if (items == NULL)
            return false;
        table->items = items;
        table->capacity = capacity;
    }
    table->items[table->count++] = *process;
    return true;
}

/* What makes a process a member by itself, without its parents. */
static bool
is_member(const struct billet_tree *tree, const struct process *process, pid_t self,
          pid_t own_session)
{
    if (process->lease_is_foreign || process->pid == self || process->pid == 1)
        return false;
    if (tree->session != 0 && process->session == tree->session)
        return true;
    if (tree->label != NULL)
        return process->label_is_ours && process->lease_is_ours;
    if (process->lease_is_ours)
        return true;
    return tree->adopted && process->parent == self && process->session != own_session &&
           !is_held(process->pid);
}

static void
close_over_descent(struct table *table, pid_t self)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < table->count; i++) {
            struct process *child = &table->items[i];
            if (child->member || child->lease_is_foreign || child->pid == self)
                continue;
            for (size_t j = 0; j < table->count && !child->member; j++)
                child->member = table->items[j].member && table->items[j].pid == child->parent;
            changed = changed || child->member;
        }
    }
}

static pid_t
number_of(const char *name)
{
    long value = 0;
    for (const char *at = name; *at != '\0'; at++) {
        if (!isdigit((unsigned char)*at) || value > 100000000)
            return 0;
        value = value * 10 + (*at - '0');
    }
    return (pid_t)value;
}

/* All processes that this user may look into, with membership. False when /proc cannot be read. */
static bool
scan(int proc, const struct billet_tree *tree, char *buffer, struct table *table)
{
    int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        billet_close_fd(&fd);
        return false;
    }
    pid_t self = getpid();
    pid_t own_session = getsid(0);
    uid_t user = geteuid();
    table->count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat about;
        struct process process;
        pid_t pid = number_of(entry->d_name);
        if (pid <= 1 || pid == self)
            continue;
        if (user != 0 && (fstatat(proc, entry->d_name, &about, 0) < 0 ||
                          (about.st_uid != user && about.st_uid != 0)))
            continue;
        if (!look_at(proc, pid, tree, buffer, &process))
            continue;
        process.member = is_member(tree, &process, self, own_session);
        if (!append(table, &process))
            break;
    }
    close_over_descent(table, self);
    return true;
}

/* ---- kill ------------------------------------------------------------------------ */

/* True when the process is still alive (and was signalled, if that is permitted). */
static bool
kill_one(int proc, const struct billet_tree *tree, char *buffer, const struct process *process)
{
    struct process again;
    cleanup_fd int pidfd = billet_pidfd_open(process->pid);
    if (pidfd < 0)
        return errno != ESRCH;
    if (!look_at(proc, process->pid, tree, buffer, &again) || again.start != process->start ||
        again.lease_is_foreign)
        return false;
    pthread_rwlock_wrlock(&reap_lock);
    bool ours = again.parent == getpid() && !is_held(process->pid);
    pthread_rwlock_unlock(&reap_lock);
    if (again.state != 'Z' && again.state != 'X')
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    else if (!ours)
        return false;
    if (ours) {
        /* An orphan that we inherited, or will; its status interests nobody. */
        siginfo_t info;
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        if (poll(&ended, 1, 20) == 1)
            waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
        return (ended.revents & POLLIN) == 0;
    }
    return true;
}

static int
kill_round(int proc, const struct billet_tree *tree, char *buffer, struct table *table, bool kill)
{
    int alive = 0;
    if (!scan(proc, tree, buffer, table))
        return -1;
    for (size_t i = 0; i < table->count; i++) {
        const struct process *process = &table->items[i];
        if (!process->member)
            continue;
        bool dead = process->state == 'Z' || process->state == 'X';
        if (kill)
            alive += kill_one(proc, tree, buffer, process) ? 1 : 0;
        else
            alive += dead ? 0 : 1;
    }
    return alive;
}

static int
run(const struct billet_tree *tree, bool kill, int64_t deadline_ns)
{
    struct table table = {0};
    int alive = 1;
    cleanup_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_free char *buffer = malloc(ENVIRONMENT_MAX + 1);
    if (proc < 0 || buffer == NULL)
        return 1;
    for (int wait_ms = 1;; wait_ms = wait_ms < 32 ? wait_ms * 2 : 32) {
        int result = kill_round(proc, tree, buffer, &table, kill);
        alive = result < 0 ? 1 : result;
        if (!kill || alive == 0 || result < 0 || billet_monotonic_ns() >= deadline_ns)
            break;
        poll(NULL, 0, wait_ms);
    }
    free(table.items);
    return alive;
}

int
billet_tree_kill(const struct billet_tree *tree, int64_t deadline_ns)
{
    return run(tree, true, deadline_ns);
}

int
billet_tree_count(const struct billet_tree *tree)
{
    return run(tree, false, 0);
}

/* ---- children of this process ------------------------------------------------------- */

/* Calls visit for each child of any thread: false when that cannot be read (CONFIG_PROC_CHILDREN).
 */
static bool
each_child(bool (*visit)(pid_t pid, void *context), void *context)
{
    cleanup_dir DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return false;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        if (number_of(entry->d_name) == 0)
            continue;
        char path[300];
        snprintf(path, sizeof(path), "%s/children", entry->d_name);
        int fd = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && faccessat(dirfd(tasks), entry->d_name, F_OK, 0) < 0)
            continue; /* the thread ended meanwhile */
        FILE *file = fd >= 0 ? fdopen(fd, "re") : NULL;
        if (file == NULL) {
            billet_close_fd(&fd);
            return false;
        }
        long pid;
        bool more = true;
        while (more && fscanf(file, "%ld", &pid) == 1)
            more = visit((pid_t)pid, context);
        fclose(file);
    }
    return true;
}

static bool
note_child(pid_t pid, void *context)
{
    (void)pid;
    *(bool *)context = true;
    return false;
}

bool
billet_tree_may_have_children(void)
{
    int subreaper = 0;
    bool found = false;
    if (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) < 0 || subreaper == 0)
        return true;
    return !each_child(note_child, &found) || found;
}

struct orphans {
    pid_t pids[128];
    int count;
};

static bool
collect_orphan(pid_t pid, void *context)
{
    struct orphans *orphans = context;
    if (orphans->count < (int)(sizeof(orphans->pids) / sizeof(orphans->pids[0])))
        orphans->pids[orphans->count++] = pid;
    return true;
}

/* How many of a first part were reaped; *more when that part was full. */
static int
reap_some(bool *more)
{
    struct orphans orphans = {.count = 0};
    pid_t own_session = getsid(0);
    int reaped = 0;
    each_child(collect_orphan, &orphans);
    *more = orphans.count == (int)(sizeof(orphans.pids) / sizeof(orphans.pids[0]));
    for (int i = 0; i < orphans.count; i++) {
        /* It is our child until someone of this process reaps it, so the number is its own. */
        pthread_rwlock_wrlock(&reap_lock);
        pid_t session = getsid(orphans.pids[i]);
        if (session > 0 && session != own_session && !is_held(orphans.pids[i]) &&
            waitpid(orphans.pids[i], NULL, WNOHANG) > 0)
            reaped++;
        pthread_rwlock_unlock(&reap_lock);
    }
    return reaped;
}

void
billet_tree_reap(void)
{
    bool more = true;
    while (more && reap_some(&more) > 0)
        ;
}

void
billet_tree_list(const char *mark, billet_tree_visit *visit, void *context)
{
    cleanup_dir DIR *directory = opendir("/proc");
    cleanup_free char *buffer = malloc(ENVIRONMENT_MAX + 1);
    if (directory == NULL || buffer == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        pid_t pid = number_of(entry->d_name);
        if (pid <= 1 || pid == getpid())
            continue;
        cleanup_fd int process = open_process(dirfd(directory), pid);
        ssize_t size = process >= 0 ? read_environment(process, buffer) : -1;
        const char *lease = size > 0 ? find_value(buffer, (size_t)size, BILLET_TREE_LEASE) : NULL;
        if (lease != NULL && lease[0] != '\0' && has_mark(buffer, (size_t)size, mark))
            visit(lease, context);
    }
}
