/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - lists that the merge works on: what changed elsewhere, what is to be
 * done here, and what to tell the user. Data only.
 */
#ifndef BILLET_WORKSPACE_PLAN_H
#define BILLET_WORKSPACE_PLAN_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "workspace/manifest.h"

/* --- what changed elsewhere ----------------------------------------------------------------- */

#define BILLET_CHANGE_PUT 1
#define BILLET_CHANGE_DELETE 2

struct billet_change {
    const char *path;                 /* owned by the list or what entry belongs to */
    const struct billet_entry *entry; /* of a PUT, in a stage's manifest */
    int kind;
};

struct billet_changes {
    struct billet_change *items;
    size_t count;
    size_t capacity;
    struct billet_manifest names; /* owns the paths that were copied */
};

#define BILLET_CHANGES_INIT \
    {                       \
        0                   \
    }

int billet_changes_put(struct billet_changes *changes, const struct billet_entry *entry,
                       struct billet_error *error);
int billet_changes_delete(struct billet_changes *changes, const char *path, size_t length,
                          struct billet_error *error);
/* By path, the deletion of a path before its replacement; the same change twice is one. */
void billet_changes_sort(struct billet_changes *changes);
void billet_changes_free(struct billet_changes *changes);

/* What must be done to make `from` (sorted) look as `to` (sorted): PUTs of what is new or differs
 * (billet_entry_same), DELETEs of what is gone. What does not travel is left alone. */
int billet_changes_between(const struct billet_manifest *from, const struct billet_manifest *to,
                           struct billet_changes *changes, struct billet_error *error);

/* --- what is to be done here ---------------------------------------------------------------- */

#define BILLET_OPERATION_REMOVE 1           /* a file or link */
#define BILLET_OPERATION_REMOVE_DIRECTORY 2 /* when it is empty */
#define BILLET_OPERATION_MAKE_DIRECTORY 3
#define BILLET_OPERATION_PLACE 4 /* move staged file `number` to path */
#define BILLET_OPERATION_MODE 5  /* chmod of a directory */

/* What must still be there for the operation to be right. */
struct billet_expected {
    uint8_t type; /* BILLET_ENTRY_*, 0: nothing */
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns;
};

struct billet_operation {
    const char *path;
    uint8_t kind;
    uint32_t mode;
    uint64_t number;
    uint64_t staged_inode;
    struct billet_expected expected;
};

struct billet_plan {
    struct billet_operation *items;
    size_t count;
    size_t capacity;
    struct billet_manifest names;
};

#define BILLET_PLAN_INIT \
    {                    \
        0                \
    }

/* Copies the path. */
int billet_plan_add(struct billet_plan *plan, const struct billet_operation *operation,
                    struct billet_error *error);
void billet_plan_free(struct billet_plan *plan);

/* --- what to tell --------------------------------------------------------------------------- */

#define BILLET_REPORT_WRITTEN 1   /* made or replaced */
#define BILLET_REPORT_DELETED 2   /* */
#define BILLET_REPORT_CONFLICT 3  /* changed on both sides; theirs is at .beside */
#define BILLET_REPORT_KEPT 4      /* deleted there, changed here: kept */
#define BILLET_REPORT_SKIPPED 5   /* does not travel; .reason */
#define BILLET_REPORT_PRESERVED 6 /* named by the preserve list */
#define BILLET_REPORT_GUARDED 7   /* git would run it: not brought back */
#define BILLET_REPORT_KINDS 8

struct billet_report_item {
    char *path;
    char *beside; /* or NULL */
    int kind;
    int reason;
};

struct billet_report {
    struct billet_report_item *items; /* all but WRITTEN, DELETED and repeated SKIPPED ones */
    size_t count;
    size_t capacity;
    size_t totals[BILLET_REPORT_KINDS]; /* by kind, of all */
    bool recovered;                     /* an interrupted earlier run was completed first */
    uint64_t received_bytes;
};

#define BILLET_REPORT_INIT \
    {                      \
        0                  \
    }

int billet_report_add(struct billet_report *report, int kind, const char *path, const char *beside,
                      int reason, struct billet_error *error);
/* Something was changed on both sides. */
bool billet_report_has_conflicts(const struct billet_report *report);
const char *billet_report_kind_name(int kind);
void billet_report_free(struct billet_report *report);

#endif
