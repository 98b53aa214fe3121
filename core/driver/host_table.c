/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "driver/host.h"
#include "driver/operation.h"

/* A frame to the core; when it is gone there is nobody to tell. */
static void
tell(const struct host *host, json_t *body)
{
    if (body != NULL)
        billet_frame_send(host->socket, body, NULL, 0, 0, NULL);
    json_decref(body);
}

static json_t *
text_of(const char *text, size_t limit)
{
    char clean[BILLET_MESSAGE_MAX];
    billet_text_escape(clean, limit < sizeof(clean) ? limit : sizeof(clean),
                       text != NULL ? text : "");
    return json_string(clean);
}

void
host_call_misuse(struct host_call *call, const char *what)
{
    pthread_mutex_lock(&call->lock);
    if (call->misuse[0] == '\0')
        billet_text_copy(call->misuse, sizeof(call->misuse), what);
    pthread_mutex_unlock(&call->lock);
}

static void
host_log(const struct billet_host *table, int32_t level, const char *message)
{
    const struct host *host = table->context;
    tell(host, json_pack("{s:s, s:i, s:o}", "event", "log", "level", level, "message",
                         text_of(message, BILLET_MESSAGE_MAX)));
}

static const char *
host_directory(const struct billet_host *table, int32_t which)
{
    const struct host *host = table->context;
    if (which < BILLET_DIRECTORY_RUNTIME || which > BILLET_DIRECTORY_LIBEXEC ||
        host->directories[which][0] == '\0')
        return NULL;
    return host->directories[which];
}

static void
host_check(const struct billet_call *driver_call, int32_t outcome, const char *name,
           const char *message, const char *hint)
{
    struct host_call *call = driver_call->context;
    if (call->operation != BILLET_OPERATION_probe)
        return host_call_misuse(call, "reported a check outside a probe");
    if (outcome < BILLET_CHECK_PASS || outcome > BILLET_CHECK_FAIL || name == NULL ||
        name[0] == '\0')
        return host_call_misuse(call, "reported a check without name or outcome");
    if (outcome == BILLET_CHECK_FAIL && (hint == NULL || hint[0] == '\0'))
        return host_call_misuse(call, "reported a failed check without a remedy");
    tell(call->host, json_pack("{s:s, s:I, s:i, s:o, s:o, s:o}", "event", "check", "call",
                               (json_int_t)call->number, "outcome", outcome, "name",
                               text_of(name, 128), "message", text_of(message, BILLET_MESSAGE_MAX),
                               "hint", text_of(hint, BILLET_HINT_MAX)));
}

static void
host_resource(const struct billet_call *driver_call, const struct billet_resource *resource)
{
    struct host_call *call = driver_call->context;
    struct billet_resource copy = {0};
    if (call->operation != BILLET_OPERATION_list)
        return host_call_misuse(call, "reported a resource outside a list");
    memcpy(&copy, resource,
           resource->struct_size < sizeof(copy) ? (size_t)resource->struct_size : sizeof(copy));
    if (copy.ref == NULL || copy.deployment == NULL || copy.lease == NULL ||
        !billet_ref_is_valid(copy.ref))
        return host_call_misuse(call, "reported a resource without a valid ref or label");
    json_t *body = billet_message_resource(&copy);
    if (body != NULL && json_object_set_new(body, "event", json_string("resource")) == 0 &&
        billet_json_set_integer(body, "call", call->number))
        tell(call->host, json_incref(body));
    json_decref(body);
}

static void
host_key(const struct billet_call *driver_call, const struct billet_host_key *key)
{
    struct host_call *call = driver_call->context;
    struct billet_host_key copy = {0};
    if (call->operation != BILLET_OPERATION_trust)
        return host_call_misuse(call, "reported a host key outside of trust");
    memcpy(&copy, key, key->struct_size < sizeof(copy) ? (size_t)key->struct_size : sizeof(copy));
    if (!billet_host_key_is_valid(&copy))
        return host_call_misuse(call, "reported a host key without host, fingerprint or state");
    json_t *body = billet_message_host_key(&copy);
    if (body != NULL && json_object_set_new(body, "event", json_string("host_key")) == 0 &&
        billet_json_set_integer(body, "call", call->number))
        tell(call->host, json_incref(body));
    json_decref(body);
}

static void
host_fact(const struct billet_call *driver_call, const char *key, const char *value)
{
    struct host_call *call = driver_call->context;
    if (call->operation != BILLET_OPERATION_acquire && call->operation != BILLET_OPERATION_resume &&
        call->operation != BILLET_OPERATION_realize && call->operation != BILLET_OPERATION_dump)
        return host_call_misuse(call, "recorded a fact in an operation that keeps none");
    if (key == NULL || value == NULL || key[0] == '\0' || strlen(key) > BILLET_FACT_KEY_MAX ||
        !billet_text_is_utf8(key, strlen(key)))
        return host_call_misuse(call, "recorded a fact without a usable key");
    if (strlen(value) > BILLET_FACT_VALUE_MAX || !billet_text_is_utf8(value, strlen(value)))
        return host_call_misuse(call, "recorded a fact that is over 4096 bytes or not UTF-8");
    pthread_mutex_lock(&call->lock);
    bool full = json_object_size(call->facts) >= BILLET_FACTS_MAX &&
                json_object_get(call->facts, key) == NULL;
    if (!full)
        json_object_set_new(call->facts, key, json_string(value));
    pthread_mutex_unlock(&call->lock);
    if (full)
        host_call_misuse(call, "recorded more than 64 facts");
}

static void
host_started(const struct billet_call *driver_call, int64_t pid)
{
    struct host_call *call = driver_call->context;
    if (call->operation != BILLET_OPERATION_exec)
        return host_call_misuse(call, "said that a command started outside an exec");
    tell(call->host, json_pack("{s:s, s:I, s:I}", "event", "started", "call",
                               (json_int_t)call->number, "pid", (json_int_t)(pid > 0 ? pid : 0)));
}

void
host_table_fill(struct host *host)
{
    host->table = (struct billet_host){
        .struct_size = sizeof(host->table),
        .abi_major = BILLET_ABI_MAJOR,
        .abi_minor = BILLET_ABI_MINOR,
        .context = host,
        .log = host_log,
        .directory = host_directory,
        .check = host_check,
        .resource = host_resource,
        .fact = host_fact,
        .started = host_started,
        .host_key = host_key,
    };
}
