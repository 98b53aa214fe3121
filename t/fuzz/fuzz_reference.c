/* SPDX-License-Identifier: Apache-2.0 */
/* References to secrets on arbitrary text; entry as libFuzzer has it. What is refused may be the
 * secret itself, and must not be in the message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/reference.h"

#define TELLING 12 /* shorter text may be in a message by chance */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct billet_error error = BILLET_ERROR_INIT, again = BILLET_ERROR_INIT;
    struct billet_reference reference = {0};
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    int checked = billet_secret_check_reference("opt", text, &again);
    int result = billet_reference_parse("opt", text, &reference, &error);
    if (result != checked || (result == 0 && !billet_secret_is_reference(text)))
        abort();
    if (result < 0) {
        if (error.code[0] == '\0' || error.message[0] == '\0' || result != -error.error_class)
            abort();
        if (strlen(text) >= TELLING &&
            (strstr(error.message, text) != NULL || strstr(error.hint, text) != NULL))
            abort();
    } else {
        const char *end = text + strlen(text);
        bool inside = reference.target >= text && reference.target <= end;
        if (reference.kind < BILLET_REFERENCE_SECRET || reference.kind > BILLET_REFERENCE_VAULT ||
            memchr(reference.name, '\0', sizeof(reference.name)) == NULL || reference.version < 0 ||
            (!inside && reference.target[0] != '\0') ||
            (reference.version > 0 && reference.kind != BILLET_REFERENCE_SECRET) ||
            (reference.name[0] == '\0' && reference.target[0] == '\0'))
            abort();
    }
    free(text);
    return 0;
}
