/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - loads one driver into this process, in the driver host only: trust,
 * note, dlopen, entry, and every promise of the table checked.
 */
#ifndef BILLET_DRIVER_LOADER_H
#define BILLET_DRIVER_LOADER_H

#include <billet/driver.h>

struct billet_loaded {
    struct billet_driver table; /* own copy; what the driver's is too old to have is NULL */
    struct billet_note note;
    int thread_model; /* the highest known model not above the driver's */
};

/* The driver is never unloaded. host must live as long as the process. */
int billet_driver_load(const char *name, const char *path, const struct billet_host *host,
                       struct billet_loaded *loaded, struct billet_error *error);

/* The checks of the table alone. source: what the driver returned, its struct_size believed. */
int billet_driver_table_check(const struct billet_driver *source, const struct billet_note *note,
                              struct billet_loaded *loaded, struct billet_error *error);

#endif
