/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/tree.h"
#include "label.h"

#define KILL_NS (10 * BILLET_NS_PER_SECOND)
#define GROUP_PREFIX "local-"
#define FACT_DIRECTORY "directory"

static atomic_int open_leases;

bool
local_lease_is_alone(void)
{
    return atomic_load(&open_leases) <= 1;
}

static int
check_call(const struct billet_call *call, uint64_t known, struct billet_error *error)
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

/* ---- acquire, resume ------------------------------------------------------------- */

static struct billet_cgroup_limits
wanted_limits(const struct billet_config *config)
{
    return (struct billet_cgroup_limits){
        .memory_max = billet_config_number(config, "memory_max", 0),
        .pids_max = billet_config_number(config, "pids_max", 0),
    };
}

static void
free_handle(struct billet_lease_handle *handle)
{
    billet_cgroup_close(&handle->group);
    billet_cgroup_site_close(&handle->site);
    billet_close_fd(&handle->directory_fd);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
    atomic_fetch_sub(&open_leases, 1);
}

static struct billet_lease_handle *
make_handle(const char *lease)
{
    struct billet_lease_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return NULL;
    snprintf(handle->lease, sizeof(handle->lease), "%s", lease);
    snprintf(handle->group_name, sizeof(handle->group_name), GROUP_PREFIX "%.56s", lease);
    handle->site = (struct billet_cgroup_site)BILLET_CGROUP_SITE_INIT;
    handle->group = (struct billet_cgroup)BILLET_CGROUP_INIT;
    handle->directory_fd = -1;
    pthread_mutex_init(&handle->lock, NULL);
    atomic_fetch_add(&open_leases, 1);
    return handle;
}

