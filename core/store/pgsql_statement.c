/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of the module, and how it is run: sent, prepared when it comes again, repeated when the
 * connection broke. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/change.h"
#include "store/pgsql.h"

#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 500
#define CONFLICTS_MAX 20
/* How far back a lost operation is looked for that belongs to no lease. */
#define RECENT "20000"

#define LEASE_COLUMNS                                                                             \
    "id,tenant,environment,environment_id,driver,run,agent,issue,workspace,policy,state,fence,"   \
    "generation,ref,facts,configuration,directory,owner,command,outcome,reason,cleanup_attempts," \
    "next_cleanup_ns,created_ns,updated_ns,expires_ns,ended_ns"
#define ACTIVITY_COLUMNS \
    "sequence,time_ns,action,tenant,environment,lease,run,agent,issue,actor,fence,details"
#define ENVIRONMENT_COLUMNS \
    "id,tenant,name,driver,description,status,reason,revision,created_ns,updated_ns,settings"

/* When the statement began: one time for all that it writes, and nothing to compute it in. */
#define WITH_NOW                                                                     \
    "WITH n AS NOT MATERIALIZED (SELECT (extract(epoch FROM statement_timestamp())*" \
    "1000000)::bigint*1000 AS now)"
/* Rows of activity beside what FROM gives one row of; both parameters are of the statement: rows is
 * an array of rows. The planner takes it for as many rows as it knows nothing of; with a function
 * that tells it more (unnest, generate_series) each execution would be planned anew. */
/* clang-format off */
#define ELEMENT(rows, at) "(" rows "::text[])[x][" at "]"
#define INSERT_ACTIVITY(from, operation, rows)                                                   \
    "INSERT INTO activity(action,tenant,environment,lease,run,agent,issue,actor,fence,details,"  \
    "time_ns,operation) SELECT "                                                                 \
    ELEMENT(rows, "1") "," ELEMENT(rows, "2") "," ELEMENT(rows, "3") "," ELEMENT(rows, "4") ","  \
    ELEMENT(rows, "5") "," ELEMENT(rows, "6") "," ELEMENT(rows, "7") "," ELEMENT(rows, "8") ","  \
    ELEMENT(rows, "9") "::bigint," ELEMENT(rows, "10") ",n.now," operation " FROM n" from ","     \
    "generate_subscripts(" rows "::text[],1) AS x"
/* clang-format on */

#define SECRET_COLUMNS "id,tenant,name,description,state,current,created_ns,updated_ns"
#define AUDIT_COLUMNS                                                                             \
    "sequence,time_ns,tenant,name,secret,version,environment,option,lease,actor,purpose,outcome," \
    "hash"

#define LEASE_LIST_WHERE                                                              \
    " WHERE ($1::text IS NULL OR tenant=$1) AND ($2::text IS NULL OR environment=$2)" \
    " AND ($3::text IS NULL OR run=$3)"
#define ACTIVITY_WHERE                                                                   \
    "sequence>$1::bigint AND time_ns>=$2::bigint AND ($3::text IS NULL OR tenant=$3) "   \
    "AND ($4::text IS NULL OR lease=$4) AND ($5::text IS NULL OR environment=$5) ORDER " \
    "BY sequence LIMIT $6::bigint"

