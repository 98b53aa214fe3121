/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "driver/client.h"
#include "driver/operation.h"

const struct billet_capability billet_capabilities[] = {
    {BILLET_CAN_STREAM_STDIN, "stream_stdin", "", 0, "input reaches the command while it runs"},
    {BILLET_CAN_SPLIT_STDERR, "split_stderr", "", 0, "output and errors stay separate"},
    {BILLET_CAN_BINARY, "binary", "", 0, "streams are passed byte for byte"},
    {BILLET_CAN_SIGNAL, "signal", "signal", BILLET_THREADS_SIGNAL,
     "signals reach the running command"},
    {BILLET_CAN_PTY, "pty", "", 0, "a command can have a terminal"},
    {BILLET_CAN_CONCURRENT_EXEC, "concurrent_exec", "", BILLET_THREADS_PARALLEL,
     "several commands at once on one lease"},
    {BILLET_CAN_RESUME, "resume", "resume", 0, "a kept resource can be taken up again"},
    {BILLET_CAN_LABEL, "label", "list", 0, "resources carry the lease's id and can be listed"},
    {BILLET_CAN_SHARE_FILES, "share_files", "", 0, "the workspace is this machine's own directory"},
    {BILLET_CAN_CONTROL_NETWORK, "control_network", "", 0, "network access can be taken away"},
    {BILLET_CAN_LIMIT, "limit", "", 0, "memory and processes can be limited"},
    {BILLET_CAN_CONFINE, "confine", "", 0, "the workload is kept from this machine"},
    {BILLET_CAN_TRUST, "trust", "trust", 0, "the keys of its hosts can be looked at and kept"},
    {BILLET_CAN_ASSETS, "assets", "", 0, "commands can be given files besides the workspace"},
    {BILLET_CAN_BE_LOCAL, "be_local", "", 0, "only the machine that made a resource can reach it"},
    {0, NULL, NULL, 0, NULL},
};

static const char *const mode_names[] = {
    [BILLET_WORKSPACE_NONE] = "none", [BILLET_WORKSPACE_IN_PLACE] = "in_place",
    [BILLET_WORKSPACE_BIND] = "bind", [BILLET_WORKSPACE_OVERLAY] = "overlay",
    [BILLET_WORKSPACE_COPY] = "copy",
};

const char *
billet_workspace_mode_name(int mode)
{
    return mode >= 0 && mode <= BILLET_WORKSPACE_COPY ? mode_names[mode] : "unknown";
}

int
billet_workspace_mode_by_name(const char *name)
{
    for (int mode = 0; mode <= BILLET_WORKSPACE_COPY; mode++)
        if (strcmp(mode_names[mode], name) == 0)
            return mode;
    return -1;
}

const struct billet_operation billet_operations[BILLET_OPERATION_COUNT] = {
#define OPERATION(name, field, seconds, required, capability) \
    {#name, (seconds)*BILLET_NS_PER_SECOND, required, capability},
#include "driver/operation.def"
#undef OPERATION
};

int
billet_operation_by_name(const char *name)
{
    for (int i = 0; i < BILLET_OPERATION_COUNT; i++)
        if (strcmp(billet_operations[i].name, name) == 0)
            return i;
    return -1;
}

uint64_t
billet_operation_callbacks(const struct billet_driver *driver)
{
    uint64_t bits = 0;
#define OPERATION(name, field, seconds, required, capability) \
    if (driver->field != NULL)                                \
        bits |= UINT64_C(1) << BILLET_OPERATION_##name;
#include "driver/operation.def"
#undef OPERATION
    return bits;
}
