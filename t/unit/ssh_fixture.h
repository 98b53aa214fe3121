/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh_fixture.h - a real sshd on loopback with keys and users of its own, a fake host for the ssh
 * driver, and short ways to call its table. As root the users live in an /etc/passwd that only this
 * process and its children see (a private mount namespace); an ordinary user is the only user.
 */
#ifndef T_UNIT_SSH_FIXTURE_H
#define T_UNIT_SSH_FIXTURE_H

#include <arpa/inet.h>
#include <billet/driver.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern billet_driver_init_function billet_driver_init;

#define ORDINARY_ID 65534

static char scratch[64], lease_a[64], lease_b[64], remote[128], identity_file[128],
    known_hosts[128], locked_fact[4096], directory_fact[4096], guest_fact[4096];
/* Where billet-guest-ARCH is, as the build made it. */
static const char *program_directory = ".";
static const struct billet_driver *driver;
static int sshd_port;
static char listed[64][64];
static unsigned long long listed_fence[64];
static int listed_count, checks_failed;
static char failed_check[64];
static struct billet_error error = BILLET_ERROR_INIT;

/* Whom to log in as; index of the loops. */
static const char *users[8];
static int user_count;

/* ---- the fake host -------------------------------------------------------------------- */

static void
fake_log(const struct billet_host *host, int32_t level, const char *message)
{
    (void)host, (void)level, (void)message;
}

static const char *
fake_directory_of(const struct billet_host *host, int32_t which)
{
    (void)host;
    return which == BILLET_DIRECTORY_LIBEXEC ? program_directory : scratch;
}

static void
fake_check(const struct billet_call *call, int32_t outcome, const char *name, const char *message,
           const char *hint)
{
    (void)call;
    ck_assert(message[0] != '\0' && (outcome == BILLET_CHECK_PASS || hint[0] != '\0'));
    if (outcome == BILLET_CHECK_FAIL) {
        checks_failed++;
        snprintf(failed_check, sizeof(failed_check), "%s", name);
    }
}

static void
fake_resource(const struct billet_call *call, const struct billet_resource *resource)
{
    (void)call;
    if (listed_count < 64) {
        listed_fence[listed_count] = resource->fence;
        snprintf(listed[listed_count++], 64, "%.63s", resource->lease);
    }
}

static void
fake_fact(const struct billet_call *call, const char *key, const char *value)
{
    (void)call;
    if (strcmp(key, "locked") == 0)
        snprintf(locked_fact, sizeof(locked_fact), "%s", value);
    if (strcmp(key, "guest") == 0)
        snprintf(guest_fact, sizeof(guest_fact), "%s", value);
    if (strcmp(key, "directory") == 0)
        snprintf(directory_fact, sizeof(directory_fact), "%s", value);
}

static int started_count;

static void
fake_started(const struct billet_call *call, int64_t pid)
{
    (void)call;
    ck_assert_int_gt((int)pid, 1);
    __atomic_add_fetch(&started_count, 1, __ATOMIC_SEQ_CST);
}

static const struct billet_host fake_host = {
    .struct_size = sizeof(fake_host),
    .abi_major = BILLET_ABI_MAJOR,
    .log = fake_log,
    .directory = fake_directory_of,
    .check = fake_check,
    .resource = fake_resource,
    .fact = fake_fact,
    .started = fake_started,
};

/* ---- configuration ------------------------------------------------------------------------ */

static struct billet_value values[32];
static struct billet_config config = {.struct_size = sizeof(config), .values = values};

static struct billet_value *
option(const char *name)
{
    for (uint64_t i = 0; i < config.count; i++)
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    ck_assert_int_lt((int)config.count, 32);
    values[config.count].name = name;
    return &values[config.count++];
}

static void
set_string(const char *name, const char *value)
{
    struct billet_value *at = option(name);
    at->is_set = value != NULL;
    at->string = value;
}

static void
set_number(const char *name, int64_t number)
{
    struct billet_value *at = option(name);
    at->is_set = 1;
    at->number = number;
}

static struct billet_identity identity_a = {.struct_size = sizeof(identity_a),
                                            .deployment = "deploy-1",
                                            .tenant = "default",
                                            .environment = "far",
                                            .lease = lease_a,
                                            .run = "run-1",
                                            .agent = "agent-7",
                                            .issue = "",
                                            .fence = 3,
                                            .generation = 2};