static const char *const statement_sql[STATEMENT_COUNT] = {
    [STATEMENT_NOW] = "SELECT " SQL_NOW,
    [STATEMENT_SCHEMA] = "SELECT coalesce((SELECT max(number) FROM billet.migration),0),"
                         "(SELECT uuid FROM billet.deployment)",
    [STATEMENT_INFO] = "SELECT uuid,created_ns,(SELECT count(*) FROM environment),"
                       "(SELECT count(*) FROM lease WHERE state NOT IN ('released', 'failed')),"
                       "(SELECT count(*) FROM lease),(SELECT count(*) FROM activity),"
                       "(SELECT max(number) FROM migration),pg_database_size(current_database()),"
                       "current_setting('server_version') FROM deployment",
    [STATEMENT_OPERATION_SEEN] =
        "SELECT 1 FROM lease WHERE id=$1 AND operation=$2 UNION ALL "
        "SELECT 1 FROM activity WHERE lease=$1 AND lease<>'' AND operation=$2 UNION ALL "
        "SELECT 1 FROM activity WHERE $1='' AND operation=$2 AND "
        "sequence>(SELECT coalesce(max(sequence),0)-" RECENT " FROM activity) LIMIT 1",
    [STATEMENT_LEASE_INSERT] =
        WITH_NOW ",i AS (INSERT INTO lease(" LEASE_COLUMNS ",operation) SELECT $1,$2,$3,$4,$5,$6,"
                 "$7,$8,$9,$10,'acquiring',1,1,$11,$12,$13,$14,$15,$16,$17,$18,0,0,n.now,n.now,"
                 "n.now+$19::bigint,0,$20 FROM n ON CONFLICT DO NOTHING RETURNING id),"
                 "a AS (" INSERT_ACTIVITY(",i", "$20", "$21") ") SELECT 1 FROM i",
    [STATEMENT_LEASE_CHANGE] = WITH_NOW
    ",c AS (UPDATE lease SET state=$4,fence=fence+$5::bigint,"
    "generation=generation+$6::bigint,"
    "expires_ns=CASE WHEN $7::bigint>0 THEN n.now+$7::bigint ELSE expires_ns END,"
    "ref=coalesce($8,ref),facts=coalesce($9,facts),directory=coalesce($10,directory),"
    "owner=coalesce($11,owner),command=coalesce($12,command),"
    "outcome=coalesce($13,outcome),reason=coalesce($14,reason),"
    "run=coalesce($20,run),issue=coalesce($21,issue),"
    "cleanup_attempts=cleanup_attempts+$15::bigint,next_cleanup_ns=CASE WHEN "
    "$15::bigint>0 THEN n.now+$16::bigint ELSE next_cleanup_ns END,updated_ns=n.now,"
    "ended_ns=CASE WHEN $17::bigint>0 THEN n.now ELSE 0 END,operation=$18 FROM n "
    "WHERE id=$1 AND state=$2 AND fence=$3::bigint AND ($22::text IS NULL OR owner=$22) "
    "RETURNING " BILLET_CHANGE_COLUMNS "),"
    "a AS (" INSERT_ACTIVITY(",c", "$18", "$19") ") SELECT " BILLET_CHANGE_COLUMNS " FROM c",
    [STATEMENT_LEASE_STATE] = "SELECT state,fence,run FROM lease WHERE id=$1",
    [STATEMENT_LEASE_GET] =
        "SELECT " LEASE_COLUMNS " FROM lease WHERE id=$1 AND ($2::text IS NULL OR tenant=$2)",
    [STATEMENT_LEASE_PREFIX] = "SELECT " LEASE_COLUMNS " FROM lease WHERE id>=$1 AND id<$1||'~' "
                               "AND ($2::text IS NULL OR tenant=$2) LIMIT 2",
    [STATEMENT_LEASE_LIST] = "SELECT " LEASE_COLUMNS " FROM lease" LEASE_LIST_WHERE
                             " ORDER BY number DESC LIMIT $4::bigint",
    [STATEMENT_LEASE_LIST_LIVE] =
        "SELECT " LEASE_COLUMNS " FROM lease" LEASE_LIST_WHERE
        " AND state NOT IN ('released', 'failed') ORDER BY number DESC LIMIT $4::bigint",
    [STATEMENT_LEASE_RENEW] =
        "UPDATE lease SET expires_ns=greatest(expires_ns," SQL_NOW "+$3::bigint) WHERE id=$1 AND "
        "($2::bigint=0 OR fence=$2::bigint) AND ($4::text IS NULL OR owner=$4) AND state IN "
        "('acquiring','active','retained') "
        "RETURNING 1",
    /* The row is locked, so that its end cannot be recorded before. */
    [STATEMENT_LEASE_NOTE] =
        WITH_NOW ",l AS MATERIALIZED (SELECT id FROM lease WHERE id=$1 AND "
                 "state NOT IN ('released','failed') AND ($2::bigint=0 OR fence=$2::bigint) "
                 "FOR NO KEY UPDATE),a AS (" INSERT_ACTIVITY(",l", "$3", "$4") ") SELECT 1 FROM l",
    [STATEMENT_ACTIVITY_ADD] = WITH_NOW INSERT_ACTIVITY("", "$1", "$2"),
    [STATEMENT_ACTIVITY_LIST] = "SELECT " ACTIVITY_COLUMNS " FROM activity WHERE " ACTIVITY_WHERE,
    [STATEMENT_ACTIVITY_OF_LEASE] =
        "SELECT " ACTIVITY_COLUMNS " FROM activity WHERE lease<>'' AND lease=$4 "
        "AND " ACTIVITY_WHERE,
    [STATEMENT_ENVIRONMENT_INSERT] =
        WITH_NOW ",i AS (INSERT INTO environment(" ENVIRONMENT_COLUMNS ") SELECT $1,$2,$3,$4,$5,"
                 "$6,$7,1,n.now,n.now,$8 FROM n ON CONFLICT DO NOTHING RETURNING id),"
                 "a AS (" INSERT_ACTIVITY(",i", "$9", "$10") ") SELECT 1 FROM i",
    [STATEMENT_ENVIRONMENT_UPDATE] =
        WITH_NOW ",u AS (UPDATE environment SET driver=$3,description=$4,status=$5,reason=$6,"
                 "settings=$7,revision=revision+1,updated_ns=n.now FROM n WHERE tenant=$1 AND "
                 "name=$2 AND revision=$8::bigint RETURNING id),"
                 "a AS (" INSERT_ACTIVITY(",u", "$9", "$10") ") SELECT 1 FROM u",
    [STATEMENT_ENVIRONMENT_GET] =
        "SELECT " ENVIRONMENT_COLUMNS " FROM environment WHERE tenant IN ($1,'') AND name=$2 "
        "ORDER BY tenant DESC LIMIT 1",
    [STATEMENT_ENVIRONMENT_LIST] =
        "SELECT " ENVIRONMENT_COLUMNS " FROM environment AS e WHERE $1::text IS NULL OR tenant=$1 "
        "OR (tenant='' AND NOT EXISTS(SELECT 1 FROM environment WHERE tenant=$1 AND name=e.name)) "
        "ORDER BY tenant,name",
    [STATEMENT_ENVIRONMENT_REMOVE] =
        WITH_NOW ",d AS (DELETE FROM environment WHERE tenant=$1 AND name=$2 RETURNING id),"
                 "a AS (" INSERT_ACTIVITY(",d", "$3", "$4") ") SELECT 1 FROM d",
    [STATEMENT_PROVISION_GET] = "SELECT 1 FROM provision WHERE key=$1",
    [STATEMENT_PROVISION_PUT] = WITH_NOW
    ",p AS (INSERT INTO provision(key,time_ns) SELECT $1,n.now FROM n "
    "ON CONFLICT(key) DO UPDATE SET time_ns=excluded.time_ns) " INSERT_ACTIVITY("", "$2", "$3"),
    [STATEMENT_META_GET] = "SELECT value FROM meta WHERE key=$1",
    [STATEMENT_META_PUT] = "INSERT INTO meta(key,value) VALUES($1,$2) "
                           "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
    [STATEMENT_GRANT] = "SELECT billet.grant_use($1,$2)",
    [STATEMENT_SECRET_INSERT] =
        "INSERT INTO secret(" SECRET_COLUMNS ") SELECT $1,$2,$3,$4,'active',1,n.now,n.now FROM "
        "(SELECT " SQL_NOW " AS now) AS n ON CONFLICT DO NOTHING RETURNING id",
    [STATEMENT_SECRET_FIRST_VERSION] = WITH_NOW
    ",v AS (INSERT INTO secret_version(secret,version,state,key,envelope,created_by,"
    "created_ns) SELECT $1,1,'active',$2,$3::bytea,$4,n.now FROM n) " INSERT_ACTIVITY("", "$5",
                                                                                      "$6"),
    [STATEMENT_SECRET_GET] = "SELECT " SECRET_COLUMNS " FROM secret WHERE tenant=$1 AND name=$2 "
                             "ORDER BY state='deleted',updated_ns DESC LIMIT 1",
    [STATEMENT_SECRET_LIST] = "SELECT " SECRET_COLUMNS " FROM secret WHERE state<>'deleted' AND "
                              "($1::text IS NULL OR tenant=$1) ORDER BY tenant,name",
    [STATEMENT_SECRET_ADD_VERSION] =
        WITH_NOW ",u AS (UPDATE secret SET current=$3::bigint,updated_ns=n.now FROM n WHERE id=$1 "
                 "AND current=$2::bigint AND state<>'deleted' RETURNING id),"
                 "v AS (INSERT INTO secret_version(secret,version,state,key,envelope,created_by,"
                 "created_ns) SELECT u.id,$3::bigint,'active',$4,$5::bytea,$6,n.now FROM u,n),"
                 "a AS (" INSERT_ACTIVITY(",u", "$7", "$8") ") SELECT 1 FROM u",
    [STATEMENT_SECRET_SET_STATE] =
        WITH_NOW ",u AS (UPDATE secret SET state=$2,updated_ns=n.now FROM n WHERE id=$1 AND "
                 "state<>'deleted' RETURNING id,tenant,name),"
                 "v AS (UPDATE secret_version SET state='destroyed',key='',envelope='' FROM u "
                 "WHERE $2='deleted' AND secret=u.id AND secret_version.state<>'destroyed'),"
                 "b AS (DELETE FROM secret_binding USING u WHERE $2='deleted' AND "
                 "secret_binding.tenant=u.tenant AND secret_binding.name=u.name),"
                 "a AS (" INSERT_ACTIVITY(",u", "$3", "$4") ") SELECT 1 FROM u",
    [STATEMENT_SECRET_SET_VERSION_STATE] =
        WITH_NOW ",u AS (UPDATE secret_version SET state=$3,"
                 "key=CASE WHEN $3='destroyed' THEN '' ELSE key END,"
                 "envelope=CASE WHEN $3='destroyed' THEN '' ELSE envelope END WHERE secret=$1 AND "
                 "version=$2::bigint AND state<>'destroyed' RETURNING 1),"
                 "a AS (" INSERT_ACTIVITY(",u", "$4", "$5") ") SELECT 1 FROM u",
    [STATEMENT_SECRET_VERSIONS] =
        "SELECT v.secret,v.version,v.state,v.key,v.created_by,v.created_ns,v.envelope,s.tenant,"
        "s.name FROM secret_version AS v JOIN secret AS s ON s.id=v.secret "
        "WHERE (v.secret,v.version)>($1,$2::bigint) AND ($3::text IS NULL OR s.tenant=$3) "
        "AND ($4::text IS NULL OR v.secret=$4) AND ($5::text IS NULL OR v.key=$5) "
        "AND ($6::text IS NULL OR v.key<>$6) AND ($4::text IS NOT NULL OR v.key<>'') "
        "ORDER BY v.secret,v.version LIMIT $7::bigint",
    [STATEMENT_SECRET_VERSION_SEEN] =
        "SELECT 1 FROM secret_version WHERE secret=$1 AND version=$2::bigint AND "
        "envelope=$3::bytea",
    [STATEMENT_SECRET_REWRAP] =
        "WITH u AS (UPDATE secret_version AS v SET key=x.new_key,envelope=decode(x.envelope,'hex') "
        "FROM json_to_recordset($1::json) AS x(secret text,version bigint,old_key text,new_key "
        "text,envelope text) WHERE v.secret=x.secret AND v.version=x.version AND v.key=x.old_key "
        "RETURNING 1) SELECT count(*) FROM u",
    [STATEMENT_SECRET_BIND] = WITH_NOW
    ",b AS (INSERT INTO secret_binding(tenant,environment,option,name,created_by,"
    "created_ns) SELECT $1,$2,$3,$4,$5,n.now FROM n ON CONFLICT DO NOTHING) " INSERT_ACTIVITY(
        "", "$6", "$7"),
    [STATEMENT_SECRET_UNBIND] =
        WITH_NOW ",d AS (DELETE FROM secret_binding WHERE tenant=$1 AND ($2::text IS NULL OR "
                 "environment=$2) AND ($3::text IS NULL OR option=$3) AND ($4::text IS NULL OR "
                 "name=$4)) " INSERT_ACTIVITY("", "$5", "$6"),
    [STATEMENT_SECRET_BINDINGS] =
        "SELECT tenant,environment,option,name,created_by,created_ns FROM secret_binding WHERE "
        "($1::text IS NULL OR tenant=$1) AND ($2::text IS NULL OR environment=$2) AND "
        "($3::text IS NULL OR option=$3) AND ($4::text IS NULL OR name=$4) "
        "ORDER BY tenant,environment,option,name",
    [STATEMENT_SECRET_AUDIT_HEAD] = "SELECT sequence,hash," SQL_NOW " FROM secret_audit_head",
    /* Who is first moves the head; the others see another one, and hash theirs anew. */
    [STATEMENT_SECRET_AUDIT_ADD] =
        "WITH h AS (UPDATE secret_audit_head SET sequence=$1::bigint,hash=$13 WHERE "
        "sequence=$1::bigint-1 AND hash=$14 RETURNING 1) INSERT INTO secret_audit(" AUDIT_COLUMNS
        ") SELECT $1::bigint,$2::bigint,$3,$4,$5,$6::bigint,$7,$8,$9,$10,$11,$12,$13 FROM h "
        "RETURNING 1",
    [STATEMENT_SECRET_AUDIT_SEEN] =
        "SELECT 1 FROM secret_audit WHERE sequence=$1::bigint AND hash=$2",
    [STATEMENT_SECRET_AUDIT_LIST] = "SELECT " AUDIT_COLUMNS " FROM secret_audit WHERE "
                                    "sequence>$1::bigint ORDER BY sequence LIMIT $2::bigint",
    [STATEMENT_SECRET_AUDIT_WHOLE] = "SELECT coalesce(bound_tenant(),'')",
};

