/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, their versions and bindings in SQLite. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "store/refusal.h"
#include "store/sqlite.h"

static void
finalize(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

#define cleanup_statement __attribute__((cleanup(finalize)))

static int
prepare(struct billet_store *store, const char *sql, sqlite3_stmt **statement,
        struct billet_error *error)
{
    int code = sqlite3_prepare_v2(store->db, sql, -1, statement, NULL);
    return code == SQLITE_OK ? 0 : sqlite_error(store, code, "prepare a statement", error);
}

static int
record_activity(struct billet_store *store, const struct billet_activity *activity,
                struct billet_error *error)
{
    return sqlite_activities_add(store, activity, activity != NULL, error);
}

/* An INSERT, UPDATE or DELETE inside a transaction; *met: rows it changed. */
static int
change(struct billet_store *store, sqlite3_stmt *statement, const char *what, int *met,
       struct billet_error *error)
{
    int result = sqlite_run(store, statement, what, error);
    if (result == 0 && met != NULL)
        *met = sqlite3_changes(store->db);
    return result;
}

/* ---- versions -------------------------------------------------------------------- */

static int
put_version(struct billet_store *store, const struct billet_secret_version *version,
            struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "INSERT INTO secret_version(secret,version,state,key,envelope,created_by,"
                         "created_ns) VALUES(?1,?2,'active',?3,?4,?5," SQL_NOW ")",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, version->secret);
    sqlite3_bind_int64(statement, 2, version->version);
    sqlite_bind_text_or_empty(statement, 3, version->key);
    sqlite3_bind_blob(statement, 4, version->envelope, (int)version->size, SQLITE_STATIC);
    sqlite_bind_text_or_empty(statement, 5, version->created_by);
    return change(store, statement, "store a secret", NULL, error);
}

static void
read_version(sqlite3_stmt *statement, struct billet_secret_version *row)
{
    *row = (struct billet_secret_version){.version = sqlite3_column_int64(statement, 1),
                                          .created_ns = sqlite3_column_int64(statement, 5),
                                          .envelope = sqlite3_column_blob(statement, 6),
                                          .size = (size_t)sqlite3_column_bytes(statement, 6)};
    billet_text_copy(row->secret, sizeof(row->secret), sqlite_text(statement, 0));
    billet_text_copy(row->state, sizeof(row->state), sqlite_text(statement, 2));
    billet_text_copy(row->key, sizeof(row->key), sqlite_text(statement, 3));
    billet_text_copy(row->created_by, sizeof(row->created_by), sqlite_text(statement, 4));
    billet_text_copy(row->tenant, sizeof(row->tenant), sqlite_text(statement, 7));
    billet_text_copy(row->name, sizeof(row->name), sqlite_text(statement, 8));
}

static int
list_versions(struct billet_store *store, const struct billet_secret_version_filter *filter,
              billet_secret_version_visit *visit, void *context, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(
        store,
        "SELECT v.secret,v.version,v.state,v.key,v.created_by,v.created_ns,v.envelope,s.tenant,"
        "s.name FROM secret_version AS v JOIN secret AS s ON s.id=v.secret "
        "WHERE (v.secret,v.version)>(?1,?2) AND (?3 IS NULL OR s.tenant=?3) "
        "AND (?4 IS NULL OR v.secret=?4) AND (?5 IS NULL OR v.key=?5) "
        "AND (?6 IS NULL OR v.key<>?6) AND (?4 IS NOT NULL OR v.key<>'') "
        "ORDER BY v.secret,v.version LIMIT ?7",
        &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, filter->after_secret);
    sqlite3_bind_int64(statement, 2, filter->after_version);
    sqlite_bind_text_or_null(statement, 3, filter->tenant);
    sqlite_bind_text_or_null(statement, 4, filter->secret);
    sqlite_bind_text_or_null(statement, 5, filter->key);
    sqlite_bind_text_or_null(statement, 6, filter->not_key);
    sqlite3_bind_int64(statement, 7, filter->limit > 0 ? filter->limit : -1);
    int code = SQLITE_ROW;
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct billet_secret_version row;
        read_version(statement, &row);
        result = visit(&row, context);
    }
    return result == 0 && code != SQLITE_DONE
               ? sqlite_error(store, code, "read sealed secrets", error)
               : result;
}

