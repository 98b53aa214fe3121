/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "driver/client_internal.h"

/* A driver that watches its deadline gets the chance to say so itself. */
#define DEADLINE_GRACE_NS (BILLET_NS_PER_SECOND / 2)
/* From the word to give up until the host is killed. */
#define CANCEL_NS (2 * BILLET_NS_PER_SECOND)
/* A call that is sent ahead waits until the host has started. */
#define START_NS (10 * BILLET_NS_PER_SECOND)

static bool
offers(const struct billet_driver_client *client, int operation)
{
    return (client->info.callbacks & (UINT64_C(1) << operation)) != 0;
}

static int
unsupported(const struct billet_driver_client *client, const char *what, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment", "driver %s cannot %s",
                     client->info.name, what);
    return billet_error_hint(error, "billet driver list --features shows what each driver can do");
}

/* name NUL value NUL for each, in a sealed memory file; the only copies that are made. */
static int
seal_secrets(const struct billet_driver_call *call, int *fd, size_t *size,
             struct billet_error *error)
{
    *size = 0;
    for (size_t i = 0; i < call->secret_count; i++)
        *size += strlen(call->secrets[i].option) + strlen(call->secrets[i].value) + 2;
    char *bytes = malloc(*size);
    if (bytes == NULL)
        return billet_error_no_memory(error);
    char *at = bytes;
    for (size_t i = 0; i < call->secret_count; i++) {
        at = stpcpy(at, call->secrets[i].option) + 1;
        at = stpcpy(at, call->secrets[i].value) + 1;
    }
    int result = billet_frame_sealed(bytes, *size, fd, error);
    explicit_bzero(bytes, *size);
    free(bytes);
    return result;
}

/* A member that the host keeps: once it was said, true says that it is as before. One that changed
 * is taken over in *said. */
static bool
set_kept(json_t *body, const char *key, json_t **said, bool as_before, json_t *changed)
{
    if (as_before)
        return json_object_set_new(body, key, json_true()) == 0;
    json_decref(billet_steal(*said));
    *said = changed;
    return json_object_set(body, key, changed) == 0;
}

static bool
set_identity(struct billet_driver_client *client, json_t *body,
             const struct billet_identity *identity)
{
    bool same = billet_message_is_identity(client->said_identity, identity);
    return set_kept(body, "identity", &client->said_identity, same,
                    same ? NULL : billet_message_identity(identity));
}

static bool
set_settings(struct billet_driver_client *client, json_t *body,
             const struct billet_settings *settings)
{
    bool same = billet_message_is_settings(client->said_settings, settings);
    return set_kept(body, "settings", &client->said_settings, same,
                    same ? NULL : billet_message_settings(settings));
}

int
client_send(struct billet_driver_client *client, int operation,
            const struct billet_driver_call *call, json_t *arguments, const int *fds,
            size_t fd_count, int64_t deadline_ns, struct billet_error *error)
{
    const char *name = billet_operations[operation].name;
    cleanup_json json_t *body = json_object();
    cleanup_fd int secrets = -1;
    int all[BILLET_FRAME_FDS];
    size_t secrets_size = 0;
    struct billet_error why = BILLET_ERROR_INIT;

    if (body == NULL || json_object_set_new(body, "arguments", arguments) != 0)
        return billet_error_no_memory(error);
    bool good = billet_json_set_integer(body, "call", client->last_call + 1) &&
                json_object_set_new(body, "operation", json_string(name)) == 0 &&
                billet_json_set_unless_zero(body, "deadline", deadline_ns) &&
                billet_json_set_unless_zero(body, "flags", (int64_t)call->flags);
    if (good && call->identity != NULL)
        good = set_identity(client, body, call->identity);
    if (good && call->settings != NULL)
        good = set_settings(client, body, call->settings);
    if (!good)
        return billet_error_no_memory(error);
    if (fd_count > 0)
        memcpy(all, fds, fd_count * sizeof(int));
    if (call->secret_count > 0) {
        int result = seal_secrets(call, &secrets, &secrets_size, error);
        if (result < 0)
            return result;
        if (!billet_json_set_integer(body, "secrets", (int64_t)secrets_size))
            return billet_error_no_memory(error);
        all[fd_count++] = secrets;
    }
    int result = billet_frame_send(
        client->socket, body, all, fd_count,
        deadline_ns > 0 ? deadline_ns : billet_clock_monotonic() + 10 * BILLET_NS_PER_SECOND, &why);
    if (result == -BILLET_CLASS_LOST && !client->greeted)
        return 0; /* sent ahead to a host that is gone: why stands in its greeting */
    if (result == -BILLET_CLASS_LOST)
        return client_died(client, name, error);
    if (result == -BILLET_CLASS_TIMEOUT)
        return client_late(client, name, error);
    if (result < 0) {
        if (error != NULL)
            *error = why;
        return billet_error_wrap(error, "driver %s: %s", client->info.name, name);
    }
    client->last_call++;
    return 0;
}

