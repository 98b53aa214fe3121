/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - what the local driver says about this machine: probe and dump.
 */
#ifndef DRIVERS_LOCAL_PROBE_H
#define DRIVERS_LOCAL_PROBE_H

#include "local.h"

int32_t local_probe(const struct billet_call *call, struct billet_error *error);
int32_t local_dump(const struct billet_call *call, struct billet_error *error);

#endif
