/* SPDX-License-Identifier: Apache-2.0 */
#include "profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"

#define FILE_LIMIT (64u * 1024) /* of a copied file of /etc */

/* ---- strings ---------------------------------------------------------------- */

/* It may hold variables of a command, which may be secrets. */
static void
drop(char *bytes, size_t capacity)
{
    if (bytes != NULL)
        explicit_bzero(bytes, capacity);
    free(bytes);
}

void
sandbox_strings_add(struct sandbox_strings *list, const char *text)
{
    size_t size = strlen(text) + 1;
    if (list->failed)
        return;
    if (size > list->capacity - list->length) {
        size_t capacity = (list->capacity + size) * 2 + 1024;
        char *bytes = malloc(capacity);
        if (bytes == NULL) {
            list->failed = true;
            return;
        }
        if (list->length > 0)
            memcpy(bytes, list->bytes, list->length);
        drop(list->bytes, list->capacity);
        list->bytes = bytes;
        list->capacity = capacity;
    }
    memcpy(list->bytes + list->length, text, size);
    list->length += size;
    list->count++;
}

void
sandbox_strings_format(struct sandbox_strings *list, const char *format, ...)
{
    char text[PATH_MAX + 64];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(text))
        list->failed = true;
    else
        sandbox_strings_add(list, text);
}

void
sandbox_strings_free(struct sandbox_strings *list)
{
    drop(list->bytes, list->capacity);
    *list = (struct sandbox_strings){0};
}

int
sandbox_memfd(const char *name, const void *bytes, size_t length)
{
    cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, (const char *)bytes + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    if (lseek(fd, 0, SEEK_SET) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -1;
    return billet_take_fd(&fd);
}

/* ---- what is dropped in tests of the tests ------------------------------------- */

#ifdef BILLET_ABLATION
unsigned
sandbox_dropped(void)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        {"seccomp", SANDBOX_DROP_SECCOMP},   {"net", SANDBOX_DROP_NETWORK},
        {"pid", SANDBOX_DROP_PID},           {"ipc", SANDBOX_DROP_IPC},
        {"env", SANDBOX_DROP_ENVIRONMENT},   {"fds", SANDBOX_DROP_DESCRIPTORS},
        {"keyring", SANDBOX_DROP_KEYRING},   {"userns", SANDBOX_DROP_USERNS},
        {"session", SANDBOX_DROP_SESSION},   {"pids", SANDBOX_DROP_PIDS},
        {"memory", SANDBOX_DROP_MEMORY},     {"core", SANDBOX_DROP_CORE},
        {"landlock", SANDBOX_DROP_LANDLOCK}, {"readonly", SANDBOX_DROP_READONLY},
        {"dumpable", SANDBOX_DROP_DUMPABLE},
    };
    const char *list = getenv("BILLET_ABLATION");
    unsigned dropped = 0;
    for (size_t i = 0; list != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i].name);
        for (const char *at = strstr(list, names[i].name); at != NULL;
             at = strstr(at + 1, names[i].name))
            if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
                dropped |= names[i].bit;
    }
    return dropped;
}
#else
unsigned
sandbox_dropped(void)
{
    return 0;
}
#endif

/* ---- the profile ------------------------------------------------------------------ */

static void
add(struct sandbox_profile *profile, const char *option)
{
    sandbox_strings_add(&profile->arguments, option);
}

static void
add2(struct sandbox_profile *profile, const char *option, const char *a)
{
    add(profile, option);
    add(profile, a);
}

static void
add3(struct sandbox_profile *profile, const char *option, const char *a, const char *b)
{
    add2(profile, option, a);
    add(profile, b);
}

static void
add_number(struct sandbox_profile *profile, const char *option, long long number)
{
    add(profile, option);
    sandbox_strings_format(&profile->arguments, "%lld", number);
}

static void
add_read_only(struct sandbox_profile *profile, const char *from, const char *to)
{
    add3(profile, (sandbox_dropped() & SANDBOX_DROP_READONLY) != 0 ? "--bind" : "--ro-bind", from,
         to);
    sandbox_strings_add(&profile->mounts, to);
}

