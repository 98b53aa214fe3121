/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.h - what makes a local lease findable: its reference
 * local:BOOT:LEASE, and one file RUNTIME/local/LEASE that carries deployment,
 * fence and generation. Processes and control groups carry the lease id too.
 */
#ifndef DRIVERS_LOCAL_LABEL_H
#define DRIVERS_LOCAL_LABEL_H

#include <billet/driver.h>
#include <stdbool.h>
#include <stddef.h>

#include "local.h"

/* Id of this boot: 0 or negative with *error. */
int local_label_boot(char boot[48], struct billet_error *error);

/* "local:BOOT:LEASE" */
int local_label_reference(const char *lease, char reference[BILLET_REF_MAX],
                          struct billet_error *error);
/* Take one apart; *this_boot says whether it was made since this machine started. ref "" gives the
 * identity's lease. The lease must be the identity's when both are there. */
int local_label_parse(const char *reference, const char *identity_lease,
                      char lease[LOCAL_LEASE_MAX], bool *this_boot, struct billet_error *error);

/* Write or renew the file. Without a runtime directory there is none, and that is a success. */
int local_label_write(const struct billet_identity *identity, struct billet_error *error);
/* May the identity's lease be taken up (fence.h)? 0 also without a label. */
int local_label_allows(const struct billet_identity *identity, bool shared,
                       struct billet_error *error);
/* 1 there, 0 not there, -1 there is no place for labels. */
int local_label_exists(const char *lease);
int local_label_remove(const char *lease, struct billet_error *error);

struct local_label {
    char lease[LOCAL_LEASE_MAX];
    char deployment[80];
    unsigned long long fence;
    unsigned long long generation;
    int64_t age_ns;
};
/* Each file; stops when visit returns false. */
void local_label_list(bool (*visit)(const struct local_label *label, void *context), void *context);

#endif
