/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.h - the line that tells the far side's runner what to run. Owns the form of that line, and
 * which names of the environment sh can carry itself.
 */
#ifndef DRIVERS_SSH_HEADER_H
#define DRIVERS_SSH_HEADER_H

#include "quote.h"
#include "ssh.h"

/* Does sh pass a variable of that name on unchanged? Else it travels through env(1). */
bool ssh_name_is_plain(const char *name, size_t length);

/* Fill line, without its newline: 0, or negative class for an entry without '=' or without name. */
int ssh_header_make(const struct billet_call *call, const struct billet_exec *args,
                    const char *directory, const char *nonce, const char *id, struct ssh_text *line,
                    struct billet_error *error);

#endif