static void
take_log(const struct billet_driver_client *client, const json_t *body)
{
    int64_t level = billet_json_integer(body, "level", BILLET_LOG_INFO);
    if (level < BILLET_LOG_ERROR || level > BILLET_LOG_DEBUG)
        level = BILLET_LOG_INFO;
    billet_log((int)level, "driver %s: %s", client->info.name,
               billet_json_string(body, "message", ""));
}

/* NULL, or what is wrong with it. */
static const char *
take_event(struct billet_driver_client *client, const json_t *body, int64_t number,
           const struct client_events *events)
{
    const char *kind = billet_json_string(body, "event", "");
    if (strcmp(kind, "log") == 0) {
        take_log(client, body);
        return NULL;
    }
    if (number == 0 || billet_json_integer(body, "call", -1) != number)
        return "an event of another call";
    if (strcmp(kind, "check") == 0 && events != NULL && events->check != NULL) {
        int64_t outcome = billet_json_integer(body, "outcome", 0);
        const char *name = billet_json_string(body, "name", "");
        if (outcome < BILLET_CHECK_PASS || outcome > BILLET_CHECK_FAIL || name[0] == '\0')
            return "a check without name or outcome";
        events->check((int)outcome, name, billet_json_string(body, "message", ""),
                      billet_json_string(body, "hint", ""), events->context);
        return NULL;
    }
    if (strcmp(kind, "resource") == 0 && events != NULL && events->resource != NULL) {
        cleanup_strings struct billet_strings memory = BILLET_STRINGS_INIT;
        struct billet_resource resource;
        if (!billet_message_get_resource(body, &resource, &memory))
            return "a malformed resource";
        events->resource(&resource, events->context);
        return NULL;
    }
    if (strcmp(kind, "host_key") == 0 && events != NULL && events->key != NULL) {
        cleanup_strings struct billet_strings memory = BILLET_STRINGS_INIT;
        struct billet_host_key key;
        if (!billet_message_get_host_key(body, &key, &memory))
            return "a malformed host key";
        events->key(&key, events->context);
        return NULL;
    }
    if (strcmp(kind, "started") == 0 && client->exec_call == number) {
        int64_t pid = billet_json_integer(body, "pid", 0);
        if (pid < 0)
            return "a negative process id";
        client->exec_state.started = true;
        client->exec_state.pid = pid;
        return NULL;
    }
    return "an unexpected event";
}

