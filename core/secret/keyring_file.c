/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring_file.c - the keyring on disk: found, trusted, read, replaced.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/uuid.h"
#include "secret/keyring.h"

int
billet_keyring_locate(const char *path, char **to, bool *credential, struct billet_error *error)
{
    const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
    char *found = NULL;
    *credential = false;
    if (directory != NULL && directory[0] == '/') {
        if (asprintf(&found, "%s/" BILLET_KEYRING_CREDENTIAL, directory) < 0)
            return billet_error_no_memory(error);
        /* One that is there and cannot be read is an error later on, not a reason to look on. */
        if (access(found, F_OK) == 0 || errno != ENOENT) {
            *credential = true;
            *to = found;
            return 0;
        }
        free(found);
    }
    *to = strdup(path);
    return *to != NULL ? 0 : billet_error_no_memory(error);
}

int
billet_keyring_load_file(const char *path, struct billet_secret *file, struct billet_error *error)
{
    cleanup_fd int fd = -1;
    if (path[0] == '/' && access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "key_missing", "there is no keyring %s", path);
        return billet_error_hint(error, "'billet key init' makes one, 'billet key import' brings "
                                        "one back; nothing is made by itself");
    }
    int result = billet_io_open_trusted(path, BILLET_TRUST_PRIVATE, &fd, error);
    if (result == 0)
        result = billet_secret_read(file, fd, error);
    return result < 0 ? billet_error_wrap(error, "keyring") : 0;
}

/* What a writer that was killed left beside it, KEYRING.UUID.new, holds keys. Whoever has the lock
 * knows that nobody is writing one. */
static void
remove_leftovers(const char *path)
{
    static const char ending[] = ".new";
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return;
    cleanup_free char *directory = strndup(path, (size_t)(slash - path) + 1);
    DIR *entries = directory != NULL ? opendir(directory) : NULL;
    size_t base = strlen(slash + 1);
    size_t length = base + 1 + BILLET_UUID_SIZE - 1 + strlen(ending);
    for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
        const char *name = entry->d_name;
        if (strlen(name) == length && strncmp(name, slash + 1, base) == 0 && name[base] == '.' &&
            strspn(name + base + 1, "0123456789abcdef-") == BILLET_UUID_SIZE - 1 &&
            strcmp(name + length - strlen(ending), ending) == 0)
            unlinkat(dirfd(entries), name, 0);
    }
    if (entries != NULL)
        closedir(entries);
}

int
billet_keyring_lock(const char *path, int *fd, struct billet_error *error)
{
    cleanup_free char *copy = strdup(path);
    cleanup_free char *lock = NULL;
    if (copy == NULL || asprintf(&lock, "%s.lock", path) < 0) {
        lock = NULL;
        return billet_error_no_memory(error);
    }
    int result = billet_io_make_directories(dirname(copy), 0700, error);
    if (result < 0)
        return billet_error_wrap(error, "cannot keep a keyring at %s", path);
    cleanup_fd int made = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (made < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot lock the keyring: %s",
                                  lock);
    while (flock(made, LOCK_EX) != 0)
        if (errno != EINTR)
            return billet_error_errno(error, 0, "io_failed", errno, "cannot lock the keyring: %s",
                                      lock);
    remove_leftovers(path);
    *fd = billet_steal_fd(&made);
    return 0;
}

int
billet_keyring_save_file(const char *path, const struct billet_secret *file, bool replace,
                         struct billet_error *error)
{
    if (!replace && (access(path, F_OK) == 0 || errno != ENOENT)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "key_exists", "there is a keyring %s already",
                         path);
        return billet_error_hint(error, "'billet key rotate' gives it a new key");
    }
    return billet_io_replace_file(path, file->bytes, file->length, 0400, error);
}
