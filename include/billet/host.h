/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - what the core offers a driver: the table handed to billet_driver_init.
 *
 * A driver has no undefined symbols against the core; it calls back through
 * this table only. Every function may be called from any thread of the driver.
 * Strings are copied before the call returns.
 */
#ifndef BILLET_HOST_H
#define BILLET_HOST_H

#include <billet/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BILLET_LOG_ERROR 3
#define BILLET_LOG_WARNING 4
#define BILLET_LOG_INFO 6
#define BILLET_LOG_DEBUG 7

/* The outcome of one check of a probe. */
#define BILLET_CHECK_PASS 1
#define BILLET_CHECK_WARN 2 /* works, with less; hint says what is lost */
#define BILLET_CHECK_FAIL 3 /* an acquire would be refused; hint is the remedy */

/* Directories of the installation, for directory(). */
#define BILLET_DIRECTORY_RUNTIME \
    1 /* private to the user, emptied at boot; driver may make NAME/ in it */
#define BILLET_DIRECTORY_STATE 2   /* private to the user, kept over boots */
#define BILLET_DIRECTORY_LIBEXEC 3 /* where billet's helper programs are */

/* One thing that a provider holds, as list() finds it. */
struct billet_resource {
    uint64_t struct_size;
    const char *ref;        /* as acquire returned it */
    const char *deployment; /* from the label; "" when it carries none */
    const char *lease;      /* from the label; "" when it carries none */
    uint64_t fence;
    uint64_t generation;
    int64_t age_ns; /* since it was made; -1 when unknown */
};

/* What a host showed to prove itself, as trust() met it. */
#define BILLET_KEY_KNOWN 1
#define BILLET_KEY_NEW 2     /* nothing is known of the host yet */
#define BILLET_KEY_CHANGED 3 /* the host is known by another key */
#define BILLET_KEY_ADDED 4   /* was accepted, and is kept from now on */
#define BILLET_KEY_REMOVED 5 /* was known until now */

struct billet_host_key {
    uint64_t struct_size;
    const char *host;        /* as the environment names it, with its port */
    const char *type;        /* "ssh-ed25519" */
    const char *fingerprint; /* "SHA256:..." */
    const char *file;        /* where known keys are kept, or "" */
    int32_t state;           /* BILLET_KEY_* */
};

struct billet_call; /* driver.h */

struct billet_host {
    uint64_t struct_size;
    uint32_t abi_major;
    uint32_t abi_minor;
    void *context; /* the core's own */

    /* A line for the log; never a secret, no newline. */
    void (*log)(const struct billet_host *host, int32_t level, const char *message);

    /* An absolute path, valid until the process ends, or NULL when it cannot be had. */
    const char *(*directory)(const struct billet_host *host, int32_t which);

    /* probe(): one line of the report. hint may be "" for PASS. */
    void (*check)(const struct billet_call *call, int32_t outcome, const char *name,
                  const char *message, const char *hint);

    /* list(): one resource. */
    void (*resource)(const struct billet_call *call, const struct billet_resource *resource);

    /* acquire(), realize(), dump(): one fact to keep with the lease or to print. Values are
     * UTF-8, at most 4096 bytes, 64 facts a call. What acquire records comes back in resume(),
     * release() and destroy(). */
    void (*fact)(const struct billet_call *call, const char *key, const char *value);

    /* exec(): the command itself has been started (pid in the environment, or 0). */
    void (*started)(const struct billet_call *call, int64_t pid);

    /* trust(): one key. Since minor 1. */
    void (*host_key)(const struct billet_call *call, const struct billet_host_key *key);

    const void *reserved[7];
};

#ifdef __cplusplus
}
#endif

#endif