int
client_take(struct billet_driver_client *client, struct billet_frame *frame, const char *during,
            int64_t number, const struct client_events *events, json_t **result,
            struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    if (frame->fd_count > 0)
        return client_bad_answer(client, during, "unexpected descriptors", error);
    if (json_object_get(frame->body, "event") != NULL) {
        const char *wrong = take_event(client, frame->body, number, events);
        return wrong != NULL ? client_bad_answer(client, during, wrong, error) : 0;
    }
    if (number == 0 || billet_json_integer(frame->body, "answer", -1) != number)
        return client_bad_answer(client, during, "an answer to another call", error);
    const json_t *failed = json_object_get(frame->body, "error");
    if (failed != NULL) {
        /* It may have failed before the host had taken them. */
        json_decref(billet_steal(client->said_identity));
        json_decref(billet_steal(client->said_settings));
        if (!billet_message_get_error(failed, &said))
            return client_bad_answer(client, during, "a failure without reason", error);
        if (error != NULL)
            *error = said;
        /* The host found that the driver broke its contract: nothing it does can be relied on. */
        if (strcmp(said.code, "driver_bad_answer") == 0)
            return client_bury(client, &said);
        return -said.error_class;
    }
    json_t *object = json_object_get(frame->body, "result");
    if (!json_is_object(object))
        return client_bad_answer(client, during, "neither result nor error", error);
    *result = json_incref(object);
    return 1;
}

static int64_t
deadline_of(int operation, const struct billet_driver_call *call)
{
    return call->deadline_ns != 0
               ? call->deadline_ns
               : billet_clock_monotonic() + billet_operations[operation].deadline_ns;
}

/* An end is made all the same: what it would leave has no owner. */
static bool
can_be_interrupted(const struct billet_driver_client *client, int operation)
{
    return client->interrupt_fd >= 0 && operation != BILLET_OPERATION_release &&
           operation != BILLET_OPERATION_destroy;
}

/* The word to give up; a host that cannot take it is killed by the deadline that follows. */
static void
tell_cancel(const struct billet_driver_client *client)
{
    cleanup_json json_t *body = json_pack("{s:I}", "cancel", (json_int_t)client->last_call);
    if (body != NULL)
        billet_frame_send(client->socket, body, NULL, 0, -1, NULL);
}

/* Wait for the answer to the last call. */
static int
take_answer(struct billet_driver_client *client, int operation, int64_t deadline_ns,
            const struct client_events *events, json_t **result, struct billet_error *error)
{
    const char *name = billet_operations[operation].name;
    struct billet_error why = BILLET_ERROR_INIT;
    bool listens = can_be_interrupted(client, operation);
    bool cancelled = false;
    for (;;) {
        cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
        if (listens && !cancelled && client_interrupted(client, deadline_ns + DEADLINE_GRACE_NS)) {
            int64_t limit_ns = billet_clock_monotonic() + CANCEL_NS;
            cancelled = true;
            tell_cancel(client);
            deadline_ns = limit_ns < deadline_ns ? limit_ns : deadline_ns;
        }
        int outcome =
            billet_frame_receive(client->socket, &frame,
                                 cancelled ? deadline_ns : deadline_ns + DEADLINE_GRACE_NS, &why);
        if (outcome == -BILLET_CLASS_TIMEOUT && cancelled)
            return client_cancelled(client, name, error);
        /* Also a host that talks without end is late. */
        if (outcome == -BILLET_CLASS_TIMEOUT ||
            billet_clock_monotonic() > deadline_ns + 2 * DEADLINE_GRACE_NS)
            return client_late(client, name, error);
        if (outcome < 0)
            return client_bad_answer(client, name, why.message, error);
        if (frame.body == NULL)
            return client_died(client, name, error);
        outcome = client_take(client, &frame, name, client->last_call, events, result, error);
        if (outcome < 0 && cancelled && !client->dead)
            return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                    "cancelled during %s of driver %s", name, client->info.name);
        if (outcome != 0)
            return outcome < 0 ? outcome : 0;
    }
}

