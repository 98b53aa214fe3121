/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "workspace/git_repository.h"

#define ENTRIES_MAX 4000000u
#define PATH_BYTES_MAX 4096u

static int
damaged(struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                            "the list of an index is damaged");
}

/* "MODE OID STAGE\tPATH"; changes the line. */
static bool
parse_line(char *line, struct billet_git_entry *entry)
{
    char *end;
    unsigned long mode = strtoul(line, &end, 8);
    if (end != line + 6 || *end != ' ')
        return false;
    char *oid = end + 1;
    size_t length = strcspn(oid, " ");
    if (!billet_git_is_oid(oid, length) || oid[length] != ' ')
        return false;
    const char *stage = oid + length + 1;
    if (stage[0] < '0' || stage[0] > '3' || stage[1] != '\t' || stage[2] == '\0' ||
        strlen(stage + 2) >= PATH_BYTES_MAX)
        return false;
    bool known =
        mode == 0100644 || mode == 0100755 || mode == 0120000 || mode == BILLET_GIT_MODE_LINKED;
    *entry = (struct billet_git_entry){
        .path = stage + 2, .mode = (uint32_t)mode, .stage = (uint8_t)(stage[0] - '0')};
    memcpy(entry->oid, oid, length);
    return known;
}

/* The lines that --debug puts behind an entry; gives where the next one begins, or NULL. */
static char *
parse_debug(char *at, struct billet_git_entry *entry)
{
    for (int i = 0; i < 5; i++) {
        char *end = strchr(at, '\n');
        if (at[0] != ' ' || at[1] != ' ' || end == NULL)
            return NULL;
        *end = '\0';
        const char *flags = i == 4 ? strstr(at, "flags: ") : NULL;
        if (flags != NULL)
            entry->flags = (uint32_t)strtoul(flags + 7, NULL, 16) &
                           (BILLET_GIT_VALID | BILLET_GIT_INTENT | BILLET_GIT_SKIP);
        at = end + 1;
    }
    return at;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct billet_git_entry *left = a;
    const struct billet_git_entry *right = b;
    int order = strcmp(left->path, right->path);
    return order != 0 ? order : (int)left->stage - (int)right->stage;
}

static int
add_entry(struct billet_git_index *index, const struct billet_git_entry *entry,
          struct billet_error *error)
{
    if (index->count == index->capacity) {
        size_t capacity = index->capacity > 0 ? index->capacity * 2 : 256;
        struct billet_git_entry *entries =
            reallocarray(index->entries, capacity, sizeof(struct billet_git_entry));
        if (entries == NULL)
            return billet_error_no_memory(error);
        index->entries = entries;
        index->capacity = capacity;
    }
    index->entries[index->count++] = *entry;
    return 0;
}

int
billet_git_index_parse(struct billet_buffer *text, bool debug, struct billet_git_index *index,
                       struct billet_error *error)
{
    size_t length = text->length;
    *index = (struct billet_git_index)BILLET_GIT_INDEX_INIT;
    if (length == 0)
        return 0;
    index->text = billet_buffer_steal(text);
    if (index->text == NULL)
        return billet_error_no_memory(error);
    char *at = index->text;
    const char *end = at + length;
    int result = 0;
    bool sorted = true;
    while (result == 0 && at < end) {
        struct billet_git_entry entry;
        size_t size = strlen(at);
        if (at + size >= end || index->count >= ENTRIES_MAX || !parse_line(at, &entry)) {
            result = damaged(error);
            break;
        }
        at += size + 1;
        if (debug)
            at = parse_debug(at, &entry);
        result = at == NULL ? damaged(error) : add_entry(index, &entry, error);
        if (index->count > 1)
            sorted = sorted && compare_entries(&index->entries[index->count - 2],
                                               &index->entries[index->count - 1]) < 0;
    }
    if (result == 0 && !sorted)
        qsort(index->entries, index->count, sizeof(struct billet_git_entry), compare_entries);
    for (size_t i = 1; result == 0 && !sorted && i < index->count; i++)
        if (compare_entries(&index->entries[i - 1], &index->entries[i]) == 0)
            result = damaged(error);
    if (result < 0)
        billet_git_index_free(index);
    return result;
}

