/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/archive_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int
refused(struct billet_error *error, const char *why)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "archive_refused", "archive refused: %s",
                            why);
}

/* An octal field, or GNU's base 256 when the first bit is set. False when it is neither. */
static bool
get_field(const unsigned char *field, size_t size, uint64_t *value)
{
    size_t at = 0;
    *value = 0;
    if (field[0] == 0x80) {
        for (at = 1; at < size; at++) {
            if (*value >> 55 != 0)
                return false;
            *value = *value << 8 | field[at];
        }
        return true;
    }
    while (at < size && field[at] == ' ')
        at++;
    for (; at < size && field[at] >= '0' && field[at] <= '7'; at++) {
        if (*value >> 60 != 0)
            return false;
        *value = *value << 3 | (uint64_t)(field[at] - '0');
    }
    for (; at < size; at++)
        if (field[at] != ' ' && field[at] != '\0')
            return false;
    return true;
}

/* A text field: bytes up to the first NUL; what follows must be NUL, or two readers would see two
 * names. */
static bool
get_text(const unsigned char *field, size_t size, char *to, size_t *length)
{
    *length = strnlen((const char *)field, size);
    for (size_t i = *length; i < size; i++)
        if (field[i] != 0)
            return false;
    memcpy(to, field, *length);
    to[*length] = '\0';
    return true;
}

static bool
checksum_fits(const unsigned char *bytes, uint64_t said)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BILLET_ARCHIVE_BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : bytes[i];
    return sum == said;
}

int
billet_archive_block_parse(struct billet_archive_block *block,
                           const unsigned char bytes[BILLET_ARCHIVE_BLOCK],
                           struct billet_error *error)
{
    uint64_t sum;
    char prefix[156];
    char name[101];
    size_t prefix_length = 0;
    size_t length;
    if (!get_field(bytes + 148, 8, &sum) || !checksum_fits(bytes, sum))
        return refused(error, "a header's checksum does not fit");
    bool posix = memcmp(bytes + 257,
                        "ustar\0"
                        "00",
                        8) == 0;
    bool gnu = memcmp(bytes + 257, "ustar  \0", 8) == 0;
    if (!posix && !gnu)
        return refused(error, "a header is not ustar, pax or GNU");
    block->type = bytes[156] == '\0' ? '0' : (char)bytes[156];
    if (strchr("01257gxLK", block->type) == NULL || block->type == '7') {
        if (strchr("346", block->type) != NULL)
            return refused(error, "it holds a device or a FIFO");
        return refused(error, "it holds an entry of an unknown type");
    }
    if (!get_text(bytes, 100, name, &length) || !get_text(bytes + 157, 100, block->link, &length))
        return refused(error, "a name goes on behind its end");
    if (posix && !get_text(bytes + 345, 155, prefix, &prefix_length))
        return refused(error, "a name goes on behind its end");
    size_t at = 0;
    if (posix && prefix_length > 0) {
        memcpy(block->name, prefix, prefix_length);
        block->name[prefix_length] = '/';
        at = prefix_length + 1;
    }
    memcpy(block->name + at, name, strlen(name) + 1);
    if (!get_field(bytes + 124, 12, &block->size) || !get_field(bytes + 100, 8, &block->mode) ||
        !get_field(bytes + 136, 12, &block->mtime) || block->size > INT64_MAX ||
        block->mtime > UINT64_C(1) << 40)
        return refused(error, "a number in a header is malformed or negative");
    return 0;
}

bool
billet_archive_type_is_meta(char type)
{
    return type == 'x' || type == 'g' || type == 'L' || type == 'K';
}

bool
billet_archive_header_pending(const struct billet_archive_header *header)
{
    return header->seen_pax || header->path != NULL || header->target != NULL;
}

static int
keep_text(char **to, size_t *to_length, const char *bytes, size_t length,
          struct billet_error *error)
{
    if (*to != NULL)
        return refused(error, "an extended header says the same thing twice");
    if (length == 0 || length > 4096 + 2)
        return refused(error, "a name in an extended header is empty or too long");
    *to = malloc(length + 1);
    if (*to == NULL)
        return billet_error_no_memory(error);
    memcpy(*to, bytes, length);
    (*to)[length] = '\0';
    *to_length = length;
    return 0;
}

