/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - one JSON object a packet over a SOCK_SEQPACKET socket, with
 * descriptors beside it; used by both ends and safe against either.
 *
 * A packet is a header of 8 bytes (magic "BL", version 1, flags, length in the byte order of the
 * machine) and the text. A text over BILLET_FRAME_INLINE travels in a sealed memfd, the first
 * descriptor. Owns no protocol: what the objects mean is message.h's.
 */
#ifndef BILLET_DRIVER_FRAME_H
#define BILLET_DRIVER_FRAME_H

#include <stdbool.h>

#include "base/json.h"

#define BILLET_FRAME_INLINE (64u * 1024)
#define BILLET_FRAME_MAX (16u * 1024 * 1024)
#define BILLET_FRAME_FDS 8

struct billet_frame {
    json_t *body; /* an object; NULL at the end of the stream */
    int fds[BILLET_FRAME_FDS];
    size_t fd_count;
};

#define BILLET_FRAME_INIT \
    {                     \
        0                 \
    }

/* Send before the deadline (CLOCK_MONOTONIC; 0: wait for ever, -1: not at all). Descriptors stay
 * the caller's. Class LOST when the peer is gone, TIMEOUT, CAPACITY (too large). No SIGPIPE. */
int billet_frame_send(int socket, const json_t *body, const int *fds, size_t fd_count,
                      int64_t deadline_ns, struct billet_error *error);

/* Receive one; deadline -1: only what is there already (class TIMEOUT when nothing is). An end of
 * the stream gives 0 and a NULL body. Anything that breaks the form is class DRIVER with its
 * descriptors closed. */
int billet_frame_receive(int socket, struct billet_frame *frame, int64_t deadline_ns,
                         struct billet_error *error);

/* Decode a packet whose descriptors have been taken out already; for receive and fuzzing. */
int billet_frame_decode(const unsigned char *packet, size_t length, const int *fds, size_t fd_count,
                        json_t **body, bool *in_memory, struct billet_error *error);

/* Close descriptors that were not taken (-1), drop the body. */
void billet_frame_free(struct billet_frame *frame);
#define cleanup_frame __attribute__((cleanup(billet_frame_free)))

/* A sealed memfd with the bytes, or negative class. */
int billet_frame_sealed(const void *bytes, size_t length, int *fd, struct billet_error *error);
/* The bytes of a sealed memfd of exactly this length (free); class DRIVER when it is not one. */
int billet_frame_unseal(int fd, size_t length, size_t limit, char **bytes,
                        struct billet_error *error);
/* The same into length bytes of the caller's, which were bounded before. */
int billet_frame_unseal_to(int fd, size_t length, char *bytes, struct billet_error *error);

#endif
