/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/loader.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "config/option.h"
#include "driver/client.h"
#include "driver/note.h"
#include "driver/operation.h"

#define MAX_OPTIONS 256
/* The table up to the first callback has been there from the first version on. */
#define SMALLEST_TABLE offsetof(struct billet_driver, check_config)

static int bad_table(struct billet_error *error, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
bad_table(struct billet_error *error, const char *name, const char *format, ...)
{
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    billet_error_set(error, BILLET_CLASS_DRIVER, "driver_bad_table", "driver %s %s", name, why);
    return billet_error_hint(error, "a bug of the driver; tell its author");
}

static int
check_callbacks(const struct billet_driver *table, const char *name, int threads,
                struct billet_error *error)
{
    uint64_t callbacks = billet_operation_callbacks(table);
    for (int i = 0; i < BILLET_OPERATION_COUNT; i++) {
        const struct billet_operation *operation = &billet_operations[i];
        if (operation->required && (callbacks & (UINT64_C(1) << i)) == 0)
            return bad_table(error, name, "lacks the required function %s", operation->name);
    }
    uint64_t known = 0;
    for (const struct billet_capability *item = billet_capabilities; item->name != NULL; item++) {
        bool promised = (table->capabilities & item->bit) != 0;
        int operation = item->callback[0] != '\0' ? billet_operation_by_name(item->callback) : -1;
        known |= item->bit;
        if (operation >= 0) {
            bool there = (callbacks & (UINT64_C(1) << operation)) != 0;
            if (promised && !there)
                return bad_table(error, name, "promises %s without the function %s", item->name,
                                 item->callback);
            if (there && !promised)
                return bad_table(error, name, "has the function %s without promising %s",
                                 item->callback, item->name);
        }
        if (promised && threads < item->lowest_threads)
            return bad_table(error, name, "promises %s, which needs thread model %d, with %d",
                             item->name, item->lowest_threads, threads);
    }
    if ((table->capabilities & ~known) != 0)
        return bad_table(error, name, "promises unknown capabilities 0x%" PRIx64,
                         table->capabilities & ~known);
    return 0;
}

static int
check_texts(const struct billet_driver *table, const struct billet_note *note,
            struct billet_error *error)
{
    const char *name = note->name;
    if (table->name == NULL || strcmp(table->name, name) != 0) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_name_mismatch",
                         "driver %s calls itself %s in its table", name,
                         table->name != NULL ? table->name : "nothing");
        return billet_error_hint(error, "a bug of the driver; tell its author");
    }
    if (table->version == NULL || strcmp(table->version, note->version) != 0)
        return bad_table(error, name, "has another version in its table than in its note");
    if (table->text == NULL || table->text[0] == '\0' || strlen(table->text) >= 512 ||
        !billet_text_is_utf8(table->text, strlen(table->text)))
        return bad_table(error, name, "has no text that says what it provides");
    return 0;
}

/* The driver's array may have smaller or larger entries than ours: each is copied into a zeroed
 * one. The copy lives as long as the process, as the driver does. */
static int
take_options(struct billet_driver *table, const char *name, struct billet_error *error)
{
    struct billet_error why = BILLET_ERROR_INIT;
    size_t count = (size_t)table->option_count;
    size_t size = table->option_size;
    if (table->option_count > MAX_OPTIONS)
        return bad_table(error, name, "has %" PRIu64 " options, more than %d", table->option_count,
                         MAX_OPTIONS);
    if (count == 0)
        return 0;
    if (table->options == NULL)
        return bad_table(error, name, "counts options but has none");
    if (size < offsetof(struct billet_option, reserved) || size > 4096)
        return bad_table(error, name, "has options of %zu bytes", size);
    cleanup_free struct billet_option *copy = calloc(count, sizeof(*copy));
    if (copy == NULL)
        return billet_error_no_memory(error);
    for (size_t i = 0; i < count; i++)
        memcpy(&copy[i], (const char *)table->options + i * size,
               size < sizeof(*copy) ? size : sizeof(*copy));
    if (billet_options_check(copy, count, &why) < 0) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_schema_invalid",
                         "driver %s has an option table that cannot be used: %s", name,
                         why.message);
        return billet_error_hint(error, "a bug of the driver; tell its author");
    }
    table->options = billet_steal(copy);
    table->option_size = sizeof(*copy);
    return 0;
}

int
billet_driver_table_check(const struct billet_driver *source, const struct billet_note *note,
                          struct billet_loaded *loaded, struct billet_error *error)
{
    const uint64_t modes = (1u << BILLET_WORKSPACE_NONE) | (1u << BILLET_WORKSPACE_IN_PLACE) |
                           (1u << BILLET_WORKSPACE_BIND) | (1u << BILLET_WORKSPACE_OVERLAY) |
                           (1u << BILLET_WORKSPACE_COPY);
    const char *name = note->name;
    uint64_t size = source->struct_size;
    struct billet_driver table = {0};

