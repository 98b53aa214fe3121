/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts_processes.c - attempts: rights, and other processes.
 */
#include "attempts.h"

/* ---- rights -------------------------------------------------------------------------------- */

int
no_new_privileges(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? CONTAINED : ESCAPED;
}
int
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
int
become_root(void)
{
    return must_fail(setuid(0));
}
int
other_groups(void)
{
    gid_t group = 0;
    return must_fail(setgroups(1, &group));
}

/* ---- processes --------------------------------------------------------------------------------
 */

int
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
int
signal_host(void)
{
    return kill(host_pid(), 0) == 0 && number_is_hosts() ? ESCAPED : CONTAINED;
}
int
signal_init(void)
{
    /* Process 1 must not care; a signal that were to work would end everything. */
    return kill(1, 0) == 0 && number_is_hosts() ? ESCAPED : CONTAINED;
}
int
trace_host(void)
{
    if (ptrace(PTRACE_SEIZE, host_pid(), NULL, NULL) < 0)
        return CONTAINED;
    ptrace(PTRACE_DETACH, host_pid(), NULL, NULL);
    return ESCAPED;
}
int
trace_init(void)
{
    return must_fail(ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}
int
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
int
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
int
steal_descriptor(void)
{
    int pidfd = (int)syscall(434, getppid(), 0);
    return pidfd < 0 ? CONTAINED : must_fail(syscall(438, pidfd, 0, 0));
}
int
compare_processes(void)
{
    return must_fail(syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0));
}
int
root_of_init(void)
{
    return must_not_open("/proc/1/root/", O_RDONLY | O_DIRECTORY);
}
int
descriptors_of_init(void)
{
    return must_not_open("/proc/1/fd/", O_RDONLY | O_DIRECTORY);
}
int
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
int
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
int
all_environments(void)
{
    return for_each_process(look_at_environ);
}
int
all_arguments(void)
{
    return for_each_process(look_at_arguments);
}
int
own_environment(void)
{
    for (char **at = environ; *at != NULL; at++)
        if (holds_secret(*at, strlen(*at)) || strncmp(*at, "BILLET_ABLATION", 15) == 0)
            return ESCAPED;
    return CONTAINED;
}
/* Process 1 is started with nothing; what it has it would have of the host. */
int
init_environment(void)
{
    char bytes[4096];
    int fd = open("/proc/1/environ", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : 0;
    return got > 0 && memmem(bytes, (size_t)got, "BILLET_", 7) != NULL ? ESCAPED : CONTAINED;
}
