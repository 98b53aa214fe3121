/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "driver/host.h"
#include "driver/operation.h"

int
host_bad_answer(const struct host_call *call, struct billet_error *error, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_answer",
                     "driver %s gave a bad answer in %s (a bug of the driver): %s",
                     call->host->name, billet_operations[call->operation].name, what);
    return billet_error_hint(error, "tell the author of the driver");
}

int
host_judge(const struct host_call *call, int32_t returned, struct billet_error *said,
           struct billet_error *error)
{
    const char *operation = billet_operations[call->operation].name;
    if (returned > 0)
        return host_bad_answer(call, error, "it returned %d", returned);
    if (call->misuse[0] != '\0')
        return host_bad_answer(call, error, "it %s", call->misuse);
    if (returned == 0) {
        if (said->error_class != 0)
            return host_bad_answer(call, error, "success, but with an error filled in");
        return 0;
    }
    said->code[sizeof(said->code) - 1] = '\0';
    said->message[sizeof(said->message) - 1] = '\0';
    said->hint[sizeof(said->hint) - 1] = '\0';
    if (said->message[0] == '\0') {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_no_reason",
                         "driver %s failed in %s without a reason (a bug of the driver)",
                         call->host->name, operation);
        return billet_error_hint(error, "tell the author of the driver");
    }
    if (returned < -BILLET_CLASS_INTERNAL)
        return host_bad_answer(call, error, "it returned %d", returned);
    billet_error_set(error, -returned, said->code[0] != '\0' ? said->code : "driver_failed", "%s",
                     said->message);
    if (said->hint[0] != '\0')
        billet_error_hint(error, "%s", said->hint);
    error->retryable = said->retryable != 0;
    error->sys_errno = said->sys_errno;
    return returned;
}

static int
malformed(const struct host_call *call, struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "malformed arguments of %s",
                            billet_operations[call->operation].name);
}

static int
run_check_config(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    (void)result;
    if (call->host->loaded.table.check_config == NULL)
        return 0;
    return host_judge(call, call->host->loaded.table.check_config(&call->call, &said), &said,
                      error);
}

static int
run_probe(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    (void)result;
    if (call->host->loaded.table.probe == NULL)
        return 0;
    return host_judge(call, call->host->loaded.table.probe(&call->call, &said), &said, error);
}

static int
run_list(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    (void)result;
    return host_judge(call, call->host->loaded.table.list(&call->call, &said), &said, error);
}

static int
run_dump(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    if (call->host->loaded.table.dump != NULL) {
        int judged =
            host_judge(call, call->host->loaded.table.dump(&call->call, &said), &said, error);
        if (judged < 0)
            return judged;
    }
    *result = json_pack("{s:O}", "facts", call->facts);
    return 0;
}

/* What acquire and resume have in common: keep the handle, check what came with it. */
static int
take_lease(struct host_call *call, struct billet_acquired *acquired, json_t **result,
           struct billet_error *error)
{
    if (memchr(acquired->ref, '\0', sizeof(acquired->ref)) == NULL ||
        !billet_ref_is_valid(acquired->ref))
        return host_bad_answer(call, error, "the ref is empty, too long or has control bytes");
    if (acquired->expires_ns < 0)
        return host_bad_answer(call, error, "a negative time of expiry");
    call->host->handle = acquired->handle;
    call->host->holds_lease = true;
    *result = json_pack("{s:s, s:I, s:O}", "ref", acquired->ref, "expires",
                        (json_int_t)acquired->expires_ns, "facts", call->facts);
    return 0;
}

static int
run_acquire(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_acquire args = {.struct_size = sizeof(args),
                                  .ttl_ns = billet_json_integer(call->arguments, "ttl", 0),
                                  .hints =
                                      (uint64_t)billet_json_integer(call->arguments, "hints", 0)};
    struct billet_acquired acquired = {.struct_size = sizeof(acquired)};
    int judged = host_judge(
        call, call->host->loaded.table.acquire(&call->call, &args, &acquired, &said), &said, error);
    return judged < 0 ? judged : take_lease(call, &acquired, result, error);
}

/* Facts of the frame as the driver wants them: pointers into the frame's own strings. */
static bool
get_facts(const struct host_call *call, struct billet_fact facts[BILLET_FACTS_KEPT],
          uint64_t *count)
{
    const json_t *object = json_object_get(call->arguments, "facts");
    const char *key;
    json_t *value;
    *count = 0;
    if (object == NULL)
        return true;
    if (!json_is_object(object) || json_object_size(object) > BILLET_FACTS_KEPT)
        return false;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        if (!json_is_string(value))
            return false;
        facts[(*count)++] = (struct billet_fact){key, json_string_value(value)};
    }
    return true;
}

static int
run_resume(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_fact facts[BILLET_FACTS_KEPT];
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_resume args = {
        .struct_size = sizeof(args),
        .flags = billet_json_boolean(call->arguments, "shared", false) ? BILLET_RESUME_SHARED : 0,
        .ref = billet_json_string(call->arguments, "ref", ""),
        .facts = facts};
    struct billet_acquired acquired = {.struct_size = sizeof(acquired)};
    if (!billet_ref_is_valid(args.ref) || !get_facts(call, facts, &args.fact_count))
        return malformed(call, error);
    int judged = host_judge(
        call, call->host->loaded.table.resume(&call->call, &args, &acquired, &said), &said, error);
    return judged < 0 ? judged : take_lease(call, &acquired, result, error);
}

