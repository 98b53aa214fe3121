/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "driver/client_internal.h"

/* Beyond what the driver was given to end a command. */
#define LAST_GRACE_NS (5 * BILLET_NS_PER_SECOND)
/* From the call to the word that the command runs; a driver may have a long way to go. */
#define START_NS (120 * BILLET_NS_PER_SECOND)
#define FRAMES_A_STEP 256

static int64_t
sum(int64_t a, int64_t b)
{
    int64_t result;
    return __builtin_add_overflow(a, b, &result) ? INT64_MAX : result;
}

static void
limit_exec(struct billet_driver_client *client, int64_t room_ns)
{
    client->exec_limit_ns =
        sum(billet_clock_monotonic(), sum(room_ns, sum(client->exec_kill_after_ns, LAST_GRACE_NS)));
}

int
billet_driver_exec_begin(struct billet_driver_client *client, const struct billet_driver_call *call,
                         const struct billet_driver_exec *exec, struct billet_error *error)
{
    struct billet_exec args = {
        .struct_size = sizeof(args),
        .flags = exec->pty ? BILLET_EXEC_PTY : 0,
        .argv = exec->argv,
        .environment = exec->environment,
        .directory = exec->directory,
        .rows = exec->rows,
        .columns = exec->columns,
        .hints = exec->hints,
        .timeout_ns = exec->timeout_ns,
        .kill_after_ns = exec->kill_after_ns,
    };
    int result = client_ready(client, "exec", error);
    if (result < 0)
        return result;
    if (exec->argv == NULL || exec->argv[0] == NULL || exec->timeout_ns < 0 ||
        exec->kill_after_ns < 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "bad arguments of exec");
    if (exec->pty && (client->info.capabilities & BILLET_CAN_PTY) == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                                "driver %s cannot give a command a terminal", client->info.name);
    json_t *arguments = billet_message_exec(&args);
    if (arguments == NULL)
        return billet_error_no_memory(error);
    result = client_send(client, BILLET_OPERATION_exec, call, arguments, exec->fds, 3,
                         call->deadline_ns, error);
    if (result < 0)
        return result;
    client->exec_call = client->last_call;
    client->exec_timeout_ns = exec->timeout_ns;
    client->exec_kill_after_ns = exec->kill_after_ns;
    client->exec_cancelled = false;
    client->exec_limit_ns = 0;
    client->exec_state = (struct billet_driver_exec_state){0};
    if (exec->timeout_ns > 0)
        limit_exec(client, sum(exec->timeout_ns, START_NS));
    return 0;
}

int
billet_driver_poll_fd(const struct billet_driver_client *client)
{
    return client->socket;
}

static int
no_exec(const struct billet_driver_client *client, struct billet_error *error)
{
    if (client->dead)
        return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_gone", "driver %s is gone: %s",
                                client->info.name, client->why.message);
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "driver_wrong_order",
                            "no command runs on driver %s", client->info.name);
}

/* A process that the host left behind may hold the socket, so its end need not show there. */
static bool
has_ended(const struct billet_driver_client *client)
{
    struct pollfd host = {.fd = client->pidfd, .events = POLLIN};
    return client->pidfd >= 0 && poll(&host, 1, 0) == 1;
}

int
billet_driver_exec_step(struct billet_driver_client *client, struct billet_driver_exec_state *state,
                        struct billet_error *error)
{
    struct billet_error why = BILLET_ERROR_INIT;
    if (client->exec_call == 0)
        return no_exec(client, error);
    for (int i = 0; i < FRAMES_A_STEP; i++) {
        __attribute__((cleanup(billet_frame_free))) struct billet_frame frame = BILLET_FRAME_INIT;
        cleanup_json json_t *answer = NULL;
        bool was_started = client->exec_state.started;
        int result = billet_frame_receive(client->socket, &frame, -1, &why);
        if (result == -BILLET_CLASS_TIMEOUT) {
            if (!has_ended(client))
                break;
            /* Once more for what it said just before. If there is nothing, somebody else holds its
             * socket open. */
            result = billet_frame_receive(client->socket, &frame, -1, &why);
            if (result == -BILLET_CLASS_TIMEOUT)
                return client_died(client, "exec", error);
        }
        if (result < 0)
            return client_bad_answer(client, "exec", why.message, error);
        if (frame.body == NULL)
            return client_died(client, "exec", error);
        result = client_take(client, &frame, "exec", client->exec_call, NULL, &answer, error);
        if (result < 0) {
            client->exec_call = 0;
            return result;
        }
        if (!was_started && client->exec_state.started && client->exec_timeout_ns > 0 &&
            !client->exec_cancelled)
            limit_exec(client, client->exec_timeout_ns);
        if (result == 1) {
            struct billet_exec_result filled;
            if (!billet_message_get_exec_result(answer, &filled))
                return client_bad_answer(client, "exec", "outcome or value out of range", error);
            client->exec_call = 0;
            client->exec_state.ended = true;
            client->exec_state.result = filled;
            if (filled.started_pid > 0) {
                client->exec_state.started = true;
                client->exec_state.pid = filled.started_pid;
            }
            *state = client->exec_state;
            return 0;
        }
    }
    if (client->exec_limit_ns > 0 && billet_clock_monotonic() >= client->exec_limit_ns)
        return client_late(client, client->exec_cancelled ? "the cancel of exec" : "exec", error);
    *state = client->exec_state;
    return 0;
}

/* A small frame beside the running exec. */
static int
tell(struct billet_driver_client *client, json_t *body, struct billet_error *error)
{
    struct billet_error why = BILLET_ERROR_INIT;
    if (body == NULL)
        return billet_error_no_memory(error);
    int result = billet_frame_send(client->socket, body, NULL, 0,
                                   billet_clock_monotonic() + BILLET_NS_PER_SECOND, &why);
    json_decref(body);
    if (result == -BILLET_CLASS_LOST)
        return 0; /* the next step finds the end, with its reason */
    if (result < 0) {
        if (error != NULL)
            *error = why;
        return billet_error_wrap(error, "driver %s", client->info.name);
    }
    return 0;
}

int
billet_driver_exec_signal(struct billet_driver_client *client, int number, int rows, int columns,
                          struct billet_error *error)
{
    if (client->exec_call == 0)
        return no_exec(client, error);
    if ((client->info.capabilities & BILLET_CAN_SIGNAL) == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                                "driver %s cannot deliver signals", client->info.name);
    return tell(client,
                json_pack("{s:I, s:i, s:i, s:i}", "signal", (json_int_t)client->exec_call, "number",
                          number, "rows", rows, "columns", columns),
                error);
}

int
billet_driver_exec_cancel(struct billet_driver_client *client, struct billet_error *error)
{
    if (client->exec_call == 0)
        return no_exec(client, error);
    if (!client->exec_cancelled) {
        client->exec_cancelled = true;
        limit_exec(client, 0);
    }
    return tell(client, json_pack("{s:I}", "cancel", (json_int_t)client->exec_call), error);
}
