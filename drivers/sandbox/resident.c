/* SPDX-License-Identifier: Apache-2.0 */
#include "resident.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/launch.h"
#include "filter.h"
#include "lease.h"
#include "order.h"
#include "overlay.h"
#include "profile.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define INIT_PROGRAM "billet-sandbox-init"
#define DOOR_QUEUE 128
#define FORCE_AFTER BILLET_NS_PER_SECOND           /* until the kill is repeated, on bwrap itself */
#define START_PATIENCE (30 * BILLET_NS_PER_SECOND) /* for another process that is starting one */

/* ---- what it says -------------------------------------------------------------------- */

bool
sandbox_resident_is_ours(const struct sandbox_resident *resident)
{
    return resident->launched.pid > 0 && !resident->gone;
}

/* Process 1 by the number that the kernel translated; bwrap, our child, must be its parent. */
static void
take_init(struct sandbox_resident *resident, pid_t pid)
{
    if (pid <= 0 || resident->init_pidfd >= 0)
        return;
    int pidfd = billet_pidfd_open(pid);
    if (pidfd >= 0 && sandbox_lease_parent(pid) != resident->launched.pid)
        billet_close_fd(&pidfd);
    resident->init_pidfd = pidfd;
}

/* 1 with a message, 0: nothing now, -1: no more will come. */
static int
receive(int socket, struct sandbox_message *message, pid_t *pid)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } space;
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof(space.bytes)};
    *pid = 0;
    ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item != NULL;
         item = CMSG_NXTHDR(&header, item))
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_CREDENTIALS &&
            item->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred ucred;
            memcpy(&ucred, CMSG_DATA(item), sizeof(ucred));
            *pid = ucred.pid;
        }
    message->text[SANDBOX_TEXT_MAX - 1] = '\0';
    return got == (ssize_t)sizeof(*message) ? 1 : -1;
}

static void
hear(struct sandbox_resident *resident)
{
    struct sandbox_message message;
    pid_t pid;
    int got = 0;
    while (resident->owner >= 0 && (got = receive(resident->owner, &message, &pid)) > 0) {
        switch (message.type) {
        case SANDBOX_HELLO:
            resident->said_hello = true;
            take_init(resident, pid);
            break;
        case SANDBOX_READY:
            resident->refused = message.kind == SANDBOX_REFUSED;
            memcpy(resident->missing, message.text, sizeof(resident->missing));
            break;
        case SANDBOX_BROKEN:
            resident->broken = message;
            break;
        default:
            break;
        }
    }
    if (got < 0)
        billet_close_fd(&resident->owner);
}

static void
take_complaint(struct sandbox_resident *resident)
{
    char waste[512];
    size_t room = sizeof(resident->complaint) - 1 - resident->complaint_length;
    ssize_t got = room > 0 ? read(resident->complaints,
                                  resident->complaint + resident->complaint_length, room)
                           : read(resident->complaints, waste, sizeof(waste));
    if (got > 0 && room > 0)
        resident->complaint_length += (size_t)got;
    else if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        billet_close_fd(&resident->complaints);
    resident->complaint[resident->complaint_length] = '\0';
}

/* bwrap was killed itself: process 1 may outlive it by a moment; before there was one, a child that
 * waits for the word of its parent outlives it for good. */
static void
await_init(struct sandbox_resident *resident)
{
    struct pollfd end = {.fd = resident->init_pidfd, .events = POLLIN};
    if (resident->init_pidfd < 0) {
        sandbox_lease_end_orphans(resident->launched.pid, billet_monotonic_ns() + FORCE_AFTER);
        return;
    }
    syscall(SYS_pidfd_send_signal, resident->init_pidfd, SIGKILL, NULL, 0);
    while (poll(&end, 1, 5000) < 0 && errno == EINTR)
        ;
}

