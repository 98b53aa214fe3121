/* SPDX-License-Identifier: Apache-2.0 */
/*
 * far.h - the workspace of a session whose environment is on another machine: carried
 * there and back by subcommands of billet-guest, run as commands of the lease.
 *
 * The driver says in the facts of the lease where billet-guest is ("guest", or "guest_missing" and
 * why), and where trees may be kept between leases ("trees"). All that comes back goes through the
 * same bounded reader and the same merge as what comes from a sandbox.
 */
#ifndef BILLET_RUN_FAR_H
#define BILLET_RUN_FAR_H

#include "run/session.h"

/* What the driver recorded of the lease under that name, "" without it; to be freed. */
char *billet_far_fact(const struct billet_session *session, const char *name);
/* The guest's path there, to be freed; or unsupported_environment: WHAT cannot be carried, the user
 * may do what INSTEAD says. */
int billet_far_guest(const struct billet_session *session, const char *what, const char *instead,
                     char **guest, struct billet_error *error);
/* Work on one end of a pipe, in a thread of its own. */
typedef int billet_far_work(void *context, int fd, struct billet_error *error);
/* Run a subcommand of billet-guest there: argv[0] becomes its path. produce writes its standard
 * input, consume reads its output; either may be NULL. */
int billet_far_run(struct billet_session *session, const char **argv, billet_far_work *produce,
                   billet_far_work *consume, void *context, struct billet_error *error);

/* Bring directory there to what the workspace's baseline is; counts are in session->travel. */
int billet_far_bring_in(struct billet_session *session, const char *directory,
                        struct billet_error *error);
/* End what runs, and have back what changed there: received, not applied. */
int billet_far_collect(struct billet_session *session, struct billet_error *error);
/* Send what changed here and not there; *both becomes the baseline of the next exchange. */
int billet_far_push(struct billet_session *session, struct billet_manifest *both,
                    struct billet_report *report, struct billet_error *error);
/* What both sides have in common now. */
int billet_far_exchange(struct billet_session *session, struct billet_manifest *both,
                        struct billet_error *error);
/* The lease is to end: keep the tree there for the next one of the same environment and workspace.
 * A failure costs time only, and is logged. */
void billet_far_keep(struct billet_session *session);

#endif
