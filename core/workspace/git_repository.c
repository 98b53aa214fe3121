/* SPDX-License-Identifier: Apache-2.0 */
/* Where the repository is, its packs and its index; refs are in git_refs.c. */
#include "workspace/git_repository.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"

#define POINTER_MAX (PATH_MAX + 16)
#define COPY_BYTES (1u << 20)

int
billet_git_read_file(const struct billet_root *root, const char *name, struct billet_buffer *text,
                     size_t limit, struct billet_error *error)
{
    struct stat status;
    cleanup_fd int fd = billet_root_openat(root, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot read .git/%s", name);
    if (!S_ISREG(status.st_mode))
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                ".git/%s is not a regular file", name);
    int result = billet_io_read_all(fd, text, limit, error);
    return result < 0 ? billet_error_wrap(error, ".git/%s", name) : 1;
}

/* --- where it is ----------------------------------------------------------------------------- */

static void
trim(struct billet_buffer *text)
{
    while (text->length > 0 &&
           (text->data[text->length - 1] == '\n' || text->data[text->length - 1] == '\r'))
        text->data[--text->length] = '\0';
}

/* A one-line file that holds a path; "" when there is none. Relative ones are beside `above`. */
static int
read_pointer(const struct billet_root *root, const char *name, const char *prefix,
             const char *above, char to[PATH_MAX], struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    to[0] = '\0';
    int result = billet_git_read_file(root, name, &text, POINTER_MAX, error);
    if (result <= 0)
        return result;
    trim(&text);
    const char *value = billet_buffer_text(&text);
    if (text.length < strlen(prefix) || strlen(value) != text.length ||
        !billet_text_starts(value, prefix))
        return 0;
    value += strlen(prefix);
    int size = value[0] == '/' ? snprintf(to, PATH_MAX, "%s", value)
                               : snprintf(to, PATH_MAX, "%s/%s", above, value);
    if (size < 0 || size >= PATH_MAX)
        to[0] = '\0';
    return 0;
}

