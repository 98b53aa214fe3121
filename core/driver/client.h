/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - core's side of a driver: starts billet-driver-host for one driver
 * and offers one function per operation of its table.
 *
 * Each function supplies what a missing callback means, checks arguments and answers, keeps the
 * deadline (then kills the host), and turns a host that died, answered late, short, too large or
 * nonsense into an error of class DRIVER (TIMEOUT for the deadline) that names the driver, the
 * operation and what happened. After such an error the client is dead: every further call fails
 * with code driver_gone, and the caller goes on with a new one (destroy by ref and lease id).
 */
#ifndef BILLET_DRIVER_CLIENT_H
#define BILLET_DRIVER_CLIENT_H

#include <billet/driver.h>
#include <billet/option.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/strings.h"
#include "config/option.h"
#include "config/setting.h"

/* What the host said of its driver when it started: owned copies, checked. */
struct billet_driver_info {
    char name[BILLET_NAME_MAX];
    char version[BILLET_NAME_MAX];
    char path[4096];
    char text[512];
    uint32_t abi_major;
    uint32_t abi_minor;
    int thread_model;
    uint64_t capabilities;
    uint64_t workspace_modes;
    uint64_t callbacks; /* bit n: the n-th operation of driver/operation.def is there */
    struct billet_option_table options;
};

struct billet_driver_client; /* opaque */

struct billet_driver_paths {
    const char *host_program;      /* billet-driver-host, absolute */
    const char *runtime_directory; /* given to the driver */
    const char *state_directory;
    const char *libexec_directory;
};

/* Start a host for the shared object at path, which has passed billet_driver_note_check. Waits for
 * its greeting until the deadline (CLOCK_MONOTONIC). */
int billet_driver_start(const char *name, const char *path, const struct billet_driver_paths *paths,
                        int64_t deadline_ns, struct billet_driver_client **client,
                        struct billet_error *error);
/* The same in two halves, so that the caller can work meanwhile: begin only spawns; the first other
 * call (or await) waits for the greeting. */
int billet_driver_begin(const char *name, const char *path, const struct billet_driver_paths *paths,
                        struct billet_driver_client **client, struct billet_error *error);
int billet_driver_await(struct billet_driver_client *client, int64_t deadline_ns,
                        struct billet_error *error);
/* Tell the host to end, without waiting for it: it serves no more calls, and billet_driver_stop has
 * less to wait for. */
void billet_driver_dismiss(struct billet_driver_client *client);
/* End the host (EOF, then kill after 2 s) and free. NULL is fine. */
void billet_driver_stop(struct billet_driver_client *client);

const struct billet_driver_info *billet_driver_info(const struct billet_driver_client *client);
int billet_driver_pid(const struct billet_driver_client *client);
bool billet_driver_alive(const struct billet_driver_client *client);

/* While fd is readable (-1: never; stays the caller's), waiting for the greeting, check_config,
 * probe, acquire, resume, list, realize, dump and trust end early, with class CANCELLED and code
 * cancelled: the driver is told to give up, and a host that has not answered after 2 s is killed.
 * What the call had done by then is unknown, as after a deadline. An answer of success is success.
 * release and destroy are never interrupted. */
void billet_driver_set_interrupt(struct billet_driver_client *client, int fd);

/* The value of one secret field, resolved; travels in a sealed memfd. */
struct billet_driver_secret {
    const char *option;
    const char *value; /* the caller's; not kept */
};

/* What a call is made with; deadline 0 means the operation's default of operation.def. */
struct billet_driver_call {
    const struct billet_identity *identity;
    const struct billet_settings *settings; /* driver settings as written; the host types them */
    int64_t deadline_ns;
    uint64_t flags;
    const struct billet_driver_secret
        *secrets; /* for the options of the settings that hold references */
    size_t secret_count;
};

/* Messages of the driver's log() go to billet_log, prefixed with its name. Facts of a call: JSON
 * object. */
typedef void billet_driver_check_visit(int outcome, const char *name, const char *message,
                                       const char *hint, void *context);
typedef void billet_driver_resource_visit(const struct billet_resource *resource, void *context);

/* Send the same ahead, while the host still starts: billet_driver_check_config with the same call
 * then only takes the answer. To be the first call of a client. */
int billet_driver_check_config_begin(struct billet_driver_client *client,
                                     const struct billet_driver_call *call,
                                     struct billet_error *error);
int billet_driver_check_config(struct billet_driver_client *client,
                               const struct billet_driver_call *call, struct billet_error *error);
int billet_driver_probe(struct billet_driver_client *client, const struct billet_driver_call *call,
                        billet_driver_check_visit *visit, void *context,
                        struct billet_error *error);

