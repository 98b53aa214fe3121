/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - what billet-guest serve and its client say to each other over one stream each way.
 *
 * The guest begins: the line BILLET_GUEST_MAGIC NONCE (what a login shell wrote before it is
 * skipped, at most BILLET_GUEST_NOISE_MAX bytes), then frames. A frame is a header of 12 bytes,
 * little endian, and its payload:
 *     uint32 size of the payload, uint16 type, uint16 stream, uint32 channel
 * Channel 0 is the connection. The client opens a channel with a number it has not used; the guest
 * ends it with EXIT. A sender of DATA may have BILLET_GUEST_WINDOW bytes of a stream on the way,
 * and more once the receiver gives CREDIT, so that a stream nobody reads holds up no other.
 * Anything else than what is said here ends the connection. Owns no descriptor and no memory of
 * others.
 */
#ifndef BILLET_GUEST_H
#define BILLET_GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BILLET_GUEST_VERSION 1 /* the highest that this side speaks, and the lowest */
#define BILLET_GUEST_VERSION_LOWEST 1
#define BILLET_GUEST_MAGIC "billet-guest hello "
#define BILLET_GUEST_NONCE 32 /* characters of [0-9a-f] */
#define BILLET_GUEST_NOISE_MAX (256u * 1024)
#define BILLET_GUEST_HEADER 12u
#define BILLET_GUEST_WINDOW (256u * 1024)
#define BILLET_GUEST_CHANNELS 256u /* open at once */

/* Types; the numbers between are for channels of other kinds. */
#define BILLET_GUEST_HELLO                                                                            \
    1                           /* guest first: uint32 lowest, highest, uint64 capabilities, then     \
                                   version and architecture, each with a NUL. Client: uint32 version, \
                                   uint32 seconds of silence after which the guest ends, 0: never */
#define BILLET_GUEST_PING 2     /* client; answered with PONG */
#define BILLET_GUEST_PONG 3     /* guest */
#define BILLET_GUEST_KEEP 4     /* client: what runs when the connection ends stays */
#define BILLET_GUEST_EXEC 16    /* client, opens a channel: struct billet_guest_exec */
#define BILLET_GUEST_STARTED 17 /* guest: uint64 pid; the command itself is executed */
#define BILLET_GUEST_EXIT 18    /* guest, ends the channel: struct billet_guest_exit */
#define BILLET_GUEST_SIGNAL 19  /* client: uint32 number, uint16 rows, uint16 columns */
#define BILLET_GUEST_CANCEL 20  /* client: SIGTERM, and after the command's kill_after the kill */
#define BILLET_GUEST_CLOSE 21   /* client, ends the channel: the kill at once, no EXIT comes */
#define BILLET_GUEST_DATA 24    /* both: bytes of the stream */
#define BILLET_GUEST_EOF 25 /* both: no more of it; of 1 and 2 from the client: nobody reads it */
#define BILLET_GUEST_CREDIT 26 /* both: uint32 bytes of the stream that were taken */

#define BILLET_GUEST_CAN_EXEC 0x1u
#define BILLET_GUEST_CAN_PTY 0x2u

#define BILLET_GUEST_STREAMS 3 /* 0 to the command, 1 and 2 from it; with a terminal 0 and 1 */

/* Flags of a command. */
#define BILLET_GUEST_PTY 0x1u
#define BILLET_GUEST_NO_INPUT 0x2u /* stream 0 has ended before it begins; not with a terminal */

struct billet_guest_frame {
    uint32_t size;
    uint16_t type;
    uint16_t stream;
    uint32_t channel;
    const uint8_t *payload;
};

/* Payload: 32 bytes as below, then strings, each with its NUL: the directory, the value of
 * BILLET_EXEC_ID that finds the command's processes, argc arguments, envc NAME=VALUE that are added
 * to the guest's own environment. */
struct billet_guest_exec {
    uint32_t flags; /* BILLET_GUEST_PTY or BILLET_GUEST_NO_INPUT */
    uint16_t rows;
    uint16_t columns;
    int64_t timeout_ns; /* from the start; 0: none */
    int64_t kill_after_ns;
    uint32_t argc; /* at least 1 */
    uint32_t envc;
    const char *strings; /* the first of them */
};
#define BILLET_GUEST_EXEC_FIXED 32u

