/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_reuse.c - a resource that goes from run to run: found by whom it is for, judged by what
 * it was made from, handed over in one transaction.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "lease/machine.h"
#include "run/cleanup.h"
#include "run/session_private.h"

#define KEY_BYTES 16
#define RESUME_TRIES 3
#define RESUME_PAUSE_NS (BILLET_NS_PER_SECOND / 5)
#define CANDIDATES_MAX 64

/* ---- taking part ------------------------------------------------------------------ */

int
billet_session_choose_reuse(struct billet_session *session, struct billet_error *error)
{
    int asked = session->request->reuse;
    session->reuse = asked > 0 || (asked < 0 && session->environment.reuse);
    if (!session->reuse)
        return 0;
    if ((session->info->capabilities & BILLET_CAN_RESUME) != 0)
        return 0;
    billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                     "driver %s of environment '%s' cannot take up an existing resource",
                     session->info->name, session->environment.name);
    return billet_error_hint(error, "leave out reuse");
}

int
billet_session_check_reuse(struct billet_session *session, struct billet_error *error)
{
    const uint64_t bind = UINT64_C(1) << BILLET_WORKSPACE_BIND;
    if (!session->reuse || !billet_session_travels(session) || billet_session_is_far(session))
        return 0;
    if (session->mode_is_free && (session->info->workspace_modes & bind) != 0) {
        session->workspace_mode = BILLET_WORKSPACE_BIND;
        session->mode_is_free = false;
        return 0;
    }
    billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                     "a resource that is reused cannot have its workspace by %s",
                     billet_workspace_mode_name(session->workspace_mode));
    return billet_error_hint(error, "use --workspace-mode bind or in_place, or leave out reuse");
}

/* ---- what the resource is made from -------------------------------------------------- */

static void
add_text(crypto_generichash_state *state, const char *text)
{
    /* With its end, so that what comes next is not taken for a part of it. */
    text = text != NULL ? text : "";
    crypto_generichash_update(state, (const unsigned char *)text, strlen(text) + 1);
}

/* Which version of each stored secret the resource gets; the values themselves stay out. */
static int
add_secret_versions(struct billet_session *session, crypto_generichash_state *state,
                    struct billet_error *error)
{
    const struct billet_settings *settings = &session->environment.driver_settings;
    static const char scheme[] = "@secret:";
    for (size_t i = 0; i < settings->count; i++) {
        struct billet_secrets *secrets = NULL;
        struct billet_secret_record record = {0};
        char number[32];
        const char *value = settings->items[i].value;
        if (!billet_text_starts(value, scheme) || strchr(value + 1, '@') != NULL)
            continue;
        int result = billet_context_secrets(session->context, &secrets, error);
        if (result == 0)
            result = billet_secrets_find(secrets, value + sizeof(scheme) - 1, &record, error);
        if (result < 0)
            return result;
        snprintf(number, sizeof(number), "%lld", (long long)record.current);
        add_text(state, number);
    }
    return 0;
}

static int
make_key(struct billet_session *session, struct billet_error *error)
{
    crypto_generichash_state state;
    unsigned char hash[KEY_BYTES];
    cleanup_free char *text = billet_session_settings_text(session);
    if (text == NULL || sodium_init() < 0)
        return billet_error_no_memory(error);
    crypto_generichash_init(&state, (const unsigned char *)session->context->deployment,
                            crypto_generichash_KEYBYTES, sizeof(hash));
    add_text(&state, session->environment.driver);
    add_text(&state, session->info->version);
    add_text(&state, billet_workspace_mode_name(session->workspace_mode));
    add_text(&state, session->environment.provision);
    add_text(&state, text);
    for (size_t i = 0; i < session->assets.count; i++) {
        add_text(&state, session->assets.items[i].name);
        add_text(&state, session->assets.items[i].path);
    }
    int result = add_secret_versions(session, &state, error);
    crypto_generichash_final(&state, hash, sizeof(hash));
    sodium_bin2hex(session->reuse_key, sizeof(session->reuse_key), hash, sizeof(hash));
    return result;
}

/* ---- candidates -------------------------------------------------------------------------- */

struct candidate {
    char id[40];
    bool alike;
    bool old;
};

