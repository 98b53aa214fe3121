/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace_support.h - trees on disk, archives byte by byte, and a slow picture of
 * a tree to compare: shared by the tests of the workspace. Uses nothing of what it helps to test.
 */
#ifndef BILLET_UNIT_WORKSPACE_SUPPORT_H
#define BILLET_UNIT_WORKSPACE_SUPPORT_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"

#define UNUSED __attribute__((unused))

static char top[64]; /* of the running test: work, state and outside are in it */

/* A path below the test's directory; valid for the next 16 calls. */
static UNUSED const char *__attribute__((format(printf, 1, 2))) at(const char *format, ...)
{
    static char texts[16][PATH_MAX];
    static unsigned next;
    char *text = texts[next++ % 16];
    int used = snprintf(text, PATH_MAX, "%s/", top);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, PATH_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    return text;
}

static void UNUSED
set_up(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(top, sizeof(top), "%.40s/billet-ws-XXXXXX", where != NULL ? where : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(top));
    umask(022);
    ck_assert_int_eq(mkdir(at("work"), 0755), 0);
    ck_assert_int_eq(mkdir(at("state"), 0700), 0);
    ck_assert_int_eq(mkdir(at("outside"), 0755), 0);
}

static void UNUSED
remove_tree(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return;
    if (S_ISDIR(status.st_mode)) {
        chmod(path, 0700);
        DIR *directory = opendir(path);
        const struct dirent *item;
        while (directory != NULL && (item = readdir(directory)) != NULL) {
            char child[PATH_MAX];
            if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
                continue;
            if (snprintf(child, sizeof(child), "%s/%s", path, item->d_name) < PATH_MAX)
                remove_tree(child);
        }
        if (directory != NULL)
            closedir(directory);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void UNUSED
tear_down(void)
{
    remove_tree(top);
}

static void UNUSED
make_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    fputs(content, file);
    ck_assert_int_eq(fclose(file), 0);
}

static UNUSED char *
read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

#define assert_content(path, wanted)                                                               \
    do {                                                                                           \
        const char *content_ = read_text(path);                                                    \
        ck_assert_msg(content_ != NULL, "%s is not there", path);                                  \
        ck_assert_msg(strcmp(content_, wanted) == 0, "%s: '%s' not '%s'", path, content_, wanted); \
    } while (0)

static int UNUSED
compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* One line a file: type, mode, path, content. */
static void UNUSED
picture_of(struct billet_buffer *to, const char *directory, const char *prefix)
{
    struct dirent **names;
    int count = scandir(directory, &names, NULL, compare_names);
    ck_assert_int_ge(count, 0);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        char target[PATH_MAX];
        struct stat status;
        const char *name = names[i]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", directory, name), PATH_MAX);
            ck_assert_int_eq(lstat(path, &status), 0);
            billet_buffer_format(to, "%o %s%s ", (unsigned)status.st_mode, prefix, name);
            if (S_ISREG(status.st_mode)) {
                billet_buffer_add(to, read_text(path));
            } else if (S_ISLNK(status.st_mode)) {
                ssize_t length = readlink(path, target, sizeof(target));
                billet_buffer_append(to, target, (size_t)length);
            }
            billet_buffer_add_char(to, '\n');
            if (S_ISDIR(status.st_mode)) {
                char below[PATH_MAX];
                snprintf(below, sizeof(below), "%s%s/", prefix, name);
                picture_of(to, path, below);
            }
        }
        free(names[i]);
    }
    free(names);
}

static UNUSED char *
picture(const char *directory)
{
    struct billet_buffer text = BILLET_BUFFER_INIT;
    picture_of(&text, directory, "");
    billet_buffer_add_char(&text, '.');
    char *taken = billet_buffer_steal(&text);
    ck_assert_ptr_nonnull(taken);
    return taken;
}

/* --- archives byte by byte ------------------------------------------------------------------ */

static void UNUSED
tar_sum(char *block)
{
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
}

static void UNUSED
tar_head(char block[512], const char *name, char type, const char *target, unsigned long long size,
         unsigned mode)
{
    memset(block, 0, 512);
    memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
    snprintf(block + 100, 8, "%07o", mode);
    snprintf(block + 124, 12, "%011llo", size & 077777777777ULL);
    snprintf(block + 136, 12, "%011o", 1000000000);
    block[156] = type;
    if (target != NULL)
        memcpy(block + 157, target, strlen(target) < 100 ? strlen(target) : 100);
    memcpy(block + 257,
           "ustar\0"
           "00",
           8);
    tar_sum(block);
}

static void UNUSED
tar_pad(struct billet_buffer *tar)
{
    static const char zeros[512];
    billet_buffer_append(tar, zeros, (512 - tar->length % 512) % 512);
}

static void UNUSED
tar_bytes(struct billet_buffer *tar, const char *name, char type, const char *bytes, size_t length)
{
    char block[512];
    tar_head(block, name, type, NULL, length, 0644);
    billet_buffer_append(tar, block, sizeof(block));
    billet_buffer_append(tar, bytes, length);
    tar_pad(tar);
}

static void UNUSED
tar_file(struct billet_buffer *tar, const char *name, const char *content)
{
    tar_bytes(tar, name, '0', content, strlen(content));
}

static void UNUSED
tar_item(struct billet_buffer *tar, const char *name, char type, const char *target, unsigned mode)
{
    char block[512];
    tar_head(block, name, type, target, 0, mode);
    billet_buffer_append(tar, block, sizeof(block));
}

/* One pax header with one record. */
static void UNUSED
tar_record(struct billet_buffer *tar, const char *key, const char *value, size_t length)
{
    struct billet_buffer record = BILLET_BUFFER_INIT;
    size_t whole = strlen(key) + length + 3;
    whole += whole + 1 < 10 ? 1 : whole + 2 < 100 ? 2 : whole + 3 < 1000 ? 3 : 4;
    billet_buffer_format(&record, "%zu %s=", whole, key);
    billet_buffer_append(&record, value, length);
    billet_buffer_add_char(&record, '\n');
    tar_bytes(tar, "pax", 'x', record.data, record.length);
    billet_buffer_free(&record);
}

static void UNUSED
tar_end(struct billet_buffer *tar)
{
    static const char zeros[1024];
    billet_buffer_append(tar, zeros, sizeof(zeros));
}

/* An fd from which the bytes can be read. */
static int UNUSED
tar_fd(const struct billet_buffer *tar)
{
    int fd = open(at("archive.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, tar->data, tar->length), (ssize_t)tar->length);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static int UNUSED
run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}

#endif
