/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_plan.h - what came back for a repository, verified and installed, waiting to be
 * taken into branch and index; as a file it lies beside the journal of the workspace, so that a run
 * that was killed is completed with both.
 *
 * Settling decides anew by what branch and index are then, so it may be repeated:
 *   nothing new there            branch stays
 *   branch not moved here        fast-forward
 *   both moved, no path changed on both sides      a merge commit
 *   both moved otherwise         branch stays, theirs is at refs/billet/LEASE/BRANCH: diverged
 *   no common commit             the same: unrelated
 * and, unless branch stays behind, each index entry that is here as it was sent becomes theirs.
 */
#ifndef BILLET_WORKSPACE_GIT_PLAN_H
#define BILLET_WORKSPACE_GIT_PLAN_H

#include <billet/types.h>

#include "base/strings.h"
#include "workspace/git_index.h"
#include "workspace/git_program.h"
#include "workspace/git_repository.h"

#define BILLET_GIT_UNCHANGED 0
#define BILLET_GIT_FAST_FORWARD 1
#define BILLET_GIT_MERGED 2
#define BILLET_GIT_DIVERGED 3
#define BILLET_GIT_UNRELATED 4
#define BILLET_GIT_FAILED 5 /* .note says why; nothing was changed but what .others name */

struct billet_git_report {
    int outcome;
    char branch[BILLET_GIT_REF_SIZE]; /* "refs/heads/main", "" detached */
    char kept[BILLET_GIT_REF_SIZE];   /* where their commits are when branch stayed behind, or "" */
    char old_oid[BILLET_GIT_OID_SIZE];
    char new_oid[BILLET_GIT_OID_SIZE];
    size_t index_taken;           /* paths of the index that became theirs */
    size_t index_kept;            /* changed on both sides: ours */
    struct billet_strings others; /* refs that keep further branches of theirs */
    char note[256];
};

/* "unchanged", "fast_forward" ... */
const char *billet_git_outcome_name(int outcome);
void billet_git_report_free(struct billet_git_report *report);

struct billet_git_plan {
    char lease[64];
    char ref[BILLET_GIT_REF_SIZE];    /* branch that HEAD was on; "": detached */
    char base[BILLET_GIT_OID_SIZE];   /* HEAD when it went out; "": no commit */
    char theirs[BILLET_GIT_OID_SIZE]; /* "": they have none */
    char kept[BILLET_GIT_REF_SIZE];   /* a ref that holds theirs meanwhile; "": none needed */
    char name[256];                   /* who makes merge commits */
    char email[256];
    struct billet_git_index was; /* entries that they changed, as they were */
    struct billet_git_index now; /* and are */
};

int billet_git_plan_encode(const struct billet_git_plan *plan, struct billet_buffer *to,
                           struct billet_error *error);
int billet_git_plan_decode(struct billet_buffer *from, struct billet_git_plan *plan,
                           struct billet_error *error);
void billet_git_plan_free(struct billet_git_plan *plan);

/* List the index of the repository, copied into the quarantine as "index" for that; *seen is its
 * stat (st_ino 0: there is none). */
int billet_git_index_list(const struct billet_git_program *program,
                          const struct billet_git_repository *repository, struct stat *seen,
                          struct billet_git_index *index, struct billet_error *error);
/* Pack what the revisions name as PREFIX-*.pack in the quarantine and put that into the
 * repository. Nothing to pack is fine. */
int billet_git_pack_install(const struct billet_git_program *program,
                            const struct billet_git_repository *repository, const char *prefix,
                            const struct billet_buffer *revisions, struct billet_error *error);
/* An output of one word. */
int billet_git_ask_word(const struct billet_git_program *program,
                        const struct billet_git_command *command, char *word, size_t size,
                        int *status, struct billet_error *error);

/* Take it in. 0 also for FAILED. A negative result: nothing was changed, worth another try. */
int billet_git_plan_settle(const struct billet_git_plan *plan,
                           const struct billet_git_program *program,
                           const struct billet_git_repository *repository,
                           struct billet_git_report *report, struct billet_error *error);
/* The locks that a run with this plan may have left. */
void billet_git_plan_unlock(const struct billet_git_plan *plan,
                            const struct billet_git_repository *repository);

#endif
