/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment.h - the environment of a command of the local driver: a fixed set
 * of names from this process, the caller's additions, and billet's own labels.
 * Nothing else of this process's environment passes.
 */
#ifndef DRIVERS_LOCAL_ENVIRONMENT_H
#define DRIVERS_LOCAL_ENVIRONMENT_H

#include <billet/driver.h>

struct local_environment {
    const char **entries; /* NULL-terminated: labels, additions, what was inherited */
    size_t count;
    size_t capacity;
    size_t borrowed_from; /* the additions, which are not copied: they may hold secrets */
    size_t borrowed_to;
};

/* HOME PATH USER LOGNAME SHELL LANG LC_* TZ TERM of this process (PATH from the option path if
 * set), then additions in order, a later one replacing an earlier of the same name;
 * BILLET_LEASE_ID, BILLET_EXEC_ID and the other labels cannot be replaced. The additions must live
 * as long as *environment. */
int local_environment_make(const struct billet_call *call, const char *const *additions,
                           const char *exec_label, struct local_environment *environment,
                           struct billet_error *error);
void local_environment_free(struct local_environment *environment);
/* The value, or NULL. */
const char *local_environment_get(const struct local_environment *environment, const char *name);

#endif
