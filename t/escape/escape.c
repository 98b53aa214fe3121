/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape.c - tries to get out of the sandbox it is started in, or at what a
 * sandbox must not offer: one line of TAP an attempt, "not ok" when it worked.
 *
 * Static, each attempt in a process of its own with a time limit. An attempt that
 * succeeds does no harm: it opens without writing, writes back what it read,
 * passes arguments that the kernel refuses after its permission check. With the rights of root it
 * would still unmount and rename things, so it refuses to run outside a sandbox. Lures of the host
 * (see lure.c) are named by the environment.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CONTAINED 0
#define ESCAPED 10
#define NOT_APPLICABLE 20
#define SECONDS 20

static const char *
lure(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static pid_t
host_pid(void)
{
    return (pid_t)atol(lure("LURE_PID"));
}

/* A call that must fail. */
static int
must_fail(long result)
{
    return result < 0 ? CONTAINED : ESCAPED;
}

/* A call whose arguments are refused after the permission check: only a refusal for want of
 * permission, or of the call itself, is contained. */
static int
must_lack_permission(long result)
{
    if (result >= 0)
        return ESCAPED;
    return errno == EPERM || errno == ENOSYS || errno == EACCES ? CONTAINED : ESCAPED;
}

static int
must_not_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return must_fail(fd);
}

/* ---- files --------------------------------------------------------------------- */

static int
read_canary(void)
{
    return must_not_open(lure("LURE_FILE"), O_RDONLY);
}
static int
read_shadow(void)
{
    return must_not_open("/etc/shadow", O_RDONLY);
}
static int
read_root_home(void)
{
    return must_not_open("/root", O_RDONLY | O_DIRECTORY);
}

static int
create_outside(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/escaped", lure("LURE_DIRECTORY"));
    return must_fail(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static int
create_at(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    return must_fail(fd);
}
static int
write_root(void)
{
    return create_at("/escaped");
}
static int
write_usr(void)
{
    return create_at("/usr/escaped");
}
static int
write_etc(void)
{
    return create_at("/etc/escaped");
}
static int
write_run(void)
{
    return create_at("/run/billet/escaped");
}
static int
write_dev(void)
{
    return create_at("/dev/escaped");
}
static int
change_init(void)
{
    return must_not_open("/run/billet/init", O_WRONLY);
}
static int
change_proc_exe(void)
{
    return must_not_open("/proc/1/exe", O_WRONLY);
}

static int
above_workspace(void)
{
    char path[PATH_MAX];
    struct stat root, above;
    snprintf(path, sizeof(path), "/work/../../../../../../..%s", lure("LURE_FILE"));
    if (open(path, O_RDONLY | O_CLOEXEC) >= 0)
        return ESCAPED;
    if (stat("/", &root) < 0 || stat("/work/../../..", &above) < 0)
        return CONTAINED;
    return root.st_ino == above.st_ino && root.st_dev == above.st_dev ? CONTAINED : ESCAPED;
}

static int
link_out(void)
{
    unlink("/work/link-out");
    if (symlink(lure("LURE_FILE"), "/work/link-out") < 0)
        return CONTAINED;
    int fd = open("/work/link-out", O_RDONLY | O_CLOEXEC);
    unlink("/work/link-out");
    return must_fail(fd);
}

static int
chroot_out(void)
{
    return must_fail(chroot("/tmp"));
}

static int
handle_out(void)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + 128];
    } at;
    int mount_id;
    at.handle.handle_bytes = 128;
    if (name_to_handle_at(AT_FDCWD, "/", &at.handle, &mount_id, 0) < 0) {
        /* inode 2 of an ext4 */
        at.handle.handle_bytes = 8;
        at.handle.handle_type = 1;
        memcpy(at.handle.f_handle, "\2\0\0\0\0\0\0\0", 8);
    }
    int root = open("/work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return must_fail(open_by_handle_at(root, &at.handle, O_RDONLY));
}
static int
name_handle(void)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + 128];
    } at;
    int mount_id;
    at.handle.handle_bytes = 128;
    return must_fail(name_to_handle_at(AT_FDCWD, "/work", &at.handle, &mount_id, 0));
}

