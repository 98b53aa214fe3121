/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - the contract of a driver: one shared object driver_NAME.so that
 * exports billet_driver_init and carries an ELF note. See billet-driver(3).
 *
 * The core runs a driver in a process of its own (billet-driver-host), one for
 * each lease in use. Calls block; each has a deadline, after which the process
 * is killed, and a cancel fd. The table and every argument and result structure
 * begin with struct_size: the reader copies the smaller size into a zeroed
 * structure of its own, so older and newer sides meet safely. Unknown flag bits
 * are an error of class CONFIG.
 *
 * A driver must not call exit, signal, sigaction, setenv, chdir, umask,
 * setlocale or waitpid(-1, ...), and must not keep a pointer of an argument
 * after the call returned.
 */
#ifndef BILLET_DRIVER_H
#define BILLET_DRIVER_H

#include <billet/host.h>
#include <billet/option.h>
#include <billet/types.h>
#include <billet/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what every call carries ------------------------------------------- */

struct billet_call {
    uint64_t struct_size;
    uint64_t flags;      /* BILLET_CALL_*; an unknown bit is an error */
    int64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0: none */
    int32_t cancel_fd;   /* readable (POLLIN or POLLHUP) once the call should end soon; -1: none */
    int32_t reserved;
    const struct billet_identity *identity; /* NULL for check_config, probe, list, dump, trust */
    const struct billet_config *config;     /* the environment's configuration */
    void *context;                          /* the core's own, for the host table */
};

/* What the core knows of the calls to come, so that a driver can begin early. Advice: a driver may
 * ignore it, ignores bits that it does not know, and the core may yet do otherwise. */
#define BILLET_HINT_NO_REALIZE 0x1u /* acquire: commands follow without a realize */
#define BILLET_HINT_LAST 0x2u       /* exec: no command follows, and the release will be DESTROY */

#define BILLET_CALL_DRY_RUN 0x1u /* say what would be done, change nothing (destroy only) */

/* ---- acquire, resume ----------------------------------------------------- */

#define BILLET_REF_MAX 512

/* The driver's state for one lease in this process; made by acquire or resume. */
struct billet_lease_handle;

struct billet_acquire {
    uint64_t struct_size;
    int64_t ttl_ns; /* a provider-side life limit must not be shorter; 0: none asked */
    uint64_t hints; /* BILLET_HINT_* */
};

struct billet_fact {
    const char *key;
    const char *value;
};

/* Take up a resource that exists. SHARED: another process uses it too (a second exec). */
#define BILLET_RESUME_SHARED 0x1u
struct billet_resume {
    uint64_t struct_size;
    uint64_t flags;
    const char *ref;
    const struct billet_fact *facts; /* what acquire and realize recorded */
    uint64_t fact_count;
};

struct billet_acquired {
    uint64_t struct_size;
    struct billet_lease_handle *handle; /* owned by the driver, ended by release */
    int64_t expires_ns;                 /* wall clock the provider attests; 0: none */
    char ref[BILLET_REF_MAX]; /* names the resource for ever; non-empty, no control bytes */
};

/* ---- release, destroy ---------------------------------------------------- */

#define BILLET_DISPOSE_DESTROY 1 /* nothing is left, and that was verified */
#define BILLET_DISPOSE_STOP 2    /* nothing runs, what is stored stays */
#define BILLET_DISPOSE_KEEP 3    /* left as it is; the handle ends */

/* Idempotent: a resource that is not there is a success. */
struct billet_destroy {
    uint64_t struct_size;
    const char *ref; /* "" when acquire never answered: find it by the identity's lease id */
    const struct billet_fact *facts;
    uint64_t fact_count;
};

/* ---- realize -------------------------------------------------------------- */

#define BILLET_WORKSPACE_NONE 0
#define BILLET_WORKSPACE_IN_PLACE 1 /* the directory itself */
#define BILLET_WORKSPACE_BIND 2     /* the directory, mounted read-write in the environment */
#define BILLET_WORKSPACE_OVERLAY 3  /* a view whose changes are collected */
#define BILLET_WORKSPACE_COPY 4     /* a copy that is carried there and back */

/* A file or directory of this machine that commands may read besides the workspace. */
#define BILLET_ASSETS_MAX 32
struct billet_asset {
    const char *name; /* one component, not "." or ".."; names differ */
    const char *path; /* absolute, without links */
};

struct billet_realize {
    uint64_t struct_size;
    int32_t mode;     /* BILLET_WORKSPACE_* */
    int32_t root_fd;  /* the directory here, O_PATH or O_RDONLY; -1 with NONE */
    const char *path; /* its absolute path here; "" with NONE */
    /* Since minor 2; with CAN_ASSETS, CAN_SHARE_FILES and CAN_CONFINE only. */
    const struct billet_asset *assets;
    uint64_t asset_count; /* 0..BILLET_ASSETS_MAX */
};

struct billet_realized {
    uint64_t struct_size;
    char directory[4096]; /* where the workspace is in the environment; absolute */
    /* Since minor 2: the directory in the environment that holds each asset under its name;
     * absolute, "" without assets. */
    char assets[4096];
};

