/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/activity.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

json_t *
cli_activity_json(const struct billet_activity *activity)
{
    char time[32];
    billet_time_format(time, sizeof(time), activity->time_ns);
    json_t *object = json_pack(
        "{s:I, s:s, s:s, s:s, s:I}", "sequence", (json_int_t)activity->sequence, "time", time,
        "action", activity->action, "actor", activity->actor, "fence", (json_int_t)activity->fence);
    json_object_set_new(object, "details", cli_json_column(activity->details));
    const struct {
        const char *key;
        const char *value;
    } ids[] = {{"tenant", activity->tenant}, {"environment", activity->environment},
               {"lease", activity->lease},   {"run", activity->run},
               {"agent", activity->agent},   {"issue", activity->issue}};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        json_object_set_new(object, ids[i].key,
                            json_string(ids[i].value != NULL ? ids[i].value : ""));
    return object;
}

void
cli_activity_cells(const struct billet_activity *activity, struct cli_table *table)
{
    char text[64];
    billet_time_format(text, sizeof(text), activity->time_ns);
    cli_table_cell(table, text);
    cli_table_cell(table, activity->action);
    cli_table_cell(table, activity->actor);
    snprintf(text, sizeof(text), "%" PRId64, activity->fence);
    cli_table_cell(table, text);
    cli_table_cell(table, strcmp(activity->details, "{}") != 0 ? activity->details : "");
}
