/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - where durable state lives. One interface; each engine is a module
 * store_ENGINE.so that core loads when the configured URL asks for it.
 *
 * Rules every module keeps: a change is durable when the call returns 0; a change and its activity
 * rows are one transaction; every lease change is a compare-and-set on (id, state, fence); triggers
 * in the database make final states final; no transaction is open between calls; time is the
 * database's. A call on a store that is full, gone or locked fails with class CAPACITY,
 * UNAVAILABLE or TIMEOUT and changed nothing.
 */
#ifndef BILLET_STORE_STORE_H
#define BILLET_STORE_STORE_H

#include <billet/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/strings.h"
#include "config/environment.h"
#include "store/record.h"
#include "store/secret_record.h"

enum billet_store_mode {
    BILLET_STORE_USE,    /* what is there, when it has this build's schema */
    BILLET_STORE_CREATE, /* make what is not there, and bring it up to date */
    BILLET_STORE_LOOK,   /* what is there, of any older schema, too: for info alone */
};

struct billet_store; /* opaque; begins with const struct billet_store_module *module */

struct billet_store_info {
    char engine[32];     /* "sqlite 3.40.1" */
    char location[512];  /* path or server, without credentials */
    char deployment[40]; /* UUID made with the database; part of every label */
    int64_t schema;      /* migrations applied */
    int64_t schema_wanted;
    int64_t environments;
    int64_t leases_live;
    int64_t leases_total;
    int64_t activities;
    int64_t size_bytes; /* 0 when unknown */
    int64_t created_ns;
};

struct billet_lease_filter {
    const char *tenant;      /* NULL: every tenant (operators, janitor) */
    const char *environment; /* NULL: any */
    const char *run;         /* NULL: any */
    bool live_only;          /* not released, not failed */
    int64_t limit;           /* newest first; 0: 1000 */
};

struct billet_activity_filter {
    const char *tenant; /* NULL: any */
    const char *lease;
    const char *environment;
    int64_t after_sequence;
    int64_t since_ns;
    int64_t limit; /* 0: 1000 */
};

/* A compare-and-set. Members left NULL / 0 with their set_ flag false keep the value. */
struct billet_lease_change {
    const char *id;
    enum billet_lease_state
        expected; /* and fence must be equal, else class LOST, code lease_lost */
    int64_t fence;
    const char *owner_is; /* this too must be equal; NULL: any. After the store was brought back
                           * from an older copy, two owners may have come to one fence. */
    enum billet_lease_state state; /* new one; may equal expected */
    bool bump_fence;               /* new owner: fence + 1 */
    bool bump_generation;
    int64_t ttl_ns;  /* > 0: expires = now + ttl */
    const char *ref; /* NULL: keep (all strings) */
    const char *facts;
    const char *directory;
    const char *owner;
    const char *command;
    const char *outcome;
    const char *reason;
    const char *run; /* whom it works for from now on */
    const char *issue;
    bool count_cleanup; /* cleanup_attempts + 1, next_cleanup = now + cleanup_delay_ns */
    int64_t cleanup_delay_ns;
};

/* Visitors return 0 to go on, anything else to stop (returned by the call). Records are the
 * store's, valid during the visit. No other call on the same store inside a visit. */
typedef int billet_lease_visit(const struct billet_lease *lease, void *context);
typedef int billet_activity_visit(const struct billet_activity *activity, void *context);
typedef int billet_environment_visit(const struct billet_environment *environment, void *context);

/* A row as it is kept, for copies from one engine to another. */
enum billet_value_kind { BILLET_ROW_NULL, BILLET_ROW_INTEGER, BILLET_ROW_TEXT, BILLET_ROW_BYTES };

struct billet_row_value {
    enum billet_value_kind kind;
    int64_t integer;
    const void *bytes; /* of text and bytes; not terminated */
    size_t length;
};

struct billet_row {
    const char *table;
    size_t count;
    const char *const *names; /* of the columns */
    const struct billet_row_value *values;
};

typedef int billet_row_visit(const struct billet_row *row, void *context,
                             struct billet_error *error);

#define BILLET_ROW_COLUMNS_MAX 64

#define BILLET_STORE_INTERFACE 3
#define BILLET_STORE_SYMBOL "billet_store_module" /* const struct billet_store_module * (void) */

struct billet_store_module {
    uint64_t struct_size;
    uint32_t interface;
    const char *engine; /* "sqlite" */
    /* NULL: this engine keeps no secrets; whole otherwise. */
    const struct billet_secret_table *secrets;

    /* url is the whole store.url. A missing database is class UNAVAILABLE, code store_missing,
     * unless it is to be made. A newer schema than this build's: code store_newer. An older one:
     * migrated, looked at, or code store_outdated, as mode says. */
    int (*open)(const char *url, enum billet_store_mode mode, struct billet_store **store,
                struct billet_error *error);
    void (*close)(struct billet_store *store);
    /* Counts rows: for people, not for every run. */
    int (*info)(struct billet_store *store, struct billet_store_info *info,
                struct billet_error *error);
    /* info's deployment alone, without looking at the rest. */
    int (*deployment)(struct billet_store *store, char deployment[40], struct billet_error *error);
    /* Deep check: integrity of the file, invariants of section 7. One line per finding to found. */
    int (*check)(struct billet_store *store, struct billet_strings *found,
                 struct billet_error *error);
    int (*now)(struct billet_store *store, int64_t *now_ns, struct billet_error *error);

