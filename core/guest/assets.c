/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/assets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "guest/files.h"
#include "guest/guest.h"
#include "workspace/asset.h"
#include "workspace/root.h"
#include "workspace/scan.h"
#include "workspace/tree.h"

#define UNUSED_MAX 8                     /* entries that no lease uses */
#define UNUSED_BYTES (UINT64_C(8) << 30) /* and their sizes together */
#define ENTRIES_MAX 4096                 /* looked at in one sweep */
#define NEW_PREFIX ".new-"               /* being brought; locked by who brings it */
#define GONE_PREFIX ".gone-"             /* being removed */
#define SIZE_FILE "size"

struct cache {
    const char *path;
    char place[PATH_MAX]; /* of the links of this lease */
    char lease[PATH_MAX]; /* its directory */
    int fd;
    int lock;
};

/* ---- the cache ---------------------------------------------------------------------------- */

/* A directory of ours that nobody else can enter. */
static int
make_private(const char *path, struct billet_error *error)
{
    struct stat status;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return guest_failed(error, "make", path);
    if (lstat(path, &status) != 0)
        return guest_failed(error, "look at", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid())
        return billet_error_set(error, BILLET_CLASS_AUTH, "path_untrusted",
                                "%s is not a directory of this user", path);
    return 0;
}

static int
open_cache(struct cache *cache, const char *path, const char *place, struct billet_error *error)
{
    *cache = (struct cache){.path = path, .fd = -1, .lock = -1};
    const char *end = strrchr(place, '/');
    if (path[0] != '/' || place[0] != '/' || end == place || strlen(place) >= sizeof(cache->place))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                                "'%s' is no place for assets", place);
    snprintf(cache->place, sizeof(cache->place), "%s", place);
    snprintf(cache->lease, sizeof(cache->lease), "%.*s", (int)(end - place), place);
    int result = make_private(path, error);
    if (result == 0)
        result = make_private(place, error);
    if (result < 0)
        return result;
    cache->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (cache->fd < 0)
        return guest_failed(error, "open", path);
    cache->lock = openat(cache->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return cache->lock < 0 ? guest_failed(error, "lock", path) : 0;
}

static void
close_cache(struct cache *cache)
{
    billet_close(&cache->lock);
    billet_close(&cache->fd);
}

/* Held for a few renames. A file system without locks loses nothing but the certainty that what
 * is swept was not taken up in the same moment, and that is seen then: the copy is not there. */
static void
lock(const struct cache *cache)
{
    while (flock(cache->lock, LOCK_EX) != 0 && errno == EINTR)
        ;
}

static void
unlock(const struct cache *cache)
{
    flock(cache->lock, LOCK_UN);
}

/* Out of the way in one step, then removed. */
static void
discard(const struct cache *cache, const char *name)
{
    struct billet_error ignored = BILLET_ERROR_INIT;
    char gone[64], path[PATH_MAX];
    static unsigned count;
    snprintf(gone, sizeof(gone), GONE_PREFIX "%d-%u", (int)getpid(), count++);
    if (renameat(cache->fd, name, cache->fd, gone) == 0 &&
        snprintf(path, sizeof(path), "%s/%s", cache->path, gone) < (int)sizeof(path))
        billet_tree_remove(path, &ignored);
}

/* ---- use ---------------------------------------------------------------------------------- */

/* Note that this lease uses the entry; false when it is not there. */
static bool
take(const struct cache *cache, const char *entry)
{
    char path[160];
    const char *lease = strrchr(cache->lease, '/');
    snprintf(path, sizeof(path), "%s/used/%.80s", entry, lease != NULL ? lease + 1 : cache->lease);
    return symlinkat(cache->lease, cache->fd, path) == 0 || errno == EEXIST;
}

static int
link_asset(const struct cache *cache, const char *id, const char *leaf, const char *name,
           struct billet_error *error)
{
    char target[PATH_MAX], link[PATH_MAX], staged[PATH_MAX];
    if (snprintf(target, sizeof(target), "%s/%s/tree%s%s", cache->path, id,
                 leaf[0] != '\0' ? "/" : "", leaf) >= (int)sizeof(target) ||
        snprintf(link, sizeof(link), "%s/%s", cache->place, name) >= (int)sizeof(link) ||
        snprintf(staged, sizeof(staged), "%s/.link-%d", cache->place, (int)getpid()) >=
            (int)sizeof(staged))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "too_large", "a path is too long");
    unlink(staged);
    if (symlink(target, staged) != 0 || rename(staged, link) != 0)
        return guest_failed(error, "make", link);
    return 0;
}

static bool
is_component(const char *name)
{
    return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strchr(name, '/') == NULL && strlen(name) <= NAME_MAX;
}

