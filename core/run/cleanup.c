/* SPDX-License-Identifier: Apache-2.0 */
#include "run/cleanup.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "lease/lease.h"
#include "run/secrets.h"
#include "run/travel.h"

int
billet_cleanup_settings(const struct billet_lease *lease, struct billet_settings *settings,
                        struct billet_error *error)
{
    struct billet_environment holder = BILLET_ENVIRONMENT_INIT;
    cleanup_json json_t *object = NULL;
    const char *text = lease->configuration;
    if (text == NULL || text[0] == '\0')
        return 0;
    int result = billet_json_parse(text, strlen(text), &object, error);
    if (result == 0)
        result = billet_environment_settings_from_json(&holder, object, error);
    if (result == 0 && !billet_settings_copy(settings, &holder.settings))
        result = billet_error_no_memory(error);
    billet_environment_free(&holder);
    return result;
}

void
billet_cleanup_host_stop(struct billet_cleanup_host *host)
{
    billet_driver_stop(host->client);
    free(host->driver);
    free(host->tenant);
    *host = (struct billet_cleanup_host)BILLET_CLEANUP_HOST_INIT;
}

static int
host_for(struct billet_context *context, struct billet_cleanup_host *host,
         const struct billet_lease *lease, struct billet_error *error)
{
    if (host->client != NULL && strcmp(host->driver, lease->driver) == 0 &&
        strcmp(host->tenant, lease->tenant) == 0)
        return 0;
    billet_cleanup_host_stop(host);
    host->driver = strdup(lease->driver);
    host->tenant = strdup(lease->tenant);
    if (host->driver == NULL || host->tenant == NULL)
        return billet_error_no_memory(error);
    return billet_context_start_driver(context, lease->driver, &host->client, error);
}

/* One attempt. *crashed: the host died of something else than the answer. */
static int
destroy_once(struct billet_context *context, struct billet_cleanup_host *host,
             const struct billet_lease *lease, const struct billet_settings *settings,
             const json_t *facts, bool *crashed, struct billet_error *error)
{
    struct billet_run_secrets secrets = {0};
    int result = host_for(context, host, lease, error);
    struct billet_driver_client *client = host->client;
    if (result == 0) {
        const struct billet_environment environment = {.name = lease->environment,
                                                       .driver_settings = *settings};
        const struct billet_run_secrets_for wanted = {.environment = &environment,
                                                      .info = billet_driver_info(client),
                                                      .lease = lease->id,
                                                      .purpose = "cleanup"};
        result = billet_run_secrets_resolve(context, &wanted, &secrets, error);
    }
    if (result == 0) {
        const struct billet_identity identity = billet_lease_identity(lease, context->deployment);
        struct billet_driver_call call = {.identity = &identity, .settings = settings};
        billet_run_secrets_give(&secrets, &call);
        result = billet_driver_destroy(client, &call, lease->ref, facts, error);
    }
    if (result < 0 || secrets.count > 0)
        billet_cleanup_host_stop(host);
    billet_run_secrets_free(&secrets);
    *crashed = result < 0 && strcmp(error->code, "driver_crashed") == 0;
    return result;
}

int
billet_cleanup_resource(struct billet_context *context, struct billet_cleanup_host *host,
                        const struct billet_lease *lease, struct billet_error *error)
{
    struct billet_cleanup_host own = BILLET_CLEANUP_HOST_INIT;
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_store *store = NULL;
    cleanup_json json_t *facts = NULL;
    bool crashed = false;

    if (host == NULL)
        host = &own;
    int result = billet_context_store(context, &store, error); /* for the deployment id */
    if (result == 0)
        result = billet_cleanup_settings(lease, &settings, error);
    if (result == 0 && lease->facts != NULL && lease->facts[0] != '\0')
        result = billet_json_parse(lease->facts, strlen(lease->facts), &facts, error);
    if (result == 0)
        result = destroy_once(context, host, lease, &settings, facts, &crashed, error);
    /* A host that was killed says nothing about the resource: destroy can be repeated. */
    if (crashed) {
        billet_log(BILLET_LOG_INFO, "%s; trying once more", error->message);
        billet_error_clear(error);
        result = destroy_once(context, host, lease, &settings, facts, &crashed, error);
    }
    billet_cleanup_host_stop(&own);
    billet_settings_free(&settings);
    if (result == 0)
        billet_travel_forget(context, lease->id);
    if (result < 0) {
        billet_error_wrap(error, "cannot remove the resource of lease %s", lease->id);
        billet_error_recode(error, "lease_cleanup_failed");
    }
    return result;
}
