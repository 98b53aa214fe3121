/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the sandbox looks at itself from inside: which protections that the
 * driver asked for are in force for this very process.
 *
 * Part of billet-sandbox-init; reads /proc only, changes nothing.
 */
#ifndef SANDBOX_CHECK_H
#define SANDBOX_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol.h"

/* mounts: setup->mount_count paths where something is mounted on purpose. Writes the names of the
 * missing protections, separated by ", ", to missing; "" when all are there. */
void sandbox_check(const struct sandbox_setup *setup, const char *const *mounts, char *missing,
                   size_t size);

/* True when nothing is open but what SANDBOX_FD_LIMIT leaves; before anything else is opened. */
bool sandbox_check_descriptors(void);

/* One line of mountinfo: is it as the profile makes it? For tests. NULL, or what is wrong. */
const char *sandbox_check_mount(char *line, const char *const *mounts, size_t count);

#endif
