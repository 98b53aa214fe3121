/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - which machine this is, and on which one the resource of a lease is that no other can
 * reach. Such a resource waits for its machine: another one that ended the lease would leave it
 * there, and say that it is gone.
 *
 * A machine is /etc/machine-id with a hash of the host name (images share machine ids).
 */
#ifndef BILLET_LEASE_MACHINE_H
#define BILLET_LEASE_MACHINE_H

#include <billet/types.h>
#include <jansson.h>
#include <stdbool.h>

#include "store/store.h"

#define BILLET_MACHINE_SIZE 64

void billet_machine_name(char name[BILLET_MACHINE_SIZE]);
/* Write into the facts of a lease that its resource is on this machine, when the store is of an
 * engine that several machines may share. */
int billet_machine_record(const struct billet_store *store, json_t *facts,
                          struct billet_error *error);
/* Another machine has the resource of the lease: its host name goes to host, which may be NULL;
 * false when it may be here or everywhere. */
bool billet_machine_is_other(const struct billet_lease *lease, char *host);
/* Fails with lease_elsewhere when it is another's. */
int billet_machine_refuse(const struct billet_lease *lease, struct billet_error *error);

#endif
