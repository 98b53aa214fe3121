/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - where a path of this machine leads, whether a command in a sandbox
 * could have led it there, and who can go it.
 *
 * Opens nothing for reading, judges nothing but the way.
 */
#ifndef SANDBOX_PATH_H
#define SANDBOX_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* A directory by its identity; inode 0: none. */
struct sandbox_place {
    uint64_t device;
    uint64_t inode;
};

/* Follow an absolute path link by link to its real name. *through: it leads by way of that place (a
 * workspace, in which the command can change every link), or to it. 0 or -errno. */
int sandbox_path_follow(const char *path, const struct sandbox_place *place,
                        char resolved[PATH_MAX], bool *through);

/* Every user of this machine can reach the regular file and execute it: no link on the way, which
 * could be changed, and no file system that one user alone sees. False also when in doubt. */
bool sandbox_path_is_public(const char *path);

#endif
