/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
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

bool
cli_git_needs_care(const struct billet_run_git *git)
{
    return git->report.outcome == BILLET_GIT_DIVERGED ||
           git->report.outcome == BILLET_GIT_UNRELATED || git->report.outcome == BILLET_GIT_FAILED;
}

static void
set_text(json_t *object, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_object_set_new(object, key, billet_json_bytes(text));
}

json_t *
cli_git_json(const struct billet_run_git *git)
{
    const struct billet_git_report *report = &git->report;
    if (!git->travels && git->note[0] == '\0')
        return NULL;
    json_t *object = json_pack("{s:b}", "travels", git->travels);
    set_text(object, "reason", git->note);
    if (!git->travels)
        return object;
    json_t *others = json_array();
    for (size_t i = 0; i < report->others.count; i++)
        json_array_append_new(others, billet_json_bytes(report->others.items[i]));
    json_object_set_new(object, "sent_objects", json_integer((json_int_t)git->sent_objects));
    json_object_set_new(object, "outcome", json_string(billet_git_outcome_name(report->outcome)));
    set_text(object, "branch", report->branch);
    set_text(object, "old", report->old_oid);
    set_text(object, "new", report->new_oid);
    set_text(object, "kept", report->kept);
    set_text(object, "note", report->note);
    json_object_set_new(object, "index_taken", json_integer((json_int_t)report->index_taken));
    json_object_set_new(object, "index_kept", json_integer((json_int_t)report->index_kept));
    json_object_set_new(object, "others", others);
    return object;
}

/* "main fast-forwarded to 0123456789ab" */
static void
describe(const struct billet_git_report *report, struct billet_buffer *line)
{
    const char *branch = report->branch[0] != '\0' ? report->branch : "HEAD";
    if (strncmp(branch, "refs/heads/", 11) == 0)
        branch += 11;
    switch (report->outcome) {
    case BILLET_GIT_FAST_FORWARD:
        billet_buffer_format(line, "%s is fast-forwarded to %.12s", branch, report->new_oid);
        break;
    case BILLET_GIT_MERGED:
        billet_buffer_format(line, "%s is merged with what was committed there, as %.12s", branch,
                             report->new_oid);
        break;
    case BILLET_GIT_DIVERGED:
        billet_buffer_format(line, "%s stays: the commits made there diverge", branch);
        break;
    case BILLET_GIT_UNRELATED:
        billet_buffer_format(line, "%s stays: the history there is unrelated", branch);
        break;
    case BILLET_GIT_FAILED:
        billet_buffer_format(line, "the history there was not taken in");
        break;
    default:
        break;
    }
}

void
cli_git_tell(const struct billet_run_git *git)
{
    cleanup_buffer struct billet_buffer line = BILLET_BUFFER_INIT;
    const struct billet_git_report *report = &git->report;
    if (!git->travels)
        return;
    describe(report, &line);
    if (report->note[0] != '\0' && line.length > 0)
        billet_buffer_format(&line, ": %s", report->note);
    if (report->kept[0] != '\0' && line.length > 0)
        billet_buffer_format(&line, "; they are at %s", report->kept);
    if (report->index_kept > 0)
        billet_buffer_format(&line, "%s%zu staged paths changed on both sides stay as here",
                             line.length > 0 ? "; " : "", report->index_kept);
    if (report->others.count > 0)
        billet_buffer_format(&line, "%s%zu more branch%s at %s%s", line.length > 0 ? "; " : "",
                             report->others.count, report->others.count == 1 ? " is" : "es are",
                             report->others.items[0], report->others.count > 1 ? " ..." : "");
    if (line.length > 0)
        billet_log(BILLET_LOG_WARNING, "git: %s", billet_buffer_text(&line));
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
