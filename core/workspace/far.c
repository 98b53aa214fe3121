/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/far.h"

#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "workspace/tree.h"

/* What is there and is not to be, wanted: what is to be there under its name. */
static bool
is_to_go(const struct billet_entry *wanted, const struct billet_entry *old)
{
    return wanted == NULL || wanted->type != old->type;
}

/* old: what is there under its name. */
static bool
is_to_come(const struct billet_entry *old, const struct billet_entry *entry)
{
    return entry->type != BILLET_ENTRY_OTHER && (old == NULL || !billet_tree_same(old, entry));
}

bool
billet_far_differs(const struct billet_far_send *send)
{
    size_t at = 0;
    for (size_t i = 0; i < send->there->count; i++) {
        const struct billet_entry *old = &send->there->entries[i];
        if (is_to_go(billet_manifest_follow(send->target, &at, old), old))
            return true;
    }
    at = 0;
    for (size_t i = 0; i < send->target->count; i++) {
        const struct billet_entry *entry = &send->target->entries[i];
        if (is_to_come(billet_manifest_follow(send->there, &at, entry), entry))
            return true;
    }
    return false;
}

static int
write_gone(const struct billet_far_send *send, int fd, struct billet_copy_result *done,
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer paths = BILLET_BUFFER_INIT;
    for (size_t i = send->there->count; i > 0; i--) {
        const struct billet_entry *old = &send->there->entries[i - 1];
        if (!is_to_go(billet_manifest_find(send->target, old->path, old->path_length), old))
            continue;
        billet_buffer_append(&paths, old->path, old->path_length + 1u);
        done->deleted++;
    }
    billet_buffer_append(&paths, "", 1);
    if (paths.failed)
        return billet_error_no_memory(error);
    done->bytes += paths.length;
    return billet_io_write_all(fd, paths.data, paths.length, error);
}

static int
write_entry(const struct billet_far_send *send, struct billet_archive_writer *writer,
            const struct billet_entry *entry, struct billet_copy_result *done,
            struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    if (entry->type != BILLET_ENTRY_FILE)
        return billet_archive_begin(writer, entry, error);
    uint64_t before = billet_archive_written(writer);
    int result = billet_archive_put_file(writer, send->root, entry, &own);
    /* What went away before anything of it was written is just not there. */
    if (result < 0 && strcmp(own.code, "workspace_changed") == 0 &&
        billet_archive_written(writer) == before)
        return 0;
    if (result < 0 && error != NULL)
        *error = own;
    done->files += result == 0;
    return result;
}

int
billet_far_write(const struct billet_far_send *send, int fd, struct billet_copy_result *done,
                 struct billet_error *error)
{
    struct billet_archive_writer *writer = NULL;
    const struct billet_manifest *target = send->target;
    uint64_t total = 0, sent = 0;
    size_t at = 0;
    *done = (struct billet_copy_result){0};
    int result = write_gone(send, fd, done, error);
    if (result == 0)
        result = billet_archive_writer_new(fd, &writer, error);
    for (size_t i = 0; result == 0 && send->progress != NULL && i < target->count; i++)
        if (is_to_come(billet_manifest_follow(send->there, &at, &target->entries[i]),
                       &target->entries[i]))
            total += target->entries[i].size;
    at = 0;
    for (size_t i = 0; result == 0 && i < target->count; i++) {
        const struct billet_entry *entry = &target->entries[i];
        if (!is_to_come(billet_manifest_follow(send->there, &at, entry), entry))
            continue;
        result = write_entry(send, writer, entry, done, error);
        sent += entry->size;
        if (result == 0 && send->progress != NULL &&
            send->progress(send->progress_context, sent, total) < 0)
            result = billet_error_set(error, BILLET_CLASS_CANCELLED, "cancelled",
                                      "the transfer was stopped");
    }
    if (result == 0)
        result = billet_archive_finish(writer, error);
    if (writer != NULL)
        done->bytes += billet_archive_written(writer);
    billet_archive_writer_free(writer);
    return result;
}

int
billet_far_compare(const struct billet_manifest *was, const struct billet_manifest *now,
                   struct billet_buffer *wanted, struct billet_buffer *gone,
                   struct billet_error *error)
{
    size_t at = 0;
    for (size_t i = 0; i < now->count; i++) {
        const struct billet_entry *entry = &now->entries[i];
        const struct billet_entry *old = billet_manifest_follow(was, &at, entry);
        int result = billet_tree_accept(entry, error);
        if (result < 0)
            return result;
        if (is_to_come(old, entry))
            billet_buffer_append(wanted, entry->path, entry->path_length + 1u);
    }
    at = 0;
    for (size_t i = 0; i < was->count; i++) {
        const struct billet_entry *old = &was->entries[i];
        if (old->type != BILLET_ENTRY_OTHER && billet_manifest_follow(now, &at, old) == NULL)
            billet_buffer_append(gone, old->path, old->path_length + 1u);
    }
    return wanted->failed || gone->failed ? billet_error_no_memory(error) : 0;
}
