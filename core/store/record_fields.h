/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_fields.h - the members of struct billet_lease as a table, in the order
 * in which every store keeps its columns; the one place that lists them twice.
 */
#ifndef BILLET_STORE_RECORD_FIELDS_H
#define BILLET_STORE_RECORD_FIELDS_H

#include "store/record.h"

enum billet_field_kind {
    BILLET_FIELD_TEXT,
    BILLET_FIELD_INTEGER,
    BILLET_FIELD_STATE, /* kept as its name */
};

struct billet_field {
    const char *name;
    enum billet_field_kind kind;
    size_t offset;
};

#define BILLET_LEASE_FIELD_COUNT 27
extern const struct billet_field billet_lease_fields[BILLET_LEASE_FIELD_COUNT];

static inline char **
billet_field_text(struct billet_lease *lease, const struct billet_field *field)
{
    return (char **)(void *)((char *)lease + field->offset);
}

static inline int64_t *
billet_field_integer(struct billet_lease *lease, const struct billet_field *field)
{
    return (int64_t *)(void *)((char *)lease + field->offset);
}

#endif
