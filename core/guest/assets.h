/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assets.h - the subcommands of billet-guest by which assets come to a machine: each content once,
 * in a cache that outlives leases.
 *
 * CACHE/ID/tree holds the content that billet_asset_id calls ID, read-only; CACHE/ID/used/LEASE is
 * a link to the directory of a lease that uses it. An entry comes into being by one rename, after
 * its content was verified, and is verified each time it is used again. Entries that no lease uses
 * are bounded by number and size, the longest unused goes first. CACHE/lock is held for renames.
 */
#ifndef CORE_GUEST_ASSETS_H
#define CORE_GUEST_ASSETS_H

/* find CACHE PLACE (ID LEAF NAME)...: PLACE/NAME becomes a link to what has that ID, or with LEAF
 * to that file of it, where it is there and whole. PLACE is LEASE-DIRECTORY/assets. The place of
 * each that is not there, counted from 0, on a line of standard output. */
int guest_asset_find(int argc, char **argv);
/* put CACHE PLACE ID LEAF NAME: the same after taking it from standard input as receive does. */
int guest_asset_put(int argc, char **argv);

#endif
