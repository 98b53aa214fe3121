/* SPDX-License-Identifier: Apache-2.0 */
/*
 * travel.h - the workspace of one session on its way there and back: lock, baseline,
 * bringing in, bringing back. For the modes overlay and copy; in the others the command works in
 * the directory itself and every function here does nothing.
 *
 * What is held between processes (a lease that is kept) is in the lease's facts and in
 * STATE/travel/LEASE: the copy (tree) and the baseline of the last exchange.
 */
#ifndef BILLET_RUN_TRAVEL_H
#define BILLET_RUN_TRAVEL_H

#include <billet/types.h>

#include "base/json.h"
#include "run/beside.h"
#include "run/context.h"
#include "workspace/owners.h"
#include "workspace/workspace.h"

struct billet_git;
struct billet_run_git_reading;
struct billet_session;

/* What became of the repository, for the caller of a run. */
struct billet_run_git {
    bool travels;
    char note[160]; /* why it does not, or "" */
    uint64_t sent_objects;
    struct billet_git_report report;
};

struct billet_travel {
    struct billet_workspace *workspace; /* locked while not NULL */
    struct billet_beside baseline;      /* of a far workspace: taken while the lease is acquired */
    struct billet_beside keeping;       /* and written down while it is brought in */
    struct billet_owners *owners;       /* while it is not known whether an overlay will do */
    struct billet_filter filter;
    int gate_fd;     /* session_gate.c; 0: none */
    char *upper;     /* of an overlay */
    char *directory; /* STATE/travel/LEASE, once it is needed */
    bool stopped;    /* nothing of the lease runs, its handle is given back */
    bool returned;   /* what the command changed is in the workspace */
    struct billet_run_git_reading *reading; /* run/git.h */
    struct billet_git *git;                 /* travels; NULL: it does not */
    char git_note[160];                     /* why */
    uint64_t git_sent;                      /* objects */
    struct billet_error git_error;          /* it could not be had back; class 0: it was */
    uint64_t sent_bytes;
    uint64_t sent_files;
};

/* Whether the workspace of this session has to be brought in and back. */
bool billet_session_travels(const struct billet_session *session);

/* Its copy is on another machine. */
bool billet_session_is_far(const struct billet_session *session);

/* Before the lease: lock (says so and waits while another run works on it), complete what an
 * interrupted run left, take the baseline. */
int billet_session_travel_begin(struct billet_session *session, struct billet_error *error);
/* Until the baseline is there. */
int billet_session_travel_await(struct billet_session *session, struct billet_error *error);
/* The same for a held lease: only lock, for session->lease_id, also where it is locked for another;
 * and then, with its facts as they are under the lock, take up what an earlier process began. */
int billet_session_travel_lock(struct billet_session *session, struct billet_error *error);
int billet_session_travel_resume(struct billet_session *session, const json_t *facts,
                                 struct billet_error *error);
/* In place of the driver's realize. Where nobody chose the mode and an overlay will not do, this
 * decides on another and says why in session->mode_reason. *facts are the driver's and what a later
 * process needs. */
int billet_session_bring_in(struct billet_session *session, struct billet_buffer *directory,
                            json_t **facts, struct billet_error *error);
/* The same for a lease that is there already: nothing is sent. */
int billet_session_bring_again(struct billet_session *session, const json_t *facts,
                               struct billet_error *error);
/* After the last command: stop what runs, collect what changed, merge it into the workspace. What
 * was done is in report, also after a failure. */
int billet_session_bring_back(struct billet_session *session, struct billet_report *report,
                              struct billet_error *error);
/* On a held lease: stop what runs, send what changed here. */
int billet_session_push(struct billet_session *session, struct billet_report *report,
                        struct billet_error *error);
/* Both for a far copy that an earlier run left, before the next one's command. A file that
 * was changed on both sides stays as it is on each: class CAPACITY, code workspace_conflicts. */
int billet_session_travel_again(struct billet_session *session, const json_t *facts,
                                struct billet_error *error);
/* After bring_back, for a lease that is held: begin anew from what is in the workspace now. */
int billet_session_travel_renew(struct billet_session *session, struct billet_error *error);
/* The lease is to be destroyed, and the driver's handle is still held: what may serve the next
 * lease is put away. */
void billet_session_travel_leave(struct billet_session *session);
/* Unlock; remove what the lease had in the state directory when it is ended. */
void billet_session_travel_end(struct billet_session *session, bool ended);
/* The same for a lease that another process ended. */
void billet_travel_forget(const struct billet_context *context, const char *lease);

#endif
