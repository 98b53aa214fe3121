/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_program.h - the git program as a subprocess, held on a short leash. It only ever
 * works in a private repository that billet made (the quarantine), with a configuration of
 * billet's own; the user's objects are an alternate that it reads.
 *
 * So nothing that a workload or another user wrote into a repository (config, hooks, attributes of
 * the git directory, includes, aliases) is read by a git that we run: whose tree it is, and whether
 * root runs billet, does not matter, and safe.directory has nothing to guard. argv, never a shell;
 * an environment made here; no prompt, no network, a deadline, bounded output.
 */
#ifndef BILLET_WORKSPACE_GIT_PROGRAM_H
#define BILLET_WORKSPACE_GIT_PROGRAM_H

#include <billet/types.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buffer.h"

#define BILLET_GIT_OID_SIZE 65 /* hexadecimal and NUL: SHA-1 has 40 digits, SHA-256 64 */

struct billet_git_program {
    char path[PATH_MAX];      /* of git */
    char directory[PATH_MAX]; /* of the quarantine, absolute */
    int directory_fd;         /* the same */
    int objects_fd;           /* objects of the user's repository; -1: none. Not owned */
    int64_t timeout_ns;       /* of each command */
};

#define BILLET_GIT_PROGRAM_INIT               \
    {                                         \
        .directory_fd = -1, .objects_fd = -1, \
    }

/* Where git is by PATH (absolute directories only). Class UNAVAILABLE, git_unavailable. */
int billet_git_program_find(char path[PATH_MAX], struct billet_error *error);

/*
 * Make an empty quarantine named "git" in a private directory, in place of what an earlier run left
 * there, and find git. shallow: content of the user's file of that name, or NULL.
 */
int billet_git_program_open(struct billet_git_program *program, int state_fd, bool sha256,
                            const struct billet_buffer *shallow, struct billet_error *error);
/* Remove the quarantine. */
void billet_git_program_close(struct billet_git_program *program, int state_fd);

struct billet_git_command {
    const char *const *argv; /* without "git" */
    const void *input;       /* bytes for its stdin */
    size_t input_length;
    int in_fd;                    /* its stdin instead, when above 0 */
    int out_fd;                   /* its stdout, when above 0 */
    struct billet_buffer *output; /* else appended here */
    size_t output_max;            /* 0: 64 MiB; more is class CAPACITY, git_refused */
    const char *index;            /* name of an index file in the quarantine; NULL: none */
    const char *name;             /* identity of commits made; NULL: none */
    const char *email;
};

/* Run to the end. status NULL: a status other than 0 is an error, code git_failed, with the first
 * line of what git said; else *status is the exit status (128 + N for a signal). */
int billet_git_run(const struct billet_git_program *program,
                   const struct billet_git_command *command, int *status,
                   struct billet_error *error);

struct billet_git_process {
    pid_t pid;
    int pidfd;
    int errors_fd; /* what it says */
    int64_t deadline_ns;
    const char *what;
};
#define BILLET_GIT_PROCESS_INIT                  \
    {                                            \
        .pid = -1, .pidfd = -1, .errors_fd = -1, \
    }

/* The same in two halves; out_fd is given (output is not used). */
int billet_git_start(const struct billet_git_program *program,
                     const struct billet_git_command *command, struct billet_git_process *process,
                     struct billet_error *error);
int billet_git_finish(struct billet_git_process *process, int *status, struct billet_error *error);
/* Kill and reap what was started and not finished. */
void billet_git_kill(struct billet_git_process *process);

/* An unnamed, sealed file with these bytes, to be read from its start; or -1 with errno. */
int billet_git_bytes_fd(const void *bytes, size_t length);
/* Remove a directory and all below it without following links. */
void billet_git_remove_tree(int directory_fd, const char *name);

#endif
