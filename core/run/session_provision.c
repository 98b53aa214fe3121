/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_provision.c - the provision command, once for each environment, workspace and text.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "run/session_private.h"

/* What a provision command has been run for: the command, the environment and this very directory.
 */
static int
provision_key(const struct billet_session *session, char key[65], struct billet_error *error)
{
    crypto_generichash_state state;
    unsigned char digest[32];
    struct stat status = {0};
    char place[64];
    const char *parts[] = {session->context->tenant,
                           session->environment.name,
                           session->environment.driver,
                           session->environment.provision,
                           session->workspace != NULL ? session->workspace : "",
                           place};

    if (session->workspace_fd >= 0 && fstat(session->workspace_fd, &status) != 0)
        return billet_error_errno(error, 0, "workspace_realization_failed", errno, "workspace %s",
                                  session->workspace);
    snprintf(place, sizeof(place), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        crypto_generichash_update(&state, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
    crypto_generichash_final(&state, digest, sizeof(digest));
    sodium_bin2hex(key, 65, digest, sizeof(digest));
    return 0;
}

static int
provision_failed(const struct billet_session *session, const struct billet_ending *ending,
                 struct billet_error *error)
{
    const char *name = session->environment.name;
    if (ending->outcome == BILLET_OUTCOME_TIMED_OUT)
        return billet_error_set(error, BILLET_CLASS_TIMEOUT, "workspace_realization_failed",
                                "the provision command of environment '%s' did not end in time",
                                name);
    billet_error_set(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                     "the provision command of environment '%s' ended with status %d", name,
                     billet_ending_status(ending));
    return billet_error_hint(error, "its output is above; it runs again next time");
}

int
billet_session_provision(struct billet_session *session, struct billet_error *error)
{
    const struct billet_store_module *module = billet_store_of(session->store);
    const char *argv[] = {"sh", "-c", session->environment.provision, NULL};
    const struct billet_session_exec exec = {
        .argv = argv, .fds = {-1, STDERR_FILENO, STDERR_FILENO}, .timeout_ns = -1, .status_fd = -1};
    struct billet_ending ending;
    bool done = false;
    char key[65];
    int64_t start = billet_clock_monotonic();

    if (session->environment.provision == NULL || session->environment.provision[0] == '\0')
        return 0;
    int result = provision_key(session, key, error);
    if (result == 0)
        result = module->provision_get(session->store, key, &done, error);
    if (result < 0 || done)
        return result;
    const struct billet_signals *signals = session->request->signals;
    int before = signals != NULL ? signals->count : 0;
    result = billet_lease_note(&session->lease, "provision.started", NULL, error);
    if (result == 0)
        result = billet_session_drive(session, &exec, true, &ending, error);
    if (result == 0 && signals != NULL && signals->count > before)
        result =
            billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                             "cancelled by signal %d during the provision command", signals->last);
    if (result == 0 && (ending.outcome != BILLET_OUTCOME_EXITED || ending.value != 0))
        result = provision_failed(session, &ending, error);
    if (result == 0) {
        const struct billet_lease *lease = &session->lease.lease;
        const struct billet_activity row = billet_lease_activity(
            lease, "provision.ended", session->lease.actor, lease->fence, "{}");
        result = module->provision_put(session->store, key, &row, error);
    }
    session->step_ns[BILLET_STEP_PROVISION] = billet_clock_monotonic() - start;
    return result;
}
