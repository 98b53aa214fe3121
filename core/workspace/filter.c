/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "workspace/index.h"
#include "workspace/path.h"

#define IGNORE_FILE_MAX (1u << 20)

struct billet_ignore {
    const struct billet_ignore *parent;
    struct billet_ignore *next; /* of all nodes of the sieve */
    size_t base;                /* bytes of a path to skip to be relative to the file */
    struct billet_patterns patterns;
};

struct billet_sieve {
    const struct billet_filter *filter;
    const struct billet_root *root;
    struct billet_manifest tracked; /* paths of the git index, sorted */
    pthread_mutex_t lock;
    struct billet_ignore *nodes;
    /* billet_sieve_path's last directory. */
    char directory[4096];
    const struct billet_ignore *directory_ignore;
    int directory_reason;
    bool directory_known;
};

void
billet_filter_free(struct billet_filter *filter)
{
    billet_patterns_free(&filter->exclude);
    billet_patterns_free(&filter->preserve);
}

const char *
billet_reason_name(int reason)
{
    static const char *const names[BILLET_REASON_COUNT] = {
        [BILLET_REASON_NONE] = "none",       [BILLET_REASON_EXCLUDED] = "excluded",
        [BILLET_REASON_IGNORED] = "ignored", [BILLET_REASON_HEAVY] = "heavy",
        [BILLET_REASON_GIT] = "git",         [BILLET_REASON_SPECIAL] = "special",
        [BILLET_REASON_LINK] = "link",       [BILLET_REASON_NAME] = "name",
        [BILLET_REASON_MOUNT] = "mount",     [BILLET_REASON_UNREADABLE] = "unreadable",
    };
    return reason >= 0 && reason < BILLET_REASON_COUNT ? names[reason] : "unknown";
}

