/* SPDX-License-Identifier: Apache-2.0 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"

#define CLOSE_NS (6 * BILLET_NS_PER_SECOND)
#define CARRIER_STACK (256 * 1024)
/* Without a frame for three keepalives the guest ends itself, and is taken for dead here; neither
 * sooner than these. */
#define SILENCES 3
#define GUEST_SILENCE_LEAST_NS (15 * BILLET_NS_PER_SECOND)
#define SILENCE_LEAST_NS (5 * BILLET_NS_PER_SECOND)
/* What may wait to be written: input is held down by its credit, so more is a guest that does not
 * read. */
#define QUEUE_MAX (64u << 20)

struct ssh_guest {
    pid_t pid; /* of the OpenSSH client */
    int pidfd;
    int to, from;  /* neither blocks */
    int listen_fd; /* epoll with from in it where the carrier is to read */
    int wake_fd;   /* the carrier is to look at the queue and at what follows */
    atomic_bool stopping;
    atomic_bool lost;
    atomic_int count;
    int64_t ping_ns, silence_ns;
    pthread_t carrier;
    bool carrying;
    pthread_mutex_t writing; /* guards the queue; held for no longer than a write that does not
                                block */
    uint8_t *queue;
    size_t queue_start, queue_end, queue_capacity;
    pthread_mutex_t reading; /* guards the decoder; before lock */
    atomic_llong heard_ns;   /* when the guest last said something */
    pthread_mutex_t lock;    /* guards what follows, and what is in the channels */
    struct ssh_channel *channels;
    struct ssh_channel *reader; /* whose command reads from; NULL: none does */
    bool listens;               /* from is in listen_fd */
    uint8_t *spare_rings;       /* of the last channel, for the next one; NULL: none */
    int spare_event_fd;         /* likewise; -1: none */
    uint32_t last;
    const char *wrong; /* how the guest broke the rules */
    char magic[sizeof(BILLET_GUEST_MAGIC) + BILLET_GUEST_NONCE + 2];
    struct billet_guest_decoder decoder;
};

static void
signal_fd(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* ---- frames to the guest --------------------------------------------------------------------- */

/* What was queued may hold variables of a command, which may be secrets. */
static void
drop_queue(struct ssh_guest *guest)
{
    if (guest->queue_end > 0)
        explicit_bzero(guest->queue, guest->queue_end);
    free(guest->queue);
    guest->queue = NULL;
    guest->queue_start = guest->queue_end = guest->queue_capacity = 0;
}

static bool
queue_bytes(struct ssh_guest *guest, const uint8_t *bytes, size_t size)
{
    size_t held = guest->queue_end - guest->queue_start;
    if (guest->queue_start > 0 && guest->queue_capacity - guest->queue_end < size) {
        memmove(guest->queue, guest->queue + guest->queue_start, held);
        explicit_bzero(guest->queue + held, guest->queue_start);
        guest->queue_start = 0;
        guest->queue_end = held;
    }
    if (guest->queue_capacity - guest->queue_end < size) {
        size_t wanted = 2 * held > held + size ? 2 * held : held + size;
        uint8_t *grown = wanted <= QUEUE_MAX ? malloc(wanted) : NULL;
        if (grown == NULL)
            return false;
        if (held > 0)
            memcpy(grown, guest->queue + guest->queue_start, held);
        drop_queue(guest);
        guest->queue = grown;
        guest->queue_end = held;
        guest->queue_capacity = wanted;
    }
    memcpy(guest->queue + guest->queue_end, bytes, size);
    guest->queue_end += size;
    return true;
}

/* What goes without waiting, with writing held. */
static void
flush_queue(struct ssh_guest *guest)
{
    while (guest->queue_start < guest->queue_end) {
        ssize_t put = write(guest->to, guest->queue + guest->queue_start,
                            guest->queue_end - guest->queue_start);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN)
            atomic_store(&guest->lost, true);
        if (put < 0)
            return;
        guest->queue_start += (size_t)put;
    }
    /* One large command is no reason to hold its bytes for ever. */
    if (guest->queue_capacity > (1u << 20))
        drop_queue(guest);
    else if (guest->queue_end > 0)
        explicit_bzero(guest->queue, guest->queue_end);
    guest->queue_start = guest->queue_end = 0;
}

