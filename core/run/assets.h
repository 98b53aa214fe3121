/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assets.h - files and directories of this machine that the commands of a lease may read besides
 * the workspace: judged before the lease exists, brought there once it does, never brought back.
 *
 * Commands find them in the directory that BILLET_ASSETS names. A driver that shares this machine's
 * files without confining the command gets a directory of links to them, STATE/travel/LEASE/assets;
 * one that confines it shows them itself (realize); to any other they are carried, each content
 * once (core/guest/assets.h). The lease's facts hold what was given, for those who take it up.
 */
#ifndef BILLET_RUN_ASSETS_H
#define BILLET_RUN_ASSETS_H

#include <billet/driver.h>
#include <stdbool.h>

#include "base/json.h"

struct billet_session;

struct billet_run_asset {
    char *name;
    char *path;     /* absolute, without links */
    bool is_file;   /* else a directory */
    bool sent;      /* its content was not there yet */
    uint64_t files; /* of what was sent */
    uint64_t bytes;
    size_t left_out; /* entries that did not travel */
};

struct billet_run_assets {
    struct billet_run_asset items[BILLET_ASSETS_MAX];
    size_t count;
    char *directory; /* in the environment, once it is known */
};

/* What the environment's key and the request name, judged; also whether the driver can. */
int billet_session_assets_open(struct billet_session *session, struct billet_error *error);
/* The same for a lease that is taken up: what its facts say. */
int billet_session_assets_recall(struct billet_session *session, const json_t *facts,
                                 struct billet_error *error);
/* Into the facts of the lease; nothing without assets. */
int billet_session_assets_record(const struct billet_session *session, json_t *facts,
                                 struct billet_error *error);
/* The driver has to show them: they go with each realize. */
bool billet_session_assets_by_driver(const struct billet_session *session);
/* On an active lease, before its commands: bring them there, and tell commands where. again: only
 * the latter. */
int billet_session_assets_bring(struct billet_session *session, bool again,
                                struct billet_error *error);
/* {"directory": ..., "entries": [...]}, or NULL without assets. */
json_t *billet_run_assets_json(const struct billet_run_assets *assets);
void billet_run_assets_free(struct billet_run_assets *assets);

#endif
