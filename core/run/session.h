/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - an environment in use: the driver's host, the lease that covers its
 * resource, and each step of design section 6 as one function.
 *
 * The steps' order is the caller's (run.c, hold.c, probe.c). Whatever fails, billet_session_close
 * leaves a lease that is ended, or recorded for the janitor.
 */
#ifndef BILLET_RUN_SESSION_H
#define BILLET_RUN_SESSION_H

#include "config/environment.h"
#include "driver/client.h"
#include "lease/lease.h"
#include "run/assets.h"
#include "run/context.h"
#include "run/drive.h"
#include "run/secrets.h"
#include "run/travel.h"

#define BILLET_STEP_COUNT 7
enum billet_step {
    BILLET_STEP_RESOLVE,
    BILLET_STEP_ACQUIRE,
    BILLET_STEP_REALIZE,
    BILLET_STEP_PROVISION,
    BILLET_STEP_EXEC,
    BILLET_STEP_RETURN,
    BILLET_STEP_RELEASE,
};
extern const char *const billet_step_names[BILLET_STEP_COUNT];

struct billet_session_request {
    const char *environment;                /* NULL: resolve by the rules of resolve.h */
    const char *workspace;                  /* as given, NULL: none */
    int workspace_mode;                     /* -1: the environment's, else the driver's default */
    const struct billet_strings *variables; /* NAME=VALUE for the command; may be NULL */
    const struct billet_strings *assets; /* PATH or PATH:NAME, beside the environment's; or NULL */
    const char *policy; /* of the row: "ephemeral", "keep", "retain_on_failure", "probe" */
    const char *run;    /* ids of the caller; NULL: a new one / none */
    const char *agent;
    const char *issue;
    const char *command;                    /* for people */
    bool no_command;                        /* nothing is run now: the lease is to be held */
    const struct billet_environment *draft; /* instead of a saved one; prepared */
    struct billet_signals *signals;
    billet_progress *progress; /* of transfers; or NULL */
    void *progress_context;
    bool exchange; /* attach to push or pull: under the lock of the workspace, runs nothing */
    int reuse;     /* 1: take up, and leave behind, a lease for others of its kind; 0: never; -1: as
                      the environment says */
    bool no_wait;  /* fail with workspace_busy at once while another run works on the workspace */
};

struct billet_session {
    struct billet_context *context;
    const struct billet_session_request *request;
    struct billet_environment environment;
    struct billet_driver_client *client;
    const struct billet_driver_info *info;
    struct billet_store *store;
    struct billet_lease_session lease;
    struct billet_identity identity;
    struct billet_driver_call call;
    char *workspace; /* absolute, or NULL */
    int workspace_fd;
    int workspace_mode;
    bool mode_is_free;     /* nobody asked for this one: another may do */
    char mode_reason[256]; /* why it is not the driver's first, or "" */
    char lease_id[40];     /* made before the lease is */
    struct billet_travel travel;
    struct billet_run_assets assets;
    struct billet_strings variables; /* what the command gets, but for secrets */
    struct billet_run_secrets secrets;
    char *outcome;      /* JSON of the last command's ending, or NULL */
    bool reuse;         /* this lease is one of those that go from run to run */
    bool reused;        /* it came from another run */
    char reuse_key[40]; /* what the resource was made from */
    bool realized;
    bool held;   /* the driver has a handle for this lease */
    bool shared; /* a second user beside the owner: changes no state */
    bool lost;   /* the row is somebody else's now: touch nothing */
    bool made;   /* the row exists */
    int64_t step_ns[BILLET_STEP_COUNT];
};

/* Steps 1: resolve, start the driver, open the store, check the configuration. */
int billet_session_open(struct billet_session *session, struct billet_context *context,
                        const struct billet_session_request *request, struct billet_error *error);
/* Step 2. */
int billet_session_acquire(struct billet_session *session, struct billet_error *error);
/* Step 3, with the provision command when it has not run for this workspace yet. */
int billet_session_realize(struct billet_session *session, struct billet_error *error);

struct billet_session_exec {
    const char *const *argv;
    const char *directory; /* NULL: the workspace */
    int fds[3];
    bool pty;
    int64_t timeout_ns; /* -1: the environment's */
    int status_fd;
    bool last; /* the lease is destroyed next, whatever the command does */
    bool own;  /* a program of ours: no secrets but the driver's, nothing is masked */
};
/* Step 5. 0 whatever the command did. */
int billet_session_exec(struct billet_session *session, const struct billet_session_exec *exec,
                        struct billet_ending *ending, struct billet_error *error);

/* Step 7: end the lease: BILLET_DISPOSE_DESTROY; or hold it (STOP, KEEP) for ttl_ns. A failure is
 * recorded for the janitor and returned, and never hides the run's own. */
int billet_session_end(struct billet_session *session, int disposition, int64_t ttl_ns,
                       struct billet_error *error);
/* After a failure: end what exists, with the failure as the reason; errors of that are logged. */
void billet_session_abort(struct billet_session *session, const struct billet_error *cause);
void billet_session_close(struct billet_session *session);

/* Take up a live lease (active or retained) as a second user: exec, shell. */
int billet_session_attach(struct billet_session *session, struct billet_context *context,
                          const struct billet_session_request *request, const char *lease,
                          struct billet_error *error);

#endif
