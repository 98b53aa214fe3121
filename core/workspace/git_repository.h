/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_repository.h - the repository of a work tree, read and changed as files: where it
 * is, HEAD, refs, index, packs. Runs nothing, believes nothing that is in it, follows no link, and
 * leaves its lock files as git's own protocol wants them (NAME.lock, made exclusively).
 *
 * Formats: gitrepository-layout(5), gitformat-index(5), the "files" ref backend. What is not
 * understood (another ref backend, partial clones, borrowed object stores) is refused with the
 * reason; then the files travel without history.
 */
#ifndef BILLET_WORKSPACE_GIT_REPOSITORY_H
#define BILLET_WORKSPACE_GIT_REPOSITORY_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "workspace/git_program.h"
#include "workspace/root.h"

#define BILLET_GIT_REF_SIZE 512 /* longest ref name that travels, with NUL */
#define BILLET_GIT_REFS_MAX 100000

struct billet_git_repository {
    struct billet_root directory; /* HEAD, index: .git, or the linked work tree's own */
    struct billet_root common;    /* objects, refs, config: the same, or the main one's */
    int objects_fd;
    uint32_t owner; /* given to what is made when run by root */
    uint32_t group;
    bool change_owner;
    bool linked;
    bool durable;
};

#define BILLET_GIT_REPOSITORY_INIT                                                  \
    {                                                                               \
        .directory = BILLET_ROOT_INIT, .common = BILLET_ROOT_INIT, .objects_fd = -1 \
    }

/*
 * 1: work (path: the same, absolute) is the top of a work tree. 0: it is none, or one that cannot
 * travel, and *why says which ("" when there is no .git at all). A .git file is followed only
 * when what it names is a linked work tree that names this one in turn.
 */
int billet_git_repository_open(struct billet_git_repository *repository,
                               const struct billet_root *work, const char *path, char why[160],
                               struct billet_error *error);
void billet_git_repository_close(struct billet_git_repository *repository);

/* Content of a small file of the repository: 1, or 0 when it is not there. */
int billet_git_read_file(const struct billet_root *root, const char *name,
                         struct billet_buffer *text, size_t limit, struct billet_error *error);

/* --- refs ------------------------------------------------------------------------------------ */

struct billet_git_ref {
    char *name; /* "refs/heads/main" */
    char oid[BILLET_GIT_OID_SIZE];
};

struct billet_git_refs {
    struct billet_git_ref *items; /* sorted by name */
    size_t count;
    size_t capacity;
};

struct billet_git_head {
    char ref[BILLET_GIT_REF_SIZE]; /* "" when detached */
    char oid[BILLET_GIT_OID_SIZE]; /* "" when there is no commit yet */
};

bool billet_git_is_oid(const char *text, size_t length);
/* What git allows as the name of a ref, and a file system as a path. */
bool billet_git_is_ref_name(const char *name);

/* All of refs/heads, refs/tags and refs/remotes that name an object. */
int billet_git_refs_read(const struct billet_git_repository *repository,
                         struct billet_git_refs *refs, struct billet_error *error);
/* Add a copy; sort afterwards. */
int billet_git_refs_add(struct billet_git_refs *refs, const char *name, const char *oid,
                        size_t oid_length, struct billet_error *error);
void billet_git_refs_sort(struct billet_git_refs *refs);
const struct billet_git_ref *billet_git_refs_find(const struct billet_git_refs *refs,
                                                  const char *name);
void billet_git_refs_free(struct billet_git_refs *refs);

int billet_git_head_read(const struct billet_git_repository *repository,
                         struct billet_git_head *head, struct billet_error *error);

struct billet_git_move {
    const char *name; /* a ref, or "HEAD" to move a detached one */
    const char *from; /* what it must be; "": absent; NULL: anything */
    const char *to;   /* "": delete */
    const char *tag;  /* of the run: names the lock's other link */
    const char *log;  /* line for the reflog; NULL: none */
    const char *who;  /* "Name <email>" for the reflog */
};
/* Compare and set. 1 done; 0 it is something else now, or another process holds its lock. */
int billet_git_ref_move(const struct billet_git_repository *repository,
                        const struct billet_git_move *move, struct billet_error *error);
/* A run with this tag died: take away the lock of one of these refs that it left. */
void billet_git_refs_unlock(const struct billet_git_repository *repository,
                            const char *const names[], size_t count, const char *tag);

/* --- objects and index ----------------------------------------------------------------------- */

/* Copy pack and index PREFIX-HASH.{pack,idx} out of the quarantine; there already is fine. */
int billet_git_install_pack(const struct billet_git_repository *repository, int from_fd,
                            const char *prefix, const char *hash, struct billet_error *error);

/* Put a prepared index (a file of from_fd) in the place of the one that still has the stat of
 * *seen (st_ino 0: there was none). The window between lock and rename holds between(). 1 done, 0
 * the index changed or is locked; between's own result when that is not 1. */
typedef int billet_git_between(void *context, struct billet_error *error);
int billet_git_index_replace(const struct billet_git_repository *repository, int from_fd,
                             const char *name, const struct stat *seen, const char *tag,
                             billet_git_between *between, void *context,
                             struct billet_error *error);
void billet_git_index_unlock(const struct billet_git_repository *repository, const char *tag);

#endif
