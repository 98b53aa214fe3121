/* SPDX-License-Identifier: Apache-2.0 */
/*
 * continuity.h - what the janitor of one machine remembers between its passes, to notice that the
 * store was brought back from an older copy, or that its clock has jumped. Both make leases look
 * expired that are in use.
 *
 * Kept in a small file of the state directory. Never ends a lease; after a jump it gives live ones
 * more time, after a restoration it says which ones are to be spared.
 */
#ifndef BILLET_LEASE_CONTINUITY_H
#define BILLET_LEASE_CONTINUITY_H

#include <billet/types.h>

#include "store/store.h"

/* A clock that moved less is taken for one that is being set right. */
#define BILLET_CONTINUITY_JUMP_NS (30 * BILLET_NS_PER_SECOND)
/* How long the leases of a restored store are spared: owners that live renew theirs or learn that
 * they lost them, operators can look. */
#define BILLET_CONTINUITY_GRACE_NS (3600 * BILLET_NS_PER_SECOND)

enum billet_continuity_state {
    BILLET_CONTINUITY_NEW,      /* no earlier pass here of this store, since this boot */
    BILLET_CONTINUITY_SAME,     /* nothing unusual */
    BILLET_CONTINUITY_FORWARD,  /* the store's clock jumped ahead */
    BILLET_CONTINUITY_BACK,     /* the store's clock jumped back: leases only live longer */
    BILLET_CONTINUITY_RESTORED, /* what had happened at the last pass is not in the store */
};

struct billet_continuity {
    enum billet_continuity_state state;
    int64_t jump_ns;  /* of the store's clock; below zero: back */
    int64_t extended; /* leases that got more time */
    char text[160];   /* one line for people; "" for NEW and SAME */
    /* What is to be remembered: */
    char boot[64];
    char deployment[40];
    int64_t offset_ns;   /* store's clock minus CLOCK_BOOTTIME */
    int64_t sequence;    /* newest activity */
    int64_t time_ns;     /* of it */
    int64_t restored_ns; /* when a restoration was noticed: older leases are spared; 0: none */
};

/* Compare the store with what the file says. Fails when the store cannot be read; a file that is
 * missing or damaged is a new beginning. Nothing is changed. */
int billet_continuity_look(const char *path, struct billet_store *store,
                           struct billet_continuity *continuity, struct billet_error *error);
/* After FORWARD: every live lease keeps the time that it had left. Otherwise nothing. */
int billet_continuity_extend(struct billet_store *store, struct billet_continuity *continuity,
                             struct billet_error *error);
/* Replace the file, mode 0600. After the pass: what it judged by is what the next compares with. */
int billet_continuity_save(const char *path, const struct billet_continuity *continuity,
                           struct billet_error *error);

#endif
