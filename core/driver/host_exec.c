/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "driver/host.h"

#define VARIABLE "env."

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
    cleanup_fd int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_exec args;
    struct billet_exec_result filled = {.struct_size = sizeof(filled)};

    if (cancel_fd < 0)
        return billet_error_errno(error, 0, "internal", errno, "cannot make an event");
    if (call->fd_count != 3 ||
        !billet_message_get_exec(call->arguments, &args, &argv, &environment, &call->memory))
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "malformed arguments of exec");
    cleanup_free const char **variables = NULL;
    if (!add_secret_variables(call, &environment, &variables))
        return billet_error_no_memory(error);
    args.environment = variables;
    if ((args.flags & ~(uint64_t)BILLET_EXEC_PTY) != 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown exec flags");
    args.stdin_fd = call->fds[0];
    args.stdout_fd = call->fds[1];
    args.stderr_fd = call->fds[2];
    call->call.cancel_fd = cancel_fd;
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
