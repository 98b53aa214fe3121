/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts.h - what the files of the escape program share: the verdicts, and one function for each
 * attempt. See escape.c.
 */
#ifndef T_ESCAPE_ATTEMPTS_H
#define T_ESCAPE_ATTEMPTS_H

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

static inline const char *
lure(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static inline pid_t
host_pid(void)
{
    return (pid_t)atol(lure("LURE_PID"));
}

/* A call that must fail. */
static inline int
must_fail(long result)
{
    return result < 0 ? CONTAINED : ESCAPED;
}

/* A call whose arguments are refused after the permission check: only a refusal for want of
 * permission, or of the call itself, is contained. */
static inline int
must_lack_permission(long result)
{
    if (result >= 0)
        return ESCAPED;
    return errno == EPERM || errno == ENOSYS || errno == EACCES ? CONTAINED : ESCAPED;
}

static inline int
must_not_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return must_fail(fd);
}

int read_canary(void);
int read_shadow(void);
int read_root_home(void);
int create_outside(void);
int write_root(void);
int write_usr(void);
int write_etc(void);
int write_run(void);
int write_dev(void);
int change_init(void);
int change_proc_exe(void);
int above_workspace(void);
int link_out(void);
int chroot_out(void);
int handle_out(void);
int name_handle(void);
int setuid_chmod(void);
int setuid_fchmod(void);
int setuid_fchmodat2(void);
int setuid_open(void);
int setuid_open_high(void);
int setuid_openat2(void);
int setuid_tmpfile(void);
int setuid_mknod(void);
int setgid_mkdir(void);
int remount_rw(void);
int mount_proc(void);
int unmount(void);
int fsopen_tmpfs(void);
int open_tree_root(void);
int pivot(void);
int new_userns(void);
int new_userns_mount(void);
int clone_userns(void);
int clone3_userns(void);
int enter_namespace(void);
int no_new_privileges(void);
int capabilities(void);
int become_root(void);
int other_groups(void);
int see_host(void);
int signal_host(void);
int signal_init(void);
int trace_host(void);
int trace_init(void);
int trace_anything(void);
int read_process_memory(void);
int steal_descriptor(void);
int compare_processes(void);
int root_of_init(void);
int descriptors_of_init(void);
int memory_of_init(void);
int all_roots(void);
int all_environments(void);
int all_arguments(void);
int own_environment(void);
int init_environment(void);
int core_pattern(void);
int sysrq(void);
int uevent_helper(void);
int release_agent(void);
int raw_devices(void);
int make_device(void);
int make_device_in_work(void);
int set_host_name(void);
int set_clock(void);
int load_module(void);
int reboot_machine(void);
int kexec(void);
int kernel_log(void);
int kernel_symbols(void);
int swap_on(void);
int accounting(void);
int quota(void);
int load_bpf(void);
int io_uring(void);
int fault_handler(void);
int perf_events(void);
int watch_file_system(void);
int secret_memory(void);
int segment_table(void);
int no_randomness(void);
int read_implies_exec(void);
int new_key(void);
int host_key(void);
int join_keyring(void);
int i386_call(void);
int x32_call(void);
int host_tcp(void);
int abstract_socket(void);
int other_interface(void);
int vsock(void);
int vsock_high(void);
int packet(void);
int uevents(void);
int crypto_socket(void);
int raw_socket(void);
int bluetooth(void);
int shared_memory(void);
int push_input(void);
int push_input_high(void);
int console_input(void);
int callers_terminal(void);
int callers_session(void);
int leaked_descriptor(void);
int leaked_directory(void);
int stream_is_file(void);
int be_urgent(void);
int be_real_time(void);
int spare_me(void);
int many_descriptors(void);
int core_files(void);
int locked_memory(void);
int fill_tmp(void);
int fill_shm(void);
int fork_bomb(void);
int memory_bomb(void);

#endif
