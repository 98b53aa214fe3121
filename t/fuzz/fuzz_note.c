/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a driver's note on arbitrary bytes; entry as libFuzzer has it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "driver/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct billet_note note;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_driver_note_parse(data, size, &note, &error);
    if (result == 0)
        billet_driver_note_check(&note, "local", &error);
    else if (error.code[0] == '\0' || error.message[0] == '\0')
        abort();
    return 0;
}