/* With writing held. */
static void
queue_frame(struct ssh_guest *guest, uint16_t type, uint16_t stream, uint32_t channel,
            const void *payload, size_t size)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, type, stream, channel, (uint32_t)size);
    /* Half a frame would spoil all that follow. */
    if (!atomic_load(&guest->lost) && (!queue_bytes(guest, header, sizeof(header)) ||
                                       (size > 0 && !queue_bytes(guest, payload, size))))
        atomic_store(&guest->lost, true);
}

/* Ends the holding of writing: 0 or LOST. */
static int
end_writing(struct ssh_guest *guest)
{
    if (!atomic_load(&guest->lost))
        flush_queue(guest);
    bool lost = atomic_load(&guest->lost);
    bool rest = guest->queue_start < guest->queue_end;
    pthread_mutex_unlock(&guest->writing);
    if (lost || rest)
        signal_fd(guest->wake_fd);
    return lost ? -BILLET_CLASS_LOST : 0;
}

int
ssh_guest_send(struct ssh_guest *guest, uint16_t type, uint16_t stream, uint32_t channel,
               const void *payload, size_t size)
{
    pthread_mutex_lock(&guest->writing);
    queue_frame(guest, type, stream, channel, payload, size);
    return end_writing(guest);
}

/* ---- frames from the guest ------------------------------------------------------------------- */

/* -1: the guest sends more than it may. */
static int
store(struct ssh_channel *channel, const struct billet_guest_frame *frame)
{
    if (frame->stream == 0)
        return -1;
    struct ssh_arrival *arrival = &channel->arrivals[frame->stream - 1];
    if (arrival->ended || frame->size > BILLET_GUEST_WINDOW - arrival->size)
        return -1;
    for (size_t done = 0; done < frame->size;) {
        size_t at = (arrival->at + arrival->size) % BILLET_GUEST_WINDOW;
        size_t part = BILLET_GUEST_WINDOW - at;
        if (part > frame->size - done)
            part = frame->size - done;
        memcpy(arrival->bytes + at, frame->payload + done, part);
        arrival->size += part;
        done += part;
    }
    return 0;
}

/* The end of a command as the guest tells it is one that there can be. */
static bool
is_possible(const struct billet_guest_exit *end)
{
    switch (end->outcome) {
    case BILLET_OUTCOME_EXITED:
        return end->value >= 0 && end->value <= 255;
    case BILLET_OUTCOME_SIGNALLED:
        return end->value >= 1 && end->value <= 64;
    case BILLET_OUTCOME_TIMED_OUT:
    case BILLET_OUTCOME_CANCELLED:
    case BILLET_OUTCOME_NOT_FOUND:
    case BILLET_OUTCOME_NOT_INVOCABLE:
    case BILLET_GUEST_OUTCOME_DIRECTORY:
    case BILLET_GUEST_OUTCOME_FAILED:
        return end->value >= 0;
    default:
        return false;
    }
}

static int
take_channel_frame(struct ssh_channel *channel, const struct billet_guest_frame *frame)
{
    if (channel->over)
        return -1;
    switch (frame->type) {
    case BILLET_GUEST_STARTED:
        if (frame->size != 8 || channel->started)
            return -1;
        channel->started = true;
        channel->pid = (int64_t)billet_guest_get(frame->payload, 8);
        return 0;
    case BILLET_GUEST_DATA:
        return store(channel, frame);
    case BILLET_GUEST_EOF: {
        bool *ended = frame->stream == 0 ? &channel->input_unwanted
                                         : &channel->arrivals[frame->stream - 1].ended;
        if (*ended)
            return -1;
        *ended = true;
        return 0;
    }
    case BILLET_GUEST_CREDIT: {
        uint64_t more = frame->size == 4 ? billet_guest_get(frame->payload, 4) : UINT64_MAX;
        if (frame->stream != 0 || more > BILLET_GUEST_WINDOW - channel->credit)
            return -1;
        channel->credit += (uint32_t)more;
        return 0;
    }
    case BILLET_GUEST_EXIT:
        if (billet_guest_exit_read(frame, &channel->result) < 0 || !is_possible(&channel->result))
            return -1;
        channel->over = true;
        return 0;
    default:
        return -1;
    }
}