static struct billet_identity identity_b = {.struct_size = sizeof(identity_b),
                                            .deployment = "deploy-1",
                                            .tenant = "default",
                                            .environment = "far",
                                            .lease = lease_b,
                                            .run = "",
                                            .agent = "",
                                            .issue = ""};
static struct billet_call call_a = {
    .struct_size = sizeof(call_a), .cancel_fd = -1, .identity = &identity_a, .config = &config};
static struct billet_call call_b = {
    .struct_size = sizeof(call_b), .cancel_fd = -1, .identity = &identity_b, .config = &config};

#define assert_ok(expression)                                                             \
    do {                                                                                  \
        int assert_result = (expression);                                                 \
        ck_assert_msg(assert_result == 0, "%s = %d: %s [%s]", #expression, assert_result, \
                      error.message, error.code);                                         \
    } while (0)

#define assert_fails(expression, class, id)                                                       \
    do {                                                                                          \
        error = (struct billet_error)BILLET_ERROR_INIT;                                           \
        int assert_result = (expression);                                                         \
        ck_assert_msg(assert_result == -(class) && strcmp(error.code, (id)) == 0,                 \
                      "%s = %d: %s [%s]", #expression, assert_result, error.message, error.code); \
        error = (struct billet_error)BILLET_ERROR_INIT;                                           \
    } while (0)

static inline int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec;
}

/* ---- files and programs ---------------------------------------------------------------------- */

/* Also outside of tests. */
static inline void
require(bool condition)
{
    if (!condition) {
        printf("Bail out! the fixture cannot be set up: %s\n", strerror(errno));
        exit(1);
    }
}

static inline void
write_file(const char *name, int mode, const char *format, ...)
{
    char path[200], text[8192];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    require(fchmod(fd, (mode_t)mode) == 0);
    close(fd);
}

static inline void
run_program(const char *format, ...)
{
    char line[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    if (system(line) != 0) {
        printf("Bail out! failed: %s\n", line);
        exit(1);
    }
}

static inline const char *
find_sshd(void)
{
    static const char *const places[] = {"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static inline int
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(fd, (struct sockaddr *)&address, size);
    getsockname(fd, (struct sockaddr *)&address, &size);
    close(fd);
    return ntohs(address.sin_port);
}

static inline bool
port_answers(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sshd_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return good;
}

static inline void
start_sshd(void)
{
    char configuration[128];
    snprintf(configuration, sizeof(configuration), "%s/sshd_config", scratch);
    const char *program = find_sshd();
    if (fork() == 0) {
        char log[128];
        snprintf(log, sizeof(log), "%s/sshd.log", scratch);
        setsid();
        /* It must not outlive a test that dies, nor hold the pipe that the results go through. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 3; i++)
            dup2(null, i);
        execl(program, program, "-D", "-f", configuration, "-E", log, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !port_answers(); i++)
        usleep(10000);
    usleep(20000); /* it writes its number after it listens */
}

/* The listener's own word: a test may have started another one than its parent. */
static inline pid_t
find_listener(void)
{
    char path[128];
    long pid = 0;
    snprintf(path, sizeof(path), "%s/pid", scratch);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &pid) != 1)
            pid = 0;
        fclose(file);
    }
    return (pid_t)pid;
}

static inline void
stop_sshd(void)
{
    pid_t pid = find_listener();
    if (pid > 1)
        kill(pid, SIGKILL);
    for (int i = 0; i < 500 && port_answers(); i++)
        usleep(10000);
    waitpid(pid, NULL, WNOHANG);
}

static inline void
add_user(FILE *passwd, const char *name, int id, const char *shell)
{
    if (access(shell, X_OK) != 0)
        return;
    fprintf(passwd, "%s:*:%d:%d::%s/home%s:%s\n", name, id, id, scratch, id == 0 ? "-root" : "",
            shell);
}

/* An /etc/passwd of our own with users for each login shell. */
static inline bool
make_users(void)
{
    char path[128], line[1024];
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/passwd", scratch);
    FILE *from = fopen("/etc/passwd", "re"), *to = fopen(path, "we");
    require(from != NULL && to != NULL);
    while (fgets(line, sizeof(line), from) != NULL)
        fputs(line, to);
    add_user(to, "billet-root", 0, "/bin/sh");
    add_user(to, "billet-sh", ORDINARY_ID, "/bin/sh");
    add_user(to, "billet-bash", ORDINARY_ID, "/bin/bash");
    add_user(to, "billet-fish", ORDINARY_ID, "/usr/bin/fish");
    add_user(to, "billet-csh", ORDINARY_ID, "/bin/csh");
    snprintf(line, sizeof(line), "%s/flood", scratch);
    add_user(to, "billet-flood", ORDINARY_ID, line);
    snprintf(line, sizeof(line), "%s/noisy", scratch);
    add_user(to, "billet-noisy", ORDINARY_ID, line);
    snprintf(line, sizeof(line), "%s/busy", scratch);
    add_user(to, "billet-busy", ORDINARY_ID, line);
    add_user(to, "billet-none", ORDINARY_ID, "/bin/false");
    fclose(from);
    fclose(to);
    chmod(path, 0644);
    return mount(path, "/etc/passwd", NULL, MS_BIND, NULL) == 0;
}

