/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git.h - a git work tree travels with its history: begin, send (or cover it where it
 * is seen), receive, commit, settle, end. The files of the tree are the workspace engine's; this
 * carries commits, branches, HEAD and index, and no configuration that could run or tell anything.
 *
 *   there: a pack with only the objects that the far side lacks, refs, HEAD, index.
 *   back:  new commits and staged content as a pack into a quarantine (git_program.h), where git
 *          checks each object and that nothing is missing. From there our own git packs what is
 *          reachable; only that pack is put into the user's repository, under
 *          refs/billet/LEASE/BRANCH at first. Then git_plan.h decides.
 *
 * .git itself is in no archive, neither way: hooks and configuration of the far side never arrive.
 * An overlay shows the repository as it is; cover hides its settings, and what comes back is taken
 * out of it in the same way, by commands in the environment, never as files.
 * Objects and refs arrive before the files, branch and index after them; a run that is killed
 * between is completed by the next billet_workspace_begin.
 */
#ifndef BILLET_WORKSPACE_GIT_H
#define BILLET_WORKSPACE_GIT_H

#include <billet/types.h>
#include <stdbool.h>

#include "workspace/git_far.h"
#include "workspace/git_plan.h"
#include "workspace/manifest.h"
#include "workspace/root.h"

struct billet_git;

struct billet_git_options {
    const struct billet_root *root; /* of the workspace; outlives what is made */
    int state_fd;                   /* private to the workspace, under its lock */
    const char *lease;              /* id: names refs and locks */
    uint64_t pack_bytes_max;        /* of what comes back; 0: 4 GiB */
    int64_t timeout_ns;             /* of each git command here; 0: 10 minutes */
    bool durable;
};

/* 1: *git is made. 0: the workspace is no git work tree, or cannot travel as one: *why says which
 * ("" when there is no .git). */
int billet_git_begin(const struct billet_git_options *options, struct billet_git **git,
                     char why[160], struct billet_error *error);

/* Bring history, branches, HEAD and index into the environment; its files are there already, those
 * of the manifest (NULL: all). 1 done; 0 it has no git. *sent_objects may be NULL. */
int billet_git_send(struct billet_git *git, const struct billet_git_far *far,
                    const struct billet_manifest *manifest, uint64_t *sent_objects,
                    struct billet_error *error);
/* In place of send where the repository itself is seen (overlay): put the settings that may travel
 * over its own, which may name programs and hold secrets. Needs no git there. */
int billet_git_cover(struct billet_git *git, const struct billet_git_far *far,
                     struct billet_error *error);

/* Between processes: write down what both sides have, and take it up in place of what is here now.
 * After begin; recall fails when path is not what keep wrote. */
int billet_git_keep(const struct billet_git *git, const char *path, struct billet_error *error);
int billet_git_recall(struct billet_git *git, const char *path, struct billet_error *error);
/* What was received was taken in: from now on that is what both sides have. */
void billet_git_renew(struct billet_git *git);
/* 1: the far side still has what both had, so that a send takes nothing from it; 0: it has not. */
int billet_git_is_unmoved(const struct billet_git *git, const struct billet_git_far *far,
                          struct billet_error *error);

/* After the command: fetch what is new there into the quarantine, checked. 1 something came; 0
 * nothing did, or git or the repository is gone there. Changes nothing here. */
int billet_git_receive(struct billet_git *git, const struct billet_git_far *far,
                       struct billet_error *error);

/* Before the files are merged: put the objects into the repository and note the plan. */
int billet_git_commit(struct billet_git *git, struct billet_error *error);
/* After they were: branch and index. Never fails: what went wrong is the report's. */
void billet_git_settle(struct billet_git *git);
const struct billet_git_report *billet_git_report(const struct billet_git *git);
/* The same, as the caller's own. */
void billet_git_report_take(struct billet_git *git, struct billet_git_report *report);
/* The repository lies elsewhere: the work tree is one that `git worktree add` made. */
bool billet_git_is_linked(const struct billet_git *git);

/* NULL is fine. */
void billet_git_end(struct billet_git *git);

/* A run that died had noted a plan: files_done says that its files were merged (or just were
 * completed): settle; else forget it. Never fails. 1 when there was one. */
int billet_git_resume(const struct billet_root *root, int state_fd, bool files_done,
                      struct billet_git_report *report);

#endif
