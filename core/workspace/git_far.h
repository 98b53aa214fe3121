/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_far.h - the repository in the environment. Everything there is done by commands that
 * run there: the far side needs git and a POSIX shell, no helper of ours. All that comes back is
 * untrusted text, bounded, or a pack that only the quarantine takes in.
 *
 * Constant scripts; parameters are positional, data is on stdin: "ask" (what is known there),
 * "deliver" (a pack with all that is to be; refs, index and configuration are blobs of one tree in
 * it), "report" (HEAD, branches, index). Packs are made by git pack-objects itself.
 */
#ifndef BILLET_WORKSPACE_GIT_FAR_H
#define BILLET_WORKSPACE_GIT_FAR_H

#include <billet/types.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "workspace/git_index.h"
#include "workspace/git_repository.h"

/* Run one command in the environment, to its end. The fds stay the caller's; -1: /dev/null.
 * *status: exit status, 127 not found. Negative: the environment failed. */
typedef int billet_git_exec(void *context, const char *const *argv, const int fds[3], int *status,
                            struct billet_error *error);

struct billet_git_far {
    billet_git_exec *exec;
    void *context;
    const char *directory; /* of the work tree there, absolute */
};

#define BILLET_GIT_FAR_NO_GIT 1

/* What the far side has: its refs, in *refs. BILLET_GIT_FAR_NO_GIT when it has no git. */
int billet_git_far_ask(const struct billet_git_far *far, struct billet_git_refs *refs,
                       struct billet_error *error);
struct billet_git_delivery {
    char tree[BILLET_GIT_OID_SIZE];  /* of the parts */
    char index[BILLET_GIT_OID_SIZE]; /* the part "index" */
    char parts[128];                 /* " config refs index ": those that are in the tree */
    const char *head;                /* a ref, or an oid when detached */
    bool sha256;
};
/* Replace the configuration of the repository there, without git. */
int billet_git_far_configure(const struct billet_git_far *far, const struct billet_buffer *config,
                             struct billet_error *error);
/* pack_fd: a pack from its start. */
int billet_git_far_deliver(const struct billet_git_far *far, int pack_fd,
                           const struct billet_git_delivery *delivery, struct billet_error *error);

struct billet_git_far_state {
    struct billet_git_head head;
    struct billet_git_refs branches;
    struct billet_git_index index;
};
/* BILLET_GIT_FAR_NO_GIT when there is no git, or no repository (any more). */
int billet_git_far_report(const struct billet_git_far *far, struct billet_git_far_state *state,
                          struct billet_error *error);
void billet_git_far_state_free(struct billet_git_far_state *state);
/* A pack of what the revisions (lines for rev-list --stdin) name goes to out_fd. */
int billet_git_far_pack(const struct billet_git_far *far, const struct billet_buffer *revisions,
                        int out_fd, struct billet_error *error);

#endif