static inline bool
has_user(const char *name)
{
    return geteuid() == 0 && getpwnam(name) != NULL;
}

static inline void
fixture_end(void)
{
    stop_sshd();
    umount2("/etc/passwd", MNT_DETACH);
    run_program("chmod -R u+rwX %s; rm -rf %s", scratch, scratch);
}

/* false: this cannot be tested here, and why was said */
static inline bool
fixture_begin(void)
{
    static const char *const names[] = {"billet-root", "billet-sh", "billet-bash", "billet-fish",
                                        "billet-csh"};
    if (getenv("BILLET_REPEATED") != NULL) {
        printf("1..0 # SKIP takes long, and was tested before\n");
        return false;
    }
    if (find_sshd() == NULL) {
        printf("1..0 # SKIP there is no sshd (Debian openssh-server)\n");
        return false;
    }
    if (getenv("top_builddir") != NULL)
        program_directory = getenv("top_builddir");
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    snprintf(scratch, sizeof(scratch), "/tmp/billet-sshd-XXXXXX");
    if (mkdtemp(scratch) == NULL)
        return false;
    chmod(scratch, 0755);
    run_program("mkdir -m 777 %s/remote && mkdir %s/home %s/home-root && mkdir -m 777 %s/place",
                scratch, scratch, scratch, scratch);
    run_program("ssh-keygen -q -t ed25519 -N '' -C '' -f %s/hostkey", scratch);
    run_program("ssh-keygen -q -t ed25519 -N '' -C '' -f %s/id", scratch);
    run_program("cp %s/id.pub %s/authorized", scratch, scratch);
    snprintf(remote, sizeof(remote), "%s/remote", scratch);
    snprintf(identity_file, sizeof(identity_file), "%s/id", scratch);
    snprintf(known_hosts, sizeof(known_hosts), "%s/known_hosts", scratch);
    write_file("flood", 0755, "#!/bin/sh\nexec cat /dev/zero\n");
    /* One line that looks like ours, bytes that are no text, and then the shell. */
    write_file("noisy", 0755,
               "#!/bin/bash\nprintf 'welcome\\0\\377 00 0 hello 0 /\\n%%05000d' 0\necho ow >&2\n"
               "exec /bin/bash \"$@\"\n");
    write_file("busy", 0755, "#!/bin/sh\nPATH=%s/busybox; export PATH\nexec /bin/sh \"$@\"\n",
               scratch);
    if (geteuid() == 0) {
        run_program("chown %d:%d %s/home", ORDINARY_ID, ORDINARY_ID, scratch);
        mkdir("/run/sshd", 0755);
        if (!make_users()) {
            printf("1..0 # SKIP root may not make a mount namespace here\n");
            return false;
        }
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (has_user(names[i]))
                users[user_count++] = names[i];
    } else {
        struct passwd *self = getpwuid(geteuid());
        if (self == NULL || strstr(self->pw_shell, "nologin") != NULL ||
            strstr(self->pw_shell, "false") != NULL) {
            printf("1..0 # SKIP this user has no login shell\n");
            return false;
        }
        users[user_count++] = strdup(self->pw_name);
    }
    sshd_port = free_port();
    write_file("sshd_config", 0644,
               "Port %d\nListenAddress 127.0.0.1\nHostKey %s/hostkey\nPidFile %s/pid\n"
               "AuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM %s\nPermitRootLogin yes\n"
               "PasswordAuthentication no\nMaxSessions 60\nMaxStartups 100\nAllowAgentForwarding "
               "yes\nX11Forwarding yes\nPrintMotd no\n",
               sshd_port, scratch, scratch, scratch, geteuid() == 0 ? "no" : "yes");
    start_sshd();
    /* An sshd of an ordinary user may take accounts for locked whose passwords it cannot read. */
    char line[512];
    snprintf(line, sizeof(line),
             "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR "
             "-o UserKnownHostsFile=/dev/null -i %s -p %d -l %s 127.0.0.1 true 2>/dev/null",
             identity_file, sshd_port, users[0]);
    if (system(line) != 0) {
        printf("1..0 # SKIP an sshd run by this user does not let it log in (sshd as root does)\n");
        fixture_end();
        return false;
    }
    return true;
}

