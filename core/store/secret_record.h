/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret_record.h - what a store keeps of secrets: rows, and the functions on them.
 * Envelopes pass through sealed; no value and no key ever does.
 */
#ifndef BILLET_STORE_SECRET_RECORD_H
#define BILLET_STORE_SECRET_RECORD_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/record.h"

struct billet_store;

#define BILLET_SECRET_ACTIVE "active"
#define BILLET_SECRET_DISABLED "disabled"
#define BILLET_SECRET_DELETED "deleted"     /* of a secret */
#define BILLET_SECRET_DESTROYED "destroyed" /* of a version */

struct billet_secret_record {
    char id[40]; /* UUIDv7 */
    char tenant[68];
    char name[68];
    char description[1028];
    char state[16];
    int64_t current;    /* version */
    int64_t created_ns; /* store's clock, as all times here */
    int64_t updated_ns;
};

struct billet_secret_version {
    char secret[40];
    char tenant[68]; /* of the secret; read only */
    char name[68];   /* of the secret; read only */
    int64_t version;
    char state[16];
    char key[36]; /* id of the key that wraps it, 32 hexadecimal digits */
    char created_by[132];
    int64_t created_ns;
    const unsigned char *envelope; /* the store's during a visit */
    size_t size;
};

/* A reference to the secret of that name resolves in this option of this environment. */
struct billet_secret_binding {
    const char *tenant;
    const char *environment;
    const char *option;
    const char *name;
    const char *created_by;
    int64_t created_ns;
};

struct billet_audit_row {
    int64_t sequence; /* 1, 2, 3 ...; given by the store, as the time */
    int64_t time_ns;
    const char *tenant;
    const char *name;   /* of the secret, or the reference without one */
    const char *secret; /* id, or "" */
    int64_t version;    /* 0: none */
    const char *environment;
    const char *option;
    const char *lease;
    const char *actor;
    const char *purpose; /* "run", "probe", "reveal", "verify" ... */
    const char *outcome; /* "allowed", or the code of the refusal */
    const char *hash;    /* 64 hexadecimal digits */
};

/* The hash of a row that has its sequence and time, behind the row with the hash previous. */
typedef void billet_audit_hash(const struct billet_audit_row *row, const char *previous,
                               char hash[65]);

/* Visitors as in store.h. */
typedef int billet_secret_visit(const struct billet_secret_record *record, void *context);
typedef int billet_secret_version_visit(const struct billet_secret_version *version, void *context);
typedef int billet_secret_binding_visit(const struct billet_secret_binding *binding, void *context);
typedef int billet_audit_visit(const struct billet_audit_row *row, void *context);

/* Which versions: those with an envelope, in order of (secret, version), behind the given one. */
struct billet_secret_version_filter {
    const char *tenant; /* NULL: every tenant */
    const char *secret; /* id; NULL: any; then destroyed ones are listed as well */
    const char *key;    /* NULL: any */
    const char *not_key;
    const char *after_secret; /* NULL: from the first */
    int64_t after_version;
    int64_t limit; /* 0: all */
};

struct billet_secret_rewrap {
    char secret[40];
    int64_t version;
    char old_key[36]; /* still there, else nothing is changed */
    char new_key[36];
    const unsigned char *envelope;
    size_t size;
};

struct billet_secret_table {
    /* A new secret with its first version (version.version 1). code secret_exists. */
    int (*insert)(struct billet_store *store, const struct billet_secret_record *record,
                  const struct billet_secret_version *version,
                  const struct billet_activity *activity, struct billet_error *error);
    /* The live one of that name, else the one deleted last; code secret_not_found. */
    int (*get)(struct billet_store *store, const char *tenant, const char *name,
               struct billet_secret_record *record, struct billet_error *error);
    /* Those that are not deleted, by tenant and name; tenant NULL: all. */
    int (*list)(struct billet_store *store, const char *tenant, billet_secret_visit *visit,
                void *context, struct billet_error *error);
    /* version.version is record.current + 1 and becomes the current one; code secret_changed when
     * somebody else was faster. */
    int (*add_version)(struct billet_store *store, const struct billet_secret_record *record,
                       const struct billet_secret_version *version,
                       const struct billet_activity *activity, struct billet_error *error);
    /* DELETED destroys the envelopes of all versions and removes the bindings of the name. */
    int (*set_state)(struct billet_store *store, const struct billet_secret_record *record,
                     const char *state, const struct billet_activity *activity,
                     struct billet_error *error);
    /* One version; code secret_version_missing. DESTROYED drops its envelope. */
    int (*set_version_state)(struct billet_store *store, const struct billet_secret_record *record,
                             int64_t version, const char *state,
                             const struct billet_activity *activity, struct billet_error *error);
    int (*versions)(struct billet_store *store, const struct billet_secret_version_filter *filter,
                    billet_secret_version_visit *visit, void *context, struct billet_error *error);
    /* All in one transaction, each where its old key is still there; *changed counts them. */
    int (*rewrap)(struct billet_store *store, const struct billet_secret_rewrap *items,
                  size_t count, size_t *changed, struct billet_error *error);
    /* Again: a success. */
    int (*bind)(struct billet_store *store, const struct billet_secret_binding *binding,
                const struct billet_activity *activity, struct billet_error *error);
    /* option, name NULL: any. */
    int (*unbind)(struct billet_store *store, const char *tenant, const char *environment,
                  const char *option, const char *name, const struct billet_activity *activity,
                  struct billet_error *error);
    int (*bindings)(struct billet_store *store, const char *tenant, const char *environment,
                    const char *option, const char *name, billet_secret_binding_visit *visit,
                    void *context, struct billet_error *error);
    /* Behind the newest row, durably. */
    int (*audit_add)(struct billet_store *store, const struct billet_audit_row *row,
                     billet_audit_hash *hash, struct billet_error *error);
    /* In order, behind the sequence; limit 0: all. */
    int (*audit_list)(struct billet_store *store, int64_t after, int64_t limit,
                      billet_audit_visit *visit, void *context, struct billet_error *error);
    /* What was written last, as the store remembers it apart from the rows. */
    int (*audit_head)(struct billet_store *store, int64_t *sequence, char hash[65],
                      struct billet_error *error);
    /* Code audit_partial when some of the rows are hidden from this connection. NULL: none is ever.
     */
    int (*audit_whole)(struct billet_store *store, struct billet_error *error);
};

#endif