/* 24 bytes. Outcomes as BILLET_OUTCOME_*, and: */
#define BILLET_GUEST_OUTCOME_DIRECTORY 64 /* the directory cannot be entered; errno in value */
#define BILLET_GUEST_OUTCOME_FAILED 65    /* no process could be made; errno in value */
struct billet_guest_exit {
    int32_t outcome;
    int32_t value;
    uint64_t max_rss_bytes;
    int64_t cpu_ns;
};
#define BILLET_GUEST_EXIT_SIZE 24u

/* ---- integers ---------------------------------------------------------------------------- */

static inline void
billet_guest_put(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t
billet_guest_get(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* ---- frames -------------------------------------------------------------------------------- */

/* The longest payload of a type, or -1: there is no such type. */
static inline int64_t
billet_guest_longest(uint16_t type)
{
    switch (type) {
    case BILLET_GUEST_HELLO:
        return 512;
    case BILLET_GUEST_EXEC:
        return 4 << 20;
    case BILLET_GUEST_DATA:
        return 64 << 10;
    case BILLET_GUEST_EXIT:
        return BILLET_GUEST_EXIT_SIZE;
    case BILLET_GUEST_STARTED:
    case BILLET_GUEST_SIGNAL:
        return 8;
    case BILLET_GUEST_CREDIT:
        return 4;
    case BILLET_GUEST_PING:
    case BILLET_GUEST_PONG:
    case BILLET_GUEST_KEEP:
    case BILLET_GUEST_CANCEL:
    case BILLET_GUEST_CLOSE:
    case BILLET_GUEST_EOF:
        return 0;
    default:
        return -1;
    }
}

static inline void
billet_guest_header(uint8_t to[BILLET_GUEST_HEADER], uint16_t type, uint16_t stream,
                    uint32_t channel, uint32_t size)
{
    billet_guest_put(to, size, 4);
    billet_guest_put(to + 4, type, 2);
    billet_guest_put(to + 6, stream, 2);
    billet_guest_put(to + 8, channel, 4);
}

/* Bytes as they come; zeroed to begin with, freed by billet_guest_decoder_free. */
struct billet_guest_decoder {
    uint8_t *bytes;
    size_t start, end, capacity;
};

static inline void
billet_guest_decoder_free(struct billet_guest_decoder *decoder)
{
    free(decoder->bytes);
    memset(decoder, 0, sizeof(*decoder));
}

/* Where the next bytes are to be read to, and how many fit (at least one); NULL: no memory.
 * Pointers of frames end here. */
static inline uint8_t *
billet_guest_decoder_room(struct billet_guest_decoder *decoder, size_t *room)
{
    size_t held = decoder->end - decoder->start;
    size_t want = BILLET_GUEST_HEADER + (64u << 10);
    if (held >= BILLET_GUEST_HEADER) {
        size_t size = (size_t)billet_guest_get(decoder->bytes + decoder->start, 4);
        /* A wrong size is refused by billet_guest_decode before it gets here. */
        if (size <= 4u << 20 && BILLET_GUEST_HEADER + size > want)
            want = BILLET_GUEST_HEADER + size;
    }
    if (decoder->start > 0 && held > 0)
        memmove(decoder->bytes, decoder->bytes + decoder->start, held);
    decoder->start = 0;
    decoder->end = held;
    if (want <= held)
        want = held + 1;
    if (want > decoder->capacity || decoder->capacity > 4 * want) {
        uint8_t *grown = (uint8_t *)realloc(decoder->bytes, want);
        if (grown == NULL)
            return NULL;
        decoder->bytes = grown;
        decoder->capacity = want;
    }
    *room = decoder->capacity - held;
    return decoder->bytes + held;
}

/* Take one frame: 1, 0 when more bytes are needed, -1 when what came is no frame. The payload lives
 * until the next room. */
static inline int
billet_guest_decode(struct billet_guest_decoder *decoder, struct billet_guest_frame *frame)
{
    size_t held = decoder->end - decoder->start;
    if (held < BILLET_GUEST_HEADER)
        return 0;
    const uint8_t *from = decoder->bytes + decoder->start;
    frame->size = (uint32_t)billet_guest_get(from, 4);
    frame->type = (uint16_t)billet_guest_get(from + 4, 2);
    frame->stream = (uint16_t)billet_guest_get(from + 6, 2);
    frame->channel = (uint32_t)billet_guest_get(from + 8, 4);
    if ((int64_t)frame->size > billet_guest_longest(frame->type) ||
        frame->stream >= BILLET_GUEST_STREAMS ||
        (frame->channel == 0) != (frame->type < BILLET_GUEST_EXEC))
        return -1;
    if (held - BILLET_GUEST_HEADER < frame->size)
        return 0;
    frame->payload = from + BILLET_GUEST_HEADER;
    decoder->start += BILLET_GUEST_HEADER + frame->size;
    return 1;
}

/* ---- payloads ------------------------------------------------------------------------------- */

/* 0, or -1: not what it should be. */
static inline int
billet_guest_exec_read(const struct billet_guest_frame *frame, struct billet_guest_exec *exec)
{
    const uint8_t *at = frame->payload;
    if (frame->size < BILLET_GUEST_EXEC_FIXED + 2 || at[frame->size - 1] != '\0')
        return -1;
    exec->flags = (uint32_t)billet_guest_get(at, 4);
    exec->rows = (uint16_t)billet_guest_get(at + 4, 2);
    exec->columns = (uint16_t)billet_guest_get(at + 6, 2);
    exec->timeout_ns = (int64_t)billet_guest_get(at + 8, 8);
    exec->kill_after_ns = (int64_t)billet_guest_get(at + 16, 8);
    exec->argc = (uint32_t)billet_guest_get(at + 24, 4);
    exec->envc = (uint32_t)billet_guest_get(at + 28, 4);
    exec->strings = (const char *)(at + BILLET_GUEST_EXEC_FIXED);
    if (exec->flags > BILLET_GUEST_NO_INPUT || exec->timeout_ns < 0 || exec->kill_after_ns < 0 ||
        exec->argc == 0 || exec->argc > frame->size || exec->envc > frame->size)
        return -1;
    uint32_t left = 2 + exec->argc + exec->envc;
    const char *end = (const char *)(at + frame->size);
    for (const char *string = exec->strings; string < end; string += strlen(string) + 1) {
        if (left == 0 || (left <= exec->envc && (string[0] == '=' || strchr(string, '=') == NULL)))
            return -1;
        left--;
    }
    return left == 0 ? 0 : -1;
}

static inline void
billet_guest_exec_write(uint8_t to[BILLET_GUEST_EXEC_FIXED], const struct billet_guest_exec *exec)
{
    billet_guest_put(to, exec->flags, 4);
    billet_guest_put(to + 4, exec->rows, 2);
    billet_guest_put(to + 6, exec->columns, 2);
    billet_guest_put(to + 8, (uint64_t)exec->timeout_ns, 8);
    billet_guest_put(to + 16, (uint64_t)exec->kill_after_ns, 8);
    billet_guest_put(to + 24, exec->argc, 4);
    billet_guest_put(to + 28, exec->envc, 4);
}

static inline int
billet_guest_exit_read(const struct billet_guest_frame *frame, struct billet_guest_exit *result)
{
    if (frame->size != BILLET_GUEST_EXIT_SIZE)
        return -1;
    result->outcome = (int32_t)billet_guest_get(frame->payload, 4);
    result->value = (int32_t)billet_guest_get(frame->payload + 4, 4);
    result->max_rss_bytes = billet_guest_get(frame->payload + 8, 8);
    result->cpu_ns = (int64_t)billet_guest_get(frame->payload + 16, 8);
    return 0;
}

static inline void
billet_guest_exit_write(uint8_t to[BILLET_GUEST_EXIT_SIZE], const struct billet_guest_exit *result)
{
    billet_guest_put(to, (uint32_t)result->outcome, 4);
    billet_guest_put(to + 4, (uint32_t)result->value, 4);
    billet_guest_put(to + 8, result->max_rss_bytes, 8);
    billet_guest_put(to + 16, (uint64_t)result->cpu_ns, 8);
}

#ifdef __cplusplus
}
#endif

#endif
