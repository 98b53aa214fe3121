/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/fail.h"
#include "../common/fence.h"
#include "guest.h"
#include "install.h"
#include "keeper.h"

#define SCHEME "ssh:"
#define FACT_DIRECTORY "directory"
#define FACT_LOCKED "locked"
#define FACT_LEASE_DIRECTORY "lease_directory"
#define FACT_GUEST "guest"
#define FACT_GUEST_MISSING "guest_missing" /* why */
#define FACT_TREES "trees"                 /* where workspaces may be kept between leases */
#define FACT_ASSETS "asset_cache"          /* where assets are kept between leases */
#define TREES ".trees"                     /* below remote_directory, where no lease is called so */
#define LIST_MAX 65536u

int
ssh_check_call(const struct billet_call *call, uint64_t known, struct billet_error *error)
{
    if (call->flags & ~known)
        return billet_fail(error, BILLET_CLASS_CONFIG, "flag_unknown",
                           "unknown flags %#llx of a call",
                           (unsigned long long)(call->flags & ~known));
    if (call->identity == NULL)
        return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                           "the call does not say for which lease it is");
    return 0;
}

/* ---- reference: ssh:[USER@]HOST:PORT:LEASE ---------------------------------------------- */

static bool
is_lease_id(const char *lease)
{
    size_t length = strlen(lease);
    return length > 0 && length < SSH_LEASE_MAX && lease[0] != '-' &&
           strspn(lease, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               length;
}

static int
make_reference(const struct ssh_settings *settings, const char *lease, char *reference,
               struct billet_error *error)
{
    char target[400];
    if (!is_lease_id(lease))
        return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                           "'%.80s' is not a lease id", lease);
    ssh_settings_target(settings, target, sizeof(target));
    snprintf(reference, BILLET_REF_MAX, SCHEME "%s:%s", target, lease);
    return 0;
}

/* The lease that a reference names; it must be on the host that the configuration names, or a
 * changed host would be asked for what another one has. */
static int
read_reference(const struct ssh_settings *settings, const char *reference, const char *identity,
               char lease[SSH_LEASE_MAX], struct billet_error *error)
{
    const char *id = identity;
    if (reference[0] != '\0') {
        char target[400];
        ssh_settings_target(settings, target, sizeof(target));
        const char *colon = strrchr(reference, ':');
        size_t length = strlen(target);
        if (strncmp(reference, SCHEME, strlen(SCHEME)) != 0 || colon == NULL)
            return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                               "'%.200s' is not a reference of the ssh driver", reference);
        id = colon + 1;
        const char *from = reference + strlen(SCHEME);
        if ((size_t)(colon - from) != length || memcmp(from, target, length) != 0) {
            billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                        "the lease is at %.*s, and the environment's host is %.200s",
                        (int)(colon - from < 200 ? colon - from : 200), from, target);
            return billet_fail_hint(error, "set host, user and port of the environment back");
        }
        if (identity[0] != '\0' && strcmp(id, identity) != 0)
            return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                               "reference '%.200s' belongs to another lease than %.64s", reference,
                               identity);
    }
    if (!is_lease_id(id))
        return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                           "'%.80s' is not a lease id", id);
    snprintf(lease, SSH_LEASE_MAX, "%s", id);
    return 0;
}

/* ---- requests ----------------------------------------------------------------------------- */

static int
ask(struct ssh_keeper *keeper, struct ssh_text *request, int64_t deadline_ns,
    struct ssh_answer *answer, ssh_item_visit *visit, void *context, struct billet_error *error)
{
    int status =
        request->failed
            ? billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory")
            : ssh_keeper_ask(keeper, request->bytes, deadline_ns, answer, visit, context, error);
    ssh_text_free(request);
    return status;
}

static void
add_words(struct ssh_text *request, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        ssh_text_add(request, " ");
        ssh_text_word(request, words[i]);
    }
}

