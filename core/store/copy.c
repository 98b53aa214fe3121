/* SPDX-License-Identifier: Apache-2.0 */
#include "store/copy.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "base/error.h"

#define HASH_BYTES 32

/* The sum of the rows' hashes: engines give them in orders of their own. */
struct tally {
    int64_t rows;
    unsigned char sum[HASH_BYTES];
    struct billet_store *to; /* NULL: only counted */
};

static void
add_bytes(crypto_generichash_state *state, const void *bytes, size_t length)
{
    uint64_t size = length;
    crypto_generichash_update(state, (const unsigned char *)&size, sizeof(size));
    crypto_generichash_update(state, bytes, length);
}

static int
by_name(const struct billet_row *row, size_t a, size_t b)
{
    return strcmp(row->names[a], row->names[b]);
}

/* Columns in the order of their names: a migration may add them in another order elsewhere. */
static void
sort_columns(const struct billet_row *row, size_t order[BILLET_ROW_COLUMNS_MAX])
{
    for (size_t i = 0; i < row->count; i++) {
        size_t at = i;
        for (; at > 0 && by_name(row, order[at - 1], i) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void
tally_row(struct tally *tally, const struct billet_row *row)
{
    size_t order[BILLET_ROW_COLUMNS_MAX];
    unsigned char hash[HASH_BYTES];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    add_bytes(&state, row->table, strlen(row->table));
    sort_columns(row, order);
    for (size_t i = 0; i < row->count; i++) {
        const struct billet_row_value *value = &row->values[order[i]];
        unsigned char kind = (unsigned char)value->kind;
        add_bytes(&state, row->names[order[i]], strlen(row->names[order[i]]));
        crypto_generichash_update(&state, &kind, 1);
        if (value->kind == BILLET_ROW_INTEGER)
            add_bytes(&state, &value->integer, sizeof(value->integer));
        else if (value->kind != BILLET_ROW_NULL)
            add_bytes(&state, value->bytes, value->length);
    }
    crypto_generichash_final(&state, hash, sizeof(hash));
    sodium_add(tally->sum, hash, sizeof(hash));
    tally->rows++;
}

static int
visit_row(const struct billet_row *row, void *context, struct billet_error *error)
{
    struct tally *tally = context;
    if (row->count > BILLET_ROW_COLUMNS_MAX)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed",
                                "table %s has too many columns", row->table);
    tally_row(tally, row);
    return tally->to != NULL ? billet_store_of(tally->to)->load_row(tally->to, row, error) : 0;
}

static void
tell(const struct tally *tally, struct billet_copy_count *count)
{
    count->rows = tally->rows;
    sodium_bin2hex(count->hash, sizeof(count->hash), tally->sum, sizeof(tally->sum));
}

int
billet_store_count(struct billet_store *store, struct billet_copy_count *count,
                   struct billet_error *error)
{
    struct tally tally = {0};
    int result = billet_store_of(store)->dump(store, visit_row, &tally, error);
    if (result == 0)
        tell(&tally, count);
    return result;
}

int
billet_store_copy(struct billet_store *from, struct billet_store *to,
                  struct billet_copy_count *count, struct billet_error *error)
{
    struct tally tally = {.to = to};
    struct billet_copy_count there;
    int result = billet_store_of(to)->load_begin(to, error);
    if (result < 0)
        return result;
    result = billet_store_of(from)->dump(from, visit_row, &tally, error);
    result = billet_store_of(to)->load_end(to, result, error);
    if (result < 0)
        return result;
    tell(&tally, count);
    result = billet_store_count(to, &there, error);
    if (result == 0 && (there.rows != count->rows || strcmp(there.hash, count->hash) != 0)) {
        billet_error_set(error, BILLET_CLASS_INTERNAL, "store_differs",
                         "the copy has %" PRId64 " rows of hash %.16s, the source %" PRId64
                         " of hash %.16s",
                         there.rows, there.hash, count->rows, count->hash);
        return billet_error_hint(error, "let nothing write to the copy before it is done; empty it "
                                        "and copy again");
    }
    return result;
}
