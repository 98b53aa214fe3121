/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - phase one of bringing a tree back: everything that arrived lies under
 * plain numbers in one private directory on the workspace's file system, and a
 * manifest says which number is which path. Touches nothing of the workspace.
 *
 * Because staged names are numbers, no name that arrived is resolved here at all.
 * In the manifest of a stage an entry's device is the number (0: nothing was staged because it is
 * what the baseline has, or because it is a directory) and its inode that of the staged file.
 */
#ifndef BILLET_WORKSPACE_STAGE_H
#define BILLET_WORKSPACE_STAGE_H

#include "workspace/archive.h"
#include "workspace/manifest.h"
#include "workspace/root.h"

struct billet_stage {
    const struct billet_root *root; /* of the workspace, not owned */
    int fd;                         /* the directory */
    int parent_fd;                  /* where it is: the state directory, or the workspace */
    char name[48];                  /* there */
    bool in_workspace;
    uint64_t next;  /* number */
    uint32_t owner; /* given to what is made when run by root */
    uint32_t group;
    bool change_owner;
    struct billet_manifest manifest; /* with an index */
};

#define BILLET_STAGE_INIT          \
    {                              \
        .fd = -1, .parent_fd = -1, \
    }

/* A new name for a stage. Note it down before it is opened, to find it after a crash. */
void billet_stage_make_name(char to[48], const char *tag);
/*
 * Make the directory: in state_fd when renames from there to the workspace work, else in the
 * workspace itself (its name is reserved and never travels).
 */
int billet_stage_open(struct billet_stage *stage, const struct billet_root *root, int state_fd,
                      const char *name, struct billet_error *error);
/* The same, found again after a crash. Class UNAVAILABLE when it is gone. */
int billet_stage_reopen(struct billet_stage *stage, const struct billet_root *root, int state_fd,
                        const char *name, bool in_workspace, struct billet_error *error);
/*
 * Take in a whole archive. A file whose baseline entry has its size, time in nanoseconds and mode
 * is read over. Refused besides what the archive itself refuses: a path that comes twice, a path
 * below something that is no directory, a hard link to what is no file of this archive. A missing
 * parent directory is taken as said (entry .racy is true then: implied).
 */
int billet_stage_receive(struct billet_stage *stage, struct billet_archive_reader *reader,
                         const struct billet_limits *limits, const struct billet_manifest *baseline,
                         struct billet_error *error);
/* Stage one thing of another tree: a file is copied (a reflink where the file system can). */
int billet_stage_take(struct billet_stage *stage, int directory_fd, const char *name,
                      const struct billet_entry *entry, const struct billet_limits *limits,
                      struct billet_error *error);
/* The decimal name of a number. */
void billet_stage_name(char to[24], uint64_t number);
/* Remove the directory and what is in it. */
void billet_stage_discard(struct billet_stage *stage);
/* Let go without removing. */
void billet_stage_close(struct billet_stage *stage);

#endif