struct candidates {
    struct billet_session *session;
    struct candidate items[CANDIDATES_MAX];
    size_t count;
    int64_t now_ns;
};

static bool
same(const char *one, const char *other)
{
    return strcmp(one != NULL ? one : "", other != NULL ? other : "") == 0;
}

static int
collect(const struct billet_lease *lease, void *context)
{
    struct candidates *list = context;
    const struct billet_session *session = list->session;
    cleanup_json json_t *facts = NULL;
    int64_t most = session->environment.max_age_ns;
    if (list->count == CANDIDATES_MAX || lease->state != BILLET_LEASE_RETAINED ||
        strcmp(lease->policy, BILLET_REUSE_POLICY) != 0 ||
        !same(lease->environment, session->environment.name) ||
        !same(lease->agent, session->request->agent) ||
        !same(lease->workspace, session->workspace) || billet_machine_is_other(lease, NULL))
        return 0;
    if (lease->facts[0] != '\0')
        billet_json_parse(lease->facts, strlen(lease->facts), &facts, NULL);
    struct candidate *item = &list->items[list->count++];
    billet_text_copy(item->id, sizeof(item->id), lease->id);
    item->alike = strcmp(lease->driver, session->environment.driver) == 0 &&
                  strcmp(billet_json_string(facts, BILLET_REUSE_FACT, ""), session->reuse_key) == 0;
    item->old =
        lease->expires_ns <= list->now_ns || (most > 0 && lease->created_ns + most <= list->now_ns);
    return 0;
}

/* The row is being released, by us: remove the resource and end it, as failed when there is a
 * reason. */
static int
end_row(struct billet_session *session, struct billet_lease_session *lease, const char *reason,
        struct billet_error *error)
{
    struct billet_error why = BILLET_ERROR_INIT;
    if (billet_cleanup_resource(session->context, NULL, &lease->lease, &why) == 0)
        return billet_lease_finish(lease, reason != NULL, reason, error);
    billet_log(BILLET_LOG_WARNING, "%s", why.message);
    return billet_lease_cleanup_failed(lease, why.message, error);
}

void
billet_session_end_retained(struct billet_session *session, const char *id, const char *reason)
{
    struct billet_lease_session one = BILLET_LEASE_SESSION_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_lease_attach(&one, session->store, session->context->tenant, id,
                                     session->context->actor, &error);
    if (result == 0 && one.lease.state != BILLET_LEASE_RETAINED)
        result = -BILLET_CLASS_LOST; /* somebody else was faster */
    if (result == 0)
        result = billet_lease_start_release(&one, NULL, reason, &error);
    if (result == 0)
        result = end_row(session, &one, NULL, &error);
    if (result < 0 && result != -BILLET_CLASS_LOST)
        billet_log(BILLET_LOG_WARNING, "lease %s: %s", id, error.message);
    billet_lease_session_free(&one);
}

/* ---- the hand-over -------------------------------------------------------------------------- */

static bool
is_transient(int result)
{
    return result == -BILLET_CLASS_UNAVAILABLE || result == -BILLET_CLASS_TIMEOUT;
}

/* The driver's part; the row is ours. */
static int
resume_resource(struct billet_session *session, const json_t *facts, struct billet_error *error)
{
    struct billet_driver_lease taken = {0};
    int result = 0;
    for (int i = 0; i < RESUME_TRIES; i++) {
        const struct timespec pause = {.tv_nsec = RESUME_PAUSE_NS};
        if (i > 0)
            nanosleep(&pause, NULL);
        billet_error_clear(error);
        result = billet_driver_resume(session->client, &session->call, session->lease.lease.ref,
                                      facts, false, &taken, error);
        if (!is_transient(result) || !billet_driver_alive(session->client))
            break;
    }
    if (result < 0)
        return result;
    json_decref(taken.facts);
    session->held = true;
    if (session->workspace_mode > BILLET_WORKSPACE_NONE)
        result = billet_session_bring_again(session, facts, error);
    if (result == 0 && billet_session_travels(session))
        result = billet_session_travel_again(session, facts, error);
    if (result < 0) { /* as it was found, for whoever looks after it */
        struct billet_error ignored = BILLET_ERROR_INIT;
        billet_driver_release(session->client, &session->call, BILLET_DISPOSE_KEEP, &ignored);
    }
    return result;
}