void
pgsql_text_or_null(struct pgsql_call *call, const char *text)
{
    call->values[call->count++] = text;
}

void
pgsql_text(struct pgsql_call *call, const char *text)
{
    pgsql_text_or_null(call, text != NULL ? text : "");
}

void
pgsql_number(struct pgsql_call *call, int64_t number)
{
    snprintf(call->numbers[call->count], sizeof(call->numbers[0]), "%lld", (long long)number);
    pgsql_text_or_null(call, call->numbers[call->count]);
}

void
pgsql_operation(struct pgsql_call *call, const char *lease)
{
    billet_uuid_make(call->operation);
    call->lease = lease;
    pgsql_text(call, call->operation);
}

int64_t
pgsql_integer(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* Once on this connection. What comes a second time is prepared: a short process saves the round
 * trip, a long one the planning. */
static int
attempt(struct billet_store *store, const struct pgsql_call *call, int64_t deadline_ns,
        PGresult **result, struct billet_error *error)
{
    char name[16];
    unsigned char *uses = &store->uses[call->which];
    PGconn *connection = store->connection;
    int sent;
    snprintf(name, sizeof(name), "s%d", (int)call->which);
    if (*uses == 1) {
        PGresult *prepared = NULL;
        if (PQsendPrepare(connection, name, statement_sql[call->which], 0, NULL) == 0)
            return PGSQL_LOST;
        int code = pgsql_finish(store, deadline_ns, &prepared, error);
        if (code == 0 && !pgsql_is_good(prepared))
            code = pgsql_result_error(store, prepared, call->what, error);
        PQclear(prepared);
        if (code != 0)
            return code;
    }
    if (*uses >= 1)
        sent = PQsendQueryPrepared(connection, name, call->count, call->values, NULL, NULL, 0);
    else
        sent = PQsendQueryParams(connection, statement_sql[call->which], call->count, NULL,
                                 call->values, NULL, NULL, 0);
    if (sent == 0)
        return PGSQL_LOST;
    *uses = *uses >= 1 ? 2 : 1;
    return pgsql_finish(store, deadline_ns, result, error);
}

/* One of ours without parameters; *result may be NULL when it is not wanted. */
static int
send_plain(struct billet_store *store, const char *sql, int64_t deadline_ns, PGresult **result,
           struct billet_error *error)
{
    if (PQsendQuery(store->connection, sql) == 0)
        return PGSQL_LOST;
    return pgsql_finish(store, deadline_ns, result, error);
}

/* The result is the first's, or that of what failed; then nothing of it is there. */
static int
attempt_pair(struct billet_store *store, const struct pgsql_call *call, int64_t deadline_ns,
             PGresult **result, struct billet_error *error)
{
    cleanup_result PGresult *begin = NULL, *first = NULL, *second = NULL, *end = NULL;
    int code = send_plain(store, "BEGIN", deadline_ns, &begin, error);
    if (code == 0)
        code = attempt(store, call, deadline_ns, &first, error);
    bool good = code == 0 && pgsql_is_good(begin) && pgsql_is_good(first);
    bool met = good && PQntuples(first) > 0;
    if (met) {
        code = attempt(store, call->then, deadline_ns, &second, error);
        good = code == 0 && pgsql_is_good(second);
    }
    if (store->connection == NULL || code == PGSQL_LOST)
        return code;
    int ended = send_plain(store, good && met ? "COMMIT" : "ROLLBACK", deadline_ns, &end,
                           code == 0 ? error : NULL);
    if (code < 0) { /* told already */
        if (ended != 0)
            pgsql_disconnect(store);
        return code;
    }
    if (ended != 0)
        return ended;
    PGresult **from = !good ? (met ? &second : &first) : !pgsql_is_good(end) ? &end : &first;
    *result = *from;
    *from = NULL;
    return 0;
}

/* The connection is new, and what went over the old one has run whole or not at all. */
static int
look_for_operation(struct billet_store *store, struct pgsql_call *call, int64_t deadline_ns,
                   struct billet_error *error)
{
    const char *const values[] = {call->lease != NULL ? call->lease : "", call->operation};
    PGresult *result = NULL;
    call->repeated = true;
    if (call->operation[0] == '\0')
        return 0;
    int code = pgsql_query(store, statement_sql[STATEMENT_OPERATION_SEEN], 2, values, call->what,
                           deadline_ns, &result, error);
    if (code == 0)
        call->seen = PQntuples(result) > 0;
    PQclear(result);
    return code;
}

/* Make the connection again, for as long as there is time: a server that was killed comes back.
 * sent: the statement had gone out. */
static int
recover(struct billet_store *store, struct pgsql_call *call, bool sent, int64_t deadline_ns,
        struct billet_error *error)
{
    int pause = PAUSE_MIN_MS;
    for (;;) {
        struct billet_error attempted = BILLET_ERROR_INIT;
        int result = sent ? pgsql_bury(store, deadline_ns, &attempted)
                          : pgsql_connect(store, deadline_ns, &attempted);
        if (result == 0 && sent)
            result = look_for_operation(store, call, deadline_ns, &attempted);
        if (result == 0)
            return 0;
        if (result == PGSQL_LOST)
            pgsql_connection_error(store, &attempted);
        if (!attempted.retryable ||
            billet_clock_monotonic() + pause * INT64_C(1000000) >= deadline_ns) {
            if (error != NULL)
                *error = attempted;
            billet_error_wrap(error, "cannot %s", call->what);
            return -attempted.error_class;
        }
        poll(NULL, 0, pause);
        pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    }
}

/* The server ends the session with it; the statement may have run. */
static bool
ends_session(const char *state)
{
    return strcmp(state, "57P01") == 0 || strcmp(state, "57P02") == 0 ||
           strcmp(state, "57P03") == 0 || strncmp(state, "08", 2) == 0;
}

int
pgsql_run(struct billet_store *store, struct pgsql_call *call, PGresult **result,
          struct billet_error *error)
{
    int64_t deadline_ns = billet_clock_monotonic() + store->timeout_ns;
    bool sent = false;
    call->seen = call->repeated = false;
    for (int conflicts = 0;;) {
        PGresult *got = NULL;
        if (store->connection == NULL) {
            int code = recover(store, call, sent, deadline_ns, error);
            if (code < 0 || call->seen)
                return code;
        }
        int code = call->then != NULL ? attempt_pair(store, call, deadline_ns, &got, error)
                                      : attempt(store, call, deadline_ns, &got, error);
        sent = true;
        if (code < 0) /* a result has been judged already; a wait that ended has not */
            return store->connection == NULL ? billet_error_wrap(error, "cannot %s", call->what)
                                             : code;
        if (code == 0 && pgsql_is_good(got)) {
            *result = got;
            return 0;
        }
        const char *state = code == 0 ? pgsql_state(got) : "";
        if (code == PGSQL_LOST || ends_session(state)) {
            PQclear(got);
            pgsql_disconnect(store);
            continue;
        }
        /* Another transaction was in the way, and this one has been undone. */
        bool conflict = strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0;
        if (!conflict || ++conflicts > CONFLICTS_MAX || billet_clock_monotonic() >= deadline_ns) {
            code = pgsql_result_error(store, got, call->what, error);
            PQclear(got);
            return code;
        }
        PQclear(got);
    }
}
