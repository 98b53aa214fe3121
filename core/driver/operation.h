/* SPDX-License-Identifier: Apache-2.0 */
/*
 * operation.h - the operations as numbers and a table, made from operation.def.
 * Owns no behaviour beyond look-up.
 */
#ifndef BILLET_DRIVER_OPERATION_H
#define BILLET_DRIVER_OPERATION_H

#include <billet/driver.h>
#include <stdbool.h>

enum billet_operation_number {
#define OPERATION(name, field, seconds, required, capability) BILLET_OPERATION_##name,
#include "driver/operation.def"
#undef OPERATION
    BILLET_OPERATION_COUNT
};

struct billet_operation {
    const char *name;
    int64_t deadline_ns; /* of one call by default; 0: none */
    bool required;
    uint64_t capability;
};

extern const struct billet_operation billet_operations[BILLET_OPERATION_COUNT];

/* The number of that name, or -1. */
int billet_operation_by_name(const char *name);
/* Bit n: the n-th operation has a callback in the table. */
uint64_t billet_operation_callbacks(const struct billet_driver *driver);

#endif
