/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.h - which process drives a lease, written so that another process can
 * tell later whether it still runs. Never signals anybody.
 *
 * Text: "1 MACHINE BOOT NAMESPACES PID START". MACHINE is that of machine.h, NAMESPACES the inodes
 * of the PID and time namespace, in which PID and START (field 22 of /proc/PID/stat, clock ticks
 * since boot) have their meaning.
 */
#ifndef BILLET_LEASE_OWNER_H
#define BILLET_LEASE_OWNER_H

#include <billet/types.h>

#define BILLET_OWNER_SIZE 256

enum billet_owner_state {
    BILLET_OWNER_NONE, /* "": nobody drives it, only its expiry ends it */
    BILLET_OWNER_ALIVE,
    BILLET_OWNER_DEAD,
    BILLET_OWNER_UNKNOWN, /* another machine, another PID namespace, or not readable */
};

int billet_owner_self(char owner[BILLET_OWNER_SIZE], struct billet_error *error);
enum billet_owner_state billet_owner_judge(const char *owner);
const char *billet_owner_state_name(enum billet_owner_state state);

#endif
