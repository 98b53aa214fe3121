/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_tree.c - trees of processes by /proc. A supervisor adopts what its command orphans, so its
 * descendants are all that the command ever started and nothing else.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define TREE_MAX 32768
#define STOP_ROUNDS 8
#define KILL_SECONDS 5

struct process {
    pid_t pid;
    pid_t parent;
    char state;
    bool below; /* descends from a root */
};

static struct process table[TREE_MAX]; /* of the last look */
static size_t table_count;

static void
look_at(const char *name)
{
    char path[64], text[512];
    struct process process = {.pid = (pid_t)atoi(name)};
    snprintf(path, sizeof(path), "/proc/%.20s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return;
    text[got] = '\0';
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    int parent = 0;
    if (after == NULL || sscanf(after + 1, " %c %d", &process.state, &parent) != 2)
        return;
    process.parent = (pid_t)parent;
    table[table_count++] = process;
}

static void
look(void)
{
    table_count = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && table_count < TREE_MAX && (entry = readdir(proc)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at(entry->d_name);
    if (proc != NULL)
        closedir(proc);
}

static int
compare(const void *a, const void *b)
{
    const struct process *left = a, *right = b;
    return left->pid < right->pid ? -1 : left->pid > right->pid;
}

static struct process *
find(pid_t pid)
{
    const struct process key = {.pid = pid};
    return bsearch(&key, table, table_count, sizeof(table[0]), compare);
}

/* Mark what descends from the roots, not the roots themselves. */
static void
mark(const pid_t *roots, size_t count)
{
    qsort(table, table_count, sizeof(table[0]), compare);
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < table_count; i++) {
            if (table[i].below)
                continue;
            const struct process *parent = find(table[i].parent);
            bool below = parent != NULL && parent->below;
            for (size_t r = 0; !below && r < count; r++)
                below = table[i].parent == roots[r];
            table[i].below = below;
            again = again || below;
        }
    }
}

/* Signal those that are (or are not) below the roots; how many had not been stopped or killed. */
static size_t
signal_them(const pid_t *roots, size_t count, bool below, int number)
{
    size_t running = 0;
    look();
    mark(roots, count);
    for (size_t i = 0; i < table_count; i++) {
        const struct process *process = &table[i];
        bool root = process->pid == 1 || process->pid == getpid();
        for (size_t r = 0; !root && r < count; r++)
            root = process->pid == roots[r];
        if (root || process->below != below || process->state == 'Z' || process->state == 'X')
            continue;
        if (number == SIGSTOP && process->state == 'T')
            continue;
        kill(process->pid, number);
        running++;
    }
    return running;
}

bool
inside_reap(pid_t spare)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return false;
        if (spare > 0 && info.si_pid == spare)
            return true;
        waitpid(info.si_pid, NULL, 0);
    }
}

/* waitid gives the same ended child again and again: others behind it are reaped by number. */
static void
reap_known(pid_t spare)
{
    for (size_t i = 0; i < table_count; i++)
        if (table[i].pid != spare && table[i].pid > 1)
            waitpid(table[i].pid, NULL, WNOHANG);
}

/* Stopped first, since what is stopped makes no more processes; then killed, until none is left. */
static bool
kill_them(const pid_t *roots, size_t count, bool below, pid_t spare)
{
    struct timespec now, pause = {.tv_nsec = 200000};
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t limit = now.tv_sec + KILL_SECONDS;
    for (;;) {
        for (int i = 0; i < STOP_ROUNDS && signal_them(roots, count, below, SIGSTOP) > 0; i++)
            ;
        if (signal_them(roots, count, below, SIGKILL) == 0)
            return true;
        reap_known(spare);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > limit)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec *= 2;
    }
}

bool
inside_tree_kill(pid_t spare)
{
    const pid_t self = getpid();
    return kill_them(&self, 1, true, spare);
}

bool
inside_tree_kill_others(const pid_t *roots, size_t count)
{
    return getpid() != 1 || kill_them(roots, count, false, 0);
}
