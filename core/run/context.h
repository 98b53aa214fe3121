/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - what every verb stands on: the configuration, the directories of
 * this installation, the store, and who is asking.
 *
 * The store is opened when first asked for. Nothing is written to disk before that.
 */
#ifndef BILLET_RUN_CONTEXT_H
#define BILLET_RUN_CONTEXT_H

#include <billet/types.h>

#include "base/strings.h"
#include "config/configuration.h"
#include "driver/client.h"
#include "driver/registry.h"
#include "secret/secrets.h"
#include "store/store.h"

struct billet_context {
    struct billet_configuration_sources *sources;
    struct billet_configuration *configuration;
    struct billet_diagnostics diagnostics; /* of the configuration */
    struct billet_settings overrides;
    struct billet_strings driver_directories;
    char *store_directories; /* colon-separated */
    char *store_url;         /* what is opened; NULL until known */
    char *libexec_directory;
    char *host_program;
    char *runtime_directory; /* made when a driver is first started */
    char *state_directory;
    char *tenant;
    char *actor; /* "user:NAME" */
    struct billet_store *store;
    char *keyring_path;            /* NULL until known */
    struct billet_secrets secrets; /* run/secrets.h; the caller sets how to ask */
    char deployment[40];
};

struct billet_context_request {
    const char *config;               /* --config, or NULL */
    const char *store;                /* --store, or NULL */
    const char *tenant;               /* --tenant, or NULL */
    const struct billet_strings *set; /* --set section.key=value; may be NULL */
};

/* Read the configuration and find the directories. tolerant: go on with a configuration that has
 * errors (config check, doctor); otherwise the first one is returned. */
int billet_context_open(const struct billet_context_request *request, bool tolerant,
                        struct billet_context **context, struct billet_error *error);
void billet_context_close(struct billet_context *context);

/* Find context->store_url: the configured one, else that of the state directory; lock_timeout of
 * the configuration where the url has none. */
int billet_context_store_url(struct billet_context *context, struct billet_error *error);
/* The store, opened and made when it is the default SQLite one. */
int billet_context_store(struct billet_context *context, struct billet_store **store,
                         struct billet_error *error);

/* Judge the driver's file and start its host; does not wait for the greeting. */
int billet_context_driver(struct billet_context *context, const char *driver,
                          struct billet_driver_client **client, struct billet_error *error);

/* The same, and wait for the greeting. *client is to be stopped also after a failure. */
int billet_context_start_driver(struct billet_context *context, const char *driver,
                                struct billet_driver_client **client, struct billet_error *error);

#endif
