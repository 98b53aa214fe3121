/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/record_fields.h"

static const char *const state_names[] = {
    [BILLET_LEASE_ACQUIRING] = "acquiring", [BILLET_LEASE_ACTIVE] = "active",
    [BILLET_LEASE_RETAINED] = "retained",   [BILLET_LEASE_RELEASING] = "releasing",
    [BILLET_LEASE_RELEASED] = "released",   [BILLET_LEASE_FAILED] = "failed",
};

#define STATE_LAST BILLET_LEASE_FAILED

#define TEXT(member)                                                      \
    {                                                                     \
#member, BILLET_FIELD_TEXT, offsetof(struct billet_lease, member) \
    }
#define INTEGER(member)                                                      \
    {                                                                        \
#member, BILLET_FIELD_INTEGER, offsetof(struct billet_lease, member) \
    }

const struct billet_field billet_lease_fields[BILLET_LEASE_FIELD_COUNT] = {
    TEXT(id),
    TEXT(tenant),
    TEXT(environment),
    TEXT(environment_id),
    TEXT(driver),
    TEXT(run),
    TEXT(agent),
    TEXT(issue),
    TEXT(workspace),
    TEXT(policy),
    {"state", BILLET_FIELD_STATE, offsetof(struct billet_lease, state)},
    INTEGER(fence),
    INTEGER(generation),
    TEXT(ref),
    TEXT(facts),
    TEXT(configuration),
    TEXT(directory),
    TEXT(owner),
    TEXT(command),
    TEXT(outcome),
    TEXT(reason),
    INTEGER(cleanup_attempts),
    INTEGER(next_cleanup_ns),
    INTEGER(created_ns),
    INTEGER(updated_ns),
    INTEGER(expires_ns),
    INTEGER(ended_ns),
};

const char *
billet_lease_state_name(enum billet_lease_state state)
{
    if ((int)state < BILLET_LEASE_ACQUIRING || state > STATE_LAST)
        return "unknown";
    return state_names[state];
}

enum billet_lease_state
billet_lease_state_by_name(const char *name)
{
    for (int i = BILLET_LEASE_ACQUIRING; i <= STATE_LAST; i++)
        if (strcmp(state_names[i], name) == 0)
            return (enum billet_lease_state)i;
    return (enum billet_lease_state)0;
}

bool
billet_lease_state_is_final(enum billet_lease_state state)
{
    return state == BILLET_LEASE_RELEASED || state == BILLET_LEASE_FAILED;
}

void
billet_lease_free(struct billet_lease *lease)
{
    if (lease == NULL)
        return;
    for (size_t i = 0; i < BILLET_LEASE_FIELD_COUNT; i++)
        if (billet_lease_fields[i].kind == BILLET_FIELD_TEXT)
            free(*billet_field_text(lease, &billet_lease_fields[i]));
    memset(lease, 0, sizeof(*lease));
}

int
billet_lease_copy(struct billet_lease *to, const struct billet_lease *from,
                  struct billet_error *error)
{
    struct billet_lease copy = *from;
    bool failed = false;
    for (size_t i = 0; i < BILLET_LEASE_FIELD_COUNT; i++) {
        if (billet_lease_fields[i].kind != BILLET_FIELD_TEXT)
            continue;
        char **text = billet_field_text(&copy, &billet_lease_fields[i]);
        *text = strdup(*text != NULL ? *text : "");
        failed = failed || *text == NULL;
    }
    if (failed) {
        billet_lease_free(&copy);
        return billet_error_no_memory(error);
    }
    *to = copy;
    return 0;
}