static void
look_at_end(struct billet_lease_handle *lease)
{
    struct sandbox_resident *resident = &lease->resident;
    siginfo_t info = {.si_pid = 0};
    if (!sandbox_resident_is_ours(resident) ||
        waitid(P_PID, (id_t)resident->launched.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid == 0)
        return;
    hear(resident);
    while (resident->complaints >= 0 &&
           poll(&(struct pollfd){.fd = resident->complaints, .events = POLLIN}, 1, 0) > 0)
        take_complaint(resident);
    /* While bwrap is not reaped its number, by which orphans are found, is nobody else's. */
    if (info.si_code != CLD_EXITED)
        await_init(resident);
    waitid(P_PID, (id_t)resident->launched.pid, &info, WEXITED);
    resident->gone = true;
    sandbox_lease_unnote(lease, resident->note);
}

void
sandbox_resident_prepare(const struct sandbox_resident *resident,
                         struct pollfd entries[SANDBOX_RESIDENT_FDS])
{
    bool ours = sandbox_resident_is_ours(resident);
    entries[0] = (struct pollfd){.fd = ours ? resident->owner : -1, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = ours ? resident->launched.pidfd : -1, .events = POLLIN};
    entries[2] = (struct pollfd){.fd = ours ? resident->complaints : -1, .events = POLLIN};
    entries[3] = (struct pollfd){.fd = -1};
}

void
sandbox_resident_step(struct billet_lease_handle *lease,
                      const struct pollfd entries[SANDBOX_RESIDENT_FDS])
{
    struct sandbox_resident *resident = &lease->resident;
    if (entries[0].fd >= 0 && entries[0].revents != 0)
        hear(resident);
    if (entries[2].fd >= 0 && entries[2].revents != 0)
        take_complaint(resident);
    if (entries[1].fd >= 0 && entries[1].revents != 0)
        look_at_end(lease);
}

/* ---- its end --------------------------------------------------------------------------- */

void
sandbox_resident_kill(struct billet_lease_handle *lease, bool force)
{
    struct sandbox_resident *resident = &lease->resident;
    if (!sandbox_resident_is_ours(resident))
        return;
    hear(resident);
    if (resident->init_pidfd >= 0)
        syscall(SYS_pidfd_send_signal, resident->init_pidfd, SIGKILL, NULL, 0);
    if (resident->init_pidfd < 0 || force)
        sandbox_lease_kill_launcher(resident->launched.pid, resident->launched.pidfd,
                                    billet_monotonic_ns() + FORCE_AFTER);
}

bool
sandbox_resident_end(struct billet_lease_handle *lease, int64_t deadline_ns)
{
    struct sandbox_resident *resident = &lease->resident;
    for (bool force = false; sandbox_resident_is_ours(resident); force = true) {
        int64_t now = billet_monotonic_ns();
        int64_t limit = now + FORCE_AFTER < deadline_ns ? now + FORCE_AFTER : deadline_ns;
        sandbox_resident_kill(lease, force);
        while (sandbox_resident_is_ours(resident) && (now = billet_monotonic_ns()) < limit) {
            struct pollfd end = {.fd = resident->launched.pidfd, .events = POLLIN};
            poll(&end, 1, (int)((limit - now) / 1000000 + 1));
            look_at_end(lease);
        }
        if (billet_monotonic_ns() >= deadline_ns)
            break;
    }
    return !sandbox_resident_is_ours(resident);
}

void
sandbox_resident_free(struct sandbox_resident *resident)
{
    billet_close_fd(&resident->owner);
    billet_close_fd(&resident->complaints);
    billet_close_fd(&resident->init_pidfd);
    billet_close_fd(&resident->launched.pidfd);
    billet_close_fd(&resident->launched.report);
    *resident = (struct sandbox_resident)SANDBOX_RESIDENT_INIT;
}

/* The id that the sandbox runs as stays locked for as long as it lives: it holds the lock too. */
void
sandbox_resident_keep(struct billet_lease_handle *lease)
{
    struct sandbox_resident *resident = &lease->resident;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } space;
    const struct sandbox_message message = {.type = SANDBOX_KEEP};
    struct iovec part = {.iov_base = (void *)(uintptr_t)&message, .iov_len = sizeof(message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (!sandbox_resident_is_ours(resident) || resident->owner < 0 || resident->kept)
        return;
    memset(&space, 0, sizeof(space));
    if (lease->identity.lock_fd >= 0) {
        header.msg_control = space.bytes;
        header.msg_controllen = sizeof(space.bytes);
        struct cmsghdr *item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(item), &lease->identity.lock_fd, sizeof(int));
    }
    resident->kept =
        sendmsg(resident->owner, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(message);
    lease->identity.shared = lease->identity.shared || resident->kept;
}

void
sandbox_resident_last(struct billet_lease_handle *lease)
{
    const struct sandbox_resident *resident = &lease->resident;
    const struct sandbox_message message = {.type = SANDBOX_LAST};
    if (!sandbox_resident_is_ours(resident) || resident->owner < 0)
        return;
    /* Advice: one that does not hear it makes ready what nobody uses. */
    ssize_t ignored = send(resident->owner, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)ignored;
}

/* Until its first word its start is tied to this process: the launched child dies with its parent
 * up to the moment when it is bubblewrap. One that ends meanwhile is explained to the next command.
 */
void
sandbox_resident_await(struct billet_lease_handle *lease, int64_t deadline_ns)
{
    struct sandbox_resident *resident = &lease->resident;
    int64_t now;
    while (sandbox_resident_is_ours(resident) && !resident->said_hello && resident->owner >= 0 &&
           (now = billet_monotonic_ns()) < deadline_ns) {
        struct pollfd entries[SANDBOX_RESIDENT_FDS];
        sandbox_resident_prepare(resident, entries);
        poll(entries, SANDBOX_RESIDENT_FDS, (int)((deadline_ns - now) / 1000000 + 1));
        sandbox_resident_step(lease, entries);
    }
}

static int
explain_bwrap(const struct sandbox_resident *resident, struct billet_error *error)
{
    static const struct {
        const char *said;
        int error_class;
        const char *code;
        const char *hint;
    } known[] = {
        {"Unknown option", BILLET_CLASS_UNAVAILABLE, "sandbox_bubblewrap_old",
         "bubblewrap 0.8.0 or later is needed"},
        {"namespace", BILLET_CLASS_UNAVAILABLE, "sandbox_namespace_refused",
         "unprivileged user namespaces are not allowed here: see kernel.unprivileged_userns_clone, "
         "user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns (sysctl), and "
         "billet driver probe sandbox"},
        {"uid map", BILLET_CLASS_UNAVAILABLE, "sandbox_namespace_refused",
         "unprivileged user namespaces are restricted here: see "
         "kernel.apparmor_restrict_unprivileged_userns (sysctl), and billet driver probe sandbox"},
        {"find source path", BILLET_CLASS_CONFIG, "sandbox_path_refused",
         "the path must exist and be readable for the user that the sandbox runs as"},
    };
    char text[SANDBOX_COMPLAINT_MAX];
    snprintf(text, sizeof(text), "%s", resident->complaint);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strncmp(text, "bwrap: ", 7) == 0 ? text + 7 : text;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(line, known[i].said) != NULL) {
            billet_fail(error, known[i].error_class, known[i].code,
                        "bubblewrap cannot make the sandbox: %.400s", line);
            return billet_fail_hint(error, "%s", known[i].hint);
        }
    if (resident->said_hello || resident->launched.pid == 0)
        return billet_fail(error, BILLET_CLASS_LOST, "sandbox_lost",
                           "the sandbox ended before its command did, killed from outside or for "
                           "want of memory");
    billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_start_failed",
                "bubblewrap cannot make the sandbox: %.400s",
                line[0] != '\0' ? line : "it ended without a word");
    return billet_fail_hint(error, "billet driver probe sandbox names the cause");
}