/* ---- exec, signal ---------------------------------------------------------- */

#define BILLET_EXEC_PTY \
    0x1u /* the driver makes a terminal of rows x columns; stdout carries both streams */
struct billet_exec {
    uint64_t struct_size;
    uint64_t flags;
    const char *const *argv;        /* NULL-terminated, at least one; bytes, never a shell string */
    const char *const *environment; /* NULL-terminated NAME=VALUE; added to the environment's own */
    const char *directory;          /* working directory in the environment; "": the workspace */
    int32_t stdin_fd;               /* owned by the core; the driver duplicates what it keeps */
    int32_t stdout_fd;
    int32_t stderr_fd;
    int32_t rows; /* with PTY */
    int32_t columns;
    uint32_t hints;     /* BILLET_HINT_* */
    int64_t timeout_ns; /* from the start of the command; then the whole tree is killed; 0: none */
    int64_t kill_after_ns; /* between the first gentle signal and the kill, on timeout and cancel */
};

#define BILLET_OUTCOME_EXITED 1        /* value: exit code, 0..255 */
#define BILLET_OUTCOME_SIGNALLED 2     /* value: signal number */
#define BILLET_OUTCOME_TIMED_OUT 3     /* timeout_ns passed, the tree is dead */
#define BILLET_OUTCOME_CANCELLED 4     /* cancel_fd, the tree is dead */
#define BILLET_OUTCOME_NOT_FOUND 5     /* no such command; sys_errno in value */
#define BILLET_OUTCOME_NOT_INVOCABLE 6 /* there, but cannot be run; errno in value */

struct billet_exec_result {
    uint64_t struct_size;
    int32_t outcome;
    int32_t value;
    uint64_t max_rss_bytes; /* of the command where known, else 0 */
    int64_t cpu_ns;
    /* Since minor 3: process id of the command where the driver learned of start and end at once
     * and did not call host->started, else 0. */
    int64_t started_pid;
};

/* Deliver to the foreground command of the exec that runs on this handle. */
struct billet_signal {
    uint64_t struct_size;
    int32_t number; /* SIGWINCH: take over rows and columns */
    int32_t rows;
    int32_t columns;
    int32_t reserved;
};

/* ---- files ------------------------------------------------------------------ */

struct billet_transfer {
    uint64_t struct_size;
    const char *path; /* in the environment, absolute */
    int32_t fd;       /* put/import: read from it; get/export: write to it */
    uint32_t mode;    /* put: permission bits */
};

/* ---- trust ------------------------------------------------------------------ */

/* Forget what is known of the hosts, instead of looking at them; accept is empty. */
#define BILLET_TRUST_FORGET 0x1u
struct billet_trust {
    uint64_t struct_size;
    uint64_t flags;
    const char *const *accept; /* NULL-terminated fingerprints of keys that are to be kept */
};

/* ---- the table ---------------------------------------------------------------- */

/* How calls may overlap in one process; the lowest of driver and core wins. */
#define BILLET_THREADS_SERIAL 1000   /* one call at a time */
#define BILLET_THREADS_SIGNAL 2000   /* as SERIAL, but signal() may come while exec() runs */
#define BILLET_THREADS_PARALLEL 3000 /* any calls on one handle or several at once */

/* What the driver promises. Bits that need a callback are refused without it, and callbacks
 * without their bit too: billet-drivers(7) lists the pairs. */
#define BILLET_CAN_STREAM_STDIN 0x1u
#define BILLET_CAN_SPLIT_STDERR 0x2u
#define BILLET_CAN_BINARY 0x4u /* streams are passed byte for byte */
#define BILLET_CAN_SIGNAL 0x8u /* signal, thread model SIGNAL or above */
#define BILLET_CAN_PTY 0x10u
#define BILLET_CAN_CONCURRENT_EXEC 0x20u /* thread model PARALLEL */
#define BILLET_CAN_RESUME 0x40u          /* resume */
#define BILLET_CAN_LABEL 0x80u           /* list, destroy by label */
#define BILLET_CAN_SHARE_FILES 0x100u    /* the workspace is this machine's own directory */
#define BILLET_CAN_CONTROL_NETWORK 0x200u
#define BILLET_CAN_LIMIT 0x400u   /* memory, processes */
#define BILLET_CAN_CONFINE 0x800u /* the workload is kept from this machine */
#define BILLET_CAN_TRUST 0x1000u  /* trust; since minor 1 */
#define BILLET_CAN_ASSETS 0x2000u /* commands can be given assets; since minor 2 */
/* Only the machine that made a resource can reach it; since minor 2. */
#define BILLET_CAN_BE_LOCAL 0x4000u

