/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "workspace/git_repository.h"
#include "workspace/path.h"

#define PACKED_REFS_MAX (UINT64_C(64) << 20)
#define LOOSE_REF_MAX 4096
#define DEPTH_MAX 32

bool
billet_git_is_oid(const char *text, size_t length)
{
    if (length != 40 && length != 64)
        return false;
    for (size_t i = 0; i < length; i++)
        if (strchr("0123456789abcdef", text[i]) == NULL || text[i] == '\0')
            return false;
    return true;
}

bool
billet_git_is_ref_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= BILLET_GIT_REF_SIZE || name[length - 1] == '.' ||
        strstr(name, "..") != NULL || strstr(name, "@{") != NULL)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("~^:?*[\\", *c) != NULL)
            return false;
    while (*name != '\0') {
        size_t part = strcspn(name, "/");
        if (part == 0 || part > BILLET_NAME_BYTES_MAX - 5 || name[0] == '.' ||
            (part >= 5 && strncmp(name + part - 5, ".lock", 5) == 0))
            return false;
        name += part;
        if (*name == '/' && name[1] == '\0')
            return false;
        name += *name == '/';
    }
    return true;
}

/* --- lists ----------------------------------------------------------------------------------- */

int
billet_git_refs_add(struct billet_git_refs *refs, const char *name, const char *oid,
                    size_t oid_length, struct billet_error *error)
{
    if (refs->count >= BILLET_GIT_REFS_MAX)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "git_refused", "more than %d refs",
                                BILLET_GIT_REFS_MAX);
    if (refs->count == refs->capacity) {
        size_t capacity = refs->capacity > 0 ? refs->capacity * 2 : 32;
        struct billet_git_ref *items =
            reallocarray(refs->items, capacity, sizeof(struct billet_git_ref));
        if (items == NULL)
            return billet_error_no_memory(error);
        refs->items = items;
        refs->capacity = capacity;
    }
    struct billet_git_ref *item = &refs->items[refs->count];
    item->name = billet_text_dup(name);
    if (item->name == NULL)
        return billet_error_no_memory(error);
    memcpy(item->oid, oid, oid_length);
    item->oid[oid_length] = '\0';
    refs->count++;
    return 0;
}

static int
compare_refs(const void *a, const void *b)
{
    return strcmp(((const struct billet_git_ref *)a)->name,
                  ((const struct billet_git_ref *)b)->name);
}

void
billet_git_refs_sort(struct billet_git_refs *refs)
{
    if (refs->count > 1)
        qsort(refs->items, refs->count, sizeof(struct billet_git_ref), compare_refs);
}

