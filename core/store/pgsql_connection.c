/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to the server: made, waited for and given up by clocks of our own. With libpq's
 * blocking calls a server that is stopped, or whose host is gone, holds its client for ever, and no
 * time limit of the server's helps.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/pgsql.h"

#define BURY_PAUSE_MS 5

/* Notices are for people at a terminal of psql's. */
static void
ignore_notice(void *context, const PGresult *notice)
{
    (void)context, (void)notice;
}

void
pgsql_disconnect(struct billet_store *store)
{
    PQfinish(store->connection);
    store->connection = NULL;
    memset(store->uses, 0, sizeof(store->uses));
}

/* Until the socket is ready for events or the time is over: false. */
static bool
wait_socket(PGconn *connection, short events, int64_t deadline_ns)
{
    struct pollfd socket = {.fd = PQsocket(connection), .events = events};
    for (;;) {
        int64_t left = deadline_ns - billet_clock_monotonic();
        if (left <= 0)
            return false;
        int64_t ms = left / 1000000 + 1;
        int count = poll(&socket, 1, ms > 60000 ? 60000 : (int)ms);
        if (count > 0 || (count < 0 && errno != EINTR))
            return true; /* libpq says what is wrong with it */
    }
}

static int
await_connection(struct billet_store *store, int64_t deadline_ns, struct billet_error *error)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED || PQstatus(store->connection) == CONNECTION_BAD)
            return pgsql_connection_error(store, error);
        if (!wait_socket(store->connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                         deadline_ns))
            return pgsql_timeout(store, error);
        status = PQconnectPoll(store->connection);
    }
    PQsetNoticeReceiver(store->connection, ignore_notice, NULL);
    if (PQsetnonblocking(store->connection, 1) != 0)
        return pgsql_connection_error(store, error);
    return 0;
}

/* What the session needs, in one round trip; and who serves it. The server gives up what it does
 * for us shortly after we have. Only what would lose commits is overruled. */
static int
set_up_session(struct billet_store *store, int64_t deadline_ns, struct billet_error *error)
{
    static const char sql[] =
        "SELECT pg_backend_pid(),"
        "(SELECT backend_start FROM pg_stat_get_activity(pg_backend_pid()) LIMIT 1),"
        "set_config('search_path','billet, pg_catalog',false),"
        "set_config('statement_timeout',$1,false),set_config('lock_timeout',$1,false),"
        "set_config('idle_in_transaction_session_timeout','10s',false),"
        "set_config('default_transaction_isolation','read committed',false),"
        "CASE WHEN current_setting('synchronous_commit')='off' "
        "THEN set_config('synchronous_commit','on',false) END";
    static const char check[] = "SELECT set_config('client_connection_check_interval','5s',false)";
    char limit[24];
    const char *const values[] = {limit};
    PGresult *result = NULL;
    snprintf(limit, sizeof(limit), "%lld", (long long)(store->timeout_ns / 1000000));
    int code =
        pgsql_query(store, sql, 1, values, "set up the session", deadline_ns, &result, error);
    if (code != 0)
        return code == PGSQL_LOST ? pgsql_connection_error(store, error) : code;
    billet_text_copy(store->backend, sizeof(store->backend), PQgetvalue(result, 0, 0));
    billet_text_copy(store->backend_start, sizeof(store->backend_start), PQgetvalue(result, 0, 1));
    PQclear(result);
    /* Older servers and some systems do not have it; over a local socket it says nothing new. */
    const char *host = PQhost(store->connection);
    if (PQserverVersion(store->connection) >= 140000 && host != NULL && host[0] != '/') {
        code = pgsql_query(store, check, 0, NULL, "set up the session", deadline_ns, &result, NULL);
        if (code == 0)
            PQclear(result);
        else if (code == PGSQL_LOST)
            return pgsql_connection_error(store, error);
    }
    return 0;
}

static void
name_location(struct billet_store *store)
{
    const char *host = PQhost(store->connection), *port = PQport(store->connection);
    const char *database = PQdb(store->connection);
    char text[512];
    snprintf(text, sizeof(text), "%s on %s port %s", database != NULL ? database : "",
             host != NULL && *host != '\0' ? host : "the local socket", port != NULL ? port : "");
    billet_text_escape(store->location, sizeof(store->location), text);
}

