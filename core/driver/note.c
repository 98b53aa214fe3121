/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/note.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#elif defined(__riscv)
#define MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define MACHINE EM_PPC64
#elif defined(__s390x__)
#define MACHINE EM_S390
#else
#define MACHINE EM_NONE /* not compared; dlopen will */
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTE_ORDER_DATA ELFDATA2LSB
#else
#define BYTE_ORDER_DATA ELFDATA2MSB
#endif

#define MAX_HEADERS 256 /* program headers; a linker makes about ten */
#define MAX_SECTIONS 4096
#define MAX_NOTES (64u * 1024) /* bytes of one segment or section of notes */
#define DESC_SIZE (sizeof(struct billet_note) - offsetof(struct billet_note, magic))

/* Where the bytes come from: a file, or memory when fd is -1. */
struct source {
    int fd;
    const unsigned char *bytes;
    uint64_t size;
};

static bool
in_range(const struct source *source, uint64_t offset, uint64_t length)
{
    return offset <= source->size && length <= source->size - offset;
}

static bool
read_at(const struct source *source, uint64_t offset, void *to, size_t length)
{
    if (!in_range(source, offset, length))
        return false;
    if (source->fd < 0) {
        if (length > 0)
            memcpy(to, source->bytes + offset, length);
        return true;
    }
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(source->fd, (char *)to + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static int
truncated(struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "driver_truncated",
                     "the file ends before what its headers announce (an upgrade in progress?)");
    return billet_error_hint(error, "install it again; drivers are replaced by rename");
}

static int
no_note(struct billet_error *error, const char *why)
{
    billet_error_set(error, BILLET_CLASS_DRIVER, "driver_no_note", "not a driver of billet: %s",
                     why);
    return billet_error_hint(error, "a driver is built with BILLET_DRIVER(...) of billet/driver.h");
}

/* Walk the notes of one run of bytes. 1: found. */
static int
find_note(const unsigned char *bytes, size_t length, size_t align, struct billet_note *note)
{
    size_t at = 0;
    while (length - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr header;
        memcpy(&header, bytes + at, sizeof(header));
        at += sizeof(header);
        size_t name_room = ((size_t)header.n_namesz + align - 1) & ~(align - 1);
        size_t desc_room = ((size_t)header.n_descsz + align - 1) & ~(align - 1);
        if (header.n_namesz > length - at || name_room > length - at ||
            header.n_descsz > length - at - name_room)
            return 0;
        const unsigned char *name = bytes + at;
        const unsigned char *desc = name + name_room;
        /* BILLET_DRIVER writes the owner padded with NULs and counts the padding. */
        if (header.n_type == BILLET_NOTE_TYPE && header.n_namesz >= sizeof(BILLET_NOTE_NAME) &&
            header.n_namesz <= sizeof(note->owner) &&
            memcmp(name, BILLET_NOTE_NAME, sizeof(BILLET_NOTE_NAME)) == 0 &&
            header.n_descsz >= DESC_SIZE) {
            memset(note, 0, sizeof(*note));
            note->name_size = header.n_namesz;
            note->desc_size = header.n_descsz;
            note->type = header.n_type;
            memcpy(note->owner, name, header.n_namesz);
            memcpy(&note->magic, desc, DESC_SIZE);
            return 1;
        }
        if (desc_room > length - at - name_room)
            return 0;
        at += name_room + desc_room;
    }
    return 0;
}

static int
find_note_at(const struct source *source, uint64_t offset, uint64_t length, uint64_t align,
             struct billet_note *note)
{
    if (length > MAX_NOTES)
        return 0;
    cleanup_free unsigned char *bytes = malloc((size_t)length + 1);
    if (bytes == NULL || !read_at(source, offset, bytes, (size_t)length))
        return 0;
    return find_note(bytes, (size_t)length, align == 8 ? 8 : 4, note);
}

static bool
header_fits(const Elf64_Ehdr *elf)
{
    return memcmp(elf->e_ident, ELFMAG, SELFMAG) == 0 && elf->e_ident[EI_CLASS] == ELFCLASS64 &&
           elf->e_ident[EI_DATA] == BYTE_ORDER_DATA && elf->e_type == ET_DYN &&
           (MACHINE == EM_NONE || elf->e_machine == MACHINE);
}

static int
parse(const struct source *source, struct billet_note *note, struct billet_error *error)
{
    Elf64_Ehdr elf;
    struct billet_note found;
    int have = 0;

    if (source->size < SELFMAG)
        return no_note(error, "too short for a shared object");
    if (source->size < sizeof(elf)) {
        unsigned char magic[SELFMAG];
        if (read_at(source, 0, magic, SELFMAG) && memcmp(magic, ELFMAG, SELFMAG) == 0)
            return truncated(error);
        return no_note(error, "not a shared object");
    }
    if (!read_at(source, 0, &elf, sizeof(elf)))
        return truncated(error);
    if (!header_fits(&elf))
        return no_note(error, "not a shared object for this machine");
    if (elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum == 0 || elf.e_phnum > MAX_HEADERS)
        return no_note(error, "its program headers make no sense");
    if (!in_range(source, elf.e_phoff, (uint64_t)elf.e_phnum * sizeof(Elf64_Phdr)))
        return truncated(error);
    /* The section headers are the last thing in the file, so a copy that is under way lacks them.
     */
    if (elf.e_shoff != 0 && !in_range(source, elf.e_shoff, (uint64_t)elf.e_shnum * elf.e_shentsize))
        return truncated(error);
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(source, elf.e_phoff + i * sizeof(segment), &segment, sizeof(segment)) ||
            !in_range(source, segment.p_offset, segment.p_filesz))
            return truncated(error);
        if (segment.p_type == PT_NOTE && !have)
            have =
                find_note_at(source, segment.p_offset, segment.p_filesz, segment.p_align, &found);
    }
    if (elf.e_shoff != 0 && elf.e_shentsize == sizeof(Elf64_Shdr) && elf.e_shnum <= MAX_SECTIONS)
        for (unsigned i = 0; i < elf.e_shnum && !have; i++) {
            Elf64_Shdr section;
            if (!read_at(source, elf.e_shoff + i * sizeof(section), &section, sizeof(section)))
                return truncated(error);
            if (section.sh_type == SHT_NOTE)
                have = find_note_at(source, section.sh_offset, section.sh_size,
                                    section.sh_addralign, &found);
        }
    if (!have)
        return no_note(error, "it carries no note");
    if (found.magic != BILLET_NOTE_MAGIC)
        return no_note(error, "its note has another magic number");
    *note = found;
    return 0;
}

