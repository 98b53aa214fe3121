/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what was brought back into a workspace, as words and as JSON; and how
 * far a transfer is, on a terminal.
 */
#ifndef BILLET_CLI_REPORT_H
#define BILLET_CLI_REPORT_H

#include <stdbool.h>

#include "base/json.h"
#include "run/travel.h"
#include "workspace/workspace.h"

/* Counts by kind, and the paths that somebody has to know of: at most 100. */
json_t *cli_report_json(const struct billet_report *report);
/* What became of the repository; NULL when there was nothing of the kind. */
json_t *cli_git_json(const struct billet_run_git *git);
/* One line, when a branch moved, commits wait beside it, or something is to be said. */
void cli_git_tell(const struct billet_run_git *git);
/* Commits came back that are on no branch of theirs here. */
bool cli_git_needs_care(const struct billet_run_git *git);
/* One line for each conflict (at most 20), and one for what was left out. */
void cli_report_tell(const struct billet_report *report);

/* "bringing in: 12 MiB of 40 MiB, 30 %" on stderr when that is a terminal, not more often than ten
 * times a second, and nothing in the first half second. context: a struct cli_progress. */
struct cli_progress {
    int64_t began_ns;
    int64_t told_ns;
    bool told;
};
int cli_progress_tell(void *context, uint64_t done_bytes, uint64_t total_bytes);
/* Wipe the line. */
void cli_progress_end(struct cli_progress *progress);

#endif
