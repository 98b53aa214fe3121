/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.h - the chain of uses: a row is durable before a value leaves core, and its
 * hash covers the row and the hash before it.
 *
 * hash = BLAKE2b-256 over lp("billet-audit-1"), lp(hash of the row before, hexadecimal; "" for the
 * first), lp(u64le sequence), lp(u64le time), lp(u64le version), then lp of tenant, name, secret,
 * environment, option, lease, actor, purpose, outcome; lp(x) = u32le length of x, x. Who can write
 * the database can forge a whole chain; compare the head with one that was noted elsewhere.
 */
#ifndef BILLET_SECRET_AUDIT_H
#define BILLET_SECRET_AUDIT_H

#include "store/store.h"

void billet_audit_hash_row(const struct billet_audit_row *row, const char *previous, char hash[65]);

struct billet_audit_result {
    int64_t rows;   /* that were looked at */
    int64_t broken; /* sequence of the first row that is wrong or missing; 0: none */
    char why[128];  /* of the broken one */
    int64_t head;   /* sequence and hash of the newest */
    char head_hash[65];
};
/* Walk the whole chain. 0 also when it is broken; code audit_partial when it cannot all be seen. */
int billet_audit_verify(struct billet_store *store, struct billet_audit_result *result,
                        struct billet_error *error);

#endif