/* ---- set-id files ------------------------------------------------------------------ */

static bool
is_set_id(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0;
}

static int
plain_file(const char *path)
{
    unlink(path);
    rmdir(path);
    return open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0755);
}

static int
verdict_set_id(const char *path)
{
    bool set = is_set_id(path);
    unlink(path);
    rmdir(path);
    return set ? ESCAPED : CONTAINED;
}

static int
setuid_chmod(void)
{
    plain_file("/work/set");
    if (chmod("/work/set", 04755) < 0 && chmod("/work/set", 02755) < 0)
        return verdict_set_id("/work/set");
    return verdict_set_id("/work/set");
}
static int
setuid_fchmod(void)
{
    int fd = plain_file("/work/set");
    fchmod(fd, 06755);
    return verdict_set_id("/work/set");
}
static int
setuid_fchmodat2(void)
{
    plain_file("/work/set");
    syscall(452, AT_FDCWD, "/work/set", 06755, 0);
    return verdict_set_id("/work/set");
}
static int
setuid_open(void)
{
    unlink("/work/set");
    syscall(SYS_openat, AT_FDCWD, "/work/set", O_CREAT | O_RDWR | O_CLOEXEC, 04755);
    return verdict_set_id("/work/set");
}
static int
setuid_open_high(void)
{
    unlink("/work/set");
    syscall(SYS_openat, AT_FDCWD, "/work/set", (1ul << 32) | O_CREAT | O_RDWR,
            (1ul << 33) | 04755ul);
    return verdict_set_id("/work/set");
}
static int
setuid_openat2(void)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_CREAT | O_RDWR | O_CLOEXEC, 04755, 0};
    unlink("/work/set");
    syscall(437, AT_FDCWD, "/work/set", &how, sizeof(how));
    return verdict_set_id("/work/set");
}
static int
setuid_tmpfile(void)
{
    char path[64];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/work", O_TMPFILE | O_RDWR, 04755);
    if (fd < 0)
        return CONTAINED;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return is_set_id(path) ? ESCAPED : CONTAINED;
}
static int
setuid_mknod(void)
{
    unlink("/work/set");
    (void)!mknod("/work/set", S_IFREG | 04755, 0);
    return verdict_set_id("/work/set");
}
static int
setgid_mkdir(void)
{
    rmdir("/work/set");
    (void)!mkdir("/work/set", 02755);
    return verdict_set_id("/work/set");
}

/* ---- mounts and namespaces ------------------------------------------------------------ */

static int
remount_rw(void)
{
    return must_fail(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
}
static int
mount_proc(void)
{
    mkdir("/tmp/m", 0755);
    return must_fail(mount("proc", "/tmp/m", "proc", 0, NULL));
}
static int
unmount(void)
{
    return must_fail(umount2("/proc", MNT_DETACH));
}
static int
fsopen_tmpfs(void)
{
    return must_fail(syscall(430, "tmpfs", 0));
}
static int
open_tree_root(void)
{
    return must_fail(syscall(428, AT_FDCWD, "/", 1));
}
static int
pivot(void)
{
    return must_lack_permission(syscall(SYS_pivot_root, "/tmp", "/tmp"));
}
static int
new_userns(void)
{
    return must_fail(unshare(CLONE_NEWUSER));
}
static int
new_userns_mount(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return CONTAINED;
    return must_fail(mount("x", "/tmp", "tmpfs", 0, NULL));
}
static int
clone_userns(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return must_fail(pid);
}
static int
clone3_userns(void)
{
    uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(435, arguments, sizeof(arguments));
    if (pid == 0)
        _exit(0);
    return must_fail(pid);
}
static int
enter_namespace(void)
{
    static const char *const names[] = {"mnt", "net", "pid", "ipc", "uts", "user"};
    char path[64];
    pid_t pids[] = {1, host_pid()};
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < 6; i++) {
            snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pids[p], names[i]);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd >= 0 && setns(fd, 0) == 0)
                return ESCAPED;
        }
    return CONTAINED;
}

