/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define PATHS_IN_JSON 100
#define CONFLICTS_TOLD 20
#define QUIET_NS (BILLET_NS_PER_SECOND / 2)
#define EVERY_NS (BILLET_NS_PER_SECOND / 10)

static json_t *
item_json(const struct billet_report_item *item)
{
    json_t *object = json_pack("{s:s}", "kind", billet_report_kind_name(item->kind));
    if (object == NULL)
        return NULL;
    json_object_set_new(object, "path", billet_json_bytes(item->path));
    if (item->beside != NULL)
        json_object_set_new(object, "beside", billet_json_bytes(item->beside));
    if (item->kind == BILLET_REPORT_SKIPPED)
        json_object_set_new(object, "reason", json_string(billet_reason_name(item->reason)));
    return object;
}

/* What somebody has to act on comes before what was only left out. */
static void
add_paths(const struct billet_report *report, json_t *paths)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < report->count && json_array_size(paths) < PATHS_IN_JSON; i++) {
            bool skipped = report->items[i].kind == BILLET_REPORT_SKIPPED;
            if (skipped == (pass == 1))
                json_array_append_new(paths, item_json(&report->items[i]));
        }
}

json_t *
cli_report_json(const struct billet_report *report)
{
    json_t *object = json_object();
    json_t *paths = json_array();
    for (int kind = BILLET_REPORT_WRITTEN; kind < BILLET_REPORT_KINDS; kind++)
        json_object_set_new(object, billet_report_kind_name(kind),
                            json_integer((json_int_t)report->totals[kind]));
    add_paths(report, paths);
    json_object_set_new(object, "truncated", json_boolean(report->count > json_array_size(paths)));
    json_object_set_new(object, "paths", paths);
    return object;
}

static void
tell_item(const struct billet_report_item *item)
{
    char path[512];
    char beside[512];
    billet_text_escape(path, sizeof(path), item->path);
    billet_text_escape(beside, sizeof(beside), item->beside != NULL ? item->beside : "");
    switch (item->kind) {
    case BILLET_REPORT_CONFLICT:
        billet_log(BILLET_LOG_ERROR, "conflict: %s changed on both sides; theirs is %s", path,
                   beside);
        return;
    case BILLET_REPORT_KEPT:
        billet_log(BILLET_LOG_ERROR, "conflict: %s was deleted there and changed here; it is kept",
                   path);
        return;
    case BILLET_REPORT_PRESERVED:
        billet_log(BILLET_LOG_WARNING, "%s changed there and is preserved here", path);
        return;
    default:
        billet_log(BILLET_LOG_WARNING, "%s was not brought back: git would run what it says", path);
    }
}

/* What nobody excluded by name and yet is lost with the lease. */
static bool
is_surprising(const struct billet_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct billet_report_item *item = &report->items[i];
        if (item->kind == BILLET_REPORT_SKIPPED &&
            (item->reason == BILLET_REASON_IGNORED || item->reason == BILLET_REASON_HEAVY))
            return true;
    }
    return false;
}

void
cli_report_tell(const struct billet_report *report)
{
    size_t told = 0;
    size_t conflicts = report->totals[BILLET_REPORT_CONFLICT] + report->totals[BILLET_REPORT_KEPT];
    for (size_t i = 0; i < report->count && told < CONFLICTS_TOLD; i++)
        if (report->items[i].kind != BILLET_REPORT_SKIPPED) {
            tell_item(&report->items[i]);
            told++;
        }
    if (conflicts > CONFLICTS_TOLD)
        billet_log(BILLET_LOG_ERROR, "%zu conflicts altogether; --json lists more", conflicts);
    if (is_surprising(report))
        billet_log(BILLET_LOG_WARNING,
                   "%zu paths stayed behind that .gitignore names or that are heavy directories; "
                   "workspace_ignored = yes brings them back",
                   report->totals[BILLET_REPORT_SKIPPED]);
    else if (report->totals[BILLET_REPORT_SKIPPED] > 0)
        billet_log(BILLET_LOG_INFO, "%zu paths stayed behind (excluded)",
                   report->totals[BILLET_REPORT_SKIPPED]);
}

int
cli_progress_tell(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct cli_progress *progress = context;
    int64_t now = billet_clock_monotonic();
    if (progress->began_ns == 0)
        progress->began_ns = now;
    if (total_bytes == 0 || now - progress->began_ns < QUIET_NS ||
        now - progress->told_ns < EVERY_NS || isatty(STDERR_FILENO) != 1)
        return 0;
    progress->told_ns = now;
    progress->told = true;
    fprintf(stderr, "\rworkspace: %.1f MiB of %.1f MiB, %u %%  ", (double)done_bytes / 1048576,
            (double)total_bytes / 1048576,
            (unsigned)((double)done_bytes * 100 / (double)total_bytes));
    fflush(stderr);
    return 0;
}

void
cli_progress_end(struct cli_progress *progress)
{
    if (progress->told)
        fprintf(stderr, "\r%60s\r", "");
    *progress = (struct cli_progress){0};
}