static int
run_release(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    int64_t disposition = billet_json_integer(call->arguments, "disposition", 0);
    (void)result;
    if (disposition < BILLET_DISPOSE_DESTROY || disposition > BILLET_DISPOSE_KEEP)
        return malformed(call, error);
    struct billet_lease_handle *handle = billet_steal(call->host->handle);
    call->host->holds_lease = false; /* ended in any case */
    return host_judge(
        call, call->host->loaded.table.release(&call->call, handle, (int32_t)disposition, &said),
        &said, error);
}

static int
run_destroy(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_fact facts[BILLET_FACTS_KEPT];
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_destroy args = {.struct_size = sizeof(args),
                                  .ref = billet_json_string(call->arguments, "ref", ""),
                                  .facts = facts};
    (void)result;
    if ((args.ref[0] != '\0' && !billet_ref_is_valid(args.ref)) ||
        !get_facts(call, facts, &args.fact_count))
        return malformed(call, error);
    return host_judge(call, call->host->loaded.table.destroy(&call->call, &args, &said), &said,
                      error);
}

/* Assets of the frame: one name and one path each, of the call's memory. */
static bool
get_assets(struct host_call *call, struct billet_asset assets[BILLET_ASSETS_MAX], uint64_t *count)
{
    const json_t *list = json_object_get(call->arguments, "assets");
    *count = 0;
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > BILLET_ASSETS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        struct billet_asset *asset = &assets[(*count)++];
        asset->name = billet_message_get_bytes(item, "name", 255, &call->memory);
        asset->path = billet_message_get_bytes(item, "path", 4095, &call->memory);
        if (asset->name == NULL || asset->path == NULL || asset->path[0] != '/')
            return false;
    }
    return true;
}

/* A directory that the driver told: absolute, or "" where there need be none. */
static bool
is_place(const char *text, size_t size, bool needed)
{
    return memchr(text, '\0', size) != NULL && (text[0] == '/' || (!needed && text[0] == '\0'));
}

static int
run_realize(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_asset assets[BILLET_ASSETS_MAX];
    struct billet_realized realized = {.struct_size = sizeof(realized)};
    struct billet_realize args = {
        .struct_size = sizeof(args),
        .mode = (int32_t)billet_json_integer(call->arguments, "mode", -1),
        .root_fd = call->fd_count > 0 ? call->fds[0] : -1,
        .path = billet_message_get_bytes(call->arguments, "path", 4095, &call->memory),
        .assets = assets};
    if (args.path == NULL || call->fd_count > 1 || args.mode < 0 || args.mode > 63 ||
        (call->host->loaded.table.workspace_modes & (UINT64_C(1) << args.mode)) == 0 ||
        !get_assets(call, assets, &args.asset_count))
        return malformed(call, error);
    int judged = host_judge(
        call,
        call->host->loaded.table.realize(&call->call, call->host->handle, &args, &realized, &said),
        &said, error);
    if (judged < 0)
        return judged;
    if (!is_place(realized.directory, sizeof(realized.directory),
                  args.mode != BILLET_WORKSPACE_NONE))
        return host_bad_answer(call, error, "the directory is not an absolute path");
    if (!is_place(realized.assets, sizeof(realized.assets), args.asset_count > 0))
        return host_bad_answer(call, error, "it does not say where the assets are");
    *result = json_pack("{s:o, s:o, s:O}", "directory", billet_json_bytes(realized.directory),
                        "assets", billet_json_bytes(realized.assets), "facts", call->facts);
    return 0;
}

static int
run_trust(struct host_call *call, json_t **result, struct billet_error *error)
{
    cleanup_strings struct billet_strings accept = BILLET_STRINGS_INIT;
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_trust args = {
        .struct_size = sizeof(args),
        .flags = billet_json_boolean(call->arguments, "forget", false) ? BILLET_TRUST_FORGET : 0};
    (void)result;
    if (!billet_json_list(call->arguments, "accept", &accept))
        return malformed(call, error);
    args.accept = billet_strings_list(&accept);
    return host_judge(call, call->host->loaded.table.trust(&call->call, &args, &said), &said,
                      error);
}

/* How each operation is run, whether its callback must be there, and whether it needs a lease (1),
 * must not have one (-1), or does not care (0). signal comes during exec only; files go through
 * exec so far. */
