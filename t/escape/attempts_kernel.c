/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts_kernel.c - attempts: the machine and the surface of the kernel.
 */
#include "attempts.h"

/* ---- the machine ----------------------------------------------------------------------------- */

int
core_pattern(void)
{
    char value[256];
    int fd = open("/proc/sys/kernel/core_pattern", O_RDWR | O_CLOEXEC);
    ssize_t got = fd >= 0 ? pread(fd, value, sizeof(value), 0) : -1;
    return got <= 0 ? CONTAINED : must_fail(pwrite(fd, value, (size_t)got, 0));
}
int
sysrq(void)
{
    return must_not_open("/proc/sysrq-trigger", O_WRONLY);
}
int
uevent_helper(void)
{
    return must_not_open("/sys/kernel/uevent_helper", O_WRONLY);
}
int
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
int
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
int
make_device(void)
{
    unlink("/tmp/device");
    if (mknod("/tmp/device", S_IFBLK | 0600, makedev(254, 0)) < 0)
        return CONTAINED;
    return must_fail(open("/tmp/device", O_RDONLY | O_NONBLOCK));
}
int
make_device_in_work(void)
{
    unlink("/work/device");
    int made = mknod("/work/device", S_IFCHR | 0600, makedev(1, 1));
    unlink("/work/device");
    return must_fail(made);
}
int
set_host_name(void)
{
    return must_lack_permission(sethostname("sandbox", 7));
}
int
set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return must_fail(clock_settime(CLOCK_REALTIME, &now));
}
int
load_module(void)
{
    return must_lack_permission(syscall(SYS_init_module, NULL, 0ul, ""));
}
int
reboot_machine(void)
{
    return must_lack_permission(syscall(SYS_reboot, 1, 2, 3, NULL));
}
int
kexec(void)
{
    return must_lack_permission(syscall(SYS_kexec_load, 0ul, 17ul, NULL, ~0ul));
}
int
kernel_log(void)
{
    char text[256];
    return klogctl(3, text, sizeof(text)) > 0 ? ESCAPED : CONTAINED;
}
int
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
int
swap_on(void)
{
    return must_lack_permission(swapon("/tmp/no-such-file", 0));
}
int
accounting(void)
{
    return must_lack_permission(syscall(SYS_acct, "/tmp/no-such-file"));
}
int
quota(void)
{
    return must_lack_permission(syscall(SYS_quotactl, 0x80000100, "/dev/none", 0, NULL));
}

/* ---- surface of the kernel ---------------------------------------------------------------------
 */

int
load_bpf(void)
{
    struct {
        uint32_t type, key, value, entries, flags;
        char rest[100];
    } map = {.type = 2, .key = 4, .value = 4, .entries = 1};
    return must_fail(syscall(SYS_bpf, 0, &map, sizeof(map)));
}
int
io_uring(void)
{
    char parameters[256] = {0};
    return must_fail(syscall(425, 1, parameters));
}
int
fault_handler(void)
{
    return must_fail(syscall(SYS_userfaultfd, O_CLOEXEC | 1));
}
int
perf_events(void)
{
    struct {
        uint32_t type, size;
        uint64_t config, period, sample, format, flags;
        char rest[64];
    } event = {.type = 1, .size = 64, .config = 0, .flags = 1u << 5 | 1u << 6};
    return must_fail(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0ul));
}
int
watch_file_system(void)
{
    return must_fail(syscall(SYS_fanotify_init, 0x200, O_RDONLY));
}
int
secret_memory(void)
{
    return must_fail(syscall(447, 0));
}
int
segment_table(void)
{
#ifdef SYS_modify_ldt
    uint32_t entry[4] = {0, 0, 0, 0x28};
    return must_fail(syscall(SYS_modify_ldt, 1, entry, sizeof(entry)));
#else
    return NOT_APPLICABLE;
#endif
}
int
no_randomness(void)
{
    return must_fail(syscall(SYS_personality, 0x0040000ul));
}
int
read_implies_exec(void)
{
    return must_fail(syscall(SYS_personality, 0x0400000ul));
}
int
new_key(void)
{
    return must_fail(syscall(SYS_add_key, "user", "billet-escape", "x", 1ul, -3));
}
int
host_key(void)
{
    return must_fail(syscall(SYS_keyctl, 10, -3, "user", "billet-lure", 0));
}
int
join_keyring(void)
{
    return must_fail(syscall(SYS_keyctl, 1, "billet-escape"));
}
int
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
int
x32_call(void)
{
#ifdef __x86_64__
    return must_fail(syscall(0x40000000 | 39));
#else
    return NOT_APPLICABLE;
#endif
}
