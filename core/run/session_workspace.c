/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_workspace.c - which directory a lease works on, and how it is brought in.
 */
#include <errno.h>
#include <fcntl.h>
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

/* The first that the driver has; COPY when it has none. Whether an overlay will do is seen when it
 * is brought in. */
static int
preferred(uint64_t modes, bool here)
{
    static const int order[] = {BILLET_WORKSPACE_IN_PLACE, BILLET_WORKSPACE_OVERLAY,
                                BILLET_WORKSPACE_BIND};
    for (size_t i = here ? 0 : 1; i < sizeof(order) / sizeof(order[0]); i++)
        if ((modes & (UINT64_C(1) << order[i])) != 0)
            return order[i];
    return BILLET_WORKSPACE_COPY;
}

int
billet_session_choose_mode(struct billet_session *session, struct billet_error *error)
{
    const struct billet_driver_info *info = session->info;
    int mode = session->request->workspace_mode;
    if (mode < 0)
        mode = session->environment.workspace_mode;
    /* Elsewhere than on this machine, in place means a directory that is there already. */
    bool here = (info->capabilities & BILLET_CAN_SHARE_FILES) != 0;
    if (session->request->workspace == NULL && mode < 0) {
        /* A driver whose first choice is the directory itself works where the caller stands. */
        bool in_place = here && (info->workspace_modes & (1u << BILLET_WORKSPACE_IN_PLACE)) != 0;
        session->workspace_mode = in_place ? BILLET_WORKSPACE_IN_PLACE : BILLET_WORKSPACE_NONE;
        return 0;
    }
    if (session->request->workspace == NULL && (here || mode != BILLET_WORKSPACE_IN_PLACE)) {
        session->workspace_mode = BILLET_WORKSPACE_NONE;
        return 0;
    }
    session->mode_is_free = mode < 0;
    if (mode < 0)
        mode = preferred(info->workspace_modes, here);
    /* A copy can be handed over as a directory. */
    bool by_core = here && mode == BILLET_WORKSPACE_COPY &&
                   (info->workspace_modes &
                    (1u << BILLET_WORKSPACE_BIND | 1u << BILLET_WORKSPACE_IN_PLACE)) != 0;
    if (!by_core && (info->workspace_modes & (UINT64_C(1) << mode)) == 0) {
        cleanup_buffer struct billet_buffer known = BILLET_BUFFER_INIT;
        for (int i = 1; i < 8; i++)
            if ((info->workspace_modes & (UINT64_C(1) << i)) != 0)
                billet_buffer_format(&known, "%s%s", known.length > 0 ? ", " : "",
                                     billet_workspace_mode_name(i));
        billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                         "driver %s of environment '%s' has no workspace mode %s", info->name,
                         session->environment.name, billet_workspace_mode_name(mode));
        return billet_error_hint(error, "it has: %s", billet_buffer_text(&known));
    }
    session->workspace_mode = mode;
    return 0;
}

/* The workspace as an absolute path, checked and held open. */
int
billet_session_open_workspace(struct billet_session *session, const char *given,
                              struct billet_error *error)
{
    cleanup_free char *real = realpath(given, NULL);
    struct stat status;
    if (real == NULL)
        return billet_error_errno(error, BILLET_CLASS_CONFIG, "workspace_realization_failed", errno,
                                  "workspace %s", given);
    session->workspace_fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (session->workspace_fd < 0 || fstat(session->workspace_fd, &status) != 0)
        return billet_error_errno(error, BILLET_CLASS_CONFIG, "workspace_realization_failed", errno,
                                  "workspace %s", given);
    if (access(real, R_OK | X_OK) != 0)
        return billet_error_errno(error, BILLET_CLASS_CONFIG, "workspace_realization_failed", errno,
                                  "workspace %s cannot be read", given);
    session->workspace = billet_steal(real);
    return 0;
}

int
billet_session_refuse_dangerous(const struct billet_session *session, struct billet_error *error)
{
    static const char *const never[] = {"/",    "/etc", "/usr",  "/proc", "/sys", "/dev",
                                        "/run", "/var", "/root", "/home", "/boot"};
    if (session->workspace == NULL || (session->info->capabilities & BILLET_CAN_CONFINE) == 0)
        return 0;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (strcmp(session->workspace, never[i]) == 0) {
            billet_error_set(error, BILLET_CLASS_CONFIG, "workspace_realization_failed",
                             "%s cannot be the workspace of a confined environment",
                             session->workspace);
            return billet_error_hint(error, "give a directory of the project with -w");
        }
    return 0;
}
