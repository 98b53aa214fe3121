/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "driver/host.h"

#define VARIABLE "env."

/* What every command of billet has, whatever was asked for. The core need not say it again. */
static bool
add_labels(struct billet_strings *environment, const struct billet_identity *identity)
{
    const struct {
        const char *name;
        const char *value;
    } labels[] = {
        {"BILLET_LEASE_ID", identity->lease}, {"BILLET_ENVIRONMENT", identity->environment},
        {"BILLET_TENANT", identity->tenant},  {"BILLET_RUN_ID", identity->run},
        {"BILLET_AGENT_ID", identity->agent}, {"BILLET_ISSUE_ID", identity->issue},
    };
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (labels[i].value[0] != '\0' &&
            !billet_strings_set(environment, labels[i].name, labels[i].value))
            return false;
    return true;
}

/*
 * Variables that hold secrets come as "env.NAME" beside the secrets of options; what the command
 * line or billet itself sets goes before them. They never leave the pages that they came in: the
 * NUL after a name becomes '=', and *list, the whole environment, points there. The list alone is
 * the caller's to free.
 */
static bool
add_secret_variables(struct host_call *call, const struct billet_strings *environment,
                     const char ***list)
{
    char *end = call->secrets != NULL ? call->secrets + call->secrets_size : NULL;
    size_t room = environment->count + 1;
    for (const char *at = call->secrets; at < end; at += strnlen(at, (size_t)(end - at)) + 1)
        room++;
    const char **made = malloc(room * sizeof(*made));
    if (made == NULL)
        return false;
    size_t count = 0;
    while (count < environment->count) {
        made[count] = environment->items[count];
        count++;
    }
    for (char *at = call->secrets; at < end;) {
        char *value = at + strnlen(at, (size_t)(end - at)) + 1;
        if (value >= end)
            break;
        char *next = value + strnlen(value, (size_t)(end - value)) + 1;
        if (next <= end && billet_text_starts(at, VARIABLE) &&
            billet_strings_value(environment, at + strlen(VARIABLE)) == NULL) {
            value[-1] = '=';
            made[count++] = at + strlen(VARIABLE);
        }
        at = next;
    }
    made[count] = NULL;
    *list = made;
    return true;
}

int
host_exec(struct host_call *call, json_t **result, struct billet_error *error)
{
    struct host *host = call->host;
    cleanup_strings struct billet_strings argv = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_exec args;
    struct billet_exec_result filled = {.struct_size = sizeof(filled)};

    if (call->fd_count != 3 ||
        !billet_message_get_exec(call->arguments, &args, &argv, &environment, &call->memory))
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "malformed arguments of exec");
    cleanup_free const char **variables = NULL;
    if (!add_labels(&environment, call->call.identity) ||
        !add_secret_variables(call, &environment, &variables))
        return billet_error_no_memory(error);
    args.environment = variables;
    if ((args.flags & ~(uint64_t)BILLET_EXEC_PTY) != 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown exec flags");
    args.stdin_fd = call->fds[0];
    args.stdout_fd = call->fds[1];
    args.stderr_fd = call->fds[2];
    int outcome = host_watch_begin(call, args.kill_after_ns, error);
    if (outcome < 0)
        return outcome;
    int32_t returned = host->loaded.table.exec(&call->call, host->handle, &args, &filled, &said);
    host_watch_end(host);
    outcome = host_judge(call, returned, &said, error);
    if (outcome < 0)
        return outcome;
    filled.struct_size = sizeof(filled);
    if (!billet_exec_result_is_valid(&filled))
        return host_bad_answer(call, error, "outcome %d with value %d", filled.outcome,
                               filled.value);
    *result = billet_message_exec_result(&filled);
    return 0;
}
