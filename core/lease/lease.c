/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "base/uuid.h"
#include "lease/action.h"
#include "lease/owner.h"

#define ROWS_MAX 256 /* collected between two steps; more is a bug of the caller */
#define BACKOFF_FIRST BILLET_NS_PER_SECOND
#define BACKOFF_LAST (300 * BILLET_NS_PER_SECOND)

struct billet_lease_row {
    char *action;
    char *details;
};

static void
drop_rows(struct billet_lease_session *session)
{
    for (size_t i = 0; i < session->row_count; i++) {
        free(session->rows[i].action);
        free(session->rows[i].details);
    }
    session->row_count = 0;
}

void
billet_lease_session_free(struct billet_lease_session *session)
{
    if (session == NULL)
        return;
    drop_rows(session);
    free(session->rows);
    free(session->actor);
    billet_lease_free(&session->lease);
    *session = (struct billet_lease_session)BILLET_LEASE_SESSION_INIT;
}

int
billet_lease_add(struct billet_lease_session *session, const char *action, const char *details,
                 struct billet_error *error)
{
    if (!billet_action_is_known(action))
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "'%s' is not in the table of actions", action);
    if (session->row_count == ROWS_MAX)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "more than %d activities in one step", ROWS_MAX);
    if (session->row_count == session->row_capacity) {
        size_t capacity = session->row_capacity * 2 + 4;
        struct billet_lease_row *rows = realloc(session->rows, capacity * sizeof(*rows));
        if (rows == NULL)
            return billet_error_no_memory(error);
        session->rows = rows;
        session->row_capacity = capacity;
    }
    struct billet_lease_row row = {strdup(action), strdup(details != NULL ? details : "{}")};
    if (row.action == NULL || row.details == NULL) {
        free(row.action);
        free(row.details);
        return billet_error_no_memory(error);
    }
    session->rows[session->row_count++] = row;
    return 0;
}

struct billet_activity
billet_lease_activity(const struct billet_lease *lease, const char *action, const char *actor,
                      int64_t fence, const char *details)
{
    return (struct billet_activity){
        .action = action,
        .tenant = lease->tenant,
        .environment = lease->environment,
        .lease = lease->id,
        .run = lease->run,
        .agent = lease->agent,
        .issue = lease->issue,
        .actor = actor,
        .fence = fence,
        .details = details,
    };
}

static const char *
text_of(const char *text)
{
    return text != NULL ? text : "";
}

struct billet_identity
billet_lease_identity(const struct billet_lease *lease, const char *deployment)
{
    return (struct billet_identity){
        .struct_size = sizeof(struct billet_identity),
        .deployment = deployment,
        .tenant = text_of(lease->tenant),
        .environment = text_of(lease->environment),
        .lease = text_of(lease->id),
        .run = text_of(lease->run),
        .agent = text_of(lease->agent),
        .issue = text_of(lease->issue),
        .fence = (uint64_t)lease->fence,
        .generation = (uint64_t)lease->generation,
    };
}

/* The rows of a step: the step's own, before those collected when it opens a phase (activate),
 * behind them when it closes one. own may be NULL. At most ROWS_MAX + 1. */
static size_t
make_rows(const struct billet_lease_session *session, const char *own, const char *details,
          bool own_first, int64_t fence, struct billet_activity *rows)
{
    size_t count = 0;
    if (own != NULL && own_first)
        rows[count++] = billet_lease_activity(&session->lease, own, session->actor, fence, details);
    for (size_t i = 0; i < session->row_count; i++)
        rows[count++] = billet_lease_activity(&session->lease, session->rows[i].action,
                                              session->actor, fence, session->rows[i].details);
    if (own != NULL && !own_first)
        rows[count++] = billet_lease_activity(&session->lease, own, session->actor, fence, details);
    return count;
}

static char *
reason_details(const char *reason)
{
    cleanup_json json_t *object = json_object();
    if (object == NULL || (reason != NULL && !billet_json_set_bytes(object, "reason", reason)))
        return NULL;
    return billet_json_text(object);
}

static bool
is_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

static int
start_session(struct billet_lease_session *session, struct billet_store *store, const char *actor,
              int64_t ttl_ns, struct billet_error *error)
{
    *session = (struct billet_lease_session)BILLET_LEASE_SESSION_INIT;
    session->store = store;
    session->ttl_ns = ttl_ns > 0 ? ttl_ns : BILLET_LEASE_TTL_NS;
    session->actor = strdup(actor);
    return session->actor != NULL ? 0 : billet_error_no_memory(error);
}

