/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - billet-guest serve at the far end of one session of the connection, and its channels.
 *
 * A thread, the carrier, takes the guest's frames and puts them where each channel's command waits,
 * unless a command that waits does so; one that does not take its output holds up itself alone. It
 * also writes what could not be written at once, so that nobody who sends ever waits. A guest that
 * says what it may not, or nothing at all for three keepalives (at least 15 s), is lost. Counted:
 * whoever has a channel holds the guest.
 */
#ifndef DRIVERS_SSH_GUEST_H
#define DRIVERS_SSH_GUEST_H

#include <billet/guest.h>

#include "keeper.h"

struct ssh_guest;

/* What has come for one command; guarded by ssh_channel_lock. */
struct ssh_channel {
    struct ssh_channel *next;
    struct ssh_guest *guest;
    uint32_t number;
    int event_fd;        /* readable when something has come that ssh_channel_read did not take */
    int from;            /* call ssh_channel_read when it is readable; -1: another reads */
    uint32_t credit;     /* input that may be sent */
    bool input_unwanted; /* the command reads no more of it */
    bool started, over, lost;
    bool news; /* of the thread that reads: something came, and event_fd was not told yet */
    bool told; /* event_fd was, once */
    int64_t pid;
    struct billet_guest_exit result; /* once over */
    uint8_t *rings;
    struct ssh_arrival {
        uint8_t *bytes; /* a ring of BILLET_GUEST_WINDOW, of rings */
        size_t at, size;
        bool ended;
    } arrivals[2]; /* standard output and error */
};

/* Start the guest at path over the connection of keeper: 0 with one count held, or negative class.
 */
int ssh_guest_open(const struct billet_call *call, const struct ssh_settings *settings,
                   struct ssh_keeper *keeper, const char *path, struct ssh_guest **made,
                   struct billet_error *error);
bool ssh_guest_is_alive(struct ssh_guest *guest);
/* How the guest broke the rules ("sent ...", "does not ..."), NULL: it did not. */
const char *ssh_guest_wrong(struct ssh_guest *guest);
void ssh_guest_hold(struct ssh_guest *guest);
/* The last one ends it; NULL is fine. */
void ssh_guest_drop(struct ssh_guest *guest);
/* What runs in the background stays when the guest ends. */
void ssh_guest_keep(struct ssh_guest *guest);

/* Frames to the guest, in order, without waiting: 0, or LOST without words: the guest is gone. */
int ssh_guest_send(struct ssh_guest *guest, uint16_t type, uint16_t stream, uint32_t channel,
                   const void *payload, size_t size);

/* A channel, and the EXEC that opens it; ends_input: EOF of its input goes with it. */
int ssh_channel_open(struct ssh_guest *guest, const void *payload, size_t size, bool ends_input,
                     struct ssh_channel *channel, struct billet_error *error);
/* Ends it; what still runs on it is killed there. */
void ssh_channel_close(struct ssh_channel *channel);
/* Take what has come, for every channel: without waiting, by the thread that opened this one. */
void ssh_channel_read(struct ssh_channel *channel);
void ssh_channel_lock(struct ssh_channel *channel);
void ssh_channel_unlock(struct ssh_channel *channel);

#endif