static int
rewrap_versions(struct billet_store *store, const struct billet_secret_rewrap *items, size_t count,
                size_t *changed, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    *changed = 0;
    int result = prepare(store,
                         "UPDATE secret_version SET key=?4,envelope=?5 "
                         "WHERE secret=?1 AND version=?2 AND key=?3",
                         &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    for (size_t i = 0; result == 0 && i < count; i++) {
        int met = 0;
        sqlite_bind_text_or_empty(statement, 1, items[i].secret);
        sqlite3_bind_int64(statement, 2, items[i].version);
        sqlite_bind_text_or_empty(statement, 3, items[i].old_key);
        sqlite_bind_text_or_empty(statement, 4, items[i].new_key);
        sqlite3_bind_blob(statement, 5, items[i].envelope, (int)items[i].size, SQLITE_STATIC);
        result = change(store, statement, "wrap a secret anew", &met, error);
        *changed += (size_t)met;
    }
    return sqlite_end(store, result, error);
}

/* ---- secrets ------------------------------------------------------------------------ */

static int
insert_secret(struct billet_store *store, const struct billet_secret_record *record,
              const struct billet_secret_version *version, const struct billet_activity *activity,
              struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "INSERT INTO secret(id,tenant,name,description,state,current,created_ns,"
                         "updated_ns) SELECT ?1,?2,?3,?4,'active',1,now,now "
                         "FROM (SELECT " SQL_NOW " AS now)",
                         &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, record->id);
    sqlite_bind_text_or_empty(statement, 2, record->tenant);
    sqlite_bind_text_or_empty(statement, 3, record->name);
    sqlite_bind_text_or_empty(statement, 4, record->description);
    int code = sqlite3_step(statement);
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
        result = billet_refusal_secret_exists(record->name, error);
    else if (code != SQLITE_DONE)
        result = sqlite_error(store, code, "store a secret", error);
    sqlite3_reset(statement);
    if (result == 0)
        result = put_version(store, version, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

#define SECRET_COLUMNS "id,tenant,name,description,state,current,created_ns,updated_ns"

static void
read_secret(sqlite3_stmt *statement, struct billet_secret_record *record)
{
    *record = (struct billet_secret_record){.current = sqlite3_column_int64(statement, 5),
                                            .created_ns = sqlite3_column_int64(statement, 6),
                                            .updated_ns = sqlite3_column_int64(statement, 7)};
    billet_text_copy(record->id, sizeof(record->id), sqlite_text(statement, 0));
    billet_text_copy(record->tenant, sizeof(record->tenant), sqlite_text(statement, 1));
    billet_text_copy(record->name, sizeof(record->name), sqlite_text(statement, 2));
    billet_text_copy(record->description, sizeof(record->description), sqlite_text(statement, 3));
    billet_text_copy(record->state, sizeof(record->state), sqlite_text(statement, 4));
}

static int
get_secret(struct billet_store *store, const char *tenant, const char *name,
           struct billet_secret_record *record, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "SELECT " SECRET_COLUMNS " FROM secret WHERE tenant=?1 AND name=?2 "
                         "ORDER BY state='deleted',updated_ns DESC LIMIT 1",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, tenant);
    sqlite_bind_text_or_empty(statement, 2, name);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read_secret(statement, record);
        return 0;
    }
    if (code != SQLITE_DONE)
        return sqlite_error(store, code, "look for a secret", error);
    return billet_refusal_secret_not_found(name, error);
}