static int
take_frame(struct ssh_guest *guest, const struct billet_guest_frame *frame)
{
    int result = 0;
    if (frame->type == BILLET_GUEST_PONG)
        return 0;
    pthread_mutex_lock(&guest->lock);
    if (frame->channel == 0 || frame->channel > guest->last)
        result = -1;
    /* A channel that was closed here may still be spoken of. */
    for (struct ssh_channel *at = guest->channels; at != NULL; at = at->next) {
        if (at->number == frame->channel) {
            result = take_channel_frame(at, frame);
            at->news = true;
        }
    }
    if (result < 0)
        guest->wrong = "sent a frame that does not belong there";
    pthread_mutex_unlock(&guest->lock);
    return result;
}

/* With lock held. */
static void
tell_channel(struct ssh_channel *channel)
{
    channel->told = true;
    signal_fd(channel->event_fd);
}

/* One word to each channel for all that came at once, but for the one that reads itself. */
static void
tell_channels(struct ssh_guest *guest, const struct ssh_channel *self)
{
    pthread_mutex_lock(&guest->lock);
    for (struct ssh_channel *at = guest->channels; at != NULL; at = at->next) {
        if (at->news && at != self)
            tell_channel(at);
        at->news = false;
    }
    pthread_mutex_unlock(&guest->lock);
}

static void
set_wrong(struct ssh_guest *guest, const char *wrong)
{
    pthread_mutex_lock(&guest->lock);
    guest->wrong = wrong;
    pthread_mutex_unlock(&guest->lock);
}

/* What the decoder holds, with reading held: false when the guest broke the rules. */
static bool
take_frames(struct ssh_guest *guest, const struct ssh_channel *self)
{
    struct billet_guest_frame frame;
    int result;
    bool any = false;
    while ((result = billet_guest_decode(&guest->decoder, &frame)) > 0) {
        if (take_frame(guest, &frame) < 0)
            return false;
        any = true;
    }
    if (any)
        tell_channels(guest, self);
    if (result < 0)
        set_wrong(guest, "sent what is not a frame");
    return result == 0;
}

/* What can be read now; false when there will be no more. */
static bool
read_frames(struct ssh_guest *guest, const struct ssh_channel *self)
{
    size_t room;
    pthread_mutex_lock(&guest->reading);
    uint8_t *to = billet_guest_decoder_room(&guest->decoder, &room);
    ssize_t got = to != NULL ? read(guest->from, to, room) : 0;
    bool goes_on = got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
    if (got > 0) {
        guest->decoder.end += (size_t)got;
        atomic_store(&guest->heard_ns, billet_monotonic_ns());
        goes_on = take_frames(guest, self);
    }
    pthread_mutex_unlock(&guest->reading);
    return goes_on;
}

/* Until the guest has nothing more to say, breaks the rules, or is not wanted any more. */
static void
carry(struct ssh_guest *guest)
{
    int64_t next = billet_monotonic_ns() + guest->ping_ns;
    int64_t asked = 0; /* since when a ping waits for any word of the guest */
    pthread_mutex_lock(&guest->reading);
    bool goes_on = take_frames(guest, NULL); /* what came with its hello */
    pthread_mutex_unlock(&guest->reading);
    while (goes_on) {
        pthread_mutex_lock(&guest->writing);
        bool rest = guest->queue_start < guest->queue_end;
        pthread_mutex_unlock(&guest->writing);
        struct pollfd fds[3] = {{.fd = guest->listen_fd, .events = POLLIN},
                                {.fd = guest->wake_fd, .events = POLLIN},
                                {.fd = rest ? guest->to : -1, .events = POLLOUT}};
        int64_t left = next - billet_monotonic_ns();
        if (poll(fds, 3, left <= 0 ? 0 : (int)(left / 1000000) + 1) < 0 && errno != EINTR)
            return;
        uint64_t count;
        if (fds[1].revents != 0)
            (void)!read(guest->wake_fd, &count, sizeof(count));
        if (fds[2].revents != 0) {
            pthread_mutex_lock(&guest->writing);
            flush_queue(guest);
            pthread_mutex_unlock(&guest->writing);
        }
        int64_t now = billet_monotonic_ns();
        /* Whoever reads otherwise may be held up by the reader of its command's output: that is no
         * silence of the guest. */
        if (fds[0].revents != 0 || now >= next)
            goes_on = read_frames(guest, NULL);
        if (atomic_load(&guest->heard_ns) > asked)
            asked = 0;
        if (goes_on && asked != 0 && now - asked >= guest->silence_ns) {
            set_wrong(guest, "does not answer");
            return;
        }
        if (atomic_load(&guest->stopping) || atomic_load(&guest->lost))
            return;
        if (now >= next) {
            ssh_guest_send(guest, BILLET_GUEST_PING, 0, 0, NULL, 0);
            next = now + guest->ping_ns;
            asked = asked != 0 ? asked : now;
        }
    }
}

