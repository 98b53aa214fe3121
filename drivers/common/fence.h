/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence.h - whether a resource may be taken up: its label tells the fence and
 * the run of its last owner, and one that the store does not know of means that
 * the store was brought back from an older copy.
 */
#ifndef DRIVERS_COMMON_FENCE_H
#define DRIVERS_COMMON_FENCE_H

#include <billet/types.h>
#include <stdbool.h>
#include <stdint.h>

#define BILLET_FENCE_RUN 96 /* so many bytes of a run's id are in a label */

/* fence and run: of the label, 0 when it has none. shared: beside the owner, not instead of it. The
 * same owner may ask again. 0, or the class AUTH with code lease_fenced. */
int billet_fence_check(const struct billet_identity *identity, bool shared, uint64_t fence,
                       const char *run, struct billet_error *error);
/* The refusal alone, when somebody else has checked. */
int billet_fence_refuse(const struct billet_identity *identity, uint64_t fence,
                        struct billet_error *error);

#endif
