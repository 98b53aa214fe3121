/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_internal.h - what the files of the client share: its state, one call on
 * the wire, and how a host that broke its contract ends.
 */
#ifndef BILLET_DRIVER_CLIENT_INTERNAL_H
#define BILLET_DRIVER_CLIENT_INTERNAL_H

#include "driver/client.h"
#include "driver/frame.h"
#include "driver/message.h"
#include "driver/operation.h"

struct billet_driver_client {
    struct billet_driver_info info;
    pid_t pid; /* 0 once reaped */
    int pidfd;
    int socket;
    int interrupt_fd; /* the caller's; -1: none */
    bool greeted;
    bool dead;
    struct billet_error why; /* it died of */
    int64_t last_call;
    int64_t early_call; /* number of a call whose answer is to be taken later, 0: none */
    /* What the host holds of the calls before, NULL: nothing. true in a frame says "as before". */
    json_t *said_identity;
    json_t *said_settings;
    /* the exec that runs, 0: none */
    int64_t exec_call;
    int64_t exec_limit_ns; /* the host is killed then; 0: never */
    int64_t exec_timeout_ns;
    int64_t exec_kill_after_ns;
    bool exec_cancelled;
    struct billet_driver_exec_state exec_state;
};

/* Who is told of events while a call waits. */
struct client_events {
    billet_driver_check_visit *check;
    billet_driver_resource_visit *resource;
    billet_driver_key_visit *key;
    void *context;
};

/* Kill and reap the host; every later call fails with driver_gone and what *error says. Returns the
 * class of error again. */
int client_bury(struct billet_driver_client *client, struct billet_error *error);
/* The socket ended: say how the process did. */
int client_died(struct billet_driver_client *client, const char *during,
                struct billet_error *error);
int client_bad_answer(struct billet_driver_client *client, const char *during, const char *why,
                      struct billet_error *error);
int client_late(struct billet_driver_client *client, const char *during,
                struct billet_error *error);
/* Killed because the caller's interrupt came. */
int client_cancelled(struct billet_driver_client *client, const char *during,
                     struct billet_error *error);
/* Wait until a frame can be received or the deadline (CLOCK_MONOTONIC; 0: none) has passed, which
 * the receiving then finds out: false. True: the interrupt came first. */
bool client_interrupted(const struct billet_driver_client *client, int64_t deadline_ns);
/* Not dead, greeted (waits), no exec under way. */
int client_ready(struct billet_driver_client *client, const char *operation,
                 struct billet_error *error);

/* Send one call; its number is client->last_call then. arguments is taken over. */
int client_send(struct billet_driver_client *client, int operation,
                const struct billet_driver_call *call, json_t *arguments, const int *fds,
                size_t fd_count, int64_t deadline_ns, struct billet_error *error);
/* Look at one frame that arrived during a call. 1: it is the answer, *result is its object; 0: an
 * event, dealt with; negative: the call failed. */
int client_take(struct billet_driver_client *client, struct billet_frame *frame, const char *during,
                int64_t number, const struct client_events *events, json_t **result,
                struct billet_error *error);

#endif