static void *
carry_frames(void *argument)
{
    struct ssh_guest *guest = argument;
    carry(guest);
    atomic_store(&guest->lost, true);
    pthread_mutex_lock(&guest->lock);
    for (struct ssh_channel *at = guest->channels; at != NULL; at = at->next) {
        at->lost = true;
        tell_channel(at);
    }
    pthread_mutex_unlock(&guest->lock);
    return NULL;
}

const char *
ssh_guest_wrong(struct ssh_guest *guest)
{
    pthread_mutex_lock(&guest->lock);
    const char *wrong = guest->wrong;
    pthread_mutex_unlock(&guest->lock);
    return wrong;
}

/* ---- open, drop -------------------------------------------------------------------------- */

static int
start_client(struct ssh_guest *guest, const struct ssh_settings *settings,
             struct ssh_keeper *keeper, const char *path, const char *nonce,
             struct billet_error *error)
{
    struct ssh_text line = {0};
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]), close(in[1]);
        return billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    }
    guest->to = in[1];
    guest->from = out[0];
    fcntl(guest->to, F_SETFL, O_NONBLOCK);
    fcntl(guest->from, F_SETFL, O_NONBLOCK);
    /* sh, bash, zsh, fish and csh take it alike; install.c refuses a path with quotes. */
    ssh_text_format(&line, "exec '%s' serve %s", path, nonce);
    struct ssh_client client = {
        .settings = settings,
        .place = ssh_keeper_place(keeper),
        .shared = true,
        .command = line.bytes,
        .fds = {in[0], out[1], -1},
        .terminal_fd = -1,
    };
    int status = line.failed
                     ? billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory")
                     : ssh_client_start(&client, &guest->pid, &guest->pidfd, error);
    ssh_text_free(&line);
    close(in[0]), close(out[1]);
    return status;
}

/* More bytes within the time: 0 or negative errno. */
static int
read_more(struct ssh_guest *guest, int64_t deadline, int cancel_fd)
{
    size_t room;
    uint8_t *to = billet_guest_decoder_room(&guest->decoder, &room);
    if (to == NULL)
        return -ENOMEM;
    for (;;) {
        struct pollfd fds[2] = {{.fd = guest->from, .events = POLLIN},
                                {.fd = cancel_fd, .events = POLLIN}};
        int64_t left = (deadline - billet_monotonic_ns()) / 1000000;
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(fds, 2, (int)left + 1) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents != 0)
            return -ECANCELED;
        ssize_t got = read(guest->from, to, room);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return -EPIPE;
        if (got > 0) {
            guest->decoder.end += (size_t)got;
            return 0;
        }
    }
}

/* Past what the login shell writes, up to the end of the line with our nonce. */
static int
skip_noise(struct ssh_guest *guest, int64_t deadline, int cancel_fd)
{
    struct billet_guest_decoder *decoder = &guest->decoder;
    size_t length = strlen(guest->magic), noise = 0;
    for (;;) {
        size_t held = decoder->end - decoder->start;
        const uint8_t *found =
            held > 0 ? memmem(decoder->bytes + decoder->start, held, guest->magic, length) : NULL;
        if (found != NULL) {
            decoder->start = (size_t)(found - decoder->bytes) + length;
            return 0;
        }
        if (held >= length) {
            noise += held - (length - 1);
            decoder->start = decoder->end - (length - 1);
        }
        if (noise > BILLET_GUEST_NOISE_MAX)
            return -E2BIG;
        /* What is held here is no frame, whatever its first bytes say: room for it needs none. */
        held = decoder->end - decoder->start;
        if (held > 0)
            memmove(decoder->bytes, decoder->bytes + decoder->start, held);
        decoder->start = 0;
        decoder->end = held;
        int result = read_more(guest, deadline, cancel_fd);
        if (result < 0)
            return result;
    }
}

