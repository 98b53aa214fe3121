/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canary_seek - look for values where they must not be, in every form that could carry them: as
 * they are, base64 (three alignments, both alphabets), hexadecimal, URL, JSON, and their random
 * part alone.
 *
 * usage: canary-seek VALUES PATH...       in all files below the paths
 *        canary-seek --memory VALUES PID  in what an image of the process would hold (gcore's,
 *            say): all that can be read and is not left out of core files
 *        canary-seek --all-memory VALUES PID  in all that can be read of it
 *        canary-seek --watch VALUES STOP  in the environment and arguments of every process, again
 *            and again, until the file STOP is there (or 240 s)
 *
 * VALUES has a line "KIND VALUE RANDOM-PART" for each. A hit is a line "KIND FORM PLACE"; the last
 * line is "sought N". Of processes with CANARY_WORKLOAD in their environment none is a hit: they
 * are given the values. Nor is the value of kind env in those with CANARY_SOURCE: it came from
 * there.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDLES_MAX 256

static struct needle {
    char kind[16];
    const char *form;
    char *bytes;
    size_t length;
} needles[NEEDLES_MAX];
static size_t needle_count;
static long sought;

static void
die(const char *what)
{
    perror(what);
    exit(2);
}

static void
add(const char *kind, const char *form, const char *bytes, size_t length)
{
    if (needle_count == NEEDLES_MAX || length < 8)
        die(form);
    struct needle *needle = &needles[needle_count++];
    snprintf(needle->kind, sizeof(needle->kind), "%s", kind);
    needle->form = form;
    needle->bytes = strndup(bytes, length);
    needle->length = length;
}

/* The characters that depend on the value alone, when it begins so many bytes into a triple. */
static void
add_base64(const char *kind, const char *value, size_t shift)
{
    static const char *const forms[] = {"base64", "base64+1", "base64+2"};
    unsigned char bytes[512] = {0};
    char text[1024];
    size_t length = strlen(value), first = (shift * 8 + 5) / 6, last = (shift + length) * 8 / 6;
    memcpy(bytes + shift, value, length);
    sodium_bin2base64(text, sizeof(text), bytes, shift + length, sodium_base64_VARIANT_ORIGINAL);
    add(kind, forms[shift], text + first, last - first);
    sodium_bin2base64(text, sizeof(text), bytes, shift + length, sodium_base64_VARIANT_URLSAFE);
    add(kind, forms[shift], text + first, last - first);
}

