/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - the system calls a command in the sandbox cannot make: a table,
 * compiled by libseccomp into the program that bwrap loads. Denies what reaches
 * around namespaces or is attack surface without use in a build or an agent.
 *
 * Owns the list; loads nothing into this process.
 */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

#include <billet/types.h>

/* A memfd with the BPF program, read offset 0, O_CLOEXEC; the caller's. */
int sandbox_filter_make(int *fd, struct billet_error *error);

#endif
