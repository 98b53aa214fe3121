/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/private.h"
#include "driver/host.h"
#include "driver/operation.h"

#define SECRETS_MAX (1024u * 1024)

static void
free_settings(struct billet_settings *settings)
{
    billet_settings_free(settings);
}

static void
free_diagnostics(struct billet_diagnostics *list)
{
    billet_diagnostics_free(list);
}

static int
take_secrets(struct host_call *call, int64_t size, int fd, struct billet_error *error)
{
    if (size < 0 || size > SECRETS_MAX)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "bad secrets");
    call->secrets = billet_private_take((size_t)size, true);
    if (call->secrets == NULL)
        return billet_error_no_memory(error);
    call->secrets_size = (size_t)size;
    return billet_frame_unseal_to(fd, call->secrets_size, call->secrets, error);
}

/* The value of a secret in the bytes the core sent: name NUL value NUL, repeated. */
static const char *
find_secret(const struct host_call *call, const char *name)
{
    const char *at = call->secrets;
    if (at == NULL)
        return NULL;
    const char *end = at + call->secrets_size;
    while (at < end) {
        size_t name_length = strnlen(at, (size_t)(end - at));
        const char *value = at + name_length + 1;
        if (value >= end)
            return NULL;
        size_t value_length = strnlen(value, (size_t)(end - value));
        if (value + value_length >= end)
            return NULL;
        if (strcmp(at, name) == 0)
            return value;
        at = value + value_length + 1;
    }
    return NULL;
}

/* Put the secrets where their references are. */
static int
place_secrets(struct host_call *call, struct billet_error *error)
{
    struct billet_values *values = &call->host->values;
    const struct billet_driver *table = &call->host->loaded.table;
    bool needed = call->operation != BILLET_OPERATION_check_config &&
                  call->operation != BILLET_OPERATION_dump;
    for (size_t i = 0; i < values->count; i++) {
        struct billet_value *value = &values->items[i];
        if (!value->is_set)
            continue;
        const struct billet_option *option =
            billet_option_find(table->options, (size_t)table->option_count, value->name);
        if (option == NULL || (option->flags & BILLET_OPTION_SECRET) == 0)
            continue;
        const char *secret = find_secret(call, value->name);
        if (secret == NULL && needed) {
            billet_error_set(error, BILLET_CLASS_CONFIG, "secret_unresolved",
                             "option %s of driver %s holds a reference that nobody resolved",
                             value->name, call->host->name);
            return billet_error_hint(error, "billet secret list shows which secrets there are");
        }
        value->string = secret != NULL ? secret : "";
    }
    return 0;
}

/* Settings to the values of the options, which stay for the calls that follow. */
static int
take_settings(struct host_call *call, const json_t *written, struct billet_error *error)
{
    __attribute__((cleanup(free_settings))) struct billet_settings settings = BILLET_SETTINGS_INIT;
    __attribute__((cleanup(free_diagnostics))) struct billet_diagnostics diagnostics =
        BILLET_DIAGNOSTICS_INIT;
    struct host *host = call->host;
    const struct billet_driver *table = &host->loaded.table;
    char who[256];
    char origin[256];

    if (!billet_message_get_settings(written, &settings))
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "malformed settings");
    if (call->call.identity != NULL && call->call.identity->environment[0] != '\0')
        snprintf(who, sizeof(who), "[environment %s]", call->call.identity->environment);
    else
        snprintf(who, sizeof(who), "driver %s", host->name);
    snprintf(origin, sizeof(origin), "%s",
             settings.count > 0 && settings.items[0].origin.text != NULL
                 ? settings.items[0].origin.text
                 : who);
    struct billet_origin place = {.text = origin};
    billet_values_free(&host->values);
    host->has_values = false;
    int result = billet_options_resolve(table->options, (size_t)table->option_count, &settings, who,
                                        &place, &host->values, &diagnostics);
    if (result < 0) {
        if (billet_diagnostics_error(&diagnostics, error) == 0)
            return billet_error_set(error, -result, "value_invalid", "%s cannot be used", who);
        return -(error->error_class);
    }
    host->has_values = true;
    return 0;
}

int
host_config(struct host_call *call, const json_t *body, int *secrets_fd, struct billet_error *error)
{
    struct host *host = call->host;
    const json_t *written = json_object_get(body, "settings");
    int result = 0;

    call->config.struct_size = sizeof(call->config);
    call->call.config = &call->config;
    if (*secrets_fd >= 0) {
        result = take_secrets(call, billet_json_integer(body, "secrets", -1), *secrets_fd, error);
        billet_close(secrets_fd);
        if (result < 0)
            return result;
    }
    if (written == NULL)
        return 0; /* an operation without an environment */
    if (!json_is_true(written))
        result = take_settings(call, written, error);
    else if (!host->has_values)
        result = billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "no settings before");
    if (result < 0)
        return result;
    call->config.values = host->values.items;
    call->config.count = host->values.count;
    return place_secrets(call, error);
}

void
host_config_free(struct host_call *call)
{
    billet_private_give(call->secrets, call->secrets_size);
    call->secrets = NULL;
}