struct billet_driver_lease {
    char ref[BILLET_REF_MAX];
    int64_t expires_ns;
    json_t *facts; /* owned by the caller */
};
/* Send it, and do something else until billet_driver_acquire takes the answer, which is to be the
 * next call. */
int billet_driver_acquire_begin(struct billet_driver_client *client,
                                const struct billet_driver_call *call, int64_t ttl_ns,
                                uint64_t hints, struct billet_error *error);
int billet_driver_acquire(struct billet_driver_client *client,
                          const struct billet_driver_call *call, int64_t ttl_ns, uint64_t hints,
                          struct billet_driver_lease *lease, struct billet_error *error);
int billet_driver_resume(struct billet_driver_client *client, const struct billet_driver_call *call,
                         const char *ref, const json_t *facts, bool shared,
                         struct billet_driver_lease *lease, struct billet_error *error);
int billet_driver_release(struct billet_driver_client *client,
                          const struct billet_driver_call *call, int disposition,
                          struct billet_error *error);
int billet_driver_destroy(struct billet_driver_client *client,
                          const struct billet_driver_call *call, const char *ref,
                          const json_t *facts, struct billet_error *error);
int billet_driver_list(struct billet_driver_client *client, const struct billet_driver_call *call,
                       billet_driver_resource_visit *visit, void *context,
                       struct billet_error *error);
struct billet_driver_realize {
    int mode;         /* BILLET_WORKSPACE_* */
    int root_fd;      /* -1: none */
    const char *path; /* "" without one */
    const struct billet_asset *assets;
    size_t asset_count;
    struct billet_buffer *assets_directory; /* where commands find them; NULL without assets */
};
/* facts: what the driver recorded, to be merged into the lease's; may be NULL. */
int billet_driver_realize(struct billet_driver_client *client,
                          const struct billet_driver_call *call,
                          const struct billet_driver_realize *realize,
                          struct billet_buffer *directory, json_t **facts,
                          struct billet_error *error);
int billet_driver_dump(struct billet_driver_client *client, const struct billet_driver_call *call,
                       json_t **facts, struct billet_error *error);

/* forget: take back what is known; else look, and keep the keys whose fingerprints are in accept
 * (NULL-terminated). CONFIG with unsupported_environment when the driver knows no host keys. */
typedef void billet_driver_key_visit(const struct billet_host_key *key, void *context);
int billet_driver_trust(struct billet_driver_client *client, const struct billet_driver_call *call,
                        bool forget, const char *const *accept, billet_driver_key_visit *visit,
                        void *context, struct billet_error *error);

/* exec does not block: begin it, poll the fd of billet_driver_poll_fd for POLLIN together with
 * whatever else the caller pumps, call billet_driver_exec_step when it is readable or at least each
 * second. */
struct billet_driver_exec {
    const char *const *argv;
    const char *const *environment;
    const char *directory;
    int fds[3]; /* stdin, stdout, stderr; still the caller's */
    bool pty;
    int rows;
    int columns;
    int64_t timeout_ns;
    int64_t kill_after_ns;
    uint32_t hints; /* BILLET_HINT_* */
};
int billet_driver_exec_begin(struct billet_driver_client *client,
                             const struct billet_driver_call *call,
                             const struct billet_driver_exec *exec, struct billet_error *error);
int billet_driver_poll_fd(const struct billet_driver_client *client);
struct billet_driver_exec_state {
    bool started; /* the command itself runs; pid as the driver gave it */
    bool ended;   /* result is filled */
    int64_t pid;
    struct billet_exec_result result;
};
/* Takes what has arrived, without blocking. Negative when the exec failed (driver error or dead
 * host). */
int billet_driver_exec_step(struct billet_driver_client *client,
                            struct billet_driver_exec_state *state, struct billet_error *error);
/* To the command of the running exec; SIGWINCH with rows and columns. Does not wait for an answer.
 */
int billet_driver_exec_signal(struct billet_driver_client *client, int number, int rows,
                              int columns, struct billet_error *error);
/* Make cancel_fd of the running exec readable; the end still comes through exec_step. When the host
 * has not ended it after kill_after plus 5 s, exec_step kills the host. */
int billet_driver_exec_cancel(struct billet_driver_client *client, struct billet_error *error);

/* The NULL-terminated names of capability bits; billet-drivers(7) prints the same. */
struct billet_capability {
    uint64_t bit;
    const char *name;
    const char *callback; /* that must be there with it, or "" */
    int lowest_threads;   /* thread model it needs, or 0 */
    const char *text;
};
extern const struct billet_capability billet_capabilities[];
const char *billet_workspace_mode_name(int mode);    /* "in_place" ... */
int billet_workspace_mode_by_name(const char *name); /* -1 unknown */

#endif
