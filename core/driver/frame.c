/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/redact.h"

#define FLAG_IN_MEMORY 0x1u
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define PACKET_FDS (BILLET_FRAME_FDS + 1)

struct header {
    unsigned char magic[2];
    unsigned char version;
    unsigned char flags;
    uint32_t length;
};

static int
broken(struct billet_error *error, const char *why)
{
    return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_answer", "broken frame: %s",
                            why);
}

int
billet_frame_sealed(const void *bytes, size_t length, int *fd, struct billet_error *error)
{
    cleanup_fd int made = memfd_create("billet-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return billet_error_errno(error, 0, "internal", errno, "cannot make a memory file");
    int result = billet_io_write_all(made, bytes, length, error);
    if (result < 0)
        return result;
    if (fcntl(made, F_ADD_SEALS, SEALS) != 0)
        return billet_error_errno(error, 0, "internal", errno, "cannot seal a memory file");
    *fd = billet_steal_fd(&made);
    return 0;
}

/* Is it a sealed memory file of that length? Seals exist on memory files only, so no device or
 * network file system can make the read wait. */
static int
check_sealed(int fd, size_t length, struct billet_error *error)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
        return broken(error, "its memory file is not sealed");
    if (fstat(fd, &status) != 0 || status.st_size < 0 || (uint64_t)status.st_size != length)
        return broken(error, "its memory file has another size than announced");
    return 0;
}

int
billet_frame_unseal_to(int fd, size_t length, char *bytes, struct billet_error *error)
{
    int result = check_sealed(fd, length, error);
    for (size_t done = 0; result == 0 && done < length;) {
        ssize_t got = pread(fd, bytes + done, length - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return broken(error, "its memory file cannot be read");
        done += (size_t)got;
    }
    return result;
}

int
billet_frame_unseal(int fd, size_t length, size_t limit, char **bytes, struct billet_error *error)
{
    if (length > limit)
        return broken(error, "its memory file has another size than announced");
    cleanup_free char *text = malloc(length + 1);
    if (text == NULL)
        return billet_error_no_memory(error);
    int result = billet_frame_unseal_to(fd, length, text, error);
    if (result < 0)
        return result;
    text[length] = '\0';
    *bytes = billet_steal(text);
    return 0;
}

static int
late(struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_TIMEOUT, "deadline_passed", "nothing came in time");
}

/* Wait until the socket takes or gives something; deadline as in the header. */
static int
wait_for(int socket, short events, int64_t deadline_ns, struct billet_error *error)
{
    if (deadline_ns < 0)
        return late(error);
    for (;;) {
        int timeout = -1;
        if (deadline_ns > 0) {
            int64_t left = (deadline_ns - billet_clock_monotonic() + 999999) / 1000000;
            timeout = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
        }
        struct pollfd wait = {.fd = socket, .events = events};
        int ready = poll(&wait, 1, timeout);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return billet_error_errno(error, 0, "internal", errno, "cannot wait for a socket");
        if (ready == 0 && billet_clock_monotonic() >= deadline_ns)
            return late(error);
    }
}

static bool
peer_gone(int number)
{
    return number == EPIPE || number == ECONNRESET || number == ENOTCONN;
}

int
billet_frame_send(int socket, const json_t *body, const int *fds, size_t fd_count,
                  int64_t deadline_ns, struct billet_error *error)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
        struct cmsghdr align;
    } control;
    int all[PACKET_FDS];
    size_t all_count = 0;
    cleanup_fd int memory = -1;

    if (fd_count > BILLET_FRAME_FDS)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal", "too many descriptors");
    cleanup_free char *text = billet_json_text(body);
    if (text == NULL)
        return billet_error_no_memory(error);
    size_t length = strlen(text);
    if (length > BILLET_FRAME_MAX)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "too_large",
                                "a message of %zu bytes is over the limit of %u", length,
                                BILLET_FRAME_MAX);
    struct header header = {.magic = {'B', 'L'}, .version = 1, .length = (uint32_t)length};
    struct iovec parts[2] = {{&header, sizeof(header)}, {text, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (length > BILLET_FRAME_INLINE) {
        int result = billet_frame_sealed(text, length, &memory, error);
        if (result < 0)
            return result;
        header.flags = FLAG_IN_MEMORY;
        message.msg_iovlen = 1;
        all[all_count++] = memory;
    }
    for (size_t i = 0; i < fd_count; i++)
        all[all_count++] = fds[i];
    if (all_count > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * all_count);
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int) * all_count);
        memcpy(CMSG_DATA(part), all, sizeof(int) * all_count);
    }
    for (;;) {
        if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (peer_gone(errno))
            return billet_error_errno(error, BILLET_CLASS_LOST, "driver_gone", errno,
                                      "the other end is gone");
        if (errno != EAGAIN)
            return billet_error_errno(error, 0, "internal", errno, "cannot send a frame");
        int result = wait_for(socket, POLLOUT, deadline_ns, error);
        if (result < 0)
            return result;
    }
}

