/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LABEL "BILLET_EXEC_ID="
#define ENVIRONMENT_MAX (1u << 20)

struct process {
    pid_t pid;
    pid_t parent;
    pid_t session;
    unsigned long long start;
    bool dead;
    bool ours;
};

static ssize_t
read_file(pid_t pid, const char *name, char *bytes, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t got = 0;
    while (length < size - 1 && (got = read(fd, bytes + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    bytes[length] = '\0';
    return got < 0 && length == 0 ? -1 : (ssize_t)length;
}

static bool
look_at(pid_t pid, struct process *process)
{
    char line[1024];
    char state;
    if (read_file(pid, "stat", line, sizeof(line)) <= 0)
        return false;
    const char *rest = strrchr(line, ')');
    *process = (struct process){.pid = pid};
    if (rest == NULL ||
        sscanf(rest + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &state, &process->parent, &process->session, &process->start) != 4)
        return false;
    process->dead = state == 'Z' || state == 'X';
    return true;
}

static size_t
look_at_all(struct process **list)
{
    size_t count = 0, capacity = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        if (count == capacity) {
            size_t wanted = capacity == 0 ? 256 : 2 * capacity;
            struct process *grown = realloc(*list, wanted * sizeof(**list));
            if (grown == NULL)
                break;
            *list = grown;
            capacity = wanted;
        }
        if (look_at((pid_t)strtol(entry->d_name, NULL, 10), *list + count))
            count++;
    }
    closedir(proc);
    return count;
}

/* Does it carry the entry? any: does it carry one of another command? */
static bool
carries(pid_t pid, const char *entry, bool *any)
{
    static char block[ENVIRONMENT_MAX];
    ssize_t length = read_file(pid, "environ", block, sizeof(block));
    *any = length < 0; /* what cannot be read is somebody else's */
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(block + at) + 1) {
        if (strcmp(block + at, entry) == 0)
            return true;
        if (strncmp(block + at, LABEL, strlen(LABEL)) == 0)
            *any = true;
    }
    return false;
}

static const struct process *
find(const struct process *list, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid)
            return &list[i];
    return NULL;
}

static bool
descends(const struct process *list, size_t count, const struct process *process, pid_t from)
{
    for (int depth = 0; process != NULL && depth < 1000; depth++) {
        if (process->parent == from)
            return true;
        process = process->parent > 1 ? find(list, count, process->parent) : NULL;
    }
    return false;
}

static bool
belongs(const struct guest_tree *tree, const struct process *list, size_t count,
        const struct process *process)
{
    bool labelled = false;
    pid_t self = getpid();
    if (process->dead || process->pid == self)
        return false;
    if (tree->pid == 0)
        return descends(list, count, process, self);
    if (process->pid == tree->pid || process->session == tree->pid ||
        descends(list, count, process, tree->pid))
        return true;
    if (tree->label[0] != '\0' && carries(process->pid, tree->label, &labelled))
        return true;
    return tree->alone && !labelled && process->pid != tree->waiting &&
           descends(list, count, process, self);
}

static void
kill_process(const struct process *process)
{
    struct process now;
    int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0u);
    if (pidfd < 0) {
        /* A kernel before 5.3. */
        if (look_at(process->pid, &now) && now.start == process->start)
            kill(process->pid, SIGKILL);
        return;
    }
    if (look_at(process->pid, &now) && now.start == process->start)
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0u);
    close(pidfd);
}

int
guest_processes_kill(const struct guest_tree *tree)
{
    struct process *list = NULL;
    size_t count = look_at_all(&list);
    int left = 0;
    for (size_t i = 0; i < count; i++)
        list[i].ours = belongs(tree, list, count, &list[i]);
    for (size_t i = 0; i < count; i++) {
        if (list[i].ours) {
            kill_process(&list[i]);
            left++;
        }
    }
    free(list);
    return left;
}
