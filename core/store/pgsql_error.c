/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in billet's words. Only the primary message of the server is told: its details
 * and hints repeat values.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/pgsql.h"
#include "store/refusal.h"

#define TIMEOUT_HINT "see whether the server works; or raise timeout in [store] url"

const char *
pgsql_state(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state != NULL ? state : "";
}

bool
pgsql_is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int
retryable(struct billet_error *error, int result)
{
    if (error != NULL)
        error->retryable = 1;
    return result;
}

int
pgsql_timeout(struct billet_store *store, struct billet_error *error)
{
    char limit[32];
    bool connected = store->connection != NULL && PQstatus(store->connection) == CONNECTION_OK;
    int64_t ns = !connected && store->connect_timeout_ns < store->timeout_ns
                     ? store->connect_timeout_ns
                     : store->timeout_ns;
    billet_duration_format(limit, sizeof(limit), ns);
    billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_timeout",
                     "the database %s did not answer within %s", store->location, limit);
    return retryable(error, billet_error_hint(error, TIMEOUT_HINT));
}

/* libpq tells of each address it tried, in lines of its own: the last is the one that counts. */
static void
last_line(const char *message, char *to, size_t size)
{
    size_t length = strlen(message);
    while (length > 0 && (message[length - 1] == '\n' || message[length - 1] == ' '))
        length--;
    size_t start = length;
    while (start > 0 && message[start - 1] != '\n')
        start--;
    while (message[start] == '\t' || message[start] == ' ')
        start++;
    size_t count = length > start ? length - start : 0;
    if (count >= size)
        count = size - 1;
    memcpy(to, message + start, count);
    to[count] = '\0';
}

int
pgsql_connection_error(struct billet_store *store, struct billet_error *error)
{
    char line[400];
    PGconn *connection = store->connection;
    const char *message = PQerrorMessage(connection);
    bool missing = strstr(message, "database \"") != NULL && strstr(message, "not exist") != NULL;
    /* Its first line names the address, its second a cause: one that is refused has both. */
    last_line(strstr(message, "connection to server") != NULL
                  ? strstr(message, "failed: ") != NULL ? strstr(message, "failed: ") + 8 : message
                  : message,
              line, sizeof(line));
    if (strncmp(line, "Is the server running", 21) == 0)
        billet_text_copy(line, sizeof(line), "no server answers there");
    if (strncmp(line, "FATAL:  ", 8) == 0)
        memmove(line, line + 8, strlen(line + 8) + 1);
    if (line[0] == '\0')
        billet_text_copy(line, sizeof(line), "the connection broke");
    if (PQconnectionNeedsPassword(connection) != 0 || PQconnectionUsedPassword(connection) != 0 ||
        strstr(line, "authentication failed") != NULL || strstr(line, "pg_hba.conf") != NULL ||
        (strstr(line, "role \"") != NULL && strstr(line, "not exist") != NULL)) {
        billet_error_set(error, BILLET_CLASS_AUTH, "store_denied",
                         "cannot connect to the database %s: %s", store->location, line);
        return billet_error_hint(error, "give the user in [store] url and its password in "
                                        "~/.pgpass; see billet-store(7)");
    }
    if (missing) {
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_missing",
                         "cannot connect to the database %s: %s", store->location, line);
        return billet_error_hint(error, "make it with createdb, then run billet db migrate");
    }
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_unreachable",
                     "cannot reach the database %s: %s", store->location, line);
    return retryable(error, billet_error_hint(error, "see whether the server runs and takes "
                                                     "connections; check [store] url"));
}

static int
no_privilege(struct billet_store *store, const char *what, const char *message,
             struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_AUTH, "store_denied", "cannot %s in the database %s: %s",
                     what, store->location, message);
    return billet_error_hint(error,
                             "do it as the role that owns the schema billet, or let that one "
                             "give the rights: billet db migrate --grant ROLE");
}

int
pgsql_result_error(struct billet_store *store, const PGresult *result, const char *what,
                   struct billet_error *error)
{
    const char *state = pgsql_state(result);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *where = store->location;
    if (message == NULL)
        message = "no reason was given";
    if (strcmp(state, "P0001") == 0) {
        billet_refusal_guard(message, error);
        return billet_error_wrap(error, "cannot %s", what);
    }
    if (strcmp(state, "57014") == 0 || strcmp(state, "55P03") == 0) {
        billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_busy",
                         "cannot %s: the database %s was busy for too long: %s", what, where,
                         message);
        return retryable(error, billet_error_hint(error, TIMEOUT_HINT));
    }
    if (strcmp(state, "53100") == 0 || strcmp(state, "54000") == 0) {
        billet_error_set(error, BILLET_CLASS_CAPACITY, "store_full",
                         "cannot %s: no room for the database %s", what, where);
        if (error != NULL)
            error->sys_errno = ENOSPC;
        return retryable(error, billet_error_hint(error, "free space or quota there and repeat"));
    }
    if (strncmp(state, "53", 2) == 0)
        return retryable(error, billet_error_set(error, BILLET_CLASS_CAPACITY, "store_busy",
                                                 "cannot %s in the database %s: %s", what, where,
                                                 message));
    if (strcmp(state, "42501") == 0)
        return no_privilege(store, what, message, error);
    if (strcmp(state, "25006") == 0) {
        billet_error_set(error, BILLET_CLASS_AUTH, "store_denied",
                         "cannot %s: the database %s is read-only", what, where);
        return billet_error_hint(error, "name the primary server in [store] url, or add "
                                        "target_session_attrs=read-write");
    }
    if (strcmp(state, "22021") == 0 || strcmp(state, "22P05") == 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "store_not_text",
                                "cannot %s: the database %s takes only UTF-8", what, where);
    if (strncmp(state, "XX", 2) == 0) {
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_corrupt",
                         "cannot %s: the database %s is damaged: %s", what, where, message);
        return billet_error_hint(error, "see the log of the server; restore a backup");
    }
    if (strncmp(state, "23", 2) == 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_constraint", "cannot %s: %s",
                                what, message);
    return billet_error_set(error, BILLET_CLASS_INTERNAL, "store_failed",
                            "cannot %s in the database %s: %s", what, where, message);
}