/* Ask and wait. arguments is taken over; *result is an object. */
static int
ask(struct billet_driver_client *client, int operation, const struct billet_driver_call *call,
    json_t *arguments, const int *fds, size_t fd_count, const struct client_events *events,
    json_t **result, struct billet_error *error)
{
    int64_t deadline_ns = deadline_of(operation, call);
    if (arguments == NULL)
        return billet_error_no_memory(error);
    if (can_be_interrupted(client, operation) &&
        client_interrupted(client, billet_clock_monotonic())) {
        json_decref(arguments);
        return billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                "cancelled before %s of driver %s",
                                billet_operations[operation].name, client->info.name);
    }
    int outcome =
        client_send(client, operation, call, arguments, fds, fd_count, deadline_ns, error);
    return outcome < 0 ? outcome
                       : take_answer(client, operation, deadline_ns, events, result, error);
}

int
billet_driver_check_config_begin(struct billet_driver_client *client,
                                 const struct billet_driver_call *call, struct billet_error *error)
{
    json_t *arguments = json_object();
    if (arguments == NULL)
        return billet_error_no_memory(error);
    int result = client_send(client, BILLET_OPERATION_check_config, call, arguments, NULL, 0,
                             deadline_of(BILLET_OPERATION_check_config, call) + START_NS, error);
    if (result == 0)
        client->early_call = client->last_call;
    return result;
}

/* The last call was sent ahead: now its answer is taken. */
static bool
was_sent(struct billet_driver_client *client)
{
    bool sent = client->early_call != 0 && client->early_call == client->last_call;
    client->early_call = 0;
    return sent;
}

int
billet_driver_check_config(struct billet_driver_client *client,
                           const struct billet_driver_call *call, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "check_config", error);
    if (ready < 0)
        return ready;
    if (was_sent(client))
        return take_answer(client, BILLET_OPERATION_check_config,
                           deadline_of(BILLET_OPERATION_check_config, call), NULL, &result, error);
    return ask(client, BILLET_OPERATION_check_config, call, json_object(), NULL, 0, NULL, &result,
               error);
}

int
billet_driver_probe(struct billet_driver_client *client, const struct billet_driver_call *call,
                    billet_driver_check_visit *visit, void *context, struct billet_error *error)
{
    struct client_events events = {.check = visit, .context = context};
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "probe", error);
    if (ready < 0)
        return ready;
    return ask(client, BILLET_OPERATION_probe, call, json_object(), NULL, 0, &events, &result,
               error);
}

static int
take_lease(struct billet_driver_client *client, const char *during, const json_t *result,
           struct billet_driver_lease *lease, struct billet_error *error)
{
    const char *ref = billet_json_string(result, "ref", "");
    json_t *facts = json_object_get(result, "facts");
    int64_t expires_ns = billet_json_integer(result, "expires", -1);
    if (!billet_ref_is_valid(ref))
        return client_bad_answer(client, during, "a ref that cannot be used", error);
    if (!billet_facts_are_valid(facts) || expires_ns < 0)
        return client_bad_answer(client, during, "malformed facts or expiry", error);
    billet_text_copy(lease->ref, sizeof(lease->ref), ref);
    lease->expires_ns = expires_ns;
    lease->facts = json_incref(facts);
    return 0;
}

static json_t *
acquire_arguments(int64_t ttl_ns, uint64_t hints)
{
    return json_pack("{s:I, s:I}", "ttl", (json_int_t)ttl_ns, "hints", (json_int_t)hints);
}

int
billet_driver_acquire_begin(struct billet_driver_client *client,
                            const struct billet_driver_call *call, int64_t ttl_ns, uint64_t hints,
                            struct billet_error *error)
{
    int result = client_ready(client, "acquire", error);
    if (result < 0)
        return result;
    json_t *arguments = acquire_arguments(ttl_ns, hints);
    if (arguments == NULL)
        return billet_error_no_memory(error);
    result = client_send(client, BILLET_OPERATION_acquire, call, arguments, NULL, 0,
                         deadline_of(BILLET_OPERATION_acquire, call), error);
    if (result == 0)
        client->early_call = client->last_call;
    return result;
}

