/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "guest/guest.h"
#include "guest/processes.h"
#include "workspace/archive.h"
#include "workspace/content.h"
#include "workspace/filter.h"
#include "workspace/path.h"
#include "workspace/scan.h"
#include "workspace/tree.h"

#define KEPT_MAX 8 /* trees */
#define PATHS_MAX (512u << 20)
#define END_ROUNDS 1000 /* of 5 ms */

int
guest_failed(struct billet_error *error, const char *what, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return billet_error_errno(error, 0, full ? "workspace_full" : "io_failed", errno,
                              "cannot %s %s", what, path);
}

int
guest_say(int result, const struct billet_error *error)
{
    if (result >= 0)
        return 0;
    fprintf(stderr, "billet-guest: %s\n", error->message);
    return GUEST_EXIT_FAILED;
}

/* The directory itself is no link either: what a command made of it is not trusted. */
static int
open_root(struct billet_root *root, const char *directory, struct billet_error *error)
{
    cleanup_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", directory);
    int result = billet_root_adopt(root, fd, error);
    if (result == 0)
        billet_steal_fd(&fd);
    return result;
}

/* ---- manifest ----------------------------------------------------------------------------- */

static int
write_manifest(const char *directory, const struct billet_filter *filter,
               struct billet_error *error)
{
    cleanup_root struct billet_root root = BILLET_ROOT_INIT;
    cleanup_manifest struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    struct billet_scan scan = {.filter = filter, .hash = BILLET_HASH_NONE};
    int result = open_root(&root, directory, error);
    if (result == 0)
        result = billet_scan(&root, &scan, &manifest, NULL, error);
    if (result == 0)
        result = billet_manifest_encode(&manifest, 0, &bytes, error);
    return result < 0 ? result
                      : billet_io_write_all(STDOUT_FILENO, bytes.data, bytes.length, error);
}

/* argv: DIRECTORY [FLAGS [PATTERN...]] */
static int
print_manifest(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_filter filter = BILLET_FILTER_INIT;
    int result = 0;
    if (argc > 1)
        filter.flags = (unsigned)strtoul(argv[1], NULL, 10);
    for (int i = 2; result == 0 && i < argc; i++)
        result = billet_patterns_add(&filter.exclude, argv[i], strlen(argv[i]), &error);
    if (result == 0)
        result = write_manifest(argv[0], argc > 1 ? &filter : NULL, &error);
    billet_filter_free(&filter);
    return guest_say(result, &error);
}

int
guest_manifest(int argc, char **argv)
{
    return argc < 2 ? GUEST_EXIT_USAGE : print_manifest(argc - 1, argv + 1);
}

/* ---- receive ------------------------------------------------------------------------------ */

struct receiver {
    struct billet_root root;
    char staged[64]; /* where a file is written before it is put in place, in the root */
    struct billet_archive_reader *reader;
};

static int
remove_path(const struct billet_root *root, const char *path, struct billet_error *error)
{
    const char *leaf;
    cleanup_fd int parent = billet_root_parent(root, path, &leaf);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : guest_failed(error, "reach", path);
    if (unlinkat(parent, leaf, 0) == 0 || errno == ENOENT)
        return 0;
    /* A directory that holds what has no name here stays. */
    if (errno == EISDIR && (unlinkat(parent, leaf, AT_REMOVEDIR) == 0 || errno == ENOENT ||
                            errno == ENOTEMPTY || errno == EBUSY))
        return 0;
    return guest_failed(error, "remove", path);
}

static int
remove_paths(const struct billet_root *root, struct billet_error *error)
{
    char path[PATH_MAX];
    size_t length = 0;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, path + length, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || (length == sizeof(path) - 1 && path[length] != '\0'))
            return billet_error_set(error, BILLET_CLASS_LOST, "archive_truncated",
                                    "what was to be received broke off");
        if (path[length] != '\0') {
            length++;
            continue;
        }
        if (length == 0)
            return 0;
        int result = billet_path_check(path, length, &billet_limits_default, error);
        if (result == 0)
            result = remove_path(root, path, error);
        if (result < 0)
            return result;
        length = 0;
    }
}

/* The content into the staged file, with mode and time. */
static int
write_content(struct receiver *receiver, const struct billet_archive_entry *entry,
              struct billet_error *error)
{
    const char *bytes;
    size_t length;
    uint64_t offset = 0;
    int result;
    unlinkat(receiver->root.fd, receiver->staged, 0);
    cleanup_fd int fd = openat(receiver->root.fd, receiver->staged,
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return guest_failed(error, "make", entry->path);
    while ((result = billet_archive_content(receiver->reader, &bytes, &length, error)) == 0 &&
           length > 0) {
        if (billet_content_write(fd, bytes, length, offset) != 0)
            return guest_failed(error, "write", entry->path);
        offset += length;
    }
    if (result < 0)
        return result;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = entry->mtime_ns / BILLET_NS_PER_SECOND,
                                 .tv_nsec = entry->mtime_ns % BILLET_NS_PER_SECOND}};
    if (times[1].tv_nsec < 0) {
        times[1].tv_sec--;
        times[1].tv_nsec += BILLET_NS_PER_SECOND;
    }
    if (ftruncate(fd, (off_t)entry->size) != 0 || fchmod(fd, entry->mode & 0755) != 0 ||
        futimens(fd, times) != 0)
        return guest_failed(error, "write", entry->path);
    return 0;
}

