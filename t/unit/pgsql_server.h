/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pgsql_server.h - a PostgreSQL server of the test's own: on a UNIX socket in a
 * directory of its own, as an ordinary user, gone with the program that started it.
 */
#ifndef BILLET_T_PGSQL_SERVER_H
#define BILLET_T_PGSQL_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((unused)) static char server_directory[PATH_MAX];
__attribute__((unused)) static char server_programs[PATH_MAX];
__attribute__((unused)) static pid_t server_pid;
__attribute__((unused)) static uid_t server_uid;
__attribute__((unused)) static gid_t server_gid;

/* Where initdb and postgres are: the newest of Debian's directories, or one of the usual ones. */
static inline bool
server_find(void)
{
    static const char *const places[] = {"/usr/lib/postgresql/*/bin", "/usr/libexec/postgresql*",
                                         "/usr/pgsql-*/bin", "/usr/local/bin", "/usr/bin"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        glob_t found;
        if (glob(places[i], 0, NULL, &found) != 0)
            continue;
        for (size_t j = found.gl_pathc; j > 0; j--) {
            char path[PATH_MAX];
            snprintf(path, sizeof(path), "%s/initdb", found.gl_pathv[j - 1]);
            if (access(path, X_OK) != 0)
                continue;
            snprintf(path, sizeof(path), "%s/postgres", found.gl_pathv[j - 1]);
            if (access(path, X_OK) != 0)
                continue;
            snprintf(server_programs, sizeof(server_programs), "%s", found.gl_pathv[j - 1]);
            globfree(&found);
            return true;
        }
        globfree(&found);
    }
    return false;
}

/* The server refuses to run as root. */
static inline pid_t
server_spawn(const char **argv)
{
    char path[PATH_MAX + 32], log[PATH_MAX + 32];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (getuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(server_gid) != 0 || setuid(server_uid) != 0))
        _exit(126);
    /* It ends with the test, however that ends: at once, what it knew is thrown away. */
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    setpgid(0, 0);
    snprintf(log, sizeof(log), "%s/log", server_directory);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ||
        chdir(server_directory) != 0)
        _exit(126);
    char *const environment[] = {(char *)"LC_ALL=C", (char *)"PATH=/usr/bin:/bin", NULL};
    snprintf(path, sizeof(path), "%s/%s", server_programs, argv[0]);
    argv[0] = path; /* by which it finds the files beside it */
    execve(path, (char *const *)argv, environment);
    _exit(127);
}

/* It answers, or 30 seconds have passed. A lock file of an earlier one says nothing. */
static inline bool
server_await(void)
{
    char path[PATH_MAX + 32], text[4096];
    snprintf(path, sizeof(path), "%s/data/postmaster.pid", server_directory);
    for (int i = 0; i < 3000; i++) {
        FILE *file = fopen(path, "re");
        size_t got = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
        if (file != NULL)
            fclose(file);
        text[got] = '\0';
        if (atol(text) == (long)server_pid && strstr(text, "ready") != NULL)
            return true;
        if (waitpid(server_pid, NULL, WNOHANG) == server_pid) {
            server_pid = 0;
            return false;
        }
        poll(NULL, 0, 10);
    }
    return false;
}

static inline bool
server_start(void)
{
    const char *argv[] = {"postgres",
                          "-D",
                          "data",
                          "-k",
                          server_directory,
                          "-c",
                          "listen_addresses=",
                          "-c",
                          "shared_buffers=32MB",
                          "-c",
                          "max_connections=64",
                          "-c",
                          "log_statement=none",
                          "-c",
                          "logging_collector=off",
                          "-c",
                          "restart_after_crash=off",
                          NULL};
    server_pid = server_spawn(argv);
    return server_pid > 0 && server_await();
}

/* Again after a kill: what the old one shared may still be there for a moment. */
static inline bool
server_restart(void)
{
    for (int i = 0; i < 50; i++) {
        if (server_start())
            return true;
        poll(NULL, 0, 100);
    }
    return false;
}

/* Every process of it. The first stands still meanwhile, so that it starts no others. */
static inline void
server_signal(int number)
{
    char path[64];
    long child;
    if (server_pid <= 0)
        return;
    kill(server_pid, SIGSTOP);
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)server_pid, (long)server_pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%ld", &child) == 1)
        kill((pid_t)child, number);
    if (file != NULL)
        fclose(file);
    kill(server_pid, number);
}

/* As a power cut would end it, but for the page cache. */
static inline void
server_kill(void)
{
    int status;
    server_signal(SIGKILL);
    while (server_pid > 0 && waitpid(server_pid, &status, 0) < 0 && errno == EINTR)
        ;
    server_pid = 0;
}

static inline int
server_remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline void
server_stop(void)
{
    int status;
    if (server_pid > 0) {
        server_signal(SIGCONT);
        kill(server_pid, SIGQUIT);
        while (waitpid(server_pid, &status, 0) < 0 && errno == EINTR)
            ;
        server_pid = 0;
    }
    if (server_directory[0] != '\0')
        nftw(server_directory, server_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    server_directory[0] = '\0';
}

/* NULL, or why there is none. */
static inline const char *
server_make(void)
{
    const char *argv[] = {"initdb", "-D", "data", "-A",         "trust",     "-U",
                          "owner",  "-E", "UTF8", "--locale=C", "--no-sync", NULL};
    const char *temporary = getenv("TMPDIR");
    int status = -1;
    if (!server_find())
        return "initdb and postgres are not installed";
    if (getuid() == 0) {
        const struct passwd *user = getpwnam("postgres");
        if (user == NULL)
            user = getpwnam("nobody");
        if (user == NULL)
            return "no ordinary user is known";
        server_uid = user->pw_uid;
        server_gid = user->pw_gid;
    }
    /* A path of a socket is short. */
    if (temporary == NULL || strlen(temporary) > 60)
        temporary = "/tmp";
    snprintf(server_directory, sizeof(server_directory), "%s/billet-pg-XXXXXX", temporary);
    if (mkdtemp(server_directory) == NULL || chmod(server_directory, 0755) != 0)
        return "no directory could be made";
    if (getuid() == 0 && chown(server_directory, server_uid, server_gid) != 0)
        return "the directory could not be given away";
    pid_t pid = server_spawn(argv);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0) {
        server_stop();
        return "initdb failed";
    }
    if (!server_start()) {
        server_stop();
        return "the server did not start";
    }
    return NULL;
}

#endif
