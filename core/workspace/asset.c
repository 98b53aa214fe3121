/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/asset.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define ID_BYTES ((BILLET_ASSET_ID_SIZE - 1) / 2)

static void
add(crypto_generichash_state *state, const void *bytes, size_t length)
{
    crypto_generichash_update(state, bytes, length);
}

static void
add_entry(crypto_generichash_state *state, const struct billet_entry *entry)
{
    const unsigned char kind[2] = {entry->type,
                                   entry->type == BILLET_ENTRY_FILE && (entry->mode & 0100) != 0};
    add(state, kind, sizeof(kind));
    add(state, entry->path, entry->path_length + 1u);
    if (entry->type == BILLET_ENTRY_FILE)
        add(state, entry->hash, sizeof(entry->hash));
    if (entry->type == BILLET_ENTRY_LINK)
        add(state, entry->target, entry->target_length + 1u);
}

void
billet_asset_id(const struct billet_manifest *manifest, char id[BILLET_ASSET_ID_SIZE])
{
    static const char version[] = "billet asset 1";
    crypto_generichash_state state;
    unsigned char sum[ID_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof(sum));
    add(&state, version, sizeof(version));
    for (size_t i = 0; i < manifest->count; i++)
        if (manifest->entries[i].type != BILLET_ENTRY_OTHER)
            add_entry(&state, &manifest->entries[i]);
    crypto_generichash_final(&state, sum, sizeof(sum));
    for (size_t i = 0; i < sizeof(sum); i++)
        snprintf(id + 2 * i, 3, "%02x", sum[i]);
}

bool
billet_asset_id_is_valid(const char *id)
{
    return strlen(id) == BILLET_ASSET_ID_SIZE - 1 &&
           strspn(id, "0123456789abcdef") == BILLET_ASSET_ID_SIZE - 1;
}