static void
add_tmpfs(struct sandbox_profile *profile, const char *mode, int64_t size, const char *where)
{
    add2(profile, "--perms", mode);
    add_number(profile, "--size", size);
    add2(profile, "--tmpfs", where);
}

/* A small file of fixed content, in the root's own file system. */
static void
add_file(struct sandbox_profile *profile, const char *content, size_t length, const char *where)
{
    if (profile->file_count == SANDBOX_FILES) {
        profile->arguments.failed = true;
        return;
    }
    int fd = sandbox_memfd("billet-file", content, length);
    if (fd < 0) {
        profile->arguments.failed = true;
        return;
    }
    add2(profile, "--perms", "0444");
    add_number(profile, "--file", SANDBOX_FD_FILES + (long long)profile->file_count);
    add(profile, where);
    profile->files[profile->file_count++] = fd;
}

static void
add_copy(struct sandbox_profile *profile, const char *path)
{
    char content[FILE_LIMIT];
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 ? read(fd, content, sizeof(content)) : -1;
    if (got > 0)
        add_file(profile, content, (size_t)got, path);
}

/* An entry of the root: a directory is bound, a link such as /bin -> usr/bin is made again. */
static void
add_root_entry(struct sandbox_profile *profile, const char *root, const char *name)
{
    char from[PATH_MAX + 256], to[300], target[PATH_MAX];
    struct stat status;

    snprintf(from, sizeof(from), "%s/%s", root, name);
    snprintf(to, sizeof(to), "/%s", name);
    if (lstat(from, &status) < 0)
        return;
    if (S_ISLNK(status.st_mode)) {
        ssize_t length = readlink(from, target, sizeof(target) - 1);
        if (length <= 0)
            return;
        target[length] = '\0';
        add3(profile, "--symlink", target, to);
    } else if (S_ISDIR(status.st_mode)) {
        add_read_only(profile, from, to);
    }
}

/* The places that the sandbox fills itself or must not show. */
static bool
is_taken_from_root(const char *name)
{
    static const char *const others[] = {".",   "..",   "proc", "sys",  "dev", "tmp",
                                         "run", "root", "home", "work", NULL};
    for (size_t i = 0; others[i] != NULL; i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    return true;
}

/* As add_extra: what the path really is. Places like /home hold no root file system, but would be
 * shown whole. */
static int
judge_rootfs(const char *rootfs, const struct sandbox_place *work, char resolved[PATH_MAX],
             struct billet_error *error)
{
    struct stat root, status;
    bool through;

    int result = sandbox_path_follow(rootfs, work, resolved, &through);
    if (result == 0 && lstat(resolved, &status) < 0)
        result = -errno;
    if (result < 0) {
        billet_fail_errno(error, BILLET_CLASS_CONFIG, "sandbox_rootfs_unusable", -result,
                          "cannot read rootfs %s", rootfs);
        return billet_fail_hint(error, "rootfs is a directory that holds usr, bin, etc ...");
    }
    const char *why = sandbox_config_refuses(resolved);
    if (strncmp(resolved, "/root/", 6) == 0 || strncmp(resolved, "/run/", 5) == 0)
        why = NULL; /* images are kept there too */
    if (stat("/", &root) < 0 || (root.st_ino == status.st_ino && root.st_dev == status.st_dev))
        why = "it is this machine's own root";
    if (why == NULL && through)
        why = "its way leads through the workspace, where the command could turn it elsewhere";
    if (why == NULL)
        return 0;
    return billet_fail(error, BILLET_CLASS_CONFIG, "sandbox_path_refused",
                       "rootfs = %.200s (%.200s) cannot be the root of a sandbox: %s", rootfs,
                       resolved, why);
}

static int
add_rootfs(struct sandbox_profile *profile, const char *path, const struct sandbox_place *work,
           struct billet_error *error)
{
    char rootfs[PATH_MAX];
    int result = judge_rootfs(path, work, rootfs, error);
    if (result < 0)
        return result;
    cleanup_dir DIR *directory = opendir(rootfs);
    if (directory == NULL) {
        billet_fail_errno(error, BILLET_CLASS_CONFIG, "sandbox_rootfs_unusable", errno,
                          "cannot read rootfs %s", path);
        return billet_fail_hint(error, "rootfs is a directory that holds usr, bin, etc ...");
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (!is_taken_from_root(entry->d_name))
            continue;
        add_root_entry(profile, rootfs, entry->d_name);
        sandbox_strings_format(&profile->readable, "/%s", entry->d_name);
    }
    return 0;
}

/* Of /etc only what programs need to start and what holds no secret. */
static void
add_etc(struct sandbox_profile *profile, const struct sandbox_config *config)
{
    static const char passwd[] = "root:x:0:0:root:/tmp:/usr/sbin/nologin\n"
                                 "billet:x:1000:1000:billet:/tmp:/bin/sh\n"
                                 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    static const char group[] = "root:x:0:\nbillet:x:1000:\nnogroup:x:65534:\n";
    static const char services[] = "passwd: files\ngroup: files\nhosts: files dns\n";
    static const char *const shown[] = {
        "/etc/ld.so.cache",          "/etc/alternatives",    "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",      "/etc/pki/tls/certs",   "/etc/pki/ca-trust/extracted",
        "/etc/pki/tls/openssl.cnf",  "/etc/crypto-policies", "/etc/ld-musl-x86_64.path",
        "/etc/ld-musl-aarch64.path",
    };
    char hosts[256];

    add2(profile, "--perms", "0755");
    add2(profile, "--dir", "/etc");
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (access(shown[i], F_OK) == 0)
            add_read_only(profile, shown[i], shown[i]);
    add_file(profile, passwd, sizeof(passwd) - 1, "/etc/passwd");
    add_file(profile, group, sizeof(group) - 1, "/etc/group");
    add_file(profile, services, sizeof(services) - 1, "/etc/nsswitch.conf");
    if (config->shared_network) {
        add_copy(profile, "/etc/hosts");
        add_copy(profile, "/etc/resolv.conf");
    } else {
        int length = snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost %s\n::1 localhost\n",
                              config->hostname);
        add_file(profile, hosts, (size_t)length, "/etc/hosts");
    }
}

