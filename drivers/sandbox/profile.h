/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - what a sandbox is made of: the options for bubblewrap, the small
 * files it is given, and where billet-sandbox-init is to expect mounts.
 *
 * Reads which directories this machine has; makes no process and no mount.
 */
#ifndef SANDBOX_PROFILE_H
#define SANDBOX_PROFILE_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "assets.h"
#include "options.h"
#include "path.h"
#include "protocol.h"

/* NUL-terminated strings one after the other. Check failed once at the end. */
struct sandbox_strings {
    char *bytes;
    size_t length;
    size_t capacity;
    uint32_t count;
    bool failed;
};
void sandbox_strings_add(struct sandbox_strings *list, const char *text);
void sandbox_strings_format(struct sandbox_strings *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sandbox_strings_free(struct sandbox_strings *list);

/* Descriptors of bwrap beyond init's; it closes them. */
#define SANDBOX_FD_ARGUMENTS 6
#define SANDBOX_FD_FILTER 7
#define SANDBOX_FD_FILES 8
#define SANDBOX_FILES 6

/* Protections that an ablation build of the driver can leave out, to prove that tests notice. */
#define SANDBOX_DROP_SECCOMP 0x1u
#define SANDBOX_DROP_NETWORK 0x2u
#define SANDBOX_DROP_PID 0x4u
#define SANDBOX_DROP_IPC 0x8u
#define SANDBOX_DROP_ENVIRONMENT 0x10u
#define SANDBOX_DROP_DESCRIPTORS 0x20u
#define SANDBOX_DROP_KEYRING 0x40u
#define SANDBOX_DROP_USERNS 0x80u
#define SANDBOX_DROP_SESSION 0x100u
#define SANDBOX_DROP_PIDS 0x200u
#define SANDBOX_DROP_MEMORY 0x400u
#define SANDBOX_DROP_CORE 0x800u
#define SANDBOX_DROP_LANDLOCK 0x1000u
#define SANDBOX_DROP_READONLY 0x2000u
#define SANDBOX_DROP_DUMPABLE 0x4000u
/* 0 but in an ablation build. */
unsigned sandbox_dropped(void);

struct sandbox_profile {
    struct sandbox_strings arguments; /* for --args */
    struct sandbox_strings mounts;    /* where something is mounted read-only */
    struct sandbox_strings readable;  /* what the command may read beyond the usual */
    int files[SANDBOX_FILES];         /* content for descriptors SANDBOX_FD_FILES..., -1: none */
    size_t file_count;
};

/* work: the path of the workspace to bind, NULL: none. place: the workspace itself. init: of
 * billet-sandbox-init. staged: where the assets are mounted already, by number; NULL: nowhere. */
int sandbox_profile_make(const struct sandbox_config *config, const char *work,
                         const struct sandbox_place *place, const struct sandbox_assets *assets,
                         const char *staged, const char *init, struct sandbox_profile *profile,
                         struct billet_error *error);
void sandbox_profile_free(struct sandbox_profile *profile);

/* A sealed memfd with these bytes, read offset 0, or -1 with errno. */
int sandbox_memfd(const char *name, const void *bytes, size_t length);

#endif