/* Every callback returns 0, or a negative BILLET_CLASS_* with *error filled. */
struct billet_driver {
    uint64_t struct_size;
    uint32_t abi_major; /* BILLET_ABI_MAJOR, BILLET_ABI_MINOR as compiled */
    uint32_t abi_minor;
    const char *name; /* as in the note and in driver_NAME.so */
    const char *version;
    const char *text; /* one sentence: what environments it provides */
    int32_t thread_model;
    uint32_t option_size; /* sizeof(struct billet_option) as compiled */
    const struct billet_option *options;
    uint64_t option_count;
    uint64_t capabilities;    /* BILLET_CAN_* */
    uint64_t workspace_modes; /* bits 1 << BILLET_WORKSPACE_*; preferred: in place, bind, overlay,
                                 copy */

    /* Beyond what the option table says: combinations. Must not touch the outside. */
    int32_t (*check_config)(const struct billet_call *call, struct billet_error *error);
    /* Can an acquire work here? Reports through host->check; fails only when it could not look. */
    int32_t (*probe)(const struct billet_call *call, struct billet_error *error);
    int32_t (*acquire)(const struct billet_call *call, const struct billet_acquire *args,
                       struct billet_acquired *result, struct billet_error *error);
    int32_t (*resume)(const struct billet_call *call, const struct billet_resume *args,
                      struct billet_acquired *result, struct billet_error *error);
    /* Ends the handle in any case, also on failure. */
    int32_t (*release)(const struct billet_call *call, struct billet_lease_handle *handle,
                       int32_t disposition, struct billet_error *error);
    int32_t (*destroy)(const struct billet_call *call, const struct billet_destroy *args,
                       struct billet_error *error);
    int32_t (*list)(const struct billet_call *call, struct billet_error *error);
    int32_t (*realize)(const struct billet_call *call, struct billet_lease_handle *handle,
                       const struct billet_realize *args, struct billet_realized *result,
                       struct billet_error *error);
    int32_t (*exec)(const struct billet_call *call, struct billet_lease_handle *handle,
                    const struct billet_exec *args, struct billet_exec_result *result,
                    struct billet_error *error);
    int32_t (*signal)(const struct billet_call *call, struct billet_lease_handle *handle,
                      const struct billet_signal *args, struct billet_error *error);
    int32_t (*put)(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_transfer *args, struct billet_error *error);
    int32_t (*get)(const struct billet_call *call, struct billet_lease_handle *handle,
                   const struct billet_transfer *args, struct billet_error *error);
    int32_t (*import)(const struct billet_call *call, struct billet_lease_handle *handle,
                      const struct billet_transfer *args, struct billet_error *error);
    /* "export" is a keyword of C++. */
    int32_t (*export_)(const struct billet_call *call, struct billet_lease_handle *handle,
                       const struct billet_transfer *args, struct billet_error *error);
    /* Facts about this build, for `billet driver show`; through host->fact. */
    int32_t (*dump)(const struct billet_call *call, struct billet_error *error);

    /* Since minor 1. Look at the keys of the hosts on the way to the environment, as acquire would
     * meet them, and report each through host->host_key, in their order; keep those that accept
     * names. Ends after the first one that is neither known nor accepted. */
    int32_t (*trust)(const struct billet_call *call, const struct billet_trust *args,
                     struct billet_error *error);

    const void *reserved[7];
};

/* ---- the note and the one exported symbol --------------------------------------- */

#define BILLET_NOTE_NAME "billet"
#define BILLET_NOTE_TYPE 1
#define BILLET_NOTE_MAGIC 0x31474c42u /* "BLG1" */
#define BILLET_NAME_MAX 32

struct billet_note {
    uint32_t name_size; /* 8: "billet" padded */
    uint32_t desc_size;
    uint32_t type;
    char owner[8];
    uint32_t magic;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t host_minor; /* lowest minor of the core that it can run on */
    char name[BILLET_NAME_MAX];
    char version[BILLET_NAME_MAX];
};

/* Keeps *host for the life of the process; returns the static table, or NULL with *error filled. */
typedef const struct billet_driver *billet_driver_init_function(const struct billet_host *host,
                                                                struct billet_error *error);

/*
 * Write the note and open the definition of the entry:
 *   BILLET_DRIVER("null", "1.0", 0) { host = the_host; return &table; }
 * whose parameters are named the_host and error.
 */
#define BILLET_DRIVER(driver_name, driver_version, lowest_host_minor)                      \
    __attribute__((section(".note.billet"), used,                                          \
                   aligned(4))) static const struct billet_note billet_driver_note = {     \
        8,                                                                                 \
        sizeof(struct billet_note) - 20,                                                   \
        BILLET_NOTE_TYPE,                                                                  \
        BILLET_NOTE_NAME,                                                                  \
        BILLET_NOTE_MAGIC,                                                                 \
        BILLET_ABI_MAJOR,                                                                  \
        BILLET_ABI_MINOR,                                                                  \
        (lowest_host_minor),                                                               \
        driver_name,                                                                       \
        driver_version,                                                                    \
    };                                                                                     \
    __attribute__((visibility("default"))) const struct billet_driver *billet_driver_init( \
        const struct billet_host *the_host, struct billet_error *error);                   \
    const struct billet_driver *billet_driver_init(const struct billet_host *the_host,     \
                                                   struct billet_error *error)

#ifdef __cplusplus
}
#endif

#endif
