/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.h - shared objects of billet's own that are loaded when something asks for
 * them: stores, vaults. Found in a list of directories, trusted by owner and mode,
 * loaded once, never unloaded.
 */
#ifndef BILLET_BASE_MODULE_H
#define BILLET_BASE_MODULE_H

#include <billet/types.h>

#define BILLET_MODULE_MISSING 1

struct billet_module_kind {
    const char *what;   /* "store module": for messages */
    const char *code;   /* "store_module_broken" */
    const char *symbol; /* of the function that gives the table */
};

/* *table is what the module's function gives. Returns BILLET_MODULE_MISSING, with nothing in
 * *error, when no directory (colon-separated) holds the file; code path_untrusted when somebody
 * else could have put it there. Threads may call it at once. */
int billet_module_load(const struct billet_module_kind *kind, const char *directories,
                       const char *file, const void **table, struct billet_error *error);
/* The kind's code, with what to do about it. */
int billet_module_broken(const struct billet_module_kind *kind, const char *path, const char *why,
                         struct billet_error *error);

#endif
