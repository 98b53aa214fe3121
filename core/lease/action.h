/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action.h - the names of activities, from action.def; never decides anything.
 */
#ifndef BILLET_LEASE_ACTION_H
#define BILLET_LEASE_ACTION_H

#include <stdbool.h>
#include <stddef.h>

struct billet_action {
    const char *name;
    const char *text;
};

/* Ends with an entry whose name is NULL. */
extern const struct billet_action billet_actions[];

bool billet_action_is_known(const char *name);
/* What it means, or NULL. */
const char *billet_action_text(const char *name);

#endif
