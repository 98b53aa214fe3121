/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "command.h"
#include "lease.h"

/* The directory is made where it is missing; "$1" is its name. */
#define IMPORT "mkdir -p -- \"$1\" && cd -- \"$1\" && exec tar -xpf -"
#define EXPORT "cd -- \"$1\" && exec tar -cf - ."

/* Only beneath the lease's own directory: nothing else on the host is the driver's to write. */
static int
check_path(const struct billet_lease_handle *handle, const char *path, struct billet_error *error)
{
    size_t length = strlen(handle->lease_directory);
    bool within = strncmp(path, handle->lease_directory, length) == 0 &&
                  strncmp(path + length, "/work", 5) == 0 &&
                  (path[length + 5] == '\0' || path[length + 5] == '/');
    size_t size = strlen(path);
    if (!within || strstr(path, "/../") != NULL ||
        (size >= 3 && strcmp(path + size - 3, "/..") == 0)) {
        billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                    "%.300s is not in the workspace of lease %s", path, handle->lease);
        return billet_fail_hint(error, "give a path beneath %.300s/work", handle->lease_directory);
    }
    return 0;
}

static int
failed(const struct billet_exec_result *result, const char *what, int said_fd,
       struct billet_error *error)
{
    char said[512];
    ssize_t got = said_fd >= 0 ? pread(said_fd, said, sizeof(said) - 1, 0) : -1;
    said[got > 0 ? got : 0] = '\0';
    if (result->outcome == BILLET_OUTCOME_CANCELLED)
        return billet_fail(error, BILLET_CLASS_CANCELLED, "cancelled", "%s was given up", what);
    if (result->outcome == BILLET_OUTCOME_TIMED_OUT)
        return billet_fail(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                           "%s did not end within its time", what);
    if (strstr(said, "No space left") != NULL || strstr(said, "quota exceeded") != NULL) {
        billet_fail(error, BILLET_CLASS_CAPACITY, "ssh_disk_full", "%s: the host's disk is full",
                    what);
        return billet_fail_hint(error, "free space on the host where remote_directory is");
    }
    if (result->outcome == BILLET_OUTCOME_EXITED && result->value == 127) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_tar_missing",
                    "%s: the host has no program tar", what);
        return billet_fail_hint(error, "install tar on the host");
    }
    return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_transfer_failed",
                       "%s: tar on the host ended with %d: %.300s", what, result->value, said);
}

static int
transfer(const struct billet_call *call, struct billet_lease_handle *handle,
         const struct billet_transfer *args, const char *script, bool in, const char *what,
         struct billet_error *error)
{
    static const char *const none[] = {NULL};
    const char *argv[] = {"/bin/sh", "-c", script, "sh", args->path, NULL};
    cleanup_fd int said = memfd_create("said", MFD_CLOEXEC);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    int status = ssh_check_call(call, 0, error);
    if (status == 0)
        status = check_path(handle, args->path, error);
    if (status < 0)
        return status;
    struct billet_exec exec = {
        .struct_size = sizeof(exec),
        .argv = argv,
        .environment = none,
        .directory = handle->lease_directory,
        .stdin_fd = in ? args->fd : -1,
        .stdout_fd = in ? -1 : args->fd,
        .stderr_fd = said,
    };
    if (call->deadline_ns != 0) {
        exec.timeout_ns = call->deadline_ns - billet_monotonic_ns();
        if (exec.timeout_ns <= 0)
            return billet_fail(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                               "%s had no time left", what);
    }
    status = ssh_exec_quietly(call, handle, &exec, &result, error);
    if (status == 0 && (result.outcome != BILLET_OUTCOME_EXITED || result.value != 0))
        status = failed(&result, what, said, error);
    return status;
}

int32_t
ssh_import(const struct billet_call *call, struct billet_lease_handle *handle,
           const struct billet_transfer *args, struct billet_error *error)
{
    return transfer(call, handle, args, IMPORT, true, "bringing files to the host", error);
}

int32_t
ssh_export(const struct billet_call *call, struct billet_lease_handle *handle,
           const struct billet_transfer *args, struct billet_error *error)
{
    return transfer(call, handle, args, EXPORT, false, "bringing files from the host", error);
}