int
billet_lease_begin(struct billet_lease_session *session, struct billet_store *store,
                   const struct billet_lease *wanted, const char *actor, int64_t ttl_ns,
                   struct billet_error *error)
{
    char id[BILLET_UUID_SIZE], owner[BILLET_OWNER_SIZE];
    struct billet_lease lease = *wanted;
    struct billet_activity first;
    int result = 0;
    if (lease.id == NULL) {
        billet_uuid_make(id);
        lease.id = id;
    }
    if (lease.owner == NULL) {
        result = billet_owner_self(owner, error);
        lease.owner = owner;
    }
    lease.facts = is_empty(lease.facts) ? (char *)"{}" : lease.facts;
    lease.configuration = is_empty(lease.configuration) ? (char *)"{}" : lease.configuration;
    lease.state = BILLET_LEASE_ACQUIRING;
    lease.fence = lease.generation = 1;
    lease.created_ns = lease.updated_ns = lease.expires_ns = lease.ended_ns = 0;
    lease.cleanup_attempts = lease.next_cleanup_ns = 0;
    if (result == 0)
        result = start_session(session, store, actor, ttl_ns, error);
    if (result == 0)
        result = billet_lease_copy(&session->lease, &lease, error);
    if (result == 0) {
        first = billet_lease_activity(&session->lease, "lease.requested", session->actor, 1, "{}");
        int64_t sent = billet_clock_boottime();
        result = billet_store_of(store)->lease_insert(store, &session->lease, session->ttl_ns,
                                                      &first, 1, error);
        session->confirmed_ns = sent;
    }
    if (result < 0)
        billet_lease_session_free(session);
    return result;
}

int
billet_lease_attach(struct billet_lease_session *session, struct billet_store *store,
                    const char *tenant, const char *id, const char *actor,
                    struct billet_error *error)
{
    int result = start_session(session, store, actor, 0, error);
    if (result == 0)
        result = billet_store_of(store)->lease_get(store, tenant, id, &session->lease, error);
    if (result < 0)
        billet_lease_session_free(session);
    return result;
}

static int
write_notes(struct billet_lease_session *session, int64_t fence, struct billet_error *error)
{
    if (session->row_count == 0)
        return 0;
    struct billet_activity rows[ROWS_MAX + 1];
    size_t count = make_rows(session, NULL, NULL, false, session->lease.fence, rows);
    int result = billet_store_of(session->store)
                     ->lease_note(session->store, session->lease.id, fence, rows, count, error);
    if (result == 0)
        drop_rows(session);
    return result;
}

int
billet_lease_flush(struct billet_lease_session *session, struct billet_error *error)
{
    return write_notes(session, session->lease.fence, error);
}

int
billet_lease_note(struct billet_lease_session *session, const char *action, const char *details,
                  struct billet_error *error)
{
    int result = billet_lease_add(session, action, details, error);
    return result < 0 ? result : billet_lease_flush(session, error);
}

int
billet_lease_note_any(struct billet_lease_session *session, const char *action, const char *details,
                      struct billet_error *error)
{
    int result = billet_lease_add(session, action, details, error);
    return result < 0 ? result : write_notes(session, 0, error);
}

static void
set_facts(struct billet_lease_change *change, const struct billet_lease_facts *facts)
{
    if (facts == NULL)
        return;
    change->ref = facts->ref;
    change->facts = facts->facts;
    change->directory = facts->directory;
    change->command = facts->command;
    change->outcome = facts->outcome;
}

/* One step: the change, its own row and those collected, and what the lease is then. */
static int
step(struct billet_lease_session *session, struct billet_lease_change *change, const char *action,
     const char *reason, bool action_first, struct billet_error *error)
{
    struct billet_activity rows[ROWS_MAX + 1];
    cleanup_free char *details = reason_details(reason);
    if (details == NULL)
        return billet_error_no_memory(error);
    change->id = session->lease.id;
    change->expected = session->lease.state;
    change->fence = session->lease.fence;
    change->owner_is = session->lease.owner;
    int64_t fence = change->fence + change->bump_fence;
    size_t count = make_rows(session, action, details, action_first, fence, rows);
    int64_t sent = billet_clock_boottime();
    int result = billet_store_of(session->store)
                     ->lease_change(session->store, change, rows, count, &session->lease, error);
    if (result < 0)
        return result;
    if (change->ttl_ns > 0)
        session->confirmed_ns = sent;
    drop_rows(session);
    return 0;
}

int
billet_lease_activate(struct billet_lease_session *session, const struct billet_lease_facts *facts,
                      struct billet_error *error)
{
    struct billet_lease_change change = {.state = BILLET_LEASE_ACTIVE, .ttl_ns = session->ttl_ns};
    set_facts(&change, facts);
    return step(session, &change, "lease.acquired", NULL, true, error);
}

int
billet_lease_update(struct billet_lease_session *session, const struct billet_lease_facts *facts,
                    struct billet_error *error)
{
    struct billet_lease_change change = {.state = session->lease.state};
    set_facts(&change, facts);
    return step(session, &change, NULL, NULL, false, error);
}

