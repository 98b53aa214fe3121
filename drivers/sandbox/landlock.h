/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock.h - the second layer of the sandbox: confines the calling process by
 * Landlock to the paths a command needs. Constants are our own, headers of the
 * build machine may be older than the running kernel.
 *
 * Uses no library beyond libc; part of billet-sandbox-init and of the probe.
 */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include <stddef.h>

/* The version of the kernel's interface, 0 when Landlock cannot be used. */
int sandbox_landlock_abi(void);
#define SANDBOX_LANDLOCK_SCOPES 6 /* the version that keeps abstract sockets and signals in */

/*
 * Confine this process and its descendants: the system's directories and readable[] may be read
 * and executed, the workspace and temporary directories written, abstract sockets and signals stay
 * inside. What the kernel's version does not know is not asked. no_new_privs must be set. 0, or an
 * errno.
 */
int sandbox_landlock_apply(const char *const *readable, size_t count);

#endif