int
billet_driver_acquire(struct billet_driver_client *client, const struct billet_driver_call *call,
                      int64_t ttl_ns, uint64_t hints, struct billet_driver_lease *lease,
                      struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int outcome = client_ready(client, "acquire", error);
    if (outcome < 0)
        return outcome;
    if (was_sent(client))
        outcome = take_answer(client, BILLET_OPERATION_acquire,
                              deadline_of(BILLET_OPERATION_acquire, call), NULL, &result, error);
    else
        outcome = ask(client, BILLET_OPERATION_acquire, call, acquire_arguments(ttl_ns, hints),
                      NULL, 0, NULL, &result, error);
    return outcome < 0 ? outcome : take_lease(client, "acquire", result, lease, error);
}

static json_t *
with_facts(json_t *arguments, const json_t *facts)
{
    if (arguments != NULL && facts != NULL &&
        json_object_set(arguments, "facts", (json_t *)(uintptr_t)facts) != 0) {
        json_decref(arguments);
        return NULL;
    }
    return arguments;
}

int
billet_driver_resume(struct billet_driver_client *client, const struct billet_driver_call *call,
                     const char *ref, const json_t *facts, bool shared,
                     struct billet_driver_lease *lease, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int outcome = client_ready(client, "resume", error);
    if (outcome < 0)
        return outcome;
    if (!offers(client, BILLET_OPERATION_resume))
        return unsupported(client, "take up a kept resource", error);
    outcome = ask(client, BILLET_OPERATION_resume, call,
                  with_facts(json_pack("{s:s, s:b}", "ref", ref, "shared", shared), facts), NULL, 0,
                  NULL, &result, error);
    return outcome < 0 ? outcome : take_lease(client, "resume", result, lease, error);
}

int
billet_driver_release(struct billet_driver_client *client, const struct billet_driver_call *call,
                      int disposition, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "release", error);
    if (ready < 0)
        return ready;
    return ask(client, BILLET_OPERATION_release, call,
               json_pack("{s:i}", "disposition", disposition), NULL, 0, NULL, &result, error);
}

int
billet_driver_destroy(struct billet_driver_client *client, const struct billet_driver_call *call,
                      const char *ref, const json_t *facts, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "destroy", error);
    if (ready < 0)
        return ready;
    /* A driver whose resources end with their release leaves nothing to be found later. */
    if (!offers(client, BILLET_OPERATION_destroy))
        return 0;
    return ask(client, BILLET_OPERATION_destroy, call,
               with_facts(json_pack("{s:s}", "ref", ref), facts), NULL, 0, NULL, &result, error);
}

int
billet_driver_list(struct billet_driver_client *client, const struct billet_driver_call *call,
                   billet_driver_resource_visit *visit, void *context, struct billet_error *error)
{
    struct client_events events = {.resource = visit, .context = context};
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "list", error);
    if (ready < 0)
        return ready;
    if (!offers(client, BILLET_OPERATION_list))
        return unsupported(client, "list its resources", error);
    return ask(client, BILLET_OPERATION_list, call, json_object(), NULL, 0, &events, &result,
               error);
}

static json_t *
realize_arguments(const struct billet_driver_realize *realize)
{
    json_t *arguments =
        json_pack("{s:i, s:o}", "mode", realize->mode, "path", billet_json_bytes(realize->path));
    if (arguments == NULL || realize->asset_count == 0)
        return arguments;
    json_t *list = json_array();
    bool good = json_object_set_new(arguments, "assets", list) == 0;
    for (size_t i = 0; good && i < realize->asset_count; i++)
        good = json_array_append_new(
                   list, json_pack("{s:o, s:o}", "name", billet_json_bytes(realize->assets[i].name),
                                   "path", billet_json_bytes(realize->assets[i].path))) == 0;
    if (good)
        return arguments;
    json_decref(arguments);
    return NULL;
}