/* ---- rights -------------------------------------------------------------------------------- */

static int
no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? CONTAINED : ESCAPED;
}
static int
capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return NOT_APPLICABLE;
    if (data[0].effective | data[0].permitted | data[1].effective | data[1].permitted)
        return ESCAPED;
    for (int bit = 0; bit < 41; bit++)
        if (prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1)
            return ESCAPED;
    return CONTAINED;
}
static int
become_root(void)
{
    return must_fail(setuid(0));
}
static int
other_groups(void)
{
    gid_t group = 0;
    return must_fail(setgroups(1, &group));
}

/* ---- processes --------------------------------------------------------------------------------
 */

static int
see_host(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)host_pid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strncmp(text, "lure", 4) == 0)
        return ESCAPED;
    return CONTAINED;
}
/* With a pid namespace the number is nobody's, or a process of the sandbox itself. */
static bool
number_is_hosts(void)
{
    return see_host() == ESCAPED;
}
static int
signal_host(void)
{
    return kill(host_pid(), 0) == 0 && number_is_hosts() ? ESCAPED : CONTAINED;
}
static int
signal_init(void)
{
    /* Process 1 must not care; a signal that were to work would end everything. */
    return kill(1, 0) == 0 && number_is_hosts() ? ESCAPED : CONTAINED;
}
static int
trace_host(void)
{
    if (ptrace(PTRACE_SEIZE, host_pid(), NULL, NULL) < 0)
        return CONTAINED;
    ptrace(PTRACE_DETACH, host_pid(), NULL, NULL);
    return ESCAPED;
}
static int
trace_init(void)
{
    return must_fail(ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}
static int
trace_anything(void)
{
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    long result = ptrace(PTRACE_SEIZE, child, NULL, NULL);
    kill(child, SIGKILL);
    return must_fail(result);
}
static int
read_process_memory(void)
{
    char byte;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&lure, 1};
    ssize_t got = process_vm_readv(child, &here, 1, &there, 1, 0);
    kill(child, SIGKILL);
    return must_fail(got);
}
static int
steal_descriptor(void)
{
    int pidfd = (int)syscall(434, getppid(), 0);
    return pidfd < 0 ? CONTAINED : must_fail(syscall(438, pidfd, 0, 0));
}
static int
compare_processes(void)
{
    return must_fail(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
}
static int
root_of_init(void)
{
    return must_not_open("/proc/1/root/", O_RDONLY | O_DIRECTORY);
}
static int
descriptors_of_init(void)
{
    return must_not_open("/proc/1/fd/", O_RDONLY | O_DIRECTORY);
}
static int
memory_of_init(void)
{
    return must_not_open("/proc/1/mem", O_RDWR);
}

static int
for_each_process(int (*look)(const char *directory))
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        char path[300];
        snprintf(path, sizeof(path), "/proc/%s", entry->d_name);
        if (look(path) == ESCAPED)
            return ESCAPED;
    }
    return CONTAINED;
}
static int
look_at_root(const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/root%s", directory, lure("LURE_FILE"));
    return must_not_open(path, O_RDONLY);
}
static int
all_roots(void)
{
    return for_each_process(look_at_root);
}

