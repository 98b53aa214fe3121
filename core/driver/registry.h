/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - which drivers are installed, enabled and sound, judged without
 * running any of their code.
 *
 * Looks for driver_NAME.so in the driver directories, in order; never loads. A name found twice is
 * reported with both paths in the reason of a READY entry, and the first counts.
 */
#ifndef BILLET_DRIVER_REGISTRY_H
#define BILLET_DRIVER_REGISTRY_H

#include <billet/driver.h>

#include "config/configuration.h"

#define BILLET_DRIVER_READY 1    /* installed, enabled, note fits */
#define BILLET_DRIVER_DISABLED 2 /* installed, not enabled; reason says the line to write */
#define BILLET_DRIVER_BROKEN 3   /* untrusted path, no note, wrong ABI, truncated ... */
#define BILLET_DRIVER_MISSING 4  /* enabled but not installed */

struct billet_driver_entry {
    char name[BILLET_NAME_MAX];
    char path[4096];
    int state;
    bool has_note;
    struct billet_note note;
    char code[BILLET_CODE_MAX];
    char reason[BILLET_MESSAGE_MAX];
};

struct billet_registry; /* opaque */

/* directories: NULL-terminated, absolute. configuration may be NULL (nothing but the shipped
 * default enabled). */
int billet_registry_open(const char *const *directories,
                         const struct billet_configuration *configuration,
                         struct billet_registry **registry, struct billet_error *error);
void billet_registry_free(struct billet_registry *registry);
size_t billet_registry_count(const struct billet_registry *registry);
const struct billet_driver_entry *billet_registry_at(const struct billet_registry *registry,
                                                     size_t index);
/* Judge one driver only (what a run needs; looks at no other file). An entry that is not READY
 * gives its reason as the error: code driver_not_found (with the nearest name), driver_disabled,
 * driver_broken. */
int billet_registry_find(const char *const *directories,
                         const struct billet_configuration *configuration, const char *name,
                         struct billet_driver_entry *entry, struct billet_error *error);

#endif
