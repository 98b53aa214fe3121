/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git.h - the git history of a session's workspace, on its way there and back beside the files
 * (travel.h). For the modes overlay and copy, where the workspace is the top of a git work tree and
 * the environment's workspace_git allows it.
 *
 * Never fails a run because there is no git, here or there: then the reason is in travel.git_note,
 * and the files travel without history.
 */
#ifndef BILLET_RUN_GIT_H
#define BILLET_RUN_GIT_H

#include "run/session.h"

/* Read the repository, in a thread beside what a run does anyway. After the workspace was begun. */
void billet_session_git_begin(struct billet_session *session);
/* Whether it does; waits for what begin does. */
bool billet_session_git_travels(struct billet_session *session);
/* The files are in directory: bring the history there too, or cover what an overlay shows. */
int billet_session_git_bring_in(struct billet_session *session, const char *directory,
                                struct billet_error *error);
/* On a held lease, under the lock of the workspace: what an earlier process brought in. */
int billet_session_git_take_up(struct billet_session *session, struct billet_error *error);
/* On a held lease: send what is new here, unless there is something new there too. */
int billet_session_git_push(struct billet_session *session, struct billet_error *error);
/* While the environment lives: fetch what is new there, and have it settled with the files. What
 * goes wrong is in travel.git_error: the files come back in any case. */
void billet_session_git_receive(struct billet_session *session);
/* The files were merged. Negative: what is new there could not be had. */
int billet_session_git_conclude(struct billet_session *session, struct billet_error *error);
/* For a later process, with a lease that is held. */
int billet_session_git_keep(struct billet_session *session, struct billet_error *error);
/* Before the workspace is ended. */
void billet_session_git_end(struct billet_session *session);
/* What was done, for the caller of a run; taken out of the session. */
void billet_session_git_tell(struct billet_session *session, struct billet_run_git *result);

#endif
