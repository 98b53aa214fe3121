/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/bytes.h"

void
billet_bytes_put_number(struct billet_buffer *to, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)(value & 0x7f);
        value >>= 7;
        billet_buffer_add_char(to, (char)(value != 0 ? byte | 0x80 : byte));
    } while (value != 0);
}

void
billet_bytes_put_signed(struct billet_buffer *to, int64_t value)
{
    billet_bytes_put_number(to, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

uint8_t
billet_bytes_get_byte(struct billet_bytes *from)
{
    if (from->bad || from->at == from->end) {
        from->bad = true;
        return 0;
    }
    return *from->at++;
}

uint64_t
billet_bytes_get_number(struct billet_bytes *from)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = billet_bytes_get_byte(from);
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    from->bad = true;
    return 0;
}

int64_t
billet_bytes_get_signed(struct billet_bytes *from)
{
    uint64_t value = billet_bytes_get_number(from);
    return (int64_t)((value >> 1) ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

const unsigned char *
billet_bytes_get_bytes(struct billet_bytes *from, uint64_t length)
{
    if (from->bad || length > (uint64_t)(from->end - from->at)) {
        from->bad = true;
        return NULL;
    }
    const unsigned char *bytes = from->at;
    from->at += length;
    return bytes;
}
