/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_secrets.c - the secrets of a session: refused early, resolved for the lease.
 */
#include <string.h>

#include "base/error.h"
#include "run/session_private.h"

static struct billet_run_secrets_for
wanted_by(const struct billet_session *session)
{
    const char *policy = session->request->policy;
    return (struct billet_run_secrets_for){
        .environment = &session->environment,
        .info = session->info,
        .lease = session->lease.lease.id,
        .purpose = policy != NULL && strcmp(policy, "probe") == 0 ? "probe" : "run",
        .command = true};
}

int
billet_session_check_secrets(struct billet_session *session, struct billet_error *error)
{
    const struct billet_run_secrets_for wanted = wanted_by(session);
    return billet_run_secrets_check(session->context, &wanted, NULL, NULL, error);
}

int
billet_session_resolve_secrets(struct billet_session *session, struct billet_error *error)
{
    const struct billet_run_secrets_for wanted = wanted_by(session);
    int result = billet_run_secrets_resolve(session->context, &wanted, &session->secrets, error);
    if (result == 0)
        billet_run_secrets_give(&session->secrets, &session->call);
    return result;
}
