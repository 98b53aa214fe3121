/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of arbitrary bytes, in pieces, through the decoder of guest frames and every reader of
 * payloads, as both sides use them. */
#include <billet/guest.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(const struct billet_guest_frame *frame)
{
    struct billet_guest_exec exec;
    struct billet_guest_exit end;
    if ((int64_t)frame->size > billet_guest_longest(frame->type) ||
        frame->stream >= BILLET_GUEST_STREAMS)
        abort();
    if (frame->type == BILLET_GUEST_EXEC && billet_guest_exec_read(frame, &exec) == 0) {
        /* All that it promises is there. */
        const char *at = exec.strings;
        const char *limit = (const char *)frame->payload + frame->size;
        for (uint32_t i = 0; i < 2 + exec.argc + exec.envc; i++) {
            if (at >= limit)
                abort();
            at += strlen(at) + 1;
        }
        if (at != limit)
            abort();
    }
    if (frame->type == BILLET_GUEST_EXIT)
        billet_guest_exit_read(frame, &end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct billet_guest_decoder decoder = {0};
    struct billet_guest_frame frame;
    size_t piece = size > 0 ? 1 + data[size - 1] * (size_t)7 : 1, taken = 0;
    int result = 0;
    while (result >= 0) {
        while ((result = billet_guest_decode(&decoder, &frame)) > 0)
            look(&frame);
        size_t room, part = size < piece ? size : piece;
        uint8_t *to = result == 0 && part > 0 ? billet_guest_decoder_room(&decoder, &room) : NULL;
        if (to == NULL)
            break;
        if (room == 0)
            abort();
        part = part < room ? part : room;
        memcpy(to, data, part);
        decoder.end += part;
        data += part;
        size -= part;
        taken += part;
        /* It holds what has come and room for one frame, not what a header claims. */
        if (decoder.capacity > taken + (4u << 20) + (128u << 10))
            abort();
    }
    billet_guest_decoder_free(&decoder);
    return 0;
}
