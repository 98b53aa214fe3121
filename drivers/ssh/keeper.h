/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - one connection to the host, and the shell that is kept at its far end: it answers
 * requests, holds locks, and ends what the connection started once the connection is gone.
 *
 * The process of the OpenSSH client is the master of all further sessions. A thread sends beats and
 * takes what the client says on standard error, bounded. Requests may come from any thread, one at
 * a time. Nothing that the host sends before our nonce is believed, and only a bounded amount of it
 * is read.
 */
#ifndef DRIVERS_SSH_KEEPER_H
#define DRIVERS_SSH_KEEPER_H

#include "client.h"
#include "quote.h"

/* helper.sh as one line. */
extern const char ssh_helper_text[];

#define SSH_CONNECTION_MAX 32

/* Connect and wait for the keeper: 0 or negative class. */
int ssh_keeper_open(const struct billet_call *call, const struct ssh_settings *settings,
                    struct ssh_keeper **keeper, struct billet_error *error);
/* Ends the connection; what it started goes with it unless ssh_keeper_keep was asked. NULL is fine.
 */
void ssh_keeper_close(struct ssh_keeper *keeper);

/* Begin a request: the verb; then words by ssh_text_word, each after a blank. */
struct ssh_answer {
    char text[SSH_PATH_MAX + 64]; /* what follows the nonce and the number */
};
typedef void ssh_item_visit(const char *item, void *context);
/* Send a request and wait until deadline_ns at most (0: a bound of its own). 0 when it is answered
 * with "ok", whose rest is in *answer; "failed ..." is UNAVAILABLE or CAPACITY with code
 * ssh_remote_failed; other answers are returned as 1 with the text. LOST when the connection is
 * gone. */
int ssh_keeper_ask(struct ssh_keeper *keeper, const char *request, int64_t deadline_ns,
                   struct ssh_answer *answer, ssh_item_visit *visit, void *context,
                   struct billet_error *error);
/* One without an answer; lost when the connection is. */
void ssh_keeper_tell(struct ssh_keeper *keeper, const char *request);

bool ssh_keeper_is_alive(struct ssh_keeper *keeper);
const char *ssh_keeper_connection(const struct ssh_keeper *keeper);
const char *ssh_keeper_home(const struct ssh_keeper *keeper);
const char *ssh_keeper_uid(const struct ssh_keeper *keeper);
/* As uname -m says it there. */
const char *ssh_keeper_machine(const struct ssh_keeper *keeper);
const struct ssh_place *ssh_keeper_place(const struct ssh_keeper *keeper);
/* Bytes that the login shell wrote before our program began. */
size_t ssh_keeper_noise(const struct ssh_keeper *keeper);
/* What the client said on standard error, for messages. */
void ssh_keeper_said(struct ssh_keeper *keeper, char *said, size_t size);

/* 32 random hexadecimal digits and a NUL. */
bool ssh_nonce(char nonce[33]);

#endif
