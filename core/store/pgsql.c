/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL store: url, opening, and the rows that are neither lease nor environment. */
#include "store/pgsql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/refusal.h"

#define TIMEOUT_DEFAULT (30 * BILLET_NS_PER_SECOND)
#define TIMEOUT_MIN (100 * INT64_C(1000000))
#define TIMEOUT_MAX (3600 * BILLET_NS_PER_SECOND)
#define CONNECT_DEFAULT (10 * BILLET_NS_PER_SECOND)

static const struct billet_store_module module;

/* Never with what libpq says about it, which may hold a password. */
static int
url_error(struct billet_error *error, const char *why)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_url_invalid", "store url: %s", why);
    return billet_error_hint(error, "write postgresql://HOST/DATABASE, postgresql:///DATABASE or "
                                    "postgresql:KEY=VALUE ...; see billet-store(7)");
}

/* timeout=DURATION is ours: take it out, and leave everything else to libpq as it is. */
static int
take_timeout(char *conninfo, int64_t *timeout_ns, struct billet_error *error)
{
    static const char name[] = "timeout=";
    bool uri = strstr(conninfo, "://") != NULL;
    const char *ends = uri ? "&" : " ";
    char value[32];
    char *at = uri ? strchr(conninfo, '?') : conninfo;
    for (; at != NULL; at = strpbrk(at + 1, ends)) {
        char *start = at + (*at == '?' || *at == '&' || *at == ' ');
        if (strncmp(start, name, strlen(name)) != 0)
            continue;
        char *text = start + strlen(name);
        size_t length = strcspn(text, ends);
        snprintf(value, sizeof(value), "%.*s", (int)(length < 31 ? length : 31), text);
        int result = billet_duration_parse(value, timeout_ns, error);
        if (result < 0)
            return billet_error_recode(error, "store_url_invalid");
        if (*timeout_ns < TIMEOUT_MIN || *timeout_ns > TIMEOUT_MAX)
            return url_error(error, "timeout is 100ms to 1h");
        char *rest = text + length;
        if (*rest != '\0') /* the separator that follows goes with it */
            memmove(start, rest + 1, strlen(rest + 1) + 1);
        else
            *(start > conninfo ? start - 1 : start) = '\0';
        return 0;
    }
    return 0;
}

/* Its syntax; and connect_timeout, which libpq leaves to who does not wait inside it. */
static int
read_conninfo(struct billet_store *store, struct billet_error *error)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(store->conninfo, &why);
    PQfreemem(why);
    if (options == NULL)
        return url_error(error, "libpq does not understand it");
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "connect_timeout") != 0 || option->val == NULL)
            continue;
        long seconds = strtol(option->val, NULL, 10);
        if (seconds > 0 && seconds <= 3600)
            store->connect_timeout_ns = seconds * BILLET_NS_PER_SECOND;
    }
    PQconninfoFree(options);
    return 0;
}

/* postgresql://..., postgres://..., postgresql:KEY=VALUE ... */
static int
parse_url(const char *url, struct billet_store *store, struct billet_error *error)
{
    const char *rest = strchr(url, ':');
    if (rest == NULL)
        return url_error(error, "no colon follows the name of the engine");
    rest++;
    while (strncmp(rest, "//", 2) != 0 && *rest == ' ')
        rest++;
    if (strncmp(rest, "//", 2) == 0) {
        if (asprintf(&store->conninfo, "postgresql:%s", rest) < 0)
            store->conninfo = NULL;
    } else {
        if (strchr(rest, '=') == NULL)
            return url_error(error, "neither // nor KEY=VALUE follows the name of the engine");
        store->conninfo = strdup(rest);
    }
    if (store->conninfo == NULL)
        return billet_error_no_memory(error);
    int result = take_timeout(store->conninfo, &store->timeout_ns, error);
    if (result == 0)
        result = read_conninfo(store, error);
    return result;
}

static void
close_store(struct billet_store *store)
{
    if (store == NULL)
        return;
    pgsql_disconnect(store);
    free(store->conninfo);
    free(store);
}

static int
open_store(const char *url, enum billet_store_mode mode, struct billet_store **to,
           struct billet_error *error)
{
    struct billet_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return billet_error_no_memory(error);
    store->module = &module;
    store->timeout_ns = TIMEOUT_DEFAULT;
    store->connect_timeout_ns = CONNECT_DEFAULT;
    int result = parse_url(url, store, error);
    if (result == 0)
        result = pgsql_connect(store, billet_clock_monotonic() + store->timeout_ns, error);
    if (result == 0)
        result = pgsql_schema_open(store, mode, error);
    if (result < 0) {
        close_store(store);
        return result;
    }
    *to = store;
    return 0;
}