void
billet_git_index_free(struct billet_git_index *index)
{
    free(index->entries);
    free(index->text);
    *index = (struct billet_git_index)BILLET_GIT_INDEX_INIT;
}

size_t
billet_git_index_group(const struct billet_git_index *index, size_t at)
{
    size_t count = 0;
    while (at + count < index->count &&
           strcmp(index->entries[at].path, index->entries[at + count].path) == 0)
        count++;
    return count;
}

size_t
billet_git_index_find(const struct billet_git_index *index, const char *path, size_t *count)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(index->entries[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *count = low < index->count && strcmp(index->entries[low].path, path) == 0
                 ? billet_git_index_group(index, low)
                 : 0;
    return low;
}

static bool
same_group(const struct billet_git_index *a, size_t a_at, size_t a_count,
           const struct billet_git_index *b, size_t b_at, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        const struct billet_git_entry *left = &a->entries[a_at + i];
        const struct billet_git_entry *right = &b->entries[b_at + i];
        if (left->mode != right->mode || left->stage != right->stage ||
            strcmp(left->oid, right->oid) != 0)
            return false;
    }
    return true;
}

void
billet_git_index_line(struct billet_buffer *to, const struct billet_git_entry *entry)
{
    billet_buffer_format(to, "%06" PRIo32 " %s %u\t", entry->mode, entry->oid, entry->stage);
    billet_buffer_append(to, entry->path, strlen(entry->path) + 1);
}

static void
put_group(struct billet_buffer *to, const struct billet_git_index *index, size_t at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        billet_git_index_line(to, &index->entries[at + i]);
}

int
billet_git_index_differ(const struct billet_git_index *was, const struct billet_git_index *now,
                        struct billet_buffer *old_text, struct billet_buffer *new_text,
                        struct billet_error *error)
{
    size_t i = 0;
    size_t j = 0;
    while (i < was->count || j < now->count) {
        int order = i == was->count   ? 1
                    : j == now->count ? -1
                                      : strcmp(was->entries[i].path, now->entries[j].path);
        size_t old_count = order <= 0 ? billet_git_index_group(was, i) : 0;
        size_t new_count = order >= 0 ? billet_git_index_group(now, j) : 0;
        if (!same_group(was, i, old_count, now, j, new_count)) {
            put_group(old_text, was, i, old_count);
            put_group(new_text, now, j, new_count);
        }
        i += old_count;
        j += new_count;
    }
    return old_text->failed || new_text->failed ? billet_error_no_memory(error) : 0;
}

/* One path: theirs over ours, unless ours was changed too. */
static void
merge_path(struct billet_git_merge *merge, const char *path, struct billet_buffer *lines)
{
    static const char gone[] = "0 0000000000000000000000000000000000000000000000000000000000000000";
    size_t was_count;
    size_t now_count;
    size_t ours_count;
    size_t was = billet_git_index_find(merge->was, path, &was_count);
    size_t now = billet_git_index_find(merge->now, path, &now_count);
    size_t ours = billet_git_index_find(merge->ours, path, &ours_count);
    if (same_group(merge->ours, ours, ours_count, merge->now, now, now_count))
        return;
    if (!same_group(merge->ours, ours, ours_count, merge->was, was, was_count)) {
        merge->kept++;
        return;
    }
    const char *oid = was_count > 0 ? merge->was->entries[was].oid : merge->now->entries[now].oid;
    if (ours_count > 0) {
        billet_buffer_append(lines, gone, 2 + strlen(oid));
        billet_buffer_add_char(lines, '\t');
        billet_buffer_append(lines, path, strlen(path) + 1);
    }
    put_group(lines, merge->now, now, now_count);
    merge->taken++;
}

int
billet_git_index_merge(struct billet_git_merge *merge, struct billet_buffer *lines,
                       struct billet_error *error)
{
    size_t count;
    /* What they removed goes first: a file may have become a directory. */
    for (size_t i = 0; i < merge->was->count; i += billet_git_index_group(merge->was, i)) {
        billet_git_index_find(merge->now, merge->was->entries[i].path, &count);
        if (count == 0)
            merge_path(merge, merge->was->entries[i].path, lines);
    }
    for (size_t i = 0; i < merge->now->count; i += billet_git_index_group(merge->now, i))
        merge_path(merge, merge->now->entries[i].path, lines);
    return lines->failed ? billet_error_no_memory(error) : 0;
}
