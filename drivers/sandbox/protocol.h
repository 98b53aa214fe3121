/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protocol.h - what the sandbox driver and billet-sandbox-init say to each
 * other. The setup, in a sealed memfd, describes the sandbox; then there are
 * messages, fixed but for that which begins a command, on SOCK_SEQPACKET sockets: one to the driver
 * that started the sandbox (the owner), and one a command, which a driver makes by connecting to
 * the listening socket that init was given (the door). Both programs are built and installed
 * together; magic and version catch a mixture. Owns no behaviour.
 */
#ifndef SANDBOX_PROTOCOL_H
#define SANDBOX_PROTOCOL_H

#include <stdint.h>

#define SANDBOX_MAGIC 0x78425342u
#define SANDBOX_VERSION 4u

/* Descriptors of billet-sandbox-init at its start; 2 is what bwrap complains to. */
#define SANDBOX_FD_OWNER 3 /* its other end is the owner's: without it the sandbox ends */
#define SANDBOX_FD_SETUP 4
#define SANDBOX_FD_DOOR 5  /* listening */
#define SANDBOX_FD_LIMIT 6 /* nothing from here on may be open */

/* The door's name in the directory of the lease. */
#define SANDBOX_DOOR "door"

/* Paths inside. */
#define SANDBOX_INIT_PATH "/run/billet/init"
#define SANDBOX_WORK "/work"
#define SANDBOX_ASSETS "/run/billet/assets"

#define SANDBOX_UID 1000
#define SANDBOX_GID 1000

/* Flags of the setup. */
#define SANDBOX_ALLOW_DEGRADED 0x2u /* go on although a protection is missing */
#define SANDBOX_SHARED_NETWORK 0x4u
#define SANDBOX_OVERLAY 0x40u    /* the workspace is an overlay */
#define SANDBOX_NO_LANDLOCK 0x8u /* ablation builds of the driver only */
#define SANDBOX_KEEP_FDS 0x10u   /* ablation builds of the driver only */
#define SANDBOX_TRACEABLE 0x20u  /* ablation builds of the driver only */
/* Flags of an order. */
#define SANDBOX_PTY 0x1u

/* Namespaces, in the order of struct sandbox_setup.namespaces. */
#define SANDBOX_NAMESPACES 7
#define SANDBOX_NAMESPACE_NAMES                             \
    {                                                       \
        "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" \
    }

/*
 * The setup: this header, then NUL-terminated strings: mounts (where something is mounted on
 * purpose), then readable (further paths that commands may read and execute).
 */
struct sandbox_setup {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of the whole in bytes */
    uint32_t flags;
    uint32_t mount_count;
    uint32_t readable_count;
    uint64_t process_limit; /* RLIMIT_NPROC, 0: left alone (a cgroup bounds it) */
    uint64_t data_limit;    /* RLIMIT_DATA of each command, 0: left alone */
    uint64_t work_device;   /* of SANDBOX_WORK; both 0: no workspace */
    uint64_t work_inode;
    uint64_t namespaces[SANDBOX_NAMESPACES]; /* inodes of the host's, 0: not known */
};

/* The order for one command: this header, then strings: directory, argv, environment. */
struct sandbox_order {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of the whole in bytes */
    uint32_t flags;
    uint32_t argument_count;
    uint32_t environment_count;
    int32_t rows;
    int32_t columns;
};

/* To the owner. */
#define SANDBOX_HELLO 1  /* sent with its credentials, so that the driver learns its pid */
#define SANDBOX_READY 2  /* text: names of missing protections, separated by ", " */
#define SANDBOX_BROKEN 3 /* text: what went wrong inside; value: errno. Also on a command's */
/* From the owner. */
#define SANDBOX_KEEP 16 /* outlive the owner; may carry a descriptor to hold for as long */
#define SANDBOX_LAST 17 /* no command follows this one: make nothing ready for it */
/* About a command. */
#define SANDBOX_MISSING 32  /* first of all: text as in READY, when it is not empty */
#define SANDBOX_TERMINAL 33 /* with the master by SCM_RIGHTS */
#define SANDBOX_STARTED 34  /* value: pid of the command inside */
#define SANDBOX_ENDED 35    /* kind, value and usage; the last of all */
/* From its driver; that one's end ends the command with its tree. */
#define SANDBOX_EXEC 48   /* the first, with descriptors; value: size of the order behind it */
#define SANDBOX_SIGNAL 49 /* value: signal to the command's process group */
#define SANDBOX_KILL 50   /* the command and all that descends from it */

/* With SANDBOX_EXEC: the command's three streams, then the order in a sealed memfd where it is too
 * long to stand behind the message in the same packet. */
#define SANDBOX_EXEC_FDS 4
#define SANDBOX_ORDER_BEHIND 3584

/* kind of SANDBOX_ENDED */
#define SANDBOX_EXITED 1
#define SANDBOX_SIGNALLED 2
#define SANDBOX_CANNOT_EXECUTE 3 /* value: errno */
#define SANDBOX_CANNOT_ENTER 4   /* the directory; value: errno */

/* kind of SANDBOX_READY: a protection is missing, no command will be taken */
#define SANDBOX_REFUSED 1

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

/* What begins a command: order is read through struct sandbox_order. */
struct sandbox_begin {
    struct sandbox_message message;
    char order[SANDBOX_ORDER_BEHIND];
};

#endif
