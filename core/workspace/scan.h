/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - looks at a tree and gives its manifest. Reads a file only when its hash
 * is wanted and an earlier manifest does not prove that it is unchanged. Changes nothing.
 */
#ifndef BILLET_WORKSPACE_SCAN_H
#define BILLET_WORKSPACE_SCAN_H

#include "workspace/filter.h"
#include "workspace/limits.h"
#include "workspace/manifest.h"
#include "workspace/root.h"

/* Clock ticks of file systems: what was written so shortly before the look is racy. */
#define BILLET_SCAN_TICK_NS INT64_C(20000000)

#define BILLET_HASH_RACY 0 /* only files whose stat fields will not prove anything */
#define BILLET_HASH_ALL 1
#define BILLET_HASH_NONE 2

struct billet_scan {
    const struct billet_filter *filter;    /* NULL: everything that can travel */
    const struct billet_manifest *earlier; /* sorted, of the same tree; or NULL */
    const struct billet_limits *limits;    /* NULL: the defaults */
    int hash;                              /* BILLET_HASH_* */
    unsigned threads;                      /* 0: two where there are two processors */
};

/*
 * *manifest is empty before; sorted afterwards. What does not travel is in it as
 * BILLET_ENTRY_OTHER with its reason and nothing of what is below it; a name that cannot travel
 * (control bytes) is only counted in *nameless (may be NULL).
 */
int billet_scan(const struct billet_root *root, const struct billet_scan *scan,
                struct billet_manifest *manifest, size_t *nameless, struct billet_error *error);

/* The stat fields as an entry without path; type OTHER for a special file. */
void billet_scan_fill(struct billet_entry *entry, const struct stat *status);

#endif
