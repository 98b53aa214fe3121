/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who listens to the core while the main thread is inside the driver's exec. The thread is started
 * by the first exec and stays: a thread an exec costs a tenth of a short command. Between commands
 * the socket is not in its epoll set, so that it sleeps; nobody has to wake it for a command that
 * is left alone.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "driver/host.h"

#define WATCH_STACK ((size_t)256 * 1024)
#define LAST_GRACE_NS (5 * BILLET_NS_PER_SECOND)

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
cancel(struct host_watch *watch)
{
    uint64_t one = 1;
    watch->cancelled = true;
    while (write(watch->cancel_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* The next exec has not been cancelled. */
static void
forget_cancel(struct host_watch *watch)
{
    uint64_t count;
    while (watch->cancelled && read(watch->cancel_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    watch->cancelled = false;
}

static void
pass_signal(const struct host_call *watched, const json_t *body)
{
    struct host *host = watched->host;
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
    struct billet_call call = watched->call;
    call.deadline_ns = billet_clock_monotonic() + 5 * BILLET_NS_PER_SECOND;
    if (host->loaded.table.signal(&call, host->handle, &args, &said) != 0) {
        char line[BILLET_MESSAGE_MAX + 64];
        said.message[sizeof(said.message) - 1] = '\0';
        snprintf(line, sizeof(line), "signal %d was not delivered: %s", args.number, said.message);
        host->table.log(&host->table, BILLET_LOG_WARNING, line);
    }
}

/* No harm where it is done already. */
static void
ignore_socket(const struct host_watch *watch)
{
    epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, watch->call->host->socket, NULL);
}

/* Something is there on the socket. */
static void
listen_once(struct host_watch *watch)
{
    cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_frame_receive(watch->call->host->socket, &frame, -1, &error);
    if (result == -BILLET_CLASS_TIMEOUT)
        return;
    if (result < 0 || frame.body == NULL) {
        /* The core is gone, or not to be understood any more: the command must not outlive it. */
        watch->give_up_ns = billet_clock_monotonic() + watch->kill_after_ns + LAST_GRACE_NS;
        ignore_socket(watch);
        cancel(watch);
        return;
    }
    if (billet_json_integer(frame.body, "signal", -1) == watch->call->number)
        pass_signal(watch->call, frame.body);
    else if (billet_json_integer(frame.body, "cancel", -1) == watch->call->number)
        cancel(watch);
}

/* Milliseconds until the command must be gone whose core is; -1: no such moment. */
static int
patience(const struct host_watch *watch)
{
    if (watch->give_up_ns == 0)
        return -1;
    int64_t left = (watch->give_up_ns - billet_clock_monotonic()) / 1000000;
    if (left <= 0) {
        kill_children();
        _exit(125);
    }
    return left > INT_MAX ? INT_MAX : (int)left + 1;
}

static void *
watch_main(void *argument)
{
    struct host_watch *watch = argument;
    struct epoll_event event;
    int timeout = -1;
    for (;;) {
        int count = epoll_wait(watch->epoll_fd, &event, 1, timeout);
        if (count < 0 && errno != EINTR)
            return NULL;
        pthread_mutex_lock(&watch->lock);
        if (count > 0 && watch->call != NULL && watch->give_up_ns == 0)
            listen_once(watch);
        timeout = patience(watch);
        pthread_mutex_unlock(&watch->lock);
    }
}

static int
start_thread(struct host_watch *watch, struct billet_error *error)
{
    pthread_attr_t attributes;
    pthread_t thread;
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (watch->epoll_fd < 0)
        return billet_error_errno(error, 0, "internal", errno, "cannot make an event");
    watch->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->cancel_fd < 0) {
        int result = billet_error_errno(error, 0, "internal", errno, "cannot make an event");
        billet_close(&watch->epoll_fd);
        return result;
    }
    pthread_mutex_init(&watch->lock, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
#if !defined(__SANITIZE_ADDRESS__)
    pthread_attr_setstacksize(&attributes, WATCH_STACK);
#endif
    int failed = pthread_create(&thread, &attributes, watch_main, watch);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        billet_close(&watch->epoll_fd);
        billet_close(&watch->cancel_fd);
        return billet_error_errno(error, 0, "internal", failed, "cannot start a thread");
    }
    watch->runs = true;
    return 0;
}

int
host_watch_begin(struct host_call *call, int64_t kill_after_ns, struct billet_error *error)
{
    struct host_watch *watch = &call->host->watch;
    int result = watch->runs ? 0 : start_thread(watch, error);
    if (result < 0)
        return result;
    pthread_mutex_lock(&watch->lock);
    watch->call = call;
    call->call.cancel_fd = watch->cancel_fd;
    watch->kill_after_ns = kill_after_ns;
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, call->host->socket, &event) != 0) {
        result = billet_error_errno(error, 0, "internal", errno, "cannot wait for events");
        watch->call = NULL;
    }
    pthread_mutex_unlock(&watch->lock);
    return result;
}

void
host_watch_end(struct host *host)
{
    struct host_watch *watch = &host->watch;
    pthread_mutex_lock(&watch->lock);
    ignore_socket(watch);
    forget_cancel(watch);
    watch->call = NULL;
    watch->give_up_ns = 0;
    pthread_mutex_unlock(&watch->lock);
}
