/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the options of the sandbox driver: their table and their values
 * for one call. Judges combinations and paths that must never be mounted; never
 * looks at processes or makes anything.
 */
#ifndef SANDBOX_OPTIONS_H
#define SANDBOX_OPTIONS_H

#include <billet/driver.h>
#include <stdbool.h>
#include <sys/types.h>

extern const struct billet_option sandbox_options[];
extern const uint64_t sandbox_option_count;

/* Strings belong to the call. */
struct sandbox_config {
    const char *bubblewrap;
    const char *rootfs; /* NULL: this machine's /usr */
    const char *hostname;
    bool shared_network;
    bool allow_degraded;
    int64_t memory_max;
    int64_t pids_max;
    int64_t tmp_size;
    const char *const *read_only; /* NULL-terminated, may be NULL */
    uint32_t uid_base;
    uint32_t uid_count;
};

int sandbox_config_read(const struct billet_config *from, struct sandbox_config *config,
                        struct billet_error *error);

/* Why this path must not be visible in a sandbox, or NULL. It is absolute; resolve symlinks first.
 */
const char *sandbox_config_refuses(const char *path);

#endif
