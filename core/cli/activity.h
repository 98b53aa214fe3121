/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activity.h - a row of what happened, as verbs show it: the same for one lease and for all.
 */
#ifndef BILLET_CLI_ACTIVITY_H
#define BILLET_CLI_ACTIVITY_H

#include <jansson.h>

#include "cli/output.h"
#include "store/record.h"

json_t *cli_activity_json(const struct billet_activity *activity);
/* Five cells: time, action, actor, fence, details. */
void cli_activity_cells(const struct billet_activity *activity, struct cli_table *table);

#endif
