/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - the life of a run (design section 6), from resolve to release; and the
 * probe, which goes the same way with the command `true`.
 */
#ifndef BILLET_RUN_RUN_H
#define BILLET_RUN_RUN_H

#include "run/session.h"

struct billet_run_request {
    struct billet_session_request session;
    struct billet_session_exec exec;
    bool keep;              /* hold the lease afterwards */
    bool retain_on_failure; /* hold it when the command did not succeed */
    int64_t held_ttl_ns;    /* 0: as configured */
};

struct billet_run_result {
    char lease[40];
    struct billet_ending ending;
    bool ran;                          /* the command ended by itself or by billet's doing */
    bool held;                         /* the lease is still there */
    struct billet_error release_error; /* class 0 when the end went well */
    struct billet_error return_error;  /* class 0 when the changes were brought back, or none had
                                          to be */
    int workspace_mode;                /* BILLET_WORKSPACE_* */
    char mode_reason[256];             /* why it is not the one preferred, or "" */
    bool report_is_whole;              /* the changes are in the workspace */
    struct billet_report report;       /* of what was brought back; billet_report_free */
    uint64_t sent_bytes;               /* copied to the environment */
    uint64_t sent_files;
    json_t *assets;            /* billet_run_assets_json; json_decref */
    struct billet_run_git git; /* billet_git_report_free(&git.report) */
    int64_t step_ns[BILLET_STEP_COUNT];
};

/* 0 when the command ran to an end, also when the release then failed (result->release_error). */
int billet_run(struct billet_context *context, const struct billet_run_request *request,
               struct billet_run_result *result, struct billet_error *error);

/* Acquire, realize without a workspace, run `true`, release. signals may be NULL. */
int billet_run_probe(struct billet_context *context, const struct billet_environment *environment,
                     struct billet_signals *signals, struct billet_run_result *result,
                     struct billet_error *error);

/* Acquire and realize, and leave the lease held; result->lease names it. */
int billet_run_hold(struct billet_context *context, const struct billet_session_request *request,
                    int64_t ttl_ns, struct billet_run_result *result, struct billet_error *error);

/* Run a command on a live lease beside its owner. */
int billet_run_on_lease(struct billet_context *context,
                        const struct billet_session_request *request, const char *lease,
                        const struct billet_session_exec *exec, struct billet_run_result *result,
                        struct billet_error *error);

/* Whether the workspace of the lease was carried there, so that changes may have to come back. */
bool billet_run_travels(const struct billet_lease *lease);

/* On a held lease: end what runs on it, and merge what changed there into the workspace (again:
 * then begin anew from it); or send what changed here. result->workspace_mode below
 * BILLET_WORKSPACE_OVERLAY: commands work in the directory itself, nothing was to be done. */
int billet_run_pull(struct billet_context *context, const struct billet_session_request *request,
                    const char *lease, bool again, struct billet_run_result *result,
                    struct billet_error *error);
int billet_run_push(struct billet_context *context, const struct billet_session_request *request,
                    const char *lease, struct billet_run_result *result,
                    struct billet_error *error);

/* End a live lease. force: also one that a living process drives (its command is killed). */
int billet_run_end_lease(struct billet_context *context, const char *lease, bool force,
                         struct billet_error *error);
/* By force, and also when its resource cannot be removed: then the row fails, and its reason says
 * so. */
int billet_run_forget_lease(struct billet_context *context, const char *lease,
                            struct billet_error *error);

#endif
