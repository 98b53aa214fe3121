/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.c - the processes of the floor.
 *
 *   floor tool PATH ROLE ARGUMENT...   commit to PATH before, between and after: run this program
 *                                      again as ROLE and wait
 *   floor host COMMAND ARGUMENT...     start the command, wait, exit as it did
 *   floor bwrap UID GID DIRECTORY      the same with bubblewrap: descriptors and arguments as
 *                                      "record" kept them in DIRECTORY
 *   floor record DIRECTORY             stands in for bubblewrap once and keeps what it was given
 */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD 6 /* of what the sandbox driver gives to bubblewrap */
#define LAST_FD 13

extern char **environ;

void
floor_die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(125);
}

static int
run(const char *path, char *const *argv, char *const *environment)
{
    pid_t pid;
    int status = 0;
    errno = posix_spawn(&pid, path, NULL, NULL, argv, environment);
    if (errno != 0)
        floor_die(path);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            floor_die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* argv: tool PATH ROLE ...; the same order of commits and starts as in a run. */
static int
tool(const char *self, char **argv)
{
    char *program = strdup(self);
    char **arguments = argv + 1;
    const char *path = argv[1];
    if (program == NULL)
        floor_die("strdup");
    floor_open(path);
    arguments[0] = program;
    floor_commit(0);
    floor_commit(1);
    int status = run(program, arguments, environ);
    floor_commit(2);
    floor_commit(3);
    floor_close();
    return status;
}

static char *
file_name(const char *directory, int fd)
{
    char *name = NULL;
    if (asprintf(&name, "%s/%d", directory, fd) < 0)
        floor_die("asprintf");
    return name;
}

static int
copy(int from, const char *name)
{
    char bytes[65536];
    ssize_t got;
    int to = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0)
        floor_die(name);
    for (off_t at = 0; (got = pread(from, bytes, sizeof(bytes), at)) > 0; at += got)
        if (write(to, bytes, (size_t)got) != got)
            floor_die(name);
    close(to);
    return got == 0 ? 0 : -1;
}

static int
record(const char *directory)
{
    FILE *who;
    char *name = NULL;
    for (int fd = FIRST_FD; fd <= LAST_FD; fd++) {
        char *file = file_name(directory, fd);
        if (fcntl(fd, F_GETFD) >= 0 && copy(fd, file) < 0)
            unlink(file); /* not a file: a pipe of the launcher's own */
        free(file);
    }
    if (asprintf(&name, "%s/user", directory) < 0 || (who = fopen(name, "we")) == NULL)
        floor_die(directory);
    fprintf(who, "%ld %ld\n", (long)geteuid(), (long)getegid());
    fclose(who);
    free(name);
    return 0;
}

static int
sandbox(const char *bwrap, uid_t uid, gid_t gid, const char *directory)
{
    char *const argv[] = {(char *)"bwrap", (char *)"--args",           (char *)"6",
                          (char *)"--",    (char *)"/run/billet/init", NULL};
    char *const nothing[] = {NULL};
    int fds[LAST_FD + 1];
    for (int fd = FIRST_FD; fd <= LAST_FD; fd++) {
        char *name = file_name(directory, fd);
        int opened = open(name, O_RDONLY | O_CLOEXEC);
        fds[fd] = opened >= 0 ? fcntl(opened, F_DUPFD_CLOEXEC, LAST_FD + 1) : -1;
        free(name);
    }
    for (int fd = FIRST_FD; fd <= LAST_FD; fd++)
        if (fds[fd] >= 0 && dup2(fds[fd], fd) < 0)
            floor_die("dup2");
    if (uid != geteuid() &&
        (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0))
        floor_die("cannot become the user of the sandbox");
    return run(bwrap, argv, nothing);
}

int
main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "tool") == 0)
        return tool(argv[0], argv + 1);
    if (argc >= 3 && strcmp(argv[1], "host") == 0)
        return run(argv[2], argv + 2, environ);
    if (argc == 3 && strcmp(argv[1], "record") == 0)
        return record(argv[2]);
    if (argc == 6 && strcmp(argv[1], "bwrap") == 0)
        return sandbox(argv[2], (uid_t)strtoul(argv[3], NULL, 10),
                       (gid_t)strtoul(argv[4], NULL, 10), argv[5]);
    fprintf(stderr, "floor: see floor.c\n");
    return 125;
}