static bool
same_place(const char *a, const char *b)
{
    struct stat of_a;
    struct stat of_b;
    return lstat(a, &of_a) == 0 && lstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

/* A .git file. What it names must name it in turn: the other end is outside the workspace, where a
 * workload that wrote the file could not write. */
static int
open_linked(struct billet_git_repository *repository, const struct billet_root *work,
            const char *path, char why[160], struct billet_error *error)
{
    char directory[PATH_MAX];
    char back[PATH_MAX];
    char common[PATH_MAX];
    char own[PATH_MAX];
    int result = read_pointer(work, ".git", "gitdir: ", path, directory, error);
    if (result < 0)
        return result;
    snprintf(own, sizeof(own), "%s/.git", path);
    if (directory[0] == '\0' || billet_root_open(&repository->directory, directory, NULL) < 0) {
        snprintf(why, 160, "its .git file names no repository");
        return 0;
    }
    result = read_pointer(&repository->directory, "gitdir", "", directory, back, error);
    if (result == 0)
        result = read_pointer(&repository->directory, "commondir", "", directory, common, error);
    if (result < 0)
        return result;
    if (back[0] == '\0' || !same_place(back, own)) {
        snprintf(why, 160, "its .git file names a repository that does not name it in turn");
        return 0;
    }
    if (common[0] == '\0' || billet_root_open(&repository->common, common, NULL) < 0) {
        snprintf(why, 160, "the main repository of the linked work tree is not there");
        return 0;
    }
    repository->linked = true;
    return 1;
}

static int
open_plain(struct billet_git_repository *repository, const struct billet_root *work,
           struct billet_error *error)
{
    for (int i = 0; i < 2; i++) {
        struct billet_root *root = i == 0 ? &repository->directory : &repository->common;
        cleanup_fd int fd = billet_root_openat(work, ".git", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot open .git");
        int result = billet_root_adopt(root, fd, error);
        if (result < 0)
            return result;
        billet_steal_fd(&fd);
    }
    return 1;
}

/* Object stores that hold what cannot be read here without following what the repository says. */
static const char *
find_obstacle(const struct billet_git_repository *repository)
{
    static const char *const alternates[] = {"objects/info/alternates",
                                             "objects/info/http-alternates"};
    struct stat status;
    for (size_t i = 0; i < 2; i++)
        if (billet_root_stat(&repository->common, alternates[i], &status) == 0 &&
            status.st_size > 0)
            return "it borrows objects of another repository (alternates); git repack -a -d ends "
                   "that";
    if (billet_root_stat(&repository->common, "reftable", &status) == 0)
        return "its refs are not files (reftable)";
    int fd = billet_root_openat(&repository->common, "objects/pack", O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    if (directory == NULL) {
        billet_close(&fd);
        return NULL;
    }
    while ((item = readdir(directory)) != NULL) {
        size_t length = strlen(item->d_name);
        if (length > 9 && strcmp(item->d_name + length - 9, ".promisor") == 0)
            return "it is a partial clone";
        if (item->d_name[0] != '.' && item->d_type != DT_REG && item->d_type != DT_UNKNOWN)
            return "its object store holds what is no plain file";
    }
    return NULL;
}

int
billet_git_repository_open(struct billet_git_repository *repository, const struct billet_root *work,
                           const char *path, char why[160], struct billet_error *error)
{
    struct stat status;
    why[0] = '\0';
    if (billet_root_stat(work, ".git", &status) != 0)
        return 0;
    int result = 0;
    if (S_ISDIR(status.st_mode))
        result = open_plain(repository, work, error);
    else if (S_ISREG(status.st_mode))
        result = open_linked(repository, work, path, why, error);
    else
        snprintf(why, 160, "its .git is neither a directory nor a file");
    if (result <= 0)
        return result;
    if (billet_root_stat(&repository->directory, "HEAD", &status) != 0 ||
        !S_ISREG(status.st_mode)) {
        snprintf(why, 160, "its .git holds no HEAD");
        return 0;
    }
    repository->objects_fd =
        billet_root_openat(&repository->common, "objects", O_RDONLY | O_DIRECTORY, 0);
    if (repository->objects_fd < 0 || fstat(repository->objects_fd, &status) != 0) {
        snprintf(why, 160, "its objects cannot be opened (%s)", strerror(errno));
        return 0;
    }
    const char *obstacle = find_obstacle(repository);
    if (obstacle != NULL) {
        snprintf(why, 160, "%s", obstacle);
        return 0;
    }
    repository->owner = status.st_uid;
    repository->group = status.st_gid;
    repository->change_owner = geteuid() == 0 && (status.st_uid != 0 || status.st_gid != getegid());
    return 1;
}

void
billet_git_repository_close(struct billet_git_repository *repository)
{
    billet_root_close(&repository->directory);
    billet_root_close(&repository->common);
    billet_close(&repository->objects_fd);
}

/* --- packs ----------------------------------------------------------------------------------- */

static int
give_owner(const struct billet_git_repository *repository, int fd)
{
    return repository->change_owner ? fchown(fd, repository->owner, repository->group) : 0;
}

static int
copy_bytes(int from, int to)
{
    cleanup_free char *bytes = malloc(COPY_BYTES);
    if (bytes == NULL)
        return -1;
    for (;;) {
        ssize_t got = read(from, bytes, COPY_BYTES);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || billet_io_write_all(to, bytes, (size_t)got, NULL) < 0)
            return -1;
    }
}

static int
copy_into(const struct billet_git_repository *repository, int from_fd, const char *from, int to_fd,
          const char *to, mode_t mode, struct billet_error *error)
{
    cleanup_fd int source = openat(from_fd, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_fd int made =
        openat(to_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (source >= 0 && made >= 0 && copy_bytes(source, made) == 0 &&
        give_owner(repository, made) == 0 && fchmod(made, mode) == 0 &&
        (!repository->durable || fsync(made) == 0))
        return 0;
    int saved = errno;
    if (made >= 0)
        unlinkat(to_fd, to, 0);
    return billet_error_errno(error, 0, "io_failed", saved, "cannot write %s into the repository",
                              to);
}

int
billet_git_install_pack(const struct billet_git_repository *repository, int from_fd,
                        const char *prefix, const char *hash, struct billet_error *error)
{
    static const char *const endings[] = {"pack", "idx"}; /* git looks for the second */
    cleanup_fd int directory =
        openat(repository->objects_fd, "pack", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0 && errno == ENOENT && mkdirat(repository->objects_fd, "pack", 0755) == 0) {
        directory =
            openat(repository->objects_fd, "pack", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (directory >= 0 && give_owner(repository, directory) != 0)
            billet_close(&directory);
    }
    if (directory < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "object store of the repository");
    for (size_t i = 0; i < 2; i++) {
        char from[128];
        char to[128];
        char temporary[128];
        snprintf(from, sizeof(from), "%s-%.64s.%s", prefix, hash, endings[i]);
        snprintf(to, sizeof(to), "pack-%.64s.%s", hash, endings[i]);
        /* git itself sweeps up what begins so and is old. */
        snprintf(temporary, sizeof(temporary), "tmp_pack_billet-%.64s.%s", hash, endings[i]);
        unlinkat(directory, temporary, 0);
        int result = copy_into(repository, from_fd, from, directory, temporary, 0444, error);
        if (result < 0)
            return result;
        if (renameat(directory, temporary, directory, to) != 0)
            return billet_error_errno(error, 0, "io_failed", errno,
                                      "object store of the repository");
    }
    if (repository->durable && fsync(directory) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "object store of the repository");
    return 0;
}

/* --- index ----------------------------------------------------------------------------------- */

static void
own_name(char to[64], const char *what, const char *tag)
{
    snprintf(to, 64, "billet-%s-%.16s", what, tag);
}

static bool
index_is_still(const struct billet_git_repository *repository, const struct stat *seen)
{
    struct stat now;
    if (billet_root_stat(&repository->directory, "index", &now) != 0)
        return seen->st_ino == 0;
    return now.st_ino == seen->st_ino && now.st_size == seen->st_size &&
           billet_stat_mtime(&now) == billet_stat_mtime(seen) &&
           billet_stat_ctime(&now) == billet_stat_ctime(seen);
}

int
billet_git_index_replace(const struct billet_git_repository *repository, int from_fd,
                         const char *name, const struct stat *seen, const char *tag,
                         billet_git_between *between, void *context, struct billet_error *error)
{
    char own[64];
    int directory = repository->directory.fd;
    own_name(own, "index", tag);
    unlinkat(directory, own, 0);
    mode_t mode = seen->st_ino != 0 ? seen->st_mode & 0777 : 0644;
    int result = copy_into(repository, from_fd, name, directory, own, mode, error);
    if (result < 0)
        return result;
    /* The lock is a second link of a file that has its content already, so that a lock left by a
     * run that was killed can be told from a lock of git. */
    if (linkat(directory, own, directory, "index.lock", 0) != 0) {
        int saved = errno;
        unlinkat(directory, own, 0);
        return saved == EEXIST
                   ? 0
                   : billet_error_errno(error, 0, "io_failed", saved, ".git/index.lock");
    }
    if (index_is_still(repository, seen))
        result = between(context, error);
    if (result == 1 && renameat(directory, "index.lock", directory, "index") != 0)
        result = billet_error_errno(error, 0, "io_failed", errno, ".git/index");
    if (result != 1)
        unlinkat(directory, "index.lock", 0);
    unlinkat(directory, own, 0);
    if (result == 1 && repository->durable)
        (void)!fsync(directory);
    return result;
}

void
billet_git_index_unlock(const struct billet_git_repository *repository, const char *tag)
{
    char own[64];
    struct stat lock;
    struct stat other;
    own_name(own, "index", tag);
    int directory = repository->directory.fd;
    if (fstatat(directory, own, &other, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (fstatat(directory, "index.lock", &lock, AT_SYMLINK_NOFOLLOW) == 0 &&
        lock.st_ino == other.st_ino)
        unlinkat(directory, "index.lock", 0);
    unlinkat(directory, own, 0);
}
