/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.h - the live secret values of this process, and how they are masked in
 * everything that it says or passes on: as they are, line by line, with CR LF, and
 * in base64 (three alignments, both alphabets), hexadecimal, URL and JSON forms.
 *
 * A value is replaced by [secret]. What holds the values is left out of core files and of
 * children. Without a live value every function returns at once. One thread.
 */
#ifndef BILLET_BASE_REDACT_H
#define BILLET_BASE_REDACT_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#define BILLET_REDACT_MIN 8 /* shorter values would mask ordinary text */

/* From now on the value is masked; newlines at its end do not count. False: it is too short, or
 * memory ran out. */
bool billet_redact_add(const void *value, size_t length);
bool billet_redact_any(void);
/* Forget and wipe all. */
void billet_redact_clear(void);

/* Mask in place; returns the new length, never larger. The beginning of a value at the end of the
 * bytes, where a message was cut, is masked too when it has BILLET_REDACT_MIN bytes. */
size_t billet_redact_bytes(char *bytes, size_t length);
void billet_redact_text(char *text);

/* A stream in pieces. What may be the beginning of a value is held back until it is known. */
struct billet_redact_stream {
    unsigned char *held; /* own memory */
    size_t held_size;
    size_t held_count;
    unsigned plain_state;
    unsigned coded_state;
    size_t coded_span; /* bytes of the stream that the coded state spans, line ends included */
    bool masking;      /* the last byte given out belonged to a mask */
};

#define BILLET_REDACT_STREAM_INIT \
    {                             \
        0                         \
    }

/* Room that to needs for length more bytes: what is held may come out too. */
size_t billet_redact_stream_room(const struct billet_redact_stream *stream, size_t length);
/* Returns how many bytes were put at to; false in *good: memory ran out, nothing was put. */
size_t billet_redact_stream_feed(struct billet_redact_stream *stream, const char *bytes,
                                 size_t length, char *to, bool *good);
/* Nothing has come for a while: what is held comes out when it is so short that it gives nothing
 * away. A value that goes on later is masked from there. */
size_t billet_redact_stream_idle(struct billet_redact_stream *stream, char *to);
/* The end: what is held comes out. */
size_t billet_redact_stream_end(struct billet_redact_stream *stream, char *to);
void billet_redact_stream_free(struct billet_redact_stream *stream);

#endif
