/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/audit.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "secret/secrets.h"

static void
add_bytes(crypto_generichash_state *state, const void *bytes, size_t length)
{
    unsigned char size[4];
    for (int i = 0; i < 4; i++)
        size[i] = (unsigned char)(length >> (8 * i));
    crypto_generichash_update(state, size, sizeof(size));
    crypto_generichash_update(state, bytes, length);
}

static void
add_number(crypto_generichash_state *state, int64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)number >> (8 * i));
    add_bytes(state, bytes, sizeof(bytes));
}

void
billet_audit_hash_row(const struct billet_audit_row *row, const char *previous, char hash[65])
{
    const char *const texts[] = {row->tenant,      row->name,    row->secret,
                                 row->environment, row->option,  row->lease,
                                 row->actor,       row->purpose, row->outcome};
    crypto_generichash_state state;
    unsigned char digest[32];
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    add_bytes(&state, "billet-audit-1", 14);
    add_bytes(&state, previous, strlen(previous));
    add_number(&state, row->sequence);
    add_number(&state, row->time_ns);
    add_number(&state, row->version);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = texts[i] != NULL ? texts[i] : "";
        add_bytes(&state, text, strlen(text));
    }
    crypto_generichash_final(&state, digest, sizeof(digest));
    sodium_bin2hex(hash, 65, digest, sizeof(digest));
}

struct walk {
    struct billet_audit_result *result;
    char previous[65];
};

static void
break_at(struct billet_audit_result *result, int64_t sequence, const char *why)
{
    result->broken = sequence;
    billet_text_copy(result->why, sizeof(result->why), why);
}

static int
visit(const struct billet_audit_row *row, void *context)
{
    struct walk *walk = context;
    struct billet_audit_result *result = walk->result;
    char expected[65];
    if (row->sequence != result->rows + 1) {
        break_at(result, result->rows + 1, "the row is missing");
        return 1;
    }
    billet_audit_hash_row(row, walk->previous, expected);
    if (strcmp(expected, row->hash) != 0) {
        break_at(result, row->sequence, "the row is not what was written");
        return 1;
    }
    result->rows++;
    billet_text_copy(walk->previous, sizeof(walk->previous), row->hash);
    return 0;
}

int
billet_audit_verify(struct billet_store *store, struct billet_audit_result *result,
                    struct billet_error *error)
{
    struct billet_audit_result found = {0};
    struct walk walk = {.result = &found};
    const struct billet_secret_table *table = NULL;
    int outcome = billet_secrets_table(store, &table, error);
    if (outcome == 0)
        outcome = billet_secret_prepare(error);
    if (outcome == 0 && table->audit_whole != NULL)
        outcome = table->audit_whole(store, error);
    /* The head first: rows that come meanwhile only lengthen the chain. */
    if (outcome == 0)
        outcome = table->audit_head(store, &found.head, found.head_hash, error);
    if (outcome == 0)
        outcome = table->audit_list(store, 0, found.head, visit, &walk, error);
    if (outcome < 0)
        return outcome;
    if (found.broken == 0 && found.rows < found.head)
        break_at(&found, found.rows + 1, "the row is missing");
    else if (found.broken == 0 && strcmp(walk.previous, found.head_hash) != 0)
        break_at(&found, found.head, "the head names another hash");
    *result = found;
    return 0;
}