static int
greet(struct ssh_guest *guest, int64_t deadline, int cancel_fd)
{
    struct billet_guest_frame frame = {.type = 0};
    uint8_t hello[8];
    int result = skip_noise(guest, deadline, cancel_fd);
    int decoded = 0;
    while (result == 0 && (decoded = billet_guest_decode(&guest->decoder, &frame)) == 0)
        result = read_more(guest, deadline, cancel_fd);
    if (result < 0)
        return result;
    if (decoded < 0 || frame.type != BILLET_GUEST_HELLO || frame.size < 18 ||
        billet_guest_get(frame.payload, 4) > BILLET_GUEST_VERSION ||
        billet_guest_get(frame.payload + 4, 4) < BILLET_GUEST_VERSION_LOWEST ||
        (billet_guest_get(frame.payload + 8, 8) & BILLET_GUEST_CAN_EXEC) == 0)
        return -EPROTO;
    uint64_t version = billet_guest_get(frame.payload + 4, 4);
    if (version > BILLET_GUEST_VERSION)
        version = BILLET_GUEST_VERSION;
    billet_guest_put(hello, version, 4);
    int64_t silence =
        guest->silence_ns > GUEST_SILENCE_LEAST_NS ? guest->silence_ns : GUEST_SILENCE_LEAST_NS;
    billet_guest_put(hello + 4, (uint64_t)(silence / BILLET_NS_PER_SECOND), 4);
    return ssh_guest_send(guest, BILLET_GUEST_HELLO, 0, 0, hello, sizeof(hello)) < 0 ? -EPIPE : 0;
}

/* 0 or negative errno. */
static int
let_carrier_read(struct ssh_guest *guest)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (guest->listens)
        return 0;
    if (epoll_ctl(guest->listen_fd, EPOLL_CTL_ADD, guest->from, &event) < 0)
        return -errno;
    guest->listens = true;
    return 0;
}

static int
start_carrier(struct ssh_guest *guest)
{
    pthread_attr_t attributes;
    sigset_t all, saved;
    guest->listen_fd = epoll_create1(EPOLL_CLOEXEC);
    int listens = guest->listen_fd >= 0 ? let_carrier_read(guest) : -errno;
    if (listens < 0)
        return listens;
    pthread_attr_init(&attributes);
#if !defined(__SANITIZE_ADDRESS__)
    pthread_attr_setstacksize(&attributes, CARRIER_STACK);
#endif
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    int failed = pthread_create(&guest->carrier, &attributes, carry_frames, guest);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    pthread_attr_destroy(&attributes);
    guest->carrying = failed == 0;
    return -failed;
}

static void
end_guest(struct ssh_guest *guest)
{
    if (guest->carrying) {
        atomic_store(&guest->stopping, true);
        signal_fd(guest->wake_fd);
        pthread_join(guest->carrier, NULL);
    }
    /* It reads the end of its input, ends what it is to end, and goes; then the client does. */
    billet_close_fd(&guest->to);
    int64_t deadline = billet_monotonic_ns() + CLOSE_NS;
    while (guest->pid > 0) {
        char rest[4096];
        struct pollfd fds[2] = {{.fd = guest->pidfd, .events = POLLIN},
                                {.fd = guest->from, .events = POLLIN}};
        int64_t left = (deadline - billet_monotonic_ns()) / 1000000;
        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR) || fds[0].revents != 0)
            break;
        if (fds[1].revents != 0 && read(guest->from, rest, sizeof(rest)) == 0)
            billet_close_fd(&guest->from);
    }
    ssh_child_end(&guest->pid, &guest->pidfd);
    billet_close_fd(&guest->from);
    billet_close_fd(&guest->listen_fd);
    billet_close_fd(&guest->wake_fd);
    billet_close_fd(&guest->spare_event_fd);
    billet_guest_decoder_free(&guest->decoder);
    free(guest->spare_rings);
    drop_queue(guest);
    pthread_mutex_destroy(&guest->writing);
    pthread_mutex_destroy(&guest->reading);
    pthread_mutex_destroy(&guest->lock);
    free(guest);
}

