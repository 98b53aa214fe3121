/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, their versions and bindings, and the chain of uses in PostgreSQL. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "store/pgsql.h"
#include "store/refusal.h"

#define PAGE 500       /* rows that are asked for at once: envelopes can be long */
#define PAUSE_MAX_MS 8 /* before the head of the chain is read again */

/* ---- envelopes as text -------------------------------------------------------------- */

/* "\x" and hexadecimal digits, which is what bytea takes and decode() takes behind the prefix. */
static int
envelope_text(const unsigned char *envelope, size_t size, char **text, struct billet_error *error)
{
    static const char digits[] = "0123456789abcdef";
    char *made = malloc(size * 2 + 3);
    if (made == NULL)
        return billet_error_no_memory(error);
    made[0] = '\\';
    made[1] = 'x';
    for (size_t i = 0; i < size; i++) {
        made[2 + 2 * i] = digits[envelope[i] >> 4];
        made[3 + 2 * i] = digits[envelope[i] & 15];
    }
    made[2 + 2 * size] = '\0';
    *text = made;
    return 0;
}

/* ---- secrets ------------------------------------------------------------------------ */

static void
read_secret(const PGresult *result, int row, struct billet_secret_record *record)
{
    *record = (struct billet_secret_record){.current = pgsql_integer(result, row, 5),
                                            .created_ns = pgsql_integer(result, row, 6),
                                            .updated_ns = pgsql_integer(result, row, 7)};
    billet_text_copy(record->id, sizeof(record->id), PQgetvalue(result, row, 0));
    billet_text_copy(record->tenant, sizeof(record->tenant), PQgetvalue(result, row, 1));
    billet_text_copy(record->name, sizeof(record->name), PQgetvalue(result, row, 2));
    billet_text_copy(record->description, sizeof(record->description), PQgetvalue(result, row, 3));
    billet_text_copy(record->state, sizeof(record->state), PQgetvalue(result, row, 4));
}

static int
get_secret(struct billet_store *store, const char *tenant, const char *name,
           struct billet_secret_record *record, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_GET, .what = "look for a secret"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, tenant);
    pgsql_text(&call, name);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) == 0)
        return billet_refusal_secret_not_found(name, error);
    read_secret(result, 0, record);
    return 0;
}

static int
list_secrets(struct billet_store *store, const char *tenant, billet_secret_visit *visit,
             void *context, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_LIST, .what = "list secrets"};
    cleanup_result PGresult *result = NULL;
    pgsql_text_or_null(&call, tenant);
    int code = pgsql_run(store, &call, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        struct billet_secret_record record;
        read_secret(result, i, &record);
        code = visit(&record, context);
    }
    return code;
}

/* The version is there as it was sent: by us, when the answer was lost. */
static int
version_seen(struct billet_store *store, const char *secret, int64_t version, const char *envelope,
             bool *seen, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_VERSION_SEEN, .what = "store a secret"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, secret);
    pgsql_number(&call, version);
    pgsql_text(&call, envelope);
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0)
        *seen = PQntuples(result) > 0;
    return code;
}

static int
insert_secret(struct billet_store *store, const struct billet_secret_record *record,
              const struct billet_secret_version *version, const struct billet_activity *activity,
              struct billet_error *error)
{
    struct pgsql_call first = {.which = STATEMENT_SECRET_FIRST_VERSION};
    struct pgsql_call call = {
        .which = STATEMENT_SECRET_INSERT, .what = "store a secret", .then = &first};
    cleanup_free char *rows = NULL, *envelope = NULL;
    cleanup_result PGresult *result = NULL;
    bool ours = false;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code == 0)
        code = envelope_text(version->envelope, version->size, &envelope, error);
    if (code < 0)
        return code;
    billet_uuid_make(call.operation);
    first.what = call.what;
    pgsql_text(&call, record->id);
    pgsql_text(&call, record->tenant);
    pgsql_text(&call, record->name);
    pgsql_text(&call, record->description);
    pgsql_text(&first, record->id);
    pgsql_text(&first, version->key);
    pgsql_text(&first, envelope);
    pgsql_text(&first, version->created_by);
    pgsql_text(&first, call.operation);
    pgsql_text(&first, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code < 0 || call.seen || PQntuples(result) > 0)
        return code;
    if (call.repeated)
        code = version_seen(store, record->id, 1, envelope, &ours, error);
    return code < 0 || ours ? code : billet_refusal_secret_exists(record->name, error);
}

