/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root.h - the only way to a file of a tree: a held directory, and paths that are
 * resolved beneath it without following any symbolic link.
 *
 * Where the kernel has openat2 (5.6), RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS|NO_XDEV does it
 * in one call. Where it has not (ENOSYS, or EPERM of a seccomp filter), each component is
 * opened on the fd of the one before with O_NOFOLLOW|O_DIRECTORY, which holds against the same
 * races, only slower; a directory on another device is refused there too. Everything that is done
 * to a file (stat, chmod, rename, unlink ...) is an *at call on the fd of its parent, so no name
 * is resolved twice. Paths have passed billet_path_check; these functions look again that no
 * component is ".", ".." or empty, and fail with EINVAL.
 *
 * Functions report through errno, as what they wrap; callers name the path.
 */
#ifndef BILLET_WORKSPACE_ROOT_H
#define BILLET_WORKSPACE_ROOT_H

#include <billet/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct billet_root {
    int fd;          /* the directory, open for reading */
    uint64_t device; /* its st_dev */
    bool walk;       /* do without openat2 */
};

#define BILLET_ROOT_INIT \
    {                    \
        .fd = -1         \
    }

/* Open a directory that the operator names (links on the way are followed). */
int billet_root_open(struct billet_root *root, const char *path, struct billet_error *error);
/* The same for a directory held already; owns fd on success. */
int billet_root_adopt(struct billet_root *root, int fd, struct billet_error *error);
void billet_root_close(struct billet_root *root);

/* An fd (O_CLOEXEC and O_NOFOLLOW are added) or -1. "" is the root itself. */
int billet_root_openat(const struct billet_root *root, const char *path, int flags, mode_t mode);
/* The directory that holds path (O_PATH), and where in path its last component begins; or -1. */
int billet_root_parent(const struct billet_root *root, const char *path, const char **leaf);
/* The same, with the directory kept for the next path in it. The fd is the cache's. */
struct billet_root_cache {
    int fd;
    char directory[4096];
};
#define BILLET_ROOT_CACHE_INIT \
    {                          \
        .fd = -1               \
    }
int billet_root_parent_cached(const struct billet_root *root, struct billet_root_cache *cache,
                              const char *path, const char **leaf);
void billet_root_cache_clear(struct billet_root_cache *cache);
/* As lstat; 0 or -1. */
int billet_root_stat(const struct billet_root *root, const char *path, struct stat *status);
/* Make the missing directories above path (0777 and umask, at most 0755); 0 or -1. */
int billet_root_make_parents(const struct billet_root *root, const char *path);

static inline int64_t
billet_stat_mtime(const struct stat *status)
{
    return status->st_mtim.tv_sec * BILLET_NS_PER_SECOND + status->st_mtim.tv_nsec;
}

static inline int64_t
billet_stat_ctime(const struct stat *status)
{
    return status->st_ctim.tv_sec * BILLET_NS_PER_SECOND + status->st_ctim.tv_nsec;
}

#define cleanup_root __attribute__((cleanup(billet_root_close)))

#endif
