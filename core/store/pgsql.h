/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pgsql.h - what the files of the PostgreSQL module share: the store object, its
 * connection, its statements. Nothing here leaves store_pgsql.so.
 *
 * A change is one statement, with its activity rows in it, sent as a transaction of its own. Every
 * wait has an end of ours: libpq never blocks. A connection that breaks is made again within the
 * time of the call, and what was under way is looked for before it is sent once more.
 */
#ifndef BILLET_STORE_PGSQL_H
#define BILLET_STORE_PGSQL_H

#include <libpq-fe.h>

#include "base/uuid.h"
#include "store/migration.h"
#include "store/store.h"

/* The clock of the database: wall time of the server in ns, to the microsecond. */
#define SQL_NOW "((extract(epoch FROM clock_timestamp())*1000000)::bigint*1000)"

enum statement {
    STATEMENT_NOW,
    STATEMENT_SCHEMA,
    STATEMENT_INFO,
    STATEMENT_OPERATION_SEEN,
    STATEMENT_LEASE_INSERT,
    STATEMENT_LEASE_CHANGE,
    STATEMENT_LEASE_STATE,
    STATEMENT_LEASE_GET,
    STATEMENT_LEASE_PREFIX,
    STATEMENT_LEASE_LIST,
    STATEMENT_LEASE_LIST_LIVE,
    STATEMENT_LEASE_RENEW,
    STATEMENT_LEASE_NOTE,
    STATEMENT_ACTIVITY_ADD,
    STATEMENT_ACTIVITY_LIST,
    STATEMENT_ACTIVITY_OF_LEASE,
    STATEMENT_ENVIRONMENT_INSERT,
    STATEMENT_ENVIRONMENT_UPDATE,
    STATEMENT_ENVIRONMENT_GET,
    STATEMENT_ENVIRONMENT_LIST,
    STATEMENT_ENVIRONMENT_REMOVE,
    STATEMENT_PROVISION_GET,
    STATEMENT_PROVISION_PUT,
    STATEMENT_META_GET,
    STATEMENT_META_PUT,
    STATEMENT_GRANT,
    STATEMENT_SECRET_INSERT,
    STATEMENT_SECRET_FIRST_VERSION,
    STATEMENT_SECRET_GET,
    STATEMENT_SECRET_LIST,
    STATEMENT_SECRET_ADD_VERSION,
    STATEMENT_SECRET_SET_STATE,
    STATEMENT_SECRET_SET_VERSION_STATE,
    STATEMENT_SECRET_VERSIONS,
    STATEMENT_SECRET_VERSION_SEEN,
    STATEMENT_SECRET_REWRAP,
    STATEMENT_SECRET_BIND,
    STATEMENT_SECRET_UNBIND,
    STATEMENT_SECRET_BINDINGS,
    STATEMENT_SECRET_AUDIT_HEAD,
    STATEMENT_SECRET_AUDIT_ADD,
    STATEMENT_SECRET_AUDIT_SEEN,
    STATEMENT_SECRET_AUDIT_LIST,
    STATEMENT_SECRET_AUDIT_WHOLE,
    STATEMENT_COUNT,
};

struct billet_store {
    const struct billet_store_module *module; /* must be first */
    char *conninfo;                           /* for libpq; may hold a password */
    char location[512];                       /* without credentials */
    int64_t timeout_ns;                       /* of a call */
    int64_t connect_timeout_ns;
    PGconn *connection; /* NULL: to be made again */
    char backend[16];   /* process that serves it, and since when */
    char backend_start[64];
    unsigned char uses[STATEMENT_COUNT]; /* on this connection, up to 2: then it is prepared */
    char deployment[40];
    char load_table[64]; /* whose row came last, while a copy is loaded */
};

extern const struct billet_migration pgsql_migrations[];
extern const size_t pgsql_migration_count;

#define PARAMETERS_MAX 24

/* One statement and its parameters; texts must live until it has run. */
struct pgsql_call {
    enum statement which;
    const char *what; /* "change a lease": for messages */
    int count;
    const char *values[PARAMETERS_MAX];
    char numbers[PARAMETERS_MAX][24];
    char operation[BILLET_UUID_SIZE]; /* "": harmless when it runs twice */
    const char *lease;                /* whose operation it is, or NULL */
    bool repeated;                    /* it may have run before, for its answer was lost */
    bool seen;                        /* it has: there is no result */
    /* In the same transaction, when this one gave a row. For what the policies of the schema look
     * for in a row that only the first has made. */
    const struct pgsql_call *then;
};

/* pgsql_connection.c. Each returns 0, a negative class, or PGSQL_LOST: the connection broke, what
 * was sent may have run. */
#define PGSQL_LOST 1
int pgsql_connect(struct billet_store *store, int64_t deadline_ns, struct billet_error *error);
void pgsql_disconnect(struct billet_store *store);
/* Send what was queued and take the last result; not judged. */
int pgsql_finish(struct billet_store *store, int64_t deadline_ns, PGresult **result,
                 struct billet_error *error);