/* What is known of the resource is that it is gone: the lease ends. Otherwise it goes back. */
static void
give_back(struct billet_session *session, int result, const struct billet_error *why)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_lease_session *lease = &session->lease;
    session->held = false;
    if (result == -BILLET_CLASS_LOST) {
        billet_log(BILLET_LOG_INFO, "the resource of lease %s is lost: %s", lease->lease.id,
                   why->message);
        if (billet_lease_start_release(lease, NULL, why->message, &error) == 0)
            end_row(session, lease, why->message, &error);
    } else {
        billet_log(BILLET_LOG_WARNING, "lease %s is kept and not used: %s%s%s", lease->lease.id,
                   why->message, why->hint[0] != '\0' ? "; " : "", why->hint);
        billet_lease_retain(lease, billet_session_duration(session->context, "held_lease_ttl"),
                            NULL, &error);
    }
    if (error.error_class != 0)
        billet_log(BILLET_LOG_WARNING, "lease %s: %s", lease->lease.id, error.message);
}

/* 1: it is ours and ready. 0: it is not, go on. */
static int
take(struct billet_session *session, const char *id, struct billet_error *error)
{
    const struct billet_session_request *request = session->request;
    struct billet_error why = BILLET_ERROR_INIT;
    cleanup_json json_t *facts = NULL;
    char run[BILLET_UUID_SIZE];
    billet_uuid_make(run);
    const struct billet_lease_taker taker = {.run = request->run != NULL ? request->run : run,
                                             .issue = request->issue != NULL ? request->issue : "",
                                             .command = request->command};
    struct billet_lease_session *lease = &session->lease;
    billet_text_copy(session->lease_id, sizeof(session->lease_id), id);
    /* Of a copy that could not be used the lock went, too. */
    int result = billet_session_travel_lock(session, error);
    if (result < 0)
        return result;
    result = billet_lease_attach(lease, session->store, session->context->tenant, id,
                                 session->context->actor, &why);
    if (result == 0) {
        lease->ttl_ns = billet_session_duration(session->context, "lease_ttl");
        result = billet_lease_hand_over(lease, &taker, &why);
    }
    if (result < 0)
        return 0; /* another run was faster, or the janitor */
    billet_session_fill_identity(session);
    result = billet_session_resolve_secrets(session, &why);
    if (result == 0)
        result = billet_json_parse(lease->lease.facts, strlen(lease->lease.facts), &facts, &why);
    if (result == 0)
        result = resume_resource(session, facts, &why);
    if (result == 0)
        result = billet_session_fill_variables(session, &why);
    if (result < 0) {
        give_back(session, result, &why);
        billet_session_travel_end(session, false);
        billet_run_secrets_free(&session->secrets);
        return 0;
    }
    session->made = session->realized = session->reused = true;
    if (!request->no_command)
        result = billet_session_add_start(session, error);
    return result < 0 ? result : 1;
}

int
billet_session_take_up(struct billet_session *session, struct billet_error *error)
{
    struct candidates list = {.session = session};
    const struct billet_lease_filter filter = {.tenant = session->context->tenant,
                                               .environment = session->environment.name,
                                               .live_only = true};
    /* First, since the run that is waited for may leave just what is sought. */
    int result = billet_session_travel_lock(session, error);
    if (result == 0)
        result = make_key(session, error);
    if (result == 0)
        result = billet_store_of(session->store)->now(session->store, &list.now_ns, error);
    if (result == 0)
        result = billet_store_of(session->store)
                     ->lease_list(session->store, &filter, collect, &list, error);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        const struct candidate *item = &list.items[i];
        if (!item->alike || item->old) {
            billet_session_end_retained(session, item->id,
                                        item->old ? "too old to be reused"
                                                  : "its environment has changed");
            continue;
        }
        if (session->reused)
            continue;
        result = take(session, item->id, error);
        if (!session->reused) {
            billet_lease_session_free(&session->lease);
            session->lease = (struct billet_lease_session)BILLET_LEASE_SESSION_INIT;
        }
        result = result > 0 ? 0 : result;
    }
    if (!session->reused)
        billet_session_travel_end(session, false);
    return result;
}
