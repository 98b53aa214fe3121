/* SPDX-License-Identifier: Apache-2.0 */
#include "assets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "options.h"
#include "protocol.h"

static bool
is_component(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && strlen(name) <= NAME_MAX;
}

static int
judge(const struct billet_asset *given, const struct sandbox_place *place, struct stat *status,
      struct billet_error *error)
{
    char resolved[PATH_MAX];
    bool through;
    int result = sandbox_path_follow(given->path, place, resolved, &through);
    if (result == 0 && lstat(resolved, status) < 0)
        result = -errno;
    if (result < 0)
        return billet_fail_errno(error, BILLET_CLASS_CONFIG, "asset_invalid", -result,
                                 "cannot show asset %.80s, %.400s", given->name, given->path);
    const char *why = sandbox_config_refuses(resolved);
    if (why != NULL && strncmp(resolved, "/root/", 6) == 0)
        why = NULL; /* tools of root's own, named by root */
    if (why != NULL && strncmp(resolved, SANDBOX_WORK, strlen(SANDBOX_WORK)) == 0)
        why = NULL; /* it is shown under another name */
    if (why == NULL && strcmp(resolved, given->path) != 0)
        why = "a link on its way was changed";
    if (why == NULL && through)
        why = "its way leads through the workspace, where the command could turn it elsewhere";
    if (why == NULL && !S_ISDIR(status->st_mode) && !S_ISREG(status->st_mode))
        why = "it is neither a file nor a directory";
    if (why == NULL && !is_component(given->name))
        why = "its name is no name of a file";
    if (why == NULL)
        return 0;
    return billet_fail(error, BILLET_CLASS_CONFIG, "asset_invalid",
                       "asset %.80s (%.400s) cannot be shown in a sandbox: %s", given->name,
                       given->path, why);
}

static int
take_one(struct sandbox_assets *assets, const struct billet_asset *given,
         const struct sandbox_place *place, struct billet_error *error)
{
    struct stat status, opened;
    int result = judge(given, place, &status, error);
    if (result < 0)
        return result;
    struct sandbox_asset *asset = &assets->items[assets->count];
    *asset = (struct sandbox_asset){.name = strdup(given->name),
                                    .path = strdup(given->path),
                                    .is_directory = S_ISDIR(status.st_mode),
                                    .fd = open(given->path, O_PATH | O_NOFOLLOW | O_CLOEXEC),
                                    .map_fd = -1};
    assets->count++;
    if (asset->name == NULL || asset->path == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    if (asset->fd < 0 || fstat(asset->fd, &opened) < 0)
        return billet_fail_errno(error, BILLET_CLASS_CONFIG, "asset_invalid", errno,
                                 "cannot open asset %.400s", given->path);
    if (opened.st_ino != status.st_ino || opened.st_dev != status.st_dev)
        return billet_fail(error, BILLET_CLASS_CONFIG, "asset_invalid",
                           "asset %.400s was replaced while it was looked at", given->path);
    return 0;
}

int
sandbox_assets_take(struct sandbox_assets *assets, const struct billet_realize *args,
                    const struct sandbox_place *place, struct billet_error *error)
{
    bool given = args->struct_size >=
                 offsetof(struct billet_realize, asset_count) + sizeof(args->asset_count);
    int result = 0;
    sandbox_assets_free(assets);
    if (given && args->asset_count > BILLET_ASSETS_MAX)
        return billet_fail(error, BILLET_CLASS_CONFIG, "asset_invalid",
                           "more than %d assets are given", BILLET_ASSETS_MAX);
    for (uint64_t i = 0; given && result == 0 && i < args->asset_count; i++)
        result = take_one(assets, &args->assets[i], place, error);
    return result;
}

int
sandbox_assets_map(struct sandbox_assets *assets, const struct sandbox_identity *identity,
                   struct billet_error *error)
{
    struct stat status;
    for (size_t i = 0; i < assets->count; i++) {
        struct sandbox_asset *asset = &assets->items[i];
        billet_close_fd(&asset->map_fd);
        if (!identity->drop)
            continue;
        if (fstat(asset->fd, &status) < 0)
            return billet_fail_errno(error, 0, "io_failed", errno, "cannot look at asset %.400s",
                                     asset->path);
        int made = sandbox_identity_namespace(identity, status.st_uid, status.st_gid);
        if (made < 0)
            continue;
        asset->map_fd = made;
        cleanup_fd int tried = sandbox_identity_mount(asset->fd, made);
        if (tried < 0)
            billet_close_fd(&asset->map_fd);
    }
    return 0;
}

void
sandbox_assets_free(struct sandbox_assets *assets)
{
    for (size_t i = 0; i < assets->count; i++) {
        free(assets->items[i].name);
        free(assets->items[i].path);
        billet_close_fd(&assets->items[i].fd);
        billet_close_fd(&assets->items[i].map_fd);
    }
    assets->count = 0;
}
