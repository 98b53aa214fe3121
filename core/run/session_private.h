/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_private.h - what the files of a session share: the parts of its steps.
 */
#ifndef BILLET_RUN_SESSION_PRIVATE_H
#define BILLET_RUN_SESSION_PRIVATE_H

#include "run/session.h"

/* Among the lease's facts: how the workspace was brought in, for those who take the lease up later.
 */
#define BILLET_MODE_FACT "workspace_mode"

/* An empty session that billet_session_close accepts. */
void billet_session_begin(struct billet_session *session, struct billet_context *context,
                          const struct billet_session_request *request);
/* Judge the driver's file and start its host; from then on the request's signals interrupt it. */
int billet_session_start_driver(struct billet_session *session, const char *driver,
                                struct billet_error *error);
/* The code of a failed step, unless the caller interrupted it: that stays an interruption; or named
 * an asset that cannot be shown: that is known by its own code, whichever step finds it. */
int billet_session_step_failed(struct billet_error *error, const char *code);
/* The driver's greeting; session->info. */
int billet_session_await_driver(struct billet_session *session, struct billet_error *error);
/* A duration of [billet], 60 s when there is none. */
int64_t billet_session_duration(const struct billet_context *context, const char *key);
/* identity and call from the lease's row: before each call of the driver, for every step of the
 * lease replaces the row and its strings. */
void billet_session_fill_identity(struct billet_session *session);
/* variables: the environment's own, then the request's; the last of a name wins. */
int billet_session_fill_variables(struct billet_session *session, struct billet_error *error);
/* exec.started: with the lease's next step, or at once for a second user. */
int billet_session_add_start(struct billet_session *session, struct billet_error *error);
int billet_session_note_start(struct billet_session *session, struct billet_error *error);
/* The driver's settings as the lease records them, JSON; NULL without memory. */
char *billet_session_settings_text(const struct billet_session *session);

/* session_secrets.c. What can be refused before a lease exists; then, with the lease's id on
 * record, the values: into secrets, and the driver's part into call. */
int billet_session_check_secrets(struct billet_session *session, struct billet_error *error);
int billet_session_resolve_secrets(struct billet_session *session, struct billet_error *error);

/* workspace, workspace_fd: the directory as an absolute path, checked and held open. */
int billet_session_open_workspace(struct billet_session *session, const char *given,
                                  struct billet_error *error);
/* workspace_mode: the request's, else the environment's, else the driver's first. */
int billet_session_choose_mode(struct billet_session *session, struct billet_error *error);
/* A confined environment gets a project, never the root or a system directory. */
int billet_session_refuse_dangerous(const struct billet_session *session,
                                    struct billet_error *error);

/* More facts of the lease, written down at once. */
int billet_session_add_facts(struct billet_session *session, json_t *facts,
                             struct billet_error *error);

/* session_reuse.c. Whether this session takes part, and with which workspace mode; before the mode
 * is chosen. */
int billet_session_choose_reuse(struct billet_session *session, struct billet_error *error);
/* After the mode is chosen: what is reused has its workspace bound, or in place. */
int billet_session_check_reuse(struct billet_session *session, struct billet_error *error);
/* Take up a retained lease that was made alike, if there is one: then session->reused, and the
 * resource is ready for commands. Those that were made otherwise, or are too old or gone, are
 * ended; one of which nobody knows is left as it was. */
int billet_session_take_up(struct billet_session *session, struct billet_error *error);
/* End a retained lease, unless somebody else is faster; what goes wrong is logged. */
void billet_session_end_retained(struct billet_session *session, const char *id,
                                 const char *reason);
/* Begun lease: wait until fewer than max_leases older ones of the environment live. */
int billet_session_wait_turn(struct billet_session *session, struct billet_error *error);

/* How often a lease is renewed within its time. */
#define BILLET_BEATS_PER_TTL 4
/* The lease's heartbeat, as often as it is called; fails when the lease is lost. */
int billet_session_beat(void *context, struct billet_error *error);
/* Among the lease's facts: what its resource was made from. */
#define BILLET_REUSE_FACT "reuse_key"
#define BILLET_REUSE_POLICY "reuse"
/* Whether a signal asks for the end of waiting. */
bool billet_session_interrupted(const struct billet_session *session);
/* session_gate.c. For a command on a lease of another process: wait until nobody brings back. */
int billet_session_gate_enter(struct billet_session *session, struct billet_error *error);
/* For who brings back: let no more commands come; then, once those that are there were ended: 1
 * they have gone, 0 not yet. */
int billet_session_gate_shut(struct billet_session *session, struct billet_error *error);
int billet_session_gate_empty(struct billet_session *session, struct billet_error *error);
void billet_session_gate_open(struct billet_session *session);

/* session_travel.c: travel.directory exists. */
int billet_session_make_place(struct billet_session *session, struct billet_error *error);
/* The driver's realize, with the assets that it is to show. */
int billet_session_ask_driver(struct billet_session *session, int mode, int fd, const char *path,
                              struct billet_buffer *directory, json_t **facts,
                              struct billet_error *error);

/* One command with the lease's heartbeat. quiet: nothing goes to the status channel. */
int billet_session_drive(struct billet_session *session, const struct billet_session_exec *exec,
                         bool quiet, struct billet_ending *ending, struct billet_error *error);
/* Run the environment's provision command unless it has run for this workspace. */
int billet_session_provision(struct billet_session *session, struct billet_error *error);

#endif
