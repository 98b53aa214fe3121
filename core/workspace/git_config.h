/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_config.h - what of a repository's configuration may travel: an allow-list of settings
 * that name no program, no file and no secret. Also where the identity of commits comes from.
 *
 * git itself takes the file apart (config --file --no-includes --list, in the quarantine): as data,
 * none of it is in force.
 */
#ifndef BILLET_WORKSPACE_GIT_CONFIG_H
#define BILLET_WORKSPACE_GIT_CONFIG_H

#include <billet/types.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "workspace/git_program.h"

struct billet_git_config {
    struct billet_buffer text; /* a file of what travels */
    char name[256];            /* user.name, user.email; "": none */
    char email[256];
    char obstacle[160]; /* an extension that is not understood; "": none */
    bool sha256;
};

/* content: of the repository's file. */
int billet_git_config_read(const struct billet_git_program *program,
                           const struct billet_buffer *content, struct billet_git_config *config,
                           struct billet_error *error);
/* user.name and user.email of the caller's own configuration, where the repository gives none. */
void billet_git_config_caller(const struct billet_git_program *program,
                              struct billet_git_config *config);
/* extensions.objectFormat = sha256, by a glance: the quarantine is made before git reads it. */
bool billet_git_config_is_sha256(const struct billet_buffer *content);
void billet_git_config_free(struct billet_git_config *config);

/* The URL without user information and query; false: of no known kind, does not travel. The user
 * name of ssh stays, for it is part of the address. */
bool billet_git_url_clean(const char *url, char *to, size_t size);

#endif