static inline void
know_host(const char *key)
{
    char line[512] = "", name[128];
    snprintf(name, sizeof(name), "%s/%s", scratch, key);
    FILE *from = fopen(name, "re");
    require(from != NULL && fgets(line, sizeof(line), from) != NULL);
    fclose(from);
    write_file("known_hosts", 0644, "[127.0.0.1]:%d %s", sshd_port, line);
}

/* Each test is a process of its own. */
static void
begin_as(const char *user)
{
    config.count = 0;
    set_string("host", "127.0.0.1");
    set_number("port", sshd_port);
    set_string("user", user);
    set_string("identity_file", identity_file);
    set_string("known_hosts_file", known_hosts);
    set_string("remote_directory", remote);
    know_host("hostkey.pub");
    snprintf(lease_a, sizeof(lease_a), "0190c1d2-0000-7000-8000-%012x", (unsigned)getpid());
    snprintf(lease_b, sizeof(lease_b), "0190c1d2-0000-7000-9000-%012x", (unsigned)getpid());
    driver = billet_driver_init(&fake_host, &error);
    ck_assert_ptr_nonnull(driver);
}

static inline struct billet_lease_handle *
acquire(const struct billet_call *call, char *reference)
{
    struct billet_acquire args = {.struct_size = sizeof(args)};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    assert_ok(driver->acquire(call, &args, &result, &error));
    ck_assert_int_eq(strncmp(result.ref, "ssh:", 4), 0);
    if (reference != NULL)
        snprintf(reference, BILLET_REF_MAX, "%s", result.ref);
    return result.handle;
}

static inline void
end_lease(struct billet_lease_handle *lease)
{
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_DESTROY, &error));
}

struct outcome {
    struct billet_exec_result result;
    char output[65536];
    size_t length;
};

static inline struct billet_exec
exec_arguments(const char *const *argv)
{
    static const char *const none[] = {NULL};
    return (struct billet_exec){.struct_size = sizeof(struct billet_exec),
                                .argv = argv,
                                .environment = none,
                                .directory = "",
                                .stdin_fd = -1,
                                .stdout_fd = -1,
                                .stderr_fd = 2};
}

static inline void
run_with(const struct billet_call *call, struct billet_lease_handle *handle,
         struct billet_exec *args, struct outcome *outcome)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    outcome->result = (struct billet_exec_result){.struct_size = sizeof(outcome->result)};
    args->stdout_fd = fd;
    assert_ok(driver->exec(call, handle, args, &outcome->result, &error));
    ssize_t got = pread(fd, outcome->output, sizeof(outcome->output) - 1, 0);
    ck_assert_int_ge(got, 0);
    outcome->output[got] = '\0';
    outcome->length = (size_t)got;
    close(fd);
}

static inline void
run_shell(const struct billet_call *call, struct billet_lease_handle *handle, const char *script,
          struct outcome *outcome)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct billet_exec args = exec_arguments(argv);
    run_with(call, handle, &args, outcome);
}

/* Living processes that carry NAME=VALUE in their environment. */
static inline int
count_labelled(const char *text)
{
    static char block[262144];
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        char path[300];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd >= 0 ? read(fd, block, sizeof(block)) : -1;
        if (fd >= 0)
            close(fd);
        if (got > 0 && memmem(block, (size_t)got, text, strlen(text)) != NULL)
            count++;
    }
    closedir(proc);
    return count;
}

static inline int
count_lease(const char *lease)
{
    char text[128];
    snprintf(text, sizeof(text), "BILLET_LEASE_ID=%s", lease);
    return count_labelled(text);
}

/* Until that many can be counted, once: one that is just executing has no environment to be counted
 * by, so a second look may find fewer. */
static inline void
await_processes(const char *lease, int count)
{
    int found = -1;
    for (int i = 0; i < 2000 && found != count; i++) {
        if (found >= 0)
            usleep(10000);
        found = count_lease(lease);
    }
    ck_assert_int_eq(found, count);
}

static inline bool
lease_directory_exists(const char *lease)
{
    char path[300];
    struct stat about;
    snprintf(path, sizeof(path), "%s/%s", remote, lease);
    return lstat(path, &about) == 0;
}

#endif