/* The words for "failed" are there; other refusals have their own answers. */
static int
refused(const struct ssh_answer *answer, const char *lease, const char *directory,
        struct billet_error *error)
{
    if (strcmp(answer->text, "lost") == 0)
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                           "lease %s is not on the host any more", lease);
    if (strcmp(answer->text, "locked") == 0) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "workspace_locked",
                    "another lease works in %.300s on the host", directory);
        return billet_fail_hint(error, "wait until it ends; fuser -v %.200s shows its shell there",
                                directory);
    }
    if (strncmp(answer->text, "processes", 9) == 0) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "processes_left",
                    "processes of lease %s on the host did not end:%.200s", lease,
                    answer->text + 9);
        return billet_fail_hint(error, "they may be stuck in the kernel (state D in ps)");
    }
    return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_failed",
                       "the host gave an answer that is not understood: %.200s", answer->text);
}

static int
open_on_host(const struct billet_call *call, const struct ssh_settings *settings,
             struct billet_lease_handle *handle, struct ssh_keeper *keeper, const char *how,
             struct billet_error *error)
{
    struct ssh_answer answer;
    struct ssh_text request = {0};
    char fence[24], generation[24], run[BILLET_FENCE_RUN + 1];
    snprintf(fence, sizeof(fence), "%llu", (unsigned long long)call->identity->fence);
    snprintf(generation, sizeof(generation), "%llu",
             (unsigned long long)call->identity->generation);
    snprintf(run, sizeof(run), "%s", call->identity->run);
    const char *deployment =
        call->identity->deployment[0] != '\0' ? call->identity->deployment : "-";
    const char *words[] = {
        settings->remote_directory, handle->lease, deployment, fence, generation, run, how, NULL};
    ssh_text_add(&request, "open");
    add_words(&request, words);
    int status = ask(keeper, &request, call->deadline_ns, &answer, NULL, NULL, error);
    if (status > 0 && strncmp(answer.text, "fenced ", 7) == 0)
        return billet_fence_refuse(call->identity, strtoull(answer.text + 7, NULL, 10), error);
    if (status != 0)
        return status < 0 ? status : refused(&answer, handle->lease, "", error);
    /* It becomes a word of the line that the login shell reads. */
    if (answer.text[0] != '/' || strpbrk(answer.text, "'\\!") != NULL) {
        billet_fail(
            error, BILLET_CLASS_CONFIG, "value_invalid",
            "the directory %.300s on the host has a quote, a backslash or a '!' in its name",
            answer.text);
        return billet_fail_hint(error, "set remote_directory to another place");
    }
    snprintf(handle->lease_directory, sizeof(handle->lease_directory), "%.4000s", answer.text);
    return 0;
}

static int
lock_on_host(struct billet_lease_handle *handle, struct ssh_keeper *keeper, const char *directory,
             int64_t deadline_ns, struct billet_error *error)
{
    struct ssh_answer answer;
    struct ssh_text request = {0};
    const char *words[] = {directory, NULL};
    ssh_text_add(&request, "lock");
    add_words(&request, words);
    int status = ask(keeper, &request, deadline_ns, &answer, NULL, NULL, error);
    if (status != 0)
        return status < 0 ? status : refused(&answer, handle->lease, directory, error);
    snprintf(handle->locked, sizeof(handle->locked), "%.4000s", answer.text);
    snprintf(handle->directory, sizeof(handle->directory), "%.4000s", answer.text);
    return 0;
}

/* ---- the handle ----------------------------------------------------------------------------- */

