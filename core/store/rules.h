/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - what must hold in every store, as SQL that every engine takes: one row
 * per violation, its first column names what it is about.
 */
#ifndef BILLET_STORE_RULES_H
#define BILLET_STORE_RULES_H

#include <stddef.h>

#define BILLET_FINDINGS_MAX 1000

struct billet_store_rule {
    const char *text;
    const char *sql;
};

extern const struct billet_store_rule billet_store_rules[];
extern const size_t billet_store_rule_count;

#endif
