/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - the guest's end of the stream to its client: frames that wait to be written, bounded.
 *
 * Owns the queue, not the descriptors.
 */
#ifndef CORE_GUEST_LINK_H
#define CORE_GUEST_LINK_H

#include <billet/guest.h>
#include <stdbool.h>

/* Output of commands is read while no more than this waits; answers may go beyond it. */
#define GUEST_QUEUE_HIGH (512u * 1024)
#define GUEST_PUT_OFF_NS (INT64_C(1000000))

struct guest_link {
    int to;
    uint8_t *bytes;
    size_t start, end, capacity;
    int64_t put_off; /* what waits may wait until then; 0: it should be written */
    bool broken;     /* nobody reads, or no memory */
};

void guest_link_send(struct guest_link *link, uint16_t type, uint16_t stream, uint32_t channel,
                     const void *payload, size_t size);
/* A frame that nobody waits for: it goes with the next that somebody does, at the latest
 * GUEST_PUT_OFF_NS later. A short command takes one packet so, in place of one for its start, its
 * streams and its end, each of which wakes four processes up to the one who asked. */
void guest_link_send_later(struct guest_link *link, uint16_t type, uint16_t stream,
                           uint32_t channel, const void *payload, size_t size);
size_t guest_link_waiting(const struct guest_link *link);
/* What can be written now, unless all of it is put off. */
void guest_link_flush(struct guest_link *link);
void guest_link_free(struct guest_link *link);

#endif
