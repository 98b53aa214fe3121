/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "workspace/bytes.h"
#include "workspace/path.h"

#define JOURNAL_BYTES_MAX (UINT64_C(1) << 30)

static const unsigned char magic[8] = {'B', 'I', 'L', 'J', 'R', 'N', 0, 1};

static void
put_text(struct billet_buffer *to, const char *text)
{
    size_t length = strlen(text);
    billet_bytes_put_number(to, length);
    billet_buffer_append(to, text, length);
}

int
billet_journal_encode(const struct billet_journal *journal, const struct billet_plan *plan,
                      struct billet_buffer *to, struct billet_error *error)
{
    billet_buffer_append(to, magic, sizeof(magic));
    billet_buffer_add_char(to, journal->in_workspace ? 1 : 0);
    put_text(to, journal->stage_name);
    put_text(to, journal->tag);
    billet_bytes_put_number(to, plan->count);
    for (size_t i = 0; i < plan->count; i++) {
        const struct billet_operation *operation = &plan->items[i];
        billet_buffer_add_char(to, (char)operation->kind);
        put_text(to, operation->path);
        billet_bytes_put_number(to, operation->mode);
        billet_bytes_put_number(to, operation->number);
        billet_bytes_put_number(to, operation->staged_inode);
        billet_buffer_add_char(to, (char)operation->expected.type);
        billet_bytes_put_number(to, operation->expected.inode);
        billet_bytes_put_number(to, operation->expected.size);
        billet_bytes_put_signed(to, operation->expected.mtime_ns);
    }
    if (to->failed)
        return billet_error_no_memory(error);
    unsigned char sum[BILLET_HASH_BYTES];
    crypto_generichash(sum, sizeof(sum), (const unsigned char *)to->data, to->length, NULL, 0);
    billet_buffer_append(to, sum, sizeof(sum));
    return to->failed ? billet_error_no_memory(error) : 0;
}

static int
invalid(struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "workspace_journal",
                            "the journal of an interrupted run is damaged");
}

static bool
get_text(struct billet_bytes *from, char *to, size_t size)
{
    uint64_t length = billet_bytes_get_number(from);
    const unsigned char *bytes = length < size ? billet_bytes_get_bytes(from, length) : NULL;
    if (bytes == NULL || memchr(bytes, '\0', (size_t)length) != NULL)
        return false;
    memcpy(to, bytes, (size_t)length);
    to[length] = '\0';
    return true;
}

static bool
get_operation(struct billet_bytes *from, char *path, size_t size,
              struct billet_operation *operation)
{
    *operation = (struct billet_operation){.path = path, .kind = billet_bytes_get_byte(from)};
    if (!get_text(from, path, size))
        return false;
    uint64_t mode = billet_bytes_get_number(from);
    operation->mode = (uint32_t)mode;
    operation->number = billet_bytes_get_number(from);
    operation->staged_inode = billet_bytes_get_number(from);
    operation->expected.type = billet_bytes_get_byte(from);
    operation->expected.inode = billet_bytes_get_number(from);
    operation->expected.size = billet_bytes_get_number(from);
    operation->expected.mtime_ns = billet_bytes_get_signed(from);
    return !from->bad && mode <= 07777 && operation->kind >= BILLET_OPERATION_REMOVE &&
           operation->kind <= BILLET_OPERATION_MODE &&
           operation->expected.type <= BILLET_ENTRY_OTHER &&
           billet_path_check(path, strlen(path), &billet_limits_default, NULL) == 0;
}

int
billet_journal_decode(const void *bytes, size_t length, struct billet_journal *journal,
                      struct billet_plan *plan, struct billet_error *error)
{
    unsigned char sum[BILLET_HASH_BYTES];
    const unsigned char *start = bytes;
    if (length < sizeof(magic) + 1 + sizeof(sum) || memcmp(start, magic, sizeof(magic)) != 0)
        return invalid(error);
    struct billet_bytes from = {.at = start + sizeof(magic), .end = start + length - sizeof(sum)};
    crypto_generichash(sum, sizeof(sum), start, length - sizeof(sum), NULL, 0);
    if (memcmp(sum, from.end, sizeof(sum)) != 0)
        return invalid(error);
    uint8_t where = billet_bytes_get_byte(&from);
    journal->in_workspace = where == 1;
    if (where > 1 || !get_text(&from, journal->stage_name, sizeof(journal->stage_name)) ||
        strncmp(journal->stage_name, BILLET_PATH_RESERVED, strlen(BILLET_PATH_RESERVED)) != 0 ||
        strchr(journal->stage_name, '/') != NULL ||
        !get_text(&from, journal->tag, sizeof(journal->tag)) || strchr(journal->tag, '/') != NULL)
        return invalid(error);
    uint64_t count = billet_bytes_get_number(&from);
    int result = from.bad ? invalid(error) : 0;
    for (uint64_t i = 0; i < count && result == 0; i++) {
        char path[4096];
        struct billet_operation operation;
        result = get_operation(&from, path, sizeof(path), &operation)
                     ? billet_plan_add(plan, &operation, error)
                     : invalid(error);
    }
    if (result == 0 && from.at != from.end)
        result = invalid(error);
    if (result < 0)
        billet_plan_free(plan);
    return result;
}

int
billet_journal_write(int directory_fd, const char *name, const struct billet_buffer *bytes,
                     bool durable, struct billet_error *error)
{
    char temporary[64];
    snprintf(temporary, sizeof(temporary), "%s.new", name);
    unlinkat(directory_fd, temporary, 0);
    cleanup_fd int fd =
        openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot write %s", name);
    int result = billet_io_write_all(fd, bytes->data, bytes->length, error);
    if (result == 0 && ((durable && fsync(fd) != 0) ||
                        renameat(directory_fd, temporary, directory_fd, name) != 0 ||
                        (durable && fsync(directory_fd) != 0)))
        result = billet_error_errno(error, 0, "io_failed", errno, "cannot write %s", name);
    if (result < 0)
        unlinkat(directory_fd, temporary, 0);
    return result;
}

int
billet_journal_read(int directory_fd, const char *name, struct billet_buffer *bytes,
                    struct billet_error *error)
{
    cleanup_fd int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot read %s", name);
    int result = billet_io_read_all(fd, bytes, JOURNAL_BYTES_MAX, error);
    return result < 0 ? billet_error_wrap(error, "%s", name) : 1;
}