static void
free_handle(struct billet_lease_handle *handle)
{
    ssh_guest_drop(handle->serving);
    ssh_keeper_close(handle->keeper);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

static struct billet_lease_handle *
make_handle(const char *lease)
{
    struct billet_lease_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return NULL;
    snprintf(handle->lease, sizeof(handle->lease), "%s", lease);
    pthread_mutex_init(&handle->lock, NULL);
    return handle;
}

/* With the handle's lock held, and nothing running over the connection that was lost. */
static int
connect_anew(const struct billet_call *call, struct billet_lease_handle *handle,
             struct billet_error *error)
{
    struct ssh_settings settings;
    struct ssh_keeper *made = NULL;
    int status = ssh_settings_read(call, &settings, error);
    if (status == 0)
        status = ssh_keeper_open(call, &settings, &made, error);
    if (status == 0)
        status = open_on_host(call, &settings, handle, made, "share", error);
    if (status == 0 && handle->locked[0] != '\0') {
        char directory[SSH_PATH_MAX];
        snprintf(directory, sizeof(directory), "%s", handle->locked);
        status = lock_on_host(handle, made, directory, call->deadline_ns, error);
    }
    if (status < 0) {
        ssh_keeper_close(made);
        return status;
    }
    ssh_host->log(ssh_host, BILLET_LOG_WARNING,
                  "the connection to the host was lost, and made again");
    ssh_guest_drop(handle->serving);
    handle->serving = NULL;
    ssh_keeper_close(handle->keeper);
    handle->keeper = made;
    return 0;
}

int
ssh_lease_enter(const struct billet_call *call, struct billet_lease_handle *handle,
                struct ssh_keeper **keeper, struct billet_error *error)
{
    int status = 0;
    pthread_mutex_lock(&handle->lock);
    if (!ssh_keeper_is_alive(handle->keeper))
        status = atomic_load(&handle->busy) > 0
                     ? billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                                   "the connection of lease %s was lost under a running command",
                                   handle->lease)
                     : connect_anew(call, handle, error);
    if (status == 0) {
        atomic_fetch_add(&handle->busy, 1);
        *keeper = handle->keeper;
    }
    pthread_mutex_unlock(&handle->lock);
    return status;
}

static int
open_guest(const struct billet_call *call, struct billet_lease_handle *handle,
           struct billet_error *error)
{
    struct ssh_settings settings;
    int status = ssh_settings_read(call, &settings, error);
    return status < 0 ? status
                      : ssh_guest_open(call, &settings, handle->keeper, handle->guest,
                                       &handle->serving, error);
}

struct ssh_guest *
ssh_lease_guest(const struct billet_call *call, struct billet_lease_handle *handle)
{
    struct ssh_guest *guest = NULL;
    struct billet_error why = BILLET_ERROR_INIT;
    pthread_mutex_lock(&handle->lock);
    if (handle->serving != NULL && !ssh_guest_is_alive(handle->serving)) {
        ssh_guest_drop(handle->serving);
        handle->serving = NULL;
    }
    if (handle->serving == NULL && !handle->guest_refused && open_guest(call, handle, &why) < 0) {
        char line[400];
        snprintf(line, sizeof(line), "going on without billet-guest: %.300s", why.message);
        ssh_host->log(ssh_host, BILLET_LOG_WARNING, line);
        /* The wait for it is not to be paid again, unless it was the connection's fault or the
         * caller went away. */
        handle->guest_refused =
            strcmp(why.code, "cancelled") != 0 &&
            (call->deadline_ns == 0 || billet_monotonic_ns() < call->deadline_ns) &&
            ssh_keeper_is_alive(handle->keeper);
    }
    if (handle->serving != NULL) {
        ssh_guest_hold(handle->serving);
        guest = handle->serving;
    }
    pthread_mutex_unlock(&handle->lock);
    return guest;
}

void
ssh_lease_leave(struct billet_lease_handle *handle)
{
    atomic_fetch_sub(&handle->busy, 1);
}

/* ---- acquire, resume --------------------------------------------------------------------- */

/* Beside the guest. */
static void
tell_cache(const struct billet_call *call, const char *guest)
{
    char cache[SSH_PATH_MAX + 8];
    const char *end = strrchr(guest, '/');
    if (end != NULL) {
        snprintf(cache, sizeof(cache), "%.*s/assets", (int)(end - guest), guest);
        ssh_host->fact(call, FACT_ASSETS, cache);
    }
}