/* A directory of the environment out of an answer of realize; "" where there need be none. */
static int
take_place(struct billet_driver_client *client, const json_t *result, const char *key, bool needed,
           struct billet_buffer *to, struct billet_error *error)
{
    char what[64];
    cleanup_free char *where = billet_json_get_bytes(json_object_get(result, key));
    if (where == NULL || strlen(where) >= sizeof(((struct billet_realized *)0)->directory) ||
        (where[0] != '/' && (needed || where[0] != '\0'))) {
        snprintf(what, sizeof(what), "%s is not an absolute path", key);
        return client_bad_answer(client, "realize", what, error);
    }
    billet_buffer_add(to, where);
    return to->failed ? billet_error_no_memory(error) : 0;
}

int
billet_driver_realize(struct billet_driver_client *client, const struct billet_driver_call *call,
                      const struct billet_driver_realize *realize, struct billet_buffer *directory,
                      json_t **facts, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int mode = realize->mode;
    int outcome = client_ready(client, "realize", error);
    if (outcome < 0)
        return outcome;
    if (mode < 0 || mode > BILLET_WORKSPACE_COPY ||
        (client->info.workspace_modes & (UINT64_C(1) << mode)) == 0 ||
        (mode != BILLET_WORKSPACE_NONE && !offers(client, BILLET_OPERATION_realize))) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                         "driver %s does not offer workspace = %s", client->info.name,
                         billet_workspace_mode_name(mode));
        return billet_error_hint(error,
                                 "billet driver list --features shows what each driver can do");
    }
    if (mode == BILLET_WORKSPACE_NONE && !offers(client, BILLET_OPERATION_realize)) {
        if (facts != NULL)
            *facts = json_object();
        return 0;
    }
    outcome = ask(client, BILLET_OPERATION_realize, call, realize_arguments(realize),
                  &realize->root_fd, realize->root_fd >= 0 ? 1 : 0, NULL, &result, error);
    if (outcome == 0)
        outcome = take_place(client, result, "directory", mode != BILLET_WORKSPACE_NONE, directory,
                             error);
    if (outcome == 0 && realize->asset_count > 0)
        outcome = take_place(client, result, "assets", true, realize->assets_directory, error);
    if (outcome < 0)
        return outcome;
    if (!billet_facts_are_valid(json_object_get(result, "facts")))
        return client_bad_answer(client, "realize", "malformed facts", error);
    if (facts != NULL)
        *facts = json_incref(json_object_get(result, "facts"));
    return 0;
}

int
billet_driver_dump(struct billet_driver_client *client, const struct billet_driver_call *call,
                   json_t **facts, struct billet_error *error)
{
    cleanup_json json_t *result = NULL;
    int outcome = client_ready(client, "dump", error);
    if (outcome < 0)
        return outcome;
    outcome =
        ask(client, BILLET_OPERATION_dump, call, json_object(), NULL, 0, NULL, &result, error);
    if (outcome < 0)
        return outcome;
    if (!billet_facts_are_valid(json_object_get(result, "facts")))
        return client_bad_answer(client, "dump", "malformed facts", error);
    *facts = json_incref(json_object_get(result, "facts"));
    return 0;
}

int
billet_driver_trust(struct billet_driver_client *client, const struct billet_driver_call *call,
                    bool forget, const char *const *accept, billet_driver_key_visit *visit,
                    void *context, struct billet_error *error)
{
    struct client_events events = {.key = visit, .context = context};
    cleanup_json json_t *result = NULL;
    int ready = client_ready(client, "trust", error);
    if (ready < 0)
        return ready;
    if (!offers(client, BILLET_OPERATION_trust))
        return unsupported(client, "look at host keys: it has none", error);
    json_t *arguments = json_pack("{s:b}", "forget", forget);
    if (arguments != NULL && !billet_message_set_list(arguments, "accept", accept)) {
        json_decref(arguments);
        arguments = NULL;
    }
    return ask(client, BILLET_OPERATION_trust, call, arguments, NULL, 0, &events, &result, error);
}