/* The secret comes in two halves, so that the lure itself does not hold it. */
static bool
holds_secret(const char *bytes, size_t size)
{
    char secret[256];
    int length =
        snprintf(secret, sizeof(secret), "%s%s", lure("LURE_SECRET_A"), lure("LURE_SECRET_B"));
    return length > 1 && memmem(bytes, size, secret, (size_t)length) != NULL;
}
static int
file_holds_secret(const char *path)
{
    static char bytes[262144];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : 0;
    if (fd >= 0)
        close(fd);
    return got > 0 && holds_secret(bytes, (size_t)got) ? ESCAPED : CONTAINED;
}
static int
look_at_environ(const char *directory)
{
    char path[320];
    snprintf(path, sizeof(path), "%s/environ", directory);
    return file_holds_secret(path);
}
static int
look_at_arguments(const char *directory)
{
    char path[320];
    snprintf(path, sizeof(path), "%s/cmdline", directory);
    return file_holds_secret(path);
}
static int
all_environments(void)
{
    return for_each_process(look_at_environ);
}
static int
all_arguments(void)
{
    return for_each_process(look_at_arguments);
}
static int
own_environment(void)
{
    for (char **at = environ; *at != NULL; at++)
        if (holds_secret(*at, strlen(*at)) || strncmp(*at, "BILLET_ABLATION", 15) == 0)
            return ESCAPED;
    return CONTAINED;
}
/* Process 1 is started with nothing; what it has it would have of the host. */
static int
init_environment(void)
{
    char bytes[4096];
    int fd = open("/proc/1/environ", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : 0;
    return got > 0 && memmem(bytes, (size_t)got, "BILLET_", 7) != NULL ? ESCAPED : CONTAINED;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static int
core_pattern(void)
{
    char value[256];
    int fd = open("/proc/sys/kernel/core_pattern", O_RDWR | O_CLOEXEC);
    ssize_t got = fd >= 0 ? pread(fd, value, sizeof(value), 0) : -1;
    return got <= 0 ? CONTAINED : must_fail(pwrite(fd, value, (size_t)got, 0));
}
static int
sysrq(void)
{
    return must_not_open("/proc/sysrq-trigger", O_WRONLY);
}
static int
uevent_helper(void)
{
    return must_not_open("/sys/kernel/uevent_helper", O_WRONLY);
}
static int
release_agent(void)
{
    static const char *const paths[] = {
        "/sys/fs/cgroup/release_agent",         "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/pids/release_agent",    "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/systemd/release_agent", "/sys/fs/cgroup/unified/cgroup.procs"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (must_not_open(paths[i], O_WRONLY) == ESCAPED)
            return ESCAPED;
    return CONTAINED;
}
static int
raw_devices(void)
{
    static const char *const paths[] = {"/dev/mem",     "/dev/kmsg",         "/dev/kvm",
                                        "/dev/vda",     "/dev/sda",          "/dev/fuse",
                                        "/dev/net/tun", "/dev/loop-control", "/dev/port",
                                        "/dev/nvme0n1", "/dev/vsock",        "/dev/console"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (must_not_open(paths[i], O_RDONLY) == ESCAPED)
            return ESCAPED;
    return CONTAINED;
}
static int
make_device(void)
{
    unlink("/tmp/device");
    if (mknod("/tmp/device", S_IFBLK | 0600, makedev(254, 0)) < 0)
        return CONTAINED;
    return must_fail(open("/tmp/device", O_RDONLY | O_NONBLOCK));
}
static int
make_device_in_work(void)
{
    unlink("/work/device");
    int made = mknod("/work/device", S_IFCHR | 0600, makedev(1, 1));
    unlink("/work/device");
    return must_fail(made);
}
static int
set_host_name(void)
{
    return must_lack_permission(sethostname("sandbox", 7));
}
static int
set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return must_fail(clock_settime(CLOCK_REALTIME, &now));
}
static int
load_module(void)
{
    return must_lack_permission(syscall(SYS_init_module, NULL, 0ul, ""));
}
static int
reboot_machine(void)
{
    return must_lack_permission(syscall(SYS_reboot, 1, 2, 3, NULL));
}
static int
kexec(void)
{
    return must_lack_permission(syscall(SYS_kexec_load, 0ul, 17ul, NULL, ~0ul));
}
static int
kernel_log(void)
{
    char text[256];
    return klogctl(3, text, sizeof(text)) > 0 ? ESCAPED : CONTAINED;
}
static int
kernel_symbols(void)
{
    char text[4096];
    int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (got <= 0)
        return CONTAINED;
    text[got] = '\0';
    return strtoull(text, NULL, 16) != 0 ? ESCAPED : CONTAINED;
}
static int
swap_on(void)
{
    return must_lack_permission(swapon("/tmp/no-such-file", 0));
}
static int
accounting(void)
{
    return must_lack_permission(syscall(SYS_acct, "/tmp/no-such-file"));
}
static int
quota(void)
{
    return must_lack_permission(syscall(SYS_quotactl, 0x80000100, "/dev/none", 0, NULL));
}

/* ---- surface of the kernel ---------------------------------------------------------------------
 */

static int
load_bpf(void)
{
    struct {
        uint32_t type, key, value, entries, flags;
        char rest[100];
    } map = {.type = 2, .key = 4, .value = 4, .entries = 1};
    return must_fail(syscall(SYS_bpf, 0, &map, sizeof(map)));
}
static int
io_uring(void)
{
    char parameters[256] = {0};
    return must_fail(syscall(425, 1, parameters));
}
static int
fault_handler(void)
{
    return must_fail(syscall(SYS_userfaultfd, O_CLOEXEC | 1));
}
static int
perf_events(void)
{
    struct {
        uint32_t type, size;
        uint64_t config, period, sample, format, flags;
        char rest[64];
    } event = {.type = 1, .size = 64, .config = 0, .flags = 1u << 5 | 1u << 6};
    return must_fail(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0ul));
}
static int
watch_file_system(void)
{
    return must_fail(syscall(SYS_fanotify_init, 0x200, O_RDONLY));
}
static int
secret_memory(void)
{
    return must_fail(syscall(447, 0));
}
static int
segment_table(void)
{
#ifdef SYS_modify_ldt
    uint32_t entry[4] = {0, 0, 0, 0x28};
    return must_fail(syscall(SYS_modify_ldt, 1, entry, sizeof(entry)));
#else
    return NOT_APPLICABLE;
#endif
}
static int
no_randomness(void)
{
    return must_fail(syscall(SYS_personality, 0x0040000ul));
}
static int
read_implies_exec(void)
{
    return must_fail(syscall(SYS_personality, 0x0400000ul));
}
static int
new_key(void)
{
    return must_fail(syscall(SYS_add_key, "user", "billet-escape", "x", 1ul, -3));
}
static int
host_key(void)
{
    return must_fail(syscall(SYS_keyctl, 10, -3, "user", "billet-lure", 0));
}
static int
join_keyring(void)
{
    return must_fail(syscall(SYS_keyctl, 1, "billet-escape"));
}
static int
i386_call(void)
{
#ifdef __x86_64__
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? ESCAPED : CONTAINED;
#else
    return NOT_APPLICABLE;
#endif
}
static int
x32_call(void)
{
#ifdef __x86_64__
    return must_fail(syscall(0x40000000 | 39));
#else
    return NOT_APPLICABLE;
#endif
}

/* ---- network and other ways to talk
 * -------------------------------------------------------------- */

static int
host_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(lure("LURE_PORT"))),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return must_fail(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}
static int
abstract_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(lure("LURE_SOCKET"));
    memcpy(address.sun_path + 1, lure("LURE_SOCKET"), length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return must_fail(connect(fd, (struct sockaddr *)&address,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
}
static int
other_interface(void)
{
    char text[8192];
    int fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC), lines = 0;
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text)) : 0;
    for (ssize_t i = 0; i < got; i++)
        lines += text[i] == '\n';
    return lines > 3 ? ESCAPED : CONTAINED;
}
static int
vsock(void)
{
    return must_fail(socket(40, SOCK_STREAM, 0));
}
static int
vsock_high(void)
{
    return must_fail(syscall(SYS_socket, (1ul << 32) | 40ul, SOCK_STREAM, 0));
}
static int
packet(void)
{
    return must_fail(socket(17, SOCK_RAW, 0));
}
static int
uevents(void)
{
    return must_fail(socket(16, SOCK_RAW, 15));
}
static int
crypto_socket(void)
{
    return must_fail(socket(38, SOCK_SEQPACKET, 0));
}
static int
raw_socket(void)
{
    return must_fail(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static int
bluetooth(void)
{
    return must_fail(socket(31, SOCK_RAW, 1));
}
static int
shared_memory(void)
{
    void *at = shmat(atoi(lure("LURE_SHM")), NULL, SHM_RDONLY);
    if (at == (void *)-1)
        return CONTAINED;
    return memcmp(at, "billet-lure", 11) == 0 ? ESCAPED : CONTAINED;
}

/* A terminal of our own as controlling one: there TIOCSTI works when nothing denies it. */
static int
own_terminal(void)
{
    int number = 0, unlock = 0;
    char path[64];
    setsid();
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(master, TIOCGPTN, &number) < 0)
        return -1;
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    int slave = open(path, O_RDWR | O_CLOEXEC);
    ioctl(slave, TIOCSCTTY, 0);
    return slave;
}
static int
push_input(void)
{
    int slave = own_terminal();
    return slave < 0 ? NOT_APPLICABLE : must_fail(ioctl(slave, TIOCSTI, "x"));
}
static int
push_input_high(void)
{
    int slave = own_terminal();
    return slave < 0 ? NOT_APPLICABLE
                     : must_fail(syscall(SYS_ioctl, slave, (1ul << 32) | TIOCSTI, "x"));
}
static int
console_input(void)
{
    char request = 3;
    int slave = own_terminal();
    errno = 0;
    return slave < 0 ? NOT_APPLICABLE : must_lack_permission(ioctl(slave, TIOCLINUX, &request));
}
/* The caller's terminal: no stream may be one, and none can be taken over. */
static int
callers_terminal(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd))
            return ESCAPED;
    return must_not_open("/dev/tty", O_RDWR);
}
static int
callers_session(void)
{
    return getsid(0) == 0 ? ESCAPED : CONTAINED; /* 0: a session outside this pid namespace */
}