static int
list_secrets(struct billet_store *store, const char *tenant, billet_secret_visit *visit,
             void *context, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "SELECT " SECRET_COLUMNS " FROM secret WHERE state<>'deleted' "
                         "AND (?1 IS NULL OR tenant=?1) ORDER BY tenant,name",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_null(statement, 1, tenant);
    int code = SQLITE_ROW;
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct billet_secret_record record;
        read_secret(statement, &record);
        result = visit(&record, context);
    }
    return result == 0 && code != SQLITE_DONE ? sqlite_error(store, code, "list secrets", error)
                                              : result;
}

static int
add_version(struct billet_store *store, const struct billet_secret_record *record,
            const struct billet_secret_version *version, const struct billet_activity *activity,
            struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int met = 0;
    int result = prepare(store,
                         "UPDATE secret SET current=?3,updated_ns=" SQL_NOW
                         " WHERE id=?1 AND current=?2 AND state<>'deleted'",
                         &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, record->id);
    sqlite3_bind_int64(statement, 2, record->current);
    sqlite3_bind_int64(statement, 3, version->version);
    result = change(store, statement, "store a secret", &met, error);
    if (result == 0 && met == 0)
        result = billet_refusal_secret_changed(record->name, error);
    if (result == 0)
        result = put_version(store, version, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

/* The envelopes of one version, or of all (0). SQLite overwrites what it frees. */
static int
destroy_versions(struct billet_store *store, const char *id, int64_t version, int *met,
                 struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = sqlite_execute(store, "PRAGMA secure_delete=ON", "destroy a secret", error);
    if (result == 0)
        result = prepare(store,
                         "UPDATE secret_version SET state='destroyed',key='',envelope=x'' "
                         "WHERE secret=?1 AND (?2=0 OR version=?2) AND state<>'destroyed'",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, id);
    sqlite3_bind_int64(statement, 2, version);
    return change(store, statement, "destroy a secret", met, error);
}

static int
remove_bindings(struct billet_store *store, const char *tenant, const char *environment,
                const char *option, const char *name, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "DELETE FROM secret_binding WHERE tenant=?1 "
                         "AND (?2 IS NULL OR environment=?2) AND (?3 IS NULL OR option=?3) "
                         "AND (?4 IS NULL OR name=?4)",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, tenant);
    sqlite_bind_text_or_null(statement, 2, environment);
    sqlite_bind_text_or_null(statement, 3, option);
    sqlite_bind_text_or_null(statement, 4, name);
    return change(store, statement, "unbind a secret", NULL, error);
}

static int
set_state(struct billet_store *store, const struct billet_secret_record *record, const char *state,
          const struct billet_activity *activity, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    bool deleted = strcmp(state, BILLET_SECRET_DELETED) == 0;
    int met = 0;
    int result = prepare(
        store, "UPDATE secret SET state=?2,updated_ns=" SQL_NOW " WHERE id=?1 AND state<>'deleted'",
        &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_empty(statement, 1, record->id);
    sqlite_bind_text_or_empty(statement, 2, state);
    result = change(store, statement, "change a secret", &met, error);
    if (result == 0 && met == 0)
        result = billet_refusal_secret_changed(record->name, error);
    if (result == 0 && deleted)
        result = destroy_versions(store, record->id, 0, NULL, error);
    if (result == 0 && deleted)
        result = remove_bindings(store, record->tenant, NULL, NULL, record->name, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

static int
set_version_state(struct billet_store *store, const struct billet_secret_record *record,
                  int64_t version, const char *state, const struct billet_activity *activity,
                  struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int met = 0;
    int result = prepare(store,
                         "UPDATE secret_version SET state=?3 WHERE secret=?1 AND version=?2 "
                         "AND state<>'destroyed'",
                         &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    if (strcmp(state, BILLET_SECRET_DESTROYED) == 0) {
        result = destroy_versions(store, record->id, version, &met, error);
    } else {
        sqlite_bind_text_or_empty(statement, 1, record->id);
        sqlite3_bind_int64(statement, 2, version);
        sqlite_bind_text_or_empty(statement, 3, state);
        result = change(store, statement, "change a secret", &met, error);
    }
    if (result == 0 && met == 0)
        result = billet_refusal_secret_version_missing(record->name, version, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

/* ---- bindings --------------------------------------------------------------------------- */

static int
bind_secret(struct billet_store *store, const struct billet_secret_binding *binding,
            const struct billet_activity *activity, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "INSERT INTO secret_binding(tenant,environment,option,name,created_by,"
                         "created_ns) VALUES(?1,?2,?3,?4,?5," SQL_NOW ") ON CONFLICT DO NOTHING",
                         &statement, error);
    if (result == 0)
        result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    const char *const texts[] = {binding->tenant, binding->environment, binding->option,
                                 binding->name, binding->created_by};
    for (int i = 0; i < 5; i++)
        sqlite_bind_text_or_empty(statement, i + 1, texts[i]);
    result = change(store, statement, "bind a secret", NULL, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

static int
unbind_secret(struct billet_store *store, const char *tenant, const char *environment,
              const char *option, const char *name, const struct billet_activity *activity,
              struct billet_error *error)
{
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = remove_bindings(store, tenant, environment, option, name, error);
    if (result == 0)
        result = record_activity(store, activity, error);
    return sqlite_end(store, result, error);
}

static int
list_bindings(struct billet_store *store, const char *tenant, const char *environment,
              const char *option, const char *name, billet_secret_binding_visit *visit,
              void *context, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "SELECT tenant,environment,option,name,created_by,created_ns "
                         "FROM secret_binding WHERE (?1 IS NULL OR tenant=?1) "
                         "AND (?2 IS NULL OR environment=?2) AND (?3 IS NULL OR option=?3) "
                         "AND (?4 IS NULL OR name=?4) ORDER BY tenant,environment,option,name",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite_bind_text_or_null(statement, 1, tenant);
    sqlite_bind_text_or_null(statement, 2, environment);
    sqlite_bind_text_or_null(statement, 3, option);
    sqlite_bind_text_or_null(statement, 4, name);
    int code = SQLITE_ROW;
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct billet_secret_binding row = {
            .tenant = sqlite_text(statement, 0),
            .environment = sqlite_text(statement, 1),
            .option = sqlite_text(statement, 2),
            .name = sqlite_text(statement, 3),
            .created_by = sqlite_text(statement, 4),
            .created_ns = sqlite3_column_int64(statement, 5),
        };
        result = visit(&row, context);
    }
    return result == 0 && code != SQLITE_DONE ? sqlite_error(store, code, "list bindings", error)
                                              : result;
}

/* ---- the chain of uses -------------------------------------------------------------------- */

static int
read_head(struct billet_store *store, int64_t *sequence, char hash[65], int64_t *now_ns,
          struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store, "SELECT sequence,hash," SQL_NOW " FROM secret_audit_head",
                         &statement, error);
    if (result < 0)
        return result;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        return sqlite_error(store, code == SQLITE_DONE ? SQLITE_CORRUPT : code,
                            "read the head of the chain of uses", error);
    *sequence = sqlite3_column_int64(statement, 0);
    billet_text_copy(hash, 65, sqlite_text(statement, 1));
    *now_ns = sqlite3_column_int64(statement, 2);
    return 0;
}

static int
audit_head(struct billet_store *store, int64_t *sequence, char hash[65], struct billet_error *error)
{
    int64_t now_ns;
    return read_head(store, sequence, hash, &now_ns, error);
}

static int
put_row(struct billet_store *store, const struct billet_audit_row *row, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *insert = NULL, *head = NULL;
    int result = prepare(store,
                         "INSERT INTO secret_audit(sequence,time_ns,tenant,name,secret,version,"
                         "environment,option,lease,actor,purpose,outcome,hash) "
                         "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
                         &insert, error);
    if (result == 0)
        result = prepare(store, "UPDATE secret_audit_head SET sequence=?1,hash=?2", &head, error);
    if (result < 0)
        return result;
    const char *const texts[] = {row->environment, row->option,  row->lease, row->actor,
                                 row->purpose,     row->outcome, row->hash};
    sqlite3_bind_int64(insert, 1, row->sequence);
    sqlite3_bind_int64(insert, 2, row->time_ns);
    sqlite_bind_text_or_empty(insert, 3, row->tenant);
    sqlite_bind_text_or_empty(insert, 4, row->name);
    sqlite_bind_text_or_empty(insert, 5, row->secret);
    sqlite3_bind_int64(insert, 6, row->version);
    for (int i = 0; i < 7; i++)
        sqlite_bind_text_or_empty(insert, i + 7, texts[i]);
    result = change(store, insert, "record the use of a secret", NULL, error);
    if (result < 0)
        return result;
    sqlite3_bind_int64(head, 1, row->sequence);
    sqlite_bind_text_or_empty(head, 2, row->hash);
    return change(store, head, "record the use of a secret", NULL, error);
}

static int
audit_add(struct billet_store *store, const struct billet_audit_row *row, billet_audit_hash *hash,
          struct billet_error *error)
{
    struct billet_audit_row made = *row;
    char previous[65], own[65];
    int result = sqlite_begin(store, error);
    if (result < 0)
        return result;
    result = read_head(store, &made.sequence, previous, &made.time_ns, error);
    if (result == 0) {
        made.sequence++;
        hash(&made, previous, own);
        made.hash = own;
        result = put_row(store, &made, error);
    }
    return sqlite_end(store, result, error);
}

static int
audit_list(struct billet_store *store, int64_t after, int64_t limit, billet_audit_visit *visit,
           void *context, struct billet_error *error)
{
    cleanup_statement sqlite3_stmt *statement = NULL;
    int result = prepare(store,
                         "SELECT sequence,time_ns,tenant,name,secret,version,environment,option,"
                         "lease,actor,purpose,outcome,hash FROM secret_audit WHERE sequence>?1 "
                         "ORDER BY sequence LIMIT ?2",
                         &statement, error);
    if (result < 0)
        return result;
    sqlite3_bind_int64(statement, 1, after);
    sqlite3_bind_int64(statement, 2, limit > 0 ? limit : -1);
    int code = SQLITE_ROW;
    while (result == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct billet_audit_row row = {
            .sequence = sqlite3_column_int64(statement, 0),
            .time_ns = sqlite3_column_int64(statement, 1),
            .tenant = sqlite_text(statement, 2),
            .name = sqlite_text(statement, 3),
            .secret = sqlite_text(statement, 4),
            .version = sqlite3_column_int64(statement, 5),
            .environment = sqlite_text(statement, 6),
            .option = sqlite_text(statement, 7),
            .lease = sqlite_text(statement, 8),
            .actor = sqlite_text(statement, 9),
            .purpose = sqlite_text(statement, 10),
            .outcome = sqlite_text(statement, 11),
            .hash = sqlite_text(statement, 12),
        };
        result = visit(&row, context);
    }
    return result == 0 && code != SQLITE_DONE
               ? sqlite_error(store, code, "read the chain of uses", error)
               : result;
}

const struct billet_secret_table sqlite_secret_table = {
    .insert = insert_secret,
    .get = get_secret,
    .list = list_secrets,
    .add_version = add_version,
    .set_state = set_state,
    .set_version_state = set_version_state,
    .versions = list_versions,
    .rewrap = rewrap_versions,
    .bind = bind_secret,
    .unbind = unbind_secret,
    .bindings = list_bindings,
    .audit_add = audit_add,
    .audit_list = audit_list,
    .audit_head = audit_head,
};
