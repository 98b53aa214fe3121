/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "lease/machine.h"

#define PART_SIZE BILLET_MACHINE_SIZE

struct owner {
    char machine[PART_SIZE];
    char boot[PART_SIZE];
    char namespaces[PART_SIZE];
    long pid;
    uint64_t start;
};

/* The first word of a small file; false when there is none. */
static bool
read_word(const char *path, char *to, size_t size)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got = fd >= 0 ? read(fd, to, size - 1) : -1;
    if (got <= 0)
        return false;
    to[got] = '\0';
    to[strcspn(to, " \t\n")] = '\0';
    return to[0] != '\0';
}

static bool
read_namespaces(char namespaces[PART_SIZE])
{
    struct stat pid, clock;
    if (stat("/proc/self/ns/pid", &pid) != 0)
        return false;
    /* A kernel without time namespaces has one. */
    if (stat("/proc/self/ns/time", &clock) != 0)
        clock.st_ino = 0;
    snprintf(namespaces, PART_SIZE, "%" PRIu64 ".%" PRIu64, (uint64_t)pid.st_ino,
             (uint64_t)clock.st_ino);
    return true;
}

/* State letter and start time of a process: 0, or errno. */
static int
read_process(long pid, char *state, uint64_t *start)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return got < 0 ? errno : ESRCH;
    text[got] = '\0';
    /* The name in parentheses may hold anything, parentheses too. */
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return EPROTO;
    *state = at[2];
    /* at[2] is field 3; skip to field 22. */
    at += 2;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (at == NULL)
            return EPROTO;
        at++;
    }
    char *end;
    errno = 0;
    *start = strtoull(at, &end, 10);
    return end == at || errno != 0 ? EPROTO : 0;
}

/* What does not change while this process lives: read once. A fork has another pid, and reads its
 * own; a thread has no lock to wait for. */
static bool
read_self(struct owner *self)
{
    static _Thread_local struct owner known;
    char state;
    if (known.pid != (long)getpid()) {
        billet_machine_name(self->machine);
        self->pid = (long)getpid();
        if (!read_word("/proc/sys/kernel/random/boot_id", self->boot, sizeof(self->boot)) ||
            !read_namespaces(self->namespaces) ||
            read_process(self->pid, &state, &self->start) != 0)
            return false;
        known = *self;
    }
    *self = known;
    return true;
}

int
billet_owner_self(char owner[BILLET_OWNER_SIZE], struct billet_error *error)
{
    struct owner self;
    if (!read_self(&self)) {
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "owner_unknown",
                         "cannot read the identity of this process from /proc");
        return billet_error_hint(error, "mount /proc");
    }
    snprintf(owner, BILLET_OWNER_SIZE, "1 %s %s %s %ld %" PRIu64, self.machine, self.boot,
             self.namespaces, self.pid, self.start);
    return 0;
}

static bool
parse_owner(const char *text, struct owner *owner)
{
    int end = 0;
    return strlen(text) < BILLET_OWNER_SIZE &&
           sscanf(text, "1 %63s %63s %63s %ld %" SCNu64 "%n", owner->machine, owner->boot,
                  owner->namespaces, &owner->pid, &owner->start, &end) == 5 &&
           text[end] == '\0' && owner->pid > 0;
}

/* The process of that pid does not show in /proc: gone, or hidden (hidepid)? */
static enum billet_owner_state
judge_unseen(long pid)
{
    cleanup_fd int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    return fd < 0 && errno == ESRCH ? BILLET_OWNER_DEAD : BILLET_OWNER_UNKNOWN;
}

enum billet_owner_state
billet_owner_judge(const char *text)
{
    struct owner owner, self;
    char state = '?';
    uint64_t start = 0;
    if (text == NULL || text[0] == '\0')
        return BILLET_OWNER_NONE;
    if (!parse_owner(text, &owner) || !read_self(&self) || strcmp(owner.machine, self.machine) != 0)
        return BILLET_OWNER_UNKNOWN;
    if (strcmp(owner.boot, self.boot) != 0)
        return BILLET_OWNER_DEAD;
    if (strcmp(owner.namespaces, self.namespaces) != 0)
        return BILLET_OWNER_UNKNOWN;
    switch (read_process(owner.pid, &state, &start)) {
    case 0:
        /* A zombie drives nothing; another start time is another process with the old number. */
        if (start != owner.start || state == 'Z' || state == 'X')
            return BILLET_OWNER_DEAD;
        return BILLET_OWNER_ALIVE;
    case ENOENT:
    case ESRCH:
        return judge_unseen(owner.pid);
    default:
        return BILLET_OWNER_UNKNOWN;
    }
}

const char *
billet_owner_state_name(enum billet_owner_state state)
{
    static const char *const names[] = {"none", "alive", "dead", "unknown"};
    return names[state];
}
