/* SPDX-License-Identifier: Apache-2.0 */
#include "run/status.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/redact.h"

#define FULL_CHANNEL_MS 1000

#define STATUS_TIMED_OUT 124
#define STATUS_FAILED 125
#define STATUS_NOT_INVOCABLE 126
#define STATUS_NOT_FOUND 127

int
billet_ending_status(const struct billet_ending *ending)
{
    switch (ending->outcome) {
    case BILLET_OUTCOME_EXITED:
        return ending->value & 0xff;
    case BILLET_OUTCOME_SIGNALLED:
        return 128 + ending->value;
    case BILLET_OUTCOME_TIMED_OUT:
        return STATUS_TIMED_OUT;
    case BILLET_OUTCOME_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case BILLET_OUTCOME_NOT_INVOCABLE:
        return STATUS_NOT_INVOCABLE;
    case BILLET_OUTCOME_CANCELLED:
        return ending->value > 0 ? 128 + ending->value : STATUS_FAILED;
    default:
        return STATUS_FAILED;
    }
}

json_t *
billet_ending_json(const struct billet_ending *ending)
{
    json_t *object = json_pack(
        "{s:b, s:b, s:s, s:b, s:i}", "timed_out", ending->outcome == BILLET_OUTCOME_TIMED_OUT,
        "cancelled", ending->outcome == BILLET_OUTCOME_CANCELLED, "origin", ending->origin,
        "retryable", ending->retryable, "status", billet_ending_status(ending));
    if (object == NULL)
        return NULL;
    switch (ending->outcome) {
    case BILLET_OUTCOME_EXITED:
        json_object_set_new(object, "code", json_integer(ending->value));
        break;
    case BILLET_OUTCOME_SIGNALLED:
        json_object_set_new(object, "signal", json_integer(ending->value));
        break;
    case BILLET_OUTCOME_NOT_FOUND:
    case BILLET_OUTCOME_NOT_INVOCABLE:
        json_object_set_new(object, "errno", json_integer(ending->value));
        json_object_set_new(object, "reason", json_string(strerror(ending->value)));
        break;
    default:
        break;
    }
    return object;
}

json_t *
billet_error_json(const struct billet_error *error)
{
    json_t *object =
        json_pack("{s:s, s:s, s:b}", "class", billet_error_class_name(error->error_class), "code",
                  error->code, "retryable", error->retryable);
    if (object == NULL)
        return NULL;
    json_object_set_new(object, "message", billet_json_bytes(error->message));
    if (error->hint[0] != '\0')
        json_object_set_new(object, "hint", billet_json_bytes(error->hint));
    if (error->sys_errno != 0)
        json_object_set_new(object, "errno", json_integer(error->sys_errno));
    return object;
}

void
billet_status_write(int fd, const char *key, json_t *object)
{
    cleanup_json json_t *line = json_object();
    if (fd < 0 || line == NULL || object == NULL) {
        json_decref(object);
        return;
    }
    json_object_set_new(line, key, object);
    cleanup_free char *text = json_dumps(line, JSON_COMPACT);
    if (text == NULL)
        return;
    billet_redact_text(text);
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL: one write, one line */
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (poll(&room, 1, FULL_CHANNEL_MS) <= 0)
        return; /* its reader sleeps: the run does not wait for it */
    billet_io_write_all(fd, text, length + 1, NULL);
}