static int
place_entry(struct receiver *receiver, const struct billet_archive_entry *entry,
            struct billet_error *error)
{
    const char *leaf;
    if (billet_root_make_parents(&receiver->root, entry->path) != 0)
        return guest_failed(error, "make the directory of", entry->path);
    cleanup_fd int parent = billet_root_parent(&receiver->root, entry->path, &leaf);
    if (parent < 0)
        return guest_failed(error, "reach", entry->path);
    if (entry->type == BILLET_ENTRY_DIRECTORY) {
        mode_t mode = (entry->mode & 0755) | 0700;
        if ((mkdirat(parent, leaf, mode) != 0 && errno != EEXIST) ||
            fchmodat(parent, leaf, mode, 0) != 0)
            return guest_failed(error, "make", entry->path);
        return 0;
    }
    if (entry->type == BILLET_ENTRY_LINK) {
        unlinkat(receiver->root.fd, receiver->staged, 0);
        if (symlinkat(entry->target, receiver->root.fd, receiver->staged) != 0)
            return guest_failed(error, "make", entry->path);
    } else if (entry->type == BILLET_ENTRY_FILE) {
        int result = write_content(receiver, entry, error);
        if (result < 0)
            return result;
    } else {
        return billet_error_set(error, BILLET_CLASS_AUTH, "archive_refused",
                                "%s is a hard link, which is not sent", entry->path);
    }
    return renameat(receiver->root.fd, receiver->staged, parent, leaf) == 0
               ? 0
               : guest_failed(error, "put in place", entry->path);
}

int
guest_receive_into(const char *directory, struct billet_error *error)
{
    struct billet_archive_entry entry;
    struct receiver receiver = {.root = BILLET_ROOT_INIT};
    snprintf(receiver.staged, sizeof(receiver.staged), BILLET_PATH_RESERVED "-guest-%d",
             (int)getpid());
    int result = open_root(&receiver.root, directory, error);
    if (result == 0)
        result = remove_paths(&receiver.root, error);
    if (result == 0)
        result = billet_archive_reader_fd(STDIN_FILENO, &billet_limits_default, 0, &receiver.reader,
                                          error);
    while (result == 0) {
        int next = billet_archive_next(receiver.reader, &entry, error);
        if (next <= 0) {
            result = next;
            break;
        }
        result = place_entry(&receiver, &entry, error);
    }
    billet_archive_reader_free(receiver.reader);
    if (receiver.root.fd >= 0)
        unlinkat(receiver.root.fd, receiver.staged, 0);
    billet_root_close(&receiver.root);
    return result;
}

int
guest_receive(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (argc != 2)
        return GUEST_EXIT_USAGE;
    int result = guest_receive_into(argv[1], &error);
    return guest_say(result, &error);
}

/* ---- send --------------------------------------------------------------------------------- */

