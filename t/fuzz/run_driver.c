/* SPDX-License-Identifier: Apache-2.0 */
/* For compilers without libFuzzer: the files named on the command line, and for each a few thousand
 * versions with bytes changed at places a fixed seed picks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"

#define ROUNDS 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
    unsigned seed = 1;
    for (int i = 1; i < argc; i++) {
        cleanup_buffer struct billet_buffer file = BILLET_BUFFER_INIT;
        struct billet_error error = BILLET_ERROR_INIT;
        if (billet_io_read_file(argv[i], &file, 64 << 20, &error) < 0) {
            fprintf(stderr, "%s\n", error.message);
            return 1;
        }
        uint8_t *bytes = (uint8_t *)file.data;
        LLVMFuzzerTestOneInput(bytes, file.length);
        for (int round = 0; file.length > 0 && round < ROUNDS; round++) {
            size_t at[4];
            uint8_t saved[4];
            for (int k = 0; k < 4; k++) {
                size_t room = k < 2 && file.length > 1024 ? 1024 : file.length;
                at[k] = (size_t)rand_r(&seed) % room;
                saved[k] = bytes[at[k]];
                bytes[at[k]] = (uint8_t)rand_r(&seed);
            }
            LLVMFuzzerTestOneInput(bytes, file.length - (size_t)rand_r(&seed) % 4 % file.length);
            for (int k = 3; k >= 0; k--)
                bytes[at[k]] = saved[k];
        }
    }
    return 0;
}