int32_t
local_acquire(const struct billet_call *call, const struct billet_acquire *args,
              struct billet_acquired *result, struct billet_error *error)
{
    (void)args; /* nothing here outlives the machine by itself: any ttl is met */
    char lease[LOCAL_LEASE_MAX];
    char reference[BILLET_REF_MAX];
    bool this_boot;
    int status = check_call(call, 0, error);
    if (status == 0)
        status = local_label_parse("", call->identity->lease, lease, &this_boot, error);
    if (status == 0)
        status = local_label_reference(lease, reference, error);
    if (status < 0)
        return status;
    struct billet_lease_handle *handle = make_handle(lease);
    if (handle == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    handle->made_here = true;
    struct billet_cgroup_limits limits = wanted_limits(call->config);
    billet_cgroup_site_open(&handle->site, limits.memory_max > 0 || limits.pids_max > 0);
    status = local_label_write(call->identity, error);
    if (status == 0) {
        status =
            billet_cgroup_create(&handle->site, handle->group_name, &limits, &handle->group, error);
        if (status < 0)
            local_label_remove(lease, NULL);
    }
    if (status < 0) {
        free_handle(handle);
        return status;
    }
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
local_resume(const struct billet_call *call, const struct billet_resume *args,
             struct billet_acquired *result, struct billet_error *error)
{
    char lease[LOCAL_LEASE_MAX];
    bool this_boot;
    int status = check_call(call, 0, error);
    if (status == 0 && (args->flags & ~(uint64_t)BILLET_RESUME_SHARED) != 0)
        status = billet_fail(error, BILLET_CLASS_CONFIG, "flag_unknown", "unknown flags of resume");
    if (status == 0)
        status = local_label_parse(args->ref, call->identity->lease, lease, &this_boot, error);
    if (status < 0)
        return status;
    if (!this_boot)
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                           "lease %s is from before this machine was started", lease);
    struct billet_lease_handle *handle = make_handle(lease);
    if (handle == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    struct billet_cgroup_limits limits = wanted_limits(call->config);
    bool limited = limits.memory_max > 0 || limits.pids_max > 0;
    billet_cgroup_site_open(&handle->site, limited);
    billet_cgroup_open(&handle->site, handle->group_name, &handle->group);
    if (local_label_exists(lease) == 0 && !billet_cgroup_exists(&handle->group)) {
        free_handle(handle);
        return billet_fail(error, BILLET_CLASS_LOST, "lease_lost",
                           "lease %s is not on this machine any more", lease);
    }
    status = local_label_allows(call->identity, (args->flags & BILLET_RESUME_SHARED) != 0, error);
    if (status < 0) {
        free_handle(handle);
        return status;
    }
    /* Made again when only the label is left, and given today's limits. */
    billet_cgroup_close(&handle->group);
    status =
        billet_cgroup_create(&handle->site, handle->group_name, &limits, &handle->group, error);
    if (status == 0)
        status = local_label_write(call->identity, error);
    const char *directory = find_fact(args->facts, args->fact_count, FACT_DIRECTORY);
    if (status == 0 && directory != NULL) {
        handle->directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (handle->directory_fd < 0)
            status = billet_fail_errno(error, BILLET_CLASS_LOST, "workspace_realization_failed",
                                       errno, "cannot open the workspace %s", directory);
    }
    if (status < 0) {
        free_handle(handle);
        return status;
    }
    result->handle = handle;
    result->expires_ns = 0;
    snprintf(result->ref, sizeof(result->ref), "%s", args->ref);
    return 0;
}

/* ---- release, destroy -------------------------------------------------------------- */

static int64_t
kill_deadline(const struct billet_call *call)
{
    int64_t deadline = billet_monotonic_ns() + KILL_NS;
    return call->deadline_ns != 0 && call->deadline_ns < deadline ? call->deadline_ns : deadline;
}

static int
still_alive(const char *lease, int count, struct billet_error *error)
{
    billet_fail(error, BILLET_CLASS_UNAVAILABLE, "processes_left",
                "at least %d processes of lease %s did not end", count, lease);
    return billet_fail_hint(error, "one may be stuck in the kernel (state D in ps) or run as "
                                   "another user; find it by BILLET_LEASE_ID in its environment");
}

/* No process of the lease is left. The look at every process of the machine is left out where the
 * kernel answers for it: all of them are in the group, or none was ever left to us. */
static int
kill_lease(const char *lease, const struct billet_cgroup_site *site,
           const struct billet_cgroup *group, bool thorough, bool adopted, int64_t deadline_ns,
           struct billet_error *error)
{
    bool grouped = billet_cgroup_exists(group);
    if (grouped && billet_cgroup_kill(group, deadline_ns) < 0)
        return still_alive(lease, billet_cgroup_count(group), error);
    if (!thorough && ((grouped && site->can_kill) || !billet_tree_may_have_children()))
        return 0;
    struct billet_tree tree = {.lease = lease, .adopted = adopted};
    int left = billet_tree_kill(&tree, deadline_ns);
    return left == 0 ? 0 : still_alive(lease, left, error);
}

static int
remove_lease(const char *lease, const char *group_name, const struct billet_cgroup_site *site,
             int64_t deadline_ns, struct billet_error *error)
{
    int result = billet_cgroup_remove(site, group_name, deadline_ns);
    if (result < 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "cgroup_failed", -result,
                                 "cannot remove the control group %s", group_name);
    return local_label_remove(lease, error);
}

int32_t
local_release(const struct billet_call *call, struct billet_lease_handle *handle,
              int32_t disposition, struct billet_error *error)
{
    int status = 0;
    int64_t deadline = kill_deadline(call);
    if (disposition != BILLET_DISPOSE_DESTROY && disposition != BILLET_DISPOSE_STOP &&
        disposition != BILLET_DISPOSE_KEEP)
        status = billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "unknown disposition %d",
                             disposition);
    else if (disposition != BILLET_DISPOSE_KEEP)
        status = kill_lease(handle->lease, &handle->site, &handle->group, !handle->made_here,
                            local_lease_is_alone(), deadline, error);
    if (status == 0 && disposition == BILLET_DISPOSE_DESTROY)
        status = remove_lease(handle->lease, handle->group_name, &handle->site, deadline, error);
    /* What is started by clone into a group that was once killed dies at once on kernels from 6.14
     * on (their kill_seq is compared with that of the parent's group): resume makes a new one. */
    else if (status == 0 && disposition == BILLET_DISPOSE_STOP)
        billet_cgroup_remove(&handle->site, handle->group_name, deadline);
    free_handle(handle);
    billet_tree_reap();
    return status;
}

int32_t
local_destroy(const struct billet_call *call, const struct billet_destroy *args,
              struct billet_error *error)
{
    char lease[LOCAL_LEASE_MAX];
    char group_name[LOCAL_LEASE_MAX];
    bool this_boot;
    int status = check_call(call, BILLET_CALL_DRY_RUN, error);
    if (status == 0)
        status = local_label_parse(args->ref, call->identity->lease, lease, &this_boot, error);
    if (status < 0)
        return status;
    snprintf(group_name, sizeof(group_name), GROUP_PREFIX "%.56s", lease);
    int64_t deadline = kill_deadline(call);
    struct billet_cgroup_site site;
    struct billet_cgroup group;
    billet_cgroup_site_find(&site);
    billet_cgroup_open(&site, group_name, &group);
    if (call->flags & BILLET_CALL_DRY_RUN) {
        char message[256];
        struct billet_tree tree = {.lease = lease};
        snprintf(message, sizeof(message),
                 "would end %d processes of lease %s and remove %s and %s",
                 billet_tree_count(&tree), lease,
                 billet_cgroup_exists(&group) ? "its control group" : "no control group",
                 local_label_exists(lease) == 1 ? "its label" : "no label");
        local_host->log(local_host, BILLET_LOG_INFO, message);
    } else {
        status = kill_lease(lease, &site, &group, true, false, deadline, error);
        if (status == 0)
            status = remove_lease(lease, group_name, &site, deadline, error);
    }
    billet_cgroup_close(&group);
    billet_cgroup_site_close(&site);
    billet_tree_reap();
    return status;
}

/* ---- list ------------------------------------------------------------------------------ */

#define LIST_MAX 65536u

struct listing {
    const struct billet_call *call;
    char boot[48];
    char (*seen)[LOCAL_LEASE_MAX];
    size_t count;
    size_t capacity;
    bool failed;
};

/* True when the lease had not been seen. */
static bool
see(struct listing *listing, const char *lease)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->seen[i], lease) == 0)
            return false;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 64 : listing->capacity * 2;
        void *seen =
            capacity <= LIST_MAX ? realloc(listing->seen, capacity * sizeof(*listing->seen)) : NULL;
        if (seen == NULL) {
            listing->failed = true;
            return false;
        }
        listing->seen = seen;
        listing->capacity = capacity;
    }
    snprintf(listing->seen[listing->count++], LOCAL_LEASE_MAX, "%s", lease);
    return true;
}

