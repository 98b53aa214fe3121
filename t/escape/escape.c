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
#include "attempts.h"

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