static const struct {
    int (*run)(struct host_call *call, json_t **result, struct billet_error *error);
    bool callback;
    int lease;
    bool identity;
} handlers[BILLET_OPERATION_COUNT] = {
    [BILLET_OPERATION_check_config] = {run_check_config, false, 0, false},
    [BILLET_OPERATION_probe] = {run_probe, false, 0, false},
    [BILLET_OPERATION_acquire] = {run_acquire, true, -1, true},
    [BILLET_OPERATION_resume] = {run_resume, true, -1, true},
    [BILLET_OPERATION_release] = {run_release, true, 1, true},
    [BILLET_OPERATION_destroy] = {run_destroy, true, 0, true},
    [BILLET_OPERATION_list] = {run_list, true, 0, false},
    [BILLET_OPERATION_realize] = {run_realize, true, 1, true},
    [BILLET_OPERATION_exec] = {host_exec, true, 1, true},
    [BILLET_OPERATION_dump] = {run_dump, false, 0, false},
    [BILLET_OPERATION_trust] = {run_trust, true, 0, false},
};

/* It stays for the calls that follow. */
static bool
take_identity(struct host *host, const json_t *said)
{
    if (json_is_true(said))
        return host->has_identity;
    billet_strings_free(&host->identity_memory);
    host->has_identity = billet_message_get_identity(said, &host->identity, &host->identity_memory);
    return host->has_identity;
}

static int
run(struct host_call *call, const json_t *body, int *secrets_fd, json_t **result,
    struct billet_error *error)
{
    const struct billet_driver *table = &call->host->loaded.table;
    const json_t *identity = json_object_get(body, "identity");
    uint64_t flags = (uint64_t)billet_json_integer(body, "flags", 0);
    int operation = call->operation;

    if (operation < 0 || handlers[operation].run == NULL)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "unknown operation");
    if (handlers[operation].callback &&
        (billet_operation_callbacks(table) & (UINT64_C(1) << operation)) == 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "unsupported_environment",
                                "driver %s does not offer %s", call->host->name,
                                billet_operations[operation].name);
    if (handlers[operation].lease != 0 &&
        (handlers[operation].lease > 0) != call->host->holds_lease)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "driver_wrong_order",
                                "%s on a driver host that %s a lease",
                                billet_operations[operation].name,
                                call->host->holds_lease ? "holds" : "does not hold");
    if ((flags & ~(uint64_t)BILLET_CALL_DRY_RUN) != 0 ||
        (flags != 0 && operation != BILLET_OPERATION_destroy))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "unknown flags 0x%llx in %s", (unsigned long long)flags,
                                billet_operations[operation].name);
    call->call = (struct billet_call){
        .struct_size = sizeof(call->call),
        .flags = flags,
        .deadline_ns = billet_json_integer(body, "deadline", 0),
        /* No frame comes during a call other than exec, so the socket is readable exactly when the
         * core is gone. */
        .cancel_fd = call->host->socket,
        .context = call,
    };
    if (identity != NULL) {
        if (!take_identity(call->host, identity))
            return malformed(call, error);
        if (handlers[operation].identity)
            call->call.identity = &call->host->identity;
    } else if (handlers[operation].identity) {
        return malformed(call, error);
    }
    int prepared = host_config(call, body, secrets_fd, error);
    if (prepared < 0)
        return prepared;
    return handlers[operation].run(call, result, error);
}

static int
answer(const struct host_call *call, int outcome, json_t *result, const struct billet_error *error)
{
    cleanup_json json_t *body = json_object();
    json_t *member = result != NULL ? json_incref(result) : json_object();
    if (outcome < 0) {
        json_decref(member);
        member = billet_message_error(error);
    }
    if (body == NULL || !billet_json_set_integer(body, "answer", call->number) ||
        json_object_set_new(body, outcome < 0 ? "error" : "result", member) != 0)
        return -BILLET_CLASS_CAPACITY;
    return billet_frame_send(call->host->socket, body, NULL, 0, 0, NULL);
}

int
host_dispatch(struct host *host, struct billet_frame *frame)
{
    const char *name = billet_json_string(frame->body, "operation", NULL);
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_json json_t *result = NULL;
    struct host_call call = {
        .host = host,
        .number = billet_json_integer(frame->body, "call", -1),
        .operation = name != NULL ? billet_operation_by_name(name) : -1,
        .arguments = json_object_get(frame->body, "arguments"),
        .fds = frame->fds,
        .fd_count = frame->fd_count,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .facts = json_object(),
    };
    cleanup_fd int secrets_fd = -1;
    int sent;

    if (call.number < 0) {
        /* A signal or cancel that crossed with the end of its exec. */
        json_decref(call.facts);
        return json_object_get(frame->body, "signal") != NULL ||
                       json_object_get(frame->body, "cancel") != NULL
                   ? 0
                   : -BILLET_CLASS_INTERNAL;
    }
    if (json_object_get(frame->body, "secrets") != NULL && call.fd_count > 0)
        secrets_fd = billet_steal_fd(&frame->fds[--call.fd_count]);
    int outcome = call.facts == NULL ? billet_error_no_memory(&error)
                                     : run(&call, frame->body, &secrets_fd, &result, &error);
    /* Before the core knows of the end: with the answer no value is here any more. */
    host_config_free(&call);
    sent = answer(&call, outcome, result, &error);
    /* Let the core go on, where it waits for this very processor: what follows is no haste. */
    sched_yield();
    billet_strings_free(&call.memory);
    json_decref(call.facts);
    return sent;
}
