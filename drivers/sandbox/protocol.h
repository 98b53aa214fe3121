/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protocol.h - what the sandbox driver and billet-sandbox-init say to each
 * other: one order in a sealed memfd, then fixed messages on a SOCK_SEQPACKET
 * pair. Both are built together and installed together; magic and version catch
 * a mixture. Owns no behaviour.
 */
#ifndef SANDBOX_PROTOCOL_H
#define SANDBOX_PROTOCOL_H

#include <stdint.h>

#define SANDBOX_MAGIC 0x78425342u
#define SANDBOX_VERSION 1u

/* Descriptors of billet-sandbox-init. 2 belongs to bwrap until init put the command's own there. */
#define SANDBOX_FD_CONTROL 3
#define SANDBOX_FD_ORDER 4
#define SANDBOX_FD_STDERR 5
#define SANDBOX_FD_LIMIT 6 /* nothing from here on may be open */

/* Paths inside. */
#define SANDBOX_INIT_PATH "/run/billet/init"
#define SANDBOX_WORK "/work"

#define SANDBOX_UID 1000
#define SANDBOX_GID 1000

#define SANDBOX_PTY 0x1u
#define SANDBOX_ALLOW_DEGRADED 0x2u /* go on although a protection is missing */
#define SANDBOX_SHARED_NETWORK 0x4u
#define SANDBOX_NO_LANDLOCK 0x8u /* ablation builds of the driver only */
#define SANDBOX_KEEP_FDS 0x10u   /* ablation builds of the driver only */
#define SANDBOX_TRACEABLE 0x20u  /* ablation builds of the driver only */

/* Namespaces, in the order of struct sandbox_order.namespaces. */
#define SANDBOX_NAMESPACES 7
#define SANDBOX_NAMESPACE_NAMES                             \
    {                                                       \
        "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" \
    }

/*
 * The order: this header, then NUL-terminated strings: directory, argv, environment, then
 * mounts (where something is mounted on purpose), then readable (further paths the command may
 * read and execute).
 */
struct sandbox_order {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of the whole order in bytes */
    uint32_t flags;
    uint32_t argument_count;
    uint32_t environment_count;
    uint32_t mount_count;
    uint32_t readable_count;
    int32_t rows;
    int32_t columns;
    uint64_t process_limit; /* RLIMIT_NPROC, 0: left alone (a cgroup bounds it) */
    uint64_t data_limit;    /* RLIMIT_DATA, 0: left alone */
    uint64_t work_device;   /* of SANDBOX_WORK; both 0: no workspace */
    uint64_t work_inode;
    uint64_t namespaces[SANDBOX_NAMESPACES]; /* inodes of the host's, 0: not known */
};

/* Messages of init. */
#define SANDBOX_HELLO 1    /* sent with its credentials, so that the driver learns its pid */
#define SANDBOX_MISSING 2  /* text: names of missing protections, separated by ", " */
#define SANDBOX_TERMINAL 3 /* with the master by SCM_RIGHTS */
#define SANDBOX_STARTED 4  /* value: pid of the command inside */
#define SANDBOX_ENDED 5    /* kind, value and usage */
#define SANDBOX_BROKEN 6   /* text: what went wrong in init; value: errno */
/* Messages of the driver. */
#define SANDBOX_SIGNAL 16 /* value: signal to the command's process group */

/* kind of SANDBOX_ENDED */
#define SANDBOX_EXITED 1
#define SANDBOX_SIGNALLED 2
#define SANDBOX_CANNOT_EXECUTE 3 /* value: errno */
#define SANDBOX_CANNOT_ENTER 4   /* the directory; value: errno */
#define SANDBOX_REFUSED 5        /* a protection is missing, nothing was started */

#define SANDBOX_TEXT_MAX 480
struct sandbox_message {
    uint32_t type;
    uint32_t kind;
    int32_t value;
    int32_t reserved;
    uint64_t max_rss_bytes;
    int64_t cpu_ns;
    char text[SANDBOX_TEXT_MAX];
};

#endif