    if (size < SMALLEST_TABLE || size > 65536)
        return bad_table(error, name, "has a table of %" PRIu64 " bytes", size);
    memcpy(&table, source, size < sizeof(table) ? (size_t)size : sizeof(table));
    /* A function that is cut in half is not there; none is when sizes are honest. */
    if (table.abi_major != note->abi_major)
        return bad_table(error, name, "has interface %u in its table and %u in its note",
                         table.abi_major, note->abi_major);
    int result = check_texts(&table, note, error);
    if (result < 0)
        return result;
    int threads = BILLET_THREADS_PARALLEL;
    if (table.thread_model < BILLET_THREADS_SERIAL)
        return bad_table(error, name, "has the unknown thread model %d", table.thread_model);
    if (table.thread_model < BILLET_THREADS_SIGNAL)
        threads = BILLET_THREADS_SERIAL;
    else if (table.thread_model < BILLET_THREADS_PARALLEL)
        threads = BILLET_THREADS_SIGNAL;
    result = check_callbacks(&table, name, threads, error);
    if (result < 0)
        return result;
    if (table.workspace_modes == 0 || (table.workspace_modes & ~modes) != 0)
        return bad_table(error, name, "has workspace modes 0x%" PRIx64 ", which make no sense",
                         table.workspace_modes);
    if ((table.workspace_modes & ~(uint64_t)(1u << BILLET_WORKSPACE_NONE)) != 0 &&
        table.realize == NULL)
        return bad_table(error, name, "takes workspaces without the function realize");
    const uint64_t hands =
        BILLET_CAN_ASSETS | BILLET_CAN_SHARE_FILES | BILLET_CAN_CONFINE; /* assets to realize */
    if ((table.capabilities & hands) == hands && table.realize == NULL)
        return bad_table(error, name, "promises assets without the function realize");
    result = take_options(&table, name, error);
    if (result < 0)
        return result;
    loaded->table = table;
    loaded->note = *note;
    loaded->thread_model = threads;
    return 0;
}

int
billet_driver_load(const char *name, const char *path, const struct billet_host *host,
                   struct billet_loaded *loaded, struct billet_error *error)
{
    struct billet_note note;
    char self[64];
    struct billet_error said = BILLET_ERROR_INIT;
    cleanup_fd int fd = -1;

    int result = billet_io_open_trusted(path, 0, &fd, error);
    if (result == 0)
        result = billet_driver_note_read(fd, &note, error);
    if (result < 0)
        return billet_error_wrap(error, "%s", path);
    result = billet_driver_note_check(&note, name, error);
    if (result < 0)
        return result;
    /* The very file that was checked, whatever the path names by now. By pid rather than "self" and
     * with the descriptor left open, so that a debugger finds the file, too. */
    snprintf(self, sizeof(self), "/proc/%ld/fd/%d", (long)getpid(), fd);
    void *library = dlopen(self, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        const char *after = why != NULL ? strstr(why, ": ") : NULL;
        /* The text begins with the name it was opened by, which means nothing to anybody. */
        if (after != NULL && strncmp(why, self, strlen(self)) == 0)
            why = after + 2;
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_load_failed",
                         "driver %s cannot be loaded from %s: %s", name, path,
                         why != NULL ? why : "no reason given");
        return billet_error_hint(error, "is a library that it needs missing? ldd %s", path);
    }
    billet_steal_fd(&fd);
    union {
        void *object;
        billet_driver_init_function *function;
    } init = {.object = dlsym(library, "billet_driver_init")};
    if (init.object == NULL) {
        billet_error_set(error, BILLET_CLASS_DRIVER, "driver_no_entry",
                         "driver %s does not export billet_driver_init", name);
        return billet_error_hint(error, "a bug of the driver; tell its author");
    }
    const struct billet_driver *source = init.function(host, &said);
    if (source == NULL) {
        said.message[sizeof(said.message) - 1] = '\0';
        if (said.error_class < BILLET_CLASS_CONFIG || said.error_class > BILLET_CLASS_INTERNAL ||
            said.message[0] == '\0')
            return billet_error_set(error, BILLET_CLASS_DRIVER, "driver_no_reason",
                                    "driver %s failed to start without a reason (a bug of the "
                                    "driver)",
                                    name);
        said.code[sizeof(said.code) - 1] = '\0';
        said.hint[sizeof(said.hint) - 1] = '\0';
        billet_error_set(error, said.error_class,
                         said.code[0] != '\0' ? said.code : "driver_load_failed", "driver %s: %s",
                         name, said.message);
        return billet_error_hint(error, "%s", said.hint);
    }
    return billet_driver_table_check(source, &note, loaded, error);
}
