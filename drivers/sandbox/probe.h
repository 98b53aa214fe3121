/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - can a sandbox be made here, and with which protections: one line a
 * check, each failure with its remedy, and at the end a real sandbox by the very
 * same way as a run.
 */
#ifndef SANDBOX_PROBE_H
#define SANDBOX_PROBE_H

#include <billet/driver.h>

int sandbox_probe(const struct billet_host *host, const struct billet_call *call,
                  struct billet_error *error);

#endif