int
ssh_guest_open(const struct billet_call *call, const struct ssh_settings *settings,
               struct ssh_keeper *keeper, const char *path, struct ssh_guest **made,
               struct billet_error *error)
{
    char nonce[33];
    struct ssh_guest *guest = calloc(1, sizeof(*guest));
    if (guest == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    guest->pidfd = guest->to = guest->from = guest->listen_fd = guest->spare_event_fd = -1;
    guest->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&guest->writing, NULL);
    pthread_mutex_init(&guest->reading, NULL);
    pthread_mutex_init(&guest->lock, NULL);
    atomic_store(&guest->count, 1);
    guest->ping_ns = settings->keepalive_ns;
    guest->silence_ns = settings->keepalive_ns * SILENCES;
    if (guest->silence_ns < SILENCE_LEAST_NS)
        guest->silence_ns = SILENCE_LEAST_NS;
    if (guest->wake_fd < 0 || !ssh_nonce(nonce)) {
        end_guest(guest);
        return billet_fail_errno(error, 0, "internal", errno, "cannot make random numbers");
    }
    snprintf(guest->magic, sizeof(guest->magic), "%s%s\n", BILLET_GUEST_MAGIC, nonce);
    int64_t deadline = billet_monotonic_ns() + settings->connect_timeout_ns;
    if (call->deadline_ns != 0 && call->deadline_ns < deadline)
        deadline = call->deadline_ns;
    int status = start_client(guest, settings, keeper, path, nonce, error);
    if (status == 0) {
        int result = greet(guest, deadline, call->cancel_fd);
        if (result == 0)
            result = start_carrier(guest);
        if (result == -ECANCELED)
            status = billet_fail(error, BILLET_CLASS_CANCELLED, "cancelled",
                                 "cancelled while billet-guest began on the host");
        else if (result < 0)
            status = billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable",
                                       -result, "billet-guest does not begin on the host");
    }
    if (status < 0) {
        /* Nothing of ours runs there yet. */
        ssh_child_end(&guest->pid, &guest->pidfd);
        end_guest(guest);
        return status;
    }
    *made = guest;
    return 0;
}

bool
ssh_guest_is_alive(struct ssh_guest *guest)
{
    return !atomic_load(&guest->lost);
}

void
ssh_guest_hold(struct ssh_guest *guest)
{
    atomic_fetch_add(&guest->count, 1);
}

void
ssh_guest_drop(struct ssh_guest *guest)
{
    if (guest != NULL && atomic_fetch_sub(&guest->count, 1) == 1)
        end_guest(guest);
}

void
ssh_guest_keep(struct ssh_guest *guest)
{
    ssh_guest_send(guest, BILLET_GUEST_KEEP, 0, 0, NULL, 0);
}

/* ---- channels ---------------------------------------------------------------------------- */

/* The thread that waits for a command takes the guest's frames itself: without the carrier between
 * them the end of a command is a wake-up nearer. The carrier is not woken to learn of it. With lock
 * held, as its end. */
static void
begin_reading(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    if (guest->reader != NULL)
        return;
    if (guest->listens && epoll_ctl(guest->listen_fd, EPOLL_CTL_DEL, guest->from, NULL) < 0)
        return;
    guest->listens = false;
    guest->reader = channel;
    channel->from = guest->from;
}

/* Once no command runs, what the guest says (that it lives, or that it has ended) is read by the
 * carrier when a ping is due, or by the next command. */
static void
end_reading(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    channel->from = -1;
    if (guest->reader != channel)
        return;
    guest->reader = NULL;
    bool alone = guest->channels == channel && channel->next == NULL;
    if (!alone && let_carrier_read(guest) < 0)
        atomic_store(&guest->lost, true);
}