int
billet_frame_decode(const unsigned char *packet, size_t length, const int *fds, size_t fd_count,
                    json_t **body, bool *in_memory, struct billet_error *error)
{
    struct header header;
    cleanup_free char *unsealed = NULL;
    cleanup_json json_t *parsed = NULL;
    struct billet_error why = BILLET_ERROR_INIT;

    if (length < sizeof(header))
        return broken(error, "too short");
    memcpy(&header, packet, sizeof(header));
    if (memcmp(header.magic, "BL", 2) != 0 || header.version != 1)
        return broken(error, "not a frame");
    if ((header.flags & ~FLAG_IN_MEMORY) != 0)
        return broken(error, "unknown flags");
    if (header.length > BILLET_FRAME_MAX)
        return broken(error, "oversized");
    cleanup_free char *masked = NULL;
    const char *text = (const char *)packet + sizeof(header);
    *in_memory = (header.flags & FLAG_IN_MEMORY) != 0;
    if (*in_memory) {
        if (length != sizeof(header) || fd_count == 0)
            return broken(error, "its text is not where it says");
        int result = billet_frame_unseal(fds[0], header.length, BILLET_FRAME_MAX, &unsealed, error);
        if (result < 0)
            return result;
        text = unsealed;
    } else if (header.length != length - sizeof(header)) {
        return broken(error, "its length is not what it says");
    }
    size_t text_length = header.length;
    /* A driver knows secrets and may repeat them: they go no further. */
    if (billet_redact_any()) {
        masked = malloc(text_length + 1);
        if (masked == NULL)
            return billet_error_no_memory(error);
        memcpy(masked, text, text_length);
        text_length = billet_redact_bytes(masked, text_length);
        text = masked;
    }
    if (billet_json_parse(text, text_length, &parsed, &why) < 0)
        return broken(error, why.message);
    if (!json_is_object(parsed))
        return broken(error, "not an object");
    *body = billet_steal(parsed);
    return 0;
}

static void
close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        billet_close(&fds[i]);
}

int
billet_frame_receive(int socket, struct billet_frame *frame, int64_t deadline_ns,
                     struct billet_error *error)
{
    unsigned char packet[sizeof(struct header) + BILLET_FRAME_INLINE];
    union {
        char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec part = {packet, sizeof(packet)};
    struct msghdr message;
    int fds[PACKET_FDS];
    size_t fd_count = 0;
    ssize_t got;

    *frame = (struct billet_frame)BILLET_FRAME_INIT;
    bool reset = false;
    for (;;) {
        message = (struct msghdr){.msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof(control.bytes)};
        got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got >= 0)
            break;
        if (errno == EINTR)
            continue;
        /* Said once when the peer left something of ours unread; what it sent before is still
         * there. */
        if (errno == ECONNRESET && !reset) {
            reset = true;
            continue;
        }
        if (peer_gone(errno))
            return 0;
        if (errno != EAGAIN)
            return billet_error_errno(error, 0, "internal", errno, "cannot receive a frame");
        int result = wait_for(socket, POLLIN, deadline_ns, error);
        if (result < 0)
            return result;
    }
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
            if (fd_count < PACKET_FDS)
                fds[fd_count++] = fd;
            else
                close(fd);
        }
    }
    if (got == 0 && fd_count == 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return 0; /* no peer of ours sends an empty packet: the end */
    bool in_memory = false;
    int result = 0;
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        result = broken(error, "too many descriptors");
    else if ((message.msg_flags & MSG_TRUNC) != 0)
        result = broken(error, "oversized");
    else
        result = billet_frame_decode(packet, (size_t)got, fds, fd_count, &frame->body, &in_memory,
                                     error);
    size_t first = in_memory ? 1 : 0;
    if (result == 0 && fd_count - first > BILLET_FRAME_FDS) {
        json_decref(billet_steal(frame->body));
        result = broken(error, "too many descriptors");
    }
    if (result < 0) {
        close_all(fds, fd_count);
        return result;
    }
    if (in_memory)
        billet_close(&fds[0]);
    frame->fd_count = fd_count - first;
    memcpy(frame->fds, fds + first, sizeof(int) * frame->fd_count);
    return 0;
}

void
billet_frame_free(struct billet_frame *frame)
{
    close_all(frame->fds, frame->fd_count);
    json_decref(frame->body);
    *frame = (struct billet_frame)BILLET_FRAME_INIT;
}
