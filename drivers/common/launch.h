/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - starts one child of a driver: argument vector, environment,
 * directory, descriptors, session, terminal and cgroup, in a process that has
 * nothing else of ours. The one place of a driver that makes a process.
 *
 * Never waits for the command, never runs a shell, never changes this process
 * (the starting thread blocks its signals for the moment of the start).
 */
#ifndef DRIVERS_COMMON_LAUNCH_H
#define DRIVERS_COMMON_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BILLET_LAUNCH_FDS 16

struct billet_launch {
    const char *const *argv;        /* NULL-terminated, at least one */
    const char *const *environment; /* NULL-terminated; NULL: empty */
    const char *program;            /* executed under argv[0]; NULL: argv[0] itself */
    /* A program without '/' is looked for in these directories, ':' between them, an empty one is
     * the child's directory. NULL: no search, it is a path. */
    const char *search;
    int directory_fd;      /* fchdir to it first; -1: none */
    const char *directory; /* then chdir to it, relative to directory_fd; NULL or "": no */
    const int *fds;        /* fds[i] becomes descriptor i, -1: /dev/null; all others are closed */
    size_t fd_count;       /* at most BILLET_LAUNCH_FDS */
    int terminal_fd;       /* becomes the controlling terminal, -1: none */
    int cgroup_fd;         /* directory of a v2 group to be born in, -1: none */
    const int *groups;     /* open cgroup.procs of further (v1) groups to enter, -1 is skipped */
    size_t group_count;
    int death_signal; /* PR_SET_PDEATHSIG: sent when the calling THREAD ends; 0: none */
};

enum billet_launch_step {
    BILLET_LAUNCH_NONE,
    BILLET_LAUNCH_PROCESS, /* no process could be made */
    BILLET_LAUNCH_GROUP,
    BILLET_LAUNCH_SESSION,
    BILLET_LAUNCH_TERMINAL,
    BILLET_LAUNCH_DIRECTORY,
    BILLET_LAUNCH_DESCRIPTORS,
    BILLET_LAUNCH_EXEC,
};

/*
 * Start it: 0, or the errno of what failed with its step in *step. On success *pid is a child of
 * this process in a session of its own and *pidfd (O_CLOEXEC) the caller's. A command that cannot
 * be executed is reported here: of the search, EACCES when a file was found but none could be
 * executed (as execvp(3), but a directory that cannot be searched counts as without the file).
 */
int billet_launch_start(const struct billet_launch *launch, pid_t *pid, int *pidfd,
                        enum billet_launch_step *step);

/*
 * Run function(argument), which never returns, in a child that shares the memory of this process on
 * a small stack of its own, without any signal, until it executes a program or ends; the calling
 * thread waits so long (CLONE_VM | CLONE_VFORK: no page tables are copied). Descriptors, directory
 * and the like are the child's own. It calls what a thread may call, and changes user by raw system
 * calls: libc's would signal the threads of this process.
 * cgroup_fd: directory of a v2 group to be born in, -1: none. entered, which the function may read:
 * it was; entering it later would first wait until no process of the machine can be forking, some
 * ten milliseconds. Its pid, with *pidfd (O_CLOEXEC) the caller's, or a negative errno.
 */
long billet_launch_child(void (*function)(void *), void *argument, int cgroup_fd, bool *entered,
                         int *pidfd);

/* pidfd_open(2): a descriptor (O_CLOEXEC), or -1 with errno. */
int billet_pidfd_open(pid_t pid);

/* "start a process", "enter the directory" ... for messages: "cannot ..." */
const char *billet_launch_step_text(enum billet_launch_step step);

#endif
