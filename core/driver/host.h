/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - the inside of billet-driver-host: one driver, one socket, one call at
 * a time; signals and cancels while an exec runs.
 *
 * Never opens a store or a key. The driver's functions run in the main thread (so that children
 * tied to their parent's thread live as long as the host); while an exec runs, a second thread
 * reads the socket and is the one that calls signal(). It is there from the first exec on.
 */
#ifndef BILLET_DRIVER_HOST_INTERNAL_H
#define BILLET_DRIVER_HOST_INTERNAL_H

#include <pthread.h>

#include "config/option.h"
#include "driver/frame.h"
#include "driver/loader.h"
#include "driver/message.h"

/* Of the second thread; all but runs and the descriptors under the lock. */
struct host_watch {
    bool runs;
    int epoll_fd;
    int cancel_fd; /* of one exec after the other */
    bool cancelled;
    pthread_mutex_t lock;
    struct host_call *call; /* the exec that runs, NULL: none */
    int64_t kill_after_ns;
    int64_t give_up_ns; /* the core is gone: end the process at this time; 0: it is there */
};

struct host {
    const char *name;
    const char *path;
    const char *directories[4]; /* by BILLET_DIRECTORY_* */
    int socket;
    struct billet_host table;
    struct billet_loaded loaded;
    bool holds_lease;
    struct billet_lease_handle *handle;
    struct host_watch watch;
    /* Of the calls before, for those that say no more than "as before". */
    struct billet_identity identity;
    struct billet_strings identity_memory;
    bool has_identity;
    struct billet_values values;
    bool has_values;
};

/* One call while it runs; behind billet_call.context. */
struct host_call {
    struct host *host;
    int64_t number;
    int operation;
    const json_t *arguments;
    const int *fds; /* of the arguments */
    size_t fd_count;
    struct billet_call call;
    struct billet_config config;
    struct billet_strings memory;
    char *secrets; /* private pages; wiped at the end */
    size_t secrets_size;
    pthread_mutex_t lock; /* of what follows */
    json_t *facts;
    char misuse[256]; /* what the driver did wrong through the host table, or "" */
};

/* host_table.c: what the driver may call. */
void host_table_fill(struct host *host);
void host_call_misuse(struct host_call *call, const char *what);

/* host_dispatch.c: answer one frame with a call. Negative when the peer is gone or talks nonsense.
 */
int host_dispatch(struct host *host, struct billet_frame *frame);
/* Did the driver keep the contract of a return value? Turns *said into *error, else into what it
 * did wrong. Returns 0 or a negative class. */
int host_judge(const struct host_call *call, int32_t returned, struct billet_error *said,
               struct billet_error *error);
int host_bad_answer(const struct host_call *call, struct billet_error *error, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));

/* host_watch.c: listen to the core from here on, for what concerns this exec: its signals pass, its
 * cancel and the core's end wake the call's cancel_fd, which is set here, and the process ends some
 * seconds after the core did.
 * 0 or a negative class; then there is nothing to end. */
int host_watch_begin(struct host_call *call, int64_t kill_after_ns, struct billet_error *error);
/* Returns once no signal() of it runs any more. */
void host_watch_end(struct host *host);

/* host_exec.c */
int host_exec(struct host_call *call, json_t **result, struct billet_error *error);

/* host_config.c: settings and secrets of the frame into call->config; closes *secrets_fd. */
int host_config(struct host_call *call, const json_t *body, int *secrets_fd,
                struct billet_error *error);
void host_config_free(struct host_call *call);

#endif
