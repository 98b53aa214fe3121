/* SPDX-License-Identifier: Apache-2.0 */
/* A packet of arbitrary bytes through the frame decoder and every getter of messages. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "driver/frame.h"
#include "driver/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json json_t *body = NULL;
    cleanup_strings struct billet_strings memory = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings argv = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    struct billet_settings settings = BILLET_SETTINGS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_identity identity;
    struct billet_exec exec;
    struct billet_exec_result result;
    struct billet_resource resource;
    bool in_memory = false;

    if (billet_frame_decode(data, size, NULL, 0, &body, &in_memory, &error) < 0)
        return body != NULL || error.message[0] == '\0' ? abort(), 0 : 0;
    billet_message_get_error(body, &error);
    billet_message_get_identity(body, &identity, &memory);
    billet_message_get_settings(json_object_get(body, "settings"), &settings);
    billet_message_get_exec(body, &exec, &argv, &environment, &memory);
    billet_message_get_exec_result(body, &result);
    billet_message_get_resource(body, &resource, &memory);
    billet_facts_are_valid(json_object_get(body, "facts"));
    billet_settings_free(&settings);
    return 0;
}