static int
add_version(struct billet_store *store, const struct billet_secret_record *record,
            const struct billet_secret_version *version, const struct billet_activity *activity,
            struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_ADD_VERSION, .what = "store a secret"};
    cleanup_free char *rows = NULL, *envelope = NULL;
    cleanup_result PGresult *result = NULL;
    bool ours = false;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code == 0)
        code = envelope_text(version->envelope, version->size, &envelope, error);
    if (code < 0)
        return code;
    pgsql_text(&call, record->id);
    pgsql_number(&call, record->current);
    pgsql_number(&call, version->version);
    pgsql_text(&call, version->key);
    pgsql_text(&call, envelope);
    pgsql_text(&call, version->created_by);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    if (code < 0 || call.seen || PQntuples(result) > 0)
        return code;
    if (call.repeated)
        code = version_seen(store, record->id, version->version, envelope, &ours, error);
    return code < 0 || ours ? code : billet_refusal_secret_changed(record->name, error);
}

static int
set_state(struct billet_store *store, const struct billet_secret_record *record, const char *state,
          const struct billet_activity *activity, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_SET_STATE, .what = "change a secret"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, record->id);
    pgsql_text(&call, state);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    /* Deleted at the second attempt: by the first, whose answer was lost, or by somebody else. */
    bool gone = call.repeated && strcmp(state, BILLET_SECRET_DELETED) == 0;
    if (code == 0 && !call.seen && !gone && PQntuples(result) == 0)
        code = billet_refusal_secret_changed(record->name, error);
    return code;
}

static int
set_version_state(struct billet_store *store, const struct billet_secret_record *record,
                  int64_t version, const char *state, const struct billet_activity *activity,
                  struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_SET_VERSION_STATE,
                              .what = "change a secret"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, record->id);
    pgsql_number(&call, version);
    pgsql_text(&call, state);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    code = pgsql_run(store, &call, &result, error);
    bool gone = call.repeated && strcmp(state, BILLET_SECRET_DESTROYED) == 0;
    if (code == 0 && !call.seen && !gone && PQntuples(result) == 0)
        code = billet_refusal_secret_version_missing(record->name, version, error);
    return code;
}

/* ---- versions ------------------------------------------------------------------------- */

static int
visit_version(const PGresult *result, int row, billet_secret_version_visit *visit, void *context,
              struct billet_error *error)
{
    struct billet_secret_version version = {.version = pgsql_integer(result, row, 1),
                                            .created_ns = pgsql_integer(result, row, 5)};
    unsigned char *envelope =
        PQunescapeBytea((const unsigned char *)PQgetvalue(result, row, 6), &version.size);
    if (envelope == NULL)
        return billet_error_no_memory(error);
    version.envelope = envelope;
    billet_text_copy(version.secret, sizeof(version.secret), PQgetvalue(result, row, 0));
    billet_text_copy(version.state, sizeof(version.state), PQgetvalue(result, row, 2));
    billet_text_copy(version.key, sizeof(version.key), PQgetvalue(result, row, 3));
    billet_text_copy(version.created_by, sizeof(version.created_by), PQgetvalue(result, row, 4));
    billet_text_copy(version.tenant, sizeof(version.tenant), PQgetvalue(result, row, 7));
    billet_text_copy(version.name, sizeof(version.name), PQgetvalue(result, row, 8));
    int code = visit(&version, context);
    PQfreemem(envelope);
    return code;
}

/* A page of at most limit rows behind (secret, version), which it moves on; *count: its rows. */
static int
visit_page(struct billet_store *store, const struct billet_secret_version_filter *filter,
           char secret[40], int64_t *version, int64_t limit, int *count,
           billet_secret_version_visit *visit, void *context, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_VERSIONS, .what = "read sealed secrets"};
    cleanup_result PGresult *result = NULL;
    pgsql_text(&call, secret);
    pgsql_number(&call, *version);
    pgsql_text_or_null(&call, filter->tenant);
    pgsql_text_or_null(&call, filter->secret);
    pgsql_text_or_null(&call, filter->key);
    pgsql_text_or_null(&call, filter->not_key);
    pgsql_number(&call, limit);
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    *count = PQntuples(result);
    for (int i = 0; code == 0 && i < *count; i++)
        code = visit_version(result, i, visit, context, error);
    if (*count > 0) {
        billet_text_copy(secret, 40, PQgetvalue(result, *count - 1, 0));
        *version = pgsql_integer(result, *count - 1, 1);
    }
    return code;
}

static int
list_versions(struct billet_store *store, const struct billet_secret_version_filter *filter,
              billet_secret_version_visit *visit, void *context, struct billet_error *error)
{
    char secret[40];
    int64_t version = filter->after_version;
    int64_t left = filter->limit > 0 ? filter->limit : INT64_MAX;
    int code = 0, count = PAGE;
    billet_text_copy(secret, sizeof(secret),
                     filter->after_secret != NULL ? filter->after_secret : "");
    for (int64_t page = PAGE; code == 0 && left > 0 && count == page; left -= count) {
        page = left < PAGE ? left : PAGE;
        code = visit_page(store, filter, secret, &version, page, &count, visit, context, error);
    }
    return code;
}

