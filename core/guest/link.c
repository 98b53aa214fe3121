/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/link.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

static bool
make_room(struct guest_link *link, size_t size)
{
    size_t held = link->end - link->start;
    if (link->start > 0 && (held == 0 || link->capacity - link->end < size)) {
        memmove(link->bytes, link->bytes + link->start, held);
        link->start = 0;
        link->end = held;
    }
    if (link->capacity - link->end >= size)
        return true;
    size_t wanted = 2 * link->capacity > held + size ? 2 * link->capacity : held + size;
    uint8_t *grown = realloc(link->bytes, wanted);
    if (grown == NULL)
        return false;
    link->bytes = grown;
    link->capacity = wanted;
    return true;
}

static void
add(struct guest_link *link, uint16_t type, uint16_t stream, uint32_t channel, const void *payload,
    size_t size)
{
    if (link->broken)
        return;
    if (!make_room(link, BILLET_GUEST_HEADER + size)) {
        link->broken = true;
        return;
    }
    billet_guest_header(link->bytes + link->end, type, stream, channel, (uint32_t)size);
    if (size > 0)
        memcpy(link->bytes + link->end + BILLET_GUEST_HEADER, payload, size);
    link->end += BILLET_GUEST_HEADER + size;
}

void
guest_link_send(struct guest_link *link, uint16_t type, uint16_t stream, uint32_t channel,
                const void *payload, size_t size)
{
    add(link, type, stream, channel, payload, size);
    link->put_off = 0;
}

void
guest_link_send_later(struct guest_link *link, uint16_t type, uint16_t stream, uint32_t channel,
                      const void *payload, size_t size)
{
    if (guest_link_waiting(link) == 0)
        link->put_off = billet_clock_monotonic() + GUEST_PUT_OFF_NS;
    add(link, type, stream, channel, payload, size);
}

size_t
guest_link_waiting(const struct guest_link *link)
{
    return link->end - link->start;
}

void
guest_link_flush(struct guest_link *link)
{
    if (link->put_off != 0 && billet_clock_monotonic() < link->put_off)
        return;
    link->put_off = 0;
    while (!link->broken && link->start < link->end) {
        ssize_t put = write(link->to, link->bytes + link->start, link->end - link->start);
        if (put > 0)
            link->start += (size_t)put;
        else if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        else if (put < 0 && errno != EINTR)
            link->broken = true;
    }
}

void
guest_link_free(struct guest_link *link)
{
    free(link->bytes);
    link->bytes = NULL;
    link->start = link->end = link->capacity = 0;
}