static int
check_words(const char *id, const char *leaf, const char *name, struct billet_error *error)
{
    if (billet_asset_id_is_valid(id) && is_component(name) &&
        (leaf[0] == '\0' || is_component(leaf)))
        return 0;
    return billet_error_set(error, BILLET_CLASS_CONFIG, "value_invalid",
                            "'%.80s' does not name an asset", name);
}

/* ---- verify ------------------------------------------------------------------------------- */

static int
look(int directory, const char *name, struct billet_root *root, struct billet_manifest *manifest,
     int hash, struct billet_error *error)
{
    cleanup_fd int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return guest_failed(error, "open", name);
    int result = billet_root_adopt(root, fd, error);
    if (result < 0)
        return result;
    billet_steal_fd(&fd);
    const struct billet_scan scan = {.hash = hash};
    return billet_scan(root, &scan, manifest, NULL, error);
}

/* The tree is what its name says, to the last byte, and as read-only as it was made. */
static bool
is_whole(const struct cache *cache, const char *entry, const char *id)
{
    cleanup_root struct billet_root root = BILLET_ROOT_INIT;
    cleanup_manifest struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    struct billet_error ignored = BILLET_ERROR_INIT;
    char tree[160], found[BILLET_ASSET_ID_SIZE];
    snprintf(tree, sizeof(tree), "%.100s/tree", entry);
    if (look(cache->fd, tree, &root, &manifest, BILLET_HASH_ALL, &ignored) < 0)
        return false;
    for (size_t i = 0; i < manifest.count; i++)
        if (manifest.entries[i].type == BILLET_ENTRY_OTHER ||
            (manifest.entries[i].type != BILLET_ENTRY_LINK &&
             (manifest.entries[i].mode & 0222) != 0))
            return false;
    billet_asset_id(&manifest, found);
    return strcmp(found, id) == 0;
}

/* What was received, and its size. */
static int
make_read_only(int entry, struct billet_error *error)
{
    cleanup_root struct billet_root root = BILLET_ROOT_INIT;
    cleanup_manifest struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    char text[32];
    uint64_t size = 0;
    int result = look(entry, "tree", &root, &manifest, BILLET_HASH_NONE, error);
    if (result < 0)
        return result;
    for (size_t i = manifest.count; i > 0; i--) {
        const struct billet_entry *one = &manifest.entries[i - 1];
        const char *leaf;
        size += one->type == BILLET_ENTRY_FILE ? one->size : 0;
        if (one->type == BILLET_ENTRY_LINK)
            continue;
        cleanup_fd int parent = billet_root_parent(&root, one->path, &leaf);
        bool open = one->type == BILLET_ENTRY_DIRECTORY || (one->mode & 0100) != 0;
        if (parent < 0 || fchmodat(parent, leaf, BILLET_ASSET_MODE(open), 0) != 0)
            return guest_failed(error, "protect", one->path);
    }
    cleanup_fd int fd = openat(entry, SIZE_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    snprintf(text, sizeof(text), "%llu\n", (unsigned long long)size);
    if (fchmod(root.fd, BILLET_ASSET_MODE(true)) != 0 || fd < 0 ||
        write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return guest_failed(error, "write", "the size of an asset");
    return 0;
}

/* ---- sweep -------------------------------------------------------------------------------- */

struct unused {
    char id[BILLET_ASSET_ID_SIZE];
    uint64_t size;
    struct timespec since;
};

static int
newest_first(const void *a, const void *b)
{
    const struct unused *x = a, *y = b;
    if (x->since.tv_sec != y->since.tv_sec)
        return x->since.tv_sec < y->since.tv_sec ? 1 : -1;
    return x->since.tv_nsec < y->since.tv_nsec ? 1 : x->since.tv_nsec > y->since.tv_nsec ? -1 : 0;
}

/* Forget leases that have ended; true when none is left. */
static bool
is_unused(int entry, struct unused *unused)
{
    struct stat status;
    int fd = openat(entry, "used", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    int left = 0;
    if (list == NULL) {
        billet_close(&fd);
        return true; /* no entry that could be used */
    }
    for (struct dirent *one; (one = readdir(list)) != NULL;) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(list), one->d_name, &status, 0) != 0 && errno == ENOENT)
            unlinkat(dirfd(list), one->d_name, 0);
        else
            left++;
    }
    if (fstat(dirfd(list), &status) == 0)
        unused->since = status.st_mtim;
    return left == 0;
}

