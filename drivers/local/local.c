/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"

#include <sys/prctl.h>

#include "../common/fail.h"
#include "command.h"
#include "config.h"
#include "lease.h"
#include "probe.h"

const struct billet_host *local_host;

static const struct billet_option options[] = {
    {
        .name = "search_path",
        .type = BILLET_OPTION_STRING,
        .minimum = 1,
        .maximum = 32768,
        .text = "PATH of the commands, directories separated by colons. Unset: PATH of the process "
                "that runs billet.",
    },
    {
        .name = "memory_max",
        .type = BILLET_OPTION_SIZE,
        .minimum = 1048576,
        .maximum = INT64_MAX,
        .text = "Memory that all processes of a lease together may use, swap included. Needs a "
                "control group with the controller memory; without one the lease is refused.",
    },
    {
        .name = "pids_max",
        .type = BILLET_OPTION_INTEGER,
        .minimum = 1,
        .maximum = 4194304,
        .text = "Processes and threads that a lease may have at a time. Needs a control group with "
                "the controller pids; without one the lease is refused.",
    },
};

static const struct billet_driver table = {
    .struct_size = sizeof(table),
    .abi_major = BILLET_ABI_MAJOR,
    .abi_minor = BILLET_ABI_MINOR,
    .name = "local",
    .version = PACKAGE_VERSION,
    .text = "This machine, as the user who runs billet.",
    .thread_model = BILLET_THREADS_PARALLEL,
    .option_size = sizeof(struct billet_option),
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .capabilities = BILLET_CAN_STREAM_STDIN | BILLET_CAN_SPLIT_STDERR | BILLET_CAN_BINARY |
                    BILLET_CAN_SIGNAL | BILLET_CAN_PTY | BILLET_CAN_CONCURRENT_EXEC |
                    BILLET_CAN_RESUME | BILLET_CAN_LABEL | BILLET_CAN_SHARE_FILES |
                    BILLET_CAN_LIMIT | BILLET_CAN_ASSETS | BILLET_CAN_BE_LOCAL,
    .workspace_modes = 1u << BILLET_WORKSPACE_NONE | 1u << BILLET_WORKSPACE_IN_PLACE,
    .probe = local_probe,
    .acquire = local_acquire,
    .resume = local_resume,
    .release = local_release,
    .destroy = local_destroy,
    .list = local_list,
    .realize = local_realize,
    .exec = local_exec,
    .signal = local_signal,
    .dump = local_dump,
};

BILLET_DRIVER("local", PACKAGE_VERSION, 2)
{
    local_host = the_host;
    /* Orphans of the commands come to this process, where their end can be seen to. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        billet_fail(error, BILLET_CLASS_INTERNAL, "internal", "cannot become a subreaper");
        return NULL;
    }
    return &table;
}
