/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_index.h - an index as git ls-files --stage lists it: compared, merged path by path,
 * written as input of git update-index. Never reads or writes an index file: git does.
 */
#ifndef BILLET_WORKSPACE_GIT_INDEX_H
#define BILLET_WORKSPACE_GIT_INDEX_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "workspace/git_program.h"

#define BILLET_GIT_MODE_LINKED 0160000u /* a commit of a submodule */

#define BILLET_GIT_VALID 0x8000u      /* assume-unchanged */
#define BILLET_GIT_INTENT 0x20000000u /* add --intent-to-add */
#define BILLET_GIT_SKIP 0x40000000u   /* skip-worktree */

struct billet_git_entry {
    const char *path; /* owned by the list */
    char oid[BILLET_GIT_OID_SIZE];
    uint32_t mode;
    uint32_t flags; /* BILLET_GIT_* */
    uint8_t stage;
};

struct billet_git_index {
    struct billet_git_entry *entries; /* by path, then stage */
    size_t count;
    size_t capacity;
    char *text; /* what the paths point into */
};

#define BILLET_GIT_INDEX_INIT \
    {                         \
        0                     \
    }

/* From `ls-files --stage -z`, or with --debug besides (for the flags). Takes text over. Refuses
 * (class AUTH, git_refused) what git would not have written. */
int billet_git_index_parse(struct billet_buffer *text, bool debug, struct billet_git_index *index,
                           struct billet_error *error);
void billet_git_index_free(struct billet_git_index *index);

/* Entries of one path: how many from position at (0 at the end). */
size_t billet_git_index_group(const struct billet_git_index *index, size_t at);
/* Where the path's entries begin; count is set, 0 when there are none. */
size_t billet_git_index_find(const struct billet_git_index *index, const char *path, size_t *count);

/* What differs: the paths' entries as they were, and as they are now; both in the ls-files form. */
int billet_git_index_differ(const struct billet_git_index *was, const struct billet_git_index *now,
                            struct billet_buffer *old_text, struct billet_buffer *new_text,
                            struct billet_error *error);

struct billet_git_merge {
    const struct billet_git_index *was; /* of differ */
    const struct billet_git_index *now;
    const struct billet_git_index *ours;
    size_t taken;
    size_t kept; /* changed on both sides: ours stays */
};
/* Lines for update-index -z --index-info that bring their changes into ours. */
int billet_git_index_merge(struct billet_git_merge *merge, struct billet_buffer *lines,
                           struct billet_error *error);
/* One line of that. */
void billet_git_index_line(struct billet_buffer *to, const struct billet_git_entry *entry);

#endif