static int
send_path(const struct billet_root *root, struct billet_archive_writer *writer, const char *path,
          struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    struct billet_entry entry;
    char target[BILLET_TARGET_BYTES_MAX + 1];
    const char *leaf;
    struct stat status;
    int result = billet_path_check(path, strlen(path), &billet_limits_default, error);
    if (result < 0)
        return result;
    cleanup_fd int parent = billet_root_parent(root, path, &leaf);
    if (parent < 0 || fstatat(parent, leaf, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : guest_failed(error, "read", path);
    billet_scan_fill(&entry, &status);
    entry.path = path;
    entry.path_length = (uint32_t)strlen(path);
    if (entry.type == BILLET_ENTRY_OTHER)
        return 0;
    if (entry.type == BILLET_ENTRY_LINK) {
        ssize_t length = readlinkat(parent, leaf, target, sizeof(target));
        if (length < 0 || (size_t)length == sizeof(target))
            return 0;
        target[length] = '\0';
        entry.target = target;
        entry.target_length = (uint32_t)length;
    }
    if (entry.type != BILLET_ENTRY_FILE)
        return billet_archive_begin(writer, &entry, error);
    uint64_t before = billet_archive_written(writer);
    result = billet_archive_put_file(writer, root, &entry, &own);
    if (result < 0 && strcmp(own.code, "workspace_changed") == 0 &&
        billet_archive_written(writer) == before)
        return 0;
    if (result < 0)
        *error = own;
    return result;
}

int
guest_send(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_root struct billet_root root = BILLET_ROOT_INIT;
    cleanup_buffer struct billet_buffer paths = BILLET_BUFFER_INIT;
    struct billet_archive_writer *writer = NULL;
    if (argc != 2)
        return GUEST_EXIT_USAGE;
    int result = billet_io_read_all(STDIN_FILENO, &paths, PATHS_MAX, &error);
    if (result == 0 && paths.length > 0 && paths.data[paths.length - 1] != '\0')
        result = billet_error_set(&error, BILLET_CLASS_LOST, "archive_truncated",
                                  "the names of what is wanted broke off");
    if (result == 0)
        result = open_root(&root, argv[1], &error);
    if (result == 0)
        result = billet_archive_writer_new(STDOUT_FILENO, &writer, &error);
    for (size_t at = 0; result == 0 && at < paths.length; at += strlen(paths.data + at) + 1)
        result = send_path(&root, writer, paths.data + at, &error);
    if (result == 0)
        result = billet_archive_finish(writer, &error);
    billet_archive_writer_free(writer);
    return guest_say(result, &error);
}

/* ---- take, keep --------------------------------------------------------------------------- */

int
guest_take(int argc, char **argv)
{
    struct stat status;
    if (argc != 3)
        return GUEST_EXIT_USAGE;
    /* It takes the place of an empty directory only, and one taker gets it. Without it all is sent,
     * so no failure matters. */
    if (lstat(argv[1], &status) == 0 && S_ISDIR(status.st_mode))
        (void)!rename(argv[1], argv[2]);
    return print_manifest(1, argv + 2);
}

struct kept {
    char name[256];
    struct timespec since;
};

/* Remove what is older than the newest eight in that directory. */
static void
forget_old(const char *directory)
{
    struct kept oldest;
    struct stat status;
    struct billet_error ignored = BILLET_ERROR_INIT;
    char path[PATH_MAX];
    for (int round = 0; round < 64; round++) {
        int count = 0;
        DIR *list = opendir(directory);
        if (list == NULL)
            return;
        for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
            if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(oldest.name) ||
                fstatat(dirfd(list), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
                continue;
            bool older = count == 0 || status.st_ctim.tv_sec < oldest.since.tv_sec ||
                         (status.st_ctim.tv_sec == oldest.since.tv_sec &&
                          status.st_ctim.tv_nsec < oldest.since.tv_nsec);
            count++;
            if (older) {
                snprintf(oldest.name, sizeof(oldest.name), "%s", entry->d_name);
                oldest.since = status.st_ctim;
            }
        }
        closedir(list);
        if (count <= KEPT_MAX ||
            snprintf(path, sizeof(path), "%s/%s", directory, oldest.name) >= (int)sizeof(path) ||
            billet_tree_remove(path, &ignored) < 0)
            return;
    }
}

int
guest_keep(int argc, char **argv)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct stat status;
    char parent[PATH_MAX];
    if (argc != 3 || strlen(argv[2]) >= sizeof(parent) || strrchr(argv[2], '/') == NULL)
        return GUEST_EXIT_USAGE;
    snprintf(parent, sizeof(parent), "%s", argv[2]);
    *strrchr(parent, '/') = '\0';
    if (lstat(argv[1], &status) != 0 || !S_ISDIR(status.st_mode)) {
        fprintf(stderr, "billet-guest: %s is no directory any more\n", argv[1]);
        return GUEST_EXIT_FAILED;
    }
    if (mkdir(parent, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "billet-guest: cannot make %s: %s\n", parent, strerror(errno));
        return GUEST_EXIT_FAILED;
    }
    int result = billet_tree_remove(argv[2], &error);
    /* The time of its change says how old it is. */
    if (result == 0 && rename(argv[1], argv[2]) != 0)
        result = billet_error_errno(&error, 0, "io_failed", errno, "cannot keep %s", argv[1]);
    forget_old(parent);
    return guest_say(result, &error);
}

/* ---- end ---------------------------------------------------------------------------------- */

int
guest_end(int argc, char **argv)
{
    char label[160];
    if (argc < 2 || strlen(argv[1]) > 100)
        return GUEST_EXIT_USAGE;
    snprintf(label, sizeof(label), "BILLET_LEASE_ID=%s", argv[1]);
    struct guest_tree tree = {.pid = -1, .label = label};
    for (int round = 0; round < END_ROUNDS; round++) {
        if (guest_processes_kill(&tree) == 0)
            return argc > 2 ? print_manifest(argc - 2, argv + 2) : 0;
        poll(NULL, 0, 5);
    }
    fprintf(stderr, "billet-guest: processes of the lease did not end\n");
    return GUEST_EXIT_FAILED;
}
