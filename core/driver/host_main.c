/* SPDX-License-Identifier: Apache-2.0 */
/*
 * billet-driver-host NAME PATH RUNTIME STATE LIBEXEC - serves one driver over the socket that is
 * descriptor 3. Started by core/driver/client.c; of no use by hand.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/heap.h"
#include "driver/client.h"
#include "driver/host.h"
#include "driver/operation.h"

#define STATUS_USAGE 125

#if defined(BILLET_COVERAGE)
extern void __gcov_dump(void);
#endif

/* Leaving runs no destructor of the driver: what it links may not survive one. A leak checker works
 * at exit, so a build with sanitizers takes the long way. */
static _Noreturn void
leave(int status)
{
#if defined(__SANITIZE_ADDRESS__)
    exit(status);
#else
#if defined(BILLET_COVERAGE)
    __gcov_dump();
#endif
    _exit(status);
#endif
}

/* A driver holds secrets: no core dump, no ptrace by others, unless a developer asks for it. */
static void
harden(void)
{
    const char *wanted = getenv("BILLET_DRIVER_CORE");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    if (wanted != NULL && strcmp(wanted, "1") == 0)
        return;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

static json_t *
hello(const struct host *host)
{
    const struct billet_driver *table = &host->loaded.table;
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:o}", "hello", 1, "name",
                     host->loaded.note.name, "version", host->loaded.note.version, "text",
                     table->text, "abi_major", (int)table->abi_major, "abi_minor",
                     (int)table->abi_minor, "threads", host->loaded.thread_model, "capabilities",
                     (json_int_t)table->capabilities, "modes", (json_int_t)table->workspace_modes,
                     "callbacks", (json_int_t)billet_operation_callbacks(table), "options",
                     billet_options_to_json(table->options, (size_t)table->option_count));
}

static int
greet(struct host *host)
{
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_driver_load(host->name, host->path, &host->table, &host->loaded, &error);
    cleanup_json json_t *body =
        result < 0 ? json_pack("{s:o}", "failed", billet_message_error(&error)) : hello(host);
    if (body == NULL || billet_frame_send(host->socket, body, NULL, 0, 0, NULL) < 0)
        return -BILLET_CLASS_LOST;
    return result;
}

/* The core sends its first call before it has read the greeting. A socket that is closed over
 * frames that nobody has read resets its peer, which then loses the reason for the failure. */
static void
await_hangup(int socket)
{
    for (;;) {
        cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
        if (billet_frame_receive(socket, &frame, 0, NULL) < 0 || frame.body == NULL)
            return;
    }
}

int
main(int argc, char **argv)
{
    int type = 0;
    socklen_t size = sizeof(type);
    if (argc != 6 || getsockopt(BILLET_HOST_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
        type != SOCK_SEQPACKET) {
        fprintf(stderr, "billet-driver-host: started by billet, not by hand\n");
        return STATUS_USAGE;
    }
    struct host host = {.name = argv[1],
                        .path = argv[2],
                        .directories = {"", argv[3], argv[4], argv[5]},
                        .socket = BILLET_HOST_SOCKET};
    billet_heap_prepare((size_t)160 * 1024);
    harden();
    /* What the driver starts must not hold the socket. */
    if (fcntl(host.socket, F_SETFD, FD_CLOEXEC) != 0)
        return STATUS_USAGE;
    host_table_fill(&host);
    if (greet(&host) < 0) {
        await_hangup(host.socket);
        leave(STATUS_USAGE);
    }
    for (;;) {
        cleanup_frame struct billet_frame frame = BILLET_FRAME_INIT;
        struct billet_error error = BILLET_ERROR_INIT;
        if (billet_frame_receive(host.socket, &frame, 0, &error) < 0) {
            host.table.log(&host.table, BILLET_LOG_ERROR, error.message);
            leave(STATUS_USAGE);
        }
        if (frame.body == NULL)
            break;
        if (host_dispatch(&host, &frame) < 0)
            break;
    }
    leave(0);
}
