/* SPDX-License-Identifier: Apache-2.0 */
#include "install.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "command.h"

#define PROGRAM_MAX (64u << 20)
#define HASH_BYTES 16
#define NAME_MAX_BYTES (6 + 2 * HASH_BYTES + 1)
#define UPLOAD_NS (120 * BILLET_NS_PER_SECOND)

/* Whole or not at all; "$1" is the path, "$2" its size. What an upload that was cut off left is
 * removed a day later: another billet may be bringing the same just now. */
#define UPLOAD                                                                   \
    "umask 077; mkdir -p \"${1%/*}\" && "                                        \
    "find \"${1%/*}\" -name '*.new' -mtime +0 -exec rm -f {} + 2>/dev/null; "    \
    "cat >\"$1.$$.new\" && "                                                     \
    "[ \"$(wc -c <\"$1.$$.new\")\" -eq \"$2\" ] && chmod 0700 \"$1.$$.new\" && " \
    "mv -f \"$1.$$.new\" \"$1\" && exit; rm -f \"$1.$$.new\"; exit 1"

/* The program for the host's architecture here: its descriptor, or -1 with the reason. */
static int
open_program(const char *machine, struct ssh_guest_place *place)
{
    char path[1024];
    const char *directory = ssh_host->directory(ssh_host, BILLET_DIRECTORY_LIBEXEC);
    if (directory == NULL || strlen(directory) > 900) {
        snprintf(place->why, sizeof(place->why), "the directory of billet's programs is not known");
        return -1;
    }
    snprintf(path, sizeof(path), "%.900s/billet-guest-%.32s", directory, machine);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        snprintf(place->why, sizeof(place->why), "no billet-guest for %.32s is installed here: %s",
                 machine, strerror(errno));
    return fd;
}

/* guest-HASH, of what the program is. */
static bool
name_program(int fd, char name[NAME_MAX_BYTES], struct ssh_guest_place *place)
{
    struct stat about;
    unsigned char hash[HASH_BYTES];
    if (fstat(fd, &about) < 0 || about.st_size <= 0 || about.st_size > (off_t)PROGRAM_MAX) {
        snprintf(place->why, sizeof(place->why), "the file of billet-guest here cannot be used");
        return false;
    }
    size_t size = (size_t)about.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        snprintf(place->why, sizeof(place->why), "billet-guest cannot be read here: %s",
                 strerror(errno));
        return false;
    }
    crypto_generichash(hash, sizeof(hash), bytes, size, NULL, 0);
    munmap(bytes, size);
    snprintf(name, NAME_MAX_BYTES, "guest-");
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(name + 6 + 2 * i, 3, "%02x", hash[i]);
    return true;
}

/* What the host has under that name; where it would be into path. */
static void
ask_host(struct ssh_keeper *keeper, const char *name, int64_t deadline_ns, char path[SSH_PATH_MAX],
         struct ssh_guest_place *place)
{
    struct billet_error why = BILLET_ERROR_INIT;
    struct ssh_answer answer;
    char request[128];
    place->path[0] = '\0';
    place->missing = false;
    snprintf(request, sizeof(request), "guest %s", name);
    int status = ssh_keeper_ask(keeper, request, deadline_ns, &answer, NULL, NULL, &why);
    if (status < 0) {
        snprintf(place->why, sizeof(place->why), "%.200s", why.message);
        return;
    }
    const char *at = status == 0 ? answer.text : strchr(answer.text, ' ');
    at = at == NULL ? "" : status == 0 ? at : at + 1;
    /* It becomes a word of a line that the login shell reads. */
    if (at[0] != '/' || strpbrk(at, "'\\!") != NULL) {
        snprintf(place->why, sizeof(place->why), "the home directory there has an odd name");
        return;
    }
    snprintf(path, SSH_PATH_MAX, "%.4000s", at);
    if (status == 0) {
        snprintf(place->path, sizeof(place->path), "%s", path);
        place->why[0] = '\0';
    } else if (strncmp(answer.text, "missing ", 8) == 0) {
        place->missing = true;
        snprintf(place->why, sizeof(place->why), "it has not been brought there yet");
    } else {
        snprintf(
            place->why, sizeof(place->why),
            "it cannot be run there (a file system mounted noexec, or a foreign architecture)");
    }
}

void
ssh_guest_find(struct ssh_keeper *keeper, int64_t deadline_ns, struct ssh_guest_place *place)
{
    char name[NAME_MAX_BYTES], path[SSH_PATH_MAX];
    *place = (struct ssh_guest_place){.missing = false};
    cleanup_fd int program = open_program(ssh_keeper_machine(keeper), place);
    if (program >= 0 && name_program(program, name, place))
        ask_host(keeper, name, deadline_ns, path, place);
}

static bool
upload(const struct billet_call *call, struct billet_lease_handle *handle, int program,
       const char *path)
{
    static const char *const none[] = {NULL};
    struct billet_error why = BILLET_ERROR_INIT;
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    struct stat about;
    char size[24];
    if (fstat(program, &about) < 0)
        return false;
    snprintf(size, sizeof(size), "%lld", (long long)about.st_size);
    const char *argv[] = {"/bin/sh", "-c", UPLOAD, "sh", path, size, NULL};
    struct billet_exec exec = {
        .struct_size = sizeof(exec),
        .argv = argv,
        .environment = none,
        .directory = handle->lease_directory,
        .stdin_fd = program,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .timeout_ns = UPLOAD_NS,
    };
    return ssh_exec_quietly(call, handle, &exec, &result, &why) == 0 &&
           result.outcome == BILLET_OUTCOME_EXITED && result.value == 0;
}

void
ssh_guest_install(const struct billet_call *call, struct billet_lease_handle *handle,
                  struct ssh_guest_place *place)
{
    char name[NAME_MAX_BYTES], path[SSH_PATH_MAX];
    *place = (struct ssh_guest_place){.missing = false};
    cleanup_fd int program = open_program(ssh_keeper_machine(handle->keeper), place);
    if (program < 0 || !name_program(program, name, place))
        return;
    ask_host(handle->keeper, name, call->deadline_ns, path, place);
    if (!place->missing)
        return;
    bool brought = upload(call, handle, program, path);
    ask_host(handle->keeper, name, call->deadline_ns, path, place);
    if (!brought && place->path[0] == '\0')
        snprintf(place->why, sizeof(place->why), "it could not be written to %.150s", path);
}