/* ---- descriptors
 * ------------------------------------------------------------------------------------ */

static int
leaked_descriptor(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return ESCAPED;
    return CONTAINED;
}
static int
leaked_directory(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (openat(fd, "etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 ||
            openat(fd, lure("LURE_FILE") + 1, O_RDONLY | O_CLOEXEC) >= 0 ||
            openat(fd, "proc", O_RDONLY | O_CLOEXEC) >= 0)
            return ESCAPED;
    return CONTAINED;
}
/* A stream that is a file of the host could be opened again with more rights, or changed. */
static int
stream_is_file(void)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat status;
        if (fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
            return ESCAPED;
    }
    return CONTAINED;
}

/* ---- resources
 * -------------------------------------------------------------------------------------- */

static int
be_urgent(void)
{
    return must_fail(setpriority(PRIO_PROCESS, 0, -20));
}
static int
be_real_time(void)
{
    struct sched_param parameter = {.sched_priority = 1};
    return must_fail(sched_setscheduler(0, SCHED_FIFO, &parameter));
}
static int
spare_me(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? CONTAINED : must_fail(write(fd, "-500", 4));
}
static int
many_descriptors(void)
{
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = 5000};
    return must_fail(setrlimit(RLIMIT_NOFILE, &limit));
}
static int
core_files(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0 ? ESCAPED : CONTAINED;
}
static int
locked_memory(void)
{
    static char space[1024 * 1024];
    memset(space, 1, sizeof(space));
    return must_fail(mlock(space, sizeof(space)));
}
static int
fill(const char *path)
{
    static char block[1024 * 1024];
    long limit = atol(lure("LURE_FILL_MIB"));
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    int result = ESCAPED;
    memset(block, 1, sizeof(block));
    for (long i = 0; i < limit && result == ESCAPED; i++)
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            result = CONTAINED;
    unlink(path);
    return result;
}
static int
fill_tmp(void)
{
    return fill("/tmp/fill");
}
static int
fill_shm(void)
{
    return fill("/dev/shm/fill");
}
static int
fork_bomb(void)
{
    long limit = atol(lure("LURE_PIDS"));
    static pid_t pids[4096];
    long count = 0;
    for (; count < limit && count < 4096; count++) {
        pids[count] = fork();
        if (pids[count] < 0)
            break;
        if (pids[count] == 0) {
            pause();
            _exit(0);
        }
    }
    int result = count >= limit ? ESCAPED : CONTAINED;
    while (count-- > 0) {
        kill(pids[count], SIGKILL);
        waitpid(pids[count], NULL, 0);
    }
    return result;
}
static int
memory_bomb(void)
{
    size_t size = (size_t)atol(lure("LURE_MEMORY_MIB")) << 20;
    char *space = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        return CONTAINED;
    for (size_t i = 0; i < size; i += 4096)
        space[i] = 1;
    return ESCAPED;
}

