/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace.h - the directory that travels, from begin to end of one run: lock,
 * completion of an interrupted run, baseline, sending, receiving, merge. The only
 * header of this directory that the orchestrator needs.
 *
 *   begin -> send (or copy, or the driver mounts an overlay) -> the command runs ->
 *   receive (archive, directory or upper directory) -> apply -> end
 *
 * Until apply nothing of the workspace is changed, and any failure leaves it so. An apply that is
 * cut off leaves each file old or new; the next begin completes it. Never touches the network.
 */
#ifndef BILLET_WORKSPACE_WORKSPACE_H
#define BILLET_WORKSPACE_WORKSPACE_H

#include "workspace/archive.h"
#include "workspace/copy.h"
#include "workspace/filter.h"
#include "workspace/git_plan.h"
#include "workspace/limits.h"
#include "workspace/manifest.h"
#include "workspace/plan.h"
#include "workspace/root.h"

struct billet_workspace;

#define BILLET_BASELINE_MANIFEST 0 /* a scan; what people edit meanwhile is seen exactly */
#define BILLET_BASELINE_TIME 1     /* no scan: change times are compared (overlay) */
#define BILLET_BASELINE_HASH                                          \
    2 /* a scan with the hash of every file; the last one is kept, so \
       * only changed files are read again */

struct billet_workspace_options {
    const char *directory;              /* the workspace */
    const char *state_directory;        /* private, outside it: locks, journals */
    const char *tag;                    /* lease id; its last eight characters name conflicts */
    const struct billet_filter *filter; /* lives as long as the workspace; NULL: all travels */
    const struct billet_limits *limits; /* copied; NULL: defaults */
    int64_t lock_deadline_ns;           /* see lock.h */
    int baseline;                       /* BILLET_BASELINE_* */
    bool durable;                       /* apply goes through to the disk before it is done */
    billet_progress *progress;          /* or NULL */
    void *progress_context;
};

/* Lock, complete what an interrupted run left, take the baseline. */
int billet_workspace_begin(const struct billet_workspace_options *options,
                           struct billet_workspace **workspace, struct billet_error *error);

/* Another one than billet_workspace_begin was given, before anything comes back. */
void billet_workspace_set_tag(struct billet_workspace *workspace, const char *tag);

const struct billet_root *billet_workspace_root(const struct billet_workspace *workspace);
/* Take the baseline of a scan now, where TIME was asked for and will not do. */
int billet_workspace_scan(struct billet_workspace *workspace, struct billet_error *error);
/* Before the command starts: wait until what changes from now on is seen to be later (a tick of the
 * file system's clock at most). */
void billet_workspace_settle(const struct billet_workspace *workspace);
/* What an earlier process has begun, in place of a baseline of now: since_ns as the function below
 * gave it, or with a path the baseline that billet_workspace_keep wrote. After a begin with TIME.
 */
int billet_workspace_resume(struct billet_workspace *workspace, int64_t since_ns, const char *path,
                            struct billet_error *error);
int64_t billet_workspace_since(const struct billet_workspace *workspace);
/* Write the baseline to a file, for a later process. */
int billet_workspace_keep(const struct billet_workspace *workspace, const char *path,
                          struct billet_error *error);
int billet_workspace_keep_manifest(const struct billet_manifest *manifest, const char *path,
                                   struct billet_error *error);
/* NULL with BILLET_BASELINE_TIME. */
const struct billet_manifest *billet_workspace_baseline(const struct billet_workspace *workspace);
/* Names that cannot travel (control bytes): how many. */
size_t billet_workspace_nameless(const struct billet_workspace *workspace);
/* An interrupted run was completed by begin, with this report of it. */
const struct billet_report *billet_workspace_recovery(const struct billet_workspace *workspace);

/* Write an archive of all that differs from there (sorted; NULL: of everything) to fd. A file is
 * the same when its hash, or else size, mode and mtime are. *sent_bytes may be NULL. */
int billet_workspace_send(struct billet_workspace *workspace, const struct billet_manifest *there,
                          int fd, uint64_t *sent_bytes, struct billet_error *error);
/* Make a directory look like the workspace; it may hold an earlier copy (full = false). */
int billet_workspace_copy(struct billet_workspace *workspace, const char *directory,
                          struct billet_copy_result *result, struct billet_error *error);

#define BILLET_RECEIVE_CHANGES 0x1u /* only what was put; deletions by billet_workspace_deleted */
#define BILLET_RECEIVE_DOT 0x2u     /* made by `tar -c .`: names begin with "./" */

/* Stage an archive from fd, read to its end. */
int billet_workspace_receive(struct billet_workspace *workspace, int fd, unsigned flags,
                             struct billet_error *error);
/* Forget what was staged and deleted since the last billet_workspace_apply: it comes once more. */
void billet_workspace_receive_anew(struct billet_workspace *workspace);
/* They deleted this path (with all below it). After a receive with BILLET_RECEIVE_CHANGES, or
 * without any receive. */
int billet_workspace_deleted(struct billet_workspace *workspace, const char *path, size_t length,
                             struct billet_error *error);
/* Stage what differs in a directory that billet_workspace_copy made. */
int billet_workspace_receive_copy(struct billet_workspace *workspace, const char *directory,
                                  struct billet_error *error);
/* Stage the upper directory of an unmounted overlay; upper_fd stays the caller's. */
int billet_workspace_receive_upper(struct billet_workspace *workspace, int upper_fd,
                                   struct billet_error *error);

/* What is taken in together with the files (the repository, git.h): `before` the first of them is
 * changed, its failure leaves all as it was; `after` the last one. A run that dies between is
 * completed by the next begin. Copied. */
struct billet_workspace_companion {
    int (*before)(void *context, struct billet_error *error);
    void (*after)(void *context);
    void *context;
};
void billet_workspace_accompany(struct billet_workspace *workspace,
                                const struct billet_workspace_companion *companion);
/* The private directory of this workspace, under its lock. */
int billet_workspace_state_fd(const struct billet_workspace *workspace);
/* The repository of an interrupted run was settled by begin, or NULL. */
const struct billet_git_report *billet_workspace_git_recovery(
    const struct billet_workspace *workspace);

/* Merge what was received into the workspace. A report is made also when it fails. Class of
 * failure, code workspace_incomplete: some files are new already; call again, or begin later. */
int billet_workspace_apply(struct billet_workspace *workspace, struct billet_report *report,
                           struct billet_error *error);

/* Throw away what was received and not applied, and unlock. NULL is fine. */
void billet_workspace_end(struct billet_workspace *workspace);

#endif
