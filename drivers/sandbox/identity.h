/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - as whom a sandbox runs on the host. An ordinary user: as himself.
 * Root: never as root, but as a user id that this lease alone has, with the
 * workspace shown through an id-mapped mount so that its files stay its owner's.
 *
 * Owns the pool of user ids (a locked file each) and the user namespace that
 * carries the mapping; makes no mount itself.
 */
#ifndef SANDBOX_IDENTITY_H
#define SANDBOX_IDENTITY_H

#include <billet/types.h>
#include <stdbool.h>
#include <sys/types.h>

#include "options.h"

struct sandbox_identity {
    bool taken;
    bool shared; /* a sandbox that stays holds the lock as well */
    bool drop;   /* started by root: setuid(uid) before anything else runs */
    uid_t uid;
    gid_t gid;
    uid_t locked;  /* the id that lock_fd holds: uid may become another (allow_degraded) */
    uid_t adopted; /* to be used instead: what the lease's files belong to already; 0: none */
    int lock_fd;   /* holds the id while open, -1: none */
    int pool_fd;   /* the directory of its file */
    int map_fd;    /* user namespace for the workspace's mount, -1: plain bind */
};
#define SANDBOX_IDENTITY_INIT                      \
    {                                              \
        .lock_fd = -1, .pool_fd = -1, .map_fd = -1 \
    }

/* Take an id; directory_fd: where its lock file goes (made with mode 0700). seed spreads leases.
 * identity->adopted, when set, is that id where it is one of the pool. */
int sandbox_identity_take(const struct sandbox_config *config, int directory_fd, const char *seed,
                          struct sandbox_identity *identity, struct billet_error *error);
void sandbox_identity_give_back(struct sandbox_identity *identity);
/* Remove the files of ids that nobody holds. directory_fd: as in sandbox_identity_take. */
void sandbox_identity_tidy(int directory_fd);

/* After realize: map the owner of the workspace. Fails with class UNAVAILABLE where the file system
 * cannot do it; allow_degraded then runs as the owner, but never as root. */
int sandbox_identity_map(struct sandbox_identity *identity, const struct sandbox_config *config,
                         int work_fd, const char *path, struct billet_error *error);

/* A user namespace that shows what belongs to owner and group as this lease's id: descriptor or
 * -errno. Of a dropped identity. */
int sandbox_identity_namespace(const struct sandbox_identity *identity, uid_t owner, gid_t group);

/* A detached mount of directory_fd with the mapping (map_fd -1: as it is), nosuid, nodev:
 * descriptor or -errno. Safe between fork and exec. */
int sandbox_identity_mount(int directory_fd, int map_fd);

/* Write the uid_map or gid_map text that sends owner to lease and leaves the rest as it is. */
int sandbox_identity_map_text(char *text, size_t size, unsigned long owner, unsigned long lease);

#endif
