/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"

#define NO_PERMISSION SCMP_ACT_ERRNO(EPERM)
#define NO_CALL SCMP_ACT_ERRNO(ENOSYS)

/* The kernel reads these arguments as 32 bits: only those may be compared (CVE-2019-10063). */
#define LOW_32 UINT64_C(0xffffffff)

/* Refused with EPERM whatever the arguments. Names that this libseccomp or architecture lacks are
 * skipped, unless the table below gives the number. */
static const char *const denied[] = {
    /* mounts and roots */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    /* namespaces */
    "unshare",
    "setns",
    /* other processes */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "kcmp",
    "process_madvise",
    /* the kernel's programmable parts */
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    /* keys */
    "keyctl",
    "add_key",
    "request_key",
    /* files without a path */
    "open_by_handle_at",
    "name_to_handle_at",
    /* the machine */
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "sethostname",
    "setdomainname",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "settimeofday",
    "stime",
    "adjtimex",
    "syslog",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vm86",
    "vm86old",
    "uselib",
    "ustat",
    "sysfs",
    "_sysctl",
    "bdflush",
    /* watchers of whole file systems, other nodes' memory, odds and ends of no use here */
    "fanotify_init",
    "fanotify_mark",
    "mbind",
    "migrate_pages",
    "move_pages",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "vhangup",
    "nfsservctl",
    "lookup_dcookie",
    "memfd_secret",
    "pciconfig_read",
    "pciconfig_write",
    "pciconfig_iobase",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
};

/* Newer than libseccomp 2.5.4: one number on all architectures that matter (since 5.1). */
static const int denied_numbers[] = {
    457, /* statmount */
    458, /* listmount */
    467, /* open_tree_attr */
};

/* Arguments that the filter cannot see; libc falls back when told that the call is not there. */
static const char *const absent[] = {"clone3", "openat2"};
static const int absent_numbers[] = {
    452, /* fchmodat2 */
};

static const uint64_t namespace_flags[] = {
    CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
    CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET,
};

/* Calls that give a file its mode; flags: the argument with O_CREAT, -1: the mode always counts. */
static const struct mode_call {
    const char *name;
    unsigned mode;
    int flags;
} mode_calls[] = {
    {"chmod", 1, -1},   {"fchmod", 1, -1}, {"fchmodat", 2, -1}, {"creat", 1, -1}, {"mkdir", 1, -1},
    {"mkdirat", 2, -1}, {"mknod", 1, -1},  {"mknodat", 2, -1},  {"open", 2, 1},   {"openat", 3, 2},
};

#if defined(__s390__) || defined(__s390x__)
#define CLONE_FLAGS_ARGUMENT 1
#else
#define CLONE_FLAGS_ARGUMENT 0
#endif

struct builder {
    scmp_filter_ctx context;
    int result; /* the first failure, a negative errno */
};

static void
add(struct builder *builder, uint32_t action, int number, unsigned count,
    const struct scmp_arg_cmp *compares)
{
    if (number == __NR_SCMP_ERROR || builder->result < 0)
        return;
    int result = seccomp_rule_add_array(builder->context, action, number, count, compares);
    /* A call that this architecture does not have. */
    if (result == -EDOM || (result == -EFAULT && number < 0))
        return;
    builder->result = result;
}

static void
add_when(struct builder *builder, uint32_t action, const char *name, struct scmp_arg_cmp compare)
{
    add(builder, action, seccomp_syscall_resolve_name(name), 1, &compare);
}

static void
add_always(struct builder *builder)
{
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
        add(builder, NO_PERMISSION, seccomp_syscall_resolve_name(denied[i]), 0, NULL);
    for (size_t i = 0; i < sizeof(denied_numbers) / sizeof(denied_numbers[0]); i++)
        add(builder, NO_PERMISSION, denied_numbers[i], 0, NULL);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        add(builder, NO_CALL, seccomp_syscall_resolve_name(absent[i]), 0, NULL);
    for (size_t i = 0; i < sizeof(absent_numbers) / sizeof(absent_numbers[0]); i++)
        add(builder, NO_CALL, absent_numbers[i], 0, NULL);
}

static void
add_namespaces(struct builder *builder)
{
    for (size_t i = 0; i < sizeof(namespace_flags) / sizeof(namespace_flags[0]); i++)
        add_when(builder, NO_PERMISSION, "clone",
                 SCMP_CMP64(CLONE_FLAGS_ARGUMENT, SCMP_CMP_MASKED_EQ, namespace_flags[i],
                            namespace_flags[i]));
}

static void
add_terminal(struct builder *builder)
{
    add_when(builder, NO_PERMISSION, "ioctl", SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, LOW_32, TIOCSTI));
    add_when(builder, NO_PERMISSION, "ioctl", SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, LOW_32, TIOCLINUX));
}

