/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_private.h - what git.c, git_send.c, git_receive.c and git_base.c share: one repository on its
 * way there and back.
 */
#ifndef BILLET_WORKSPACE_GIT_PRIVATE_H
#define BILLET_WORKSPACE_GIT_PRIVATE_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "workspace/git.h"
#include "workspace/git_config.h"
#include "workspace/journal.h"
#include "workspace/path.h"

struct billet_git {
    struct billet_git_options options;
    struct billet_git_repository repository;
    struct billet_git_program program;
    struct billet_git_config config;
    struct billet_buffer shallow;
    struct billet_git_far_state here;        /* as it was at begin, with all refs */
    struct billet_git_far_state other;       /* as an earlier process, or their side, had it */
    struct billet_git_far_state seen;        /* of the last receive */
    const struct billet_git_far_state *base; /* what both sides had: here or other */
    struct billet_git_refs arrived;          /* refs/billet/LEASE/... to be made */
    struct billet_buffer new_revisions;
    struct billet_git_plan plan;
    struct billet_git_report report;
    bool received;
};

/* git_send.c: lines of PREFIX OID for revisions. */
void billet_git_put_oid(struct billet_buffer *to, const char *prefix, const char *oid);
/* For each oid of the lines whether it is here, and of what type: "OID TYPE" lines or "OID
 * missing". */
int billet_git_look_up(const struct billet_git *git, const struct billet_buffer *oids,
                       struct billet_buffer *found, struct billet_error *error);
bool billet_git_next_found(const char **at, char oid[BILLET_GIT_OID_SIZE], char type[16]);
/* "^OID" for each of the refs whose commit or tag is here. */
int billet_git_put_known(const struct billet_git *git, const struct billet_git_refs *known,
                         struct billet_buffer *revisions, struct billet_error *error);

#endif