int
pgsql_connect(struct billet_store *store, int64_t deadline_ns, struct billet_error *error)
{
    /* What stands before dbname can be set otherwise in the url; what comes after cannot. */
    static const char *const keywords[] = {"fallback_application_name",
                                           "keepalives_idle",
                                           "keepalives_interval",
                                           "keepalives_count",
                                           "dbname",
                                           "client_encoding",
                                           NULL};
    const char *const values[] = {"billet", "30", "10", "3", store->conninfo, "UTF8", NULL};
    int64_t connect_until = billet_clock_monotonic() + store->connect_timeout_ns;
    if (connect_until < deadline_ns)
        deadline_ns = connect_until;
    pgsql_disconnect(store);
    store->connection = PQconnectStartParams(keywords, values, 1);
    if (store->connection == NULL)
        return billet_error_no_memory(error);
    name_location(store);
    int result = await_connection(store, deadline_ns, error);
    if (result == 0)
        result = set_up_session(store, deadline_ns, error);
    if (result != 0)
        pgsql_disconnect(store);
    return result;
}

int
pgsql_finish(struct billet_store *store, int64_t deadline_ns, PGresult **result,
             struct billet_error *error)
{
    PGresult *last = NULL, *next;
    for (;;) {
        int flushing = PQflush(store->connection);
        if (flushing < 0)
            break;
        if (flushing == 0 && PQisBusy(store->connection) == 0) {
            next = PQgetResult(store->connection);
            if (next == NULL) {
                if (last == NULL)
                    break;
                *result = last;
                return 0;
            }
            /* The first that failed is the one to tell of. */
            if (last != NULL && !pgsql_is_good(last)) {
                PQclear(next);
            } else {
                PQclear(last);
                last = next;
            }
            if (PQstatus(store->connection) == CONNECTION_BAD)
                break;
            continue;
        }
        if (!wait_socket(store->connection, (short)(POLLIN | (flushing > 0 ? POLLOUT : 0)),
                         deadline_ns)) {
            PQclear(last);
            pgsql_timeout(store, error);
            pgsql_disconnect(store);
            return -BILLET_CLASS_TIMEOUT;
        }
        if (PQconsumeInput(store->connection) == 0)
            break;
    }
    PQclear(last);
    return PGSQL_LOST;
}

int
pgsql_query(struct billet_store *store, const char *sql, int count, const char *const *values,
            const char *what, int64_t deadline_ns, PGresult **result, struct billet_error *error)
{
    PGresult *got = NULL;
    int sent = count == 0
                   ? PQsendQuery(store->connection, sql)
                   : PQsendQueryParams(store->connection, sql, count, NULL, values, NULL, NULL, 0);
    if (sent == 0)
        return PGSQL_LOST;
    int code = pgsql_finish(store, deadline_ns, &got, error);
    if (code != 0)
        return code;
    if (!pgsql_is_good(got)) {
        code = pgsql_result_error(store, got, what, error);
        PQclear(got);
        return code;
    }
    *result = got;
    return 0;
}

int
pgsql_bury(struct billet_store *store, int64_t deadline_ns, struct billet_error *error)
{
    static const char sql[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity($1) "
                              "WHERE backend_start=$2::timestamptz";
    char backend[sizeof(store->backend)], start[sizeof(store->backend_start)];
    const char *const values[] = {backend, start};
    memcpy(backend, store->backend, sizeof(backend));
    memcpy(start, store->backend_start, sizeof(start));
    int result = pgsql_connect(store, deadline_ns, error);
    while (result == 0 && backend[0] != '\0' && start[0] != '\0') {
        PGresult *got = NULL;
        result = pgsql_query(store, sql, 2, values, "look for the former session", deadline_ns,
                             &got, error);
        if (result == PGSQL_LOST)
            result = pgsql_connection_error(store, error);
        if (result != 0)
            break;
        int left = PQntuples(got);
        PQclear(got);
        if (left == 0)
            break;
        if (billet_clock_monotonic() >= deadline_ns)
            result = pgsql_timeout(store, error);
        poll(NULL, 0, BURY_PAUSE_MS);
    }
    if (result != 0) {
        pgsql_disconnect(store);
        /* It may still be the one to ask for, at the next attempt. */
        memcpy(store->backend, backend, sizeof(backend));
        memcpy(store->backend_start, start, sizeof(start));
    }
    return result;
}
