/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: seal and open beside the same calls of libsodium alone; a value resolved for use, with
 * the keyring at hand and its row of the audit, beside one bare commit; and a rotation that wraps
 * many anew, beside the plain updates of as many rows.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "bench.h"
#include "secret/secrets.h"

#define VALUE_SIZE 64
#define MANY 100000 /* wrapped anew when a rate is measured for a second or longer */
#define BATCH 256   /* of core/secret/rotate.c */
#define SLICES 5
#define NAME "alpha"

static const struct billet_envelope_place place = {
    .tenant = "default", .secret = "00000000-0000-7000-8000-000000000000", .version = 1};

struct world {
    const struct bench *bench;
    char path[4096]; /* of the database */
    char keyring[4096];
    struct billet_keyring *ring;
    struct billet_store *store;
    struct billet_secrets secrets;
    unsigned char value[VALUE_SIZE];
    unsigned char envelope[VALUE_SIZE + BILLET_ENVELOPE_OVERHEAD];
    size_t size;
    sqlite3 *bare;
    sqlite3_stmt *statement;
};

static void
must(int result, const struct billet_error *error)
{
    if (result < 0)
        bench_die("%s", error->message);
}

static void
must_sql(sqlite3 *db, int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        bench_die("%s", sqlite3_errmsg(db));
}

/* ---- seal and open ------------------------------------------------------------------- */

static void
seal(struct world *world)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_envelope_key key = billet_keyring_active(world->ring);
    world->size = sizeof(world->envelope);
    must(billet_envelope_seal(&key, &place, world->value, sizeof(world->value), NULL,
                              world->envelope, &world->size, &error),
         &error);
}

static void
open_it(struct world *world)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_envelope_key key = billet_keyring_active(world->ring);
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    must(billet_envelope_open(&key, &place, world->envelope, world->size, &value, &error), &error);
}

struct raw {
    unsigned char wrapped[48], sealed[VALUE_SIZE + 16], nonce[2][24], key[32], tag[32];
};
static struct raw raw;
static const unsigned char head[128] = {1};

static void
derive(const unsigned char *key, unsigned char made[2][32])
{
    crypto_kdf_derive_from_key(made[0], 32, 1, "bltwrap1", key);
    crypto_kdf_derive_from_key(made[1], 32, 2, "bltcmit1", key);
}

static void
commit_to(const unsigned char *key, unsigned char tag[32])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, 32, 32);
    crypto_generichash_update(&state, head, sizeof(head));
    crypto_generichash_update(&state, raw.wrapped, sizeof(raw.wrapped));
    crypto_generichash_update(&state, raw.sealed, sizeof(raw.sealed));
    crypto_generichash_final(&state, tag, 32);
}

/* The value alone is in guarded memory. */
static void
raw_seal(struct world *world)
{
    unsigned char made[2][32], data[32];
    derive(billet_keyring_active(world->ring).key, made);
    randombytes_buf(data, 32);
    randombytes_buf(raw.nonce, sizeof(raw.nonce));
    crypto_aead_xchacha20poly1305_ietf_encrypt(raw.wrapped, NULL, data, 32, head, sizeof(head),
                                               NULL, raw.nonce[0], made[0]);
    crypto_aead_xchacha20poly1305_ietf_encrypt(raw.sealed, NULL, world->value, VALUE_SIZE, head,
                                               sizeof(head), NULL, raw.nonce[1], data);
    commit_to(made[1], raw.tag);
    sodium_memzero(data, sizeof(data));
    sodium_memzero(made, sizeof(made));
}

static void
raw_open(struct world *world)
{
    unsigned char made[2][32], tag[32], data[32], *value = sodium_malloc(VALUE_SIZE + 1);
    derive(billet_keyring_active(world->ring).key, made);
    commit_to(made[1], tag);
    if (sodium_memcmp(tag, raw.tag, 32) != 0 ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(data, NULL, NULL, raw.wrapped,
                                                   sizeof(raw.wrapped), head, sizeof(head),
                                                   raw.nonce[0], made[0]) != 0 ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(value, NULL, NULL, raw.sealed,
                                                   sizeof(raw.sealed), head, sizeof(head),
                                                   raw.nonce[1], data) != 0)
        bench_die("libsodium does not open what it sealed");
    sodium_free(value);
    sodium_memzero(data, sizeof(data));
    sodium_memzero(made, sizeof(made));
}

/* ---- resolve ----------------------------------------------------------------------------- */

static void
resolve(struct world *world)
{
    static const struct billet_secret_use use = {
        .environment = "local", .option = "env.A", .lease = "", .purpose = "run"};
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_secret struct billet_secret value = BILLET_SECRET_INIT;
    must(billet_secrets_open(&world->secrets, NAME, 0, &use, &value, &error), &error);
}