int
billet_driver_note_parse(const void *bytes, size_t length, struct billet_note *note,
                         struct billet_error *error)
{
    struct source source = {.fd = -1, .bytes = bytes, .size = length};
    return parse(&source, note, error);
}

int
billet_driver_note_read(int fd, struct billet_note *note, struct billet_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot look at the file");
    struct source source = {.fd = fd, .size = (uint64_t)status.st_size};
    return parse(&source, note, error);
}

int
billet_driver_note_check(const struct billet_note *note, const char *name,
                         struct billet_error *error)
{
    /* What follows the version numbers may mean something else in another major. */
    if (note->abi_major != BILLET_ABI_MAJOR) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_wrong_abi",
                         "driver %s was built for driver interface %u.%u, this billet has %d.%d",
                         name, note->abi_major, note->abi_minor, BILLET_ABI_MAJOR,
                         BILLET_ABI_MINOR);
        return billet_error_hint(error, "install the driver that was built for this billet");
    }
    if (note->host_minor > BILLET_ABI_MINOR) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_wrong_abi",
                         "driver %s needs driver interface %u.%u or later, this billet has %d.%d",
                         name, note->abi_major, note->host_minor, BILLET_ABI_MAJOR,
                         BILLET_ABI_MINOR);
        return billet_error_hint(error, "upgrade billet, or install an older driver");
    }
    if (memchr(note->name, '\0', sizeof(note->name)) == NULL || !billet_text_is_name(note->name) ||
        memchr(note->version, '\0', sizeof(note->version)) == NULL ||
        !billet_text_is_utf8(note->version, strlen(note->version)))
        return no_note(error, "name or version in its note are malformed");
    if (strcmp(note->name, name) != 0) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_name_mismatch",
                         "the file of driver %s says in its note that it is driver %s", name,
                         note->name);
        return billet_error_hint(error, "name the file driver_%s.so", note->name);
    }
    return 0;
}