static bool
get_decimal(const char *bytes, size_t length, uint64_t *value)
{
    *value = 0;
    if (length == 0 || length > 19)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(bytes[i] - '0');
    }
    return *value <= INT64_MAX;
}

/* [-]seconds[.fraction] */
static bool
get_time(const char *bytes, size_t length, int64_t *ns)
{
    bool negative = length > 0 && bytes[0] == '-';
    bytes += negative;
    length -= negative;
    const char *dot = memchr(bytes, '.', length);
    size_t whole = dot != NULL ? (size_t)(dot - bytes) : length;
    uint64_t seconds;
    if (!get_decimal(bytes, whole, &seconds) || seconds > INT64_MAX / 1000000000 - 1)
        return false;
    int64_t fraction = 0;
    int64_t unit = 100000000;
    for (size_t i = whole + 1; i < length; i++, unit /= 10) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return false;
        fraction += (bytes[i] - '0') * unit;
    }
    int64_t value = (int64_t)seconds * 1000000000 + fraction;
    *ns = negative ? -value : value;
    return true;
}

static bool
key_is(const char *key, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(key, name, length) == 0;
}

/* Said of files and of no use here: owner, other times, attributes. */
static bool
key_is_dropped(const char *key, size_t length)
{
    static const char *const names[] = {"atime", "ctime",   "uid",        "gid",    "uname",
                                        "gname", "comment", "hdrcharset", "charset"};
    static const char *const prefixes[] = {"SCHILY.xattr.", "SCHILY.acl.",  "SCHILY.fflags",
                                           "SCHILY.dev",    "SCHILY.ino",   "SCHILY.nlink",
                                           "LIBARCHIVE.",   "RHT.security."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (key_is(key, length, names[i]))
            return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (length >= strlen(prefixes[i]) && memcmp(key, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static int
take_record(struct billet_archive_header *header, const char *key, size_t key_length,
            const char *value, size_t length, struct billet_error *error)
{
    if (key_is(key, key_length, "path"))
        return header->long_path
                   ? refused(error, "a pax and a GNU header both name the entry")
                   : keep_text(&header->path, &header->path_length, value, length, error);
    if (key_is(key, key_length, "linkpath"))
        return header->long_target
                   ? refused(error, "a pax and a GNU header both name the link's target")
                   : keep_text(&header->target, &header->target_length, value, length, error);
    if (key_is(key, key_length, "size")) {
        if (header->has_size || !get_decimal(value, length, &header->size))
            return refused(error, "a pax size is malformed, negative or given twice");
        header->has_size = true;
        return 0;
    }
    if (key_is(key, key_length, "mtime")) {
        if (header->has_mtime || !get_time(value, length, &header->mtime_ns))
            return refused(error, "a pax mtime is malformed or given twice");
        header->has_mtime = true;
        return 0;
    }
    return key_is_dropped(key, key_length)
               ? 0
               : refused(error, "a pax header holds a record of an unknown kind");
}

/* Records "LENGTH KEY=VALUE\n" that fill the body exactly. */
static int
take_records(struct billet_archive_header *header, bool global, const char *body, size_t length,
             struct billet_error *error)
{
    while (length > 0) {
        const char *space = memchr(body, ' ', length);
        uint64_t size;
        if (space == NULL || body[0] == '0' || !get_decimal(body, (size_t)(space - body), &size) ||
            size > length || size < (size_t)(space - body) + 4 || body[size - 1] != '\n')
            return refused(error, "a pax record is malformed");
        const char *key = space + 1;
        const char *end = body + size - 1;
        const char *equals = memchr(key, '=', (size_t)(end - key));
        if (equals == NULL || equals == key)
            return refused(error, "a pax record is malformed");
        size_t key_length = (size_t)(equals - key);
        int result;
        if (global)
            result = key_is(key, key_length, "comment")
                         ? 0
                         : refused(error, "a global pax header sets more than a comment");
        else
            result =
                take_record(header, key, key_length, equals + 1, (size_t)(end - equals - 1), error);
        if (result < 0)
            return result;
        body += size;
        length -= size;
    }
    return 0;
}

int
billet_archive_header_meta(struct billet_archive_header *header, char type, const char *body,
                           size_t length, struct billet_error *error)
{
    bool *seen = type == 'x'   ? &header->seen_pax
                 : type == 'g' ? &header->seen_global
                 : type == 'L' ? &header->long_path
                               : &header->long_target;
    if (*seen)
        return refused(error, "an extended header comes twice");
    *seen = true;
    if (type == 'x' || type == 'g')
        return take_records(header, type == 'g', body, length, error);
    size_t size = strnlen(body, length);
    if (size + 1 != length)
        return refused(error, "a GNU long name is malformed");
    if (type == 'L' ? header->path != NULL : header->target != NULL)
        return refused(error, "a pax and a GNU header both name the entry");
    return type == 'L' ? keep_text(&header->path, &header->path_length, body, size, error)
                       : keep_text(&header->target, &header->target_length, body, size, error);
}

/* Forget what was said about the entry; a global header may come once in the whole archive. */
static void
reset(struct billet_archive_header *header)
{
    bool global = header->seen_global;
    free(header->path);
    free(header->target);
    free(header->entry_path);
    free(header->entry_target);
    *header = (struct billet_archive_header){.seen_global = global};
}

void
billet_archive_header_free(struct billet_archive_header *header)
{
    reset(header);
}

static int
choose_size(const struct billet_archive_header *header, const struct billet_archive_block *block,
            uint64_t *size, struct billet_error *error)
{
    *size = header->has_size ? header->size : block->size;
    /* The octal field may be empty or cut where the true size does not fit into it. */
    if (header->has_size && header->size != block->size && block->size != 0 &&
        header->size <= BILLET_ARCHIVE_OCTAL_MAX)
        return refused(error, "two headers give different sizes");
    return 0;
}

int
billet_archive_header_finish(struct billet_archive_header *header,
                             const struct billet_archive_block *block, bool dot,
                             struct billet_archive_entry *entry, struct billet_error *error)
{
    struct billet_archive_header said = *header;
    header->path = header->target = header->entry_path = header->entry_target = NULL;
    free(said.entry_path);
    free(said.entry_target);
    reset(header);
    int result = 0;
    if (said.path == NULL)
        result = keep_text(&said.path, &said.path_length, block->name, strlen(block->name), error);
    if (result == 0 && said.target == NULL && block->link[0] != '\0')
        result =
            keep_text(&said.target, &said.target_length, block->link, strlen(block->link), error);
    /* From here on the header owns both and frees them at the next entry. */
    header->entry_path = said.path;
    header->entry_target = said.target;
    *entry = (struct billet_archive_entry){
        .path = said.path,
        .path_length = said.path_length,
        .mode = block->mode & 0755,
        .mtime_ns = said.has_mtime ? said.mtime_ns : (int64_t)block->mtime * 1000000000,
        .mtime_exact = said.has_mtime,
    };
    if (result == 0)
        result = choose_size(&said, block, &entry->size, error);
    if (result < 0)
        return result;
    if (block->type == '1' || block->type == '2') {
        entry->type = block->type == '1' ? BILLET_ARCHIVE_HARD_LINK : BILLET_ENTRY_LINK;
        entry->target = said.target != NULL ? said.target : "";
        entry->target_length = said.target_length;
    } else if (said.target != NULL) {
        return refused(error, "an entry that is no link has a link's target");
    } else {
        entry->type = block->type == '5' ? BILLET_ENTRY_DIRECTORY : BILLET_ENTRY_FILE;
    }
    if (entry->type != BILLET_ENTRY_FILE && entry->size != 0)
        return refused(error, "an entry without content gives a size");
    if (dot && entry->path_length >= 2 && memcmp(entry->path, "./", 2) == 0) {
        entry->path += 2;
        entry->path_length -= 2;
        if (entry->path_length == 0 && entry->type == BILLET_ENTRY_DIRECTORY)
            return 0;
    }
    if (dot && entry->type == BILLET_ARCHIVE_HARD_LINK && entry->target_length >= 2 &&
        memcmp(entry->target, "./", 2) == 0) {
        entry->target += 2;
        entry->target_length -= 2;
    }
    /* One '/' at the end says "directory" once more. */
    if (entry->type == BILLET_ENTRY_DIRECTORY && entry->path_length > 1 &&
        entry->path[entry->path_length - 1] == '/')
        said.path[said.path_length - 1] = '\0', entry->path_length--;
    return 1;
}