static int
add_system(struct sandbox_profile *profile, const struct sandbox_config *config,
           const struct sandbox_place *work, struct billet_error *error)
{
    static const char *const entries[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
    if (config->rootfs != NULL)
        return add_rootfs(profile, config->rootfs, work, error);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        add_root_entry(profile, "", entries[i]);
    add_etc(profile, config);
    return 0;
}

/* Judged again after symlinks: the path that is really shown. */
static int
add_extra(struct sandbox_profile *profile, const char *path, const struct sandbox_place *work,
          struct billet_error *error)
{
    char resolved[PATH_MAX];
    struct stat status;
    bool through;

    int result = sandbox_path_follow(path, work, resolved, &through);
    if (result == 0 && lstat(resolved, &status) < 0)
        result = -errno;
    if (result < 0)
        return billet_fail_errno(error, BILLET_CLASS_CONFIG, "sandbox_path_refused", -result,
                                 "cannot show read_only = %s", path);
    const char *why = sandbox_config_refuses(resolved);
    if (why == NULL && through)
        why = "its way leads through the workspace, where the command could turn it elsewhere";
    if (why == NULL && S_ISSOCK(status.st_mode))
        why = "it is a socket";
    if (why == NULL && !S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
        why = "it is neither a file nor a directory";
    if (why != NULL)
        return billet_fail(error, BILLET_CLASS_CONFIG, "sandbox_path_refused",
                           "read_only = %.200s (%.200s) cannot be shown in a sandbox: %s", path,
                           resolved, why);
    add_read_only(profile, resolved, path);
    sandbox_strings_add(&profile->readable, path);
    return 0;
}

static void
add_namespaces(struct sandbox_profile *profile, const struct sandbox_config *config)
{
    unsigned dropped = sandbox_dropped();
    if (dropped != 0) {
        add(profile, "--unshare-uts");
        add(profile, "--unshare-cgroup-try");
        if ((dropped & SANDBOX_DROP_IPC) == 0)
            add(profile, "--unshare-ipc");
        if ((dropped & SANDBOX_DROP_PID) == 0)
            add(profile, "--unshare-pid");
        if ((dropped & SANDBOX_DROP_NETWORK) == 0 && !config->shared_network)
            add(profile, "--unshare-net");
    } else {
        add(profile, "--unshare-all");
        if (config->shared_network)
            add(profile, "--share-net");
    }
    add(profile, "--unshare-user");
    if ((dropped & SANDBOX_DROP_USERNS) == 0)
        add(profile, "--disable-userns");
    add_number(profile, "--uid", SANDBOX_UID);
    add_number(profile, "--gid", SANDBOX_GID);
    add2(profile, "--hostname", config->hostname);
    /* Not --die-with-parent: init follows its owner's end, and may be told to stay. */
    if ((dropped & SANDBOX_DROP_SESSION) == 0)
        add(profile, "--new-session");
    if ((dropped & SANDBOX_DROP_PID) == 0)
        add(profile, "--as-pid-1");
    add2(profile, "--cap-drop", "ALL");
}

static void
add_assets(struct sandbox_profile *profile, const struct sandbox_assets *assets, const char *staged)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (assets->count == 0)
        return;
    add2(profile, "--perms", "0755");
    add2(profile, "--dir", SANDBOX_ASSETS);
    for (size_t i = 0; i < assets->count; i++) {
        const struct sandbox_asset *asset = &assets->items[i];
        snprintf(from, sizeof(from), "%s/%zu", staged != NULL ? staged : "", i);
        snprintf(to, sizeof(to), SANDBOX_ASSETS "/%s", asset->name);
        add_read_only(profile, staged != NULL ? from : asset->path, to);
    }
    sandbox_strings_add(&profile->readable, SANDBOX_ASSETS);
}

int
sandbox_profile_make(const struct sandbox_config *config, const char *work,
                     const struct sandbox_place *place, const struct sandbox_assets *assets,
                     const char *staged, const char *init, struct sandbox_profile *profile,
                     struct billet_error *error)
{
    *profile = (struct sandbox_profile){.file_count = 0};
    add_namespaces(profile, config);
    add_tmpfs(profile, "0755", config->tmp_size, "/");
    int result = add_system(profile, config, place, error);
    add2(profile, "--proc", "/proc");
    add2(profile, "--dev", "/dev");
    /* The caller's keys cannot be used, but their descriptions would show. */
    if (access("/proc/keys", F_OK) == 0)
        add3(profile, "--ro-bind", "/dev/null", "/proc/keys");
    add_tmpfs(profile, "1777", config->tmp_size / 4, "/dev/shm");
    add_tmpfs(profile, "1777", config->tmp_size, "/tmp");
    for (size_t i = 0; result == 0 && config->read_only != NULL && config->read_only[i] != NULL;
         i++)
        result = add_extra(profile, config->read_only[i], place, error);
    if (work != NULL)
        add3(profile, "--bind", work, SANDBOX_WORK);
    else
        add2(profile, "--dir", SANDBOX_WORK);
    add_read_only(profile, init, SANDBOX_INIT_PATH);
    add_assets(profile, assets, staged);
    if ((sandbox_dropped() & SANDBOX_DROP_READONLY) == 0) {
        add2(profile, "--remount-ro", "/dev");
        add2(profile, "--remount-ro", "/");
    }
    if ((sandbox_dropped() & SANDBOX_DROP_SECCOMP) == 0)
        add_number(profile, "--seccomp", SANDBOX_FD_FILTER);
    add2(profile, "--chdir", "/");
    if (result == 0 &&
        (profile->arguments.failed || profile->mounts.failed || profile->readable.failed))
        result = billet_fail_errno(error, BILLET_CLASS_CAPACITY, "out_of_memory", ENOMEM,
                                   "cannot describe the sandbox");
    if (result < 0)
        sandbox_profile_free(profile);
    return result;
}

void
sandbox_profile_free(struct sandbox_profile *profile)
{
    sandbox_strings_free(&profile->arguments);
    sandbox_strings_free(&profile->mounts);
    sandbox_strings_free(&profile->readable);
    for (size_t i = 0; i < profile->file_count; i++)
        billet_close_fd(&profile->files[i]);
    profile->file_count = 0;
}