static uint64_t
size_of(int entry)
{
    char text[32] = "";
    cleanup_fd int fd = openat(entry, SIZE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    return got > 0 ? strtoull(text, NULL, 10) : 0;
}

/* Nobody brings it any more: who does has it locked. */
static bool
is_abandoned(const struct cache *cache, const char *name)
{
    cleanup_fd int fd = openat(cache->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* One name of the cache: what is to be removed at once is, an entry without use is added. */
static void
judge(const struct cache *cache, const char *name, struct unused *list, size_t *count)
{
    if (strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0) {
        if (is_abandoned(cache, name))
            discard(cache, name);
        return;
    }
    if (strncmp(name, GONE_PREFIX, strlen(GONE_PREFIX)) == 0) {
        discard(cache, name);
        return;
    }
    if (!billet_asset_id_is_valid(name) || *count == ENTRIES_MAX)
        return;
    struct unused *one = &list[*count];
    cleanup_fd int entry = openat(cache->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *one = (struct unused){.size = 0};
    if (entry < 0 || !is_unused(entry, one))
        return;
    memcpy(one->id, name, sizeof(one->id)); /* of that length, it was judged */
    one->size = size_of(entry);
    (*count)++;
}

/* Keep the newest of what no lease uses. */
static void
sweep(const struct cache *cache)
{
    size_t count = 0;
    uint64_t size = 0;
    struct unused *list = calloc(ENTRIES_MAX, sizeof(*list));
    int fd = openat(cache->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    if (names == NULL)
        billet_close(&fd);
    lock(cache);
    for (struct dirent *one; list != NULL && names != NULL && (one = readdir(names)) != NULL;)
        judge(cache, one->d_name, list, &count);
    if (count > 0)
        qsort(list, count, sizeof(*list), newest_first);
    for (size_t i = 0; i < count; i++) {
        size += list[i].size;
        if (i >= UNUSED_MAX || size > UNUSED_BYTES)
            discard(cache, list[i].id);
    }
    unlock(cache);
    free(list);
}

/* ---- the subcommands ---------------------------------------------------------------------- */

static int
find_one(const struct cache *cache, const char *id, const char *leaf, const char *name, int number,
         struct billet_error *error)
{
    int result = check_words(id, leaf, name, error);
    if (result < 0)
        return result;
    lock(cache);
    bool there = take(cache, id);
    unlock(cache);
    if (there && is_whole(cache, id, id))
        return link_asset(cache, id, leaf, name, error);
    if (there) {
        lock(cache);
        discard(cache, id);
        unlock(cache);
    }
    printf("%d\n", number);
    return 0;
}

int
guest_asset_find(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct cache cache;
    if (argc < 3 || (argc - 3) % 3 != 0)
        return GUEST_EXIT_USAGE;
    int result = open_cache(&cache, argv[1], argv[2], &error);
    for (int i = 3; result == 0 && i < argc; i += 3)
        result = find_one(&cache, argv[i], argv[i + 1], argv[i + 2], (i - 3) / 3, &error);
    if (result == 0)
        sweep(&cache);
    if (result == 0 && fflush(stdout) != 0)
        result = guest_failed(&error, "write", "the answer");
    close_cache(&cache);
    return guest_say(result, &error);
}

/* From standard input into a new entry, which is open and locked as long as it is not done. */
static int
bring(const struct cache *cache, const char *name, int *entry, const char *id,
      struct billet_error *error)
{
    char tree[PATH_MAX];
    if (mkdirat(cache->fd, name, 0700) != 0)
        return guest_failed(error, "make", name);
    *entry = openat(cache->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*entry < 0 || (flock(*entry, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
        mkdirat(*entry, "tree", 0700) != 0 || mkdirat(*entry, "used", 0700) != 0)
        return guest_failed(error, "make", name);
    if (snprintf(tree, sizeof(tree), "%s/%s/tree", cache->path, name) >= (int)sizeof(tree))
        return billet_error_set(error, BILLET_CLASS_CONFIG, "too_large", "a path is too long");
    int result = guest_receive_into(tree, error);
    if (result == 0)
        result = make_read_only(*entry, error);
    if (result == 0 && !is_whole(cache, name, id))
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_changed",
                                  "it was changed while it was carried; try again");
    if (result == 0 && !take(cache, name))
        result = guest_failed(error, "note the use of", id);
    return result;
}

int
guest_asset_put(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct cache cache;
    char name[80];
    cleanup_fd int entry = -1;
    if (argc != 6)
        return GUEST_EXIT_USAGE;
    const char *id = argv[3];
    int result = open_cache(&cache, argv[1], argv[2], &error);
    if (result == 0)
        result = check_words(id, argv[4], argv[5], &error);
    if (result < 0) {
        close_cache(&cache);
        return guest_say(result, &error);
    }
    snprintf(name, sizeof(name), NEW_PREFIX "%s-%d", id, (int)getpid());
    result = bring(&cache, name, &entry, id, &error);
    lock(&cache);
    /* Another one was faster: theirs was verified as well. */
    if (result == 0 && renameat(cache.fd, name, cache.fd, id) != 0 && !take(&cache, id))
        result = guest_failed(&error, "put in place", id);
    discard(&cache, name);
    unlock(&cache);
    if (result == 0)
        result = link_asset(&cache, id, argv[4], argv[5], &error);
    close_cache(&cache);
    return guest_say(result, &error);
}