int
billet_lease_retain(struct billet_lease_session *session, int64_t held_ttl_ns,
                    const struct billet_lease_facts *facts, struct billet_error *error)
{
    struct billet_lease_change change = {
        .state = BILLET_LEASE_RETAINED, .ttl_ns = held_ttl_ns, .owner = ""};
    if (held_ttl_ns <= 0)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "a lease is held for more than no time");
    set_facts(&change, facts);
    return step(session, &change, "lease.retained", NULL, false, error);
}

/* NULL keeps it. */
static int
replace_text(char **text, const char *other, struct billet_error *error)
{
    char *copy = other != NULL ? strdup(other) : NULL;
    if (other != NULL && copy == NULL)
        return billet_error_no_memory(error);
    if (copy != NULL) {
        free(*text);
        *text = copy;
    }
    return 0;
}

int
billet_lease_resume(struct billet_lease_session *session, struct billet_error *error)
{
    static const struct billet_lease_taker same = {0};
    return billet_lease_hand_over(session, &same, error);
}

int
billet_lease_hand_over(struct billet_lease_session *session, const struct billet_lease_taker *taker,
                       struct billet_error *error)
{
    char owner[BILLET_OWNER_SIZE];
    int result = billet_owner_self(owner, error);
    if (result < 0)
        return result;
    if (session->lease.state != BILLET_LEASE_RETAINED)
        return billet_error_set(error, BILLET_CLASS_LOST, "lease_lost",
                                "lease %s is %s, not retained", session->lease.id,
                                billet_lease_state_name(session->lease.state));
    struct billet_lease_change change = {
        .state = BILLET_LEASE_ACTIVE,
        .bump_fence = true,
        .bump_generation = true,
        .ttl_ns = session->ttl_ns,
        .owner = owner,
        .run = taker->run,
        .issue = taker->issue,
        .command = taker->command,
    };
    if (result == 0)
        result = replace_text(&session->lease.run, taker->run, error);
    if (result == 0)
        result = replace_text(&session->lease.issue, taker->issue, error);
    if (result < 0)
        return result;
    return step(session, &change, "lease.resumed", NULL, true, error);
}

int
billet_lease_start_release(struct billet_lease_session *session,
                           const struct billet_lease_facts *facts, const char *reason,
                           struct billet_error *error)
{
    char owner[BILLET_OWNER_SIZE];
    int result = billet_owner_self(owner, error);
    if (result < 0)
        return result;
    struct billet_lease_change change = {
        .state = BILLET_LEASE_RELEASING,
        .ttl_ns = session->ttl_ns,
        .bump_fence = strcmp(owner, session->lease.owner) != 0,
        .owner = owner,
        .reason = reason,
    };
    /* Again, for an end that did not come to its end: it is recorded once. */
    if (session->lease.state == BILLET_LEASE_RELEASING && !change.bump_fence)
        return 0;
    set_facts(&change, facts);
    return step(session, &change, "lease.releasing", reason, false, error);
}

int
billet_lease_finish(struct billet_lease_session *session, bool failed, const char *reason,
                    struct billet_error *error)
{
    struct billet_lease_change change = {
        .state = failed ? BILLET_LEASE_FAILED : BILLET_LEASE_RELEASED,
        .owner = "",
        .reason = reason,
    };
    return step(session, &change, failed ? "lease.failed" : "lease.released", reason, false, error);
}

int
billet_lease_cleanup_failed(struct billet_lease_session *session, const char *reason,
                            struct billet_error *error)
{
    struct billet_lease_change change = {
        .state = BILLET_LEASE_RELEASING,
        .owner = "",
        .reason = reason,
        .count_cleanup = true,
        .cleanup_delay_ns = billet_lease_backoff(session->lease.cleanup_attempts),
    };
    return step(session, &change, "lease.cleanup_failed", reason, false, error);
}

int
billet_lease_heartbeat(struct billet_lease_session *session, struct billet_error *error)
{
    int64_t sent = billet_clock_boottime();
    int result = billet_store_of(session->store)
                     ->lease_renew(session->store, session->lease.id, session->lease.fence,
                                   session->lease.owner, session->ttl_ns, error);
    if (result == 0)
        session->confirmed_ns = sent;
    return result;
}

int64_t
billet_lease_fence_deadline(const struct billet_lease_session *session)
{
    /* Two thirds whatever the TTL. */
    return session->confirmed_ns + session->ttl_ns / 3 * 2;
}

bool
billet_lease_must_fence(const struct billet_lease_session *session)
{
    return billet_clock_boottime() >= billet_lease_fence_deadline(session);
}

int64_t
billet_lease_backoff(int64_t attempts)
{
    uint32_t random = 0;
    int64_t delay = BACKOFF_FIRST;
    for (int64_t i = 0; i < attempts && delay < BACKOFF_LAST; i++)
        delay *= 2;
    if (delay > BACKOFF_LAST)
        delay = BACKOFF_LAST;
    /* Without randomness all wait the same: harmless. */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        random = 0;
    return delay - delay / 4 * (random % 1024) / 1024;
}
