/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - what the ssh driver says about a host, on the way that a run takes; and about this
 * build.
 */
#ifndef DRIVERS_SSH_PROBE_H
#define DRIVERS_SSH_PROBE_H

#include "ssh.h"

int32_t ssh_probe(const struct billet_call *call, struct billet_error *error);
int32_t ssh_dump(const struct billet_call *call, struct billet_error *error);

#endif