/* Only UNIX, IPv4, IPv6 and route netlink sockets; vsock is in no namespace before Linux 7.0. */
static void
add_sockets(struct builder *builder)
{
    static const char *const calls[] = {"socket", "socketpair"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        /* An AF_INET above 32 bits is refused too, which no libc asks for. */
        add_when(builder, NO_PERMISSION, calls[i], SCMP_CMP64(0, SCMP_CMP_GT, AF_NETLINK, 0));
        for (unsigned family = 0; family < AF_NETLINK; family++)
            if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
                add_when(builder, NO_PERMISSION, calls[i], SCMP_CMP64(0, SCMP_CMP_EQ, family, 0));
    }
    int socket_call = seccomp_syscall_resolve_name("socket");
    struct scmp_arg_cmp other_netlink[] = {SCMP_CMP64(0, SCMP_CMP_EQ, AF_NETLINK, 0),
                                           SCMP_CMP64(2, SCMP_CMP_NE, NETLINK_ROUTE, 0)};
    add(builder, NO_PERMISSION, socket_call, 2, other_netlink);
    static const uint64_t families[] = {AF_INET, AF_INET6};
    static const uint64_t types[] = {SOCK_RAW, SOCK_PACKET};
    for (size_t family = 0; family < 2; family++)
        for (size_t type = 0; type < 2; type++) {
            struct scmp_arg_cmp raw[] = {SCMP_CMP64(0, SCMP_CMP_EQ, families[family], 0),
                                         SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, 0xf, types[type])};
            add(builder, NO_PERMISSION, socket_call, 2, raw);
        }
}

/* A set-id file in the workspace would be the owner's, for root's workspace root's own. */
static void
add_modes(struct builder *builder)
{
    static const uint64_t bits[] = {S_ISUID, S_ISGID};
    static const uint64_t creating[] = {O_CREAT, O_TMPFILE & ~O_DIRECTORY};
    for (size_t i = 0; i < sizeof(mode_calls) / sizeof(mode_calls[0]); i++) {
        const struct mode_call *call = &mode_calls[i];
        int number = seccomp_syscall_resolve_name(call->name);
        for (size_t bit = 0; bit < 2; bit++) {
            struct scmp_arg_cmp mode =
                SCMP_CMP64(call->mode, SCMP_CMP_MASKED_EQ, bits[bit], bits[bit]);
            if (call->flags < 0) {
                add(builder, NO_PERMISSION, number, 1, &mode);
                continue;
            }
            /* Without O_CREAT the register may hold anything. */
            for (size_t flag = 0; flag < 2; flag++) {
                struct scmp_arg_cmp both[] = {SCMP_CMP64((unsigned)call->flags, SCMP_CMP_MASKED_EQ,
                                                         creating[flag], creating[flag]),
                                              mode};
                add(builder, NO_PERMISSION, number, 2, both);
            }
        }
    }
}

/* Only 0 and the query 0xffffffff: every other value has a set bit whose next (in a circle) is
 * clear, and a rule may compare an argument only once. */
static void
add_personality(struct builder *builder)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t set = UINT64_C(1) << bit, clear = UINT64_C(1) << ((bit + 1) % 32);
        add_when(builder, NO_PERMISSION, "personality",
                 SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, set | clear, set));
    }
}

static int
build(scmp_filter_ctx context)
{
    struct builder builder = {.context = context};
    /* i386 by int 0x80 and x32 numbers would go around everything below. */
    builder.result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    add_always(&builder);
    add_namespaces(&builder);
    add_terminal(&builder);
    add_sockets(&builder);
    add_modes(&builder);
    add_personality(&builder);
    return builder.result;
}

int
sandbox_filter_make(int *fd, struct billet_error *error)
{
    cleanup_fd int made = -1;
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    if (context == NULL)
        return billet_fail_errno(error, BILLET_CLASS_CAPACITY, "sandbox_filter_failed", ENOMEM,
                                 "cannot make the system call filter");
    int result = build(context);
    if (result == 0) {
        made = memfd_create("billet-filter", MFD_CLOEXEC);
        result = made < 0 ? -errno : seccomp_export_bpf(context, made);
    }
    seccomp_release(context);
    if (result == 0 && lseek(made, 0, SEEK_SET) != 0)
        result = -errno;
    if (result != 0) {
        billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "sandbox_filter_failed", -result,
                          "cannot make the system call filter");
        return billet_fail_hint(error,
                                "a kernel with CONFIG_SECCOMP_FILTER and libseccomp 2.5.4 or "
                                "later are needed");
    }
    *fd = billet_take_fd(&made);
    return 0;
}

static void *
make_in_thread(void *context)
{
    struct sandbox_filter *filter = context;
    sandbox_filter_make(&filter->fd, NULL); /* a failure is found again, with its reason */
    return NULL;
}

void
sandbox_filter_begin(struct sandbox_filter *filter)
{
    sigset_t all, saved;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    filter->begun = pthread_create(&filter->thread, NULL, make_in_thread, filter) == 0;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static void
join(struct sandbox_filter *filter)
{
    if (filter->begun)
        pthread_join(filter->thread, NULL);
    filter->begun = false;
}

int
sandbox_filter_await(struct sandbox_filter *filter, struct billet_error *error)
{
    join(filter);
    return filter->fd >= 0 ? 0 : sandbox_filter_make(&filter->fd, error);
}

void
sandbox_filter_free(struct sandbox_filter *filter)
{
    join(filter);
    billet_close_fd(&filter->fd);
}