static int
rewrap_versions(struct billet_store *store, const struct billet_secret_rewrap *items, size_t count,
                size_t *changed, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_REWRAP, .what = "wrap secrets anew"};
    cleanup_json json_t *list = json_array();
    cleanup_free char *text = NULL;
    cleanup_result PGresult *result = NULL;
    *changed = 0;
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *envelope = NULL;
        int code = envelope_text(items[i].envelope, items[i].size, &envelope, error);
        if (code < 0)
            return code;
        json_t *item = json_pack("{s:s, s:I, s:s, s:s, s:s}", "secret", items[i].secret, "version",
                                 (json_int_t)items[i].version, "old_key", items[i].old_key,
                                 "new_key", items[i].new_key, "envelope", envelope + 2);
        if (json_array_append_new(list, item) != 0)
            return billet_error_no_memory(error);
    }
    text = billet_json_text(list);
    if (text == NULL)
        return billet_error_no_memory(error);
    pgsql_text(&call, text);
    /* When it runs twice the second finds nothing left to do, and counts nothing. */
    int code = pgsql_run(store, &call, &result, error);
    if (code == 0)
        *changed = (size_t)pgsql_integer(result, 0, 0);
    return code;
}

/* ---- bindings ------------------------------------------------------------------------- */

static int
bind_secret(struct billet_store *store, const struct billet_secret_binding *binding,
            const struct billet_activity *activity, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_BIND, .what = "bind a secret"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, binding->tenant);
    pgsql_text(&call, binding->environment);
    pgsql_text(&call, binding->option);
    pgsql_text(&call, binding->name);
    pgsql_text(&call, binding->created_by);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    return pgsql_run(store, &call, &result, error);
}

static int
unbind_secret(struct billet_store *store, const char *tenant, const char *environment,
              const char *option, const char *name, const struct billet_activity *activity,
              struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_UNBIND, .what = "unbind a secret"};
    cleanup_free char *rows = NULL;
    cleanup_result PGresult *result = NULL;
    int code = pgsql_activities(activity, activity != NULL, &rows, error);
    if (code < 0)
        return code;
    pgsql_text(&call, tenant);
    pgsql_text_or_null(&call, environment);
    pgsql_text_or_null(&call, option);
    pgsql_text_or_null(&call, name);
    pgsql_operation(&call, NULL);
    pgsql_text(&call, rows);
    return pgsql_run(store, &call, &result, error);
}

static int
list_bindings(struct billet_store *store, const char *tenant, const char *environment,
              const char *option, const char *name, billet_secret_binding_visit *visit,
              void *context, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_BINDINGS, .what = "list bindings"};
    cleanup_result PGresult *result = NULL;
    pgsql_text_or_null(&call, tenant);
    pgsql_text_or_null(&call, environment);
    pgsql_text_or_null(&call, option);
    pgsql_text_or_null(&call, name);
    int code = pgsql_run(store, &call, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++) {
        const struct billet_secret_binding row = {
            .tenant = PQgetvalue(result, i, 0),
            .environment = PQgetvalue(result, i, 1),
            .option = PQgetvalue(result, i, 2),
            .name = PQgetvalue(result, i, 3),
            .created_by = PQgetvalue(result, i, 4),
            .created_ns = pgsql_integer(result, i, 5),
        };
        code = visit(&row, context);
    }
    return code;
}

/* ---- the chain of uses ---------------------------------------------------------------- */

static int
read_head(struct billet_store *store, int64_t *sequence, char hash[65], int64_t *now_ns,
          struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_AUDIT_HEAD,
                              .what = "read the head of the chain of uses"};
    cleanup_result PGresult *result = NULL;
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0)
        return code;
    if (PQntuples(result) != 1)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "store_corrupt",
                                "the database %s has no head of the chain of uses",
                                store->location);
    *sequence = pgsql_integer(result, 0, 0);
    billet_text_copy(hash, 65, PQgetvalue(result, 0, 1));
    *now_ns = pgsql_integer(result, 0, 2);
    return 0;
}

static int
audit_head(struct billet_store *store, int64_t *sequence, char hash[65], struct billet_error *error)
{
    int64_t now_ns;
    return read_head(store, sequence, hash, &now_ns, error);
}

