/* SPDX-License-Identifier: Apache-2.0 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "protocol.h"

#ifndef BWRAP_PATH
#define BWRAP_PATH "/usr/bin/bwrap"
#endif

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define TIB (MIB * 1024 * 1024)

static const char *const network_choices[] = {"none", "host", NULL};

const struct billet_option sandbox_options[] = {
    {.name = "bubblewrap",
     .type = BILLET_OPTION_PATH,
     .default_value = BWRAP_PATH,
     .text = "The bubblewrap program, version 0.8.0 or later, not set-user-ID."},
    {.name = "rootfs",
     .type = BILLET_OPTION_PATH,
     .text = "A directory with a root file system to use, read-only, in place of this machine's "
             "/usr. Its /etc is taken as it is."},
    {.name = "network",
     .type = BILLET_OPTION_CHOICE,
     .default_value = "none",
     .choices = network_choices,
     .text = "none: only a loopback interface of the sandbox's own. host: this machine's network "
             "with everything that listens on its loopback; the probe warns of it."},
    {.name = "memory_max",
     .type = BILLET_OPTION_SIZE,
     .default_value = "2GiB",
     .minimum = 16 * MIB,
     .maximum = 64 * TIB,
     .text = "Memory of all processes together, files in /tmp included. Where no control group can "
             "be used it bounds the data of each process by itself, which the probe says."},
    {.name = "pids_max",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "512",
     .minimum = 8,
     .maximum = 4194304,
     .text = "Processes and threads at once."},
    {.name = "tmp_size",
     .type = BILLET_OPTION_SIZE,
     .default_value = "256MiB",
     .minimum = MIB,
     .maximum = 64 * TIB,
     .text = "Size of /tmp. /dev/shm has a quarter of it. Both are memory."},
    {.name = "read_only",
     .type = BILLET_OPTION_LIST,
     .text = "Further paths of this machine to show, read-only, under the same name. Refused: the "
             "root, whole trees such as /etc, /home or /var, system state (/proc, /sys, /dev, "
             "/run), sockets and what belongs to root's home."},
    {.name = "hostname",
     .type = BILLET_OPTION_STRING,
     .default_value = "sandbox",
     .minimum = 1,
     .maximum = 63,
     .pattern = "^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$",
     .text = "The host name inside."},
    {.name = "allow_degraded",
     .type = BILLET_OPTION_BOOLEAN,
     .default_value = "no",
     .text = "Go on when a protection cannot be enforced here. Without it such a command is "
             "refused, with the names of what is missing."},
    {.name = "uid_base",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "1900000000",
     .minimum = 1000,
     .maximum = 4294900000,
     .text = "Started by root, each lease runs as a user id of its own: the first of these ids. "
             "No account may use them. On a disk "
             "they own only what an overlay of a workspace holds, in a directory of billet's own."},
    {.name = "uid_count",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "10000",
     .minimum = 1,
     .maximum = 65536,
     .text = "How many user ids there are from uid_base on: the number of leases at once."},
};
const uint64_t sandbox_option_count = sizeof(sandbox_options) / sizeof(sandbox_options[0]);

struct refusal {
    const char *path;
    bool beneath; /* what is below it too */
    const char *why;
};

static const struct refusal refusals[] = {
    {"/", false, "it is everything"},
    {"/proc", true, "it is the state of this machine's processes"},
    {"/sys", true, "it is the state of this machine's kernel"},
    {"/dev", true, "it is this machine's devices"},
    {"/run", true, "it holds the sockets of this machine's services"},
    {"/var/run", true, "it holds the sockets of this machine's services"},
    {"/root", true, "it is root's home"},
    {"/boot", true, "it is this machine's boot files"},
    {"/etc", false, "it holds this machine's secrets; name single files of it"},
    {"/etc/shadow", false, "it holds password hashes"},
    {"/etc/gshadow", false, "it holds password hashes"},
    {"/etc/ssl/private", true, "it holds private keys"},
    {"/home", false, "it is everybody's files; name a directory of it"},
    {"/var", false, "it is this machine's state; name a directory of it"},
    {"/tmp", false, "the sandbox has its own"},
    {SANDBOX_WORK, true, "the sandbox has its own"},
};

const char *
sandbox_config_refuses(const char *path)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        size_t length = strlen(refusals[i].path);
        if (strncmp(path, refusals[i].path, length) != 0)
            continue;
        if (path[length] == '\0' || (refusals[i].beneath && path[length] == '/'))
            return refusals[i].why;
    }
    return NULL;
}

static int
check_read_only(const char *path, struct billet_error *error)
{
    const char *why = NULL;
    size_t length = strlen(path);

    if (path[0] != '/')
        why = "it is not an absolute path";
    else if (length >= PATH_MAX)
        why = "it is too long";
    else if (strstr(path, "/../") != NULL || strstr(path, "//") != NULL ||
             strstr(path, "/./") != NULL || (length > 1 && path[length - 1] == '/') ||
             (length >= 3 && strcmp(path + length - 3, "/..") == 0))
        why = "it is not in its shortest form";
    else
        why = sandbox_config_refuses(path);
    if (why == NULL)
        return 0;
    billet_fail(error, BILLET_CLASS_CONFIG, "sandbox_path_refused",
                "read_only = %.200s cannot be shown in a sandbox: %s", path, why);
    return billet_fail_hint(error, "name the directory or file that the command really needs");
}

int
sandbox_config_read(const struct billet_config *from, struct sandbox_config *config,
                    struct billet_error *error)
{
    const struct billet_value *list = billet_config_get(from, "read_only");
    *config = (struct sandbox_config){
        .bubblewrap = billet_config_string(from, "bubblewrap", BWRAP_PATH),
        .rootfs = billet_config_string(from, "rootfs", NULL),
        .hostname = billet_config_string(from, "hostname", "sandbox"),
        .shared_network = strcmp(billet_config_string(from, "network", "none"), "host") == 0,
        .allow_degraded = billet_config_number(from, "allow_degraded", 0) != 0,
        .memory_max = billet_config_number(from, "memory_max", 2048 * MIB),
        .pids_max = billet_config_number(from, "pids_max", 512),
        .tmp_size = billet_config_number(from, "tmp_size", 256 * MIB),
        .read_only = list != NULL && list->is_set ? list->list : NULL,
        .uid_base = (uint32_t)billet_config_number(from, "uid_base", 1900000000),
        .uid_count = (uint32_t)billet_config_number(from, "uid_count", 10000),
    };
    if ((uint64_t)config->uid_base + config->uid_count > UINT32_MAX - 65536u)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "uid_base + uid_count is beyond the last user id");
    if (config->rootfs != NULL && strcmp(config->rootfs, "/") == 0)
        return billet_fail(error, BILLET_CLASS_CONFIG, "sandbox_path_refused",
                           "rootfs = / is this machine's own root");
    for (size_t i = 0; config->read_only != NULL && config->read_only[i] != NULL; i++) {
        int result = check_read_only(config->read_only[i], error);
        if (result < 0)
            return result;
    }
    return 0;
}