int
sandbox_resident_explain(struct sandbox_resident *resident, struct billet_error *error)
{
    if (resident->refused) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_degraded",
                    "the sandbox cannot be enforced here, missing: %s", resident->missing);
        return billet_fail_hint(error, "billet driver probe sandbox says how to mend it; "
                                       "allow_degraded = yes goes on without");
    }
    if (resident->broken.type == SANDBOX_BROKEN) {
        if (resident->broken.value != 0)
            return billet_fail_errno(error, 0, "sandbox_start_failed", resident->broken.value,
                                     "inside the sandbox: %s", resident->broken.text);
        return billet_fail(error, BILLET_CLASS_INTERNAL, "sandbox_start_failed",
                           "inside the sandbox: %s", resident->broken.text);
    }
    int result = sandbox_launch_result(&resident->launched, error);
    return result < 0 ? result : explain_bwrap(resident, error);
}

/* ---- its start --------------------------------------------------------------------------- */

struct start {
    struct sandbox_profile profile;
    int arguments;
    int setup;
    int door;
    int null;
    int owner[2];
    int complaints[2];
    char init[4096];
    bool staged; /* bwrap could not reach what it is to bind */
};

/* The address of the door; a path through the descriptor, which is short whatever the directory's
 * name is. */
static void
door_address(const struct billet_lease_handle *lease, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/" SANDBOX_DOOR,
             lease->directory_fd);
}

