/* SPDX-License-Identifier: Apache-2.0 */
#include "known.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "client.h"
#include "quote.h"

#define FILE_MAX (4u * 1024 * 1024)
#define LINES_MAX 64 /* that speak of one host */
#define FOUND_MAX (256u * 1024)

static bool
take_word(const char **at, char *to, size_t size)
{
    size_t length = strcspn(*at, " \t\r\n");
    if (length == 0 || length >= size)
        return false;
    memcpy(to, *at, length);
    to[length] = '\0';
    *at += length;
    *at += strspn(*at, " \t");
    return true;
}

/* RFC 4648, as ssh-keygen -l prints it: no padding. */
static bool
fill_fingerprint(struct ssh_key *key)
{
    unsigned char raw[SSH_KEY_BYTES_MAX];
    unsigned char hash[crypto_hash_sha256_BYTES];
    size_t length;
    if (sodium_base642bin(raw, sizeof(raw), key->bytes, strlen(key->bytes), NULL, &length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        length == 0)
        return false;
    crypto_hash_sha256(hash, raw, length);
    memcpy(key->fingerprint, "SHA256:", 7);
    sodium_bin2base64(key->fingerprint + 7, sizeof(key->fingerprint) - 7, hash, sizeof(hash),
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    return true;
}

bool
ssh_key_read(const char *line, struct ssh_key *key)
{
    const char *at = line + strspn(line, " \t");
    if (*at == '#' || *at == '@' || !take_word(&at, key->name, sizeof(key->name)) ||
        !take_word(&at, key->type, sizeof(key->type)) ||
        !take_word(&at, key->bytes, sizeof(key->bytes)))
        return false;
    for (const char *c = key->type; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || *c == ',')
            return false;
    return fill_fingerprint(key);
}

/* ---- the file ----------------------------------------------------------------------------- */

struct content {
    char *bytes; /* NUL-terminated, with NULs of its own as blanks */
    size_t length;
    struct stat status; /* st_nlink 0: there is no file */
};

static int
read_content(const char *file, struct content *content, struct billet_error *error)
{
    *content = (struct content){0};
    __attribute__((cleanup(billet_close_fd))) int fd =
        open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        content->bytes = strdup("");
        return content->bytes != NULL
                   ? 0
                   : billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    }
    if (fd < 0 || fstat(fd, &content->status) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot read %.300s", file);
    if (!S_ISREG(content->status.st_mode) || content->status.st_size > (off_t)FILE_MAX)
        return billet_fail(error, BILLET_CLASS_CONFIG, "io_failed",
                           "%.300s is not a file of known hosts: no regular file, or over 4 MiB",
                           file);
    content->bytes = malloc(FILE_MAX + 1);
    if (content->bytes == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    while (content->length < FILE_MAX) {
        ssize_t got = read(fd, content->bytes + content->length, FILE_MAX - content->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            billet_fail_errno(error, 0, "io_failed", errno, "cannot read %.300s", file);
            free(content->bytes);
            return -BILLET_CLASS_UNAVAILABLE;
        }
        if (got == 0)
            break;
        content->length += (size_t)got;
    }
    content->bytes[content->length] = '\0';
    for (size_t i = 0; i < content->length; i++)
        if (content->bytes[i] == '\0')
            content->bytes[i] = ' ';
    return 0;
}

/* The lines that speak of name, from 1. */
struct lines {
    size_t numbers[LINES_MAX];
    size_t count;
};

/* "# Host NAME found: line N", and the line itself after it. */
static int
find_lines(const char *file, const char *name, struct lines *lines, struct billet_error *error)
{
    static const char begin[] = "# Host ", found[] = " found: line ";
    const char *argv[] = {"ssh-keygen", "-F", name, "-f", file, NULL};
    lines->count = 0;
    __attribute__((cleanup(billet_free_pointer))) char *said = malloc(FOUND_MAX);
    if (said == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    int status = ssh_program_run(argv, NULL, -1, said, FOUND_MAX);
    if (status == 1) /* none */
        return 0;
    if (status != 0 || strlen(said) + 1 >= FOUND_MAX)
        return billet_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed",
                           "ssh-keygen cannot search %.300s (status %d): %.200s", file, status,
                           status != 0 ? said : "too many lines");
    for (char *at = said, *line; (line = strsep(&at, "\n")) != NULL;) {
        if (strncmp(line, begin, strlen(begin)) != 0)
            continue;
        const char *where = strstr(line, found);
        if (where == NULL || lines->count == LINES_MAX)
            return billet_fail(error, BILLET_CLASS_CONFIG, "io_failed",
                               "more than %d lines of %.300s speak of %.300s", LINES_MAX, file,
                               name);
        lines->numbers[lines->count++] = (size_t)strtoul(where + strlen(found), NULL, 10);
    }
    return 0;
}

static bool
is_among(const struct lines *lines, size_t number)
{
    for (size_t i = 0; i < lines->count; i++)
        if (lines->numbers[i] == number)
            return true;
    return false;
}

int
ssh_known_look(const char *file, const struct ssh_key *key, struct ssh_known *known,
               struct billet_error *error)
{
    __attribute__((cleanup(billet_free_pointer))) struct ssh_key *one = malloc(sizeof(*one));
    struct content content = {0};
    struct lines lines = {.count = 0};
    *known = (struct ssh_known){.state = BILLET_KEY_NEW};
    if (one == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    int status = read_content(file, &content, error);
    if (status == 0 && content.status.st_nlink > 0)
        status = find_lines(file, key->name, &lines, error);
    size_t number = 0;
    char *rest = content.bytes;
    for (char *line; status == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        if (!is_among(&lines, ++number))
            continue;
        const char *at = line + strspn(line, " \t");
        if (strncmp(at, "@revoked", 8) == 0) {
            known->revoked = known->revoked || strstr(at, key->bytes) != NULL;
            continue;
        }
        if (!ssh_key_read(line, one))
            continue;
        if (strcmp(one->type, key->type) == 0 && strcmp(one->bytes, key->bytes) == 0)
            known->state = BILLET_KEY_KNOWN;
        else if (known->state == BILLET_KEY_NEW)
            known->state = BILLET_KEY_CHANGED;
        size_t length = strlen(known->types);
        if (length + strlen(one->type) + 2 < sizeof(known->types))
            snprintf(known->types + length, sizeof(known->types) - length, "%s%s",
                     length > 0 ? "," : "", one->type);
    }
    free(content.bytes);
    return status;
}

/* ---- a change ------------------------------------------------------------------------------- */

/* Write all, durable, under a name of its own beside file, then in its place. */
static int
put_in_place(const char *file, const char *directory, int directory_fd, const struct stat *old,
             const struct ssh_text *text, struct billet_error *error)
{
    char beside[SSH_PATH_MAX + 64];
    bool is_new = old->st_nlink == 0;
    snprintf(beside, sizeof(beside), "%s/.known_hosts.%ld", directory, (long)getpid());
    unlink(beside);
    __attribute__((cleanup(billet_close_fd))) int fd =
        open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t done = 0; good && done < text->length;) {
        ssize_t put = write(fd, text->bytes + done, text->length - done);
        if (put < 0 && errno == EINTR)
            continue;
        good = put >= 0;
        done += good ? (size_t)put : 0;
    }
    /* An administrator's change leaves the file its owner. */
    good = good && (is_new || geteuid() != 0 || fchown(fd, old->st_uid, old->st_gid) == 0) &&
           fchmod(fd, is_new ? 0600 : old->st_mode & 0777) == 0 && fsync(fd) == 0 &&
           rename(beside, file) == 0;
    if (good) {
        fsync(directory_fd);
        return 0;
    }
    billet_fail_errno(error, 0, "io_failed", errno, "cannot write %.300s", file);
    if (fd >= 0)
        unlink(beside);
    return billet_fail_hint(error, "set known_hosts_file to a file that this user may change");
}

/* The lines that stay; those of name go to visit. */
static int
edit(const struct content *content, const char *file, const char *name, const struct lines *lines,
     struct ssh_text *text, ssh_known_visit *visit, void *context, struct billet_error *error)
{
    __attribute__((cleanup(billet_free_pointer))) struct ssh_key *one = malloc(sizeof(*one));
    size_t number = 0;
    if (one == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    for (char *rest = content->bytes; rest != NULL && *rest != '\0';) {
        const char *line = strsep(&rest, "\n");
        if (!is_among(lines, ++number) || !ssh_key_read(line, one)) {
            ssh_text_format(text, "%s\n", line);
            continue;
        }
        if (strcasecmp(one->name, name) != 0 && strncmp(one->name, "|1|", 3) != 0) {
            billet_fail(error, BILLET_CLASS_CONFIG, "ssh_known_hosts_shared",
                        "line %zu of %.300s names further hosts beside %.300s", number, file, name);
            return billet_fail_hint(error, "change that line by hand, or set known_hosts_file to "
                                           "a file of this environment");
        }
        snprintf(one->name, sizeof(one->name), "%s", name);
        if (visit != NULL)
            visit(one, context);
    }
    return 0;
}

int
ssh_known_change(const char *file, const char *name, const struct ssh_key *key,
                 ssh_known_visit *visit, void *context, struct billet_error *error)
{
    char real[SSH_PATH_MAX];
    char directory[SSH_PATH_MAX];
    struct content content = {0};
    struct lines lines = {.count = 0};
    struct ssh_text text = {0};
    /* A link is followed, and not replaced. */
    if (realpath(file, real) == NULL)
        snprintf(real, sizeof(real), "%s", file);
    snprintf(directory, sizeof(directory), "%s", real);
    *strrchr(directory, '/') = '\0';
    __attribute__((cleanup(billet_close_fd))) int lock =
        open(directory[0] != '\0' ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot change %.300s", file);
    int status = read_content(real, &content, error);
    if (status == 0 && content.status.st_nlink > 0)
        status = find_lines(real, name, &lines, error);
    if (status == 0)
        status = edit(&content, real, name, &lines, &text, visit, context, error);
    if (status == 0 && key != NULL)
        ssh_text_format(&text, "%s %s %s\n", name, key->type, key->bytes);
    if (status == 0 && text.failed)
        status = billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    if (status == 0 && (key != NULL || lines.count > 0))
        status = put_in_place(real, directory, lock, &content.status, &text, error);
    ssh_text_free(&text);
    free(content.bytes);
    return status;
}