static int
read_info(struct billet_store *store, struct billet_store_info *info, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_INFO, .what = "read the state of the store"};
    cleanup_result PGresult *result = NULL;
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_no_deployment(store->location, error);
    struct billet_store_info found = {0};
    snprintf(found.engine, sizeof(found.engine), "postgresql %.20s", PQgetvalue(result, 0, 8));
    found.engine[strcspn(found.engine + 11, " ") + 11] = '\0'; /* "15.18 (Debian ...)" */
    billet_text_copy(found.location, sizeof(found.location), store->location);
    billet_text_copy(found.deployment, sizeof(found.deployment), PQgetvalue(result, 0, 0));
    found.created_ns = pgsql_integer(result, 0, 1);
    found.environments = pgsql_integer(result, 0, 2);
    found.leases_live = pgsql_integer(result, 0, 3);
    found.leases_total = pgsql_integer(result, 0, 4);
    found.activities = pgsql_integer(result, 0, 5);
    found.schema = pgsql_integer(result, 0, 6);
    found.schema_wanted = (int64_t)pgsql_migration_count;
    found.size_bytes = pgsql_integer(result, 0, 7);
    *info = found;
    return 0;
}

static int
read_deployment(struct billet_store *store, char deployment[40], struct billet_error *error)
{
    (void)error;
    billet_text_copy(deployment, 40, store->deployment);
    return 0;
}

static int
read_now(struct billet_store *store, int64_t *now_ns, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_NOW, .what = "read the clock"};
    cleanup_result PGresult *result = NULL;
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0)
        *now_ns = pgsql_integer(result, 0, 0);
    return code;
}

static void
expect_change(struct billet_store *store)
{
    (void)store; /* one round trip more would be the price of preparing it */
}

static int
provision_get(struct billet_store *store, const char *key, bool *done, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_PROVISION_GET, .what = "look for a provision"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, key);
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0)
        *done = PQntuples(result) > 0;
    return code;
}

static int
provision_put(struct billet_store *store, const char *key, const struct billet_activity *activity,
              struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_PROVISION_PUT, .what = "record a provision"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, key);
    pgsql_operation(&call, activity != NULL ? activity->lease : NULL);
    pgsql_text(&call, rows);
    return pgsql_run(store, &call, &result, error);
}

static int
meta_get(struct billet_store *store, const char *key, struct billet_buffer *value,
         struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_META_GET, .what = "read a note of the deployment"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, key);
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0 && PQntuples(result) > 0) {
        billet_buffer_add(value, PQgetvalue(result, 0, 0));
        if (value->failed)
            code = billet_error_no_memory(error);
    }
    return code;
}

static int
meta_put(struct billet_store *store, const char *key, const char *value, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_META_PUT,
                              .what = "write a note of the deployment"};
    cleanup_result PGresult *result = NULL;
    if (strlen(value) > BILLET_META_MAX)
        return billet_refusal_meta_too_large(key, error);
    pgsql_text(&call, key);
    pgsql_text(&call, value);
    return pgsql_run(store, &call, &result, error);
}

int
pgsql_grant(struct billet_store *store, const char *role, const char *tenant,
            struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_GRANT, .what = "give a role its rights"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, role);
    pgsql_text(&call, tenant);
    return pgsql_run(store, &call, &result, error);
}

static const struct billet_store_module module = {
    .struct_size = sizeof(module),
    .interface = BILLET_STORE_INTERFACE,
    .engine = "postgresql",
    .secrets = &pgsql_secret_table,
    .open = open_store,
    .close = close_store,
    .info = read_info,
    .deployment = read_deployment,
    .check = pgsql_check,
    .now = read_now,
    .environment_insert = pgsql_environment_insert,
    .environment_update = pgsql_environment_update,
    .environment_get = pgsql_environment_get,
    .environment_list = pgsql_environment_list,
    .environment_remove = pgsql_environment_remove,
    .lease_insert = pgsql_lease_insert,
    .lease_change = pgsql_lease_change,
    .expect_change = expect_change,
    .lease_get = pgsql_lease_get,
    .lease_list = pgsql_lease_list,
    .lease_note = pgsql_lease_note,
    .lease_renew = pgsql_lease_renew,
    .activity_add = pgsql_activity_add,
    .activity_list = pgsql_activity_list,
    .provision_get = provision_get,
    .provision_put = provision_put,
    .meta_get = meta_get,
    .meta_put = meta_put,
    .dump = pgsql_dump,
    .load_begin = pgsql_load_begin,
    .load_row = pgsql_load_row,
    .load_end = pgsql_load_end,
    .grant = pgsql_grant,
};

__attribute__((visibility("default"))) const struct billet_store_module *billet_store_module(void);

const struct billet_store_module *
billet_store_module(void)
{
    return &module;
}
