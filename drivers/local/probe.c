/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../common/cleanup.h"

#define REMEDY                                                                                     \
    "run billet as root, or as a user with a delegated control group: systemd-run --user --scope " \
    "-p Delegate=yes"

static void
check(const struct billet_call *call, int outcome, const char *name, const char *message,
      const char *hint)
{
    local_host->check(call, outcome, name, message, outcome == BILLET_CHECK_PASS ? "" : hint);
}

static void
check_kill(const struct billet_call *call, const struct billet_cgroup_site *site)
{
    char message[256];
    int subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    if (site->can_kill) {
        check(call, BILLET_CHECK_PASS, "processes", "ended by control group (cgroup.kill)", "");
        return;
    }
    snprintf(message, sizeof(message), "%s; processes are found by their environment%s", site->why,
             subreaper ? " and as orphans" : "");
    check(call, BILLET_CHECK_WARN, "processes", message,
          "one that clears its environment can outlive the process that billet runs in; " REMEDY);
}

static void
check_limit(const struct billet_call *call, const struct billet_cgroup_site *site,
            const char *option, unsigned bit)
{
    bool wanted = billet_config_number(call->config, option, 0) > 0;
    if (site->limits & bit)
        check(call, BILLET_CHECK_PASS, option, "can be limited by a control group", "");
    else
        check(call, wanted ? BILLET_CHECK_FAIL : BILLET_CHECK_WARN, option,
              "cannot be limited: no control group for it that this user may write", REMEDY);
}

static void
check_tmp(const struct billet_call *call)
{
    cleanup_fd int fd = open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    bool writable = fd >= 0 || (errno == EOPNOTSUPP && access("/tmp", W_OK | X_OK) == 0);
    check(call, writable ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "tmp",
          writable ? "/tmp can be written" : "/tmp cannot be written",
          "most commands need it; correct its mode to 1777 or free space");
}

static void
check_path(const struct billet_call *call)
{
    const char *path = billet_config_string(call->config, "search_path", getenv("PATH"));
    char name[4096];
    for (const char *at = path; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ":");
        int size = snprintf(name, sizeof(name), "%.*s/sh", (int)length, at);
        if (length > 0 && size < (int)sizeof(name) && access(name, X_OK) == 0) {
            check(call, BILLET_CHECK_PASS, "path", "PATH leads to a shell", "");
            return;
        }
        at += length + (at[length] == ':');
    }
    check(call, path == NULL ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "path",
          path == NULL ? "no PATH is set, the usual directories are used"
                       : "no directory of PATH holds sh",
          "set path in the environment's section to the directories of its commands");
}

static void
check_labels(const struct billet_call *call)
{
    const char *runtime = local_host->directory(local_host, BILLET_DIRECTORY_RUNTIME);
    bool writable = runtime != NULL && access(runtime, W_OK | X_OK) == 0;
    check(call, writable ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "labels",
          writable ? "leases are labelled in the runtime directory"
                   : "no runtime directory that can be written",
          "set XDG_RUNTIME_DIR to a directory of this user; without it a lease is only found while "
          "it has processes or a control group");
}

int32_t
local_probe(const struct billet_call *call, struct billet_error *error)
{
    (void)error;
    struct billet_cgroup_site site;
    billet_cgroup_site_open(&site, true);
    check_kill(call, &site);
    check_limit(call, &site, "memory_max", BILLET_CGROUP_CAN_MEMORY);
    check_limit(call, &site, "pids_max", BILLET_CGROUP_CAN_PIDS);
    billet_cgroup_site_close(&site);
    check_tmp(call);
    check_path(call);
    check_labels(call);
    return 0;
}

int32_t
local_dump(const struct billet_call *call, struct billet_error *error)
{
    (void)error;
    struct billet_cgroup_site site;
    billet_cgroup_site_find(&site);
    local_host->fact(call, "confinement", "none: commands run as the user who runs billet");
    local_host->fact(call, "kill", site.can_kill ? "cgroup.kill" : "environment label");
    local_host->fact(call, "cgroup_limits",
                     site.limits != 0 && site.unified_limits == site.limits ? "v2"
                     : site.limits != 0                                     ? "v1"
                                                                            : "none");
    billet_cgroup_site_close(&site);
    return 0;
}
