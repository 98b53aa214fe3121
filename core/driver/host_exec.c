/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "driver/host.h"

#define WATCH_STACK (256 * 1024)
#define LAST_GRACE_NS (5 * BILLET_NS_PER_SECOND)

/* The thread that listens to the core while the main thread is inside the driver's exec. */
struct watch {
    struct host_call *call;
    int cancel_fd;
    int stop_fd;
    int64_t kill_after_ns;
    int64_t give_up_ns; /* the core is gone: end the process at this time; 0: it is there */
};

/* Kill what the driver started and did not end; this process adopts orphans (subreaper), so a few
 * rounds reach grandchildren too. */
static void
kill_children(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    for (int round = 0; round < 50; round++) {
        bool any = false;
        long pid;
        cleanup_file FILE *list = fopen(path, "re");
        while (list != NULL && fscanf(list, "%ld", &pid) == 1 && pid > 1) {
            kill((pid_t)pid, SIGKILL);
            any = true;
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (!any)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static void
wake(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void
pass_signal(struct watch *watch, const json_t *body)
{
    struct host *host = watch->call->host;
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_signal args = {
        .struct_size = sizeof(args),
        .number = (int32_t)billet_json_integer(body, "number", 0),
        .rows = (int32_t)billet_json_integer(body, "rows", 0),
        .columns = (int32_t)billet_json_integer(body, "columns", 0),
    };
    /* The model forbids a second call while exec runs; the core knows and does not ask. */
    if (host->loaded.table.signal == NULL || host->loaded.thread_model < BILLET_THREADS_SIGNAL)
        return;
    if (args.number < 1 || args.number > 64)
        return;
    struct billet_call call = watch->call->call;
    call.deadline_ns = billet_clock_monotonic() + 5 * BILLET_NS_PER_SECOND;
    if (host->loaded.table.signal(&call, host->handle, &args, &said) != 0) {
        char line[BILLET_MESSAGE_MAX + 64];
        said.message[sizeof(said.message) - 1] = '\0';
        snprintf(line, sizeof(line), "signal %d was not delivered: %s", args.number, said.message);
        host->table.log(&host->table, BILLET_LOG_WARNING, line);
    }
}

/* Something is there on the socket. */
static void
listen_once(struct watch *watch)
{
    cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_frame_receive(watch->call->host->socket, &frame, -1, &error);
    if (result == -BILLET_CLASS_TIMEOUT)
        return;
    if (result < 0 || frame.body == NULL) {
        /* The core is gone, or not to be understood any more: the command must not outlive it. */
        watch->give_up_ns = billet_clock_monotonic() + watch->kill_after_ns + LAST_GRACE_NS;
        wake(watch->cancel_fd);
        return;
    }
    if (billet_json_integer(frame.body, "signal", -1) == watch->call->number)
        pass_signal(watch, frame.body);
    else if (billet_json_integer(frame.body, "cancel", -1) == watch->call->number)
        wake(watch->cancel_fd);
}

static void *
watch_main(void *argument)
{
    struct watch *watch = argument;
    for (;;) {
        int timeout = -1;
        if (watch->give_up_ns > 0) {
            int64_t left = (watch->give_up_ns - billet_clock_monotonic()) / 1000000;
            if (left <= 0) {
                kill_children();
                _exit(125);
            }
            timeout = left > INT_MAX ? INT_MAX : (int)left + 1;
        }
        struct pollfd fds[2] = {
            {.fd = watch->stop_fd, .events = POLLIN},
            {.fd = watch->give_up_ns > 0 ? -1 : watch->call->host->socket, .events = POLLIN},
        };
        if (poll(fds, 2, timeout) < 0 && errno != EINTR)
            return NULL;
        if (fds[0].revents != 0)
            return NULL;
        if (fds[1].revents != 0)
            listen_once(watch);
    }
}

static int
start_watch(struct watch *watch, pthread_t *thread, struct billet_error *error)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
#if !defined(__SANITIZE_ADDRESS__)
    pthread_attr_setstacksize(&attributes, WATCH_STACK);
#endif
    int failed = pthread_create(thread, &attributes, watch_main, watch);
    pthread_attr_destroy(&attributes);
    if (failed != 0)
        return billet_error_errno(error, 0, "internal", failed, "cannot start a thread");
    return 0;
}

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
    cleanup_fd int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct billet_error said = BILLET_ERROR_INIT;
    struct billet_exec args;
    struct billet_exec_result filled = {.struct_size = sizeof(filled)};
    pthread_t thread;

    if (cancel_fd < 0 || stop_fd < 0)
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
    struct watch watch = {.call = call,
                          .cancel_fd = cancel_fd,
                          .stop_fd = stop_fd,
                          .kill_after_ns = args.kill_after_ns};
    int outcome = start_watch(&watch, &thread, error);
    if (outcome < 0)
        return outcome;
    int32_t returned = host->loaded.table.exec(&call->call, host->handle, &args, &filled, &said);
    wake(stop_fd);
    pthread_join(thread, NULL);
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