void
ssh_channel_read(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    if (channel->from < 0 || read_frames(guest, channel))
        return;
    /* The carrier tells everybody. */
    ssh_channel_lock(channel);
    end_reading(channel);
    ssh_channel_unlock(channel);
    atomic_store(&guest->lost, true);
    signal_fd(guest->wake_fd);
}

void
ssh_channel_lock(struct ssh_channel *channel)
{
    pthread_mutex_lock(&channel->guest->lock);
}

void
ssh_channel_unlock(struct ssh_channel *channel)
{
    pthread_mutex_unlock(&channel->guest->lock);
}

static void
free_channel(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    pthread_mutex_lock(&guest->lock);
    if (guest->spare_rings == NULL) {
        guest->spare_rings = channel->rings;
        channel->rings = NULL;
    }
    /* One that was told something is not for the next. */
    if (guest->spare_event_fd < 0 && !channel->told) {
        guest->spare_event_fd = channel->event_fd;
        channel->event_fd = -1;
    }
    pthread_mutex_unlock(&guest->lock);
    billet_close_fd(&channel->event_fd);
    free(channel->rings);
}

/* False: neither the one before has left what it needs, nor can it be made. */
static bool
make_channel(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    pthread_mutex_lock(&guest->lock);
    channel->rings = guest->spare_rings;
    channel->event_fd = guest->spare_event_fd;
    guest->spare_rings = NULL;
    guest->spare_event_fd = -1;
    pthread_mutex_unlock(&guest->lock);
    if (channel->rings == NULL)
        channel->rings = malloc((size_t)2 * BILLET_GUEST_WINDOW);
    if (channel->event_fd < 0)
        channel->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < 2 && channel->rings != NULL; i++)
        channel->arrivals[i].bytes = channel->rings + (size_t)i * BILLET_GUEST_WINDOW;
    return channel->rings != NULL && channel->event_fd >= 0;
}

/* EXEC, and with it the end of an input that has ended already: one packet, not two. */
static int
send_exec(struct ssh_guest *guest, uint32_t number, const void *payload, size_t size,
          bool ends_input)
{
    pthread_mutex_lock(&guest->writing);
    queue_frame(guest, BILLET_GUEST_EXEC, 0, number, payload, size);
    if (ends_input)
        queue_frame(guest, BILLET_GUEST_EOF, 0, number, NULL, 0);
    return end_writing(guest);
}

int
ssh_channel_open(struct ssh_guest *guest, const void *payload, size_t size, bool ends_input,
                 struct ssh_channel *channel, struct billet_error *error)
{
    *channel = (struct ssh_channel){.guest = guest, .from = -1, .credit = BILLET_GUEST_WINDOW};
    if (!make_channel(channel)) {
        free_channel(channel);
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    }
    pthread_mutex_lock(&guest->lock);
    channel->number = ++guest->last;
    channel->lost = atomic_load(&guest->lost);
    channel->next = guest->channels;
    guest->channels = channel;
    begin_reading(channel);
    pthread_mutex_unlock(&guest->lock);
    ssh_channel_read(channel); /* that it has ended while nobody read */
    if (channel->lost || send_exec(guest, channel->number, payload, size, ends_input) < 0) {
        ssh_channel_close(channel);
        const char *wrong = ssh_guest_wrong(guest);
        billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                    "billet-guest on the host %s before the command began",
                    wrong != NULL ? wrong : "ended");
        error->retryable = 1;
        return -BILLET_CLASS_LOST;
    }
    return 0;
}

void
ssh_channel_close(struct ssh_channel *channel)
{
    struct ssh_guest *guest = channel->guest;
    pthread_mutex_lock(&guest->lock);
    end_reading(channel);
    for (struct ssh_channel **at = &guest->channels; *at != NULL; at = &(*at)->next) {
        if (*at == channel) {
            *at = channel->next;
            break;
        }
    }
    bool over = channel->over || channel->lost;
    pthread_mutex_unlock(&guest->lock);
    if (!over)
        ssh_guest_send(guest, BILLET_GUEST_CLOSE, 0, channel->number, NULL, 0);
    free_channel(channel);
}
