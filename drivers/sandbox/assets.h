/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assets.h - what commands of a lease may read besides the workspace: taken at realize, judged as
 * every path that a sandbox shows, held open. Mounts nothing itself.
 *
 * Started by root, a sandbox has a user id of its own; an asset's owner is mapped to it, as with
 * the workspace, where its file system can do that. Else it is shown with its modes as they are.
 */
#ifndef SANDBOX_ASSETS_H
#define SANDBOX_ASSETS_H

#include <billet/driver.h>
#include <stdbool.h>

#include "identity.h"
#include "path.h"

struct sandbox_asset {
    char *name;
    char *path;
    bool is_directory;
    int fd;     /* O_PATH */
    int map_fd; /* user namespace for its mount, -1: as it is */
};

struct sandbox_assets {
    struct sandbox_asset items[BILLET_ASSETS_MAX];
    size_t count;
};

/* In place of those taken before. place: the workspace. */
int sandbox_assets_take(struct sandbox_assets *assets, const struct billet_realize *args,
                        const struct sandbox_place *place, struct billet_error *error);
/* For the id that a sandbox is about to be started with. */
int sandbox_assets_map(struct sandbox_assets *assets, const struct sandbox_identity *identity,
                       struct billet_error *error);
void sandbox_assets_free(struct sandbox_assets *assets);

#endif