static void
add_coded(const char *kind, const char *value)
{
    char hex[1024], url[1024] = "", low[1024] = "", json[1024] = "";
    sodium_bin2hex(hex, sizeof(hex), (const unsigned char *)value, strlen(value));
    add(kind, "hex", hex, strlen(hex));
    for (char *at = hex; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
    add(kind, "hex", hex, strlen(hex));
    for (const char *at = value; *at != '\0'; at++) {
        bool plain = isalnum((unsigned char)*at) || strchr("-._~", *at) != NULL;
        sprintf(url + strlen(url), plain ? "%c" : "%%%02X", (unsigned char)*at);
        sprintf(low + strlen(low), plain ? "%c" : "%%%02x", (unsigned char)*at);
        sprintf(json + strlen(json), *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    }
    add(kind, "url", url, strlen(url));
    add(kind, "url", low, strlen(low));
    add(kind, "json", json, strlen(json));
}

static void
read_values(const char *path)
{
    char kind[16], value[256], part[64];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        die(path);
    while (fscanf(file, "%15s %255s %63s", kind, value, part) == 3) {
        add(kind, "plain", value, strlen(value));
        add(kind, "part", part, strlen(part));
        for (size_t shift = 0; shift < 3; shift++)
            add_base64(kind, value, shift);
        add_coded(kind, value);
    }
    fclose(file);
    if (needle_count == 0)
        die("no values");
}

static void
seek(const char *bytes, size_t length, const char *place, bool with_env)
{
    for (size_t i = 0; i < needle_count; i++)
        if ((with_env || strcmp(needles[i].kind, "env") != 0) &&
            memmem(bytes, length, needles[i].bytes, needles[i].length) != NULL)
            printf("%s %s %s\n", needles[i].kind, needles[i].form, place);
    sought++;
}

static int
seek_file(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)walk;
    if (kind != FTW_F || !S_ISREG(status->st_mode) || status->st_size == 0)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    void *bytes =
        fd >= 0 ? mmap(NULL, (size_t)status->st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes == MAP_FAILED) {
        if (errno != ENOENT)
            die(path);
    } else {
        seek(bytes, (size_t)status->st_size, path, true);
        munmap(bytes, (size_t)status->st_size);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}

static size_t
read_whole(const char *directory, const char *name, char *bytes, size_t size)
{
    char path[300];
    size_t length = 0;
    snprintf(path, sizeof(path), "/proc/%.200s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; fd >= 0 && got > 0 && length<size; length += got> 0 ? (size_t)got : 0)
        got = read(fd, bytes + length, size - length);
    if (fd >= 0)
        close(fd);
    return length;
}

static void
seek_processes(void)
{
    static char bytes[1 << 20];
    struct dirent *entry;
    DIR *directory = opendir("/proc");
    if (directory == NULL)
        die("/proc");
    while ((entry = readdir(directory)) != NULL) {
        char place[300];
        if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
            continue;
        size_t length = read_whole(entry->d_name, "environ", bytes, sizeof(bytes));
        if (memmem(bytes, length, "CANARY_WORKLOAD=", 16) != NULL)
            continue;
        snprintf(place, sizeof(place), "/proc/%s/environ", entry->d_name);
        seek(bytes, length, place, memmem(bytes, length, "CANARY_SOURCE=", 14) == NULL);
        length = read_whole(entry->d_name, "cmdline", bytes, sizeof(bytes));
        snprintf(place, sizeof(place), "/proc/%s/cmdline", entry->d_name);
        seek(bytes, length, place, true);
    }
    closedir(directory);
}

/* One mapping, in pieces that overlap. */
static void
seek_mapping(int fd, unsigned long from, unsigned long to, const char *place)
{
    static char bytes[1 << 20];
    const size_t overlap = 4096;
    while (from < to) {
        size_t wanted = to - from < sizeof(bytes) ? (size_t)(to - from) : sizeof(bytes);
        ssize_t got = pread(fd, bytes, wanted, (off_t)from);
        if (got <= 0)
            return;
        seek(bytes, (size_t)got, place, true);
        if ((size_t)got <= overlap || from + (size_t)got >= to)
            return;
        from += (size_t)got - overlap;
    }
}

static void
seek_memory(const char *pid, bool all)
{
    char path[64], line[512], place[600] = "";
    unsigned long from = 0, to = 0, a, b;
    char mode[8] = "", is_mode[8];
    snprintf(path, sizeof(path), "/proc/%.20s/smaps", pid);
    FILE *maps = fopen(path, "re");
    snprintf(path, sizeof(path), "/proc/%.20s/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (maps == NULL || fd < 0)
        die(path);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &a, &b, is_mode) == 3) {
            from = a;
            to = b;
            snprintf(mode, sizeof(mode), "%s", is_mode);
            snprintf(place, sizeof(place), "memory %.*s", (int)strcspn(line, "\n"), line);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && mode[0] == 'r' &&
                   (all || strstr(line, " dd") == NULL)) {
            seek_mapping(fd, from, to, place);
        }
    }
    fclose(maps);
    close(fd);
}

int
main(int argc, char **argv)
{
    bool watch = argc > 1 && strcmp(argv[1], "--watch") == 0;
    bool all = argc > 1 && strcmp(argv[1], "--all-memory") == 0;
    bool memory = all || (argc > 1 && strcmp(argv[1], "--memory") == 0);
    if (argc < 3 + watch + memory || sodium_init() < 0)
        return 2;
    alarm(240);
    read_values(argv[1 + watch + memory]);
    if (memory)
        seek_memory(argv[3], all);
    else if (watch)
        do {
            seek_processes();
            fflush(stdout);
            usleep(3000); /* how often it looks, not how long it waits */
        } while (access(argv[3], F_OK) != 0);
    else
        for (int i = 2; i < argc; i++)
            if (nftw(argv[i], seek_file, 16, FTW_PHYS) != 0 && errno != ENOENT)
                die(argv[i]);
    printf("sought %ld\n", sought);
    return 0;
}
