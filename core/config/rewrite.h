/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.h - other values in a config file that people wrote: the value alone is
 * replaced, and comments, order and everything else stay as they are.
 */
#ifndef BILLET_CONFIG_REWRITE_H
#define BILLET_CONFIG_REWRITE_H

#include <billet/types.h>
#include <stddef.h>

struct billet_rewrite {
    int line; /* of the value, as its origin says */
    int column;
    const char *value; /* that stands there; another one there by now is code config_changed */
    const char *text;  /* to stand there: a value that needs no quotes */
};

/* All of them or none: the file is replaced atomically, with the mode that it had, once the new
 * text was read back and differs in those values only. */
int billet_configuration_rewrite(const char *path, const struct billet_rewrite *items, size_t count,
                                 struct billet_error *error);

#endif
