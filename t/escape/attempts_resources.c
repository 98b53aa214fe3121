/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts_resources.c - attempts: network, terminals, descriptors and limits.
 */
#include "attempts.h"

/* ---- network and other ways to talk
 * -------------------------------------------------------------- */

int
host_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(lure("LURE_PORT"))),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return must_fail(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}
int
abstract_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(lure("LURE_SOCKET"));
    memcpy(address.sun_path + 1, lure("LURE_SOCKET"), length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return must_fail(connect(fd, (struct sockaddr *)&address,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
}
int
other_interface(void)
{
    char text[8192];
    int fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC), lines = 0;
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text)) : 0;
    for (ssize_t i = 0; i < got; i++)
        lines += text[i] == '\n';
    return lines > 3 ? ESCAPED : CONTAINED;
}
int
vsock(void)
{
    return must_fail(socket(40, SOCK_STREAM, 0));
}
int
vsock_high(void)
{
    return must_fail(syscall(SYS_socket, (1ul << 32) | 40ul, SOCK_STREAM, 0));
}
int
packet(void)
{
    return must_fail(socket(17, SOCK_RAW, 0));
}
int
uevents(void)
{
    return must_fail(socket(16, SOCK_RAW, 15));
}
int
crypto_socket(void)
{
    return must_fail(socket(38, SOCK_SEQPACKET, 0));
}
int
raw_socket(void)
{
    return must_fail(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
int
bluetooth(void)
{
    return must_fail(socket(31, SOCK_RAW, 1));
}
int
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
int
push_input(void)
{
    int slave = own_terminal();
    return slave < 0 ? NOT_APPLICABLE : must_fail(ioctl(slave, TIOCSTI, "x"));
}
int
push_input_high(void)
{
    int slave = own_terminal();
    return slave < 0 ? NOT_APPLICABLE
                     : must_fail(syscall(SYS_ioctl, slave, (1ul << 32) | TIOCSTI, "x"));
}
int
console_input(void)
{
    char request = 3;
    int slave = own_terminal();
    errno = 0;
    return slave < 0 ? NOT_APPLICABLE : must_lack_permission(ioctl(slave, TIOCLINUX, &request));
}
/* The caller's terminal: no stream may be one, and none can be taken over. */
int
callers_terminal(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd))
            return ESCAPED;
    return must_not_open("/dev/tty", O_RDWR);
}
int
callers_session(void)
{
    return getsid(0) == 0 ? ESCAPED : CONTAINED; /* 0: a session outside this pid namespace */
}

/* ---- descriptors
 * ------------------------------------------------------------------------------------ */

int
leaked_descriptor(void)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return ESCAPED;
    return CONTAINED;
}
int
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
int
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

int
be_urgent(void)
{
    return must_fail(setpriority(PRIO_PROCESS, 0, -20));
}
int
be_real_time(void)
{
    struct sched_param parameter = {.sched_priority = 1};
    return must_fail(sched_setscheduler(0, SCHED_FIFO, &parameter));
}
int
spare_me(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? CONTAINED : must_fail(write(fd, "-500", 4));
}
int
many_descriptors(void)
{
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = 5000};
    return must_fail(setrlimit(RLIMIT_NOFILE, &limit));
}
int
core_files(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0 ? ESCAPED : CONTAINED;
}
int
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
int
fill_tmp(void)
{
    return fill("/tmp/fill");
}
int
fill_shm(void)
{
    return fill("/dev/shm/fill");
}
int
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
int
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