/* A statement without a name of ours, or several separated by ';' when there are no parameters. */
int pgsql_query(struct billet_store *store, const char *sql, int count, const char *const *values,
                const char *what, int64_t deadline_ns, PGresult **result,
                struct billet_error *error);
/* The process that served the broken connection is at its end; then nothing of it can come. */
int pgsql_bury(struct billet_store *store, int64_t deadline_ns, struct billet_error *error);

/* pgsql_error.c */
int pgsql_result_error(struct billet_store *store, const PGresult *result, const char *what,
                       struct billet_error *error);
int pgsql_connection_error(struct billet_store *store, struct billet_error *error);
int pgsql_timeout(struct billet_store *store, struct billet_error *error);
/* The five characters, or "". */
const char *pgsql_state(const PGresult *result);
bool pgsql_is_good(const PGresult *result);

/* pgsql_statement.c */
void pgsql_text(struct pgsql_call *call, const char *text); /* NULL: "" */
void pgsql_text_or_null(struct pgsql_call *call, const char *text);
void pgsql_number(struct pgsql_call *call, int64_t number);
/* Give the call an id by which it is found again. Adds it as the next parameter. */
void pgsql_operation(struct pgsql_call *call, const char *lease);
/* *result (PQclear) on success, unless call->seen. */
int pgsql_run(struct billet_store *store, struct pgsql_call *call, PGresult **result,
              struct billet_error *error);
int64_t pgsql_integer(const PGresult *result, int row, int column);

static inline void
pgsql_clear(PGresult **result)
{
    PQclear(*result);
}
#define cleanup_result __attribute__((cleanup(pgsql_clear)))

/* pgsql_schema.c */
int pgsql_schema_open(struct billet_store *store, enum billet_store_mode mode,
                      struct billet_error *error);

/* pgsql_activity.c: the rows as the array (of arrays) that the statements take. */
int pgsql_activities(const struct billet_activity *activities, size_t count, char **text,
                     struct billet_error *error);

extern const struct billet_secret_table pgsql_secret_table;

/* The functions of the table. */
int pgsql_activity_add(struct billet_store *store, const struct billet_activity *activities,
                       size_t count, struct billet_error *error);
int pgsql_activity_list(struct billet_store *store, const struct billet_activity_filter *filter,
                        billet_activity_visit *visit, void *context, struct billet_error *error);
int pgsql_check(struct billet_store *store, struct billet_strings *found,
                struct billet_error *error);
int pgsql_dump(struct billet_store *store, billet_row_visit *visit, void *context,
               struct billet_error *error);
int pgsql_load_begin(struct billet_store *store, struct billet_error *error);
int pgsql_load_row(struct billet_store *store, const struct billet_row *row,
                   struct billet_error *error);
int pgsql_load_end(struct billet_store *store, int result, struct billet_error *error);
int pgsql_grant(struct billet_store *store, const char *role, const char *tenant,
                struct billet_error *error);
int pgsql_environment_insert(struct billet_store *store,
                             const struct billet_environment *environment,
                             const struct billet_activity *activity, struct billet_error *error);
int pgsql_environment_update(struct billet_store *store,
                             const struct billet_environment *environment,
                             const struct billet_activity *activity, struct billet_error *error);
int pgsql_environment_get(struct billet_store *store, const char *tenant, const char *name,
                          struct billet_environment *environment, struct billet_error *error);
int pgsql_environment_list(struct billet_store *store, const char *tenant,
                           billet_environment_visit *visit, void *context,
                           struct billet_error *error);
int pgsql_environment_remove(struct billet_store *store, const char *tenant, const char *name,
                             const struct billet_activity *activity, struct billet_error *error);
int pgsql_lease_insert(struct billet_store *store, const struct billet_lease *lease, int64_t ttl_ns,
                       const struct billet_activity *activities, size_t count,
                       struct billet_error *error);
int pgsql_lease_change(struct billet_store *store, const struct billet_lease_change *change,
                       const struct billet_activity *activities, size_t count,
                       struct billet_lease *after, struct billet_error *error);
int pgsql_lease_get(struct billet_store *store, const char *tenant, const char *id,
                    struct billet_lease *lease, struct billet_error *error);
int pgsql_lease_list(struct billet_store *store, const struct billet_lease_filter *filter,
                     billet_lease_visit *visit, void *context, struct billet_error *error);
int pgsql_lease_note(struct billet_store *store, const char *id, int64_t fence,
                     const struct billet_activity *activities, size_t count,
                     struct billet_error *error);
int pgsql_lease_renew(struct billet_store *store, const char *id, int64_t fence,
                      const char *owner_is, int64_t ttl_ns, struct billet_error *error);

#endif
