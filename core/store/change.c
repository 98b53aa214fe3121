/* SPDX-License-Identifier: Apache-2.0 */
#include "store/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/record_fields.h"

int
billet_change_texts(const struct billet_lease_change *change, struct billet_lease *difference,
                    struct billet_error *error)
{
    const struct {
        const char *given;
        char **to;
    } texts[] = {
        {change->ref, &difference->ref},         {change->facts, &difference->facts},
        {change->owner, &difference->owner},     {change->directory, &difference->directory},
        {change->command, &difference->command}, {change->outcome, &difference->outcome},
        {change->reason, &difference->reason},   {change->run, &difference->run},
        {change->issue, &difference->issue},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].given == NULL)
            continue;
        *texts[i].to = strdup(texts[i].given);
        if (*texts[i].to == NULL) {
            billet_lease_free(difference);
            return billet_error_no_memory(error);
        }
    }
    return 0;
}

void
billet_change_apply(const struct billet_lease_change *change, struct billet_lease *difference,
                    struct billet_lease *lease)
{
    for (size_t i = 0; i < BILLET_LEASE_FIELD_COUNT; i++) {
        const struct billet_field *field = &billet_lease_fields[i];
        if (field->kind == BILLET_FIELD_INTEGER)
            *billet_field_integer(lease, field) = *billet_field_integer(difference, field);
        if (field->kind != BILLET_FIELD_TEXT || *billet_field_text(difference, field) == NULL)
            continue;
        free(*billet_field_text(lease, field));
        *billet_field_text(lease, field) = *billet_field_text(difference, field);
    }
    lease->state = change->state;
    *difference = (struct billet_lease){0};
}

int64_t *
billet_change_number(struct billet_lease *lease, int column)
{
    for (size_t i = 0; i < BILLET_LEASE_FIELD_COUNT; i++)
        if (billet_lease_fields[i].kind == BILLET_FIELD_INTEGER && column-- == 0)
            return billet_field_integer(lease, &billet_lease_fields[i]);
    return NULL;
}