static void
bare_commit_one(struct world *world)
{
    must_sql(world->bare, sqlite3_exec(world->bare, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    must_sql(world->bare, sqlite3_step(world->statement));
    must_sql(world->bare, sqlite3_reset(world->statement));
    must_sql(world->bare, sqlite3_exec(world->bare, "COMMIT", NULL, NULL, NULL));
}

/* ---- rates ------------------------------------------------------------------------------- */

static double
rate_of(struct world *world, void (*step)(struct world *world))
{
    long count = 0;
    double start = bench_now_ms(), end = start + world->bench->seconds * 1e3 / SLICES;
    do {
        step(world);
        count++;
    } while (bench_now_ms() < end);
    return (double)count / ((bench_now_ms() - start) / 1e3);
}

static void
tell(struct bench *bench, const char *name, double floor, double measured, double target)
{
    bench_tell_ratio(bench, name, "/s", floor, measured, BENCH_AT_LEAST, target);
}

static void
compare(struct bench *bench, struct world *world, const char *name,
        void (*floor)(struct world *world), void (*step)(struct world *world), double target)
{
    double floors[SLICES], steps[SLICES];
    floor(world);
    step(world);
    for (int i = 0; i < SLICES; i++) {
        floors[i] = rate_of(world, floor);
        steps[i] = rate_of(world, step);
    }
    tell(bench, name, bench_median(floors, SLICES), bench_median(steps, SLICES), target);
}

/* ---- rotation ---------------------------------------------------------------------------- */

/* So many secrets of one version, all in one transaction. */
static void
fill(struct world *world, sqlite3 *db, long many)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_envelope_key key = billet_keyring_active(world->ring);
    sqlite3_stmt *secret, *version;
    char id[64], name[32], text[BILLET_KEY_ID_TEXT];
    billet_key_id_format(key.id, text);
    must_sql(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    must_sql(db,
             sqlite3_prepare_v2(db, "INSERT INTO secret VALUES(?1,'default',?2,'','active',1,1,1)",
                                -1, &secret, NULL));
    must_sql(db, sqlite3_prepare_v2(
                     db, "INSERT INTO secret_version VALUES(?1,1,'active',?2,?3,'uid:0',1)", -1,
                     &version, NULL));
    for (long i = 0; i < many; i++) {
        size_t size = sizeof(world->envelope);
        snprintf(id, sizeof(id), "%08lx-0000-7000-8000-000000000001", i);
        snprintf(name, sizeof(name), "many-%ld", i);
        const struct billet_envelope_place here = {.tenant = "default", .secret = id, .version = 1};
        must(billet_envelope_seal(&key, &here, world->value, sizeof(world->value), NULL,
                                  world->envelope, &size, &error),
             &error);
        sqlite3_bind_text(secret, 1, id, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(secret, 2, name, -1, SQLITE_TRANSIENT);
        must_sql(db, sqlite3_step(secret));
        must_sql(db, sqlite3_reset(secret));
        sqlite3_bind_text(version, 1, id, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(version, 2, text, -1, SQLITE_STATIC);
        sqlite3_bind_blob(version, 3, world->envelope, (int)size, SQLITE_TRANSIENT);
        must_sql(db, sqlite3_step(version));
        must_sql(db, sqlite3_reset(version));
    }
    sqlite3_finalize(secret);
    sqlite3_finalize(version);
    must_sql(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
}

/* Read a batch, then write it, as many as there are: rows a second. */
static double
plain_updates(sqlite3 *db, long many, int round)
{
    sqlite3_stmt *read, *write;
    char key[BILLET_KEY_ID_TEXT], last[64] = "";
    static struct {
        char id[64];
        unsigned char envelope[VALUE_SIZE + BILLET_ENVELOPE_OVERHEAD];
    } rows[BATCH];
    long done = 0;
    int met = BATCH;
    snprintf(key, sizeof(key), "%032d", round);
    must_sql(db, sqlite3_prepare_v2(db,
                                    "SELECT secret,envelope FROM secret_version WHERE secret>?1 "
                                    "ORDER BY secret LIMIT 256",
                                    -1, &read, NULL));
    must_sql(db, sqlite3_prepare_v2(db,
                                    "UPDATE secret_version SET key=?2,envelope=?3 "
                                    "WHERE secret=?1 AND version=1",
                                    -1, &write, NULL));
    double start = bench_now_ms();
    while (met == BATCH) {
        met = 0;
        sqlite3_bind_text(read, 1, last, -1, SQLITE_TRANSIENT);
        while (sqlite3_step(read) == SQLITE_ROW) {
            snprintf(rows[met].id, sizeof(rows[met].id), "%s", sqlite3_column_text(read, 0));
            memcpy(rows[met].envelope, sqlite3_column_blob(read, 1), sizeof(rows[met].envelope));
            rows[met].envelope[10]++;
            met++;
        }
        must_sql(db, sqlite3_reset(read));
        must_sql(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
        for (int i = 0; i < met; i++) {
            sqlite3_bind_text(write, 1, rows[i].id, -1, SQLITE_STATIC);
            sqlite3_bind_text(write, 2, key, -1, SQLITE_STATIC);
            sqlite3_bind_blob(write, 3, rows[i].envelope, sizeof(rows[i].envelope), SQLITE_STATIC);
            must_sql(db, sqlite3_step(write));
            must_sql(db, sqlite3_reset(write));
        }
        must_sql(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        done += met;
        if (met > 0)
            memcpy(last, rows[met - 1].id, sizeof(last));
    }
    double rate = (double)done / ((bench_now_ms() - start) / 1e3);
    sqlite3_finalize(read);
    sqlite3_finalize(write);
    if (done < many)
        bench_die("the floor of row secret-rewrap met %ld rows of %ld", done, many);
    return rate;
}

static sqlite3 *
open_bare(const char *path)
{
    sqlite3 *db = NULL;
    must_sql(db, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    sqlite3_busy_timeout(db, 5000);
    must_sql(db, sqlite3_exec(db, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=200", NULL,
                              NULL, NULL));
    return db;
}

static double
rotate(struct world *world, long many)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_rotation rotation;
    double start = bench_now_ms();
    must(billet_secrets_rotate_key(&world->secrets, &rotation, &error), &error);
    double took = bench_now_ms() - start;
    if (rotation.rewrapped < many)
        bench_die("row secret-rewrap wrapped %lld of %ld anew", (long long)rotation.rewrapped,
                  many);
    return (double)rotation.rewrapped / (took / 1e3);
}

static void
compare_rotation(struct bench *bench, struct world *world)
{
    enum { ROUNDS = 3 };
    double floors[ROUNDS], rates[ROUNDS];
    char path[sizeof(world->path) + 8], name[48], *sql = NULL;
    long many = bench->seconds >= 1 ? MANY : (long)(bench->seconds * MANY / 5) + BATCH;
    snprintf(path, sizeof(path), "%s.bare", world->path);
    fill(world, world->bare, many);
    if (asprintf(&sql, "VACUUM INTO '%s'", path) < 0)
        bench_die("out of memory");
    must_sql(world->bare, sqlite3_exec(world->bare, sql, NULL, NULL, NULL));
    free(sql);
    sqlite3 *copy = open_bare(path);
    must_sql(copy, sqlite3_exec(copy, "PRAGMA journal_mode=WAL", NULL, NULL, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        floors[i] = plain_updates(copy, many, i + 1);
        rates[i] = rotate(world, many);
    }
    sqlite3_close(copy);
    snprintf(name, sizeof(name), "secret-rewrap-%ld", many);
    tell(bench, name, bench_median(floors, ROUNDS), bench_median(rates, ROUNDS), 0.4);
}

/* ---- all --------------------------------------------------------------------------------- */

static void
make_world(const struct bench *bench, struct world *world)
{
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_secret struct billet_secret file = BILLET_SECRET_INIT, value = BILLET_SECRET_INIT;
    cleanup_free char *url = NULL;
    *world = (struct world){.bench = bench};
    snprintf(world->path, sizeof(world->path), "%s/secret.db", bench->scratch);
    snprintf(world->keyring, sizeof(world->keyring), "%s/keyring", bench->scratch);
    must(billet_secret_prepare(&error), &error);
    randombytes_buf(world->value, sizeof(world->value));
    must(billet_keyring_make(&world->ring, &error), &error);
    must(billet_keyring_write(world->ring, NULL, BILLET_KEYRING_COST_DAILY, &file, &error), &error);
    must(billet_keyring_save_file(world->keyring, &file, false, &error), &error);
    if (asprintf(&url, "sqlite:%s", world->path) < 0)
        bench_die("out of memory");
    must(billet_store_open(bench->modules, url, BILLET_STORE_CREATE, &world->store, &error),
         &error);
    world->secrets = (struct billet_secrets){.store = world->store,
                                             .tenant = "default",
                                             .actor = "uid:0",
                                             .keyring_path = world->keyring};
    must(billet_secret_copy(&value, world->value, sizeof(world->value), &error), &error);
    must(billet_secrets_create(&world->secrets, NAME, "", &value, &error), &error);
    world->bare = open_bare(world->path);
    must_sql(world->bare,
             sqlite3_prepare_v2(world->bare,
                                "INSERT INTO activity(time_ns,action,tenant,environment,lease,run,"
                                "agent,issue,actor,fence,details) VALUES(1,'bench.floor','default',"
                                "'local','','','','','uid:0',1,'{}')",
                                -1, &world->statement, NULL));
}

void
bench_rows_secret(struct bench *bench)
{
    struct world world;
    make_world(bench, &world);
    compare(bench, &world, "secret-seal", raw_seal, seal, 0.7);
    compare(bench, &world, "secret-open", raw_open, open_it, 0.7);
    compare(bench, &world, "secret-resolve", bare_commit_one, resolve, 0.7);
    compare_rotation(bench, &world);
    sqlite3_finalize(world.statement);
    sqlite3_close(world.bare);
    billet_secrets_close(&world.secrets);
    billet_store_close(world.store);
    billet_keyring_free(world.ring);
}