static int
attach(const struct billet_call *call, const struct ssh_settings *settings, const char *lease,
       const char *how, struct billet_lease_handle **made, struct billet_error *error)
{
    struct billet_lease_handle *handle = make_handle(lease);
    if (handle == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    int status = ssh_keeper_open(call, settings, &handle->keeper, error);
    if (status == 0)
        status = open_on_host(call, settings, handle, handle->keeper, how, error);
    if (status < 0) {
        free_handle(handle);
        return status;
    }
    snprintf(handle->directory, sizeof(handle->directory), "%.4000s/work", handle->lease_directory);
    struct ssh_guest_place place;
    ssh_guest_install(call, handle, &place);
    if (place.path[0] == '\0') {
        char line[400];
        snprintf(line, sizeof(line), "working without billet-guest on the host: %s", place.why);
        ssh_host->log(ssh_host, BILLET_LOG_INFO, line);
    }
    snprintf(handle->guest, sizeof(handle->guest), "%s", place.path);
    ssh_host->fact(call, FACT_GUEST, place.path);
    tell_cache(call, place.path);
    ssh_host->fact(call, FACT_GUEST_MISSING, place.why);
    *made = handle;
    return 0;
}

int32_t
ssh_acquire(const struct billet_call *call, const struct billet_acquire *args,
            struct billet_acquired *result, struct billet_error *error)
{
    (void)args; /* the host keeps the directory until it is destroyed: any ttl is met */
    struct ssh_settings settings;
    struct billet_lease_handle *handle;
    char reference[BILLET_REF_MAX];
    int status = ssh_check_call(call, 0, error);
    if (status == 0)
        status = ssh_settings_read(call, &settings, error);
    if (status == 0)
        status = make_reference(&settings, call->identity->lease, reference, error);
    if (status == 0)
        status = attach(call, &settings, call->identity->lease, "acquire", &handle, error);
    if (status < 0)
        return status;
    ssh_host->fact(call, FACT_LEASE_DIRECTORY, handle->lease_directory);
    char trees[SSH_PATH_MAX + sizeof(TREES)];
    snprintf(trees, sizeof(trees), "%s", handle->lease_directory);
    snprintf(strrchr(trees, '/') + 1, sizeof(TREES), "%s", TREES);
    ssh_host->fact(call, FACT_TREES, trees);
    result->handle = handle;
    result->expires_ns = 0;
    snprintf(result->ref, sizeof(result->ref), "%s", reference);
    return 0;
}

static const char *
find_fact(const struct billet_fact *facts, uint64_t count, const char *key)
{
    for (uint64_t i = 0; i < count; i++)
        if (strcmp(facts[i].key, key) == 0)
            return facts[i].value;
    return NULL;
}

int32_t
ssh_resume(const struct billet_call *call, const struct billet_resume *args,
           struct billet_acquired *result, struct billet_error *error)
{
    struct ssh_settings settings;
    struct billet_lease_handle *handle;
    char lease[SSH_LEASE_MAX];
    bool shared = (args->flags & BILLET_RESUME_SHARED) != 0;
    int status = ssh_check_call(call, 0, error);
    if (status == 0 && (args->flags & ~(uint64_t)BILLET_RESUME_SHARED) != 0)
        status = billet_fail(error, BILLET_CLASS_CONFIG, "flag_unknown", "unknown flags of resume");
    if (status == 0)
        status = ssh_settings_read(call, &settings, error);
    if (status == 0)
        status = read_reference(&settings, args->ref, call->identity->lease, lease, error);
    if (status == 0)
        status = attach(call, &settings, lease, shared ? "share" : "resume", &handle, error);
    if (status < 0)
        return status;
    const char *directory = find_fact(args->facts, args->fact_count, FACT_DIRECTORY);
    const char *locked = find_fact(args->facts, args->fact_count, FACT_LOCKED);
    if (directory != NULL)
        snprintf(handle->directory, sizeof(handle->directory), "%s", directory);
    /* Who shares the lease works under the lock of who holds it. */
    if (locked != NULL && locked[0] != '\0' && !shared)
        status = lock_on_host(handle, handle->keeper, locked, call->deadline_ns, error);
    if (status < 0) {
        free_handle(handle);
        return status;
    }
    result->handle = handle;
    result->expires_ns = 0;
    snprintf(result->ref, sizeof(result->ref), "%s", args->ref);
    return 0;
}

/* ---- release, destroy -------------------------------------------------------------------- */

static int
destroy_on_host(const struct billet_call *call, const struct ssh_settings *settings,
                struct ssh_keeper *keeper, const char *lease, bool dry, struct billet_error *error)
{
    struct ssh_answer answer;
    struct ssh_text request = {0};
    const char *words[] = {settings->remote_directory, lease, dry ? "dry" : "", NULL};
    ssh_text_add(&request, "destroy");
    add_words(&request, words);
    int status = ask(keeper, &request, call->deadline_ns, &answer, NULL, NULL, error);
    if (status == 0 && dry)
        ssh_host->log(ssh_host, BILLET_LOG_INFO, answer.text);
    return status > 0 ? refused(&answer, lease, "", error) : status;
}

static int
stop_on_host(const struct billet_call *call, struct ssh_keeper *keeper, const char *lease,
             struct billet_error *error)
{
    struct ssh_answer answer;
    struct ssh_text request = {0};
    const char *words[] = {lease, NULL};
    ssh_text_add(&request, "stop");
    add_words(&request, words);
    int status = ask(keeper, &request, call->deadline_ns, &answer, NULL, NULL, error);
    return status > 0 ? refused(&answer, lease, "", error) : status;
}

static int
dispose(const struct billet_call *call, const struct ssh_settings *settings,
        struct billet_lease_handle *handle, int32_t disposition, struct billet_error *error)
{
    struct ssh_keeper *keeper;
    struct ssh_answer answer;
    int status = ssh_lease_enter(call, handle, &keeper, error);
    if (status < 0)
        return status;
    if (disposition == BILLET_DISPOSE_DESTROY)
        status = destroy_on_host(call, settings, keeper, handle->lease, false, error);
    else if (disposition == BILLET_DISPOSE_STOP)
        status = stop_on_host(call, keeper, handle->lease, error);
    else {
        if (handle->serving != NULL)
            ssh_guest_keep(handle->serving);
        status = ssh_keeper_ask(keeper, "keep", call->deadline_ns, &answer, NULL, NULL, error);
    }
    ssh_lease_leave(handle);
    return status;
}

int32_t
ssh_release(const struct billet_call *call, struct billet_lease_handle *handle, int32_t disposition,
            struct billet_error *error)
{
    struct ssh_settings settings;
    int status = ssh_settings_read(call, &settings, error);
    if (status == 0 && disposition != BILLET_DISPOSE_DESTROY &&
        disposition != BILLET_DISPOSE_STOP && disposition != BILLET_DISPOSE_KEEP)
        status = billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown disposition %d",
                             disposition);
    if (status == 0) {
        status = dispose(call, &settings, handle, disposition, error);
        /* That a connection has died may first show in the request. It is known now, and the second
         * attempt connects anew, or says why it cannot. */
        if (status == -BILLET_CLASS_LOST && strcmp(error->code, "connection_lost") == 0)
            status = dispose(call, &settings, handle, disposition, error);
    }
    free_handle(handle);
    return status;
}

