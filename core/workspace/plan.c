/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "workspace/path.h"

/* Room for one item more. */
static int
grow(void **items, size_t count, size_t *capacity, size_t size, struct billet_error *error)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity * 2 + 64;
    void *more = reallocarray(*items, wanted, size);
    if (more == NULL)
        return billet_error_no_memory(error);
    *items = more;
    *capacity = wanted;
    return 0;
}

static int
add_change(struct billet_changes *changes, const struct billet_change *change,
           struct billet_error *error)
{
    void *items = changes->items;
    int result = grow(&items, changes->count, &changes->capacity, sizeof(*changes->items), error);
    changes->items = items;
    if (result == 0)
        changes->items[changes->count++] = *change;
    return result;
}

int
billet_changes_put(struct billet_changes *changes, const struct billet_entry *entry,
                   struct billet_error *error)
{
    struct billet_change change = {.path = entry->path, .entry = entry, .kind = BILLET_CHANGE_PUT};
    return add_change(changes, &change, error);
}

int
billet_changes_delete(struct billet_changes *changes, const char *path, size_t length,
                      struct billet_error *error)
{
    struct billet_change change = {.path = billet_manifest_text(&changes->names, path, length),
                                   .kind = BILLET_CHANGE_DELETE};
    return change.path == NULL ? billet_error_no_memory(error)
                               : add_change(changes, &change, error);
}

static int
compare_changes(const void *left, const void *right)
{
    const struct billet_change *a = left;
    const struct billet_change *b = right;
    int order = billet_path_compare(a->path, strlen(a->path), b->path, strlen(b->path));
    return order != 0 ? order : b->kind - a->kind;
}

void
billet_changes_sort(struct billet_changes *changes)
{
    size_t kept = 0;
    if (changes->count > 1)
        qsort(changes->items, changes->count, sizeof(*changes->items), compare_changes);
    for (size_t i = 0; i < changes->count; i++)
        if (kept == 0 || compare_changes(&changes->items[kept - 1], &changes->items[i]) != 0)
            changes->items[kept++] = changes->items[i];
    changes->count = kept;
}

void
billet_changes_free(struct billet_changes *changes)
{
    free(changes->items);
    billet_manifest_free(&changes->names);
    *changes = (struct billet_changes)BILLET_CHANGES_INIT;
}

int
billet_changes_between(const struct billet_manifest *from, const struct billet_manifest *to,
                       struct billet_changes *changes, struct billet_error *error)
{
    size_t i = 0;
    size_t k = 0;
    int result = 0;
    while (result == 0 && (i < from->count || k < to->count)) {
        const struct billet_entry *old = i < from->count ? &from->entries[i] : NULL;
        const struct billet_entry *new = k < to->count ? &to->entries[k] : NULL;
        int order = old == NULL   ? 1
                    : new == NULL ? -1
                                  : billet_path_compare(old->path, old->path_length, new->path,
                                                        new->path_length);
        if (order < 0 && old->type != BILLET_ENTRY_OTHER)
            result = billet_changes_delete(changes, old->path, old->path_length, error);
        else if (order > 0 && new->type != BILLET_ENTRY_OTHER)
            result = billet_changes_put(changes, new, error);
        else if (order == 0 && new->type != BILLET_ENTRY_OTHER && !billet_entry_same(old, new))
            result = billet_changes_put(changes, new, error);
        i += order <= 0;
        k += order >= 0;
    }
    return result;
}

int
billet_plan_add(struct billet_plan *plan, const struct billet_operation *operation,
                struct billet_error *error)
{
    void *items = plan->items;
    int result = grow(&items, plan->count, &plan->capacity, sizeof(*plan->items), error);
    plan->items = items;
    if (result < 0)
        return result;
    struct billet_operation copy = *operation;
    copy.path = billet_manifest_text(&plan->names, operation->path, strlen(operation->path));
    if (copy.path == NULL)
        return billet_error_no_memory(error);
    plan->items[plan->count++] = copy;
    return 0;
}

void
billet_plan_free(struct billet_plan *plan)
{
    free(plan->items);
    billet_manifest_free(&plan->names);
    *plan = (struct billet_plan)BILLET_PLAN_INIT;
}

int
billet_report_add(struct billet_report *report, int kind, const char *path, const char *beside,
                  int reason, struct billet_error *error)
{
    report->totals[kind]++;
    if (kind == BILLET_REPORT_WRITTEN || kind == BILLET_REPORT_DELETED ||
        (kind == BILLET_REPORT_SKIPPED && report->totals[kind] > 1000))
        return 0;
    void *items = report->items;
    int result = grow(&items, report->count, &report->capacity, sizeof(*report->items), error);
    report->items = items;
    if (result < 0)
        return result;
    struct billet_report_item item = {
        .path = strdup(path), .beside = billet_text_dup(beside), .kind = kind, .reason = reason};
    if (item.path == NULL || (beside != NULL && item.beside == NULL)) {
        free(item.path);
        free(item.beside);
        return billet_error_no_memory(error);
    }
    report->items[report->count++] = item;
    return 0;
}

bool
billet_report_has_conflicts(const struct billet_report *report)
{
    return report->totals[BILLET_REPORT_CONFLICT] + report->totals[BILLET_REPORT_KEPT] > 0;
}

const char *
billet_report_kind_name(int kind)
{
    static const char *const names[BILLET_REPORT_KINDS] = {
        "none", "written", "deleted", "conflict", "kept", "skipped", "preserved", "guarded"};
    return kind > 0 && kind < BILLET_REPORT_KINDS ? names[kind] : "unknown";
}

void
billet_report_free(struct billet_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->items[i].path);
        free(report->items[i].beside);
    }
    free(report->items);
    *report = (struct billet_report)BILLET_REPORT_INIT;
}