static int
make_door(const struct billet_lease_handle *lease, int *door)
{
    struct sockaddr_un address;
    cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    door_address(lease, &address);
    unlinkat(lease->directory_fd, SANDBOX_DOOR, 0); /* of one that has ended */
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, DOOR_QUEUE) < 0)
        return -errno;
    *door = billet_take_fd(&fd);
    return 0;
}

static int
make_channels(const struct billet_lease_handle *lease, struct start *start,
              struct billet_error *error)
{
    int yes = 1;
    int result = make_door(lease, &start->door);
    errno = -result;
    if (result < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, start->owner) < 0 ||
        setsockopt(start->owner[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) < 0 ||
        pipe2(start->complaints, O_CLOEXEC) < 0 ||
        fcntl(start->complaints[0], F_SETFL, O_NONBLOCK) < 0 ||
        (start->null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                 "cannot make the channels of the sandbox");
    return 0;
}

static int
make_start(const struct billet_host *host, struct billet_lease_handle *lease,
           const struct sandbox_config *config, struct start *start, struct billet_error *error)
{
    const char *work = lease->work_fd >= 0 ? lease->work_path : NULL;
    const char *libexec = host->directory(host, BILLET_DIRECTORY_LIBEXEC);
    int written = snprintf(start->init, sizeof(start->init), "%s/" INIT_PROGRAM,
                           libexec != NULL ? libexec : "");
    if (libexec == NULL || written >= (int)sizeof(start->init) || access(start->init, R_OK) < 0)
        return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "sandbox_start_failed",
                           "%s is not there", start->init);
    int result = sandbox_lease_identify(lease, config, error);
    if (result < 0)
        return result;
    if (work != NULL && (lease->identity.drop || lease->overlay_path[0] != '\0'))
        work = SANDBOX_STAGE_WORK;
    const struct sandbox_place place = {lease->work_device, lease->work_inode};
    result = sandbox_assets_map(&lease->assets, &lease->identity, error);
    if (result < 0)
        return result;
    /* Making the mount namespace for it takes a millisecond. */
    start->staged = lease->identity.drop && (lease->work_fd >= 0 || lease->assets.count > 0 ||
                                             !sandbox_path_is_public(start->init));
    result = sandbox_profile_make(
        config, work, &place, &lease->assets, start->staged ? SANDBOX_STAGE_ASSETS : NULL,
        start->staged ? SANDBOX_STAGE_INIT : start->init, &start->profile, error);
    if (result == 0)
        result = sandbox_setup_make(lease, config, &start->profile, &start->setup, error);
    if (result == 0)
        result = sandbox_filter_await(&lease->filter, error);
    if (result == 0) {
        start->arguments = sandbox_memfd("billet-arguments", start->profile.arguments.bytes,
                                         start->profile.arguments.length);
        if (start->arguments < 0 || lseek(lease->filter.fd, 0, SEEK_SET) != 0)
            result = billet_fail_errno(error, 0, "sandbox_start_failed", errno,
                                       "cannot hand over the profile");
    }
    return result == 0 ? make_channels(lease, start, error) : result;
}