int32_t
ssh_destroy(const struct billet_call *call, const struct billet_destroy *args,
            struct billet_error *error)
{
    struct ssh_settings settings;
    struct ssh_keeper *keeper = NULL;
    char lease[SSH_LEASE_MAX];
    int status = ssh_check_call(call, BILLET_CALL_DRY_RUN, error);
    if (status == 0)
        status = ssh_settings_read(call, &settings, error);
    if (status == 0)
        status = read_reference(&settings, args->ref, call->identity->lease, lease, error);
    if (status == 0)
        status = ssh_keeper_open(call, &settings, &keeper, error);
    if (status == 0)
        status = destroy_on_host(call, &settings, keeper, lease,
                                 (call->flags & BILLET_CALL_DRY_RUN) != 0, error);
    ssh_keeper_close(keeper);
    return status;
}

/* ---- list -------------------------------------------------------------------------------- */

struct listing {
    const struct billet_call *call;
    const struct ssh_settings *settings;
    unsigned count;
};

/* "NAME NOW DEPLOYMENT FENCE GENERATION MADE"; without a label only the first two. */
static void
report(const char *item, void *context)
{
    struct listing *listing = context;
    char lease[SSH_LEASE_MAX], deployment[80] = "", reference[BILLET_REF_MAX];
    long long now = 0, made = 0;
    unsigned long long fence = 0, generation = 0;
    int fields = sscanf(item, "%63s %lld %79s %llu %llu %lld", lease, &now, deployment, &fence,
                        &generation, &made);
    if (fields < 2 || ++listing->count > LIST_MAX ||
        make_reference(listing->settings, lease, reference, NULL) < 0)
        return;
    if (strcmp(deployment, "-") == 0)
        deployment[0] = '\0';
    bool aged = fields == 6 && now >= made && now - made < 1000000000;
    struct billet_resource resource = {
        .struct_size = sizeof(resource),
        .ref = reference,
        .deployment = deployment,
        .lease = lease,
        .fence = fence,
        .generation = generation,
        .age_ns = aged ? (now - made) * BILLET_NS_PER_SECOND : -1,
    };
    ssh_host->resource(listing->call, &resource);
}

