/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - what travels and what stays: the caller's patterns, .gitignore files,
 * heavy directories, the repository itself. One judgement for both directions.
 *
 * .gitignore files are read by our own matcher, not by git: git run in a tree that a workload
 * wrote would run what its configuration names. A file that is tracked although a pattern ignores
 * it travels, as in git (see index.h).
 */
#ifndef BILLET_WORKSPACE_FILTER_H
#define BILLET_WORKSPACE_FILTER_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "workspace/manifest.h"
#include "workspace/pattern.h"
#include "workspace/root.h"

#define BILLET_FILTER_WITH_IGNORED 0x1u /* let what .gitignore names travel */
#define BILLET_FILTER_WITH_HEAVY 0x2u   /* node_modules, .venv, target ... too */
#define BILLET_FILTER_WITH_GIT 0x4u     /* .git as plain files too (overlay, in place) */
#define BILLET_FILTER_OWN_GIT 0x10u     /* .git of the top is never a file that travels (git.h) */
#define BILLET_FILTER_TRUST_GIT 0x8u    /* also hooks and configuration of .git coming back */

struct billet_filter {
    struct billet_patterns exclude;  /* neither go out nor come back */
    struct billet_patterns preserve; /* go out, and are never changed or deleted coming back */
    unsigned flags;
};

#define BILLET_FILTER_INIT \
    {                      \
        {0}, {0}, 0        \
    }

void billet_filter_free(struct billet_filter *filter);

/* "node_modules", ".venv" ...; "target" beside a Cargo.toml or pom.xml. directory_fd holds name. */
bool billet_filter_is_heavy(int directory_fd, const char *name);

/* "excluded", "ignored", ...: for reports. */
const char *billet_reason_name(int reason);

/* What of a .git directory must not come back, because git would run it: anything but objects,
 * refs, logs, HEAD and its like, index, packed-refs. */
bool billet_filter_guards(const char *path);

/*
 * A walk's memory of the .gitignore files above one directory. Nodes belong to the sieve that made
 * them and live as long; several threads may make them.
 */
struct billet_ignore;
struct billet_sieve;

int billet_sieve_new(const struct billet_filter *filter, const struct billet_root *root,
                     struct billet_sieve **sieve, struct billet_error *error);
void billet_sieve_free(struct billet_sieve *sieve);
/* The node for a directory (path "" is the root), given its parent's. NULL after a failure. */
const struct billet_ignore *billet_sieve_enter(struct billet_sieve *sieve,
                                               const struct billet_ignore *parent, int directory_fd,
                                               const char *path, struct billet_error *error);
/* The reason why path (in that directory, its last component name) stays, or BILLET_REASON_NONE. */
int billet_sieve_entry(const struct billet_sieve *sieve, const struct billet_ignore *ignore,
                       int directory_fd, const char *path, const char *name, bool directory);
/* The same for any path, looking at each directory above it in the root; *reason is set. */
int billet_sieve_path(struct billet_sieve *sieve, const char *path, bool directory, int *reason,
                      struct billet_error *error);

#endif