static void
end_start(struct start *start)
{
    sandbox_profile_free(&start->profile);
    billet_close_fd(&start->arguments);
    billet_close_fd(&start->setup);
    billet_close_fd(&start->door);
    billet_close_fd(&start->null);
    for (int i = 0; i < 2; i++) {
        billet_close_fd(&start->owner[i]);
        billet_close_fd(&start->complaints[i]);
    }
}

static int
note_launcher(void *context, pid_t pid)
{
    struct billet_lease_handle *lease = context;
    char *note = lease->resident.note;
    snprintf(note, sizeof(lease->resident.note), "%d", (int)pid);
    return sandbox_lease_note(lease, note, pid);
}

/* A lease that more than one process uses gets one that stays. */
static int
begin(const struct billet_host *host, struct billet_lease_handle *lease,
      const struct sandbox_config *config, struct billet_error *error)
{
    struct sandbox_resident *resident = &lease->resident;
    struct start start = {.arguments = -1,
                          .setup = -1,
                          .door = -1,
                          .null = -1,
                          .owner = {-1, -1},
                          .complaints = {-1, -1}};
    sandbox_resident_free(resident);
    struct sandbox_overlay overlay = SANDBOX_OVERLAY_INIT;
    int result = make_start(host, lease, config, &start, error);
    if (result == 0)
        result = sandbox_overlay_begin(lease, &overlay, error);
    if (result == 0) {
        struct sandbox_launch launch = {
            .bubblewrap = config->bubblewrap,
            .identity = &lease->identity,
            .group = &lease->group,
            .work_fd = lease->work_fd,
            .assets = &lease->assets,
            .overlay = overlay.directory != NULL ? &overlay : NULL,
            .init = start.staged ? start.init : NULL,
            .fds = {start.null, start.null, start.complaints[1], start.owner[1], start.setup,
                    start.door, start.arguments, lease->filter.fd},
            .fd_count = SANDBOX_FD_FILES + start.profile.file_count,
            .note = note_launcher,
            .context = lease,
        };
        for (size_t i = 0; i < start.profile.file_count; i++)
            launch.fds[SANDBOX_FD_FILES + i] = start.profile.files[i];
        result = sandbox_launch_begin(&launch, &resident->launched, error);
        if (result < 0)
            sandbox_lease_unnote(lease, resident->note);
    }
    if (result == 0) {
        resident->owner = billet_take_fd(&start.owner[0]);
        resident->complaints = billet_take_fd(&start.complaints[0]);
        if (lease->shared)
            sandbox_resident_keep(lease);
    }
    end_start(&start);
    return result;
}

/* ---- its door ------------------------------------------------------------------------------ */

/* 0, or -errno: -ECONNREFUSED and -ENOENT when there is none. */
static int
knock(const struct billet_lease_handle *lease, int *connection)
{
    struct sockaddr_un address;
    cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    door_address(lease, &address);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *connection = billet_take_fd(&fd);
    return 0;
}

static bool
is_absent(int result)
{
    return result == -ECONNREFUSED || result == -ENOENT;
}

static int
cannot_reach(int result, struct billet_error *error)
{
    return billet_fail_errno(error, 0, "sandbox_start_failed", -result,
                             result == -EAGAIN ? "too many commands wait for the sandbox"
                                               : "cannot reach the sandbox");
}

