/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes.h - numbers and runs of bytes as the files of this directory write them:
 * LEB128 in its shortest form, signed ones zigzag. Reading never passes the end.
 */
#ifndef BILLET_WORKSPACE_BYTES_H
#define BILLET_WORKSPACE_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

void billet_bytes_put_number(struct billet_buffer *to, uint64_t value);
void billet_bytes_put_signed(struct billet_buffer *to, int64_t value);

struct billet_bytes {
    const unsigned char *at;
    const unsigned char *end;
    bool bad; /* ran out, or a number in another than its shortest form */
};

uint8_t billet_bytes_get_byte(struct billet_bytes *from);
uint64_t billet_bytes_get_number(struct billet_bytes *from);
int64_t billet_bytes_get_signed(struct billet_bytes *from);
/* NULL when there are fewer. */
const unsigned char *billet_bytes_get_bytes(struct billet_bytes *from, uint64_t length);

#endif