int32_t
ssh_list(const struct billet_call *call, struct billet_error *error)
{
    struct ssh_settings settings;
    struct ssh_keeper *keeper = NULL;
    struct ssh_answer answer;
    struct ssh_text request = {0};
    struct listing listing = {.call = call, .settings = &settings};
    int status = ssh_settings_read(call, &settings, error);
    if (status == 0)
        status = ssh_keeper_open(call, &settings, &keeper, error);
    if (status < 0)
        return status;
    const char *words[] = {settings.remote_directory, NULL};
    ssh_text_add(&request, "list");
    add_words(&request, words);
    status = ask(keeper, &request, call->deadline_ns, &answer, report, &listing, error);
    ssh_keeper_close(keeper);
    if (status == 0 && listing.count > LIST_MAX)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "too_large",
                           "more than %u leases on the host", LIST_MAX);
    return status > 0 ? refused(&answer, "", "", error) : status;
}

/* ---- realize ----------------------------------------------------------------------------- */

int32_t
ssh_realize(const struct billet_call *call, struct billet_lease_handle *handle,
            const struct billet_realize *args, struct billet_realized *result,
            struct billet_error *error)
{
    static const char code[] = "workspace_realization_failed";
    struct ssh_settings settings;
    struct ssh_keeper *keeper;
    int status = ssh_check_call(call, 0, error);
    if (status == 0)
        status = ssh_settings_read(call, &settings, error);
    /* A copy is carried to the lease's own directory by the core, through exec. */
    if (status == 0 && args->mode != BILLET_WORKSPACE_NONE &&
        args->mode != BILLET_WORKSPACE_IN_PLACE && args->mode != BILLET_WORKSPACE_COPY)
        status = billet_fail(error, BILLET_CLASS_CONFIG, code,
                             "the ssh driver has the workspace modes in_place, copy and none");
    if (status == 0 && args->mode == BILLET_WORKSPACE_IN_PLACE &&
        settings.workspace_directory == NULL) {
        billet_fail(error, BILLET_CLASS_CONFIG, code,
                    "workspace = in_place needs a directory on the host");
        status = billet_fail_hint(error, "set workspace_directory in the environment");
    }
    if (status < 0)
        return status;
    if (args->mode == BILLET_WORKSPACE_IN_PLACE && handle->locked[0] == '\0') {
        status = ssh_lease_enter(call, handle, &keeper, error);
        if (status < 0)
            return status;
        status =
            lock_on_host(handle, keeper, settings.workspace_directory, call->deadline_ns, error);
        ssh_lease_leave(handle);
        if (status < 0)
            return status;
        ssh_host->fact(call, FACT_LOCKED, handle->locked);
    }
    ssh_host->fact(call, FACT_DIRECTORY, handle->directory);
    snprintf(result->directory, sizeof(result->directory), "%s", handle->directory);
    return 0;
}