const struct billet_git_ref *
billet_git_refs_find(const struct billet_git_refs *refs, const char *name)
{
    size_t low = 0;
    size_t high = refs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(refs->items[middle].name, name);
        if (order == 0)
            return &refs->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void
billet_git_refs_free(struct billet_git_refs *refs)
{
    for (size_t i = 0; i < refs->count; i++)
        free(refs->items[i].name);
    free(refs->items);
    *refs = (struct billet_git_refs){0};
}

/* --- reading --------------------------------------------------------------------------------- */

static bool
travels(const char *name)
{
    return billet_text_starts(name, "refs/heads/") || billet_text_starts(name, "refs/tags/") ||
           billet_text_starts(name, "refs/remotes/");
}

/* "OID NAME" lines; "#" comments, "^OID" peeled values. only: one name, or NULL for all. */
static int
read_packed(const struct billet_git_repository *repository, const char *only,
            struct billet_git_refs *refs, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    int result =
        billet_git_read_file(&repository->common, "packed-refs", &text, PACKED_REFS_MAX, error);
    if (result <= 0)
        return result;
    char *line = text.data;
    result = 0;
    while (result == 0 && line != NULL && *line != '\0') {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = '\0';
        size_t oid = strcspn(line, " ");
        const char *name = line + oid + 1;
        if (line[oid] == ' ' && billet_git_is_oid(line, oid) && billet_git_is_ref_name(name) &&
            (only != NULL ? strcmp(name, only) == 0 : travels(name)))
            result = billet_git_refs_add(refs, name, line, oid, error);
        line = end != NULL ? end + 1 : NULL;
    }
    return result;
}

/* 1: an oid; 0: absent; 2: a symbolic ref, whose target is in to. */
static int
read_loose(const struct billet_root *root, const char *name, char to[BILLET_GIT_REF_SIZE],
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct stat status;
    if (billet_root_stat(root, name, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    int result = billet_git_read_file(root, name, &text, LOOSE_REF_MAX, error);
    if (result <= 0)
        return result;
    while (text.length > 0 && (unsigned char)text.data[text.length - 1] <= ' ')
        text.data[--text.length] = '\0';
    if (text.length > 0 && billet_git_is_oid(text.data, text.length)) {
        memcpy(to, text.data, text.length + 1);
        return 1;
    }
    if (text.length > 5 && memcmp(text.data, "ref:", 4) == 0) {
        const char *target = text.data + 4 + strspn(text.data + 4, " \t");
        if (billet_git_is_ref_name(target)) {
            snprintf(to, BILLET_GIT_REF_SIZE, "%s", target);
            return 2;
        }
    }
    return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused", ".git/%s is damaged", name);
}

/* path is the directory to walk, with room behind it. */
static int
walk_loose(const struct billet_git_repository *repository, char path[PATH_MAX], int depth,
           struct billet_git_refs *refs, struct billet_error *error)
{
    size_t length = strlen(path);
    int fd = billet_root_openat(&repository->common, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : billet_error_errno(error, 0, "io_failed", errno, "cannot read .git/%s", path);
    cleanup_dir DIR *directory = fdopendir(fd);
    const struct dirent *item;
    if (directory == NULL) {
        billet_close(&fd);
        return billet_error_no_memory(error);
    }
    int result = 0;
    while (result == 0 && (item = readdir(directory)) != NULL) {
        struct stat status;
        char value[BILLET_GIT_REF_SIZE];
        int size = snprintf(path + length, PATH_MAX - length, "/%s", item->d_name);
        if (item->d_name[0] != '.' && size > 0 && length + (size_t)size < BILLET_GIT_REF_SIZE &&
            billet_git_is_ref_name(path) &&
            fstatat(dirfd(directory), item->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
            if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
                result = walk_loose(repository, path, depth + 1, refs, error);
            else if (S_ISREG(status.st_mode) &&
                     read_loose(&repository->common, path, value, NULL) == 1)
                result = billet_git_refs_add(refs, path, value, strlen(value), error);
        }
        path[length] = '\0';
    }
    return result;
}

int
billet_git_refs_read(const struct billet_git_repository *repository, struct billet_git_refs *refs,
                     struct billet_error *error)
{
    static const char *const tops[] = {"refs/heads", "refs/tags", "refs/remotes"};
    struct billet_git_refs packed = {0};
    char path[PATH_MAX];
    int result = 0;
    for (size_t i = 0; i < 3 && result == 0; i++) {
        snprintf(path, sizeof(path), "%s", tops[i]);
        result = walk_loose(repository, path, 0, refs, error);
    }
    billet_git_refs_sort(refs);
    struct billet_git_refs loose = *refs; /* the sorted part; adding may move the items */
    if (result == 0)
        result = read_packed(repository, NULL, &packed, error);
    for (size_t i = 0; i < packed.count && result == 0; i++) {
        loose.items = refs->items;
        if (billet_git_refs_find(&loose, packed.items[i].name) == NULL)
            result = billet_git_refs_add(refs, packed.items[i].name, packed.items[i].oid,
                                         strlen(packed.items[i].oid), error);
    }
    billet_git_refs_free(&packed);
    billet_git_refs_sort(refs);
    return result;
}

/* HEAD and other refs of one work tree lie with it, the rest in common. */
static const struct billet_root *
root_of(const struct billet_git_repository *repository, const char *name)
{
    return strchr(name, '/') == NULL ? &repository->directory : &repository->common;
}

/* 1 with its value, 0 absent. */
static int
read_ref(const struct billet_git_repository *repository, const char *name,
         char oid[BILLET_GIT_REF_SIZE], struct billet_error *error)
{
    int result = read_loose(root_of(repository, name), name, oid, error);
    if (result == 2)
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused", "%s is a symbolic ref",
                                name);
    if (result != 0)
        return result;
    struct billet_git_refs packed = {0};
    result = read_packed(repository, name, &packed, error);
    if (result == 0 && packed.count > 0) {
        snprintf(oid, BILLET_GIT_REF_SIZE, "%s", packed.items[packed.count - 1].oid);
        result = 1;
    }
    billet_git_refs_free(&packed);
    return result;
}

int
billet_git_head_read(const struct billet_git_repository *repository, struct billet_git_head *head,
                     struct billet_error *error)
{
    char value[BILLET_GIT_REF_SIZE];
    *head = (struct billet_git_head){0};
    int result = read_loose(&repository->directory, "HEAD", value, error);
    if (result == 0)
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused", ".git/HEAD is gone");
    if (result == 2) {
        snprintf(head->ref, sizeof(head->ref), "%s", value);
        result = read_ref(repository, head->ref, value, error);
    }
    if (result == 1)
        snprintf(head->oid, sizeof(head->oid), "%.64s", value);
    return result < 0 ? result : 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static void
own_name(char to[64], const char *tag)
{
    snprintf(to, 64, "billet-ref-%.16s", tag);
}

static int
make_parents(const struct billet_git_repository *repository, const struct billet_root *root,
             const char *name)
{
    char path[BILLET_GIT_REF_SIZE + 16];
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *leaf;
        snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
        cleanup_fd int parent = billet_root_parent(root, path, &leaf);
        if (parent < 0)
            return -1;
        if (mkdirat(parent, leaf, 0755) == 0) {
            if (repository->change_owner && fchownat(parent, leaf, repository->owner,
                                                     repository->group, AT_SYMLINK_NOFOLLOW) != 0)
                return -1;
        } else if (errno != EEXIST) {
            return -1;
        }
    }
    return 0;
}

/* Best effort: what git shows by `git reflog`. Only where there is a log, or HEAD's is. */
static void
write_log(const struct billet_git_repository *repository, const char *name,
          const struct billet_git_move *move, const char *was)
{
    char path[BILLET_GIT_REF_SIZE + 16];
    char line[2048];
    static const char zeros[BILLET_GIT_OID_SIZE] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    snprintf(path, sizeof(path), "logs/%s", name);
    cleanup_fd int fd =
        billet_root_openat(root_of(repository, name), path, O_WRONLY | O_APPEND | O_NONBLOCK, 0);
    if (fd < 0)
        return;
    int size = snprintf(line, sizeof(line), "%.*s %s %s %lld +0000\t%s\n", (int)strlen(move->to),
                        was[0] != '\0' ? was : zeros, move->to, move->who, (long long)time(NULL),
                        move->log);
    if (size > 0 && (size_t)size < sizeof(line))
        (void)!write(fd, line, (size_t)size);
}

static void
write_logs(const struct billet_git_repository *repository, const struct billet_git_move *move,
           const char *was)
{
    char target[BILLET_GIT_REF_SIZE];
    if (move->log == NULL || move->to[0] == '\0')
        return;
    write_log(repository, move->name, move, was);
    if (strcmp(move->name, "HEAD") != 0 &&
        read_loose(&repository->directory, "HEAD", target, NULL) == 2 &&
        strcmp(target, move->name) == 0)
        write_log(repository, "HEAD", move, was);
}

/* The lock is held: compare, then set. */
static int
set_locked(const struct billet_git_repository *repository, const struct billet_git_move *move,
           int parent, const char *lock, const char *leaf, struct billet_error *error)
{
    char now[BILLET_GIT_REF_SIZE];
    int there = read_ref(repository, move->name, now, error);
    if (there < 0)
        return there;
    if (there == 0)
        now[0] = '\0';
    if (move->from != NULL && strcmp(now, move->from) != 0)
        return 0;
    if (move->to[0] == '\0')
        return unlinkat(parent, leaf, 0) == 0 || errno == ENOENT
                   ? 1
                   : billet_error_errno(error, 0, "io_failed", errno, "cannot remove %s",
                                        move->name);
    if (renameat(parent, lock, parent, leaf) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot write %s", move->name);
    if (repository->durable)
        (void)!fsync(parent);
    write_logs(repository, move, now);
    return 1;
}

int
billet_git_ref_move(const struct billet_git_repository *repository,
                    const struct billet_git_move *move, struct billet_error *error)
{
    const struct billet_root *root = root_of(repository, move->name);
    char own[64];
    char lock[BILLET_NAME_BYTES_MAX + 8];
    char text[BILLET_GIT_OID_SIZE + 1];
    const char *leaf;
    own_name(own, move->tag);
    if (!billet_git_is_ref_name(move->name))
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                "a ref has a name that git refuses");
    if (make_parents(repository, root, move->name) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot write %s", move->name);
    cleanup_fd int parent = billet_root_parent(root, move->name, &leaf);
    if (parent < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot write %s", move->name);
    snprintf(lock, sizeof(lock), "%s.lock", leaf);
    unlinkat(root->fd, own, 0);
    cleanup_fd int fd =
        openat(root->fd, own, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    snprintf(text, sizeof(text), "%s\n", move->to);
    if (fd < 0 || billet_io_write_all(fd, text, strlen(text), NULL) < 0 ||
        (repository->change_owner && fchown(fd, repository->owner, repository->group) != 0) ||
        (repository->durable && fsync(fd) != 0)) {
        int saved = errno;
        unlinkat(root->fd, own, 0);
        return billet_error_errno(error, 0, "io_failed", saved, "cannot write %s", move->name);
    }
    /* As for the index: a lock left behind can be told by its other link. */
    if (linkat(root->fd, own, parent, lock, 0) != 0) {
        int saved = errno;
        unlinkat(root->fd, own, 0);
        return saved == EEXIST
                   ? 0
                   : billet_error_errno(error, 0, "io_failed", saved, "cannot lock %s", move->name);
    }
    int result = set_locked(repository, move, parent, lock, leaf, error);
    if (result != 1 || move->to[0] == '\0')
        unlinkat(parent, lock, 0);
    unlinkat(root->fd, own, 0);
    return result;
}

void
billet_git_refs_unlock(const struct billet_git_repository *repository, const char *const names[],
                       size_t count, const char *tag)
{
    char own[64];
    own_name(own, tag);
    for (size_t i = 0; i < count; i++) {
        const struct billet_root *root = root_of(repository, names[i]);
        char lock[BILLET_GIT_REF_SIZE + 8];
        struct stat of_lock;
        struct stat other;
        const char *leaf;
        snprintf(lock, sizeof(lock), "%s.lock", names[i]);
        cleanup_fd int parent = billet_root_parent(root, lock, &leaf);
        if (parent >= 0 && fstatat(root->fd, own, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(parent, leaf, &of_lock, AT_SYMLINK_NOFOLLOW) == 0 &&
            of_lock.st_ino == other.st_ino)
            unlinkat(parent, leaf, 0);
    }
    unlinkat(repository->common.fd, own, 0);
    unlinkat(repository->directory.fd, own, 0);
}
