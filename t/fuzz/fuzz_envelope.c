/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes and keyring files on arbitrary bytes; entry as libFuzzer has it. The first byte
 * chooses: bytes as an envelope; bytes as changes of one that is good, at the place that they say;
 * bytes as a keyring. Nothing but what was sealed may open.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "secret/envelope.h"
#include "secret/keyring.h"

static const unsigned char key_id[BILLET_KEY_ID_BYTES] = "the id of a key";
static const unsigned char key_bytes[BILLET_KEY_BYTES] = "thirty-two bytes that are a key";
static const unsigned char other_id[BILLET_KEY_ID_BYTES] = "the id of other";
static const unsigned char other_bytes[BILLET_KEY_BYTES] = "thirty-two bytes of another key";
static const char value[] = "a value of some length";
static const struct billet_envelope_key key = {key_id, key_bytes};
static const struct billet_envelope_key other = {other_id, other_bytes};
static const struct billet_envelope_place place = {"tenant", "secret", 7};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_explain(int result, const struct billet_error *error)
{
    if (result < 0 &&
        (error->code[0] == '\0' || error->message[0] == '\0' || result != -error->error_class))
        abort();
}

/* Returns whether it opened. */
static bool
try_envelope(const unsigned char *bytes, size_t size)
{
    struct billet_error error = BILLET_ERROR_INIT;
    unsigned char id[BILLET_KEY_ID_BYTES];
    cleanup_secret struct billet_secret opened = BILLET_SECRET_INIT;
    must_explain(billet_envelope_key_id(bytes, size, id, &error), &error);
    int result = billet_envelope_open(&key, &place, bytes, size, &opened, &error);
    must_explain(result, &error);
    if (result == 0 &&
        (opened.length != sizeof(value) || memcmp(opened.bytes, value, sizeof(value)) != 0))
        abort(); /* a forgery */
    unsigned char *copy = malloc(size + 1);
    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, bytes, size);
    struct billet_error why = BILLET_ERROR_INIT;
    int rewrapped = billet_envelope_rewrap(&key, &other, &place, copy, size, &why);
    must_explain(rewrapped, &why);
    /* Another key takes over exactly what opens, and what is refused is as it was. */
    if ((rewrapped == 0) != (result == 0) ||
        (rewrapped < 0 && size > 0 && memcmp(copy, bytes, size) != 0))
        abort();
    free(copy);
    return result == 0;
}

static void
try_changed(const uint8_t *data, size_t size)
{
    static const struct billet_envelope_chosen chosen = {{1}, {2}, {3}};
    unsigned char bytes[BILLET_ENVELOPE_OVERHEAD + sizeof(value)], good[sizeof(bytes)];
    size_t length = sizeof(bytes);
    if (billet_envelope_seal(&key, &place, value, sizeof(value), &chosen, bytes, &length, NULL) <
            0 ||
        length != sizeof(bytes))
        abort();
    memcpy(good, bytes, sizeof(bytes));
    for (size_t i = 0; i + 1 < size; i += 2)
        bytes[data[i] % sizeof(bytes)] = data[i + 1];
    if (size % 2 != 0)
        length -= data[size - 1] % length;
    bool same = length == sizeof(bytes) && memcmp(bytes, good, sizeof(bytes)) == 0;
    if (try_envelope(bytes, length) != same)
        abort();
}

static void
try_keyring(const uint8_t *data, size_t size)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_keyring *ring = NULL;
    /* One that is closed with a passphrase says how much work it takes to open, by the second. */
    int result = billet_keyring_read(data, size, NULL, &ring, &error);
    must_explain(result, &error);
    for (size_t i = 0; result == 0 && i < billet_keyring_count(ring); i++)
        billet_keyring_at(ring, i);
    billet_keyring_free(ring);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        try_envelope(data + 1, size - 1);
        break;
    case 1:
        try_changed(data + 1, size - 1);
        break;
    default:
        try_keyring(data + 1, size - 1);
    }
    return 0;
}
