/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_environment.h - an environment as the columns of a row and back, the same
 * for every engine.
 */
#ifndef BILLET_STORE_RECORD_ENVIRONMENT_H
#define BILLET_STORE_RECORD_ENVIRONMENT_H

#include "config/environment.h"

/* The settings as JSON (free). */
int billet_environment_settings_text(const struct billet_environment *environment, char **text,
                                     struct billet_error *error);
/* Never NULL. */
const char *billet_environment_status(const struct billet_environment *environment);
/* texts: id, tenant, name, driver, description, status, reason. numbers: revision, created,
 * updated. where: the database, for messages. */
int billet_environment_from_row(const char *const texts[7], const int64_t numbers[3],
                                const char *settings, const char *where,
                                struct billet_environment *environment, struct billet_error *error);

#endif