/* Behind the head with the hash previous; *added false: another row was faster. */
static int
put_row(struct billet_store *store, const struct billet_audit_row *row, const char *previous,
        bool *added, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_AUDIT_ADD,
                              .what = "record the use of a secret"};
    struct pgsql_call look = {.which = STATEMENT_SECRET_AUDIT_SEEN, .what = call.what};
    cleanup_result PGresult *result = NULL, *found = NULL;
    const char *const texts[] = {row->environment, row->option,  row->lease, row->actor,
                                 row->purpose,     row->outcome, row->hash,  previous};
    pgsql_number(&call, row->sequence);
    pgsql_number(&call, row->time_ns);
    pgsql_text(&call, row->tenant);
    pgsql_text(&call, row->name);
    pgsql_text(&call, row->secret);
    pgsql_number(&call, row->version);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        pgsql_text(&call, texts[i]);
    int code = pgsql_run(store, &call, &result, error);
    *added = code == 0 && PQntuples(result) > 0;
    if (code < 0 || *added || !call.repeated)
        return code;
    pgsql_number(&look, row->sequence);
    pgsql_text(&look, row->hash);
    code = pgsql_run(store, &look, &found, error);
    *added = code == 0 && PQntuples(found) > 0;
    return code;
}

static int
audit_add(struct billet_store *store, const struct billet_audit_row *row, billet_audit_hash *hash,
          struct billet_error *error)
{
    int64_t deadline_ns = billet_clock_monotonic() + store->timeout_ns;
    struct billet_audit_row made = *row;
    char previous[65], own[65];
    for (unsigned attempts = 0;; attempts++) {
        bool added = false;
        int code = read_head(store, &made.sequence, previous, &made.time_ns, error);
        if (code < 0)
            return code;
        made.sequence++;
        hash(&made, previous, own);
        made.hash = own;
        code = put_row(store, &made, previous, &added, error);
        if (code < 0 || added)
            return code;
        if (billet_clock_monotonic() >= deadline_ns) {
            billet_error_set(error, BILLET_CLASS_TIMEOUT, "store_busy",
                             "cannot record the use of a secret: others wrote to the chain of "
                             "uses all the time");
            return billet_error_hint(error, "repeat it; or raise timeout in [store] url");
        }
        /* Those who lost a round do not all come back at once: the server's clock sets them apart.
         */
        unsigned spread = attempts < PAUSE_MAX_MS ? attempts + 1 : PAUSE_MAX_MS;
        poll(NULL, 0, (int)((uint64_t)(made.time_ns / 1000) % spread));
    }
}

static int
audit_list(struct billet_store *store, int64_t after, int64_t limit, billet_audit_visit *visit,
           void *context, struct billet_error *error)
{
    int64_t left = limit > 0 ? limit : INT64_MAX;
    int code = 0, count = PAGE;
    for (int64_t page = PAGE; code == 0 && left > 0 && count == page; left -= count) {
        struct pgsql_call call = {.which = STATEMENT_SECRET_AUDIT_LIST,
                                  .what = "read the chain of uses"};
        cleanup_result PGresult *result = NULL;
        page = left < PAGE ? left : PAGE;
        pgsql_number(&call, after);
        pgsql_number(&call, page);
        code = pgsql_run(store, &call, &result, error);
        count = code == 0 ? PQntuples(result) : 0;
        for (int i = 0; code == 0 && i < count; i++) {
            const struct billet_audit_row row = {
                .sequence = after = pgsql_integer(result, i, 0),
                .time_ns = pgsql_integer(result, i, 1),
                .tenant = PQgetvalue(result, i, 2),
                .name = PQgetvalue(result, i, 3),
                .secret = PQgetvalue(result, i, 4),
                .version = pgsql_integer(result, i, 5),
                .environment = PQgetvalue(result, i, 6),
                .option = PQgetvalue(result, i, 7),
                .lease = PQgetvalue(result, i, 8),
                .actor = PQgetvalue(result, i, 9),
                .purpose = PQgetvalue(result, i, 10),
                .outcome = PQgetvalue(result, i, 11),
                .hash = PQgetvalue(result, i, 12),
            };
            code = visit(&row, context);
        }
    }
    return code;
}

static int
audit_whole(struct billet_store *store, struct billet_error *error)
{
    struct pgsql_call call = {.which = STATEMENT_SECRET_AUDIT_WHOLE,
                              .what = "see whose uses may be read"};
    cleanup_result PGresult *result = NULL;
    int code = pgsql_run(store, &call, &result, error);
    if (code < 0 || PQgetvalue(result, 0, 0)[0] == '\0')
        return code;
    billet_error_set(error, BILLET_CLASS_CONFIG, "audit_partial",
                     "the role of [store] url sees the uses of tenant %s only, and the chain goes "
                     "through those of all",
                     PQgetvalue(result, 0, 0));
    return billet_error_hint(error, "verify it as a role that is bound to no tenant");
}

const struct billet_secret_table pgsql_secret_table = {
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
    .audit_whole = audit_whole,
};
