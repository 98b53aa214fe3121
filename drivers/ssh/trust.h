/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - the operation trust of the ssh driver: the keys of the hosts on the way, as the client
 * is shown them, against the file of known hosts.
 *
 * The hosts of jump come first: what lies behind one is reached only once its key is known. Nobody
 * logs in at the host whose key is looked at.
 */
#ifndef DRIVERS_SSH_TRUST_H
#define DRIVERS_SSH_TRUST_H

#include "ssh.h"

int32_t ssh_trust(const struct billet_call *call, const struct billet_trust *args,
                  struct billet_error *error);

#endif
