/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.h - import and export of the ssh driver: a tar stream into or out of a directory of the
 * lease, by the host's own tar. Looks into no archive: what comes back is for the core to parse.
 */
#ifndef DRIVERS_SSH_TRANSFER_H
#define DRIVERS_SSH_TRANSFER_H

#include "ssh.h"

int32_t ssh_import(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_transfer *args, struct billet_error *error);
int32_t ssh_export(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_transfer *args, struct billet_error *error);

#endif
