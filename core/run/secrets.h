/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets.h - the secrets of an environment in use: found among its settings and
 * variables, resolved for a driver's calls and for the command, wiped afterwards.
 *
 * An environment without references costs nothing: no keyring and no libsodium is touched.
 */
#ifndef BILLET_RUN_SECRETS_H
#define BILLET_RUN_SECRETS_H

#include "config/environment.h"
#include "driver/client.h"
#include "run/context.h"
#include "secret/resolve.h"

/* context->secrets, with the store opened. */
int billet_context_secrets(struct billet_context *context, struct billet_secrets **secrets,
                           struct billet_error *error);

struct billet_run_secrets {
    struct billet_secret *values; /* one for each item */
    char **names;                 /* "identity", "env.TOKEN" */
    struct billet_driver_secret *items;
    size_t driver_count; /* the first ones: for each call of the driver */
    size_t count;        /* with those behind them, which only a command gets */
};

/* For whom they are resolved. */
struct billet_run_secrets_for {
    const struct billet_environment *environment; /* prepared: driver_settings, variables */
    const struct billet_driver_info *info;
    const char *lease;   /* NULL: none */
    const char *purpose; /* "run", "probe", "cleanup" */
    bool command;        /* its variables too */
};

/* Does it use any? */
bool billet_run_secrets_any(const struct billet_run_secrets_for *wanted);
/* The first refusal that is known without the values; leaves no record. visit NULL: stop there;
 * else each is given to it and 0 returned. */
typedef void billet_run_secrets_visit(const char *option, const struct billet_error *error,
                                      void *context);
int billet_run_secrets_check(struct billet_context *context,
                             const struct billet_run_secrets_for *wanted,
                             billet_run_secrets_visit *visit, void *visit_context,
                             struct billet_error *error);
int billet_run_secrets_resolve(struct billet_context *context,
                               const struct billet_run_secrets_for *wanted,
                               struct billet_run_secrets *secrets, struct billet_error *error);
void billet_run_secrets_free(struct billet_run_secrets *secrets);
/* Put the driver's part into the call; pointers into secrets. */
void billet_run_secrets_give(const struct billet_run_secrets *secrets,
                             struct billet_driver_call *call);

/* After an environment was saved: bind what it names now, unbind what it does not any more. */
int billet_run_secrets_bind(struct billet_context *context,
                            const struct billet_environment *environment,
                            struct billet_error *error);

#endif