bool
billet_filter_is_heavy(int directory_fd, const char *name)
{
    static const char *const heavy[] = {
        "node_modules", ".venv",      "__pycache__",   ".tox",         ".nox",
        ".next",        ".turbo",     ".cache",        ".gradle",      ".mypy_cache",
        ".ruff_cache",  ".terraform", ".pytest_cache", ".parcel-cache"};
    for (size_t i = 0; i < sizeof(heavy) / sizeof(heavy[0]); i++)
        if (strcmp(name, heavy[i]) == 0)
            return true;
    return strcmp(name, "target") == 0 &&
           (faccessat(directory_fd, "Cargo.toml", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
            faccessat(directory_fd, "pom.xml", F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

/* Git compares its own directory's name without case on some file systems; so does the guard. */
static const char *
after_git_component(const char *path)
{
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 4 && strncasecmp(at, ".git", 4) == 0)
            return at + size;
        at += size;
        if (*at == '\0')
            return NULL;
    }
}

bool
billet_filter_guards(const char *path)
{
    static const char *const free_names[] = {
        "objects",     "refs",           "logs",       "index",      "packed-refs",
        "HEAD",        "ORIG_HEAD",      "FETCH_HEAD", "MERGE_HEAD", "MERGE_MSG",
        "MERGE_MODE",  "COMMIT_EDITMSG", "shallow",    "AUTO_MERGE", "CHERRY_PICK_HEAD",
        "REVERT_HEAD", "BISECT_LOG",     "SQUASH_MSG"};
    const char *rest = after_git_component(path);
    if (rest == NULL || *rest == '\0')
        return false;
    rest++;
    size_t size = strcspn(rest, "/");
    for (size_t i = 0; i < sizeof(free_names) / sizeof(free_names[0]); i++)
        if (strlen(free_names[i]) == size && strncmp(rest, free_names[i], size) == 0)
            return false;
    return true;
}

static int
add_node(struct billet_sieve *sieve, const struct billet_ignore *parent, size_t base,
         const struct billet_buffer *text, const struct billet_ignore **made,
         struct billet_error *error)
{
    struct billet_ignore *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return billet_error_no_memory(error);
    node->parent = parent;
    node->base = base;
    pthread_mutex_lock(&sieve->lock);
    node->next = sieve->nodes;
    sieve->nodes = node;
    pthread_mutex_unlock(&sieve->lock);
    *made = node;
    return billet_patterns_add_text(&node->patterns, text->data, text->length, error);
}

/* A file of patterns; absent, unreadable or a link: none. */
static int
read_patterns(int fd, struct billet_buffer *text, struct billet_error *error)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    if (billet_io_read_all(fd, text, IGNORE_FILE_MAX, error) < 0)
        return billet_error_wrap(error, "file of ignore patterns");
    return 1;
}

const struct billet_ignore *
billet_sieve_enter(struct billet_sieve *sieve, const struct billet_ignore *parent, int directory_fd,
                   const char *path, struct billet_error *error)
{
    static const struct billet_ignore none;
    if (parent == NULL)
        parent = &none;
    if ((sieve->filter->flags & BILLET_FILTER_WITH_IGNORED) != 0)
        return parent;
    if (path[0] == '\0') {
        cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
        cleanup_fd int fd =
            billet_root_openat(sieve->root, ".git/info/exclude", O_RDONLY | O_NONBLOCK, 0);
        int read = read_patterns(fd, &text, error);
        if (read < 0 || (read > 0 && add_node(sieve, parent, 0, &text, &parent, error) < 0))
            return NULL;
    }
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    cleanup_fd int fd =
        openat(directory_fd, ".gitignore", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int read = read_patterns(fd, &text, error);
    size_t base = path[0] != '\0' ? strlen(path) + 1 : 0;
    if (read < 0 || (read > 0 && add_node(sieve, parent, base, &text, &parent, error) < 0))
        return NULL;
    return parent;
}

static bool
is_tracked(const struct billet_sieve *sieve, const char *path, bool directory)
{
    size_t at = billet_manifest_lower_bound(&sieve->tracked, path, strlen(path));
    if (at == sieve->tracked.count)
        return false;
    const char *found = sieve->tracked.entries[at].path;
    return strcmp(found, path) == 0 || (directory && billet_path_below(found, path));
}

int
billet_sieve_entry(const struct billet_sieve *sieve, const struct billet_ignore *ignore,
                   int directory_fd, const char *path, const char *name, bool directory)
{
    const struct billet_filter *filter = sieve->filter;
    if (billet_patterns_match(&filter->exclude, path, directory) > 0)
        return BILLET_REASON_EXCLUDED;
    if (((filter->flags & BILLET_FILTER_WITH_GIT) == 0 && strcmp(name, ".git") == 0) ||
        ((filter->flags & BILLET_FILTER_OWN_GIT) != 0 && strcmp(path, ".git") == 0))
        return BILLET_REASON_GIT;
    if ((filter->flags & BILLET_FILTER_WITH_HEAVY) == 0 && directory &&
        billet_filter_is_heavy(directory_fd, name) && !is_tracked(sieve, path, true))
        return BILLET_REASON_HEAVY;
    if ((filter->flags & BILLET_FILTER_WITH_IGNORED) != 0 || strcmp(name, ".git") == 0)
        return BILLET_REASON_NONE;
    for (; ignore != NULL; ignore = ignore->parent) {
        int said = billet_patterns_match(&ignore->patterns, path + ignore->base, directory);
        if (said != 0)
            return said > 0 && !is_tracked(sieve, path, directory) ? BILLET_REASON_IGNORED
                                                                   : BILLET_REASON_NONE;
    }
    return BILLET_REASON_NONE;
}

/* Bring the sieve's memory to a directory; its reason too, when something above it stays. */
static int
visit(struct billet_sieve *sieve, const char *directory, struct billet_error *error)
{
    if (sieve->directory_known && strcmp(sieve->directory, directory) == 0)
        return 0;
    char path[4096];
    const struct billet_ignore *ignore = NULL;
    int reason = BILLET_REASON_NONE;
    size_t length = strlen(directory);
    if (length >= sizeof(path))
        return billet_error_set(error, BILLET_CLASS_AUTH, "path_refused", "a path is too long");
    cleanup_fd int above = -1;
    bool inside_git = false;
    for (size_t end = 0; end <= length && reason == BILLET_REASON_NONE;) {
        memcpy(path, directory, end);
        path[end] = '\0';
        cleanup_fd int fd = billet_root_openat(sieve->root, path, O_PATH | O_DIRECTORY, 0);
        if (end > 0) {
            const char *slash = strrchr(path, '/');
            const char *name = slash != NULL ? slash + 1 : path;
            inside_git = inside_git || strcmp(name, ".git") == 0;
            reason = billet_sieve_entry(sieve, inside_git ? NULL : ignore, above, path, name, true);
        }
        if (reason == BILLET_REASON_NONE && fd >= 0 && !inside_git) {
            ignore = billet_sieve_enter(sieve, ignore, fd, path, error);
            if (ignore == NULL)
                return error != NULL ? -error->error_class : -BILLET_CLASS_INTERNAL;
        }
        billet_close(&above);
        above = billet_steal_fd(&fd);
        end++;
        while (end <= length && directory[end] != '/' && directory[end] != '\0')
            end++;
        if (end > length)
            break;
    }
    memcpy(sieve->directory, directory, length + 1);
    sieve->directory_ignore = inside_git ? NULL : ignore;
    sieve->directory_reason = reason;
    sieve->directory_known = true;
    return 0;
}

int
billet_sieve_path(struct billet_sieve *sieve, const char *path, bool directory, int *reason,
                  struct billet_error *error)
{
    char parent[4096];
    size_t length = billet_path_parent_length(path, strlen(path));
    if (length >= sizeof(parent))
        return billet_error_set(error, BILLET_CLASS_AUTH, "path_refused", "a path is too long");
    memcpy(parent, path, length);
    parent[length] = '\0';
    int result = visit(sieve, parent, error);
    if (result < 0)
        return result;
    *reason = sieve->directory_reason;
    if (*reason != BILLET_REASON_NONE)
        return 0;
    const char *name = length > 0 ? path + length + 1 : path;
    cleanup_fd int fd = -1;
    if (directory && strcmp(name, "target") == 0)
        fd = billet_root_openat(sieve->root, parent, O_PATH | O_DIRECTORY, 0);
    *reason = billet_sieve_entry(sieve, sieve->directory_ignore, fd, path, name, directory);
    return 0;
}

int
billet_sieve_new(const struct billet_filter *filter, const struct billet_root *root,
                 struct billet_sieve **made, struct billet_error *error)
{
    struct billet_sieve *sieve = calloc(1, sizeof(*sieve));
    if (sieve == NULL)
        return billet_error_no_memory(error);
    sieve->filter = filter;
    sieve->root = root;
    pthread_mutex_init(&sieve->lock, NULL);
    int result = 0;
    if ((filter->flags & (BILLET_FILTER_WITH_IGNORED | BILLET_FILTER_WITH_HEAVY)) !=
        (BILLET_FILTER_WITH_IGNORED | BILLET_FILTER_WITH_HEAVY))
        result = billet_index_read(root, &sieve->tracked, error);
    if (result < 0)
        billet_sieve_free(sieve);
    else
        *made = sieve;
    return result;
}

void
billet_sieve_free(struct billet_sieve *sieve)
{
    if (sieve == NULL)
        return;
    while (sieve->nodes != NULL) {
        struct billet_ignore *node = sieve->nodes;
        sieve->nodes = node->next;
        billet_patterns_free(&node->patterns);
        free(node);
    }
    billet_manifest_free(&sieve->tracked);
    pthread_mutex_destroy(&sieve->lock);
    free(sieve);
}