int
sandbox_resident_lock(const struct billet_lease_handle *lease, int64_t limit_ns,
                      struct billet_error *error)
{
    cleanup_fd int lock = openat(lease->directory_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (lock < 0)
        return billet_fail_errno(error, 0, "sandbox_start_failed", errno, "cannot open the lease");
    while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        struct timespec pause = {.tv_nsec = 2000000};
        if ((errno != EWOULDBLOCK && errno != EINTR) || billet_monotonic_ns() >= limit_ns)
            return billet_fail_errno(error, BILLET_CLASS_TIMEOUT, "sandbox_start_failed", errno,
                                     "another process is starting the sandbox");
        nanosleep(&pause, NULL);
    }
    return billet_take_fd(&lock);
}

/* Of several processes that find none, one starts it. */
static int
start_one(const struct billet_host *host, struct billet_lease_handle *lease,
          const struct sandbox_config *config, int64_t limit_ns, int *connection,
          struct billet_error *error)
{
    cleanup_fd int lock = sandbox_resident_lock(lease, limit_ns, error);
    if (lock < 0)
        return lock;
    int result = knock(lease, connection);
    if (is_absent(result)) {
        /* A pull may have made the upper directory anew since this process looked. */
        if (lease->overlay_path[0] != '\0' && !lease->identity.taken)
            sandbox_overlay_adopt(host, lease);
        result = begin(host, lease, config, error);
        if (result < 0)
            return result;
        result = knock(lease, connection); /* its door is there before it is */
    }
    return result < 0 ? cannot_reach(result, error) : 0;
}

void
sandbox_resident_start_ahead(const struct billet_host *host, struct billet_lease_handle *lease,
                             const struct sandbox_config *config)
{
    struct billet_error unsaid = BILLET_ERROR_INIT;
    cleanup_fd int connection = -1;
    cleanup_fd int lock = openat(lease->directory_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    /* Another process is starting one, or has. */
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || !is_absent(knock(lease, &connection)))
        return;
    begin(host, lease, config, &unsaid);
}

int
sandbox_resident_try(const struct billet_host *host, struct billet_lease_handle *lease,
                     const struct sandbox_config *config)
{
    struct billet_error unsaid = BILLET_ERROR_INIT;
    struct sandbox_resident *resident = &lease->resident;
    if (begin(host, lease, config, &unsaid) < 0 ||
        sandbox_launch_result(&resident->launched, &unsaid) == 0)
        return 0;
    int result = -resident->launched.overlay_errno;
    sandbox_resident_end(lease, billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND);
    sandbox_resident_free(resident);
    return result;
}

int
sandbox_resident_connect(const struct billet_host *host, struct billet_lease_handle *lease,
                         const struct sandbox_config *config, int64_t deadline_ns, int *connection,
                         struct billet_error *error)
{
    int64_t limit_ns = billet_monotonic_ns() + START_PATIENCE;
    if (deadline_ns > 0 && deadline_ns < limit_ns)
        limit_ns = deadline_ns;
    look_at_end(lease); /* did it end between two commands? */
    if (sandbox_lease_is_ended(lease->directory_fd))
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost", "sandbox lease %s was destroyed",
                           lease->id);
    int result = knock(lease, connection);
    if (result == 0)
        return 0;
    if (!is_absent(result))
        return cannot_reach(result, error);
    /* One that could not start says why, rather than be tried again. */
    if (sandbox_resident_is_ours(&lease->resident))
        sandbox_resident_end(lease, limit_ns);
    const struct sandbox_resident *resident = &lease->resident;
    if (resident->gone &&
        (!resident->said_hello || resident->refused || resident->broken.type != 0)) {
        result = sandbox_resident_explain(&lease->resident, error);
        sandbox_resident_free(&lease->resident);
        return result;
    }
    return start_one(host, lease, config, limit_ns, connection, error);
}
