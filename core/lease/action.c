/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/action.h"

#include <string.h>

const struct billet_action billet_actions[] = {
#define ACTION(name, text) {name, text},
#include "lease/action.def"
#undef ACTION
    {NULL, NULL},
};

const char *
billet_action_text(const char *name)
{
    for (const struct billet_action *action = billet_actions; action->name != NULL; action++)
        if (strcmp(action->name, name) == 0)
            return action->text;
    return NULL;
}

bool
billet_action_is_known(const char *name)
{
    return billet_action_text(name) != NULL;
}