/* ---- the table
 * ------------------------------------------------------------------------------------------ */

static const struct attempt {
    const char *name;
    int (*run)(void);
} attempts[] = {
    {"read a file of the host", read_canary},
    {"read /etc/shadow", read_shadow},
    {"open the home of root", read_root_home},
    {"create a file in a directory of the host", create_outside},
    {"write to /", write_root},
    {"write to /usr", write_usr},
    {"write to /etc", write_etc},
    {"write to /run/billet", write_run},
    {"write to /dev", write_dev},
    {"change billet-sandbox-init", change_init},
    {"write to /proc/1/exe", change_proc_exe},
    {"climb above the workspace", above_workspace},
    {"follow a link out of the workspace", link_out},
    {"chroot", chroot_out},
    {"open_by_handle_at", handle_out},
    {"name_to_handle_at", name_handle},
    {"make a set-id file by chmod", setuid_chmod},
    {"make a set-id file by fchmod", setuid_fchmod},
    {"make a set-id file by fchmodat2", setuid_fchmodat2},
    {"make a set-id file by open", setuid_open},
    {"make a set-id file by open with high bits", setuid_open_high},
    {"make a set-id file by openat2", setuid_openat2},
    {"make a set-id file by O_TMPFILE", setuid_tmpfile},
    {"make a set-id file by mknod", setuid_mknod},
    {"make a set-id directory by mkdir", setgid_mkdir},
    {"remount read-write", remount_rw},
    {"mount a proc", mount_proc},
    {"unmount", unmount},
    {"fsopen", fsopen_tmpfs},
    {"open_tree", open_tree_root},
    {"pivot_root", pivot},
    {"unshare a user namespace", new_userns},
    {"mount in a new user namespace", new_userns_mount},
    {"clone a user namespace", clone_userns},
    {"clone3 a user namespace", clone3_userns},
    {"enter another namespace", enter_namespace},
    {"gain privileges by exec (no_new_privs is off)", no_new_privileges},
    {"have a capability", capabilities},
    {"become root", become_root},
    {"take other groups", other_groups},
    {"see a process of the host", see_host},
    {"signal a process of the host", signal_host},
    {"find the host's process 1", signal_init},
    {"trace a process of the host", trace_host},
    {"trace process 1", trace_init},
    {"trace at all", trace_anything},
    {"read another process's memory", read_process_memory},
    {"take another process's descriptor", steal_descriptor},
    {"kcmp", compare_processes},
    {"open /proc/1/root", root_of_init},
    {"open /proc/1/fd", descriptors_of_init},
    {"open /proc/1/mem", memory_of_init},
    {"reach the host by /proc/PID/root", all_roots},
    {"find the secret in some environment", all_environments},
    {"find the secret in some command line", all_arguments},
    {"find the secret in the own environment", own_environment},
    {"find the launcher's environment in process 1", init_environment},
    {"write core_pattern", core_pattern},
    {"open sysrq-trigger", sysrq},
    {"open uevent_helper", uevent_helper},
    {"open control group files", release_agent},
    {"open devices of the host", raw_devices},
    {"make and open a block device", make_device},
    {"make a device in the workspace", make_device_in_work},
    {"sethostname", set_host_name},
    {"clock_settime", set_clock},
    {"init_module", load_module},
    {"reboot", reboot_machine},
    {"kexec_load", kexec},
    {"read the kernel's log", kernel_log},
    {"read kernel addresses", kernel_symbols},
    {"swapon", swap_on},
    {"acct", accounting},
    {"quotactl", quota},
    {"bpf", load_bpf},
    {"io_uring", io_uring},
    {"userfaultfd", fault_handler},
    {"perf_event_open", perf_events},
    {"fanotify", watch_file_system},
    {"memfd_secret", secret_memory},
    {"modify_ldt", segment_table},
    {"personality without randomness", no_randomness},
    {"personality read-implies-exec", read_implies_exec},
    {"add_key", new_key},
    {"find a key in the caller's session keyring", host_key},
    {"join a session keyring", join_keyring},
    {"call by int 0x80", i386_call},
    {"call by x32 number", x32_call},
    {"connect to the host's loopback", host_tcp},
    {"connect to an abstract socket of the host", abstract_socket},
    {"see another network interface", other_interface},
    {"a vsock socket", vsock},
    {"a vsock socket with high bits", vsock_high},
    {"a packet socket", packet},
    {"a uevent socket", uevents},
    {"a crypto socket", crypto_socket},
    {"a raw socket", raw_socket},
    {"a bluetooth socket", bluetooth},
    {"attach shared memory of the host", shared_memory},
    {"TIOCSTI", push_input},
    {"TIOCSTI with high bits", push_input_high},
    {"TIOCLINUX", console_input},
    {"reach the caller's terminal", callers_terminal},
    {"stay in the caller's session", callers_session},
    {"find a leaked descriptor", leaked_descriptor},
    {"use a leaked directory", leaked_directory},
    {"have a file of the host as stream", stream_is_file},
    {"raise the priority", be_urgent},
    {"real-time scheduling", be_real_time},
    {"escape the out-of-memory killer", spare_me},
    {"raise the limit of descriptors", many_descriptors},
    {"write core files", core_files},
    {"lock memory", locked_memory},
    {"fill /tmp", fill_tmp},
    {"fill /dev/shm", fill_shm},
    {"a fork bomb", fork_bomb},
    {"a memory bomb", memory_bomb},
};

#define COUNT (sizeof(attempts) / sizeof(attempts[0]))

static int
run(const struct attempt *attempt)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)null;
        if (null >= 0)
            close(null);
        _exit(attempt->run());
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return NOT_APPLICABLE;
    if (WIFSIGNALED(status))
        return CONTAINED; /* killed for trying */
    return WEXITSTATUS(status);
}

int
main(void)
{
    size_t escaped = 0;
    /* With rights over the machine some attempts would change it: only ever inside a sandbox. */
    if (geteuid() == 0 || capabilities() == ESCAPED || access("/run/billet/init", F_OK) < 0) {
        fputs("escape: run it in a sandbox, by t/sandbox-escape.t\n", stderr);
        return 125;
    }
    printf("1..%zu\n", COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        int result = run(&attempts[i]);
        if (result == ESCAPED)
            escaped++;
        printf("%s %zu - %s%s\n", result == ESCAPED ? "not ok" : "ok", i + 1, attempts[i].name,
               result == NOT_APPLICABLE ? " # SKIP not on this machine" : "");
    }
    printf("# %zu of %zu attempts escaped\n", escaped, COUNT);
    fflush(stdout);
    return 0;
}
