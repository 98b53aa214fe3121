/* SPDX-License-Identifier: Apache-2.0 */
#include "label.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/fence.h"

#define SCHEME "local:"
#define DIRECTORY "local"
#define LABEL_MAX 384

static ssize_t
read_small(int at, const char *path, char *text, size_t size)
{
    cleanup_fd int fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;
    text[got > 0 ? got : 0] = '\0';
    return got;
}

int
local_label_boot(char boot[48], struct billet_error *error)
{
    if (read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, 48) <= 0)
        return billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "label_failed", errno,
                                 "cannot read /proc/sys/kernel/random/boot_id");
    boot[strcspn(boot, "\n")] = '\0';
    return 0;
}

int
local_label_reference(const char *lease, char reference[BILLET_REF_MAX], struct billet_error *error)
{
    char boot[48];
    int result = local_label_boot(boot, error);
    if (result == 0)
        snprintf(reference, BILLET_REF_MAX, SCHEME "%s:%s", boot, lease);
    return result;
}

static bool
is_lease_id(const char *lease)
{
    return billet_cgroup_name_is_valid(lease) &&
           strlen(lease) + sizeof("local-") <= LOCAL_LEASE_MAX;
}

int
local_label_parse(const char *reference, const char *identity_lease, char lease[LOCAL_LEASE_MAX],
                  bool *this_boot, struct billet_error *error)
{
    const char *id = identity_lease;
    *this_boot = true;
    if (reference[0] != '\0') {
        char boot[48];
        const char *at = reference + strlen(SCHEME);
        const char *colon =
            strncmp(reference, SCHEME, strlen(SCHEME)) == 0 ? strchr(at, ':') : NULL;
        if (colon == NULL)
            return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                               "'%.200s' is not a reference of the local driver", reference);
        int result = local_label_boot(boot, error);
        if (result < 0)
            return result;
        id = colon + 1;
        *this_boot = strlen(boot) == (size_t)(colon - at) && memcmp(boot, at, strlen(boot)) == 0;
        if (identity_lease[0] != '\0' && strcmp(id, identity_lease) != 0)
            return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                               "reference '%.200s' belongs to another lease than %.64s", reference,
                               identity_lease);
    }
    if (!is_lease_id(id))
        return billet_fail(error, BILLET_CLASS_CONFIG, "reference_invalid",
                           "'%.80s' is not a lease id", id);
    snprintf(lease, LOCAL_LEASE_MAX, "%s", id);
    return 0;
}

/* RUNTIME/local, or -1. */
static int
open_labels(bool make)
{
    const char *runtime = local_host->directory(local_host, BILLET_DIRECTORY_RUNTIME);
    errno = 0;
    cleanup_fd int at = runtime != NULL ? open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (at < 0)
        return -1;
    if (make && mkdirat(at, DIRECTORY, 0700) < 0 && errno != EEXIST)
        return -1;
    return openat(at, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int
local_label_write(const struct billet_identity *identity, struct billet_error *error)
{
    char text[LABEL_MAX];
    cleanup_fd int at = open_labels(true);
    if (at < 0)
        return 0;
    int length =
        snprintf(text, sizeof(text), "%llu %llu %.79s\n%.*s\n", (unsigned long long)identity->fence,
                 (unsigned long long)identity->generation, identity->deployment, BILLET_FENCE_RUN,
                 identity->run);
    cleanup_fd int fd =
        openat(at, identity->lease, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* Over the old one, so that nobody finds it empty. */
    if (fd < 0 || write(fd, text, (size_t)length) != length || ftruncate(fd, length) < 0)
        return billet_fail_errno(error, 0, "label_failed", errno,
                                 "cannot write the label of lease %s", identity->lease);
    return 0;
}

int
local_label_allows(const struct billet_identity *identity, bool shared, struct billet_error *error)
{
    char text[LABEL_MAX] = "", run[BILLET_FENCE_RUN + 1] = "";
    unsigned long long fence = 0;
    cleanup_fd int at = open_labels(false);
    if (at < 0)
        return 0;
    read_small(at, identity->lease, text, sizeof(text));
    sscanf(text, "%llu", &fence);
    const char *line = strchr(text, '\n');
    if (line != NULL)
        snprintf(run, sizeof(run), "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
    return billet_fence_check(identity, shared, fence, run, error);
}

int
local_label_exists(const char *lease)
{
    cleanup_fd int at = open_labels(false);
    if (at < 0)
        return -1;
    return faccessat(at, lease, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
local_label_remove(const char *lease, struct billet_error *error)
{
    cleanup_fd int at = open_labels(false);
    /* A directory that could not be opened for want of descriptors may well hold the label. */
    bool unknown = at < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    if (unknown || (at >= 0 && unlinkat(at, lease, 0) < 0 && errno != ENOENT))
        return billet_fail_errno(error, 0, "label_failed", errno,
                                 "cannot remove the label of lease %s", lease);
    return 0;
}

void
local_label_list(bool (*visit)(const struct local_label *label, void *context), void *context)
{
    cleanup_fd int at = open_labels(false);
    int fd = at >= 0 ? openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        billet_close_fd(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct local_label label = {.age_ns = -1};
        struct stat about;
        struct timespec now;
        char text[LABEL_MAX];
        if (!is_lease_id(entry->d_name))
            continue;
        snprintf(label.lease, sizeof(label.lease), "%.63s", entry->d_name);
        read_small(at, entry->d_name, text, sizeof(text));
        if (sscanf(text, "%llu %llu %79s", &label.fence, &label.generation, label.deployment) < 2)
            label.fence = label.generation = 0;
        clock_gettime(CLOCK_REALTIME, &now);
        if (fstatat(at, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0)
            label.age_ns = ((int64_t)now.tv_sec - about.st_mtim.tv_sec) * BILLET_NS_PER_SECOND +
                           (now.tv_nsec - about.st_mtim.tv_nsec);
        if (label.age_ns < -1)
            label.age_ns = 0;
        if (!visit(&label, context))
            break;
    }
}