static bool
report(const struct local_label *label, void *context)
{
    struct listing *listing = context;
    char reference[BILLET_REF_MAX];
    if (!see(listing, label->lease))
        return !listing->failed;
    snprintf(reference, sizeof(reference), "local:%s:%s", listing->boot, label->lease);
    struct billet_resource resource = {
        .struct_size = sizeof(resource),
        .ref = reference,
        .deployment = label->deployment,
        .lease = label->lease,
        .fence = label->fence,
        .generation = label->generation,
        .age_ns = label->age_ns,
    };
    local_host->resource(listing->call, &resource);
    return true;
}

/* Found without its label file: whose it is, nobody knows. */
static void
report_bare(const char *lease, void *context)
{
    struct local_label label = {.age_ns = -1};
    if (!billet_cgroup_name_is_valid(lease) || strlen(lease) >= sizeof(label.lease))
        return;
    snprintf(label.lease, sizeof(label.lease), "%s", lease);
    report(&label, context);
}

static void
report_group(const char *name, void *context)
{
    if (strncmp(name, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0)
        report_bare(name + strlen(GROUP_PREFIX), context);
}

int32_t
local_list(const struct billet_call *call, struct billet_error *error)
{
    struct listing listing = {.call = call};
    struct billet_cgroup_site site;
    int status = local_label_boot(listing.boot, error);
    if (status < 0)
        return status;
    local_label_list(report, &listing);
    billet_cgroup_site_find(&site);
    billet_cgroup_list(&site, report_group, &listing);
    billet_cgroup_site_close(&site);
    billet_tree_list(LOCAL_EXEC_LABEL "=local-", report_bare, &listing);
    free(listing.seen);
    if (listing.failed)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "too_large",
                           "more than %u leases on this machine", LIST_MAX);
    return 0;
}

/* ---- realize ----------------------------------------------------------------------------- */

int32_t
local_realize(const struct billet_call *call, struct billet_lease_handle *handle,
              const struct billet_realize *args, struct billet_realized *result,
              struct billet_error *error)
{
    static const char code[] = "workspace_realization_failed";
    int status = check_call(call, 0, error);
    if (status < 0)
        return status;
    if (args->mode == BILLET_WORKSPACE_NONE) {
        snprintf(result->directory, sizeof(result->directory), "/");
        return 0;
    }
    if (args->mode != BILLET_WORKSPACE_IN_PLACE)
        return billet_fail(error, BILLET_CLASS_CONFIG, code,
                           "the local driver works in place only (workspace = in_place or none)");
    if (args->path[0] != '/' || strlen(args->path) >= sizeof(result->directory))
        return billet_fail(error, BILLET_CLASS_CONFIG, code,
                           "the workspace is not given by an absolute path");
    struct stat there, here;
    cleanup_fd int fd = open(args->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &there) < 0)
        return billet_fail_errno(error, 0, code, errno, "cannot open the workspace %s", args->path);
    if (args->root_fd >= 0 && (fstat(args->root_fd, &here) < 0 || here.st_dev != there.st_dev ||
                               here.st_ino != there.st_ino))
        return billet_fail(error, BILLET_CLASS_LOST, code,
                           "the workspace %s is another directory than a moment ago", args->path);
    if (faccessat(fd, ".", X_OK, AT_EACCESS) < 0)
        return billet_fail_errno(error, 0, code, errno, "cannot enter the workspace %s",
                                 args->path);
    pthread_mutex_lock(&handle->lock);
    billet_close_fd(&handle->directory_fd);
    handle->directory_fd = billet_take_fd(&fd);
    pthread_mutex_unlock(&handle->lock);
    local_host->fact(call, FACT_DIRECTORY, args->path);
    snprintf(result->directory, sizeof(result->directory), "%s", args->path);
    return 0;
}