    /* Environments. insert: code environment_exists when (tenant, name) is taken. update: CAS on
     * revision, code environment_changed. get: code environment_not_found. remove: refused with
     * code environment_in_use while live leases name it; in the same transaction. */
    int (*environment_insert)(struct billet_store *store,
                              const struct billet_environment *environment,
                              const struct billet_activity *activity, struct billet_error *error);
    int (*environment_update)(struct billet_store *store,
                              const struct billet_environment *environment,
                              const struct billet_activity *activity, struct billet_error *error);
    /* get, list: the tenant's own and those of tenant "", which are every tenant's; its own hides
     * one of that name. list: tenant NULL lists all. */
    int (*environment_get)(struct billet_store *store, const char *tenant, const char *name,
                           struct billet_environment *environment, struct billet_error *error);
    int (*environment_list)(struct billet_store *store, const char *tenant,
                            billet_environment_visit *visit, void *context,
                            struct billet_error *error);
    int (*environment_remove)(struct billet_store *store, const char *tenant, const char *name,
                              const struct billet_activity *activity, struct billet_error *error);

    /* Leases. insert: state acquiring, fence 1, expires now + ttl_ns, activity rows with it. The
     * same id again with the same run is a success (an answer that was lost). */
    int (*lease_insert)(struct billet_store *store, const struct billet_lease *lease,
                        int64_t ttl_ns, const struct billet_activity *activities, size_t count,
                        struct billet_error *error);
    /* *lease may be NULL; else it is the row as it was last read, and becomes what it is after the
     * change (core/store/change.h). A change that failed leaves it as it was. */
    int (*lease_change)(struct billet_store *store, const struct billet_lease_change *change,
                        const struct billet_activity *activities, size_t count,
                        struct billet_lease *lease, struct billet_error *error);
    /* A lease_change comes next: do what can be done before, while the caller waits for something
     * else. Changes nothing and cannot fail; what goes wrong shows in the change itself. */
    void (*expect_change)(struct billet_store *store);
    int (*lease_get)(struct billet_store *store, const char *tenant, const char *id,
                     struct billet_lease *lease, struct billet_error *error); /* code
                     lease_not_found; id may be a unique prefix of at least 8 characters */
    int (*lease_list)(struct billet_store *store, const struct billet_lease_filter *filter,
                      billet_lease_visit *visit, void *context, struct billet_error *error);
    /* Only activity rows, when (id, state not final, fence) still holds; else lease_lost. fence 0:
     * any fence (a second exec on a lease that somebody else owns). */
    int (*lease_note)(struct billet_store *store, const char *id, int64_t fence,
                      const struct billet_activity *activities, size_t count,
                      struct billet_error *error);
    /* expires = max(expires, now + ttl) where state is acquiring, active or retained and the fence
     * (0: any) and the owner (NULL: any) fit. */
    int (*lease_renew)(struct billet_store *store, const char *id, int64_t fence,
                       const char *owner_is, int64_t ttl_ns, struct billet_error *error);

    /* Activities that belong to no lease. */
    int (*activity_add)(struct billet_store *store, const struct billet_activity *activities,
                        size_t count, struct billet_error *error);
    int (*activity_list)(struct billet_store *store, const struct billet_activity_filter *filter,
                         billet_activity_visit *visit, void *context, struct billet_error *error);

    /* Which provision commands have run: key is a fingerprint of (environment, workspace, command).
     */
    int (*provision_get)(struct billet_store *store, const char *key, bool *done,
                         struct billet_error *error);
    int (*provision_put)(struct billet_store *store, const char *key,
                         const struct billet_activity *activity, struct billet_error *error);

    /* Transient state of the deployment by key ("janitor.last"), at most 4 KiB each. */
    int (*meta_get)(struct billet_store *store, const char *key, struct billet_buffer *value,
                    struct billet_error *error);
    int (*meta_put)(struct billet_store *store, const char *key, const char *value,
                    struct billet_error *error);

    /* Every row of every table that both engines have, as of one moment, table by table in the
     * order in which they were made. The record of migrations is not among them. */
    int (*dump)(struct billet_store *store, billet_row_visit *visit, void *context,
                struct billet_error *error);
    /* Fill an empty store (else code store_not_empty), whose deployment becomes that of the rows.
     * load_end commits when result is 0, else undoes all; it belongs to every load_begin that
     * returned 0. No trigger fires: rows come in any state. Needs the owner of the schema. */
    int (*load_begin)(struct billet_store *store, struct billet_error *error);
    int (*load_row)(struct billet_store *store, const struct billet_row *row,
                    struct billet_error *error);
    int (*load_end)(struct billet_store *store, int result, struct billet_error *error);

    /* Let a role of the database use the store, with the rows of one tenant only unless tenant is
     * "". Where the engine knows no roles: code store_no_roles. */
    int (*grant)(struct billet_store *store, const char *role, const char *tenant,
                 struct billet_error *error);
};

/* Load the module that url names and open it. directory: where store_*.so are. */
int billet_store_open(const char *directory, const char *url, enum billet_store_mode mode,
                      struct billet_store **store, struct billet_error *error);
void billet_store_close(struct billet_store *store);
/* The module's table: billet_store_of(store)->lease_get(store, ...). Always whole: a module that
 * lacks a function is refused at load. */
static inline const struct billet_store_module *
billet_store_of(const struct billet_store *store)
{
    return *(const struct billet_store_module *const *)(const void *)store;
}

#endif
